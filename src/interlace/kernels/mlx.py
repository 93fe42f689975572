"""Searching with MLX: on the GPU of Apple silicon, or on MLX's own CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from interlace import extras
from interlace.errors import SettingsError
from interlace.kernels.api import I64, Kernels
from interlace.kernels.device import Device, Tensor
from interlace.threads import resident

_Found = TypeVar("_Found")


class Mlx(Device):
    """The kernels on MLX's device, all on the one thread that meets MLX.

    Parameters
    ----------
    device : str
        ``"gpu"`` or ``"cpu"``; the best that is here where empty.
    host : Kernels
        What builds, and tells what is damaged.

    Raises
    ------
    MissingExtra
        When mlx is not installed.
    SettingsError
        When there is no such device.
    """

    def __init__(self, device: str, host: Kernels) -> None:
        mx: Any = extras.need("mlx.core", extra="mlx")
        self._thread = resident("MLX")
        here = self._thread(
            lambda: [one for one in ("gpu", "cpu") if mx.is_available(getattr(mx, one))]
        )
        if (device or "cpu") not in here:
            raise SettingsError(
                f"MLX cannot use the device: {device!r}. Choose from {', '.join(here)}."
            )
        self._device = getattr(mx, device or here[0])
        super().__init__(f"mlx:{device or here[0]}", mx, host)

    def _run(self, call: Callable[[], _Found]) -> _Found:
        def on_device() -> _Found:
            with self._library.stream(self._device):
                return call()

        return self._thread(on_device)

    def _copied(self, array: np.ndarray) -> Tensor:
        return self._library.array(array)

    def _got(self, tensor: Tensor) -> Any:
        return np.array(tensor)

    def _cast(self, tensor: Tensor, kind: str) -> Tensor:
        return tensor.astype(getattr(self._library, kind))

    def _full(self, shape: tuple[int, ...], value: float) -> Tensor:
        return self._library.full(shape, value)

    def _range(self, n: int) -> Tensor:
        return self._library.arange(n, dtype=self._library.int64)

    def _repeated(self, counts: I64) -> Tensor:
        # A count begins where those before it end: so many have begun at each position.
        begins = self._put(np.cumsum(counts)[:-1])
        begun = self._library.zeros(int(counts.sum()) + 1, self._library.int32).at[begins].add(1)
        return begun.cumsum()[:-1]

    def _where(self, is_it: Tensor) -> Tensor:
        return self._put(np.flatnonzero(self._got(is_it)))

    def _falling(self, values: Tensor) -> Tensor:
        # That a sort keeps the order of equals is not promised: so none are.
        n = len(values)
        order = self._range(n).reshape(n, *[1] * (values.ndim - 1))
        return self._library.argsort(order - n * values.astype(self._library.int64), axis=0)

    def _raised(self, least: Tensor, at: Tensor, values: Tensor) -> Tensor:
        return least.at[at].maximum(values) if least.size and values.size else least

"""Searching on a device of PyTorch: CUDA, Apple's MPS, or PyTorch's own CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from interlace import extras
from interlace.errors import SettingsError
from interlace.kernels.api import I64, Kernels
from interlace.kernels.device import Device, Tensor

_Found = TypeVar("_Found")


class Torch(Device):
    """The kernels on one device of PyTorch.

    Parameters
    ----------
    device : str
        ``"cuda"``, ``"cuda:1"``, ``"mps"``, ``"cpu"``; the best that is here where empty.
    host : Kernels
        What builds, and tells what is damaged.

    Raises
    ------
    MissingExtra
        When torch is not installed.
    SettingsError
        When there is no such device.
    """

    def __init__(self, device: str, host: Kernels) -> None:
        torch: Any = extras.need("torch", extra="torch")
        here = ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available()
        self._device = device or [*here, "cpu"][0]
        try:
            torch.zeros(1, device=self._device).item()
        except Exception as error:  # of a device that is not here: whatever torch likes
            raise SettingsError(
                f"PyTorch cannot use the device: {self._device!r} ({str(error).splitlines()[0]}). "
                f"Choose from {', '.join([*here, 'cpu'])}."
            ) from error
        super().__init__(f"torch:{self._device}", torch, host)

    def _run(self, call: Callable[[], _Found]) -> _Found:
        return call()

    def _copied(self, array: np.ndarray) -> Tensor:
        return self._library.tensor(array, device=self._device)

    def _got(self, tensor: Tensor) -> Any:
        return tensor.cpu().numpy()

    def _cast(self, tensor: Tensor, kind: str) -> Tensor:
        return tensor.to(getattr(self._library, kind))

    def _full(self, shape: tuple[int, ...], value: float) -> Tensor:
        return self._library.full(shape, value, device=self._device)

    def _range(self, n: int) -> Tensor:
        return self._library.arange(n, device=self._device)

    def _repeated(self, counts: I64) -> Tensor:
        return self._library.repeat_interleave(self._put(counts), output_size=int(counts.sum()))

    def _where(self, is_it: Tensor) -> Tensor:
        return is_it.nonzero().flatten()

    def _falling(self, values: Tensor) -> Tensor:
        return values.sort(dim=0, descending=True, stable=True).indices

    def _raised(self, least: Tensor, at: Tensor, values: Tensor) -> Tensor:
        if values.ndim > 1:
            at = at[:, None].expand_as(values)
        return least.scatter_reduce_(0, at, values, "amax")

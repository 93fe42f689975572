"""What runs a model: names of backends, each loaded on first use."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from interlace.errors import MissingExtra, SettingsError
from interlace.models.checkpoint import Checkpoint
from interlace.types import FloatMatrix

#: Token ids of one text, and its attention, as for :meth:`Backend.run`.
Sequenced: TypeAlias = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64] | None]

#: name -> "module:Class", called with checkpoint and ``Running``; the first that can is "auto".
REGISTRY = {
    "native": "interlace.models.backends.native:NativeBackend",
    "onnx": "interlace.models.backends.onnx:OnnxBackend",
    "mlx": "interlace.models.backends.mlx:MlxBackend",
    "torch": "interlace.models.backends.torch:TorchBackend",
}


class Unfit(SettingsError):
    """A backend cannot run this checkpoint on this machine; another one may."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """How a user wants a model to be run.

    Attributes
    ----------
    device : str
        ``"cpu"``, ``"cuda"``, ``"mps"``, or ``"auto"``, the best that a backend has.
    precision : str or None
        As :meth:`Encoder.load` takes it.
    trust_remote_code : bool
        Whether Python code that comes with the weights may run.
    """

    device: str = "auto"
    precision: str | None = None
    trust_remote_code: bool = False


DEFAULT: Final = Running()


class Backend(Protocol):
    """Runs one checkpoint; safe to call from many threads.

    Attributes
    ----------
    precision : str
        Of the weights, such as ``"int8"``.
    device : str
        Where it runs: ``"cpu"``, ``"cuda"``, ``"mps"``, or with MLX ``"gpu"``.
    """

    precision: str
    device: str

    def run(
        self, ids: npt.NDArray[np.int64], attention: npt.NDArray[np.int64] | None = None
    ) -> FloatMatrix:
        """Embed one text: token ids ``(n,)`` to unit rows ``(n, dim)``.

        ``attention`` is 0 for positions that the others do not see; None when all are seen.
        """


@runtime_checkable
class Batching(Protocol):
    """A backend that runs many texts faster together than one by one."""

    def run_many(self, texts: Sequence[Sequenced]) -> list[FloatMatrix]:
        """Embed many texts, in the order given: unit rows ``(n, dim)`` for each."""


def load(name: str, checkpoint: Checkpoint, running: Running = DEFAULT) -> tuple[str, Backend]:
    """The backend of that name (``"auto"``: the first that can) with the checkpoint, and its name.

    Raises
    ------
    SettingsError
        When there is no backend of that name, or it cannot run this checkpoint.
    """
    if name == "auto":
        return _first(checkpoint, running)
    if name not in REGISTRY:
        raise SettingsError(
            f'no backend "{name}": backend. Choose one of: auto, {", ".join(REGISTRY)}.'
        )
    try:
        return name, _made(name, checkpoint, running)
    except Unfit as unfit:
        raise SettingsError(f'backend "{name}" cannot be used: {unfit} Choose "auto".') from unfit


def _first(checkpoint: Checkpoint, running: Running) -> tuple[str, Backend]:
    *others, last = REGISTRY
    for name in others:
        with suppress(MissingExtra, Unfit):
            return name, _made(name, checkpoint, running)
    return last, _made(last, checkpoint, running)


def _made(name: str, checkpoint: Checkpoint, running: Running) -> Backend:
    module, _, attribute = REGISTRY[name].partition(":")
    backend: Backend = getattr(importlib.import_module(module), attribute)(checkpoint, running)
    return backend

"""What runs a model: names of backends, each loaded on first use."""

from __future__ import annotations

import importlib
from contextlib import suppress
from typing import Protocol

import numpy as np
import numpy.typing as npt

from interlace.errors import SettingsError
from interlace.models.checkpoint import Checkpoint
from interlace.types import FloatMatrix

#: name -> "module:Class", called with the checkpoint; the default is the first that can run it.
REGISTRY = {
    "native": "interlace.models.backends.native:NativeBackend",
    "onnx": "interlace.models.backends.onnx:OnnxBackend",
}


class Unfit(SettingsError):
    """A backend cannot run this checkpoint on this machine; another one may."""


class Backend(Protocol):
    """Runs one checkpoint; safe to call from many threads."""

    def run(
        self, ids: npt.NDArray[np.int64], attention: npt.NDArray[np.int64] | None = None
    ) -> FloatMatrix:
        """Embed one text: token ids ``(n,)`` to unit rows ``(n, dim)``.

        ``attention`` is 0 for positions that the others do not see; None when all are seen.
        """


def load(name: str, checkpoint: Checkpoint) -> tuple[str, Backend]:
    """The backend of that name (``"auto"``: the first that can) with the checkpoint, and its name.

    Raises
    ------
    SettingsError
        When there is no backend of that name, or it cannot run this checkpoint.
    """
    if name == "auto":
        return _first(checkpoint)
    if name not in REGISTRY:
        raise SettingsError(
            f'no backend "{name}": backend. Choose one of: auto, {", ".join(REGISTRY)}.'
        )
    try:
        return name, _made(name, checkpoint)
    except Unfit as unfit:
        raise SettingsError(f'backend "{name}" cannot be used: {unfit} Choose "auto".') from unfit


def _first(checkpoint: Checkpoint) -> tuple[str, Backend]:
    *others, last = REGISTRY
    for name in others:
        with suppress(Unfit):
            return name, _made(name, checkpoint)
    return last, _made(last, checkpoint)


def _made(name: str, checkpoint: Checkpoint) -> Backend:
    module, _, attribute = REGISTRY[name].partition(":")
    backend: Backend = getattr(importlib.import_module(module), attribute)(checkpoint)
    return backend

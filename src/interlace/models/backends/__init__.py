"""What runs a model: names of backends, each loaded on first use."""

from __future__ import annotations

import importlib
from typing import Protocol

import numpy as np
import numpy.typing as npt

from interlace.errors import SettingsError
from interlace.models.checkpoint import Checkpoint
from interlace.types import FloatMatrix

#: name -> "module:Class"; the class is called with the checkpoint. The first is the default.
REGISTRY = {"onnx": "interlace.models.backends.onnx:OnnxBackend"}


class Backend(Protocol):
    """Runs one checkpoint; safe to call from many threads."""

    def run(self, ids: npt.NDArray[np.int64]) -> FloatMatrix:
        """Embed one text: token ids ``(n,)`` to unit rows ``(n, dim)``."""


def load(name: str, checkpoint: Checkpoint) -> tuple[str, Backend]:
    """The backend of that name (``"auto"``: the default) with the checkpoint, and its name.

    Raises
    ------
    SettingsError
        When there is no backend of that name.
    """
    if name == "auto":
        name = next(iter(REGISTRY))
    if name not in REGISTRY:
        raise SettingsError(
            f'no backend "{name}": backend. Choose one of: auto, {", ".join(REGISTRY)}.'
        )
    module, _, attribute = REGISTRY[name].partition(":")
    backend: Backend = getattr(importlib.import_module(module), attribute)(checkpoint)
    return name, backend

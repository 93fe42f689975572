"""Formats of model folders: one file each, asked in this order whether a folder is theirs."""

from __future__ import annotations

import hashlib
import importlib
from dataclasses import replace
from pathlib import Path

from interlace.errors import CheckpointError
from interlace.models.checkpoint import Checkpoint

#: name -> "module:function", called with a folder and a precision; it returns what the folder
#: says, or None when it is of another format.
FORMATS = {
    "interlace": "interlace.models.formats.own:read",
    "pylate": "interlace.models.formats.pylate:read",
    "sentence-transformers": "interlace.models.formats.sentence_transformers:read",
    "stanford": "interlace.models.formats.stanford:read",
    "next-plaid": "interlace.models.formats.next_plaid:read",
}


def read(folder: Path, precision: str | None = None) -> Checkpoint:
    """Read a model folder.

    Raises
    ------
    CheckpointError
        When it is of no format that is known, or damaged.
    """
    if not folder.is_dir():
        raise CheckpointError(f"no folder: {folder}. Pass the folder of a model.")
    for target in FORMATS.values():
        module, _, function = target.partition(":")
        checkpoint: Checkpoint | None = getattr(importlib.import_module(module), function)(
            folder, precision
        )
        if checkpoint is not None:
            return _rounded(checkpoint)
    raise CheckpointError(
        f"no late-interaction model: {folder}. Known are the formats of interlace "
        "(interlace.json), PyLate and sentence-transformers (modules.json), Stanford ColBERT "
        '(artifact.metadata, or "HF_ColBERT" in config.json) and next-plaid (onnx_config.json). '
        "A model of single vectors has to be trained for late interaction first."
    )


def _rounded(checkpoint: Checkpoint) -> Checkpoint:
    """Weights that are rounded when they are loaded make a model of their own."""
    if checkpoint.graph is not None or checkpoint.precision == "float32":
        return checkpoint
    whole = checkpoint.fingerprint
    rounded = hashlib.sha256(f"{whole} in {checkpoint.precision}".encode()).hexdigest()
    return replace(checkpoint, fingerprint=rounded, origin=whole)

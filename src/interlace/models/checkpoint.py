"""What a model folder says about itself, read without running anything.

A checkpoint is a folder of three files: ``interlace.json`` (the settings below), ``model.onnx``
(token ids in, one unit vector a token out) and ``tokenizer.json``.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from interlace.errors import CheckpointError

SETTINGS = "interlace.json"
WEIGHTS = "model.onnx"
TOKENIZER = "tokenizer.json"
FILES = (SETTINGS, WEIGHTS, TOKENIZER)

#: The layout of a model folder; a folder that says another number is refused.
FORMAT = 1

#: Files by which a folder of another tool is recognised, so that the refusal can name the tool.
FOREIGN = {
    "artifact.metadata": "Stanford ColBERT",
    "onnx_config.json": "next-plaid",
    "config_sentence_transformers.json": "sentence-transformers or PyLate",
    "modules.json": "sentence-transformers or PyLate",
    "config.json": "transformers",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A model's files and what they say.

    Attributes
    ----------
    folder : Path
        Where the files are.
    fingerprint : str
        SHA-256 (hex) over weights, tokenizer and settings: equal fingerprints, equal embeddings.
    name, revision : str
        What the maker calls it.
    precision : str
        How the weights are stored, such as ``"int8"`` or ``"float32"``.
    dim : int
        Width of a token embedding.
    query_length, document_length : int
        How many tokens of a text are encoded, special tokens and markers not counted.
    query_marker, document_marker : str
        A token put before the text, after the leading special token; empty for none.
    query_skip, document_skip : tuple of str
        Tokens that are seen by the model but get no row in the matrix.
    query_expansion : str
        How queries are padded with mask tokens; only ``"none"`` so far.
    """

    folder: Path
    fingerprint: str
    name: str
    revision: str
    precision: str
    dim: int
    query_length: int
    document_length: int
    query_marker: str = ""
    document_marker: str = ""
    query_skip: tuple[str, ...] = ()
    document_skip: tuple[str, ...] = ()
    query_expansion: str = "none"

    def __post_init__(self) -> None:
        for field in ("dim", "query_length", "document_length"):
            if getattr(self, field) < 1:
                raise self._fault(field, f"must be at least 1, not {getattr(self, field)}")
        if self.query_expansion != "none":
            raise self._fault("query_expansion", f'must be "none", not "{self.query_expansion}"')

    @property
    def weights(self) -> Path:
        """The ONNX file."""
        return self.folder / WEIGHTS

    @property
    def tokenizer(self) -> Path:
        """The tokenizer's file, in the format of the ``tokenizers`` library."""
        return self.folder / TOKENIZER

    def _fault(self, field: str, what: str) -> CheckpointError:
        return _fault(self.folder, field, what)

    @classmethod
    def read(cls, folder: Path) -> Checkpoint:
        """Read a model folder.

        Raises
        ------
        CheckpointError
            When a file is missing or unreadable, or a field is unknown, missing or of the wrong
            type; the message names file and field.
        """
        _check_files(folder)
        settings = _read_settings(folder)
        return cls(folder=folder, fingerprint=_fingerprint(folder), **settings)


def _check_files(folder: Path) -> None:
    missing = [name for name in FILES if not (folder / name).is_file()]
    if SETTINGS in missing:
        for name, tool in FOREIGN.items():
            if (folder / name).exists():
                raise CheckpointError(
                    f"a model in the format of {tool}: {folder}. This version reads only folders "
                    f"that hold {', '.join(FILES)}."
                )
    if missing:
        raise CheckpointError(
            f"file missing: {folder / missing[0]}. A model folder holds {', '.join(FILES)}."
        )


def _read_settings(folder: Path) -> dict[str, Any]:
    """The fields of ``interlace.json``, each of its type and none unknown."""
    path = folder / SETTINGS
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as cause:
        raise CheckpointError(
            f"cannot be read as JSON: {path} ({cause}). Fetch the model again."
        ) from cause
    if not isinstance(values, dict):
        raise CheckpointError(f"not a JSON object: {path}. Fetch the model again.")
    if values.pop("format", None) != FORMAT:
        raise _fault(folder, "format", f"must be {FORMAT}; another version of interlace wrote it")
    wanted = {f.name: f for f in fields(Checkpoint) if f.name not in ("folder", "fingerprint")}
    for field in values:
        if field not in wanted:
            near = get_close_matches(field, wanted, n=1)
            raise _fault(folder, field, "is unknown" + (f', meant "{near[0]}"?' if near else ""))
    for name, field_ in wanted.items():
        if name in values:
            values[name] = _typed(folder, name, str(field_.type), values[name])
        elif field_.default is MISSING:
            raise _fault(folder, name, "is missing")
    return values


def _typed(folder: Path, field: str, kind: str, value: Any) -> Any:
    if kind == "int" and type(value) is int:
        return value
    if kind == "str" and isinstance(value, str):
        return value
    if kind == "tuple[str, ...]" and _is_string_list(value):
        return tuple(value)
    shown = {"int": "a whole number", "str": "a string"}.get(kind, "a list of strings")
    raise _fault(folder, field, f"must be {shown}, not {json.dumps(value)}")


def _is_string_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _fault(folder: Path, field: str, what: str) -> CheckpointError:
    return CheckpointError(f'field "{field}" {what}: {folder / SETTINGS}. Correct that file.')


def _fingerprint(folder: Path) -> str:
    whole = hashlib.sha256()
    for name in sorted(FILES):
        with (folder / name).open("rb") as file:
            whole.update(name.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()

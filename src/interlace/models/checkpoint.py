"""What a model folder says about itself, read without running anything.

Formats differ in where they say it; ``models/formats`` has one file each. Whatever the format, it
comes out as the same frozen :class:`Checkpoint`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from interlace.errors import CheckpointError

TOKENIZER = "tokenizer.json"

Activation: TypeAlias = Literal["identity", "tanh", "relu", "gelu", "silu", "sigmoid"]
Lowering: TypeAlias = Literal["never", "text", "tokenizer"]
SkipRule: TypeAlias = Literal["exact", "known", "unknown", "encoded"]
GraphEnd: TypeAlias = Literal["embeddings", "hidden"]

#: Wider rows than this, or longer texts, are taken for a damaged file: they would fill the memory.
_MOST: int = 1 << 17


@dataclass(frozen=True, kw_only=True, slots=True)
class Expansion:
    """How queries are filled up with mask tokens, which get rows of their own.

    Attributes
    ----------
    strategy : str
        ``"fixed"``: every query has ``length`` positions, longer ones are cut;
        ``"min"``: at least so many, longer ones are left as they are.
    length : int
        Positions in all: special tokens, markers and prefix count.
    attend : bool
        Whether the other positions see the mask tokens. They see the others in any case.
    token : str or int
        What is put there, or its id; an empty string for the tokenizer's mask token.
    """

    strategy: Literal["fixed", "min"]
    length: int
    attend: bool = False
    token: str | int = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Dense:
    """A layer between the transformer and the embeddings: ``activation(x @ W.T + b)``.

    Attributes
    ----------
    weights : Path
        The safetensors (or pickle) file that holds the arrays ``weight``, ``bias``, ``residual``.
    in_features, out_features : int
    weight : str
        The name of the matrix in that file, ``(out_features, in_features)``.
    bias : str or None
        The name of the bias, ``(out_features,)``.
    activation : str
    residual : bool or str
        Whether the input is added to the output; a name, when it goes through that matrix first.
    """

    weights: Path
    in_features: int
    out_features: int
    weight: str = "linear.weight"
    bias: str | None = None
    activation: Activation = "identity"
    residual: bool | str = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A model's files and what they say.

    Attributes
    ----------
    folder : Path
        Where the files are.
    format : str
        Who wrote them: a name of ``interlace.models.formats.FORMATS``.
    settings : Path
        The file that holds the settings below, for messages.
    fingerprint : str
        SHA-256 (hex) over weights, tokenizer and settings: equal fingerprints, equal embeddings.
    name, revision : str
        What the maker calls it.
    precision : str
        How the weights are stored, such as ``"int8"`` or ``"float32"``.
    dim : int
        Width of a token embedding.
    query_length, document_length : int
        How many tokens of a text are encoded.
    lengths_count_all : bool
        Whether special tokens, marker and prefix count for these lengths, or only the text.
    query_marker, document_marker : str
        A token that is inserted behind the first one, such as ``"[Q] "``; empty for none.
    query_prefix, document_prefix : str
        A text that is put before every text and tokenized with it; empty for none.
    strip : bool
        Whether white space is taken off both ends of a text, with its prefix.
    lowercase : str
        Where texts are put in lower case: ``"never"``; ``"text"``, before the tokenizer sees them;
        ``"tokenizer"``, before its own normalisation, so that it finds its added tokens first.
    query_skip, document_skip : tuple of str
        Tokens that are seen by the model but get no row in the matrix.
    skip_rule : str
        What a skipped string stands for: ``"exact"``, a token that must be in the vocabulary;
        ``"known"``, the same, but left out when it is not there; ``"unknown"``, the unknown token
        when it is not there; ``"encoded"``, the first token that it is encoded to.
    query_expansion : Expansion or None
    dense : tuple of Dense
        From the transformer's hidden states to the embeddings, in order.
    graph : Path or None
        An ONNX file.
    graph_end : str
        What the graph makes: ``"embeddings"``, unit rows of ``dim``; or the transformer's
        ``"hidden"`` states, which ``dense`` and the normalisation turn into embeddings.
    weights : Path or None
        The transformer's weights: safetensors, or a pickle when there is nothing else.
    matryoshka_dims : tuple of int
        Widths to which embeddings may be cut, for which the model was trained.
    remote_code : bool
        Whether the transformer is Python code that comes with the weights.
    origin : str
        The fingerprint of the same model before it was exported or rounded; empty for neither.
    """

    folder: Path
    format: str
    settings: Path
    fingerprint: str
    name: str
    revision: str
    precision: str
    dim: int
    query_length: int
    document_length: int
    lengths_count_all: bool = False
    query_marker: str = ""
    document_marker: str = ""
    query_prefix: str = ""
    document_prefix: str = ""
    strip: bool = False
    lowercase: Lowering = "never"
    query_skip: tuple[str, ...] = ()
    document_skip: tuple[str, ...] = ()
    skip_rule: SkipRule = "exact"
    query_expansion: Expansion | None = None
    dense: tuple[Dense, ...] = ()
    graph: Path | None = None
    graph_end: GraphEnd = "embeddings"
    weights: Path | None = None
    matryoshka_dims: tuple[int, ...] = ()
    remote_code: bool = False
    origin: str = ""

    def __post_init__(self) -> None:
        for field in ("dim", "query_length", "document_length"):
            self._check_count(field, getattr(self, field))
        for dim in self.matryoshka_dims:
            self._check_count("matryoshka_dims", dim)
            if dim > self.dim:
                raise self.fault("matryoshka_dims", f"must be at most {self.dim}, not {dim}")
        if self.query_expansion is not None:
            self._check_count("query_expansion", self.query_expansion.length)
        width = self.dense[0].in_features if self.dense else self.dim
        for layer in self.dense:
            if layer.in_features != width:
                raise self.fault(
                    "in_features", f"must be {width}, the layer's before, not {layer.in_features}"
                )
            width = layer.out_features
        if width != self.dim:
            raise self.fault("dim", f"must be {width}, the last layer's, not {self.dim}")

    def fault(self, field: str, what: str) -> CheckpointError:
        """The error of one field."""
        return fault(self.settings, field, what)

    def _check_count(self, field: str, value: int) -> None:
        if not 1 <= value <= _MOST:
            raise self.fault(field, f"must be at least 1 and at most {_MOST}, not {value}")

    @property
    def tokenizer(self) -> Path:
        """The tokenizer's file, in the format of the ``tokenizers`` library."""
        return self.folder / TOKENIZER

    @classmethod
    def read(cls, folder: Path, precision: str | None = None) -> Checkpoint:
        """Read a model folder, of whichever format.

        Parameters
        ----------
        folder : Path
        precision : str, optional
            Which ONNX graph, where there are several; the most precise when not given.

        Raises
        ------
        CheckpointError
            When a file is missing or unreadable, or a field is unknown, missing or of the wrong
            type; the message names file and field.
        """
        from interlace.models import formats

        return formats.read(folder, precision)


def fault(path: Path, field: str, what: str) -> CheckpointError:
    """The error of one field of one file."""
    return CheckpointError(f'field "{field}" {what}: {path}. Correct that file.')


def fingerprint(folder: Path, files: Iterable[Path]) -> str:
    """SHA-256 (hex) over the names and contents of a folder's files.

    Raises
    ------
    CheckpointError
        When one of them cannot be read.
    """
    whole = hashlib.sha256()
    for path in sorted(set(files)):
        name = path.relative_to(folder).as_posix()
        try:
            with path.open("rb") as file:
                whole.update(name.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest())
        except OSError as cause:
            raise CheckpointError(
                f"cannot be read: {path} ({cause.strerror or cause}). Fetch the model again."
            ) from cause
    return whole.hexdigest()


def choices(alias: object) -> tuple[str, ...]:
    """The strings that a ``Literal`` allows."""
    return get_args(alias)

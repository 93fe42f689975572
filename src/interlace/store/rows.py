"""What the catalog's rows are outside it, and the format's number."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from interlace.files import Piece, Written
from interlace.types import Id

FORMAT: Final = 12
"""The format that this version writes: docs/reference/format.md."""

OLDEST_READABLE: Final = 12

PART: Final = 65_536
"""Characters of a text that are kept, and read, together."""


class Commit(NamedTuple):
    """One catalog transaction, and the counts that hold after it."""

    number: int
    kind: str
    at: str
    n_documents: int
    n_passages: int
    next_document: int
    next_passage: int


class Origin(NamedTuple):
    """Which collection a catalog belongs to: its backups have the same ``collection``.

    A copy that goes on by itself has a history of its own: ``a:12/b`` is ``a`` up to commit 12.
    ``backup`` is the commit that this is a backup of; None in what is none, or was written to.
    """

    collection: str
    backup: int | None


class SegmentRow(NamedTuple):
    """What the catalog knows of a segment; its file is ``segments/<name>.<kind>``."""

    name: str
    kind: str
    generation: str | None
    n_passages: int
    n_tokens: int
    written: Written

    @property
    def file_name(self) -> str:
        """Relative to the folder of segments."""
        return f"{self.name}.{self.kind}"


_NOTHING: Final = Piece(0, 0)


class Chunk(NamedTuple):
    """What a codec got at once: rows of its arrays.

    Attributes
    ----------
    n_tokens : int
        What the codec held then, those included that the chunk was made for.
    pieces : mapping of str to Piece
        What was appended to the file of each array; those that got nothing are not there.
    """

    n_tokens: int
    pieces: Mapping[str, Piece]


class GenerationRow(NamedTuple):
    """What the catalog knows of a codec; an array's file is ``codec/<name>/<array>.codec``."""

    name: str
    description: Mapping[str, Any]
    chunks: tuple[Chunk, ...]

    @property
    def arrays(self) -> list[str]:
        """The arrays that have rows."""
        return sorted({array for chunk in self.chunks for array in chunk.pieces})

    def pieces(self, array: str) -> list[Piece]:
        """Those of an array; where a chunk has none, one without bytes."""
        return [chunk.pieces.get(array, _NOTHING) for chunk in self.chunks]

    def n_bytes(self, array: str) -> int:
        """How much of an array's file counts."""
        return sum(piece.n_bytes for piece in self.pieces(array))


class StoredPassage(NamedTuple):
    """A passage as the catalog has it; ``text`` is a slice of the document's text."""

    document_number: int
    id: Id
    number: int
    start: int
    end: int
    text: str
    metadata: Mapping[str, Any]
    file: str | None
    line: int | None
    page: int | None
    headings: tuple[str, ...]


class Known(NamedTuple):
    """What tells whether a document must be stored again: its content, and where it stands."""

    content_hash: str
    file: str | None
    line: int | None


class SourceRow(NamedTuple):
    """A file or folder that documents are read from, and how; ``label`` begins its files' names."""

    number: int
    path: str
    label: str
    options: Mapping[str, Any]


class PassageRow(NamedTuple):
    """A passage as a writer adds it; ``ordinal`` is its number in the document."""

    number: int
    document: int
    ordinal: int
    start: int
    end: int
    line: int | None
    page: int | None
    headings: str | None


class CutRow(NamedTuple):
    """A passage of a document that a rebuild cuts anew; ``lines`` counts from the document's."""

    number: int
    document: int
    ordinal: int
    start: int
    end: int
    lines: int
    page: int | None
    headings: str | None


def headings_json(headings: Sequence[str]) -> str | None:
    """The headings of a passage as the catalog keeps them."""
    return json.dumps(headings) if headings else None


class DocumentRow(NamedTuple):
    """A document as a writer adds it; ``metadata`` is JSON."""

    number: int
    id: Id
    content_hash: str
    text: str
    metadata: str
    syntax: str | None
    file: str | None
    line: int | None


class StoredDocument(NamedTuple):
    """A document with all its rows, as another collection takes it over."""

    row: DocumentRow
    passages: list[PassageRow]

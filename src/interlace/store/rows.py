"""What the catalog's rows are outside it, and the format's number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from interlace.files import Written
from interlace.types import Document, Id

FORMAT: Final = 1
"""The format that this version writes: docs/reference/format.md."""

OLDEST_READABLE: Final = 1


class Commit(NamedTuple):
    """One catalog transaction, and the counts that hold after it."""

    number: int
    kind: str
    at: str
    n_documents: int
    n_passages: int
    next_document: int
    next_passage: int


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


class GenerationRow(NamedTuple):
    """What the catalog knows of a codec; chunk i is ``codec/<name>/<i>.codec``."""

    name: str
    description: Mapping[str, Any]
    chunks: tuple[Written, ...]


class StoredPassage(NamedTuple):
    """A passage as the catalog has it; ``text`` is a slice of the document's text."""

    document_number: int
    id: Id
    number: int
    start: int
    end: int
    text: str
    metadata: Mapping[str, Any]


class DocumentRow(NamedTuple):
    """A document as a writer adds it; ``metadata`` is JSON."""

    number: int
    id: Id
    content_hash: str
    text: str
    metadata: str


class StoredDocument(NamedTuple):
    """A document with all its rows, as another collection takes it over."""

    number: int
    document: Document
    content_hash: str
    metadata: str
    passages: list[tuple[int, int, int, int]]

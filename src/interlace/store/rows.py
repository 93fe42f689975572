"""What the catalog's rows are outside it, and the format's number."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from interlace.files import Written
from interlace.types import Id

FORMAT: Final = 7
"""The format that this version writes: docs/reference/format.md."""

OLDEST_READABLE: Final = 7

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

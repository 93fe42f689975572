"""Plain text, Markdown, reStructuredText and source code: the document is the file's very text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import IO, Final

from interlace.text.encodings import blocks
from interlace.text.reasons import BLANK, EMPTY
from interlace.text.records import Fields
from interlace.text.syntaxes import syntax_of
from interlace.types import Document, Skipped

#: A longer text becomes several documents, cut where a paragraph or at least a line ends.
PART_CHARACTERS: Final = 2**24

_LINE_END = re.compile(r"\r\n|\n|\r")


def read(stream: IO[bytes], name: str, fields: Fields) -> Iterator[Document | Skipped]:
    """Yield a text, character for character but for a byte-order mark.

    Raises
    ------
    InputError
        When it is no text.
    """
    yield from documents(blocks(stream, name), name)


def read_markdown(stream: IO[bytes], name: str, fields: Fields) -> Iterator[Document | Skipped]:
    """Yield a Markdown text as it stands."""
    yield from documents(blocks(stream, name), name, "markdown")


def read_rst(stream: IO[bytes], name: str, fields: Fields) -> Iterator[Document | Skipped]:
    """Yield a reStructuredText as it stands."""
    yield from documents(blocks(stream, name), name, "rst")


def read_code(stream: IO[bytes], name: str, fields: Fields) -> Iterator[Document | Skipped]:
    """Yield source code as it stands; its name tells the language."""
    yield from documents(blocks(stream, name), name, syntax_of(name))


def documents(
    pieces: Iterable[str], name: str, syntax: str | None = None
) -> Iterator[Document | Skipped]:
    """Yield a text, given piece by piece, as a document, or a huge one as several."""
    line, n_characters, is_blank = 1, 0, True
    for part in _parts(pieces):
        n_characters += len(part)
        if not part.isspace():
            is_blank = False
            yield Document(part, syntax=syntax, line=line)
        line += sum(1 for _ in _LINE_END.finditer(part))
    if is_blank:
        yield Skipped(name, BLANK if n_characters else EMPTY)


def _parts(pieces: Iterable[str]) -> Iterator[str]:
    waiting: list[str] = []
    n_characters = 0
    for piece in pieces:
        waiting.append(piece)
        n_characters += len(piece)
        if n_characters > PART_CHARACTERS:
            text = "".join(waiting)
            while len(text) > PART_CHARACTERS:
                end = _end_of_part(text)
                yield text[:end]
                text = text[end:]
            waiting, n_characters = [text], len(text)
    if n_characters:
        yield "".join(waiting)


def _end_of_part(text: str) -> int:
    """Where the first part ends: in its last sixteenth, if something ends there."""
    earliest = PART_CHARACTERS - PART_CHARACTERS // 16
    for border in ("\n\n", "\n", "\r", " "):
        at = text.rfind(border, earliest, PART_CHARACTERS)
        if at >= 0:
            return at + len(border)
    return PART_CHARACTERS

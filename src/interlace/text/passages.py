"""Documents to passages: as long as the model can read, cut where a reader would pause."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from interlace.errors import SettingsError
from interlace.types import Document, Passage

#: Where the tokens of a text are: (n_tokens, 2) characters, special tokens left out.
TokenSpans: TypeAlias = Callable[[str], npt.NDArray[np.int32]]

#: Places to cut before, weakest first; each match ends where a new piece begins.
_BORDERS = (
    re.compile(r"\s+"),  # word
    re.compile(r"[.!?…]['\"”’»)\]]*\s+|[。！？][」』”’）]*\s*"),  # sentence
    re.compile(r"\n\s*"),  # line
    re.compile(r"\n[^\S\n]*\n\s*"),  # paragraph
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Splitting:
    """How documents become passages; stored with the collection.

    Attributes
    ----------
    tokens_max : int or None
        The most tokens of the model a passage has, markers not counted; None never splits.
    """

    tokens_max: int | None = None

    def __post_init__(self) -> None:
        if self.tokens_max is not None and self.tokens_max < 1:
            raise SettingsError(f"tokens_max is {self.tokens_max}. It must be at least 1, or None.")


def split(document: Document, splitting: Splitting, spans: TokenSpans) -> list[Passage]:
    """Cut a document into passages of at most ``tokens_max`` tokens, without overlap.

    A passage ends before the last paragraph in its second half; where none begins there, before
    the last line, sentence or word; inside a word only when the word alone is too long. A
    document that fits is one passage, whole; a cut one loses the blanks around its cuts.
    """
    text = document.text
    assert document.id is not None
    limit = splitting.tokens_max
    # Normalising lengthens no ASCII, so a text this short needs no counting, a mark at its start
    # included. Elsewhere a character may be many tokens: NFKC makes eighteen letters of U+FDFA.
    if limit is None or (text.isascii() and len(text) < limit):
        pieces = [(0, len(text))]
    else:
        pieces = _pieces(text, limit, spans)
    return [
        Passage(document.id, number, start, end, text[start:end])
        for number, (start, end) in enumerate(pieces)
    ]


def _pieces(text: str, limit: int, spans: TokenSpans) -> list[tuple[int, int]]:
    tokens = spans(text)
    if len(tokens) <= limit:
        return [(0, len(text))]
    starts = tokens[:, 0]
    levels = _levels(text, starts)
    pieces: list[tuple[int, int]] = []
    first = 0
    while first < len(starts):
        last = _cut(levels, first, limit)
        start, end = _stripped(text, starts, first, last)
        # A piece alone may have more tokens than it had in its text: words are cut anew.
        while last - first > 1 and (excess := len(spans(text[start:end])) - limit) > 0:
            last = _cut(levels, first, max(1, last - first - excess))
            start, end = _stripped(text, starts, first, last)
        if start < end:
            pieces.append((start, end))
        first = last
    return pieces or [(0, len(text))]


def _levels(text: str, starts: npt.NDArray[np.int32]) -> npt.NDArray[np.int8]:
    """Return for each token how good a place to cut before it is, 0 being inside a word."""
    levels = np.zeros(len(starts) + 1, np.int8)
    for level, border in enumerate(_BORDERS, start=1):
        places = np.fromiter((match.end() for match in border.finditer(text)), np.int32)
        levels[np.searchsorted(starts, places)] = level
    levels[-1] = len(_BORDERS) + 1
    return levels


def _cut(levels: npt.NDArray[np.int8], first: int, limit: int) -> int:
    if first + limit >= len(levels) - 1:
        return len(levels) - 1
    earliest = first + max(1, limit // 2)
    window = levels[earliest : first + limit + 1]
    return int(earliest + len(window) - 1 - np.argmax(window[::-1]))


def _stripped(text: str, starts: npt.NDArray[np.int32], first: int, last: int) -> tuple[int, int]:
    start = 0 if first == 0 else int(starts[first])
    end = len(text) if last == len(starts) else int(starts[last])
    end = start + len(text[start:end].rstrip())
    return end - len(text[start:end].lstrip()), end

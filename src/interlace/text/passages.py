"""Documents to passages: as long as the model can read, cut where a reader would pause."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from semantic_text_splitter import CodeSplitter, MarkdownSplitter, TextSplitter

from interlace.errors import SettingsError
from interlace.text.outline import outline
from interlace.text.syntaxes import SYNTAXES, grammar
from interlace.types import Document, Passage

#: Where the tokens of a text are: (n_tokens, 2) characters, special tokens left out.
TokenSpans: TypeAlias = Callable[[str], npt.NDArray[np.int32]]

#: Start and end in a text.
_Piece: TypeAlias = tuple[int, int]

#: Characters cut at a time: the splitters take time that grows with the square of what they get,
#: that of code with the depth of the nesting too.
_WINDOW: Final = 65_536
_WINDOW_OF_CODE: Final = 16_384

#: A window holds at least so many characters for each token of a passage: enough passages that
#: the last one, which is cut anew with the next window, costs little.
_WINDOW_A_TOKEN: Final = 64

_WORDS_AT_ONCE: Final = 512

#: Markdown that is nothing without what follows: headings, the line that begins a block of code.
_LEADS: Final = re.compile(
    r"(?:\s*+(?:#{1,6}(?:[^\S\n][^\n]*+)?|[^\n]++\n[ ]{0,3}(?:=++|-++)|(?:```|~~~)[^\n`]*+)"
    r"[^\S\n]*+(?:\n|$))+\s*+"
)

#: Blanks to Python, all below U+3001.
_BLANKS: Final = np.array([chr(code).isspace() for code in range(0x3002)])


@dataclass(frozen=True, kw_only=True, slots=True)
class Splitting:
    """How documents become passages; stored with the collection.

    Attributes
    ----------
    tokens_max : int or None
        The most tokens of the model a passage has, markers not counted; None never splits.
    overlap : int
        The most tokens that a passage repeats of the one before it.
    """

    tokens_max: int | None = None
    overlap: int = 0

    def __post_init__(self) -> None:
        if self.tokens_max is not None and self.tokens_max < 1:
            raise SettingsError(
                f"passage_tokens is {self.tokens_max}. It must be at least 1, or None."
            )
        most = 0 if self.tokens_max is None else (self.tokens_max - 1) // 2
        if not 0 <= self.overlap <= most:
            raise SettingsError(
                f"passage_overlap is {self.overlap}. With passages of {self.tokens_max or 'any'} "
                f"tokens it must lie between 0 and {most}: less than half of one."
            )


def split(document: Document, splitting: Splitting, spans: TokenSpans) -> list[Passage]:
    """Cut a document into passages of at most ``tokens_max`` tokens, each as full as borders allow.

    Prose is cut between paragraphs where they fit, else between sentences, words, characters;
    Markdown at its headings and blocks, no heading parted from what it stands over; code where its
    grammar, when it is installed, begins definitions and statements. A document that fits is one
    passage, whole; a cut one loses the blanks around its cuts. Only a single character that is more
    tokens than ``tokens_max`` makes a longer passage. Line, page and headings of a passage are
    those of the place where it begins.

    Parameters
    ----------
    document : Document
        With its id.
    splitting : Splitting
    spans : callable
        Says where the tokens of a text are. It has the last word on the length of a passage.

    Returns
    -------
    list of Passage
        At least one, in the order of the text.
    """
    assert document.id is not None
    headings = outline(document.text, document.syntax)
    syntax = None if headings.is_tangled else document.syntax
    pieces = _pieces(document.text, syntax, splitting, spans)
    return [
        Passage(
            document.id, number, start, end, document.text[start:end], line, page,
            headings.trail(start),
        )
        for number, ((start, end), line, page) in enumerate(_placed(document, pieces))
    ]  # fmt: skip


def _placed(
    document: Document, pieces: Iterable[_Piece]
) -> Iterator[tuple[_Piece, int | None, int | None]]:
    """Each piece with the line and the page where it begins, counted on from the one before."""
    text, line = document.text, document.line
    page = 1 if "\f" in text and document.syntax not in SYNTAXES else None
    returns = "\r" in text
    before = 0
    for start, end in pieces:
        if line is not None:
            line += text.count("\n", before, start)
            if returns:
                line += text.count("\r", before, start) - text.count("\r\n", before, start)
        if page is not None:
            page += text.count("\f", before, start)
        before = start
        yield (start, end), line, page


def _pieces(text: str, syntax: str | None, splitting: Splitting, spans: TokenSpans) -> list[_Piece]:
    limit = splitting.tokens_max
    if limit is None or _fits(text, limit, spans):
        return [(0, len(text))]
    is_code = grammar(syntax) is not None
    window = max(_WINDOW_OF_CODE if is_code else _WINDOW, _WINDOW_A_TOKEN * limit)
    found: list[_Piece] = []
    at = 0
    while at < len(text):
        part = text[at : at + window]
        pieces = _cut(part, syntax, _Sizes(part, spans), limit, splitting.overlap)
        is_last = at + window >= len(text)
        if not is_last and len(pieces) > 1:
            # The window has cut the last one short: the next window begins with it.
            following = at + pieces.pop()[0]
        else:
            following = at + len(part)
        for start, end in pieces:
            found += _exact(text, at + start, at + end, syntax, limit, spans)
        at = following
    return found or [(0, len(text))]


def _fits(text: str, limit: int, spans: TokenSpans) -> bool:
    # Normalising lengthens no ASCII, so a text this short needs no counting, a mark at its start
    # included. Elsewhere a character may be many tokens: NFKC makes eighteen letters of U+FDFA.
    if text.isascii() and len(text) < limit:
        return True
    # Every word is a token at least, so most long texts need no counting either.
    if len(text) > _WINDOW and len(text) > _WINDOW_A_TOKEN * limit:
        return False
    return len(text.split(maxsplit=limit)) <= limit and len(spans(text)) <= limit


def _cut(
    text: str, syntax: str | None, size: Callable[[str], int], limit: int, overlap: int = 0
) -> list[_Piece]:
    splitter: Any
    if syntax == "markdown":
        splitter = MarkdownSplitter.from_callback(size, limit, overlap)
    elif (language := grammar(syntax)) is not None:
        splitter = CodeSplitter.from_callback(language, size, limit, overlap)
    else:
        splitter = TextSplitter.from_callback(size, limit, overlap)
    pieces = [(start, start + len(piece)) for start, piece in splitter.chunk_indices(text)]
    pieces = [(start, end) for start, end in pieces if not text[start:end].isspace()]
    return _led(text, pieces, size, limit) if syntax == "markdown" else pieces


def _led(text: str, pieces: list[_Piece], size: Callable[[str], int], limit: int) -> list[_Piece]:
    """The pieces of a Markdown text, headings with what they stand over.

    Alone they would be found for their words, as few as they are, and say nothing.
    """
    found: list[_Piece] = []
    for start, end in pieces:
        if not found or not _LEADS.fullmatch(text, *found[-1]):
            found.append((start, end))
            continue
        first, _ = found[-1]
        if size(text[first:end]) <= limit:
            found[-1] = first, end
            continue
        # About half of the piece: what is left of it must not be a crumb.
        room = min(limit - size(text[first:start]), size(text[start:end]) // 2)
        begins = _begins(text[start:end], size, room) if room > 0 else 0
        if begins:
            found[-1] = first, start + begins
            start = end - len(text[start + begins : end].lstrip())
        found.append((start, end))
    return found


def _begins(text: str, size: Callable[[str], int], limit: int) -> int:
    """Where the first passage of a text ends, if it is cut; 0 if it is not."""
    (_, piece), *rest = MarkdownSplitter.from_callback(size, limit).chunk_indices(text)
    return len(piece) if rest else 0


class _Sizes:
    """How many tokens the pieces of a text have, nearly: asked often, so each word counts once.

    Counting the pieces one by one takes ten times as long as tokenizing the text. Here the
    different words of the text are tokenized once, and a piece is found by where it stands.
    """

    def __init__(self, text: str, spans: TokenSpans) -> None:
        self._text = text
        self._before = _tokens_before(text, spans)
        self._at = 0

    def __call__(self, piece: str) -> int:
        # Pieces come in order, and mostly begin where the last one did. One that stands elsewhere
        # too is the same there.
        if not self._text.startswith(piece, self._at):
            found = self._text.find(piece, self._at)
            self._at = found if found >= 0 else self._text.rfind(piece)
        return int(self._before[self._at + len(piece)] - self._before[self._at])


def _tokens_before(text: str, spans: TokenSpans) -> npt.NDArray[np.int64]:
    """How many tokens begin before each character, and before the end."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    is_letter = ~_BLANKS[np.minimum(codes, len(_BLANKS) - 1)]
    word_starts = np.flatnonzero(is_letter & ~np.concatenate(([False], is_letter[:-1])))
    known: dict[str, int] = {}
    words = np.array([known.setdefault(word, len(known)) for word in text.split()], np.int64)
    lengths = np.fromiter((len(word) + 1 for word in known), np.int64, len(known))
    known_starts = np.cumsum(lengths) - lengths
    tokens = _token_starts(list(known), known_starts, spans)
    word_of = np.searchsorted(known_starts, tokens, "right") - 1
    counts = np.bincount(word_of, minlength=len(known))
    # Each word's tokens, as far from its start as in the list of words, for all words in a row.
    n_tokens = counts[words]
    first = (np.cumsum(counts) - counts)[words]
    of_row = np.arange(n_tokens.sum()) - np.repeat(np.cumsum(n_tokens) - n_tokens - first, n_tokens)
    places = np.repeat(word_starts - known_starts[words], n_tokens) + tokens[of_row]
    return np.concatenate(([0], np.cumsum(np.bincount(places, minlength=len(text)))))


def _token_starts(
    words: list[str], starts: npt.NDArray[np.int64], spans: TokenSpans
) -> npt.NDArray[np.int64]:
    """Where the tokens of words in a row begin, a few words at a time: tokenizers like it short."""
    batches = [
        starts[first] + spans(" ".join(words[first : first + _WORDS_AT_ONCE]))[:, 0]
        for first in range(0, len(words), _WORDS_AT_ONCE)
    ]
    return np.concatenate(batches) if batches else np.zeros(0, np.int64)


def _exact(
    text: str, start: int, end: int, syntax: str | None, limit: int, spans: TokenSpans
) -> Iterator[_Piece]:
    """A piece, cut further where it has too many tokens when counted alone."""
    piece = text[start:end]
    if end - start == 1 or (piece.isascii() and len(piece) < limit) or len(spans(piece)) <= limit:
        yield start, end
        return

    # Two of like length say more than a full one and a crumb.
    def size(part: str) -> int:
        return len(spans(part))

    pieces = _cut(piece, syntax, size, max(1, 5 * limit // 8))
    if pieces == [(0, len(piece))]:  # the splitter knows no better
        half = len(piece) // 2
        pieces = [*_stripped(piece, 0, half), *_stripped(piece, half, len(piece))]
    for a, b in pieces:
        yield from _exact(text, start + a, start + b, syntax, limit, spans)


def _stripped(text: str, start: int, end: int) -> Iterator[_Piece]:
    inner = text[start:end].strip()
    if inner:
        start = text.index(inner[0], start)
        yield start, start + len(inner)

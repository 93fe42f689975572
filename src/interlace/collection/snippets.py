"""The part of a passage that answers a query, and the words in it that do."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from interlace.errors import InputError
from interlace.types import Explanation

Span = tuple[int, int]

#: An answer that stands out so much of the best one's height is as good, above the mean or not.
_AS_GOOD: Final = 0.75

#: Part of the room around the answers that goes before them, where no sentence begins near.
_LEAD: Final = 1 / 3

_JOINER: Final = "\u200d"
_APOSTROPHES: Final = "'\u2019\u02bc"

#: Scripts that put no space between words: every character may stand at a border.
_UNSPACED: Final = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u312f\u31a0-\u9fff\ua000-\ua4cf\uf900-\ufaff"
    "\uff66-\uff9f\U00020000-\U0003ffff]"
)
#: What ends a sentence or a paragraph, with the blanks behind it.
_SENTENCE: Final = re.compile(r"[.!?…][\"'”’)\]]*\s+|[。！？]\s*|\n[^\S\n]*\n\s*")


@dataclass(frozen=True, slots=True)
class Snippet:
    """A piece of a passage, cut at word borders.

    Attributes
    ----------
    text : str
        Of the passage, as it stands there.
    start, end : int
        Where it lies in the *document's* text, in characters.
    marks : tuple of (start, end)
        The words that answer the query, as offsets into ``text``: ascending, none overlapping.
    """

    text: str
    start: int
    end: int
    marks: tuple[Span, ...] = ()


class _Answer(NamedTuple):
    """A word of the passage, and how much it stands out as an answer."""

    start: int
    end: int
    weight: float


def snippet(explanation: Explanation, width: int = 240) -> Snippet:
    """Cut the piece out of a passage that holds most of what answers the query.

    An answer is marked when its similarity stands out from what its query word is to the rest of
    the passage at least as the mean of all answers does, or nearly as the best one does. So
    function words, which resemble much, are left alone, whatever the model.

    Parameters
    ----------
    explanation
        Of a hit. Without texts in its matches, the snippet is the passage's beginning.
    width
        The most characters it may have.

    Raises
    ------
    InputError
        For a width below 1.
    """
    if isinstance(width, bool) or not isinstance(width, int) or width < 1:
        raise InputError(f"width is {width!r}. It is a number of characters, from 1.")
    text = explanation.text
    answers = _answers(explanation)
    start, end = _window(text, *_core(answers, width), width)
    marks = tuple(
        (max(one.start, start) - start, min(one.end, end) - start)
        for one in answers
        if one.start < end and one.end > start
    )
    offset = explanation.passage_start
    return Snippet(text[start:end], offset + start, offset + end, marks)


# --- which words answer ---------------------------------------------------------------------------
def _answers(explanation: Explanation) -> list[_Answer]:
    """The words of the passage to mark, in their order."""
    best = _best(explanation)
    if not best:
        return []
    heights = [height for _, height in best]
    bar = min(sum(heights) / len(heights), _AS_GOOD * max(heights))
    answers: list[_Answer] = []
    for (start, end), height in sorted(best):
        if height < bar or height <= 0:
            continue
        if answers and start < answers[-1].end:  # the same word, or a token over several
            last = answers.pop()
            start, end, height = last.start, max(last.end, end), last.weight + height
        answers.append(_Answer(start, end, height))
    return answers


def _best(explanation: Explanation) -> list[tuple[Span, float]]:
    """For each word of the query, the word of the passage that answers most of its tokens.

    Its height is what the similarities stand out, averaged over all tokens of the query's word:
    tokens that find their answers in different words have found letters, no word. A word that was
    looked for as it is written is answered by all its places.
    """
    offset = explanation.passage_start
    found: dict[Span, dict[Span, float]] = defaultdict(lambda: defaultdict(float))
    tokens: dict[Span, set[Span]] = defaultdict(set)
    for match in explanation.matches:
        asked = _word(explanation.query, match.query_start, match.query_end)
        answer = _word(explanation.text, match.start - offset, match.end - offset)
        if asked is not None and match.text:
            tokens[asked].add((match.query_start, match.query_end))
            if answer is not None:
                found[asked][answer] += match.similarity - match.typical
    best = []
    for asked, answers in found.items():
        highest = max(answers.values(), default=0.0)
        best += [
            (word, height / len(tokens[asked]))
            for word, height in answers.items()
            if height == highest
        ]
    return best


def _word(text: str, start: int, end: int) -> Span | None:
    """A token's span, grown to the whole word; None where it has no letter and no digit."""
    piece = text[start:end]
    if not any(c.isalnum() for c in piece):
        return None
    start, end = end - len(piece.lstrip()), start + len(piece.rstrip())
    while not _is_border(text, start):
        start -= 1
    while not _is_border(text, end):
        end += 1
    return start, end


# --- which piece of the passage -------------------------------------------------------------------
def _core(answers: Sequence[_Answer], width: int) -> Span:
    """The tightest stretch of at most ``width`` that holds most weight; empty without answers."""
    best, core, first, weight = (0.0, 0), (0, 0), 0, 0.0
    for last, answer in enumerate(answers):
        weight += answer.weight
        while first < last and answer.end - answers[first].start > width:
            weight -= answers[first].weight
            first += 1
        start, end = answers[first].start, answer.end
        rated = (round(weight, 6), start - end)
        if rated > best:
            best, core = rated, (start, end)
    return core


def _window(text: str, first: int, last: int, width: int) -> Span:
    """The stretch around the core, without blanks at its ends."""
    begin, finish = len(text) - len(text.lstrip()), len(text.rstrip())
    if finish - begin <= width:
        return min(begin, finish), finish
    first, last = max(first, begin), max(min(last, first + width), begin)
    start = _start(text, first, last, width, begin, finish)
    end = _end(text, start, last, min(start + width, finish))
    while text[end - 1].isspace():
        end -= 1
    return start, end


def _start(text: str, first: int, last: int, width: int, begin: int, finish: int) -> int:
    """Where the core's sentence begins if that is near, else at a word, with a lead."""
    earliest = max(last - width, begin)
    sentences = [begin, *(found.end() for found in _SENTENCE.finditer(text, begin, first))]
    for start in reversed(sentences):
        if start >= earliest and (finish - start) * 2 >= width:
            return start
    lead = int((width - (last - first)) * _LEAD)
    start = max(earliest, min(first - lead, finish - width))
    while start < first and (text[start].isspace() or not _is_border(text, start)):
        start += 1
    return start


def _end(text: str, start: int, last: int, furthest: int) -> int:
    """The last border that the room allows; inside a word only where one is longer than all."""
    for is_end in (_is_border, lambda text, i: not _is_glued(text, i)):
        for end in range(furthest, max(last - 1, start), -1):
            if is_end(text, end):
                return end
    return furthest


# --- borders of words -----------------------------------------------------------------------------
def _is_border(text: str, i: int) -> bool:
    """Whether no word goes on from the character before position ``i`` to the one at it."""
    if i <= 0 or i >= len(text):
        return True
    if _is_glued(text, i):
        return False
    before, after = text[i - 1], text[i]
    if _UNSPACED.match(before) or _UNSPACED.match(after):
        return True
    return not (_is_in_word(text, i - 1) and _is_in_word(text, i))


def _is_in_word(text: str, i: int) -> bool:
    c = text[i]
    if c in _APOSTROPHES:
        return 0 < i < len(text) - 1 and text[i - 1].isalnum() and text[i + 1].isalnum()
    return c.isalnum() or c == "_" or _is_mark(c) or "\U0001f1e6" <= c <= "\U0001f1ff"


def _is_glued(text: str, i: int) -> bool:
    """Whether the character at ``i`` is drawn as one with the one before it."""
    return 0 < i < len(text) and (_is_mark(text[i]) or text[i - 1] == _JOINER)


def _is_mark(c: str) -> bool:
    """Accents, vowel signs, selectors, joiners, skin tones."""
    return c > "\u007f" and (
        unicodedata.category(c)[0] == "M"
        or unicodedata.category(c) == "Cf"
        or "\U0001f3fb" <= c <= "\U0001f3ff"
    )

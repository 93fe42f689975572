"""The words of a text, as lexical search stores and compares them.

A pure function of the text, and frozen: what is stored was made by it, and a query must be made
alike. Case and accents do not count. English words are stemmed; the stems of other languages'
words are odd but the same in query and text. Scripts that put no space between words are read as
pairs of characters, and single ones for a query of one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator
from itertools import pairwise
from typing import Final

from interlace.text.stemming import stem

#: Longer ones, base64 mostly, are known by their beginning.
_LONGEST: Final = 64

#: Accents, and the points and vowel marks that Hebrew and Arabic are mostly written without.
_MARKS: Final = re.compile(
    "[\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a"
    "\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed\u200c-\u200f\u00ad\ufe00-\ufe0f]+"
)

#: Scripts without spaces: Thai, Lao, Myanmar, Khmer, Japanese, Chinese; and Korean, whose words
#: carry endings that no stemmer here takes off.
_UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fff\u3005-\u3007\u3021-\u3029\u3031-\u303c"
    "\u3040-\u30ff\u3100-\u312f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\ua4cf\uac00-\ud7af\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)

#: Letters and digits; a vowel sign of an Indian script is no letter to Python, but part of a word.
_INDIAN_SIGNS: Final = "\u0900-\u0963\u0966-\u096f\u0971-\u0df3"
_RUN: Final = re.compile(f"[{_UNSPACED}]+|(?:(?![{_UNSPACED}])(?:[^\\W_]|[{_INDIAN_SIGNS}]))+")
_ASCII_RUN: Final = re.compile(r"[a-z0-9]+")
_IS_UNSPACED: Final = re.compile(f"[{_UNSPACED}]")


def words(text: str) -> list[str]:
    """The words of a text in its order, each as often as it is there.

    >>> words("The Café's 2 menus")
    ['the', 'cafe', 's', '2', 'menu']
    """
    if text.isascii():
        return [stem(run[:_LONGEST]) for run in _ASCII_RUN.findall(text.lower())]
    return [word for run in _RUN.findall(_folded(text)) for word in _words_of(run)]


def asked_words(text: str) -> list[str]:
    """The words to look for; of scripts without spaces pairs alone, which say more than singles."""
    found: list[str] = []
    for run in _RUN.findall(_folded(text)):
        is_pairs = len(run) > 1 and _IS_UNSPACED.match(run)
        found += _pairs(run) if is_pairs else _words_of(run)
    return found


def places(text: str, wanted: Collection[str]) -> Iterator[tuple[int, int]]:
    """Where some of these words stand in a text, as (start, end), ascending.

    However it is written: an accent may be a character of its own there, or part of its letter.
    """
    starts = [i for i, c in enumerate(text) if not i or not _is_part(c)] + [len(text)]
    pieces = [_folded(text[start:end]) for start, end in pairwise(starts)]
    piece_of = [i for i, piece in enumerate(pieces) for _ in piece]

    def place(start: int, end: int) -> tuple[int, int]:
        return starts[piece_of[start]], starts[piece_of[end - 1] + 1]

    for found in _RUN.finditer("".join(pieces)):
        run, start = found.group(), found.start()
        if not _IS_UNSPACED.match(run):
            if any(word in wanted for word in _words_of(run)):
                yield place(*found.span())
            continue
        for i, c in enumerate(run):
            if run[i : i + 2] in wanted:
                yield place(start + i, start + min(i + 2, len(run)))
            elif c in wanted:
                yield place(start + i, start + i + 1)


def _words_of(run: str) -> Iterator[str]:
    if _IS_UNSPACED.match(run):
        yield from run
        yield from _pairs(run)
    else:
        yield stem(run[:_LONGEST])


def _pairs(run: str) -> list[str]:
    return [a + b for a, b in pairwise(run)]


def _is_part(c: str) -> bool:
    """Whether a character may become one with those before it: accents, vowels of Korean."""
    first = unicodedata.normalize("NFKD", c)[0]
    return unicodedata.category(first)[0] == "M" or "\u1160" <= first <= "\u11ff"


def _folded(text: str) -> str:
    """Without case, width, ligatures and accents."""
    bare = _MARKS.sub("", unicodedata.normalize("NFKD", text.casefold()))
    return unicodedata.normalize("NFC", bare).casefold()

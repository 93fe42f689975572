"""Porter's stemmer for English: connected, connecting and connection become connect.

M. F. Porter, An algorithm for suffix stripping, Program 14(3), 1980, with the two changes of his
own later program (``bli`` and ``logi``). Written out here because stems are stored: a newer
version of somebody's library must not change what a collection finds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

#: A y that begins the word or follows a vowel is a consonant: it is written Y meanwhile.
_C, _V = "[^aeiouy]+", "[aeiouy]+"

_HAS_VOWEL: Final = re.compile(_V)
_MEASURE_1: Final = re.compile(f"^({_C})?{_V}{_C}")
_MEASURE_ONLY_1: Final = re.compile(f"^({_C})?{_V}{_C}({_V})?$")
_MEASURE_2: Final = re.compile(f"^({_C})?{_V}{_C}{_V}{_C}")
_DOUBLE: Final = re.compile(r"([^aeiouylsz])\1$")
_SHORT: Final = re.compile(f"^{_C}[aeiouy][^aeiouwxyY]$")

_STEP_2: Final = {
    "ational": "ate", "tional": "tion", "enci": "ence", "anci": "ance", "izer": "ize",
    "bli": "ble", "alli": "al", "entli": "ent", "eli": "e", "ousli": "ous", "ization": "ize",
    "ation": "ate", "ator": "ate", "alism": "al", "iveness": "ive", "fulness": "ful",
    "ousness": "ous", "aliti": "al", "iviti": "ive", "biliti": "ble", "logi": "log",
}  # fmt: skip
_STEP_3: Final = {
    "icate": "ic", "ative": "", "alize": "al", "iciti": "ic", "ical": "ic", "ful": "", "ness": "",
}  # fmt: skip
_STEP_4: Final = dict.fromkeys((
    "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou",
    "ism", "ate", "iti", "ous", "ive", "ize",
), "")  # fmt: skip


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """The stem of a word in lower-case ASCII letters; others come back as they are."""
    if len(word) <= 2 or not (word.isascii() and word.isalpha()):
        return word
    word = re.sub(r"^y|(?<=[aeiou])y", "Y", word)
    for step in (_plural, _past, _y_to_i, _step_2, _step_3, _step_4, _final_e, _final_l):
        word = step(word)
    return word.replace("Y", "y")


def _plural(word: str) -> str:
    if word.endswith(("sses", "ies")):
        return word[:-2]
    if word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    return word


def _past(word: str) -> str:
    if word.endswith("eed"):
        return word[:-1] if _MEASURE_1.match(word[:-3]) else word
    for suffix in ("ed", "ing"):
        if word.endswith(suffix):
            rest = word[: -len(suffix)]
            return _mended(rest) if _HAS_VOWEL.search(rest) else word
    return word


def _mended(rest: str) -> str:
    """What a word was before -ed or -ing: hop(p), fil(e), conflat(e)."""
    if rest.endswith(("at", "bl", "iz")):
        return rest + "e"
    if _DOUBLE.search(rest):
        return rest[:-1]
    if _MEASURE_ONLY_1.match(rest) and _SHORT.match(rest):
        return rest + "e"
    return rest


def _y_to_i(word: str) -> str:
    if word[-1:] in ("y", "Y") and _HAS_VOWEL.search(word[:-1]):
        return word[:-1] + "i"
    return word


def _step_2(word: str) -> str:
    return _replaced(word, _STEP_2, _MEASURE_1)


def _step_3(word: str) -> str:
    return _replaced(word, _STEP_3, _MEASURE_1)


def _step_4(word: str) -> str:
    return _replaced(word, _STEP_4, _MEASURE_2)


def _replaced(word: str, endings: Mapping[str, str], long_enough: re.Pattern[str]) -> str:
    """Replace the longest ending, if what is before it is long enough."""
    for n in range(min(7, len(word)), 1, -1):
        ending = word[-n:]
        if ending in endings:
            rest = word[:-n]
            is_other_ion = ending == "ion" and not rest.endswith(("s", "t"))
            if long_enough.match(rest) and not is_other_ion:
                return rest + endings[ending]
            return word
    return word


def _final_e(word: str) -> str:
    if not word.endswith("e"):
        return word
    rest = word[:-1]
    if _MEASURE_2.match(rest):
        return rest
    if _MEASURE_1.match(rest):
        is_short = _MEASURE_ONLY_1.match(rest) and _SHORT.match(rest)
        return word if is_short else rest
    return word


def _final_l(word: str) -> str:
    return word[:-1] if word.endswith("ll") and _MEASURE_2.match(word[:-1]) else word

"""Passages fit the model, are slices of their document, and lose no word."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlace.errors import SettingsError
from interlace.text import Splitting, split
from interlace.types import Document


def words(text: str) -> np.ndarray:
    """Spans of a toy tokenizer: three letters of a word a token, each sign one of its own."""
    found = [m.span() for m in re.finditer(r"\w{1,3}|[^\w\s]", text)]
    return np.array(found, np.int32).reshape(-1, 2)


def pieces(text: str, limit: int | None) -> list[str]:
    document = Document(text, "d")
    passages = split(document, Splitting(tokens_max=limit), words)
    assert [p.number for p in passages] == list(range(len(passages)))
    assert all(p.text == text[p.start : p.end] and p.document_id == "d" for p in passages)
    return [p.text for p in passages]


def test_a_text_that_fits_is_one_passage_whole():
    assert pieces("  one two  ", 100) == ["  one two  "]
    assert pieces("  one two  ", 2) == ["  one two  "]
    assert pieces("", 1) == [""]
    assert pieces(" \n ", 1) == [" \n "]
    assert pieces("a b c d e f g", None) == ["a b c d e f g"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("aa bb. cc dd\n\nee ff. gg hh", ["aa bb. cc dd", "ee ff. gg hh"]),
        ("aa bb. cc\ndd ee. ff gg hh", ["aa bb. cc", "dd ee. ff gg hh"]),
        ("Aa bb cc. Dd ee ff gg", ["Aa bb cc.", "Dd ee ff gg"]),
        ("aa bb cc dd ee ff gg hh", ["aa bb cc dd ee ff", "gg hh"]),
        ("abcabcabcabcabcabcabcabc", ["abc" * 6, "abc" * 2]),
        ("山水。火土木金。日月星空", ["山水。火土木金。", "日月星空"]),
    ],
)
def test_the_strongest_border_of_the_second_half_wins(text, expected):
    def spans(text):
        if text.isascii():
            return words(text)
        return np.array([(i, i + 1) for i in range(len(text))], np.int32).reshape(-1, 2)

    limit = 6 if text.isascii() else 9
    found = split(Document(text, "d"), Splitting(tokens_max=limit), spans)
    assert [p.text for p in found] == expected


@given(st.text(alphabet="abc .\n!é世", max_size=200), st.integers(1, 12))
def test_no_passage_is_too_long_and_no_token_is_lost(text, limit):
    found = pieces(text, limit)
    assert all(len(words(piece)) <= limit for piece in found)
    assert re.sub(r"\s", "", "".join(found)) == re.sub(r"\s", "", text)


def test_a_tokenizer_that_counts_more_for_a_piece_alone_is_obeyed():
    def spans(text):
        # One more token at the start, as a SentencePiece model may have.
        return np.concatenate([np.zeros((1, 2), np.int32), words(text)])

    found = split(Document("aa bb cc dd ee ff gg", "d"), Splitting(tokens_max=4), spans)
    assert all(len(spans(p.text)) <= 4 for p in found)


def test_blanks_that_are_tokens_make_no_passage_of_their_own():
    def spans(text):
        return np.array([(i, i + 1) for i in range(len(text))], np.int32).reshape(-1, 2)

    found = split(Document("aa" + " " * 20 + "bb", "d"), Splitting(tokens_max=4), spans)
    assert [(p.start, p.end) for p in found] == [(0, 2), (22, 24)]
    (blank,) = split(Document(" " * 20, "d"), Splitting(tokens_max=4), spans)
    assert (blank.start, blank.end) == (0, 20)


def test_a_character_that_is_many_tokens_is_counted():
    def spans(text):
        # As after NFKC, which makes eighteen letters of this one.
        found = [(i, i + 1) for i, c in enumerate(text) for _ in range(18) if c == "\ufdfa"]
        return np.array(found, np.int32).reshape(-1, 2)

    found = split(Document("\ufdfa \ufdfa", "d"), Splitting(tokens_max=18), spans)
    assert [p.text for p in found] == ["\ufdfa", "\ufdfa"]
    found = split(Document("\ufdfa \ufdfa", "d"), Splitting(tokens_max=10), spans)
    assert [p.text for p in found] == ["\ufdfa", "\ufdfa"]


def test_borders_are_found_in_linear_time():
    text = ("a" + " " * 50_000) * 4 + "." * 50_000 + "\n" * 50_000 + '"' * 50_000
    assert len(pieces(text, 1_000)) > 1


def test_settings_are_checked():
    with pytest.raises(SettingsError, match="tokens_max is 0"):
        Splitting(tokens_max=0)

"""Words as lexical search compares them: the same function for texts and queries."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlace.text import asked_words, places, words
from interlace.text.stemming import stem


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The menus, connected!", "the menu connect"),
        ("Café CAFÉ cafe", "cafe cafe cafe"),
        ("naïve co-operation_2 3.14", "naiv co oper 2 3 14"),
        ("Straße ﬁsh ＡＢＣ", "strass fish abc"),
        ("Ёлка ёлку", "елка елку"),
        ("مُحَمَّد محمد", "محمد محمد"),
        ("हिन्दी में", "हिन्दी में"),
        ("", ""),
        (" … --- \t\n\0", ""),
        ('x" OR NEAR(a, b)', "x or near a b"),
    ],
)
def test_words(text, expected):
    assert words(text) == expected.split()
    assert asked_words(text) == expected.split()


def test_scripts_without_spaces_are_read_in_pairs():
    assert words("東京都") == ["東", "京", "都", "東京", "京都"]
    assert asked_words("東京都") == ["東京", "京都"]
    assert asked_words("都") == ["都"]
    assert words("iPhone手机") == ["iphon", "手", "机", "手机"]
    assert words("ガギ") == words("ｶﾞｷﾞ")
    assert asked_words("한국어") == ["한국", "국어"]


def test_endless_words_are_cut():
    assert words("a" * 1_000 + " b") == ["a" * 64, "b"]
    assert words("é" * 1_000) == ["e" * 64]


@given(st.text())
def test_what_is_in_a_text_is_found_in_it(text):
    assert set(asked_words(text)) <= set(words(text))


@given(st.text())
def test_writing_it_otherwise_changes_nothing(text):
    assert words(unicodedata.normalize("NFD", text)) == words(unicodedata.normalize("NFC", text))


@given(st.text(), st.sampled_from(["NFC", "NFD", "NFKD"]))
def test_words_have_their_places_however_they_are_written(text, form):
    text = unicodedata.normalize(form, text)
    for word in asked_words(text):
        for start, end in places(text, {word}):
            assert word in words(text[start:end])
        assert list(places(text, {word}))


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize(
    ("text", "query", "found"),
    [
        ("Herr Müller, im Café.", "muller CAFÉ", ["Müller", "Café"]),
        ("ガラスのコップ", "ガラス", ["ガラ", "ラス"]),
        ("한국어 문서를", "한국어", ["한국", "국어"]),
        ("Tiếng Việt", "việt", ["Việt"]),
        ("a ﬁne ½ café", "fine 2", ["ﬁne", "½"]),
    ],
)
def test_a_place_is_as_long_as_what_is_written(form, text, query, found):
    written = unicodedata.normalize(form, text)
    spans = places(written, set(asked_words(query)))
    assert [unicodedata.normalize("NFC", written[a:b]) for a, b in spans] == found


#: From Porter's paper, and from the vocabulary of his own program.
STEMS = """
    caresses:caress, ponies:poni, cats:cat, feed:feed, agreed:agre, plastered:plaster,
    motoring:motor, sing:sing, conflated:conflat, troubling:troubl, sized:size, hopping:hop,
    falling:fall, hissing:hiss, fizzed:fizz, failing:fail, filing:file, happy:happi, sky:sky,
    relational:relat, conditional:condit, digitizer:digit, operator:oper, feudalism:feudal,
    sensibiliti:sensibl, triplicate:triplic, electriciti:electr, hopefulness:hope,
    goodness:good, revival:reviv, allowance:allow, airliner:airlin, adjustment:adjust,
    adoption:adopt, homologous:homolog, bowdlerize:bowdler, probate:probat, rate:rate,
    cease:ceas, controll:control, roll:roll, technology:technolog, possibly:possibl,
    played:plai, is:is, yes:ye, toy:toi, say:sai, generalizations:gener, oscillators:oscil,
    naïve:naïve, b2b:b2b
"""


@pytest.mark.parametrize("pair", STEMS.split(","))
def test_stems(pair):
    word, expected = pair.strip().split(":")
    assert stem(word) == expected

"""Snippets: the piece of a passage that answers, its words marked; what they must hold to."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlace.collection import explain_words
from interlace.collection.snippets import Snippet, snippet
from interlace.errors import InputError
from interlace.types import Explanation, Match

NOTES = {
    "sky": "Rayleigh scattering makes the sky blue. The sky is not violet because the sun emits "
    "less violet, and the eye is less sensitive to it. At sunset the light passes through more "
    "air.",
    "plan": "To cancel your subscription, open the settings and choose Billing. The subscription "
    "ends at the end of the month.",
    "water": "Water boils at 100 degrees Celsius at sea level; the boiling point of water falls "
    "with height.",
    "bread": "Bread is baked in an oven. The dough must rise first, and the oven must be hot.",
}


def explained(query, text, pairs, *, passage_start=0):
    """An explanation whose query words are answered by words of the text, as strong as said."""
    matches = []
    for asked, answer, similarity, typical in pairs:
        start = query.index(asked)
        found = text.index(answer) if answer else 0
        matches.append(
            Match(
                query_text=asked,
                query_start=start,
                query_end=start + len(asked),
                text=answer,
                start=found + passage_start if answer else 0,
                end=found + passage_start + len(answer) if answer else 0,
                similarity=similarity,
                share=0.0,
                typical=typical,
            )
        )
    return Explanation(query, "id", 0, passage_start, text, 1.0, tuple(matches))


def marked(cut: Snippet) -> list[str]:
    return [cut.text[start:end] for start, end in cut.marks]


@pytest.mark.parametrize(
    ("query", "id_", "words"),
    [
        ("why is the sky blue", "sky", ["sky", "blue"]),
        ("Rayleigh scattering", "sky", ["Rayleigh", "scattering"]),
        ("how do I cancel my subscription", "plan", ["cancel", "subscription"]),
        ("what is the boiling point of water?", "water", ["Water", "boiling", "point"]),
        ("how is bread baked in an oven", "bread", ["Bread", "baked", "oven"]),
    ],
)
def test_the_words_that_say_something_are_marked(notes, query, id_, words):
    notes.add({"id": id_, "text": text} for id_, text in NOTES.items())
    (hit,) = notes.search(query, k=1)
    assert hit.id == id_
    assert marked(snippet(notes.explain(query, hit), 400)) == words


def test_pieces_are_merged_to_words():
    text = "The unbelievable truth."
    pairs = [("unbel", "unbel", 0.9, 0.2), ("ievable", "ievable", 0.9, 0.2)]
    assert marked(snippet(explained("unbelievable", text, pairs))) == ["unbelievable"]


def test_pieces_that_scatter_are_letters_and_no_word():
    text = "A cat, a towel, a stone. Berlin is far."
    pairs = [
        ("k", "c", 0.8, 0.1), ("ost", "sto", 0.8, 0.1), ("et", "el", 0.8, 0.1),
        ("Berlin", "Berlin", 0.9, 0.1),
    ]  # fmt: skip
    assert marked(snippet(explained("kostet Berlin", text, pairs))) == ["Berlin"]


def test_punctuation_is_not_marked_however_well_it_matches():
    pairs = [("?", "?", 1.0, 0.0), ("moon", "moon", 0.8, 0.3)]
    assert marked(snippet(explained("moon?", "Is the moon full? Yes.", pairs))) == ["moon"]


def test_a_model_that_finds_everything_alike_is_judged_by_what_stands_out():
    pairs = [("the", "the", 0.97, 0.95), ("moon", "moon", 0.99, 0.90), ("of", "of", 0.96, 0.95)]
    cut = snippet(explained("the moon of", "the moon of cheese", pairs))
    assert marked(cut) == ["moon"]


def test_offsets_are_into_the_document():
    document = "x" * 100 + " A far sentence stands here. The moon is made of cheese, he said."
    start = 101
    pairs = [("moon", "moon", 0.9, 0.2)]
    cut = snippet(explained("moon", document[start:], pairs, passage_start=start), 40)
    assert document[cut.start : cut.end] == cut.text
    assert cut.text.startswith("The moon is made of cheese")


def test_the_window_holds_most_of_what_answers():
    far = " ".join(["filler"] * 60)
    text = f"One moon. {far} red apples and green pears {far}"
    pairs = [
        ("moon", "moon", 0.9, 0.2), ("apples", "apples", 0.8, 0.2), ("pears", "pears", 0.8, 0.2),
    ]  # fmt: skip
    cut = snippet(explained("moon apples pears", text, pairs), 60)
    assert marked(cut) == ["apples", "pears"]
    assert len(cut.text) <= 60


def test_without_offsets_it_is_the_beginning():
    text = "Some words that nobody explains. And more of them."
    cut = snippet(explained("x", text, [("x", "", 0.9, 0.1)]), 20)
    assert (cut.text, cut.marks) == ("Some words that", ())


@pytest.mark.parametrize("width", [0, -1, 2.5, True, None])
def test_a_width_that_is_none_is_refused(width):
    with pytest.raises(InputError, match="width is"):
        snippet(explained("x", "x", []), width)


def test_a_word_that_is_longer_than_the_room_is_cut():
    pairs = [("a", "a" * 50, 0.9, 0.1)]
    cut = snippet(explained("a", "z " + "a" * 50 + " z", pairs), 10)
    assert (cut.text, cut.marks) == ("a" * 10, ((0, 10),))


WORDS = st.sampled_from(
    ["moon", "don't", "e\u0301te\u0301", "天空", "नमस्ते", "สวัสดี", "👩\u200d👩\u200d👧", "🇩🇪", "x_y",
     "…", "(", ".", "\n\n", "a" * 30, "7.5", "한국어", "ｶﾞ", "שָׁלוֹם", "👍🏽"]
)  # fmt: skip


@st.composite
def explanations(draw):
    text = draw(st.sampled_from([" ", "", "\n", "  "])).join(draw(st.lists(WORDS, max_size=40)))
    query = "some words to ask"
    spans = st.tuples(st.integers(0, len(text)), st.integers(0, 12)).map(
        lambda s: (s[0], min(s[0] + s[1], len(text)))
    )
    passage_start = draw(st.integers(0, 50))
    matches = []
    for start, end in draw(st.lists(spans, max_size=8)):
        at = draw(st.sampled_from([(0, 4), (5, 10), (11, 13), (14, 17), (0, 0)]))
        is_text = end > start
        matches.append(
            Match(
                query[at[0] : at[1]], *at, text[start:end],
                start + passage_start if is_text else 0, end + passage_start if is_text else 0,
                draw(st.floats(-1, 1)), 0.0, draw(st.floats(-1, 1)),
            )
        )  # fmt: skip
    return Explanation(query, "id", 3, passage_start, text, 1.0, tuple(matches))


@given(explanations(), st.integers(1, 120))
def test_a_snippet_is_a_piece_of_the_passage_with_marks_in_it(explanation, width):
    cut = snippet(explanation, width)
    start, end = cut.start - explanation.passage_start, cut.end - explanation.passage_start
    assert 0 <= start <= end <= len(explanation.text)
    assert explanation.text[start:end] == cut.text == cut.text.strip()
    assert len(cut.text) <= width
    assert bool(cut.text) == bool(explanation.text.strip())
    before = 0
    for first, last in cut.marks:
        assert before <= first < last <= len(cut.text)
        assert any(c.isalnum() for c in cut.text[first:last]) or width < 40
        before = last


@given(explanations(), st.integers(40, 120))
def test_no_character_is_torn_from_its_marks(explanation, width):
    """With room for the longest word, neither a snippet nor a mark begins inside one."""
    cut = snippet(explanation, width)
    text = explanation.text
    edges = [cut.start - explanation.passage_start, cut.end - explanation.passage_start]
    edges += [edges[0] + i for mark in cut.marks for i in mark]
    for edge in edges:
        if 0 < edge < len(text):
            assert not unicodedata.category(text[edge]).startswith("M")
            assert "\u200d" not in text[edge - 1 : edge + 1]


def test_the_rows_of_a_matrix_are_found_without_the_model(encoder):
    texts = ["The quick brown fox, 100% sure!", "天空", "", "x " * 2_000, "naïve café"]
    for text, encoded in zip(texts, encoder.documents(texts), strict=True):
        offsets = encoder.offsets(text)
        assert offsets.dtype == np.int32
        assert np.array_equal(offsets, encoded.offsets)


def test_explaining_runs_the_model_once_and_never_on_the_passage(notes, monkeypatch):
    from interlace.models import Encoder

    notes.add(NOTES.values())
    asked = []
    real = Encoder.queries

    def queries(self, texts):
        asked.extend(texts := list(texts))
        return real(self, texts)

    monkeypatch.setattr(notes._model._speaker(), "queries", lambda texts: queries(encoder_, texts))
    monkeypatch.setattr(notes._model._speaker(), "documents", None)
    encoder_ = notes._model._speaker().encoder
    hits = notes.search("why is the sky blue")
    for hit in hits:
        notes.explain("what makes the sky blue", hit)
    assert asked == ["why is the sky blue", "what makes the sky blue"]


@pytest.mark.parametrize("mode", ["late", "lexical"])
@pytest.mark.parametrize("query_form", ["NFC", "NFD"])
@pytest.mark.parametrize("text_form", ["NFC", "NFD"])
def test_words_are_marked_whether_accents_are_characters_or_not(notes, mode, text_form, query_form):
    text = "Herr Müller trinkt Kaffee im Café."
    notes.add([{"id": "a", "text": unicodedata.normalize(text_form, text)}])
    query = unicodedata.normalize(query_form, "Müller Café")
    (hit,) = notes.search(query, mode=mode)
    why = explain_words(query, hit) if mode == "lexical" else notes.explain(query, hit)
    found = [unicodedata.normalize("NFC", word) for word in marked(snippet(why))]
    assert found == ["Müller", "Café"]

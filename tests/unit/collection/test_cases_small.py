"""Small and degenerate collections: faults that users met elsewhere (cases.md, kind "small")."""

from __future__ import annotations

import math

import pytest

import interlace

SKY = "Rayleigh scattering makes the sky blue."
BREAD = "Sourdough bread rises slowly."
CHESS = "A knight moves in the shape of an L."


@pytest.mark.parametrize("settled", [False, True])
def test_c01_one_document_of_three_words(notes, settled):
    """Warnings are errors here, so clustering three tokens is silent too."""
    notes.add(["three small words"])
    if settled:
        assert notes.settle().n_tokens == 3
    hits = notes.search("words", k=1)
    assert [hit.text for hit in hits] == ["three small words"]
    assert hits.proven


@pytest.mark.parametrize("settled", [False, True])
def test_c02_more_threads_than_documents(new_collection, settled):
    notes = new_collection(n_threads=4)
    notes.add([SKY, BREAD])
    if settled:
        notes.settle()
    assert notes.search("why is the sky blue")[0].text == SKY
    assert notes.search("baking")[0].text == BREAD


def test_c04_three_documents_k_ten(notes):
    notes.add([{"id": i, "text": text} for i, text in enumerate([SKY, BREAD, CHESS])])
    single = notes.search("blue", k=10)
    pair = notes.search_many(["blue", "chess"], k=10)
    for hits in (single, *pair):
        assert sorted(hit.id for hit in hits) == [0, 1, 2]
        assert [hit.rank for hit in hits] == [1, 2, 3]
        assert all(math.isfinite(hit.score) for hit in hits)
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True)


def test_c04_three_documents_k_ten_settled(notes):
    notes.add([{"id": i, "text": text} for i, text in enumerate([SKY, BREAD, CHESS])])
    notes.settle()
    for effort in ("fast", "balanced", "exhaustive"):
        for hits in (notes.search("blue", k=10, effort=effort), *notes.search_many(["a", "b"])):
            assert sorted(hit.id for hit in hits) == [0, 1, 2]
            assert all(-1.3 < hit.mean_score < 1.3 for hit in hits)


def test_c08_two_settled_then_none(notes, reopen):
    notes.add([{"id": "a", "text": SKY}, {"id": "b", "text": BREAD}])
    notes.settle()
    assert notes.delete(["a", "b"]) == 2
    assert list(notes.search("sky", effort="fast")) == []
    again = reopen(notes)
    again.compact()
    assert list(again.search("sky", effort="fast")) == []
    again.add([CHESS])
    again.settle()
    assert [hit.text for hit in again.search("knight")] == [CHESS]


def test_c08_empty_then_two_then_none(notes, reopen):
    assert list(notes.search("anything")) == []
    assert [list(hits) for hits in notes.search_many(["anything", "else"])] == [[], []]
    notes.add([{"id": "a", "text": SKY}, {"id": "b", "text": BREAD}])
    assert notes.delete(["a", "b"]) == 2
    assert list(notes.search("sky")) == []
    assert len(notes) == 0
    again = reopen(notes)
    assert list(again.search("sky")) == []
    again.add([CHESS])
    assert [hit.text for hit in again.search("knight")] == [CHESS]


def test_an_empty_query_finds_nothing_and_says_so(notes):
    notes.add([SKY])
    for query in ("", "  \n"):
        hits = notes.search(query)
        assert not hits
        assert "empty" in hits.notes[0]


def test_a_query_of_one_token(notes):
    notes.add([SKY, BREAD])
    assert notes.search("bread", k=1)[0].text == BREAD


def test_a_long_query_is_cut_with_a_note(notes, encoder):
    notes.add([SKY, BREAD])
    query = "sky blue " * encoder.query_length
    hits = notes.search(query)
    assert hits[0].text == SKY
    assert "cut" in hits.notes[0]
    assert not notes.search("sky").notes


def test_k_is_a_whole_number_from_one(notes):
    for k in (0, -1, True, 1.5, "3", None):
        with pytest.raises(interlace.errors.InputError, match="k is"):
            notes.search("x", k=k)


def test_an_unknown_effort_or_by_is_refused(notes):
    notes.add([SKY])
    with pytest.raises(interlace.errors.SettingsError, match="balanced"):
        notes.search("x", effort="balancd")
    with pytest.raises(interlace.errors.SettingsError, match="passage"):
        notes.search("x", by="page")

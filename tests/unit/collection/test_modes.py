"""search(mode=…): by tokens, by words, by both; what each promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import interlace
from interlace.collection import explain_words, snippet
from interlace.collection.fusion import (
    DEPTH,
    LATE,
    Span,
    fused,
    scaled,
    span_of_late,
    span_of_words,
)
from interlace.errors import InputError, SettingsError
from interlace.text import asked_words

TEXTS = {
    "tides": "The moon pulls the sea: tides rise and fall twice a day.",
    "salt": "Rivers carry salt into the sea, and the sun leaves it there.",
    "code": "Error E4711 means that the pump of the boiler is blocked.",
    "tea": "茶は湯で淹れる。緑茶は七十度。",
    "cafe": "Cafés in Zürich serve coffee with cream.",
    "moon": "The moon has no light of its own.",
}


def records(texts=TEXTS):
    return [{"id": id_, "text": text} for id_, text in texts.items()]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory, encoder):
    """Fresh, settled and deleted passages, long documents among them."""
    made = interlace.create(tmp_path_factory.mktemp("modes") / "x.lace", encoder)
    with made:
        made.add(records())
        made.add(
            {"id": i, "text": f"Note {i} on {'tides' if i % 3 else 'boilers'}, number {i % 17}."}
            for i in range(300)
        )
        made.add([{"id": "long", "text": "The sea and the moon. " * 200 + "Boilers of note."}])
        made.settle()
        made.add([{"id": "late", "text": "A fresh note on boilers and the moon, number 5."}])
        made.delete(range(0, 300, 7))
        yield made


QUERIES = ("why do tides rise", "E4711", "note on boilers number 5", "緑茶", "moon", "nowhere said")


def ids(hits):
    return [hit.id for hit in hits]


# --- lexical -------------------------------------------------------------------------------------
@pytest.mark.parametrize("mode", ["lexical", "hybrid"])
def test_a_search_that_leaves_words_out_is_not_proven(notes, monkeypatch, mode):
    notes.add(records())
    monkeypatch.setattr("interlace.store.lexical.POSTINGS_MAX", 1)
    assert notes.search("緑茶 unheard", mode=mode, effort="exhaustive").proven
    assert not notes.search("the moon's tides", mode=mode, effort="exhaustive").proven


def test_only_what_shares_a_word_is_a_hit(notes):
    notes.add(records())
    assert ids(notes.search("the moon's tides", mode="lexical")) == [
        "tides",
        "moon",
        "code",
        "salt",
    ]
    assert ids(notes.search("e4711", mode="lexical")) == ["code"]
    assert ids(notes.search("緑茶", mode="lexical")) == ["tea"]
    assert ids(notes.search("CAFE zurich", mode="lexical")) == ["cafe"]
    assert ids(notes.search("rising tide", mode="lexical")) == ["tides"]
    for nothing in ("", " ", "… !?", "nonexistence", '" OR *', "NEAR("):
        hits = notes.search(nothing, mode="lexical")
        assert ids(hits) == []
        assert hits.proven
    assert notes.search("…", mode="lexical").notes == (
        "The query has no word, so nothing was searched.",
    )


def test_syntax_of_query_languages_is_only_text(notes):
    notes.add(records())
    plain = notes.search("moon sea", mode="lexical")
    for query in ('"moon" sea*', "moon ^(sea)", "moon; -- sea", "{moon}:sea", "'moon'), (sea"):
        assert notes.search(query, mode="lexical").hits == plain.hits
    assert ids(notes.search("moon; DROP TABLE words; -- sea", mode="lexical"))[0] == "tides"
    assert ids(notes.search("moon NOT sea", mode="lexical"))[0] == "tides"


def test_no_model_is_needed(new_collection):
    notes = new_collection(model=None, dim=8)
    notes.add(records(), embeddings=[np.eye(8, dtype=np.float32)[:2]] * len(TEXTS))
    (hit,) = notes.search("blocked pumps", mode="lexical")
    assert (hit.id, hit.late_score, hit.mean_score) == ("code", None, None)
    assert hit.score == hit.lexical_score > 0
    (many, none) = notes.search_many(["moon", "xyz"], mode="lexical")
    assert ids(many) == ["moon", "tides"]
    assert ids(none) == []
    marked = [match.text for match in explain_words("blocked pumps", hit).matches]
    assert marked == ["pump", "blocked"]


@pytest.mark.parametrize(
    ("text", "query", "marked"),
    [
        ("Pumps: the pump of the boiler.", "PUMPED boilers", ["Pumps", "pump", "boiler"]),
        ("緑茶は七十度で淹れる。", "緑茶", ["緑茶"]),
        ("Half is 1 of 2.", "½", ["1", "2"]),
        ("My resume is here.", "re\u0301sume\u0301", ["resume"]),
    ],
)
def test_the_words_of_a_lexical_hit_are_marked(new_collection, text, query, marked):
    notes = new_collection(model=None, dim=8)
    notes.add(["x " * 200 + text], embeddings=[np.eye(8, dtype=np.float32)[:2]])
    (hit,) = notes.search(query, mode="lexical")
    cut = snippet(explain_words(query, hit), 40)
    assert [cut.text[start:end] for start, end in cut.marks] == marked


def test_a_lexical_search_needs_a_text(new_collection):
    notes = new_collection(model=None, dim=8)
    with pytest.raises(InputError, match="needs a query text: only embeddings came"):
        notes.search(embeddings=np.ones((1, 8)), mode="lexical")
    for mode in ("fuzzy", "", 3):
        with pytest.raises(SettingsError, match="Choose one of"):
            notes.search("x", mode=mode)
        with pytest.raises(SettingsError, match="Choose one of"):
            notes.search_many([], mode=mode)
    for words in ({"effort": "much"}, {"by": "page"}):
        with pytest.raises(SettingsError, match="Choose "):
            notes.search("x", mode="lexical", **words)


# --- hybrid --------------------------------------------------------------------------------------
@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("by", ["document", "passage"])
@pytest.mark.parametrize("effort", ["fast", "balanced", "exhaustive"])
def test_both_parts_are_those_of_the_other_searches(mixed, query, by, effort):
    late = mixed.search(query, 1_000, mode="late", effort="exhaustive", by="passage")
    lexical = mixed.search(query, 1_000, mode="lexical", by="passage")
    of_late = {(hit.id, hit.passage): hit.late_score for hit in late}
    of_words = {(hit.id, hit.passage): hit.lexical_score for hit in lexical}
    hits = mixed.search(query, 20, mode="hybrid", by=by, effort=effort)
    assert len(hits) == 20
    for hit in hits:
        assert hit.late_score == of_late[hit.id, hit.passage]
        assert hit.lexical_score == of_words.get((hit.id, hit.passage), 0.0)
        assert 0 <= hit.score <= 1
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)
    assert all(hit.lexical_score is None for hit in late)
    assert all(hit.late_score is None for hit in lexical)


@pytest.mark.parametrize("query", QUERIES)
def test_a_proven_hybrid_search_equals_fusing_everything(mixed, query):
    late = mixed.search(query, 1_000, mode="late", effort="exhaustive", by="passage")
    lexical = mixed.search(query, 1_000, mode="lexical", by="passage")
    words = {(hit.id, hit.passage): hit.lexical_score for hit in lexical}
    places = [(hit.id, hit.passage) for hit in late]
    heads = [np.array([hit.score for hit in hits][:DEPTH], np.float32) for hits in (late, lexical)]
    most = mixed._store.snapshot().lexical(asked_words(query)).most
    spans = (span_of_late(heads[0]), span_of_words(heads[1], most))
    of_words = np.array([words.get(place, 0) for place in places], np.float32)
    scores = fused(np.array([hit.score for hit in late], np.float32), of_words, spans)
    order = np.argsort(-scores, kind="stable")
    hits = mixed.search(query, 150, mode="hybrid", by="passage", effort="exhaustive")
    assert hits.proven
    assert [(hit.id, hit.passage) for hit in hits] == [places[i] for i in order[:150]]
    assert [hit.score for hit in hits] == scores[order[:150]].tolist()
    firsts = list(dict.fromkeys(place[0] for place in (places[i] for i in order)))
    assert ids(mixed.search(query, 90, mode="hybrid", effort="exhaustive")) == firsts[:90]


def test_more_hits_begin_with_the_same(mixed):
    for query in QUERIES:
        most = ids(mixed.search(query, 250, effort="exhaustive"))
        for k in (1, 10, 100, 120):
            assert ids(mixed.search(query, k, effort="exhaustive")) == most[:k]


def test_k_means_k_also_where_few_documents_have_all_the_best_passages(mixed):
    hits = mixed.search("the sea and the moon", 200, mode="hybrid")
    assert len(set(ids(hits))) == 200
    assert len(mixed.search("the sea and the moon", 10_000, mode="hybrid")) == len(mixed)


@pytest.mark.parametrize("mode", ["late", "lexical", "hybrid"])
def test_only_allowed_documents_are_hits(mixed, mode):
    allowed = ["late", "long", "tides", "moon", 5, 8]
    for query in QUERIES:
        hits = mixed.search(query, 6, ids=allowed, mode=mode)
        assert set(ids(hits)) <= set(allowed)
        if mode != "lexical":
            assert len(hits) == 6
        (many,) = mixed.search_many([query], 6, ids=allowed, mode=mode)
        assert many == hits or ids(many) == ids(hits)
    inside = mixed.search("moon", 10, ids=allowed, mode="lexical")
    everywhere = {hit.id: hit.score for hit in mixed.search("moon", 400, mode="lexical")}
    assert {hit.id: hit.score for hit in inside}.items() <= everywhere.items()
    assert len(inside) == 4


def test_equal_scores_are_in_the_order_of_insertion(notes):
    notes.add([{"id": i, "text": "the same words"} for i in (9, 2, 5)])
    for mode in ("late", "lexical", "hybrid"):
        assert ids(notes.search("same words", mode=mode)) == [9, 2, 5]


def test_the_default_is_hybrid_where_there_is_a_text(mixed):
    for query in QUERIES:
        assert mixed.search(query).hits == mixed.search(query, mode="hybrid").hits


def test_without_a_text_a_search_is_late(new_collection):
    notes = new_collection(model=None, dim=8)
    rng = np.random.default_rng(0)
    matrices = [rng.normal(size=(3, 8)) for _ in TEXTS]
    notes.add(records(), embeddings=matrices)
    silent = notes.search(embeddings=matrices[2])
    assert (silent[0].id, silent.notes) == ("code", ())
    assert silent[0].lexical_score is None
    told = notes.search(embeddings=matrices[2], mode="hybrid")
    assert told.hits == silent.hits
    assert "searched by tokens alone" in told.notes[0]
    both = notes.search("moon", embeddings=matrices[2])
    assert both[0].id == "code"
    assert [hit.id for hit in both if hit.lexical_score] == [
        hit.id for hit in both if hit.id in ("tides", "moon")
    ]
    assert notes.search_many(["moon"], embeddings=[matrices[2]])[0].hits == both.hits
    with pytest.raises(interlace.errors.CollectionError, match="no model"):
        notes.search("moon")


def test_what_changes_is_seen_by_every_mode(notes, reopen):
    notes.add(records())
    notes.add([{"id": "code", "text": "All is well with the heating."}])
    notes.delete(["tea"])
    for again in (lambda one: one, reopen):
        notes = again(notes)
        assert ids(notes.search("E4711 pump", mode="lexical")) == []
        assert ids(notes.search("heating", mode="lexical")) == ["code"]
        assert notes.search("heating")[0].id == "code"
        assert ids(notes.search("緑茶", mode="lexical")) == []
        notes.settle()


def test_an_explanation_sums_to_the_late_score(mixed):
    for hit in mixed.search("why do tides rise", 5):
        explanation = mixed.explain("why do tides rise", hit)
        assert explanation.score == hit.late_score
        assert sum(match.similarity for match in explanation.matches) == pytest.approx(
            hit.late_score, abs=1e-4
        )


# --- the arithmetic ------------------------------------------------------------------------------
def test_scaling():
    scores = np.array([8, 7, 4, 2, 9], np.float32)
    assert scaled(scores, Span(4, 8)).tolist() == [1, 0.75, 0, 0, 1]
    assert scaled(scores, Span(8, 8)).tolist() == [1, 0, 0, 0, 1]
    head = np.linspace(9, 3, DEPTH, dtype=np.float32)
    assert span_of_late(head) == Span(3, 9)
    assert span_of_words(head, 20) == Span(3, 9)
    assert span_of_words(head[:7], 20) == Span(0, 9)
    assert span_of_words(head, 100) == Span(3, 30)


def test_without_a_match_words_say_nothing():
    late = np.array([5, 4, 3], np.float32)
    none = np.zeros(3, np.float32)
    scores = fused(late, none, (span_of_late(late), span_of_words(none[:0], 12)))
    assert scores == pytest.approx([LATE, LATE / 2, 0])
    scores = fused(late, none, (span_of_late(late), span_of_words(none[:0], 0)))
    assert scores == pytest.approx([LATE, LATE / 2, 0])


floats = st.floats(-100, 100, width=32)


@given(st.lists(st.tuples(floats, floats), min_size=1, max_size=30), st.floats(0, 1_000))
@example([(0.0, -1.0)], 2e-311)
def test_what_is_best_by_both_is_best(pairs, most):
    late, words = (np.array(column, np.float32) for column in zip(*pairs, strict=True))
    spans = (span_of_late(np.sort(late)[::-1]), span_of_words(np.sort(words)[::-1], most))
    scores = fused(late, words, spans)
    assert ((scores >= 0) & (scores <= 1)).all()
    better = (late[:, None] >= late) & (words[:, None] >= words)
    assert (scores[:, None] >= scores)[better].all()
    assert scores[late.argmax()] >= np.float32(LATE)

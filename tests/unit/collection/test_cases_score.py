"""Scores and result lists: faults that users met elsewhere (cases.md, kind "score")."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import interlace
from interlace.errors import InputError

COLOURS = [
    *("red", "orange", "yellow", "green", "blue"),
    *("violet", "brown", "black", "white", "grey"),
]
NOUNS = [
    *("house", "river", "engine", "letter", "planet"),
    *("violin", "garden", "window", "bridge", "market"),
]


@pytest.fixture(scope="module")
def many(tmp_path_factory, encoder):
    """2,000 short documents."""
    with interlace.create(tmp_path_factory.mktemp("many") / "many.lace", encoder) as collection:
        collection.add(
            {"id": i, "text": f"{COLOURS[i % 10]} {NOUNS[i // 10 % 10]} {i}"} for i in range(2_000)
        )
        yield collection


@pytest.fixture(scope="module")
def many_settled(tmp_path_factory, many, encoder):
    """The same, compressed, so that an effort below the highest skips some."""
    path = shutil.copytree(many.path, tmp_path_factory.mktemp("settled") / "many.lace")
    with interlace.open(path, encoder) as collection:
        collection.settle()
        assert collection.info()["n_fresh_tokens"] == 0
        yield collection


@pytest.mark.parametrize("effort", ["fast", "balanced", "exhaustive"])
def test_c05_two_thousand_documents_k_thousand(many, many_settled, effort):
    for collection in (many, many_settled):
        assert len(collection) == 2_000
        hits = collection.search("blue garden", k=1_000, effort=effort)
        assert len({hit.id for hit in hits}) == len(hits) == 1_000
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("effort", ["fast", "balanced"])
def test_c07_an_approximate_list_shares_nearly_all_with_the_exhaustive(many_settled, effort):
    for query in ("green violin", "the old red house", "orange planet 77"):
        exact = [hit.id for hit in many_settled.search(query, k=800, effort="exhaustive")]
        for k in (10, 100, 129, 200, 800):
            hits = many_settled.search(query, k=k, effort=effort)
            assert len(hits) == k
            # Equal texts but for a number crowd together, so the last places are a matter of luck.
            assert len({hit.id for hit in hits} & set(exact[:k])) >= 0.8 * k


def test_c07_a_shorter_list_is_the_head_of_a_longer(many):
    lists = {
        k: [hit.id for hit in many.search("green violin", k=k, effort="exhaustive")]
        for k in (10, 100, 129, 200, 800)
    }
    for k, ids in lists.items():
        assert len(ids) == k
        assert ids == lists[800][:k]


def test_equal_scores_stand_in_insertion_order(notes):
    notes.add({"id": id_, "text": "the same words"} for id_ in (9, 2, 5))
    assert [hit.id for hit in notes.search("same words")] == [9, 2, 5]


@pytest.mark.parametrize(
    ("query", "q_tokens"),
    [
        ("sky", 1),
        ("blue sky over sea", 4),
        ("why does the sky over the sea look blue in early summer", 12),
    ],
)
def test_c46_the_score_is_the_sum_of_the_best_products(encoder, query, q_tokens):
    matrix = encoder.encode_query([query])[0]
    assert len(matrix) == q_tokens
    document = encoder.encode_document(["The sky over the sea is blue."])[0]
    by_hand = (document @ matrix.T).max(axis=0).sum()
    assert interlace.maxsim(matrix, [document])[0] == pytest.approx(by_hand, abs=1e-4)
    assert encoder.similarity([query], ["The sky over the sea is blue."])[0, 0] == pytest.approx(
        by_hand, abs=1e-4
    )


def test_c46_a_stored_score_is_near_the_exact_one(notes, encoder):
    texts = [
        "The sky over the sea is blue.",
        "Bread is baked in an oven.",
        "A knight moves in an L.",
    ]
    notes.add(texts)
    query = "blue sky over the water"
    exact = {hit.text: hit for hit in interlace.rerank(query, texts, model=encoder)}
    for hit in notes.search(query):
        assert hit.mean_score == pytest.approx(exact[hit.text].mean_score, abs=0.01)


@pytest.mark.parametrize(("bits", "bound"), [(4, 0.05), (2, 0.15), (1, 0.3)])
def test_a_compressed_score_is_near_the_exact_one(new_collection, encoder, bits, bound):
    notes = new_collection(bits=bits)
    texts = [f"{colour} {noun} by the sea" for colour in COLOURS for noun in NOUNS]
    notes.add(texts)
    notes.settle()
    query = "a green garden on the coast"
    exact = {hit.text: hit for hit in interlace.rerank(query, texts, model=encoder)}
    hits = notes.search(query, k=100, mode="late")
    assert len(hits) == 100
    assert max(abs(hit.mean_score - exact[hit.text].mean_score) for hit in hits) < bound
    explanation = notes.explain(query, hits[0])
    assert explanation.score == pytest.approx(hits[0].score, abs=1e-4)


class Roles:
    """Notes which verb was asked for which text."""

    def __init__(self, encoder: interlace.Encoder) -> None:
        self.encoder, self.queries, self.documents = encoder, [], []

    def encode_query(self, texts):
        self.queries += texts
        return self.encoder.encode_query(texts)

    def encode_document(self, texts):
        self.documents += texts
        return self.encoder.encode_document(texts)


def test_c49_queries_and_documents_never_take_each_others_place(tmp_path, encoder):
    model = Roles(encoder)
    with interlace.create(tmp_path / "x.lace", model) as notes:
        model.documents.clear()  # the text by which a model is known again
        notes.add(["a stored text", "another"])
        hits = notes.search("a question")
        notes.search_many(["one", "two"])
        notes.explain("why this", hits[0])
    interlace.rerank("which", ["first of all", "second"], model=model)
    asked = {"a question", "one", "two", "why this", "which"}
    assert set(model.queries) == asked
    assert not asked & set(model.documents)
    assert {"a stored text", "another", "first of all", "second"} <= set(model.documents)


def test_c50_a_score_does_not_depend_on_neighbours(encoder):
    rng = np.random.default_rng(0)
    query = rng.standard_normal((5, 16)).astype(np.float32)
    documents = [rng.standard_normal((n, 16)).astype(np.float32) for n in (2, 30, 300)]
    together = interlace.maxsim(query, documents)
    shuffled = interlace.maxsim(query, [documents[i] for i in (2, 0, 1)])
    alone = [interlace.maxsim(query, [document])[0] for document in documents]
    assert together.tolist() == alone == shuffled[[1, 2, 0]].tolist()
    texts = ["short text", "a longer text " * 10, "a very long text of many words " * 40]
    hits = interlace.rerank("longer text", texts, k=10, model=encoder)
    assert len(hits) == 3
    for hit in hits:
        one = interlace.rerank("longer text", [texts[hit.id]], model=encoder)
        assert one[0].score == hit.score


def test_a_document_without_tokens_scores_lowest(encoder):
    query = encoder.encode_query(["blue sky"])[0]
    empty = np.empty((0, encoder.dim), np.float32)
    assert interlace.maxsim(query, [empty, query]).tolist() == pytest.approx(
        [-len(query), len(query)], abs=1e-4
    )
    assert interlace.maxsim(query, []).shape == (0,)


def test_c55_a_mean_score_is_bounded_and_its_own(many):
    good = many.search("blue garden 44")[0]
    bad = many.search("mitochondrial phosphorylation")[0]
    assert -1.001 <= bad.mean_score < good.mean_score <= 1.001
    assert bad.mean_score < 0.9
    only = many.search("mitochondrial phosphorylation", ids=[bad.id])[0]
    assert only.mean_score == bad.mean_score


def test_c82_an_explanation_sums_to_the_score_and_points_at_words(notes):
    text = "Größe matters: the café in Zürich serves 東京 ramen, naïve as that sounds."
    notes.add([{"id": "x", "text": text}, "Something else entirely."])
    hit = notes.search("cafe in zurich serving 東京 noodles")[0]
    explanation = notes.explain("cafe in zurich serving 東京 noodles", hit)
    assert sum(match.similarity for match in explanation.matches) == pytest.approx(
        hit.late_score, abs=1e-4
    )
    assert sum(match.share for match in explanation.matches) == pytest.approx(1, abs=1e-4)
    answers = {match.query_text: match for match in explanation.matches}
    assert answers["cafe"].text == "café"
    assert answers["zurich"].text == "Zürich"
    assert answers["東"].text == "東"
    for match in explanation.matches:
        assert text[match.start : match.end] == match.text


def test_c82_offsets_are_into_the_whole_document(notes):
    text = "Filler words stand here. " * 200 + "The treasure is under the oak."
    notes.add([{"id": "x", "text": text}])
    hit = notes.search("where is the treasure")[0]
    assert hit.passage > 0
    for match in notes.explain("where is the treasure", hit).matches:
        assert text[match.start : match.end] == match.text
    assert "treasure" in {m.text for m in notes.explain("where is the treasure", hit).matches}


def test_explaining_a_hit_that_is_gone(notes):
    notes.add([{"id": "x", "text": "some words"}])
    hit = notes.search("words")[0]
    notes.delete(["x"])
    with pytest.raises(InputError, match="not in the collection any more"):
        notes.explain("words", hit)


def test_search_search_many_and_explain_agree(many):
    query = "brown letter 36"
    hit = many.search(query)[0]
    assert many.search_many([query])[0][0] == hit
    assert many.explain(query, hit).score == pytest.approx(hit.late_score, abs=1e-4)


def test_reranking_keeps_ids_and_refuses_what_is_no_text(encoder):
    hits = interlace.rerank(
        "oven",
        [{"id": "b", "text": "Bread in the oven", "metadata": {"n": 1}}, "A cold lake"],
        model=encoder,
    )
    assert [(hit.id, dict(hit.metadata), hit.rank) for hit in hits] == [
        ("b", {"n": 1}, 1),
        (1, {}, 2),
    ]
    with pytest.raises(InputError, match=r"Write \[text\]"):
        interlace.rerank("x", "one text", model=encoder)
    with pytest.raises(InputError, match="text 0"):
        interlace.rerank("x", [3], model=encoder)
    with pytest.raises(InputError, match="k is 0"):
        interlace.rerank("x", ["y"], k=0, model=encoder)
    assert not interlace.rerank("", ["y"], model=encoder)
    assert not interlace.rerank("x", [], model=encoder)


@pytest.mark.parametrize(
    ("query", "documents", "message"),
    [
        (np.ones((2, 4)), np.ones((3, 4)), r"Write \[matrix\]"),
        (np.ones(4), [], "two axes"),
        (np.ones((2, 4)), [np.ones((3, 5))], "5 dims where 4 are expected: document 0"),
        (np.ones((2, 4)), [np.ones((1, 4)), [[0, 0, 0, 0]]], "only zeros: document 1, token 0"),
        (np.full((2, 4), np.nan), [], "NaN: the query, token 0"),
    ],
)
def test_matrices_that_cannot_be_compared_are_refused(query, documents, message):
    with pytest.raises(InputError, match=message):
        interlace.maxsim(query, documents)

"""Embeddings made elsewhere: any multi-vector model, with and without token ids."""

from __future__ import annotations

import numpy as np
import parity
import pytest

import interlace
from interlace.errors import CollectionError, InputError, ModelMismatch, SettingsError

RNG = np.random.default_rng(7)


def matrices(n: int, dim: int = 8) -> list[np.ndarray]:
    return [RNG.standard_normal((3 + i % 4, dim)).astype(np.float32) for i in range(n)]


@pytest.mark.parametrize("with_ids", [True, False])
def test_embeddings_in_and_out(new_collection, with_ids):
    notes = new_collection(model=None, dim=8)
    given = matrices(10)
    ids = [list(range(len(m))) for m in given] if with_ids else None
    report = notes.add([{"id": i} for i in range(10)], embeddings=given, token_ids=ids)
    assert (report.added, report.n_tokens) == (10, sum(map(len, given)))
    for i, matrix in enumerate(given):
        assert notes.search(embeddings=matrix)[0].id == i
        assert notes.search(embeddings=matrix * 100)[0].mean_score == pytest.approx(1, abs=0.01)
    many = notes.search_many(embeddings=given, k=1)
    assert [hits[0].id for hits in many] == list(range(10))


def test_the_same_embeddings_again_change_nothing(new_collection):
    notes = new_collection(model=None, dim=8)
    given = matrices(3)
    records = [{"id": i, "text": f"text {i}"} for i in range(3)]
    notes.add(records, embeddings=given)
    assert notes.add(records, embeddings=given).unchanged == 3
    assert notes.add(records, embeddings=[given[0], given[1], given[0]]).replaced == 1


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.ones((2, 9)), "embedding has 9 dims where 8 are expected: passage 'b17'"),
        (np.ones(8), r"two axes \(n_tokens, dim\), not shape \(8,\): passage 'b17'"),
        (np.array([[1.0] * 8, [np.nan] * 8]), "embedding has NaN: passage 'b17', token 1"),
        (np.array([[np.inf] * 8]), "an infinite value: passage 'b17', token 0"),
        (np.array([[1.0] * 8, [0.0] * 8]), "only zeros: passage 'b17', token 1"),
        ("words", "must be a matrix of numbers.*passage 'b17'"),
    ],
)
def test_an_embedding_that_cannot_be_stored_is_named(new_collection, bad, message):
    notes = new_collection(model=None, dim=8)
    with pytest.raises(InputError, match=message):
        notes.add([{"id": "a"}, {"id": "b17"}], embeddings=[np.ones((1, 8)), bad])
    assert len(notes) == 0


@pytest.mark.parametrize("ids", [[1], [1, 2, 3], [0.5, 1.5], [-1, 2], [1, 2**31]])
def test_token_ids_that_do_not_fit_are_refused(new_collection, ids):
    notes = new_collection(model=None, dim=8)
    with pytest.raises(InputError, match="passage 'a'"):
        notes.add([{"id": "a"}], embeddings=[np.ones((2, 8))], token_ids=[ids])


def test_an_empty_matrix_is_a_document_without_tokens(new_collection):
    notes = new_collection(model=None, dim=8)
    report = notes.add(
        [{"id": "none"}, {"id": "one"}], embeddings=[np.empty((0, 8)), np.ones((1, 8))]
    )
    assert report.empty == ["none"]
    assert [hit.id for hit in notes.search(embeddings=np.ones((1, 8)))] == ["one", "none"]


def test_text_needs_a_model(new_collection):
    notes = new_collection(model=None, dim=8)
    with pytest.raises(CollectionError, match="no model"):
        notes.add(["some text"])
    with pytest.raises(CollectionError, match="no model"):
        notes.search("some text")
    assert len(notes) == 0


def test_an_explanation_without_texts(new_collection):
    notes = new_collection(model=None, dim=8)
    given = matrices(4)
    notes.add([{"id": i} for i in range(4)], embeddings=given)
    hit = notes.search(embeddings=given[2])[0]
    explanation = notes.explain("", hit, embeddings=given[2])
    assert explanation.score == pytest.approx(hit.score, abs=1e-4)
    assert len(explanation.matches) == len(given[2])


@pytest.mark.parametrize("dim", [None, 0, True, "128", 1.5])
def test_without_a_model_the_width_is_needed(tmp_path, dim):
    with pytest.raises(SettingsError, match="dim is"):
        interlace.create(tmp_path / "x.lace", model=None, dim=dim)


def test_a_search_needs_a_query_or_embeddings(new_collection):
    notes = new_collection(model=None, dim=8)
    with pytest.raises(InputError, match="one of the two"):
        notes.search()
    with pytest.raises(InputError, match="one of the two"):
        notes.search_many()
    with pytest.raises(InputError, match="2 queries but 1 embeddings"):
        notes.search_many(["a", "b"], embeddings=[np.ones((1, 8))])


class Letters:
    """A model of somebody else: a text is its letters, in 32 fixed directions."""

    def __init__(self, seed: int = 1) -> None:
        self.directions = np.random.default_rng(seed).standard_normal((32, 24)).astype(np.float32)
        self.calls = 0

    def encode_query(self, texts: list[str]) -> list[np.ndarray]:
        return self.encode_document(texts)

    def encode_document(self, texts: list[str]) -> list[np.ndarray]:
        self.calls += 1
        return [self.directions[[ord(c) % 32 for c in text]] for text in texts]


def test_any_object_with_the_two_verbs_is_a_model(tmp_path):
    model = Letters()
    with interlace.create(tmp_path / "x.lace", model) as notes:
        notes.add(f"{word} {word}" for word in ("aaa", "bbb", "ccc"))
        assert notes.search("bbb")[0].text == "bbb bbb"
        assert notes.info()["dim"] == 24
    with interlace.open(tmp_path / "x.lace") as notes:
        assert len(notes) == 3
        with pytest.raises(CollectionError, match="Pass the object"):
            notes.search("bbb")
    with interlace.open(tmp_path / "x.lace", Letters()) as notes:
        assert notes.search("ccc")[0].text == "ccc ccc"
    with interlace.open(tmp_path / "x.lace", Letters(seed=2)) as notes:
        with pytest.raises(ModelMismatch, match="other weights"):
            notes.search("ccc")
        assert len(notes) == 3
    assert interlace.rerank("ab", ["cd", "ab"], model=model)[0].text == "ab"


class OneVerb(Letters):
    """A model with PyLate's signature: its queries are longer, and the two verbs mislead."""

    def encode(self, sentences: list[str], *, is_query: bool = True) -> list[np.ndarray]:
        return Letters.encode_document(self, [text + "?" * is_query for text in sentences])

    def encode_document(self, texts: list[str]) -> list[np.ndarray]:
        return self.encode(texts)


def test_a_model_that_is_told_which_are_queries_is_told(tmp_path):
    with interlace.create(tmp_path / "x.lace", OneVerb()) as notes:
        notes.add(["aaa"])
        hit = notes.search("aa", mode="late")[0]
    assert hit.score / hit.mean_score == pytest.approx(3)  # two letters and the mark
    assert interlace.rerank("?", ["ab", "a?"], model=OneVerb())[0].text == "a?"


def test_pylates_own_model_is_taken_as_it_is(tmp_path):
    pylate = pytest.importorskip("pylate.models", reason="pylate wants a room of its own")
    model = pylate.ColBERT(str(parity.folder("pylate-bert")), device="cpu")
    query, *documents = ("sentence", "German", "Chinese", "numbers")
    rows = parity.read("pylate-bert", "pylate", "document")
    asked = parity.read("pylate-bert", "pylate", "query")[query].embeddings
    exact = {key: (asked @ rows[key].embeddings.T).max(axis=1).sum() for key in documents}
    with interlace.create(tmp_path / "x.lace", model) as notes:
        notes.add([{"id": key, "text": parity.TEXTS[key]} for key in documents])
        hits = notes.search(parity.TEXTS[query], mode="late")
    assert {hit.id: hit.score for hit in hits} == pytest.approx(exact, rel=0.01)


def test_a_function_is_a_model(tmp_path):
    encode = Letters().encode_document
    with interlace.create(tmp_path / "x.lace", lambda texts: encode(texts)) as notes:
        notes.add(["aaa", "bbb"])
        assert notes.search("bbb")[0].text == "bbb"


def test_an_object_without_the_verbs_is_refused(tmp_path):
    with pytest.raises(InputError, match="encode_query and encode_document: got int"):
        interlace.create(tmp_path / "x.lace", 3)

"""Code that is written for PyLate, on real texts and the built-in model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import interlace
from interlace.errors import CollectionError, InputError, SettingsError
from interlace.integrations.pylate import indexes, models, rank, retrieve

GOLDEN = Path(__file__).parents[2] / "golden" / "indexes"
TEXTS = [
    "The sky is blue, since air scatters blue light more than red.",
    "Rivers carry minerals into the sea and leave it salty.",
    "Ice is less dense than water, so it floats.",
]


@pytest.fixture(scope="module")
def model():
    return models.ColBERT(model_name_or_path="mini")


@pytest.fixture
def index(tmp_path, model):
    made = indexes.PLAID(index_folder=tmp_path, index_name="x", override=True)
    made.add_documents(["sky", "sea", "ice"], model.encode(TEXTS, is_query=False))
    return made


def test_the_readme_runs_on_real_texts(tmp_path, model, questions):
    documents, answers = questions
    queries = list(answers)[:40]
    index = indexes.PLAID(
        index_folder=str(tmp_path / "pylate-index"), index_name="index", override=True
    )
    retriever = retrieve.ColBERT(index=index)
    documents_embeddings = model.encode(
        documents, batch_size=32, is_query=False, show_progress_bar=True
    )
    index.add_documents(
        documents_ids=[f"d{i}" for i in range(len(documents))],
        documents_embeddings=documents_embeddings,
    )
    queries_embeddings = model.encode(queries, batch_size=32, is_query=True, show_progress_bar=True)
    runs = retriever.retrieve(queries_embeddings=queries_embeddings, k=10)
    assert [len(run) for run in runs] == [10] * 40
    assert all(one.keys() == {"id", "score"} for run in runs for one in run)
    firsts = zip(queries, runs, strict=True)
    assert sum(run[0]["id"] == f"d{answers[query]}" for query, run in firsts) >= 34

    reranked = rank.rerank(
        documents_ids=[[one["id"] for one in run] for run in runs],
        queries_embeddings=queries_embeddings,
        documents_embeddings=[
            [documents_embeddings[int(one["id"][1:])] for one in run] for run in runs
        ],
    )
    for run, exact in zip(runs, reranked, strict=True):
        assert [one["id"] for one in exact][:3] == [one["id"] for one in run][:3]
        assert [one["score"] for one in exact] == pytest.approx(
            [one["score"] for one in run], abs=0.1
        )


def test_reranking_takes_each_query_s_own_documents(model):
    documents = [TEXTS[:2], [TEXTS[2], TEXTS[0], TEXTS[1]]]
    reranked = rank.rerank(
        documents_ids=[[1, 2], [1, 3, 2]],
        queries_embeddings=model.encode(["salty sea", "ice floats"], is_query=True),
        documents_embeddings=model.encode(documents, is_query=False),
    )
    assert [[one["id"] for one in run] for run in reranked] == [[2, 1], [1, 2, 3]]


def test_documents_are_removed_updated_and_added_again(index, model, tmp_path):
    query = model.encode("ice floats", is_query=True)
    assert index.remove_documents(["sky", "unknown"]) is index
    assert [one["id"] for one in index(query)[0]] == ["ice", "sea"]
    again = indexes.PLAID(index_folder=tmp_path, index_name="x")
    again.update_documents("sea", model.encode(["Icebergs float."], is_query=False))
    again.add_documents(7, model.encode(["A stone."], is_query=False)[0])
    assert [one["id"] for one in index(query)[0]] == ["ice", "sea", 7]  # the first handle sees it
    index.remove_documents(["ice", "sea", 7])
    assert index(query) == [[]]


def test_a_subset_is_for_all_queries_or_for_each(index, model):
    queries = model.encode(["ice floats", "salty sea"])
    ids = [[one["id"] for one in run] for run in index(queries, subset=["sky", "sea", "unknown"])]
    assert [sorted(one) for one in ids] == [["sea", "sky"]] * 2
    each = retrieve.ColBERT(index).retrieve(queries, k=5, subset=[["sky"], ["sea", "unknown"]])
    assert [[one["id"] for one in run] for run in each] == [["sky"], ["sea"]]
    assert index(queries, subset=[]) == [[], []]
    as_array = index(queries, subset=np.array(["sky", "sea"]))
    assert [[one["id"] for one in run] for run in as_array] == ids
    with pytest.raises(InputError, match="1 subsets for 2 queries"):
        index(queries, subset=[["sky"]])


def test_arrays_of_all_shapes_are_taken(index, model):
    (one,) = model.encode(["ice floats"], is_query=True)
    alone = model.encode("ice floats", is_query=True)
    assert np.array_equal(one, alone)
    expected = index([one])
    for given in (alone, alone[None], [alone.tolist()], (alone,)):
        assert index(given) == expected
    torch = pytest.importorskip("torch")
    assert index(torch.from_numpy(alone.copy())) == expected


def test_queries_and_documents_are_encoded_by_their_own_verbs(model, encoder):
    assert np.array_equal(model.encode("the sea"), encoder.encode_query(["the sea"])[0])
    (one,), (two, three) = model.encode([["a b"], ["c d", "e f"]], is_query=False)
    assert all(
        np.array_equal(made, encoder.encode_document([text])[0])
        for made, text in ((one, "a b"), (two, "c d"), (three, "e f"))
    )
    assert model.encode([]) == []
    with pytest.raises(SettingsError, match="encode pools nothing"):
        model.encode(["a"], pool_factor=2)


def test_override_begins_anew_and_its_absence_does_not(index, model, tmp_path):
    where = {"index_folder": tmp_path, "index_name": "x"}
    query = model.encode("ice")
    assert len(indexes.PLAID(**where)(query)[0]) == 3
    anew = indexes.PLAID(**where, override=True, nbits=2, n_ivf_probe=8, device="cpu")
    with pytest.raises(InputError, match="the index is empty"):
        anew(query)
    anew.add_documents(["a"], model.encode(["A stone."], is_query=False))
    assert [one["id"] for one in anew(query)[0]] == ["a"]
    with interlace.open(tmp_path / "x") as collection:
        assert collection.info()["codec"] == "residual2"


def test_what_does_not_fit_is_refused(index, model, tmp_path):
    (matrix,) = model.encode(["A stone."], is_query=False)
    with pytest.raises(InputError, match="2 documents_ids, but 1 documents_embeddings"):
        index.add_documents(["a", "b"], [matrix])
    with pytest.raises(InputError, match="NaN"):
        index.add_documents(["a", "b"], [matrix, np.full_like(matrix, np.nan)])
    assert len(index(matrix)[0]) == 3
    with pytest.raises(InputError, match="2 documents_ids, but 1 documents_embeddings: query 0"):
        rank.rerank([[1, 2]], [matrix], [[matrix]])
    with pytest.raises(InputError, match="1 queries_embeddings, 2 documents_ids"):
        rank.rerank([[1], [2]], [matrix], [[matrix], [matrix]])
    fresh = indexes.PLAID(tmp_path, "fresh")
    assert fresh.add_documents([], []) is fresh
    with pytest.raises(InputError, match="the index is empty"):
        fresh(matrix)
    with pytest.raises(InputError, match="NaN"):
        fresh.add_documents(["a"], [np.full_like(matrix, np.nan)])
    assert [one.name for one in tmp_path.iterdir()] == ["x"]


def test_an_index_that_pylate_made_is_converted_first(tmp_path, model):
    for settings in ({}, {"override": True}):
        with pytest.raises(InputError, match="interlace import"):
            indexes.PLAID(GOLDEN, "pylate-4", **settings).add_documents("a", model.encode(["a"]))
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / "mine.txt").write_text("mine")
    with pytest.raises(CollectionError, match="holds something else"):
        indexes.PLAID(tmp_path, "y", True).add_documents(["a"], model.encode(["a"]))

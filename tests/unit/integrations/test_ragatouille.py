"""Code that is written for RAGatouille, on real texts and the built-in model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import interlace
from interlace.errors import (
    CollectionError,
    InputError,
    MissingExtra,
    NotACollection,
    SettingsError,
)
from interlace.integrations.ragatouille import (
    CorpusProcessor,
    RAGPretrainedModel,
    llama_index_sentence_splitter,
)

GOLDEN = Path(__file__).parents[2] / "golden" / "indexes"
KEYS = {"content", "score", "rank", "document_id", "passage_id"}

SKY = "The sky is blue, since air scatters blue light more than red, as Rayleigh has explained."
SEA = "Rivers carry minerals into the sea and leave it salty; they carry many tonnes of salt."
ICE = "Ice is less dense than water, so it floats, and lakes freeze from above."
LONG = f"{SKY} " * 40 + f"\n\n{SEA}"
METADATA = [{"about": "air", "tags": ["a", "b"]}, {"about": "water"}]


@pytest.fixture
def rag(tmp_path, encoder):
    return RAGPretrainedModel.from_pretrained(encoder, index_root=tmp_path)


# --- what its pages show -------------------------------------------------------------------------
def test_the_first_page_runs_on_real_texts(tmp_path, questions):
    texts, answers = questions
    ids = [f"page-{i}" for i in range(len(texts))]
    about = [{"source": "wikipedia", "place": i} for i in range(len(texts))]
    RAG = RAGPretrainedModel.from_pretrained("mini", index_root=str(tmp_path))
    index_path = RAG.index(
        index_name="my_index_with_ids_and_metadata",
        collection=texts,
        document_ids=ids,
        document_metadatas=about,
    )
    assert index_path == str(tmp_path / "colbert/indexes/my_index_with_ids_and_metadata")

    RAG = RAGPretrainedModel.from_index(index_path)
    queries = list(answers)[:50]
    runs = RAG.search(queries, k=10)
    assert [len(run) for run in runs] == [10] * 50
    first = 0
    for query, run in zip(queries, runs, strict=True):
        assert all(one.keys() == KEYS | {"document_metadata"} for one in run)
        assert [one["rank"] for one in run] == list(range(1, 11))
        scores = [one["score"] for one in run]
        assert scores == sorted(scores, reverse=True)
        for one in run:
            place = ids.index(one["document_id"])
            assert one["content"] in texts[place]
            assert one["document_metadata"] == about[place]
        first += run[0]["document_id"] == f"page-{answers[query]}"
    assert first >= 45  # of 50
    assert RAG.search(queries[0], k=10) == runs[0]


def test_a_long_page_is_split_and_found_by_its_last_sentence(rag):
    path = rag.index(
        collection=[LONG],
        document_ids=["miyazaki"],
        document_metadatas=[{"entity": "person", "source": "wikipedia"}],
        index_name="Miyazaki",
        max_document_length=60,
        split_documents=True,
    )
    hits = rag.search(query="what makes the sea salty?", k=3)
    assert hits[0]["content"] == SEA
    assert [one["document_id"] for one in hits] == ["miyazaki"] * 3
    assert len({one["passage_id"] for one in hits}) == 3
    with interlace.open(path) as collection:
        assert len(collection) > 10
        assert collection.info()["passage_tokens"] == 60


def test_an_index_is_added_to_and_deleted_from(rag):
    path = rag.index([SKY], document_ids=["sky"], index_name="x")
    again = RAGPretrainedModel.from_index(path)
    again.add_to_index(new_collection=[SEA], new_document_ids=["sea"], index_name="x")
    again.add_to_index([ICE], ["ice"], new_document_metadatas=[{"cold": True}])
    assert again.search("why does ice float", k=1)[0]["document_metadata"] == {"cold": True}
    assert rag.search("salty sea", k=1)[0]["document_id"] == "sea"  # another handle sees it too
    again.delete_from_index(document_ids=["sea"], index_name="x")
    assert {one["document_id"] for one in rag.search("salty sea")} == {"sky", "ice"}
    assert "document_metadata" not in rag.search("blue sky", k=1)[0]


def test_documents_are_reranked(rag):
    hits = rag.rerank(query="why does ice float", documents=[SKY, ICE, SEA], k=2)
    assert [one["content"] for one in hits] == [ICE, SEA]
    assert [one["rank"] for one in hits] == [1, 2]
    assert all(one.keys() == {"content", "score", "rank", "result_index"} for one in hits)
    assert [one["result_index"] for one in hits] == [1, 2]
    (ranked,) = rag.rerank(["why does ice float"], [SKY, ICE, SEA], k=9, zero_index_ranks=True)
    assert [one["rank"] for one in ranked] == [0, 1, 2]
    assert [one["score"] for one in ranked[:2]] == [one["score"] for one in hits]


def test_texts_are_searched_without_an_index(rag):
    pieces = CorpusProcessor().process_corpus([LONG], chunk_size=60)
    assert len(pieces) > 10
    assert {one["document_id"] for one in pieces} == {pieces[0]["document_id"]}
    texts = [one["content"] for one in pieces]
    rag.encode(texts, document_metadatas=[{"about": "sky"} for _ in texts])
    (best,) = rag.search_encoded_docs(query="what makes the sea salty?", k=1)
    assert best["content"] == SEA
    assert best["document_metadata"] == {"about": "sky"}
    rag.encode([ICE], document_metadatas=[{"about": "ice"}])
    (best,) = rag.search_encoded_docs("why does ice float", k=1)
    assert (best["result_index"], best["document_metadata"]) == (len(texts), {"about": "ice"})
    rag.clear_encoded_docs(force=True)
    rag.encode([SKY, SEA])
    runs = rag.search_encoded_docs(["blue sky", "salty sea"], k=1)
    assert [run[0]["content"] for run in runs] == [SKY, SEA]
    assert "document_metadata" not in runs[0][0]


# --- what is broken there ------------------------------------------------------------------------
def test_c25_deleting_one_of_two_long_documents_leaves_the_other_whole(rag):
    other = f"{ICE} " * 40
    path = rag.index([LONG, other], ["a", "b"], METADATA, index_name="x", max_document_length=40)
    rag.delete_from_index("a")
    for one in (rag, RAGPretrainedModel.from_index(path)):
        for query in ("blue sky", "salty sea", "ice floats"):
            hits = one.search(query, k=50)
            assert len(hits) > 10
            assert all(hit["document_id"] == "b" and hit["content"] in other for hit in hits)
            assert all(hit["document_metadata"] == METADATA[1] for hit in hits)


def test_c07_k_means_k(rag, questions):
    texts, answers = questions
    rag.index(texts, index_name="x", max_document_length=254)
    query = next(iter(answers))
    most = rag.search(query, k=1000)
    assert len(most) == len({one["passage_id"] for one in most}) >= len(texts)
    for k in (10, 129, 200):
        assert rag.search(query, k=k) == most[:k]


def test_adds_after_adds_take_ever_new_numbers_and_leave_known_documents(rag):
    rag.index([SKY], ["0"], index_name="x", split_documents=False)
    for i in range(1, 12):
        rag.add_to_index([f"{SEA} {i}", "something else"], [str(i), "0"])
    hits = rag.search("salt", k=99)
    assert sorted(one["passage_id"] for one in hits) == list(range(12))
    assert {one["document_id"] for one in hits} == {str(i) for i in range(12)}
    assert all(one["content"] != "something else" for one in hits)


def test_an_index_may_be_emptied_and_filled_again(rag):
    rag.index([SKY, SEA], ["a", "b"], index_name="x")
    rag.delete_from_index(["a", "b", "unknown"])
    assert rag.search("sky") == rag.search("sky", doc_ids=["a"]) == []
    rag.add_to_index([ICE], ["a"])
    assert [one["content"] for one in rag.search("sky")] == [ICE]


def test_c20_whole_numbers_are_ids(rag):
    path = rag.index([SKY, SEA, ICE], [10, 7, 3], index_name="x")
    again = RAGPretrainedModel.from_index(path)
    assert again.search("salty sea", k=1)[0]["document_id"] == 7
    again.delete_from_index(7)
    assert {one["document_id"] for one in again.search("salty sea")} == {10, 3}


@pytest.mark.parametrize(
    ("ids", "metadata", "says"),
    [
        (["a"], None, "1 for 2 documents: document_ids"),
        (["a", "b"], METADATA[:1], "1 for 2 documents: document_metadatas"),
        (["a", "a"], None, "an id comes twice"),
        (["a", " "], None, "an id is blank"),
    ],
)
def test_c22_what_does_not_fit_is_refused_and_the_index_stays(rag, ids, metadata, says):
    rag.index([ICE], ["ice"], index_name="x")
    with pytest.raises(InputError, match=says):
        rag.index([SKY, SEA], ids, metadata, index_name="x")
    with pytest.raises(InputError, match=says):
        rag.add_to_index([SKY, SEA], ids, metadata)
    assert [one["document_id"] for one in rag.search("ice")] == ["ice"]


def test_an_index_stays_when_the_new_one_fails(rag, tmp_path):
    path = Path(rag.index([ICE], ["ice"], index_name="x"))
    with pytest.raises(InputError, match="lone surrogate"):
        rag.index([SKY, "bad \ud800"], index_name="x", split_documents=False)
    assert [one["document_id"] for one in rag.search("ice")] == ["ice"]
    assert [one.name for one in path.parent.iterdir()] == ["x"]


def test_no_main_guard_is_needed(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from interlace.integrations.ragatouille import RAGPretrainedModel\n"
        "RAG = RAGPretrainedModel.from_pretrained('mini')\n"
        f"RAG.index(collection=[{SKY!r}, {ICE!r}], index_name='x')\n"
        "print(RAG.search('ice', k=1)[0]['content'])\n"
    )
    ran = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == ICE
    assert (tmp_path / ".ragatouille" / "colbert" / "indexes" / "x").is_dir()


# --- options -------------------------------------------------------------------------------------
def test_a_search_may_be_within_documents_and_count_from_0(rag):
    rag.index([LONG, ICE, SEA], ["long", "ice", "sea"], index_name="x", max_document_length=40)
    hits = rag.search("blue sky", doc_ids=["ice", "sea", "unknown"], zero_index_ranks=True)
    assert {one["document_id"] for one in hits} == {"ice", "sea"}
    assert [one["rank"] for one in hits] == [0, 1]
    assert rag.search("blue sky", doc_ids=[]) == []
    fast = rag.search("blue sky", k=1, force_fast=True)
    assert fast == rag.search("blue sky", k=1)


def test_functions_of_the_users_split_and_prepare(rag):
    def sentences(documents, document_ids, chunk_size):
        assert chunk_size == 256
        return [
            {"document_id": id_, "content": part}
            for id_, text in zip(document_ids, documents, strict=True)
            for part in text.split("; ")
        ]

    def shout(documents, document_ids):
        return [{**one, "content": one["content"].upper()} for one in documents]

    rag.index([SEA, ICE], ["sea", "ice"], index_name="x", document_splitter_fn=sentences,
              preprocessing_fn=[shout])  # fmt: skip
    found = {one["content"]: one["document_id"] for one in rag.search("salt")}
    parts = [part.upper() for part in SEA.split("; ")]
    assert found == {parts[0]: "sea", parts[1]: "sea", ICE.upper(): "ice"}
    rag.index([SEA], index_name="y", split_documents=False,
              preprocessing_fn=lambda texts, ids: [text.lower() for text in texts])  # fmt: skip
    assert rag.search("salt")[0]["content"] == SEA.lower()
    with pytest.raises(InputError, match="no passage: 7, item 0"):
        rag.index([SEA], index_name="z", document_splitter_fn=lambda *_, **__: [7])
    stray = [{"document_id": "b", "content": "x"}]
    with pytest.raises(InputError, match="a passage of no document: 'b', item 0"):
        rag.index([SEA], ["a"], index_name="z", document_splitter_fn=lambda *_, **__: stray)


def test_c17_an_unsplit_document_is_read_to_its_end_and_shown_whole(rag):
    rag.index([LONG, ICE], ["long", "ice"], index_name="x", split_documents=False)
    best = rag.search("what makes the sea salty", k=5)
    assert (best[0]["document_id"], best[0]["content"]) == ("long", LONG)
    assert len(best) == 2
    with pytest.warns(UserWarning, match="max_document_length is 600, but the model reads 254"):
        rag.index([LONG], index_name="y", max_document_length=600)
    assert rag.search("what makes the sea salty", k=1)[0]["content"].endswith(SEA)


def test_overwrite_index(rag):
    path = rag.index([SKY], ["sky"], index_name="x")
    with pytest.raises(CollectionError, match="there is an index of that name"):
        rag.index([SEA], ["sea"], index_name="x", overwrite_index=False)
    assert rag.index([SEA], ["sea"], index_name="x", overwrite_index="reuse") == path
    assert [one["document_id"] for one in rag.search("sea")] == ["sky"]
    rag.index([SEA], ["sea"], index_name="x")
    assert [one["document_id"] for one in rag.search("sea")] == ["sea"]
    with pytest.raises(SettingsError, match="overwrite is 'yes'"):
        rag.index([SEA], index_name="x", overwrite_index="yes")


def test_several_indexes_are_searched_by_name(rag, tmp_path):
    rag.index([SKY], ["sky"], index_name="a")
    rag.index([SEA], ["sea"])
    assert (tmp_path / "colbert" / "indexes" / "mininew_index").is_dir()
    assert rag.search("x y", index_name="a")[0]["document_id"] == "sky"
    assert rag.search("x y")[0]["document_id"] == "sky"
    fresh = RAGPretrainedModel.from_pretrained("mini", index_root=tmp_path)
    assert fresh.search("x y", index_name="mininew_index")[0]["document_id"] == "sea"
    with pytest.raises(NotACollection):
        fresh.search("x y", index_name="unknown")
    assert fresh.search("x y")[0]["document_id"] == "sea"


def test_a_model_of_a_folder(copy_of_mini, tmp_path):
    folder = copy_of_mini()
    rag = RAGPretrainedModel.from_pretrained(folder, index_root=tmp_path / "with blank")
    path = rag.index([SKY])
    assert Path(path).name == "modelnew_index"
    assert RAGPretrainedModel.from_index(path).search("sky")[0]["content"] == SKY


def test_any_collection_with_a_model_is_an_index(new_collection):
    notes = new_collection()
    notes.add([{"id": "sky", "text": SKY, "metadata": {"x": 1}}, {"id": "sea", "text": LONG}])
    rag = RAGPretrainedModel.from_index(notes.path)
    best, other = rag.search("salty sea")
    assert (best["document_id"], best["passage_id"], best["content"]) == ("sea", "sea", LONG)
    assert other["document_metadata"] == {"x": 1}
    assert len(rag.search("salty sea", doc_ids=["sky", "unknown"])) == 1
    rag.delete_from_index("sea")
    assert list(notes.ids()) == ["sky"]


# --- what is refused -----------------------------------------------------------------------------
def test_there_must_be_an_index(rag, tmp_path, notes):
    with pytest.raises(InputError, match="no index yet"):
        rag.search("x")
    with pytest.raises(NotACollection):
        rag.search("x", index_name="unknown")
    with pytest.raises(InputError, match="nothing is encoded"):
        rag.search_encoded_docs("x")
    with pytest.raises(InputError, match="Write \\[text\\]"):
        rag.index("a text")
    with pytest.raises(InputError, match="no text but int: document 1"):
        rag.rerank("x", ["a", 1])
    with pytest.raises(InputError, match="k is 0"):
        rag.rerank("x", ["a"], k=0)
    with interlace.create(tmp_path / "bare.lace", model=None, dim=8):
        pass
    with pytest.raises(CollectionError, match="the collection has no model"):
        RAGPretrainedModel.from_index(tmp_path / "bare.lace")


def test_an_index_of_plaid_is_converted_first(rag, tmp_path):
    with pytest.raises(InputError, match=r"interlace import .*stanford-4 --to"):
        RAGPretrainedModel.from_index(GOLDEN / "stanford-4")
    other = tmp_path / "colbert" / "indexes" / "x"
    other.mkdir(parents=True)
    (other / "mine.txt").write_text("mine")
    with pytest.raises(CollectionError, match="holds something else"):
        rag.index([SKY], index_name="x")
    assert (other / "mine.txt").exists()


# --- LangChain -----------------------------------------------------------------------------------
def test_without_langchain_its_extra_is_named(rag, monkeypatch):
    monkeypatch.delitem(sys.modules, "interlace.integrations.ragatouille_langchain", raising=False)
    monkeypatch.setitem(sys.modules, "langchain_core.retrievers", None)
    with pytest.raises(MissingExtra, match=r"interlace\[langchain\]"):
        rag.as_langchain_retriever()


def test_c79_langchain(rag):
    documents = pytest.importorskip("langchain_core.documents")
    rag.index([SKY, SEA], ["sky", "sea"], METADATA, index_name="x")
    retriever = rag.as_langchain_retriever(k=1)
    runs = retriever.batch(["blue sky", "salty sea"])
    assert [[one.page_content for one in run] for run in runs] == [[SKY], [SEA]]
    about = runs[1][0].metadata
    score = rag.search("salty sea", k=1)[0]["score"]
    where = {"document_id": "sea", "passage_id": 1, "rank": 1, "score": score}
    assert about == {"about": "water", "interlace": where}
    about["about"] = "changed"
    assert retriever.invoke("salty sea")[0].metadata["about"] == "water"

    given = [documents.Document(page_content=text, metadata={"n": [1]}) for text in (SKY, ICE)]
    compressor = rag.as_langchain_document_compressor(k=1)
    (best,) = compressor.compress_documents(given, "why does ice float")
    assert best.page_content == ICE
    score = rag.rerank("why does ice float", [ICE])[0]["score"]
    assert best.metadata == {"n": [1], "relevance_score": score}
    best.metadata["n"].append(2)
    assert given[1].metadata == {"n": [1]}


def test_c79_two_queries_in_one_call_give_two_lists_whose_metadata_are_their_own(rag):
    given = [{"about": ["sky"]}, {"about": ["sea"]}]
    rag.index([SKY, SEA], ["sky", "sea"], given, index_name="x")
    rag.encode([SKY, SEA], document_metadatas=given)
    for search in (rag.search, rag.search_encoded_docs):
        first, second = search(["salty sea", "salt in the sea"], k=1)
        for query, (best,) in (("salty sea", first), ("salt in the sea", second)):
            assert best == search(query, k=1)[0]
            assert best["document_metadata"] == {"about": ["sea"]}
        first[0]["document_metadata"]["about"].append("changed")
        assert second[0]["document_metadata"] == {"about": ["sea"]}
        assert search("salty sea", k=1)[0]["document_metadata"] == {"about": ["sea"]}
    assert given == [{"about": ["sky"]}, {"about": ["sea"]}]


def test_without_a_splitter_a_document_is_one_passage(rag):
    rag.index([LONG, ICE], index_name="x", document_splitter_fn=None)
    assert {one["content"] for one in rag.search("salty sea")} == {LONG, ICE}
    whole = CorpusProcessor(document_splitter_fn=None).process_corpus([LONG], ["a"])
    assert whole == [{"document_id": "a", "content": LONG}]


def test_their_splitter_may_be_named(rag):
    rag.index([LONG], index_name="x", document_splitter_fn=llama_index_sentence_splitter,
              max_document_length=60)  # fmt: skip
    assert rag.search("salty sea", k=1)[0]["content"] == SEA


def test_a_checkpoint_that_colbert_saved_scores_as_colbert_does(saved_by_colbert, tmp_path):
    folder, texts, matrices, queries = saved_by_colbert
    rag = RAGPretrainedModel.from_pretrained(folder, index_root=tmp_path)
    path = rag.index(texts, list(range(len(texts))), split_documents=False)
    rag = RAGPretrainedModel.from_index(path)
    for (text, query), hits in zip(queries.items(), rag.search([*queries], k=99), strict=True):
        theirs = [np.maximum.reduce(rows @ query.T).sum() for rows in matrices]
        assert len(hits) == len(texts)
        expected = [theirs[one["document_id"]] for one in hits]
        assert [one["score"] for one in hits] == pytest.approx(expected, rel=0.01)
        for one in rag.rerank(text, texts, k=len(texts)):
            assert one["score"] == pytest.approx(theirs[one["result_index"]], abs=1e-3)

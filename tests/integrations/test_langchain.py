"""LangChain: its standard suites in full, and what they do not ask."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("langchain_core")
pytest.importorskip("langchain_tests")

from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.indexing import InMemoryRecordManager, index
from langchain_core.runnables import RunnablePassthrough
from langchain_tests.integration_tests import (
    RetrieversIntegrationTests,
    VectorStoreIntegrationTests,
)

import interlace
from interlace.errors import InputError
from interlace.integrations.langchain import (
    InterlaceCompressor,
    InterlaceRetriever,
    InterlaceVectorStore,
)

TEXTS = [
    "Rayleigh scattering makes the sky blue.",
    "Rivers carry minerals into the sea and leave it salty.",
    "Ice is less dense than water, so it floats.",
]
METADATA = [
    {"year": 1871, "tags": ["light"]},
    {"year": 2021, "tags": ["sea", "salt"]},
    {"year": 2024},
]


class TestVectorStore(VectorStoreIntegrationTests):
    """Compares whole documents, so results are asked for without their places."""

    @pytest.fixture
    def vectorstore(self, new_collection):
        return InterlaceVectorStore(new_collection(), places=False)


class TestRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _facts(self, notes):
        notes.add(TEXTS)
        self.notes = notes

    @property
    def retriever_constructor(self):
        return InterlaceRetriever

    @property
    def retriever_constructor_params(self):
        return {"collection": self.notes}

    @property
    def retriever_query_example(self):
        return "why is the sea salty"


@pytest.fixture
def store(notes):
    made = InterlaceVectorStore(notes)
    made.add_texts(TEXTS, METADATA, ids=["sky", "sea", "ice"])
    return made


def test_a_result_has_id_score_metadata_and_place(store):
    (found,) = store.similarity_search("why is the sea salty", k=1)
    assert (found.id, found.page_content) == ("sea", TEXTS[1])
    place = found.metadata.pop("interlace")
    assert found.metadata == METADATA[1]
    assert (place["start"], place["end"], place["passage"]) == (0, len(TEXTS[1]), 0)
    assert place["rank"] == 1
    ((_, score),) = store.similarity_search_with_score("why is the sea salty", k=1)
    assert place["score"] == score == store.collection.search("why is the sea salty")[0].score


def test_a_result_that_is_added_again_changes_nothing(store):
    found = store.similarity_search("why is the sea salty", k=3)
    store.add_documents(found)
    (sea,) = store.get_by_ids(["sea"])
    assert sea.metadata == METADATA[1]
    assert len(store.collection) == 3


def test_passages_of_a_file_say_where_they_stand(notes, tmp_path):
    page = tmp_path / "notes.md"
    parts = [f"## Part {i}\n\n{f'{text} ' * 30}" for i, text in enumerate(TEXTS)]
    text = "\n\n".join(["# Light", *parts])
    page.write_text(text)
    notes.index(page)
    for by, n in (("passage", 3), ("document", 1)):
        found = InterlaceVectorStore(notes).similarity_search("salt of the sea", k=3, by=by)
        assert len(found) == n
        place = found[0].metadata["interlace"]
        assert text[place["start"] : place["end"]] == found[0].page_content
        assert place["start"] > 0
        assert place["file"].endswith("notes.md")
        assert place["line"] > 1
        assert place["headings"] == ["Light", "Part 1"]


def test_c79_two_queries_give_two_lists_whose_metadata_are_their_own(store):
    retriever = store.as_retriever(search_kwargs={"k": 2})
    one, two = retriever.batch(["why is the sea salty", "salt in the sea"])
    assert one[0].id == two[0].id == "sea"
    assert len(one) == len(two) == 2
    runs = store.collection.search_many(["why is the sea salty", "salt in the sea"], 2)
    assert [[found.metadata["interlace"]["score"] for found in run] for run in (one, two)] == [
        [hit.score for hit in hits] for hits in runs
    ]
    one[0].metadata["tags"].append("changed")
    assert two[0].metadata["tags"] == METADATA[1]["tags"]
    (again,) = store.similarity_search("why is the sea salty", k=1)
    assert again.metadata["tags"] == METADATA[1]["tags"]


@pytest.mark.parametrize("where", [{"year": {"$gte": 2020}}, "year >= 2020"])
def test_filters_are_those_of_where(store, where):
    found = store.similarity_search("why is the sky blue", k=3, filter=where)
    assert {one.id for one in found} == {"sea", "ice"}
    retriever = InterlaceRetriever(collection=store.collection, filter=where)
    assert {one.id for one in retriever.invoke("why is the sky blue")} == {"sea", "ice"}
    assert store.delete(filter=where)
    assert list(store.collection.ids()) == ["sky"]


def test_delete_without_ids_deletes_all_as_langchain_says(store):
    assert store.delete(["nobody"])
    assert len(store.collection) == 3
    assert store.delete()
    assert len(store.collection) == 0
    assert store.delete()


def test_ids_and_a_filter_together_are_refused(store):
    with pytest.raises(InputError):
        store.delete(["sky"], filter={"year": 2021})
    assert len(store.collection) == 3


def test_relevance_is_between_0_and_1_and_can_be_a_threshold(store):
    query = "why is the sea salty"
    found = store.similarity_search_with_relevance_scores(query, k=3)
    assert all(0 <= relevance <= 1 for _, relevance in found)
    best = max(relevance for _, relevance in found)
    retriever = store.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"score_threshold": best}
    )
    assert [one.id for one in retriever.invoke(query)] == ["sea"]
    assert [one.id for one in asyncio.run(retriever.ainvoke(query))] == ["sea"]
    with pytest.raises(InputError, match="mode='lexical'"):
        store.similarity_search_with_relevance_scores(query, mode="lexical")


@pytest.mark.parametrize("mode", ["late", "lexical", "hybrid"])
def test_searches_take_what_the_collection_takes(store, mode):
    found = store.similarity_search_with_score("sea", k=1, mode=mode, effort="exhaustive")
    assert [(one.id, score) for one, score in found] == [
        (hit.id, hit.score) for hit in store.collection.search("sea", k=1, mode=mode)
    ]
    with pytest.raises(TypeError, match="moed"):
        store.similarity_search("sea", moed=mode)


def test_single_vectors_are_refused_with_a_remedy(store):
    with pytest.raises(InputError, match="similarity_search"):
        store.similarity_search_by_vector([0.1, 0.2])
    with pytest.raises(InputError, match="similarity_search"):
        store.max_marginal_relevance_search_by_vector([0.1, 0.2])
    with pytest.raises(InputError, match="search_type='similarity'"):
        store.as_retriever(search_type="mmr").invoke("sea")
    with pytest.raises(InputError, match="DeterministicFakeEmbedding"):
        InterlaceVectorStore.from_texts(TEXTS, DeterministicFakeEmbedding(size=6), path="x.lace")


def test_c80_made_from_texts_closed_opened_added_to_and_deleted_from(tmp_path, encoder):
    path = tmp_path / "facts.lace"
    store = InterlaceVectorStore.from_texts(
        TEXTS[:1], encoder, METADATA[:1], ids=["sky"], path=path
    )
    store.collection.close()
    documents = [Document(TEXTS[1], id="sea"), Document(TEXTS[2], id="ice")]
    store = InterlaceVectorStore.from_documents(documents, encoder, path=path)
    store.collection.close()
    with interlace.open(path, encoder) as collection:
        store = InterlaceVectorStore(collection)
        assert {one.id for one in store.similarity_search("sea", k=9)} == {"sky", "sea", "ice"}
        store.delete(["sky"])
        assert {one.id for one in store.similarity_search("sea", k=9)} == {"sea", "ice"}


def test_whole_numbers_are_ids_as_they_were(notes):
    notes.add([{"id": 7, "text": TEXTS[0]}, {"id": "8", "text": TEXTS[1]}])
    store = InterlaceVectorStore(notes)
    assert [one.id for one in store.get_by_ids(["7", "8"])] == ["7", "8"]
    assert store.add_texts([TEXTS[2]], ids=["7"]) == ["7"]
    assert list(notes.ids()) == [7, "8"] or set(notes.ids()) == {7, "8"}
    store.delete(["7", "07"])
    assert list(notes.ids()) == ["8"]


def test_a_text_without_id_is_known_by_itself_and_its_metadata(notes):
    store = InterlaceVectorStore(notes)
    first = store.add_texts([TEXTS[0], TEXTS[0]], [{"page": 1}, {"page": 2}])
    assert len(set(first)) == 2
    assert store.add_texts([TEXTS[0], TEXTS[0]], [{"page": 1}, {"page": 2}]) == first
    assert len(notes) == 2
    with pytest.raises(InputError, match="1 texts but 2 metadatas"):
        store.add_texts([TEXTS[0]], [{}, {}])


def test_langchains_indexing_updates_and_cleans_up(notes):
    store, records = InterlaceVectorStore(notes), InMemoryRecordManager("notes")
    records.create_schema()
    documents = [Document(text, metadata={"source": "facts"}) for text in TEXTS]
    how = {"cleanup": "full", "source_id_key": "source", "key_encoder": "sha256"}
    assert index(documents, records, store, **how)["num_added"] == 3
    done = index(documents[1:], records, store, **how)
    assert (done["num_skipped"], done["num_deleted"]) == (2, 1)
    assert len(notes) == 2


def test_a_retriever_is_a_part_of_a_chain(store):
    chain = {
        "context": InterlaceRetriever(collection=store.collection, k=1)
        | (lambda found: found[0].page_content),
        "question": RunnablePassthrough(),
    } | RunnablePassthrough()
    assert chain.invoke("why is the sea salty")["context"] == TEXTS[1]


def test_a_compressor_orders_and_keeps_ids_and_metadata(encoder):
    documents = [
        Document(text, id=id_, metadata=metadata)
        for text, id_, metadata in zip(TEXTS, ["sky", "sea", "ice"], METADATA, strict=True)
    ]
    compressor = InterlaceCompressor(model=encoder, top_n=2)
    found = compressor.compress_documents(documents, "why is the sea salty")
    assert len(found) == 2
    assert (found[0].id, found[0].page_content) == ("sea", TEXTS[1])
    place = found[0].metadata["interlace"]
    assert place["end"] == len(TEXTS[1])
    assert found[0].metadata["relevance_score"] == place["mean_score"] > 0.5
    assert found[0].metadata["tags"] == METADATA[1]["tags"]
    assert "interlace" not in documents[1].metadata
    again = asyncio.run(compressor.acompress_documents(documents, "why is the sea salty"))
    assert again == found
    assert compressor.compress_documents([], "why is the sea salty") == []


def test_the_compressor_loads_a_model_by_name_once():
    compressor = InterlaceCompressor()
    assert isinstance(compressor.model, interlace.Encoder)
    assert compressor.compress_documents([Document(TEXTS[0])], "sky")[0].page_content == TEXTS[0]

"""LlamaIndex: nodes go in and come back as they were, are found, filtered, deleted, ranked."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("llama_index.core")

from llama_index.core import (
    Document,
    MockEmbedding,
    QueryBundle,
    StorageContext,
    VectorStoreIndex,
    load_index_from_storage,
)
from llama_index.core.llms import MockLLM
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.postprocessor import SimilarityPostprocessor
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import NodeRelationship, NodeWithScore, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    SimpleVectorStore,
    VectorStoreQuery,
)
from llama_index.core.vector_stores.types import VectorStoreQueryMode

import interlace
from interlace.errors import InputError
from interlace.integrations.llama_index import (
    InterlaceRerank,
    InterlaceRetriever,
    InterlaceVectorStore,
    where_of,
)

TEXTS = {
    "sky": "Rayleigh scattering makes the sky blue.",
    "sea": "Rivers carry minerals into the sea and leave it salty.",
    "ice": "Ice is less dense than water, so it floats.",
}
METADATA = {
    "sky": {"year": 1871, "lang": "en", "tags": ["light", "air"], "note": ""},
    "sea": {"year": 2021, "lang": "de", "tags": ["sea", "salt"], "note": None},
    "ice": {"year": 2024, "tags": [], "title": "Ice and Water"},
}
NO_MODEL = MockEmbedding(embed_dim=1)
SALTY = "why is the sea salty"


def nodes():
    return [
        TextNode(
            id_=id_,
            text=text,
            metadata=dict(METADATA[id_]),
            relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=f"book of {id_}")},
        )
        for id_, text in TEXTS.items()
    ]


@pytest.fixture
def store(notes):
    made = InterlaceVectorStore(notes)
    assert made.add(nodes()) == list(TEXTS)
    return made


def one(key, value, operator="=="):
    return MetadataFilters(filters=[MetadataFilter(key=key, value=value, operator=operator)])


def asked(store, query=SALTY, k=3, **settings):
    found = store.query(VectorStoreQuery(query_str=query, similarity_top_k=k, **settings))
    return found.ids


def test_a_result_has_id_score_metadata_and_place(store):
    found = store.query(VectorStoreQuery(query_str=SALTY, similarity_top_k=1))
    (node,), (score,) = found.nodes, found.similarities
    assert found.ids == [node.node_id] == ["sea"]
    assert (node.text, node.ref_doc_id) == (TEXTS["sea"], "book of sea")
    assert (node.start_char_idx, node.end_char_idx) == (0, len(TEXTS["sea"]))
    place = node.metadata.pop("interlace")
    assert node.metadata == METADATA["sea"]
    assert place["score"] == score == store.client.search(SALTY)[0].score
    assert (place["rank"], place["passage"]) == (1, 0)


def test_what_a_model_reads_of_a_result_has_no_place_in_it(store):
    (node,) = store.query(VectorStoreQuery(query_str=SALTY)).nodes
    assert "mean_score" not in node.get_content("llm") + node.get_content("embed")
    assert "year: 2021" in node.get_content("llm")


def test_nodes_come_back_as_they_were(store):
    node = TextNode(text="Basalt.", metadata={"depth": 3}, excluded_llm_metadata_keys=["depth"])
    store.add([node])
    (again,) = store.get_nodes([node.node_id])
    assert again.to_dict() == node.to_dict()
    assert {one.node_id for one in store.get_nodes()} == {*TEXTS, node.node_id}
    assert [one.node_id for one in store.get_nodes(filters=one_year())] == ["sea"]
    assert store.get_nodes(["sky", "nobody"], filters=one_year()) == []


def one_year():
    return one("year", 2021)


def test_a_result_that_is_added_again_changes_nothing(store):
    found = store.query(VectorStoreQuery(query_str=SALTY, similarity_top_k=3)).nodes
    before = {node.node_id: node.metadata for node in store.get_nodes()}
    store.add(found)
    assert {node.node_id: node.metadata for node in store.get_nodes()} == before


# --- filters -------------------------------------------------------------------------------------
FILTERS = [
    (one("year", 2021), {"sea"}),
    (one("year", 2021, "!="), {"sky", "ice"}),
    (one("lang", "en", "!="), {"sea", "ice"}),
    (one("year", 2021, ">"), {"ice"}),
    (one("year", 2021, ">="), {"sea", "ice"}),
    (one("year", 2021, "<"), {"sky"}),
    (one("year", 2021, "<="), {"sky", "sea"}),
    (one("year", [1871, 2024], "in"), {"sky", "ice"}),
    (one("year", [1871, 2024], "nin"), {"sea"}),
    (one("lang", ["en", "de"], "nin"), {"ice"}),
    (one("tags", ["air", "salt"], "any"), {"sky", "sea"}),
    (one("tags", ["sea", "salt"], "all"), {"sea"}),
    (one("tags", ["sea", "air"], "all"), set()),
    (one("tags", "salt", "contains"), {"sea"}),
    (one("title", "and Wat", "text_match"), {"ice"}),
    (one("lang", None, "is_empty"), {"ice"}),
    (one("note", None, "is_empty"), {"sky", "sea", "ice"}),
]


@pytest.mark.parametrize(("filters", "expected"), FILTERS, ids=str)
def test_every_operator_means_what_it_means_in_llama_index(store, filters, expected):
    theirs = SimpleVectorStore()
    theirs.add([node.model_copy(update={"embedding": [1.0]}) for node in nodes()])
    query = VectorStoreQuery(query_embedding=[1.0], similarity_top_k=3, filters=filters)
    try:
        assert set(theirs.query(query).ids) == expected
    except TypeError:  # theirs stumbles over a field that is missing
        assert filters.filters[0].operator in ("any", "all", "contains", "text_match")
    assert set(asked(store, filters=filters)) == expected


def test_conditions_and_nesting(store):
    parts = [*one("year", 2000, ">").filters, *one("lang", "de").filters]
    for condition, expected in (
        (FilterCondition.AND, {"sea"}),
        (FilterCondition.OR, {"sea", "ice"}),
        (FilterCondition.NOT, {"sky"}),
    ):
        filters = MetadataFilters(filters=parts, condition=condition)
        assert set(asked(store, filters=filters)) == expected
        nested = MetadataFilters(filters=[filters], condition=FilterCondition.NOT)
        assert set(asked(store, filters=nested)) == set(TEXTS) - expected
    assert where_of(None) is where_of(MetadataFilters(filters=[])) is None
    assert len(asked(store, filters=MetadataFilters(filters=[]))) == 3


def test_filters_that_cannot_be_said_are_refused(store):
    with pytest.raises(InputError, match="regards capitals"):
        asked(store, filters=one("title", "ice", "text_match_insensitive"))
    with pytest.raises(InputError, match=r"'yaer'.*year"):
        asked(store, filters=one("yaer", 2021))


def test_an_empty_list_is_not_found_as_the_page_says(store):
    assert asked(store, filters=one("tags", None, "is_empty")) == []


def test_every_operator_is_known():
    for operator in set(FilterOperator) - {FilterOperator.TEXT_MATCH_INSENSITIVE}:
        assert where_of(
            one("year", [1] if operator in ("in", "nin", "any", "all") else 1, operator)
        )


def test_queries_of_named_nodes_and_documents(store):
    assert set(asked(store, node_ids=["sky", "ice", "nobody"])) == {"sky", "ice"}
    assert asked(store, node_ids=["nobody"]) == []
    assert asked(store, doc_ids=["book of ice"]) == ["ice"]
    assert asked(store, doc_ids=["book of ice", "book of sea"], filters=one_year()) == ["sea"]


# --- searches ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("mode", "ours"),
    [("default", None), ("hybrid", "hybrid"), ("semantic_hybrid", "hybrid"),
     ("sparse", "lexical"), ("text_search", "lexical")],
)  # fmt: skip
def test_modes_are_those_of_the_collection(store, mode, ours):
    query = VectorStoreQuery(
        query_str="salty sea", similarity_top_k=3, mode=VectorStoreQueryMode(mode)
    )
    expected = store.client.search("salty sea", k=3, mode=ours)
    assert store.query(query).similarities == [hit.score for hit in expected]
    exact = asyncio.run(store.aquery(query, effort="exhaustive"))
    assert exact.ids == [hit.id for hit in expected]


def test_a_mode_of_the_store_holds_where_a_query_has_none(notes):
    store = InterlaceVectorStore(notes, mode="late", by="document")
    store.add(nodes())
    (score,) = store.query(VectorStoreQuery(query_str=SALTY)).similarities
    assert score == notes.search(SALTY, mode="late")[0].score
    both = VectorStoreQuery(
        query_str=SALTY, mode=VectorStoreQueryMode.HYBRID, similarity_top_k=1, hybrid_top_k=2
    )
    assert len(store.query(both).ids) == 2


def test_what_needs_single_vectors_is_refused(store):
    with pytest.raises(InputError, match="query_str"):
        store.query(VectorStoreQuery(query_embedding=[0.1]))
    with pytest.raises(InputError, match=r"'mmr'.*hybrid"):
        asked(store, mode=VectorStoreQueryMode.MMR)
    with pytest.raises(InputError, match="alpha"):
        asked(store, alpha=0.5)


# --- insert and delete ---------------------------------------------------------------------------
def test_c80_an_index_is_built_closed_opened_inserted_into_and_deleted_from(tmp_path, encoder):
    path = tmp_path / "books.lace"
    books = [Document(text=text, doc_id=id_, metadata={"id": id_}) for id_, text in TEXTS.items()]
    collection = interlace.create(path, encoder)
    context = StorageContext.from_defaults(vector_store=InterlaceVectorStore(collection))
    index = VectorStoreIndex.from_documents(
        books[:2],
        storage_context=context,
        embed_model=NO_MODEL,
        transformations=[SentenceSplitter()],
    )
    (found,) = index.as_retriever(similarity_top_k=1).retrieve(SALTY)
    assert (found.node.ref_doc_id, found.text) == ("sea", TEXTS["sea"])
    index.insert(books[2])
    index.delete_ref_doc("sky")
    collection.close()
    with interlace.open(path, encoder) as collection:
        store = InterlaceVectorStore(collection)
        index = VectorStoreIndex.from_vector_store(store, embed_model=NO_MODEL)
        retriever = index.as_retriever(similarity_top_k=9)
        assert {found.node.ref_doc_id for found in retriever.retrieve(SALTY)} == {"sea", "ice"}
        only = index.as_retriever(filters=one("id", "ice"))
        assert [found.node.ref_doc_id for found in asyncio.run(only.aretrieve(SALTY))] == ["ice"]
        index.delete_nodes([found.node.node_id for found in only.retrieve(SALTY)])
        changed = Document(text="Brine freezes late.", doc_id="sea", metadata={"id": "sea"})
        index.delete_ref_doc("sea")
        index.insert(changed)
        (found,) = retriever.retrieve(SALTY)
        assert found.text == changed.text
        assert found.score == found.metadata["interlace"]["score"]


def test_c80_an_index_of_nodes_is_persisted_loaded_inserted_into_and_deleted_from(
    notes, reopen, tmp_path
):
    context = StorageContext.from_defaults(vector_store=InterlaceVectorStore(notes))
    VectorStoreIndex(nodes()[:2], storage_context=context, embed_model=NO_MODEL)
    context.persist(tmp_path / "persisted")
    context = StorageContext.from_defaults(
        vector_store=InterlaceVectorStore(reopen(notes)), persist_dir=tmp_path / "persisted"
    )
    index = load_index_from_storage(context, embed_model=NO_MODEL)
    index.insert_nodes(nodes()[2:])
    index.delete_nodes(["sky"])
    found = index.as_retriever(similarity_top_k=9).retrieve(SALTY)
    assert [one.node.node_id for one in found] == ["sea", "ice"]
    assert found[0].node.text == TEXTS["sea"]


def test_deleting(store):
    store.delete("book of nobody")
    store.delete_nodes()
    assert len(store.client) == 3
    store.delete("book of sky")
    store.delete_nodes(filters=one_year())
    assert list(store.client.ids()) == ["ice"]
    store.delete_nodes(["ice", "nobody"])
    assert store.get_nodes() == []
    asyncio.run(store.async_add(nodes()))
    store.clear()
    assert asked(store) == []


def test_long_nodes_are_found_by_their_passages(notes):
    text = " ".join(f"{one} " * 30 for one in TEXTS.values())
    book = "Title. " + text
    node = TextNode(text=text, start_char_idx=7, end_char_idx=len(book))
    store = InterlaceVectorStore(notes)
    store.add([node])
    found = store.query(VectorStoreQuery(query_str="salt of the sea", similarity_top_k=3)).nodes
    assert len(found) == 3
    for passage in found:
        assert book[passage.start_char_idx : passage.end_char_idx] == passage.text
        place = passage.metadata["interlace"]
        assert text[place["start"] : place["end"]] == passage.text
    assert "salty" in found[0].text


# --- a collection that LlamaIndex has not filled -------------------------------------------------
@pytest.fixture
def folder(notes, tmp_path):
    (tmp_path / "docs").mkdir()
    for id_, text in TEXTS.items():
        (tmp_path / "docs" / f"{id_}.md").write_text(f"# On {id_}\n\n{text}\n")
    notes.index(tmp_path / "docs")
    notes.add([{"id": 7, "text": "Basalt is cooled lava.", "metadata": {"year": 2021}}])
    return notes


def test_a_retriever_finds_files_and_says_where(folder):
    found = InterlaceRetriever(folder, similarity_top_k=1).retrieve(SALTY)
    place = found[0].node.metadata["interlace"]
    assert place["file"].endswith("sea.md")
    assert place["headings"] == ["On sea"]
    assert place["line"] == 1
    assert found[0].node.ref_doc_id == found[0].node.node_id
    assert found[0].node.end_char_idx == place["end"] > len(TEXTS["sea"])


@pytest.mark.parametrize("filters", [one_year(), {"year": 2021}, "year = 2021"])
def test_a_retriever_takes_filters_of_both(folder, filters):
    retriever = InterlaceRetriever(folder, filters=filters)
    assert [found.node.node_id for found in asyncio.run(retriever.aretrieve("stone"))] == ["7"]


def test_a_store_on_a_folder_gets_and_deletes_by_id(folder):
    store = InterlaceVectorStore(folder)
    assert [node.text for node in store.get_nodes(["7"])] == ["Basalt is cooled lava."]
    store.delete("7")
    store.delete("7")
    assert len(folder) == 3


def test_c79_two_queries_give_two_lists_whose_metadata_are_their_own(store):
    retriever = InterlaceRetriever(store.client, similarity_top_k=2)
    first, second = retriever.retrieve(SALTY), retriever.retrieve("salt in the sea")
    assert len(first) == len(second) == 2
    assert first[0].node.node_id == second[0].node.node_id == "sea"
    first[0].node.metadata["tags"].append("changed")
    assert second[0].node.metadata["tags"] == METADATA["sea"]["tags"]
    assert retriever.retrieve(SALTY)[0].node.metadata["tags"] == METADATA["sea"]["tags"]


# --- rerank --------------------------------------------------------------------------------------
def test_a_postprocessor_orders_and_leaves_what_it_is_given_alone(encoder):
    given = [NodeWithScore(node=node, score=0.1) for node in nodes()]
    rerank = InterlaceRerank(model=encoder, top_n=2, keep_retrieval_score=True)
    found = rerank.postprocess_nodes(given, query_str=SALTY)
    assert len(found) == 2
    assert (found[0].node.node_id, found[0].text) == ("sea", TEXTS["sea"])
    assert found[0].score == found[0].metadata["interlace"]["score"] > found[1].score
    assert found[0].metadata["interlace"]["end"] == len(TEXTS["sea"])
    assert found[0].metadata["retrieval_score"] == 0.1
    assert found[0].metadata["tags"] == METADATA["sea"]["tags"]
    assert all(one.score == 0.1 and "interlace" not in one.metadata for one in given)
    again = asyncio.run(rerank.apostprocess_nodes(given, QueryBundle(SALTY)))
    assert [one.score for one in again] == [one.score for one in found]
    assert rerank.postprocess_nodes([], query_str=SALTY) == []
    with pytest.raises(InputError, match="query_str"):
        rerank.postprocess_nodes(given)


def test_the_postprocessor_loads_a_model_by_name_once():
    assert isinstance(InterlaceRerank().model, interlace.Encoder)


def test_a_query_engine_answers_from_what_was_found(store, encoder):
    engine = RetrieverQueryEngine.from_args(
        InterlaceRetriever(store.client),
        llm=MockLLM(),
        node_postprocessors=[
            InterlaceRerank(model=encoder, top_n=2),
            SimilarityPostprocessor(similarity_cutoff=1.0),
        ],
    )
    answer = engine.query(SALTY)
    assert answer.source_nodes[0].node.node_id == "sea"
    assert TEXTS["sea"] in str(answer)

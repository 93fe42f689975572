"""Haystack: its reusable suites for document stores, pipelines, rankers, and fastRAG's names."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

pytest.importorskip("haystack")

from haystack import Document, Pipeline
from haystack.components.builders import PromptBuilder
from haystack.components.joiners import DocumentJoiner
from haystack.components.writers import DocumentWriter
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy, FilterPolicy
from haystack.errors import FilterError
from haystack.testing import document_store as suite
from haystack.testing import document_store_async as async_suite

import interlace
from interlace.errors import InputError, NotACollection
from interlace.integrations.haystack import (
    ColBERTRanker,
    ColBERTRetriever,
    InterlaceDocumentStore,
    InterlaceRanker,
    InterlaceRetriever,
    MaxSimRanker,
    PLAIDDocumentStore,
    where_of,
)

TEXTS = {
    "sky": "Rayleigh scattering makes the sky blue.",
    "sea": "Rivers carry minerals into the sea and leave it salty.",
    "ice": "Ice is less dense than water, so it floats.",
}
META = {
    "sky": {"year": 1871, "lang": "en", "tags": ["light"]},
    "sea": {"year": 2021, "lang": "de", "tags": ["sea", "salt"]},
    "ice": {"year": 2024, "day": "2024-05-01"},
}
#: Haystack loads classes of modules that are named, and of its own.
OURS = ["interlace.integrations.haystack"]

SALTY = "why is the sea salty"


# --- Haystack's own suites -----------------------------------------------------------------------
@pytest.fixture
def document_store(notes):
    return InterlaceDocumentStore(notes)


def without_embeddings(documents):
    return [replace(one, embedding=None) for one in documents]


class WithoutEmbeddings:
    """The hook that the suites have for a store that keeps no vector of a whole document."""

    @staticmethod
    def assert_documents_are_equal(received, expected):
        assert received == without_embeddings(expected)


class TestStore(
    WithoutEmbeddings,
    suite.DocumentStoreBaseExtendedTests,
    suite.CountDocumentsByFilterTest,
    suite.CountUniqueMetadataByFilterTest,
    suite.GetMetadataFieldsInfoTest,
    suite.GetMetadataFieldMinMaxTest,
    suite.GetMetadataFieldUniqueValuesTest,
):
    @pytest.fixture
    def document_store(self, notes):
        return InterlaceDocumentStore(notes)

    def test_write_documents(self, document_store):
        """The suite leaves the default policy to the store: here it replaces."""
        assert document_store.write_documents([Document(id="1", content="old")]) == 1
        new = Document(id="1", content="new")
        assert document_store.write_documents([new]) == 1
        assert document_store.filter_documents() == [new]


class TestStoreAsync(
    WithoutEmbeddings,
    async_suite.DeleteAllAsyncTest,
    async_suite.CountDocumentsAsyncTest,
    async_suite.CountDocumentsByFilterAsyncTest,
    async_suite.CountUniqueMetadataByFilterAsyncTest,
    async_suite.DeleteByFilterAsyncTest,
    async_suite.WriteDocumentsAsyncTest,
    async_suite.DeleteDocumentsAsyncTest,
    async_suite.FilterDocumentsAsyncTest,
    async_suite.UpdateByFilterAsyncTest,
    async_suite.GetMetadataFieldsInfoAsyncTest,
    async_suite.GetMetadataFieldMinMaxAsyncTest,
    async_suite.GetMetadataFieldUniqueValuesAsyncTest,
):
    @pytest.fixture
    def document_store(self, notes):
        return InterlaceDocumentStore(notes)

    async def test_write_documents_async(self, document_store):
        """The suite leaves the default policy to the store: here it replaces."""
        await document_store.write_documents_async([Document(id="1", content="old")])
        new = Document(id="1", content="new")
        assert await document_store.write_documents_async([new]) == 1
        assert await document_store.filter_documents_async() == [new]


def test_every_suite_that_haystack_has_is_run():
    for module, ours in ((suite, TestStore), (async_suite, TestStoreAsync)):
        suites = [one for name, one in vars(module).items() if name.endswith("Test")]
        assert [one for one in suites if not issubclass(ours, one)] == []


# --- the store -----------------------------------------------------------------------------------
@pytest.fixture
def store(document_store):
    written = [Document(id=id_, content=text, meta=META[id_]) for id_, text in TEXTS.items()]
    assert document_store.write_documents(written) == 3
    return document_store


def test_policies(store):
    new, known = Document(id="new", content="New."), Document(id="sky", content="Grey.")
    with pytest.raises(DuplicateDocumentError, match="'sky'"):
        store.write_documents([new, known], policy=DuplicatePolicy.FAIL)
    with pytest.raises(DuplicateDocumentError, match="'new'"):
        store.write_documents([new, new], policy=DuplicatePolicy.FAIL)
    assert store.count_documents() == 3
    assert store.write_documents([new, known], policy=DuplicatePolicy.SKIP) == 1
    (sky,) = store.filter_documents({"field": "meta.year", "operator": "==", "value": 1871})
    assert sky.content == TEXTS["sky"]
    assert store.write_documents([new, known], policy=DuplicatePolicy.OVERWRITE) == 2
    assert known in store.filter_documents()


def test_what_is_no_text_is_refused(store):
    with pytest.raises(InputError, match="no text: picture"):
        store.write_documents([Document(id="picture")])


def test_a_result_that_is_written_again_changes_nothing(store):
    before = store.filter_documents()
    store.write_documents(InterlaceRetriever(store).run(SALTY)["documents"])
    assert store.filter_documents() == before


def test_updates_are_one_commit(store):
    german = {"field": "meta.lang", "operator": "==", "value": "de"}
    assert store.update_by_filter(german, {"seen": True, "lang": "en"}) == 1
    (sea,) = store.filter_documents({"field": "meta.seen", "operator": "==", "value": True})
    assert sea.meta == {**META["sea"], "seen": True, "lang": "en"}


def test_whole_numbers_are_ids_as_they_were(notes):
    notes.add([{"id": 7, "text": "Basalt."}])
    store = InterlaceDocumentStore(notes)
    assert [one.id for one in store.filter_documents()] == ["7"]
    store.write_documents([Document(id="7", content="Cooled lava.")])
    assert list(notes.ids()) == [7]
    store.delete_documents(["7"])
    assert store.count_documents() == 0


# --- filters -------------------------------------------------------------------------------------
def condition(field, operator, value):
    return {"field": field, "operator": operator, "value": value}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (condition("meta.year", ">=", 2021), {"sea", "ice"}),
        (condition("year", "not in", [2021]), {"sky", "ice"}),
        (condition("meta.lang", "!=", "en"), {"sea", "ice"}),
        (condition("meta.lang", "==", None), {"ice"}),
        (condition("meta.day", ">", "2024-01-01"), {"ice"}),
        (condition("meta.day", ">", None), set()),
        ({"operator": "NOT", "conditions": [condition("meta.lang", "==", "en"),
                                            condition("meta.year", "==", 1871)]}, {"sea", "ice"}),
        ({"operator": "OR", "conditions": [
            condition("meta.lang", "==", "en"),
            {"operator": "AND", "conditions": [condition("meta.year", ">", 2000),
                                               condition("meta.lang", "==", "de")]},
        ]}, {"sky", "sea"}),
    ],
    ids=str,
)  # fmt: skip
def test_filters_hold_in_searches_too(store, filters, expected):
    assert {one.id for one in store.filter_documents(filters)} == expected
    found = InterlaceRetriever(store).run(SALTY, filters=filters)["documents"]
    assert {one.id for one in found} == expected


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        (condition("meta.yaer", "==", 1), "'yaer'"),
        (condition("meta.lang", ">", "en"), "ISO dates"),
        (condition("content", "==", "x"), "metadata"),
        (condition("meta.year", "~", 1), "unknown operator '~'"),
        (condition("meta.tags", "==", ["sea", "salt"]), "one value"),
        ({"operator": "AND", "conditions": []}, "no conditions"),
        ({"operator": "XOR", "conditions": []}, "conditions"),
    ],
    ids=str,
)
def test_what_cannot_be_filtered_by_is_a_filter_error(store, filters, said):
    with pytest.raises(FilterError, match=said):
        store.filter_documents(filters)
    with pytest.raises(FilterError, match=said):
        InterlaceRetriever(store).run(SALTY, filters=filters)


def test_what_else_is_wrong_with_a_search_is_no_filter_error(store):
    with pytest.raises(InputError, match="k is 0"):
        store.search("where", 0, condition("meta.year", "==", 2021))


def test_deleting_by_a_filter_that_says_nothing_is_refused(store):
    with pytest.raises(FilterError, match="empty filter"):
        store.delete_by_filter({})
    assert where_of({}) is where_of(None) is None
    assert store.count_documents() == 3


# --- retrievers and pipelines --------------------------------------------------------------------
def test_a_result_has_id_score_metadata_and_place(store):
    (found,) = InterlaceRetriever(store, top_k=1).run(SALTY)["documents"]
    assert (found.id, found.content) == ("sea", TEXTS["sea"])
    place = found.meta["interlace"]
    assert {name: found.meta[name] for name in META["sea"]} == META["sea"]
    assert found.score == place["score"] == store.collection.search(SALTY)[0].score
    assert (place["start"], place["end"], place["rank"]) == (0, len(TEXTS["sea"]), 1)


def test_passages_of_a_file_say_where_they_stand(notes, tmp_path):
    parts = [f"## Part {i}\n\n{f'{text} ' * 30}" for i, text in enumerate(TEXTS.values())]
    text = "\n\n".join(["# Light", *parts])
    (tmp_path / "notes.md").write_text(text)
    notes.index(tmp_path / "notes.md")
    for by, n in (("passage", 3), ("document", 1)):
        retriever = InterlaceRetriever(InterlaceDocumentStore(notes), top_k=3, by=by)
        found = retriever.run("salt of the sea")["documents"]
        assert len(found) == n
        place = found[0].meta["interlace"]
        assert text[place["start"] : place["end"]] == found[0].content
        assert place["file"].endswith("notes.md")
        assert place["headings"] == ["Light", "Part 1"]


def test_filters_of_a_run_replace_or_join_those_of_the_retriever(store):
    recent, german = condition("meta.year", ">", 2000), condition("meta.lang", "==", "en")
    for policy, expected in ((FilterPolicy.REPLACE, {"sky"}), (FilterPolicy.MERGE, set())):
        retriever = InterlaceRetriever(store, filters=recent, filter_policy=policy)
        assert {one.id for one in retriever.run(SALTY)["documents"]} == {"sea", "ice"}
        assert {one.id for one in retriever.run(SALTY, filters=german)["documents"]} == expected


@pytest.mark.parametrize("mode", ["late", "lexical", "hybrid"])
def test_modes_are_those_of_the_collection(store, mode):
    retriever = InterlaceRetriever(store, mode=mode, effort="exhaustive")
    found = asyncio.run(retriever.run_async("salty sea", top_k=2))["documents"]
    expected = store.collection.search("salty sea", k=2, mode=mode)
    assert [(one.id, one.score) for one in found] == [(hit.id, hit.score) for hit in expected]


def test_c79_two_queries_give_two_lists_whose_metadata_are_their_own(store):
    retriever = InterlaceRetriever(store, top_k=2)
    first, second = (retriever.run(one)["documents"] for one in (SALTY, "salt in the sea"))
    assert len(first) == len(second) == 2
    first[0].meta["tags"].append("changed")
    assert second[0].meta["tags"] == META["sea"]["tags"]
    assert retriever.run(SALTY)["documents"][0].meta["tags"] == META["sea"]["tags"]


def test_c80_a_pipeline_is_saved_loaded_and_run(tmp_path):
    path = tmp_path / "facts.lace"
    indexing = Pipeline()
    indexing.add_component("writer", DocumentWriter(InterlaceDocumentStore(path)))
    written = [Document(id=id_, content=text, meta=META[id_]) for id_, text in TEXTS.items()]
    indexing.run({"writer": {"documents": written}})
    querying = Pipeline()
    store = InterlaceDocumentStore(path)
    recent = condition("meta.year", ">", 2000)
    querying.add_component("retriever", InterlaceRetriever(store, filters=recent, mode="late"))
    querying.add_component("ranker", InterlaceRanker(top_k=1))
    said = "{{ one.content }} ({{ one.meta.interlace.start }})"
    template = "{% for one in documents %}" + said + "{% endfor %}"
    querying.add_component("prompt", PromptBuilder(template, required_variables="*"))
    querying.connect("retriever", "ranker")
    querying.connect("ranker", "prompt.documents")
    querying = Pipeline.loads(querying.dumps(), allowed_modules=OURS)
    asked = {"retriever": {"query": SALTY}, "ranker": {"query": SALTY}}
    assert querying.run(asked)["prompt"]["prompt"] == f"{TEXTS['sea']} (0)"
    reloaded = querying.get_component("retriever")
    assert (reloaded.filters, reloaded.mode) == (recent, "late")
    reloaded.document_store.delete_documents(["sea"])
    assert querying.run(asked)["prompt"]["prompt"] == f"{TEXTS['ice']} (0)"
    assert store.count_documents() == 2
    for opened in (store, reloaded.document_store):
        opened.collection.close()


def test_joiners_know_documents_by_their_ids(store):
    late = InterlaceRetriever(store, by="document", mode="late").run(SALTY)["documents"]
    words = InterlaceRetriever(store, by="document", mode="lexical").run(SALTY)["documents"]
    joined = DocumentJoiner(join_mode="reciprocal_rank_fusion").run([late, words])["documents"]
    assert joined[0].id == "sea"
    assert len({one.id for one in joined}) == len(joined) == 3


# --- rankers -------------------------------------------------------------------------------------
def test_a_ranker_orders_copies(encoder):
    given = [Document(id=id_, content=text, meta=META[id_]) for id_, text in TEXTS.items()]
    ranker = InterlaceRanker(encoder, top_k=2)
    found = ranker.run(SALTY, given)["documents"]
    assert (len(found), found[0].id, found[0].content) == (2, "sea", TEXTS["sea"])
    assert found[0].score == found[0].meta["interlace"]["score"] > found[1].score
    assert found[0].meta["interlace"]["end"] == len(TEXTS["sea"])
    assert [one.score for one in given] == [None] * 3
    assert "interlace" not in given[1].meta
    assert len(ranker.run(SALTY, given, top_k=3)["documents"]) == 3
    assert ranker.run(SALTY, [])["documents"] == []
    with pytest.raises(InputError, match="Encoder"):
        ranker.to_dict()


def test_a_model_s_folder_is_saved_with_its_pipeline(copy_of_mini, document_store):
    folder = copy_of_mini()
    assert isinstance(folder, Path)
    for ranker in (InterlaceRanker(folder), ColBERTRanker(folder)):
        (saved,) = set(ranker.to_dict()["init_parameters"].values()) - {10}
        assert saved == str(folder)
    document_store.model = folder
    assert document_store.to_dict()["init_parameters"]["model"] == str(folder)


@dataclass
class Multivector(Document):
    """Haystack 3.5's field, for the releases before it."""

    multivector_embedding: list[list[float]] | None = None

    def __post_init__(self) -> None:
        assert self.id


@pytest.mark.parametrize("kind", ["field", "meta"])
def test_token_embeddings_are_ranked_as_texts_are(encoder, kind):
    matrices = encoder.encode_document(list(TEXTS.values()))
    documents = [
        Multivector(id=id_, multivector_embedding=matrix.tolist())
        if kind == "field"
        else Document(id=id_, meta={"multivector_embedding": matrix.tolist()})
        for id_, matrix in zip(TEXTS, matrices, strict=True)
    ]
    (query,) = encoder.encode_query([SALTY])
    ranker = MaxSimRanker(top_k=2)
    found = ranker.run(documents=documents, query_multivector_embedding=query.tolist())["documents"]
    expected = interlace.rerank(SALTY, TEXTS.values(), model=encoder)[:2]
    ids = list(TEXTS)
    assert [one.id for one in found] == [ids[hit.id] for hit in expected]
    assert [one.score for one in found] == pytest.approx([hit.score for hit in expected], abs=1e-4)
    assert documents[1].score is None
    with pytest.raises(InputError, match="InterlaceRanker"):
        ranker.run([Document(id="bare", content="x")], query.tolist())
    with pytest.raises(InputError, match="at least 1"):
        ranker.run(documents, query.tolist(), top_k=0)


# --- fastRAG -------------------------------------------------------------------------------------
@pytest.fixture
def texts_file(tmp_path):
    path = tmp_path / "texts.tsv"
    path.write_text("".join(f"{id_}\t{text}\tOn {id_}\n" for id_, text in TEXTS.items()))
    return path


def test_code_for_fastrag_runs_and_its_limits_are_gone(tmp_path, texts_file, encoder):
    index = tmp_path / "index"
    store = PLAIDDocumentStore(
        index_path=str(index),
        checkpoint_path=encoder,
        collection_path=str(texts_file),
        create=True,
        nbits=2,
        doc_maxlen=60,
    )
    info = store.collection.info()
    assert (info["codec"], info["passage_tokens"]) == ("residual2", 60)
    retriever = ColBERTRetriever(store, top_k=2)
    found = retriever.run(SALTY)["documents"]
    assert [found[0].id, found[0].meta["title"], len(found)] == ["sea", "On sea", 2]
    expected = store.collection.search(SALTY, k=2, mode="late")
    assert [one.score for one in found] == [hit.score for hit in expected]
    assert store.query(SALTY, top_k=2) == found
    assert store.query_batch([SALTY, SALTY], top_k=2) == [found, found]
    assert store.get_document_count() == 3

    store.write_documents([Document(id="brine", content="Salt water freezes late.")])
    only = {"field": "meta.title", "operator": "==", "value": "On ice"}
    assert [one.id for one in retriever.run(SALTY, filters=only)["documents"]] == ["ice"]
    store.delete_documents(["sea"])
    store.collection.close()

    again = PLAIDDocumentStore(index, encoder, texts_file)
    assert [one.id for one in again.filter_documents()] == ["sky", "ice", "brine"]
    again.collection.close()
    again = PLAIDDocumentStore(index, encoder, texts_file, create=True)
    assert {one.id for one in again.filter_documents()} == set(TEXTS)
    again.collection.close()


def test_a_pipeline_with_fastrags_components_is_saved_and_loaded(tmp_path, texts_file):
    store = PLAIDDocumentStore(tmp_path / "index", "mini", texts_file, create=True)
    pipeline = Pipeline()
    pipeline.add_component("retriever", ColBERTRetriever(store, 3))
    pipeline.add_component("ranker", ColBERTRanker("mini", top_k=1, query_maxlen=32))
    pipeline.connect("retriever", "ranker")
    pipeline = Pipeline.loads(pipeline.dumps(), allowed_modules=OURS)
    found = pipeline.run({"retriever": {"query": SALTY}, "ranker": {"query": SALTY}})
    assert [one.id for one in found["ranker"]["documents"]] == ["sea"]
    reloaded = pipeline.get_component("retriever")
    assert (type(reloaded), reloaded.top_k, reloaded.mode) == (ColBERTRetriever, 3, "late")
    for opened in (store, reloaded.document_store):
        opened.collection.close()


def test_what_fastrags_store_needs_is_said(tmp_path):
    with pytest.raises(NotACollection):
        PLAIDDocumentStore(tmp_path / "nothing", "mini")
    with pytest.raises(InputError, match="collection_path"):
        PLAIDDocumentStore(tmp_path / "nothing", "mini", create=True)
    (tmp_path / "bad.csv").write_text("alone\n")
    with pytest.raises(InputError, match=r"bad\.csv"):
        PLAIDDocumentStore(tmp_path / "x", "mini", tmp_path / "bad.csv", create=True)

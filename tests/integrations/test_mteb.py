"""MTEB: its own runner judges collections, on tasks made of local data."""

from __future__ import annotations

import json
import math
import re

import pytest

pytest.importorskip("mteb")

import mteb
from datasets import Dataset
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models.models_protocols import SearchProtocol

import interlace
from interlace.errors import InputError
from interlace.integrations.mteb import InterlaceSearch

pytestmark = pytest.mark.filterwarnings("default")

CORPUS = [
    {"id": "sky", "title": "Sky", "text": "Small particles scatter blue light more than red."},
    {"id": "sea", "title": "", "text": "Rivers carry minerals into the sea, and leave it salty."},
    {"id": "ice", "title": "Ice", "text": "It is lighter than water, and therefore floats."},
]
QUERIES = [{"id": "q1", "text": "why is the ocean salty"}, {"id": "q2", "text": "floating ice"}]
JUDGED = {"q1": {"sea": 1}, "q2": {"ice": 1}}


def task(corpus, queries, judged, *, name="Facts", kind="Retrieval", top_ranked=None):
    class Local(AbsTaskRetrieval):
        metadata = TaskMetadata(
            name=name,
            description="Local data.",
            dataset={"path": "local", "revision": "1"},
            type=kind,
            category="t2t",
            modalities=["text"],
            eval_splits=["test"],
            eval_langs=["eng-Latn"],
            main_score="ndcg_at_10",
        )

        def load_data(self, *_, **__):
            split = {
                "corpus": Dataset.from_list(corpus),
                "queries": Dataset.from_list(queries),
                "relevant_docs": judged,
                "top_ranked": top_ranked,
            }
            self.dataset = {"default": {"test": split}}
            self.data_loaded = True

    return Local()


def scores(search, a_task, **settings):
    ran = mteb.evaluate(
        search, a_task, co2_tracker=False, show_progress_bar=False, **{"cache": None, **settings}
    )
    return ran.task_results[0].scores["test"][0]


def of_facts(search, queries=QUERIES, **settings):
    """Searches without the runner."""
    meta = task(CORPUS, queries, JUDGED).metadata
    where = {"task_metadata": meta, "hf_split": "test", "hf_subset": "default"}
    search.index(Dataset.from_list(CORPUS), **where, encode_kwargs={}, num_proc=None)
    return search.search(
        Dataset.from_list(queries), **where, **{"top_k": 3, **settings}, encode_kwargs={}
    )


@pytest.fixture
def searching(tmp_path, encoder):
    made = []

    def make(**settings):
        made.append(InterlaceSearch(tmp_path / "collections", encoder, **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_it_is_a_search_model(searching):
    assert isinstance(searching(), SearchProtocol)


def test_the_runner_measures_what_a_collection_finds(searching, shared_data, tmp_path):
    folder = shared_data("cranfield")
    corpus = [
        {"id": row["_id"], "title": row["title"], "text": row["text"]}
        for row in rows(folder / "corpus.jsonl")[:250]
    ]
    known = {row["id"] for row in corpus}
    judged: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels" / "test.tsv").read_text().splitlines()[1:]:
        query, document, relevance = line.split("\t")
        if document in known and int(relevance) > 0:
            judged.setdefault(query, {})[document] = int(relevance)
    queries = [
        {"id": row["_id"], "text": row["text"]}
        for row in rows(folder / "queries.jsonl")
        if row["_id"] in judged
    ]
    measured = scores(searching(), task(corpus, queries, judged, name="Cranfield"))

    with interlace.create(tmp_path / "own.lace", model="mini") as own:
        own.add([{"id": one["id"], "text": f"{one['title']} {one['text']}"} for one in corpus])
        runs = own.search_many([one["text"] for one in queries], 10, mode="late")
    ours = [ndcg(judged[one["id"]], hits) for one, hits in zip(queries, runs, strict=True)]
    assert len(queries) > 50
    assert len(set(map(len, judged.values()))) > 3
    assert measured["ndcg_at_10"] == pytest.approx(sum(ours) / len(ours), abs=1e-5)


def rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def ndcg(judged, hits):
    def gained(grades):
        return sum(grade / math.log2(rank + 1) for rank, grade in enumerate(grades, 1))

    return gained(judged.get(hit.id, 0) for hit in hits) / gained(
        sorted(judged.values(), reverse=True)[:10]
    )


def test_a_task_of_reranking_scores_only_what_it_names(searching):
    ranked = {"q1": ["sky", "ice"], "q2": ["ice", "sea"]}
    reranking = task(CORPUS, QUERIES, JUDGED, kind="Reranking", top_ranked=ranked)
    assert scores(searching(), reranking)["recall_at_3"] == 0.5
    found = of_facts(searching(), top_ranked=ranked)
    assert {id_: set(scored) for id_, scored in found.items()} == {
        "q1": {"sky", "ice"},
        "q2": {"ice", "sea"},
    }


def test_what_was_indexed_is_used_again_and_other_settings_are_another_collection(
    searching, tmp_path, monkeypatch
):
    first = of_facts(searching())
    collections = tmp_path / "collections"
    (path,) = collections.iterdir()
    with interlace.open(path) as stored:
        stored.delete(["sea"])
        stored.add([{"id": "gone", "text": "why is the ocean salty"}])
    assert of_facts(searching()) == first
    assert next(iter(first["q1"])) == "sea"
    assert of_facts(searching(effort="exhaustive", mode="hybrid")) != first
    assert len(list(collections.iterdir())) == 1
    of_facts(searching(bits=1, settle=True))
    assert len(list(collections.iterdir())) == 2


def test_the_cache_of_results_tells_settings_apart(searching, tmp_path):
    cache = mteb.ResultCache(tmp_path / "results")
    a_task = task(CORPUS, QUERIES, JUDGED)
    for settings in ({}, {"bits": 1, "settle": True}):
        assert scores(searching(**settings), a_task, cache=cache)["ndcg_at_10"] == 1
    metas = [searching().mteb_model_meta, searching(bits=1).mteb_model_meta]
    assert metas[0] != metas[1]
    assert metas[0].name == "interlace/mini"
    assert metas[0].embed_dim == interlace.Encoder.load("mini").dim
    assert len(list((tmp_path / "results").rglob("Facts.json"))) == 2


def test_instructions_go_after_the_query(searching):
    plain = [{"id": "q1", "text": "why is the ocean salty"}]
    told = [{"id": "q1", "text": "why is the ocean", "instruction": "salty"}]
    assert of_facts(searching(), told) == of_facts(searching(), plain)


def test_what_cannot_be_searched_is_told(searching):
    search = searching()
    where = {"task_metadata": task(CORPUS, QUERIES, JUDGED).metadata, "hf_subset": "default"}
    with pytest.raises(InputError, match="Call index first"):
        search.search(Dataset.from_list(QUERIES), **where, hf_split="test", top_k=3)
    turns = [{"id": "q1", "text": [{"role": "user", "content": "hello"}]}]
    with pytest.raises(InputError, match="conversations"):
        of_facts(search, turns)


def test_a_collection_s_folder_has_a_name_that_every_system_takes(searching, tmp_path):
    named = task(CORPUS, QUERIES, JUDGED).metadata
    for subset in ("en:de", "en/de", "a b"):
        where = {"task_metadata": named, "hf_split": "test", "hf_subset": subset}
        searching().index(Dataset.from_list(CORPUS), **where)
    found = [path.name for path in (tmp_path / "collections").iterdir()]
    assert len(found) == 3
    assert all(re.fullmatch(r"Facts-(en_de|a_b)-test-\w{8}\.lace", name) for name in found)

"""The cases of kind *filter*: what people of other engines met, as they told it."""

from __future__ import annotations

import numpy as np
import pytest

import interlace
from interlace.errors import InputError

DIM = 16
EFFORTS = ["fast", "balanced", "thorough", "exhaustive"]


def rows(rng, centre, n=6):
    found = centre + 0.3 * rng.normal(size=(n, DIM))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    """5,000 documents about the query's topic, five far from it tagged rare, all settled."""
    rng = np.random.default_rng(0)
    near, far = np.eye(DIM)[0], -np.eye(DIM)[0]
    rare = [10, 1_000, 2_500, 4_000, 4_999]
    collection = interlace.create(tmp_path_factory.mktemp("x") / "c.lace", model=None, dim=DIM)
    collection.add(
        (
            {"id": i, "text": f"document {i}", "metadata": {"rare": i in rare, "n": i}}
            for i in range(5_000)
        ),
        embeddings=(rows(rng, far if i in rare else near) for i in range(5_000)),
        token_ids=([0 if i not in rare else 1] * 6 for i in range(5_000)),
    )
    collection.settle()
    yield collection, rare, rows(rng, near, 4)
    collection.close()


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("by", ["document", "passage"])
def test_c56_k_hits_come_back_however_far_they_are(crowded, effort, by):
    collection, rare, query = crowded

    def ids(k, **options):
        hits = collection.search(embeddings=query, k=k, effort=effort, by=by, **options)
        assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
        return [hit.id for hit in hits]

    assert sorted(ids(5, where={"rare": True})) == rare
    assert sorted(ids(50, where="rare = true")) == rare
    assert ids(5, where={"n": -1}) == []
    assert len(ids(7, where={"n": {"$gte": 0}})) == 7
    assert sorted(ids(9, where="rare = true and n < 3000", ids=[10, 11, 4_000])) == [10]
    assert set(ids(300, where={"n": {"$lt": 400}})) <= set(range(400))
    assert len(ids(300, where={"n": {"$lt": 400}})) == 300
    assert len(ids(600, where={"n": {"$lt": 1_500}})) == 600


def test_c56_many_queries_have_one_filter(crowded):
    collection, rare, query = crowded
    for hits in collection.search_many(embeddings=[query, query], k=5, where={"rare": True}):
        assert sorted(hit.id for hit in hits) == rare


def test_c58_hostile_text_is_data_only(tmp_path):
    hostile = "x'); DELETE FROM documents; --"
    records = [
        {"id": "a", "text": "one", "metadata": {"date": "2024-05-01", "said": "it's", "n": 1.5}},
        {"id": "b", "text": "two", "metadata": {"date": "2025-01-31", "said": None, "n": 2}},
        {"id": "c", "text": "three", "metadata": {hostile: hostile, "n": 3}},
    ]
    rng = np.random.default_rng(0)
    with interlace.create(tmp_path / "c.lace", model=None, dim=DIM) as collection:
        collection.add(records, embeddings=[rows(rng, np.eye(DIM)[i]) for i in range(3)])

        def ids(where):
            hits = collection.search(embeddings=np.eye(DIM, dtype=np.float32)[:1], where=where)
            assert sorted(hit.id for hit in hits) == list(collection.ids(where))
            return list(collection.ids(where))

        assert ids({"date": {"$gte": "2024-06-01", "$lt": "2026"}}) == ["b"]
        assert ids({"n": {"$gt": 1.5}}) == ["b", "c"]
        assert ids({"said": "it's"}) == ["a"]
        assert ids('said = "it\'s"') == ["a"]
        assert ids({"said": None}) == ["b", "c"]
        assert ids({"said": {"$exists": True, "$eq": None}}) == ["b"]
        assert ids({hostile: hostile}) == ["c"]
        assert ids({hostile: {"$contains": "DELETE FROM"}}) == ["c"]
        assert ids({"said": hostile}) == []
        assert len(collection) == 3
        collection.delete(["b"])
        collection.update_metadata("c", {"said": "it's", "n": 3})
        assert ids({"n": {"$gt": 1.5}}) == ["c"]
        assert ids({"said": "it's"}) == ["a", "c"]
        assert ids({hostile: hostile}) == []
        assert collection.delete(where={"said": "it's", "n": 3}) == 1
        assert list(collection.ids()) == ["a"]
        assert collection.verify().ok


EMPTY = [
    {},
    "{}",
    " {}",
    {"$or": [{}]},
    '{"$or": [{}]}',
    {"$or": [{"n": 1}, {}]},
    {"$or": [{"no such": 1}, {"$and": [{}]}]},
    {"$and": [{}, {}]},
    {"$and": [{"$or": [{"n": 1}, {}]}, {"n": {"$nin": []}}]},
    {"$not": {"$not": {}}},
    {"$not": {"n": {"$in": []}}},
    {"n": {"$nin": []}},
    {"n": {"$not": {"$in": []}}},
    "n not in []",
    "not (n in [] and n = 1)",
]


@pytest.mark.parametrize("where", EMPTY, ids=repr)
def test_a_filter_that_says_nothing_deletes_nothing(tmp_path, where):
    rng = np.random.default_rng(0)
    with interlace.create(tmp_path / "c.lace", model=None, dim=DIM) as collection:
        collection.add(
            ({"id": i, "text": str(i), "metadata": {"n": i}} for i in range(3)),
            embeddings=(rows(rng, np.eye(DIM)[i]) for i in range(3)),
        )
        with pytest.raises(InputError, match=r"empty filter.*list\(collection\.ids\(\)\)"):
            collection.delete(where=where)
        with collection.writer() as changes:
            with pytest.raises(InputError, match="empty filter"):
                changes.delete(where=where)
            changes.delete([0])
        assert list(collection.ids()) == [1, 2]


@pytest.mark.parametrize(
    "where",
    [{"$not": {}}, {"n": {"$in": []}}, {"$and": [{}, {"n": []}]}, {"$or": [{"n": 1}, {"n": 0}]}],
    ids=repr,
)
def test_a_filter_that_matches_some_or_none_deletes_those(tmp_path, where):
    rng = np.random.default_rng(0)
    with interlace.create(tmp_path / "c.lace", model=None, dim=DIM) as collection:
        collection.add(
            ({"id": i, "text": str(i), "metadata": {"n": i}} for i in range(3)),
            embeddings=(rows(rng, np.eye(DIM)[i]) for i in range(3)),
        )
        matching = list(collection.ids(where=where))
        assert collection.delete(where=where) == len(matching) < 3


def test_delete_takes_ids_or_a_filter(tmp_path):
    rng = np.random.default_rng(0)
    with interlace.create(tmp_path / "c.lace", model=None, dim=DIM) as collection:
        collection.add(
            ({"id": i, "text": str(i), "metadata": {"n": i}} for i in range(30)),
            embeddings=(rows(rng, np.eye(DIM)[i % DIM]) for i in range(30)),
        )
        for wrong in ({}, {"ids": [1], "where": {"n": 1}}):
            with pytest.raises(InputError, match="ids or where, one of the two"):
                collection.delete(**wrong)
        with pytest.raises(InputError, match="Did you mean 'n'"):
            collection.delete(where="nn > 3")
        commit = collection.info()["commit"]
        with collection.writer() as changes:
            changes.add(["new"], embeddings=[rows(rng, np.eye(DIM)[0])])
            changes.update_metadata(0, {"n": 100})
            assert changes.delete(where="n >= 25") == 6
            assert changes.delete(where="n >= 25") == 0
            assert changes.delete([1, 1, 2, "1"]) == 2
        assert collection.info()["commit"] == commit + 1
        assert collection.delete(where="n = null") == 1
        assert list(collection.ids()) == list(range(3, 25))
        assert list(collection.ids(where="n < 5")) == [3, 4]

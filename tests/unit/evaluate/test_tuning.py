"""Tuning finds knobs that are good enough, and the collection keeps them."""

from __future__ import annotations

from dataclasses import asdict, fields

import numpy as np
import pytest
import storing

import interlace
from interlace import evaluate, store
from interlace.errors import InputError, SettingsError

KNOBS = [knob.name for knob in fields(store.Effort)]
LEAST = dict.fromkeys(KNOBS, 1)


def kept(knobs, n_passages: int = 900) -> store.Tuned:
    return store.Tuned(
        knobs=knobs, wanted=0.9, recall=0.9, k=10, p50_us=1.0, n_queries=1, n_passages=n_passages
    )


@pytest.fixture
def query():
    return storing.matrix(5_000, 8)[0]


def counts(hits) -> dict[str, float]:
    """What a search looked at, without times."""
    return {name: n for name, n in hits.profile.items() if not name.endswith("_us")}


def test_what_is_tuned_reaches_the_recall_on_queries_that_did_not_choose_it(vectors):
    report = evaluate.tune(vectors, 0.9, k=2, n_queries=60)
    assert [level.name for level in report.levels] == [*store.EFFORTS, "tuned"]
    assert report.tuned == report.levels[-1]
    assert report.tuned.recall >= 0.9
    assert report.n_queries == 30
    assert report.levels[-2].recall == 1
    told = vectors.info()["tuned"]
    assert told["knobs"] == report.tuned.knobs
    assert told["knobs"] is None or list(told["knobs"]) == KNOBS
    assert (told["recall"], told["wanted"]) == (round(report.tuned.recall, 5), 0.9)


def test_it_is_what_searches_do_from_then_on(vectors, query):
    before = counts(vectors.search(embeddings=query))
    assert before == counts(vectors.search(embeddings=query, effort="balanced"))
    vectors._store.tune(kept(LEAST))
    after = counts(vectors.search(embeddings=query))
    assert after == counts(vectors.search(embeddings=query, effort="tuned"))
    assert after == counts(vectors.search(embeddings=query, effort=store.Effort(**LEAST)))
    assert after == counts(vectors.search_many(embeddings=[query])[0])
    assert after != before
    evaluate.untune(vectors)
    assert vectors.info()["tuned"] is None
    assert counts(vectors.search(embeddings=query)) == before


def test_a_full_recall_is_measured_too(vectors):
    assert evaluate.tune(vectors, 1.0, k=2, n_queries=20).tuned.recall == 1


def test_with_queries_of_ones_own(texts):
    queries = [f"Who called the {noun} number 4?" for noun in ("house", "river", "letter")]
    report = evaluate.tune(texts, 0.8, k=1, queries=queries)
    assert report.n_queries == 1
    assert report.tuned.recall >= 0.8


def test_there_is_nothing_to_tune_where_everything_is_looked_at(new_collection, vectors, query):
    small = new_collection()
    small.add([f"Only a few words of number {i}." for i in range(20)])
    assert evaluate.tune(small).tuned is None  # nothing is settled
    small.settle()
    assert evaluate.tune(small).tuned is None  # all are scored anyway
    assert small.info()["tuned"] is None


@pytest.mark.parametrize("wanted", [0, -1, 1.01, float("nan")])
def test_a_recall_is_a_share(vectors, wanted):
    with pytest.raises(SettingsError, match="recall is"):
        evaluate.tune(vectors, wanted)


def test_wrong_numbers_are_refused(vectors):
    with pytest.raises(SettingsError, match="k is 0"):
        evaluate.tune(vectors, k=0)
    with pytest.raises(SettingsError, match="n_queries is 1"):
        evaluate.tune(vectors, n_queries=1)
    with pytest.raises(InputError, match="nothing to measure with"):
        evaluate.tune(vectors, embeddings=[])


def test_an_effort_that_is_not_there_is_told(vectors, query):
    with pytest.raises(SettingsError, match="not tuned"):
        vectors.search(embeddings=query, effort="tuned")
    with pytest.raises(SettingsError, match=r"Choose one of fast, .*, tuned"):
        vectors.search(embeddings=query, effort="best")


# --- how long it is kept -------------------------------------------------------------------------
LEAST = dict.fromkeys(KNOBS, 1)


def test_others_see_it_and_it_outlives_the_handle(vectors, query):
    with interlace.open(vectors.path) as other:
        before = counts(other.search(embeddings=query))
        vectors._store.tune(kept(LEAST))
        assert counts(other.search(embeddings=query)) != before
        path = vectors.path
        vectors.close()
    with interlace.open(path) as again:
        assert again.info()["tuned"]["knobs"] == LEAST


def test_writing_and_merging_keep_it(vectors):
    vectors._store.tune(kept(LEAST))
    vectors.delete(range(100))
    matrix, _ = storing.matrix(9_000, 12)
    vectors.add(["another"], embeddings=[matrix])
    vectors.settle()
    vectors.compact()
    assert vectors.info()["tuned"]["knobs"] == LEAST
    assert vectors.verify().ok


def test_backups_have_it_and_exports_have_documents_only(vectors, tmp_path):
    vectors._store.tune(kept(LEAST))
    vectors.backup(tmp_path / "backup.lace")
    interlace.restore(tmp_path / "backup.lace", tmp_path / "restored.lace")
    for copy in ("backup.lace", "restored.lace"):
        with interlace.open(tmp_path / copy) as opened:
            assert opened.info()["tuned"]["knobs"] == LEAST
    vectors.export(tmp_path / "all.jsonl", embeddings=True)
    with interlace.create(tmp_path / "new.lace", model=None, dim=storing.DIM) as new:
        new.import_(tmp_path / "all.jsonl")
        assert new.info()["tuned"] is None


def test_a_rebuild_forgets_it(vectors):
    vectors._store.tune(kept(LEAST))
    vectors.rebuild(embeddings=[storing.matrix(i, 12)[0] for i in range(900)])
    assert vectors.info()["tuned"] is None


def test_a_snapshot_keeps_what_it_saw(vectors):
    before = vectors._store.snapshot()
    vectors._store.tune(kept(LEAST))
    assert before.tuned is None
    assert vectors._store.snapshot().tuned == kept(LEAST)


def test_forgetting_nothing_commits_nothing(vectors):
    commit = vectors.info()["commit"]
    evaluate.untune(vectors)
    assert vectors.info()["commit"] == commit


@pytest.mark.parametrize(
    ("n", "is_outgrown"), [(900, False), (450, False), (449, True), (1_800, False), (1_801, True)]
)
def test_a_collection_that_has_become_another_should_be_tuned_again(n, is_outgrown):
    assert kept(None).is_outgrown(n) is is_outgrown


def test_knobs_of_another_version_are_none(vectors, query):
    before = counts(vectors.search(embeddings=query))
    vectors._store.tune(kept({"gone": 1}))
    assert counts(vectors.search(embeddings=query)) == before
    with pytest.raises(SettingsError, match="not tuned"):
        vectors.search(embeddings=query, effort="tuned")


def test_exhaustive_may_be_what_is_tuned(vectors, query):
    vectors._store.tune(kept(None))
    assert vectors.search(embeddings=query).proven
    assert not vectors.search(embeddings=query, effort="fast").proven


def test_what_is_kept_reads_as_it_was_written():
    one = kept(LEAST)
    assert store.tuned.tuned_from(asdict(one)) == one
    assert store.tuned.tuned_from({"knobs": None}) is None
    assert np.isfinite(one.recall)

"""The words of passages live and die with the documents, whatever runs they are in."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import storing
from storing import add, record

from interlace import store
from interlace.errors import Corrupt
from interlace.store import runs
from interlace.text import asked_words, words

TEXTS = {
    "a": "the cat sat on the mat",
    "b": "a dog and a cat, running",
    "c": "Über den Wolken; naïve cafés",
    "d": "東京都の猫",
    "e": "Ёлка и кошки",
    "f": "…",
    "g": "cat " * 300 + "end",
}


def fill(opened, texts=TEXTS):
    add(opened, *(record(id_, text) for id_, text in texts.items()))


def scores(opened, query):
    """BM25 by id; only documents that have any."""
    snapshot = opened.snapshot()
    found = snapshot.lexical(asked_words(query))
    np.testing.assert_array_equal(found.of(found.rows), found.scores)
    others = np.setdiff1d(np.arange(snapshot.n_rows), found.rows)
    assert not found.of(others).any()
    passages = snapshot.passages(found.rows)
    return {p.id: score for p, score in zip(passages, found.scores.tolist(), strict=True)}


def oracle(texts, query):
    """BM25 in plain Python."""
    bags = {id_: Counter(words(text)) for id_, text in texts.items() if words(text)}
    mean = sum(map(Counter.total, bags.values())) / len(bags)
    found = Counter()
    for word in asked_words(query):
        n = sum(word in bag for bag in bags.values())
        for id_, bag in bags.items():
            if word in bag:
                idf = math.log(1 + (len(bags) - n + 0.5) / (n + 0.5))
                count = min(bag[word], 255)
                norm = 1.2 * (0.25 + 0.75 * bag.total() / mean)
                found[id_] += idf * count * 2.2 / (count + norm)
    return dict(found)


def check(opened, texts, *queries):
    for query in queries or ("cat cat mat", "dogs run", "cafe uber", "京都", "елку Ёлка", "x", "…"):
        assert scores(opened, query) == pytest.approx(oracle(texts, query), rel=1e-6), query


def n_runs(opened):
    return len(opened._catalog.runs(opened.commit))


def test_scores_are_bm25(opened):
    fill(opened)
    check(opened, TEXTS)
    assert scores(opened, "") == scores(opened, "?! …") == scores(opened, "unheard") == {}
    assert opened.verify().ok


def test_what_is_deleted_or_replaced_leaves_no_trace(opened):
    fill(opened)
    with opened.write() as writer:
        writer.delete(["a", "d"])
        writer.add(*record("b", "a mat"))
        writer.add(*record("h", "gone at once"))
        writer.delete(["h"])
    left = {id_: text for id_, text in TEXTS.items() if id_ not in "ad"} | {"b": "a mat"}
    check(opened, left)
    assert scores(opened, "gone") == {}
    opened.compact()
    assert n_runs(opened) == 1
    check(opened, left)
    assert opened.verify().ok


def test_what_words_could_have_at_most_does_not_depend_on_the_dead(opened, monkeypatch):
    """Scores of both kinds are scaled by it, and must not change when runs are merged."""
    monkeypatch.setattr("interlace.store.words._PASSAGES_AT_ONCE", 2)
    fill(opened)
    with opened.write() as writer:
        writer.delete(["a", "g"])
    asked = asked_words("cat dog zebra")
    before = opened.snapshot().lexical(asked).most
    opened.compact()
    assert opened.snapshot().lexical(asked).most == before
    check(opened, {id_: text for id_, text in TEXTS.items() if id_ not in "ag"})


def test_a_snapshot_keeps_its_words(opened, folder):
    fill(opened)
    with store.open(folder) as reader:
        before = scores(reader, "cat mat")
        for i in range(20):
            add(opened, record(f"new {i}", f"cat number{i}"))
        with opened.write() as writer:
            writer.delete(["a"])
        opened.compact()
        assert scores(reader, "cat mat") == before
        assert scores(reader, "number7") == {}
        reader.refresh()
        assert scores(reader, "cat mat") == scores(opened, "cat mat") != before
        assert set(scores(reader, "number7")) == {"new 7"}


@pytest.mark.parametrize("settles", ["auto", "manual"])
def test_what_is_kept_between_commits_is_what_another_store_finds(folder, settles):
    """Rows move when segments settle and merge, runs when they merge; nothing is read anew."""
    rng = np.random.default_rng(5)
    texts: dict[int, str] = {}
    with store.create(folder, storing.settings(), settle=settles) as opened:
        for step in range(40):
            with opened.write() as writer:
                for i in range(step * 4, step * 4 + 4):
                    texts[i] = f"cat word{i % 7} word{i % 3} " + "mat " * (i % 5)
                    writer.add(*record(i, texts[i], n_tokens=20))
                for i in rng.choice(list(texts), 2, replace=False).tolist():
                    writer.delete([i])
                    del texts[i]
            if step % 9 == 8:
                opened.settle()
            if step % 17 == 16:
                opened.compact()
            if step % 3:
                check(opened, texts, "cat word2 mat", "word1 word6")
        with store.open(folder) as other:
            assert scores(other, "cat word2 mat") == scores(opened, "cat word2 mat")
        assert opened.verify().ok


def test_a_search_after_a_commit_reads_only_new_runs(opened, monkeypatch):
    fill(opened, {i: f"cat word{i}" for i in range(20)})
    opened.settle()
    scores(opened, "cat")
    read = []
    real = type(opened._catalog).runs

    def noted(catalog, commit, numbers=None):
        read.append(list(numbers))
        return real(catalog, commit, numbers)

    add(opened, record("new", "cat"))
    monkeypatch.setattr(type(opened._catalog), "runs", noted)
    assert len(scores(opened, "cat")) == 21
    assert [len(numbers) for numbers in read] == [1]


def test_a_held_snapshot_is_searched_after_a_newer_one(opened, folder):
    fill(opened)
    with store.open(folder) as reader:
        held = reader.snapshot()
        before = scores(reader, "cat mat")
        add(opened, record("x", "cat"), record("a", "other"))
        opened.settle()
        opened.compact()
        reader.refresh()
        assert scores(reader, "cat mat") != before
        del held.__dict__["_lexicon"]
        reader._snapshot = held
        assert scores(reader, "cat mat") == before


def test_a_writer_that_is_left_leaves_no_words(opened):
    fill(opened)
    writer = opened.write()
    writer.add(*record("z", "zebra"))
    writer.abandon()
    assert scores(opened, "zebra") == {}
    check(opened, TEXTS)


def test_many_small_commits_stay_few_runs(opened):
    texts = {}
    for i in range(60):
        texts[i] = f"cat number{i} and {i % 7}"
        add(opened, record(i, texts[i]))
    assert n_runs(opened) <= runs.RUNS_MAX
    check(opened, texts, "cat 3", "number41", "number0 number59")
    opened.settle()
    check(opened, texts, "cat 3", "number41")
    assert opened.verify().ok


def test_order_of_writing_and_merging_changes_no_score(folder, tmp_path):
    texts = {i: f"word{i % 5} word{i % 3} cat" for i in range(50)}
    with (
        store.create(folder, storing.settings()) as one,
        store.create(tmp_path / "two", storing.settings()) as two,
    ):
        fill(one, texts)
        for i, text in texts.items():
            add(two, record(i, text))
        assert scores(one, "word1 word2 cat") == scores(two, "word1 word2 cat")


def test_large_commits_are_several_runs(opened, monkeypatch):
    monkeypatch.setattr("interlace.store.transaction.POSTINGS_WAITING", 20)
    fill(opened)
    assert n_runs(opened) > 1
    check(opened, TEXTS)


def test_the_most_frequent_words_are_left_out_when_there_are_too_many(opened, monkeypatch):
    texts = {i: f"the number{i}" + " rare" * (i < 3) for i in range(20)}
    fill(opened, texts)
    monkeypatch.setattr("interlace.store.lexical.POSTINGS_MAX", 10)
    assert scores(opened, "the rare number7") == scores(opened, "rare number7")
    assert len(scores(opened, "the")) == 20
    snapshot = opened.snapshot()
    assert not snapshot.lexical(asked_words("the rare number7")).is_whole
    assert snapshot.lexical(asked_words("rare number7 unheard")).is_whole


def test_mostly_dead_runs_are_written_again(opened):
    add(opened, *(record(i, f"old word{i}") for i in range(60)))
    with opened.write() as writer:
        writer.delete(range(50))
    opened.compact()
    (run,) = opened._catalog.runs(opened.commit)
    assert len(run.passages) == 10
    assert scores(opened, "word7") == {}
    assert set(scores(opened, "word57")) == {57}
    for _ in range(2):  # what only older commits could see is purged
        add(opened, record("last", "last"))
    assert not opened._catalog._rows("SELECT * FROM words WHERE word = 'word7'")


def test_a_large_run_is_not_written_again_for_some_dead(opened, monkeypatch):
    """What a commit does under the write lock is bounded; all is for a thorough compaction."""
    add(opened, *(record(i, f"old word{i}") for i in range(60)))
    with opened.write() as writer:
        writer.delete(range(50))
    monkeypatch.setattr(runs, "POSTINGS_A_COMPACTION", 100)
    assert runs.merges(opened._catalog, opened.commit, thorough=False) == []
    monkeypatch.setattr(runs, "POSTINGS_A_COMPACTION", 120)
    assert len(runs.merges(opened._catalog, opened.commit, thorough=False)) == 1
    monkeypatch.setattr(runs, "POSTINGS_A_COMPACTION", 100)
    opened.compact()
    assert n_runs(opened) == 1
    assert opened._catalog._value("SELECT n_postings FROM runs") == 20
    check(opened, {i: f"old word{i}" for i in range(50, 60)}, "old word55")


@pytest.mark.parametrize("n_written", [1, 40])
def test_runs_are_merged_while_others_write(opened, folder, monkeypatch, n_written):
    """Whether or not what they write merges the same runs."""
    texts = {i: f"cat word{i}" for i in range(12)}
    for i, text in texts.items():
        add(opened, record(i, text))
    real = runs.merges

    def slow(*args, **options):
        found = real(*args, **options)
        with store.open(folder, lock_wait_seconds=0) as other:
            for i in range(100, 100 + n_written):
                texts[i] = f"dog word{i}"
                add(other, record(i, texts[i]))
            with other.write() as writer:
                writer.delete([3])
        return found

    monkeypatch.setattr("interlace.store.compaction.merges", slow)
    opened.compact()
    del texts[3]
    assert n_runs(opened) <= runs.RUNS_MAX
    check(opened, texts, "cat word3 word7", "dog word100")
    assert opened.verify().ok


def test_words_are_merged_a_part_after_another(opened, monkeypatch):
    monkeypatch.setattr("interlace.store.words._POSTINGS_AT_ONCE", 3)
    for id_, text in TEXTS.items():
        add(opened, record(id_, text))
    opened.compact()
    assert n_runs(opened) == 1
    check(opened, TEXTS)
    assert opened.verify().ok


def test_few_words_of_many_passages_are_merged_a_word_after_another(opened, monkeypatch):
    """What is in memory is bounded by postings: a word alone may have one in each passage."""
    texts = dict.fromkeys(range(40), "cat dog mat sun")
    for first in range(0, 40, 10):
        add(opened, *(record(i, texts[i]) for i in range(first, first + 10)))
    monkeypatch.setattr("interlace.store.words._POSTINGS_AT_ONCE", 20)
    merged, read = [], []
    ordinals, rows_of = type(opened._catalog).ordinals, type(opened._catalog)._rows

    def noted(catalog, *args):
        found = ordinals(catalog, *args)
        merged.append(len(found[0]))
        return found

    def noted_rows(catalog, sql, values=None):
        rows = rows_of(catalog, sql, values)
        if rows and sql.startswith("SELECT word, passages"):
            read.append(sum(len(counts) for *_, counts in rows))
        return rows

    monkeypatch.setattr(type(opened._catalog), "ordinals", noted)
    monkeypatch.setattr(type(opened._catalog), "_rows", noted_rows)
    opened.compact()
    assert merged == [40] * 4
    assert read == [20] * 8
    assert n_runs(opened) == 1
    assert opened.verify().ok
    check(opened, texts, "cat", "dog sun")


def test_a_merge_of_runs_whose_numbers_are_used_again_is_not_recorded(opened):
    """(1) Runs are read. (2) All is deleted, and forgotten. (3) Others get their numbers."""
    add(opened, record("a", "cat"))
    add(opened, record("b", "cat dog"))
    (merge,) = runs.merges(opened._catalog, opened.commit, thorough=True)
    with opened.write() as writer:
        writer.delete(["a", "b"])
    opened.compact()
    texts = {"c": "mat", "d": "mat sun"}
    for id_, text in texts.items():
        add(opened, record(id_, text))
    numbers = {number for number, _ in opened._catalog.run_keys(opened.commit)}
    assert numbers == {number for number, _ in merge.runs}
    merge.record(opened._catalog, opened.commit)
    check(opened, texts, "mat sun")
    assert opened.verify().ok


def test_compacting_what_is_compact_makes_no_commit(opened):
    fill(opened)
    opened.settle()
    opened.compact()
    commit = opened.commit
    opened.compact()
    assert opened.commit == commit


def test_attached_documents_bring_their_words(opened, tmp_path):
    fill(opened, {"x": "the cat of here"})
    with store.create(tmp_path / "other", storing.settings()) as other:
        fill(other)
        add(other, record("b", "now a mat"))
        store.attach(opened, other)
    check(opened, {"x": "the cat of here"} | TEXTS | {"b": "now a mat"})
    assert opened.verify().ok


def test_choosing_runs():
    assert runs.choose([9] * 16, 10**6) == []
    assert runs.choose([1] * 17, 10**6) == list(range(17))
    assert runs.choose([100] * 8 + [1] * 17, 200) == list(range(8, 25))
    assert runs.choose([100] * 8 + [1] * 9, 250) == list(range(8, 17))
    assert runs.choose([100] * 8 + [1] * 9, 5) == []  # the large ones stay, the others are few
    assert runs.choose([10] * 17, 15) == []


def test_the_work_of_many_small_commits_is_bounded():
    held, copied, n = [], 0, 20_000
    for _ in range(n):
        held.append(50)
        chosen = runs.choose(held, runs.POSTINGS_A_COMMIT)
        merged = sum(held[i] for i in chosen)
        copied += merged
        held = [size for i, size in enumerate(held) if i not in chosen] + [merged] * bool(chosen)
        assert sum(2 * size <= runs.POSTINGS_A_COMMIT for size in held) <= runs.RUNS_MAX
    assert copied < 8 * 50 * n


def test_a_small_commit_reads_no_large_run(opened, monkeypatch):
    """Its cost must not grow with what is there."""
    fill(opened)
    monkeypatch.setattr(runs, "RUNS_MAX", 2)
    monkeypatch.setattr(runs, "POSTINGS_A_COMMIT", 8)
    for i in range(12):
        add(opened, record(i, "a few words"))
    asked: list[list[int]] = []
    real = type(opened._catalog).runs

    def noted(catalog, commit, numbers=None):
        asked.append(numbers)
        return real(catalog, commit, numbers)

    monkeypatch.setattr(type(opened._catalog), "runs", noted)
    for i in range(12, 18):
        add(opened, record(i, "two words"))
    assert asked
    assert all(numbers is not None and len(numbers) <= 4 for numbers in asked)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE words SET passages = x'ff000000', counts = x'01' WHERE word = 'dog'",
        "UPDATE words SET passages = x'ff0000' WHERE word = 'dog'",
        "UPDATE runs SET lengths = x'01000000'",
    ],
)
def test_damage_is_found_and_no_search_falls_over_it(opened, folder, damage):
    fill(opened)
    opened._catalog._change(damage, {})
    with store.open(folder) as damaged:
        assert not damaged.verify().ok
        with pytest.raises(Corrupt, match="words are damaged"):
            scores(damaged, "dog")

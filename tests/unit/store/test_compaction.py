"""Which segments to merge, and what merging keeps."""

from __future__ import annotations

import numpy as np
import pytest
import storing
from storing import fill, found, record

from interlace import store
from interlace.store.compaction import (
    FRESH_MAX,
    SETTLED_MAX,
    Size,
    choose_fresh,
    choose_settled,
)


def sizes(*n_tokens: int, n_dead: int = 0) -> list[Size]:
    return [Size(max(1, n // 100), n, n_dead) for n in n_tokens]


def test_few_fresh_segments_stay():
    assert choose_fresh(sizes(*[10] * FRESH_MAX), 1_000) == []


def test_the_smaller_fresh_segments_merge():
    chosen = choose_fresh(sizes(1_000, *[10] * FRESH_MAX), 10_000)
    assert 0 not in chosen
    assert len(chosen) == FRESH_MAX + 1 - FRESH_MAX // 2


def test_fresh_merges_stay_within_memory():
    chosen = choose_fresh(sizes(*[100] * 20), 450)
    assert len(chosen) == 4


def test_few_settled_segments_stay():
    assert choose_settled(sizes(*[1_000] * SETTLED_MAX)) == []


def test_the_cheapest_settled_segments_merge():
    (group,) = choose_settled(sizes(900_000, 500_000, 200_000, 100_000, 9, 9, 9, 9, 9))
    assert group == [4, 5, 6, 7, 8]


def test_large_collections_may_have_more_settled_segments():
    one = Size(1_250_000, 200_000_000, 0)
    assert choose_settled([one] * 20) == []
    assert choose_settled([*[one] * 20, Size(1, 1, 0)]) == []
    assert choose_settled([*[one] * 8, *[Size(1, 1, 0)] * 4]) == [[8, 9, 10, 11]]


def test_mostly_dead_segments_are_written_again():
    mixed = [Size(100, 1_000, 25), Size(100, 1_000, 26), Size(100, 1_000, 0)]
    assert choose_settled(mixed) == [[1]]


def test_thorough_merges_all():
    assert choose_settled(sizes(5), thorough=True) == []
    assert choose_settled(sizes(5, 6), thorough=True) == [[0, 1]]
    assert choose_settled(sizes(5, n_dead=1), thorough=True) == [[0]]
    assert choose_settled([], thorough=True) == []


def test_the_work_of_many_small_settlings_is_bounded():
    """500 equal segments arrive; each token is copied a handful of times, not hundreds."""
    held, copied = [], 0
    for _ in range(500):
        held.append(Size(200, 32_000, 0))
        for group in choose_settled(held):
            n = sum(held[i].n_tokens for i in group)
            copied += n
            held = [one for i, one in enumerate(held) if i not in group]
            held.append(Size(n // 160, n, 0))
        assert len(held) <= SETTLED_MAX
    assert copied / (500 * 32_000) < 12


def test_the_work_of_many_small_writes_is_bounded():
    held, copied = [], 0
    for _ in range(500):
        held.append(Size(1, 150, 0))
        group = choose_fresh(held, 10**6)
        n = sum(held[i].n_tokens for i in group)
        copied += n
        held = [one for i, one in enumerate(held) if i not in group]
        held += [Size(len(group), n, 0)] if group else []
        assert len(held) <= FRESH_MAX + 1
    assert copied / (500 * 150) < 12


def test_many_small_commits_leave_few_files(folder):
    with store.create(folder, storing.settings(first_budget_tokens=10**6)) as opened:
        for i in range(60):
            fill(opened, i, i + 1)
        assert len(storing.listing(folder)) <= FRESH_MAX + 1
        assert [found(opened, record(i)) for i in (0, 30, 59)] == [[0], [30], [59]]
        assert len(opened._folder.opened()) <= FRESH_MAX + 1


def test_many_settlings_leave_few_files(opened, folder):
    for first in range(0, 800, 40):
        fill(opened, first, first + 40)
    assert opened.info()["n_settled_segments"] <= SETTLED_MAX
    assert [found(opened, record(i)) for i in (0, 333, 799)] == [[0], [333], [799]]
    assert opened.verify().ok


@pytest.mark.parametrize("settled", [False, True])
def test_replacing_one_document_for_ever_leaves_no_trace(folder, settled):
    with store.create(folder, storing.settings()) as opened:
        fill(opened, 0, 100 if settled else 5)
        for i in range(80):
            storing.add(opened, record("again", f"version {i}"))
        info = opened.info()
        assert info["n_documents"] == (101 if settled else 6)
        assert info["n_tombstones"] <= 25
        assert len(storing.listing(folder)) <= FRESH_MAX + 4
        assert opened.verify().ok


def test_deleting_most_gives_the_space_back(opened, folder):
    fill(opened, 0, 400)
    with opened.write() as writer:
        writer.delete(range(380))
    info = opened.info()
    assert (info["n_documents"], info["n_tombstones"]) == (20, 0)
    assert len([name for name in storing.listing(folder) if "settled" in name]) == 1
    assert opened.verify().ok


def test_merging_changes_no_score(opened):
    for first in range(0, 400, 100):
        fill(opened, first, first + 100)
    matrix = record(123)[3][0].matrix
    before = store.search(opened.snapshot(), matrix, 30, effort="exhaustive")
    ids = [p.id for p in opened.snapshot().passages(before.rows)]
    report = opened.compact()
    assert (report.n_merged, report.n_written) == (4, 1)
    after = store.search(opened.snapshot(), matrix, 30, effort="exhaustive")
    assert [p.id for p in opened.snapshot().passages(after.rows)] == ids
    np.testing.assert_array_equal(before.scores, after.scores)


def test_everything_dead(opened, folder):
    fill(opened, 0, 100)
    with opened.write() as writer:
        writer.delete(range(100))
    assert opened.info()["n_settled_segments"] == 0
    assert [name for name in storing.listing(folder) if "segments" in name] == []
    fill(opened, 0, 30)
    assert found(opened, record(3)) == [3]
    assert opened.verify().ok

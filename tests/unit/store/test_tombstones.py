"""What is dead, found from what was dead before: the same as found anew."""

from __future__ import annotations

import numpy as np
import pytest
import storing
from storing import fill

from interlace import store
from interlace.store import tombstones
from interlace.store.folder import bitmap
from interlace.store.snapshot import Column


def check(opened) -> None:
    """What the snapshot knows against what the catalog says of each passage."""
    snapshot = opened.snapshot()
    dead = opened._catalog.dead_passages(snapshot.number)
    lives = ~np.isin(np.asarray(snapshot.passage_of_row), dead)
    assert snapshot.n_alive == lives.sum()
    if lives.all():
        assert snapshot.alive is None
    else:
        np.testing.assert_array_equal(snapshot.alive, bitmap(lives))
    lengths = np.concatenate([np.diff(segment.offsets) for segment in snapshot.opened])
    assert snapshot.n_tokens == lengths[lives].sum()


@pytest.mark.parametrize("settles", ["auto", "manual"])
def test_incremental_is_the_same_as_anew(folder, settles, monkeypatch):
    monkeypatch.setattr(tombstones, "_FORGOTTEN_MAX", 10)
    random = np.random.default_rng(3)
    with store.create(folder, storing.settings(), settle=settles) as opened:
        alive: list[int] = []
        for first in range(0, 700, 7):
            fill(opened, first, first + 7, n_tokens=3)
            alive += range(first, first + 7)
            chosen = random.choice(alive, int(random.integers(0, 6)), replace=False).tolist()
            with opened.write() as writer:
                writer.delete(chosen)
            alive = sorted(set(alive) - set(chosen))
            if random.random() < 0.7:
                check(opened)
        assert opened.snapshot().n_documents == len(alive)
        assert len(opened._folder._tombstones.numbers) < 350


def test_all_that_was_there_is_forgotten(opened, folder, monkeypatch):
    monkeypatch.setattr(tombstones, "_FORGOTTEN_MAX", 0)
    fill(opened, 0, 30)
    with store.open(folder) as reader:
        held = reader.snapshot()
        with opened.write() as writer:
            writer.delete(range(30))
        assert held.n_alive == 30
        reader.refresh()
        for one in (opened, reader):
            assert one.snapshot().n_alive == 0
            assert len(one._folder._tombstones.numbers) == 0


def test_another_store_catches_up_with_many_commits_at_once(opened, folder):
    fill(opened, 0, 30)
    with store.open(folder) as other:
        other.snapshot()
        for i in range(0, 30, 4):
            with opened.write() as writer:
                writer.delete([i])
        other.refresh()
        check(other)
        assert other.snapshot().n_alive == 22


def test_a_snapshot_from_before_stays_what_it_was(opened):
    fill(opened, 0, 30)
    before = opened.snapshot()
    with opened.write() as writer:
        writer.delete([1, 2])
    after = opened.snapshot()
    assert (before.alive, before.n_alive, after.n_alive) == (None, 30, 28)


def test_an_abandoned_delete_leaves_no_trace(opened):
    fill(opened, 0, 30)
    writer = opened.write()
    writer.delete([1, 2])
    writer.abandon()
    with opened.write() as writer:
        writer.delete([3])
    check(opened)
    assert sorted(opened.snapshot().ids()) == sorted(set(range(30)) - {3})


def test_a_commit_reads_only_the_dead_since_the_last(opened, monkeypatch):
    fill(opened, 0, 30)
    with opened.write() as writer:
        writer.delete([1, 2])
    opened.snapshot()
    asked: list[int] = []
    read = type(opened._catalog).dead_passages

    def noted(catalog, commit, *, after=-1):
        asked.append(after)
        return read(catalog, commit, after=after)

    monkeypatch.setattr(type(opened._catalog), "dead_passages", noted)
    with opened.write() as writer:
        writer.delete([3])
    opened.snapshot()
    assert asked
    assert min(asked) >= 0


@pytest.mark.parametrize(("n_fresh", "n_settled"), [(0, 9), (9, 0), (4, 5)])
def test_a_column_is_what_its_halves_are(n_fresh, n_settled):
    fresh, settled = np.arange(100, 100 + n_fresh), np.arange(200, 200 + n_settled)
    column, whole = Column(fresh, settled), np.concatenate([fresh, settled])
    rows = np.array([8, 0, 3, 3, 5], np.uint32)
    np.testing.assert_array_equal(column[rows], whole[rows])
    np.testing.assert_array_equal(np.asarray(column), whole)
    assert len(column) == 9

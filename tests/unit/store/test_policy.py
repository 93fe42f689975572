"""The policy of segments under load: thousands of commits, and the bounds that hold after each."""

from __future__ import annotations

import tracemalloc
import warnings
from dataclasses import dataclass, field

import numpy as np
import pytest
import storing
from storing import fill, found, record

from interlace import store
from interlace.errors import CollectionError
from interlace.store import compaction, settling
from interlace.store.compaction import (
    DEAD_SHARE_MAX,
    FRESH_MAX,
    PASSAGES_A_SEGMENT,
    SETTLED_MAX,
    Size,
    choose_fresh,
    choose_settled,
    is_due,
)

BUDGET = 32_768
TOKENS_A_PASSAGE = 40


@dataclass
class Policy:
    """What the store does after each commit, on sizes alone."""

    fresh: list[Size] = field(default_factory=list)
    settled: list[Size] = field(default_factory=list)
    n_added: int = 0
    copied_fresh: int = 0
    copied_settled: int = 0

    def add(self, n_passages: int) -> None:
        n_tokens = n_passages * TOKENS_A_PASSAGE
        self.n_added += n_tokens
        if n_tokens > BUDGET:  # a bulk write is encoded at once
            self.settled.append(Size(n_passages, n_tokens, 0))
        else:
            self.fresh.append(Size(n_passages, n_tokens, 0))

    def delete(self, share: float, random: np.random.Generator) -> None:
        """Let a share of all live passages die, wherever they are."""
        for held in (self.fresh, self.settled):
            for i, size in enumerate(held):
                died = random.binomial(size.n_passages - size.n_dead, share)
                held[i] = size._replace(n_dead=size.n_dead + int(died))

    def commit(self) -> None:
        merged = choose_fresh(self.fresh, 10**6)
        alone = [[i] for i, s in enumerate(self.fresh) if i not in merged and s.is_mostly_dead]
        self.copied_fresh += self._write(self.fresh, [merged, *alone] if merged else alone)
        if sum(size.n_tokens for size in self.fresh) > BUDGET:
            (whole,) = merge(self.fresh, [list(range(len(self.fresh)))])
            self.fresh.clear()
            self.settled.append(whole)
            self._merge_settled()
        else:
            n_held = sum(size.n_passages for size in self.fresh + self.settled)
            n_dead = sum(size.n_dead for size in self.fresh + self.settled)
            if is_due(len(self.settled), n_held, n_held - n_dead):
                self._merge_settled()

    def _merge_settled(self) -> None:
        self.copied_settled += self._write(self.settled, choose_settled(self.settled))

    def _write(self, held: list[Size], groups: list[list[int]]) -> int:
        made = merge(held, groups)
        gone = {i for group in groups for i in group}
        held[:] = [size for i, size in enumerate(held) if i not in gone] + made
        return sum(size.n_tokens for size in made)


def merge(held: list[Size], groups: list[list[int]]) -> list[Size]:
    """One segment of each group's live passages; none where all are dead."""
    made = []
    for group in groups:
        n = sum(held[i].n_passages - held[i].n_dead for i in group)
        if n:
            made.append(Size(n, n * TOKENS_A_PASSAGE, 0))
    return made


def check(policy: Policy) -> None:
    assert len(policy.fresh) <= FRESH_MAX
    assert sum(size.n_tokens for size in policy.fresh) <= BUDGET
    n_alive = sum(size.n_passages - size.n_dead for size in policy.settled)
    assert len(policy.settled) <= max(SETTLED_MAX, -(-n_alive // PASSAGES_A_SEGMENT))


LOADS = {
    "one passage": lambda random: 1,
    "twenty": lambda random: 20,
    "any size": lambda random: int(np.exp(random.uniform(0, np.log(800)))),
    "now and then many": lambda random: 50_000 if random.random() < 0.01 else 5,
    "just under the budget": lambda random: BUDGET // TOKENS_A_PASSAGE,
}


@pytest.mark.parametrize("load", list(LOADS))
@pytest.mark.parametrize("n_commits", [300, 10_000])
def test_bounds_hold_after_each_of_thousands_of_commits(load, n_commits):
    """And a token is written again a handful of times, whatever the number of commits."""
    random, policy = np.random.default_rng(1), Policy()
    for _ in range(n_commits):
        policy.add(LOADS[load](random))
        policy.commit()
        check(policy)
    assert policy.copied_fresh <= 8 * policy.n_added
    assert policy.copied_settled <= 8 * policy.n_added


@pytest.mark.parametrize("share", [0.001, 0.02])
def test_tombstones_stay_few_while_as_many_die_as_come(share):
    random, policy = np.random.default_rng(2), Policy()
    for _ in range(3_000):
        policy.add(100)
        policy.delete(share, random)
        policy.commit()
        check(policy)
        assert not any(size.is_mostly_dead for size in policy.fresh)
        n_held = sum(size.n_passages for size in policy.fresh + policy.settled)
        n_dead = sum(size.n_dead for size in policy.fresh + policy.settled)
        assert n_dead <= (DEAD_SHARE_MAX + share) * n_held + 1
    assert policy.copied_fresh + policy.copied_settled <= 8 * policy.n_added


def test_bounds_hold_in_a_real_collection(folder, monkeypatch):
    """Adds, replacements and deletes; segments are counted as they are written."""
    written = {"fresh": 0, "settled": 0}
    for module, name in (
        (compaction, "write_fresh"),
        (compaction, "write_settled"),
        (settling, "write_settled"),
    ):
        monkeypatch.setattr(module, name, counted(getattr(module, name), written))
    random, n_added = np.random.default_rng(3), 0
    with store.create(folder, storing.settings(fresh_budget_tokens=400)) as opened:
        for i in range(250):
            first = int(random.integers(0, 700))
            records = [
                record(number, f"{i} {number}", n_tokens=6)
                for number in range(first, first + int(random.integers(1, 9)))
            ]
            with opened.write() as writer:
                for one in records:
                    writer.add(*one)
                n_added += 6 * len(records)
                if i % 3 == 0:
                    writer.delete(random.integers(0, 700, 4).tolist())
            info = opened.info()
            assert info["n_fresh_segments"] <= FRESH_MAX
            assert info["n_fresh_tokens"] <= (400 if info["generation"] else 600)
            assert info["n_settled_segments"] <= SETTLED_MAX
            held = info["n_passages"] + info["n_tombstones"]
            assert info["n_tombstones"] <= DEAD_SHARE_MAX * held + 10
        assert opened.verify().ok
    assert written["settled"] <= 9 * n_added  # each token once, and when segments merge
    assert written["fresh"] <= 8 * n_added


def counted(write, written):
    """Counts the tokens that go through."""

    def counting(folder, what, *others):
        row = write(folder, what, *others)
        written[row.kind] += row.n_tokens
        return row

    return counting


def test_settling_and_merging_hold_what_the_setting_allows(folder):
    """And some bytes for each token that lists are made of at once: far less than vectors."""
    memory, n_passages, n_tokens, dim = 2**21, 1_200, 150, 64
    settings = storing.settings(dim=dim, memory_bytes_max=memory)
    with store.create(folder, settings, settle="manual", n_threads=1) as opened:
        fill(opened, 0, n_passages, dim=dim, n_tokens=n_tokens)
        for work in (opened.settle, opened.compact):
            tracemalloc.start()
            work()
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < 6 * memory + 60 * n_passages * n_tokens < n_passages * n_tokens * dim * 4
        assert opened.info()["n_settled_segments"] == 1


def test_a_settling_that_fails_under_load_leaves_all_searchable(folder, monkeypatch):
    """Every second settling fails; nothing is lost, and the next write settles what waited."""
    real, calls = settling.write_settled, []

    def often_fails(*args):
        calls.append(1)
        if len(calls) % 2:
            raise CollectionError("the disk is full: here. Free some space.")
        return real(*args)

    monkeypatch.setattr(settling, "write_settled", often_fails)
    with store.create(folder, storing.settings()) as opened, warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for first in range(0, 600, 15):
            fill(opened, first, first + 15)
            assert found(opened, record(first)) == [first]
            assert opened.snapshot().n_documents == first + 15
        monkeypatch.undo()
        opened.settle()
        assert opened.last_settle_error is None
        assert len(calls) > 4
        assert opened.verify().ok

"""``hits.profile``: where the time of a search went, and how much each stage looked at."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from interlace import store

TEXTS = [f"Passage {i} tells of {word}." for i, word in enumerate(["ice", "salt", "tides"] * 30)]

LEAST = store.Effort(**{field.name: 1 for field in fields(store.Effort)})
"""As little as a search can look at."""


@pytest.fixture
def settled(new_collection):
    notes = new_collection(settle="manual")
    notes.add(TEXTS)
    notes.settle()
    return notes


@pytest.fixture
def query(encoder):
    return encoder.encode_query(["salt"])[0]


def stages(profile) -> list[str]:
    return [name.removesuffix("_us") for name in profile if name.endswith("_us")]


@pytest.mark.parametrize(
    ("mode", "first", "last"),
    [
        ("late", ["encode", "scan"], ["score", "rank", "fetch"]),
        ("lexical", ["words"], ["words", "fetch"]),
        ("hybrid", ["encode", "scan"], ["rank", "words", "fuse", "fetch"]),
    ],
)
def test_every_stage_tells_its_microseconds_in_order(settled, mode, first, last):
    profile = settled.search("salt", k=1, mode=mode, effort=LEAST).profile
    told = stages(profile)
    assert told[: len(first)] == first
    assert told[-len(last) :] == last
    assert all(profile[f"{stage}_us"] > 0 for stage in told)


def test_every_stage_counts_what_it_handed_on(settled):
    profile = settled.search("salt", k=1, mode="late", effort=LEAST).profile
    assert all(f"{stage}_n" in profile for stage in stages(profile) if stage != "encode")
    assert profile["fetch_n"] == 1
    assert profile["score_n"] < len(TEXTS)
    assert 0 < profile["score_tokens"] < settled.info()["n_tokens"]


def test_an_exhaustive_search_compares_every_token(settled):
    profile = settled.search("salt", mode="late", effort="exhaustive").profile
    assert profile["scan_n"] == len(TEXTS)
    assert profile["scan_tokens"] == settled.info()["n_tokens"]
    settled.delete(list(settled.ids())[:10])
    fewer = settled.search("salt", mode="late", effort="exhaustive").profile
    assert fewer["scan_n"] == len(TEXTS) - 10
    assert fewer["scan_tokens"] < profile["scan_tokens"]


def test_queries_that_come_encoded_were_not_encoded(settled, query):
    assert "encode_us" not in settled.search(embeddings=query).profile
    both = settled.search_many(["salt", "ice"])
    assert all(hits.profile["encode_us"] > 0 for hits in both)


def test_tokens_are_counted_over_segments(new_collection):
    notes = new_collection(settle="manual")
    notes.add(TEXTS[:60])
    notes.settle()
    notes.add(TEXTS[60:])
    snapshot = notes._store.snapshot()
    assert len(snapshot.opened) == 2
    lengths = np.concatenate([np.diff(segment.offsets) for segment in snapshot.opened])
    rows = np.random.default_rng(0).permutation(snapshot.n_rows)[:40].astype(np.uint32)
    assert snapshot.n_tokens_of(rows) == lengths[rows].sum()
    assert snapshot.n_tokens_of(rows[:0]) == 0


def test_who_observes_is_told_what_each_stage_leaves(settled, query):
    left = {}
    found = store.search(
        settled._store.snapshot(), query, 1, effort=LEAST, by="passage", observe=left.__setitem__
    )
    before, *narrower = (set(rows.tolist()) for stage, rows in left.items() if stage != "scan")
    assert len(before) < len(TEXTS)
    for rows in narrower:
        assert rows <= before
        before = rows
    assert set(found.rows.tolist()) <= before == set(left["score"].tolist())

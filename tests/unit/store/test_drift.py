"""How far what is added lies from the codec, and what is said about it."""

from __future__ import annotations

import numpy as np
import pytest
import storing
from storing import fill, record

from interlace import codec, store
from interlace.store import drift
from interlace.types import Encoded

SMALL = storing.settings(first_budget_tokens=20_000, fresh_budget_tokens=2_000)


def strange(i: int, random: np.random.Generator) -> storing.Record:
    """A document of token types that the codec knows, and embeddings that are anywhere."""
    document, content_hash, passages, (one,) = record(i)
    rows = random.normal(size=one.matrix.shape).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return document, content_hash, passages, [Encoded(rows, one.token_ids)]


def test_nothing_settled_no_drift(opened):
    fill(opened, 0, 5)
    info = opened.info()
    assert (info["drift"], info["advice"]) == (None, None)
    assert opened.settle().drift is not None


def test_more_of_the_same_is_no_drift(folder):
    with store.create(folder, SMALL) as opened:
        fill(opened, 0, 2_100)
        fill(opened, 2_100, 3_000)
        report = opened.settle()
        info = opened.info()
        assert 0.8 < info["drift"] < 1.3
        assert (info["advice"], report.advice) == (None, None)


@pytest.fixture
def estranged(folder, monkeypatch):
    """Documents like those that the codec was trained on, settled, and strange ones after them."""
    monkeypatch.setattr(codec.Generation, "grow", lambda self, tokens, **options: self)
    random = np.random.default_rng(0)
    with store.create(folder, SMALL) as opened:
        fill(opened, 0, 2_100)
        with opened.write() as writer:
            for i in range(5_000, 5_150):
                writer.add(*strange(i, random))
        yield opened


def test_strange_tokens_are_told_of(estranged):
    report = estranged.settle()
    assert report.drift > drift.REBUILD_HELPS
    assert f"lie {report.drift:.1f} times as far" in report.advice
    estranged.compact()
    assert estranged.info()["advice"] is None  # 1,500 late tokens of 22,500 are not many


def test_the_newest_passages_count(estranged, monkeypatch):
    """Also when they are merged with older ones."""
    monkeypatch.setattr(drift, "_TOKENS_LATE", 1_500)
    settled = estranged.settle().drift
    estranged.compact()
    assert estranged.info()["drift"] == settled > drift.REBUILD_HELPS


def test_without_ids_less_drift_does_harm(folder, monkeypatch):
    monkeypatch.setattr(drift, "REBUILD_HELPS", 0.0)
    with store.create(folder, SMALL) as opened:
        fill(opened, 0, 2_100, typed=False)
        assert opened.settle().advice is None
        monkeypatch.setattr(drift, "REBUILD_HELPS_WITHOUT_IDS", 0.0)
        assert "would help" in str(opened.info()["advice"])

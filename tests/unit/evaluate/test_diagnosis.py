"""Diagnosis follows the best passages from stage to stage."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import oracle
import pytest

from interlace import evaluate, store
from interlace.collection import Inside
from interlace.errors import InputError, SettingsError
from interlace.evaluate.diagnosis import _exactly
from interlace.evaluate.questions import questions
from interlace.progress import silent

QUERIES = ["the red house", "what stands near the old mill", "number 44 of the violins"]


def test_what_is_lost_and_what_is_found_are_all(vectors, monkeypatch):
    least = store.Effort(groups=1, cells=1, leaves=1, candidates=1, scored=1, spread=0)
    monkeypatch.setitem(store.EFFORTS, "fast", least)
    found = evaluate.diagnose(vectors, k=5, n_queries=30)
    assert not found.is_exact
    assert [one.name for one in found.efforts] == list(store.EFFORTS)
    for one in found.efforts:
        assert sum(one.lost.values()) + one.recall == pytest.approx(1)
        assert one.lost["codec"] == 0  # the codes are what is compared with
    fast, *_, exhaustive = found.efforts
    assert exhaustive.recall == 1
    assert exhaustive.won == {}
    assert fast.recall < 1
    assert list(fast.won) == [knob.name for knob in fields(store.Effort)]
    assert max(fast.won.values()) > 0
    assert max(fast.won.values()) <= 1 - fast.recall + 1e-9


def test_what_a_collection_is_tuned_to_is_among_them(vectors):
    evaluate.tune(vectors, 0.9, k=2, n_queries=40)
    found = evaluate.diagnose(vectors, k=2, n_queries=20)
    assert found.efforts[-1].name == "tuned"


def test_exact_vectors_are_encoded_where_that_takes_seconds(texts):
    found = evaluate.diagnose(texts, k=5, queries=QUERIES)
    assert found.is_exact
    assert found.n_queries == 3
    for one in found.efforts:
        assert sum(one.lost.values()) + one.recall == pytest.approx(1)
    assert not evaluate.diagnose(texts, k=5, queries=QUERIES, exact=False).is_exact


def test_exact_is_what_float32_says(texts, encoder):
    texts.delete(range(0, 100, 3))
    inside = Inside(texts)
    asked = questions(inside, 7, 10, texts=QUERIES, seed=0, progress=silent)
    ids = list(texts.ids())
    matrices = encoder.encode_document([document.text for document in texts.get(ids)])
    for question, text in zip(_exactly(inside, asked, 7, silent), QUERIES, strict=True):
        (query,) = encoder.encode_query([text])
        scores = np.array([oracle.maxsim(query, matrix) for matrix in matrices])
        wanted = np.sort(scores)[::-1][:7]
        found = inside.snapshot.passages(question.best)
        got = [scores[ids.index(passage.id)] for passage in found]
        assert got == pytest.approx(wanted, abs=1e-5)


def test_a_collection_without_a_model_has_no_exact_vectors(vectors):
    with pytest.raises(InputError, match="no model"):
        evaluate.diagnose(vectors, exact=True)


def test_wrong_numbers_are_refused(vectors):
    with pytest.raises(SettingsError, match="k is 0"):
        evaluate.diagnose(vectors, k=0)


def test_progress_is_told(texts):
    told = []
    evaluate.diagnose(texts, k=2, n_queries=5, exact=True, progress=lambda *one: told.append(one))
    assert ("exact", 5, 5) in told
    assert ("encode", 400, 400) in told
    assert told[-1] == ("follow", 4, 4)

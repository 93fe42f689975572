"""A query that comes again is not encoded again, and nobody can tell but by the clock."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import interlace
from interlace.collection.remembering import Remembered
from interlace.errors import SettingsError
from interlace.types import Encoded

TEXTS = ["The sky is blue.", "Salt dissolves in water.", "A cat sat on the mat."]


@pytest.fixture
def runs(encoder, monkeypatch):
    """The texts, as token ids, that the model has been run on."""
    seen = []
    run = encoder._backend.run

    def counted(ids, attention):
        seen.append(tuple(ids))
        return run(ids, attention)

    monkeypatch.setattr(encoder._backend, "run", counted)
    return seen


def plain(hits):
    return [(hit.id, hit.score, hit.late_score, hit.lexical_score) for hit in hits]


def encoded(n_tokens: int) -> Encoded:
    return Encoded(np.zeros((n_tokens, 128), np.float32))


def test_a_query_that_comes_again_is_not_run_again(new_collection, runs):
    notes = new_collection()
    notes.add(TEXTS)
    runs.clear()
    first = notes.search("blue sky")
    assert len(runs) == 1
    again, other, twice = notes.search_many(["blue sky", "salt", "salt"])
    assert len(runs) == 2
    assert plain(again) == plain(first)
    assert plain(other) == plain(twice)
    assert notes.explain("salt", other[0]).score == other[0].late_score
    assert len(runs) == 2


def test_without_a_cache_every_search_encodes_and_finds_the_same(new_collection, runs):
    notes = new_collection(query_cache_bytes=0)
    notes.add(TEXTS)
    runs.clear()
    found = [plain(notes.search("blue sky")) for _ in range(3)]
    assert len(runs) == 3
    assert found[0] == found[1] == found[2]


def test_a_model_that_may_change_is_always_asked(tmp_path, encoder):
    class Trained:
        sign = 1

        def encode_query(self, texts):
            return [self.sign * matrix for matrix in encoder.encode_query(texts)]

        encode_document = encode_query

    model = Trained()
    with interlace.create(tmp_path / "notes.lace", model) as notes:
        notes.add(TEXTS)
        (before,) = notes.search("blue sky", k=1, mode="late")
        model.sign = -1
        (after,) = notes.search("blue sky", k=1, mode="late")
        assert after.score < before.score / 2


def test_another_model_does_not_get_what_the_old_one_encoded(new_collection, encoder):
    class Turned:
        def encode_query(self, texts):
            return [matrix[:, ::-1].copy() for matrix in encoder.encode_query(texts)]

        encode_document = encode_query

    notes = new_collection()
    notes.add(TEXTS)
    before = notes.search("blue sky", mode="late")
    notes.rebuild(Turned())
    after = notes.search("blue sky", mode="late")
    assert [hit.id for hit in after] == [hit.id for hit in before]
    np.testing.assert_allclose(after[0].score, before[0].score, atol=0.05)


def test_what_was_not_used_for_longest_makes_room():
    room = 4 * 128 * 4 * 3 + 3 * 700  # for three of four tokens
    remembered = Remembered(room)
    for text in "abc":
        remembered.put(text, encoded(4))
    assert remembered.get("a") is not None
    remembered.put("d", encoded(4))
    assert [text for text in "abcd" if remembered.get(text) is not None] == ["a", "c", "d"]
    remembered.put("long", encoded(100))
    assert remembered.get("long") is None
    assert remembered.get("a") is not None


def test_nothing_is_remembered_without_room():
    remembered = Remembered(0)
    remembered.put("", encoded(0))
    assert remembered.get("") is None


def test_many_threads_may_ask_the_same_and_other_things(new_collection):
    notes = new_collection(query_cache_bytes=20_000)  # a few of them, so that they make room
    notes.add(TEXTS)
    queries = [f"{word} {i}" for i in range(8) for word in ("sky", "salt", "cat")]
    alone = [plain(notes.search(query)) for query in queries]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            assert [plain(hits) for hits in pool.map(notes.search, queries)] == alone


@pytest.mark.parametrize("wrong", [-1, 1.5, True, "4 MB", None])
def test_a_wrong_size_is_refused_before_anything_is_written(tmp_path, encoder, wrong):
    with pytest.raises(SettingsError, match="query_cache_bytes is"):
        interlace.create(tmp_path / "notes.lace", encoder, query_cache_bytes=wrong)
    assert not (tmp_path / "notes.lace").exists()

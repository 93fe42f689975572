"""What a writer takes, and what it holds of it in memory."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import numpy as np
import pytest
import storing
from storing import add, fill, record

from interlace import store
from interlace.errors import InputError
from interlace.store import buffering
from interlace.store.storable import check_id, metadata_json
from interlace.text.records import checked_id
from interlace.types import Encoded


def token_ids(opened) -> np.ndarray | None:
    """Of all fresh segments, in order."""
    arrays = [segment.arrays.get("token_ids") for segment in opened.snapshot().opened]
    return None if any(one is None for one in arrays) else np.concatenate(arrays)


def test_documents_without_token_ids_leave_those_of_others(opened):
    typed, bare = record("typed", n_tokens=4), record("bare", n_tokens=3, typed=False)
    add(opened, typed, bare)
    expected = [*typed[3][0].token_ids, -1, -1, -1]
    assert token_ids(opened).tolist() == expected


def test_a_document_with_and_without_token_ids(opened):
    document, content_hash, passages, encoded = record("x", n_passages=2, n_tokens=3)
    mixed = [Encoded(encoded[0].matrix), encoded[1]]
    add(opened, (document, content_hash, passages, mixed))
    assert token_ids(opened).tolist() == [-1, -1, -1, *encoded[1].token_ids]


def test_no_token_ids_at_all(opened):
    add(opened, record(1, typed=False), record(2, n_passages=0), record(3, typed=False))
    assert token_ids(opened) is None


def test_mixed_token_ids_settle(opened):
    add(opened, *(record(i, typed=i % 3 > 0) for i in range(100)))
    assert opened.info()["n_fresh_tokens"] == 0
    assert storing.found(opened, record(30)) == [30]
    assert storing.found(opened, record(31)) == [31]


def test_matrices_are_let_go_as_they_come(opened):
    """A document of many tokens: no more than a few matrices are alive at a time."""
    document, content_hash, passages, _ = record("long", "x" * 400, n_passages=40, n_tokens=1)
    watched: list[weakref.ref[np.ndarray]] = []
    most = 0

    def encoded() -> Iterator[Encoded]:
        nonlocal most
        for i in range(40):
            one = Encoded(*storing.matrix(i, 3_000))
            watched.append(weakref.ref(one.matrix))
            yield one
            del one
            most = max(most, sum(ref() is not None for ref in watched))

    with opened.write() as writer:
        writer.add(document, content_hash, passages, encoded())
        assert writer.n_tokens == 120_000
    gc.collect()
    assert most <= 4
    snapshot = opened.snapshot()
    row = snapshot.row_of("long", 33)
    assert row is not None
    cosines = (snapshot.embeddings(row) * storing.matrix(33, 3_000)[0]).sum(axis=1)
    assert cosines.mean() > 0.9


def test_an_iterable_that_raises_changes_nothing(opened):
    fill(opened, 0, 1)
    document, content_hash, passages, encoded = record(0, "other", n_passages=2)

    def failing() -> Iterator[Encoded]:
        yield encoded[0]
        raise KeyError

    with opened.write() as writer:
        with pytest.raises(KeyError):
            writer.add(document, content_hash, passages, failing())
        writer.add(*record(1))
    assert list(opened.snapshot().ids()) == [0, 1]
    assert opened.snapshot().documents([0])[0].text == record(0)[0].text


@pytest.mark.parametrize(("value", "what"), [(np.nan, "NaN"), (np.inf, "NaN"), (0.0, "is zero")])
def test_a_bad_row_is_named(opened, value, what):
    document, content_hash, passages, encoded = record("x", n_passages=3, n_tokens=5)
    encoded[2].matrix[4] = value
    with (
        opened.write() as writer,
        pytest.raises(InputError, match=rf"{what}.*document 'x', passage 2, token 4"),
    ):
        writer.add(document, content_hash, passages, encoded)


def test_small_and_large_rows_are_good(opened):
    document, content_hash, passages, encoded = record("x", n_passages=1, n_tokens=5)
    for scale in (1e-25, 1e25):
        scaled = [Encoded(encoded[0].matrix * np.float32(scale), encoded[0].token_ids)]
        add(opened, (document, content_hash, passages, scaled))
        assert opened.snapshot().n_tokens == 5


def test_a_writer_sees_rows_that_wait(opened):
    with opened.write() as writer:
        writer.add(*record(1))
        assert writer.update_metadata(1, {"v": 1})
        writer.add(*record(2))
        assert writer.delete([2]) == 1
        writer.add(*record(3, "a"))
        writer.add(*record(3, "b"))
        known = {id_: known.content_hash for id_, known in writer.known([1, 2, 3]).items()}
        assert known == {1: record(1)[1], 3: record(3, "b")[1]}
    documents = opened.snapshot().documents([1, 2, 3])
    assert documents[1].metadata == {"v": 1}
    assert documents[3].text == "b"
    assert 2 not in documents
    assert opened.verify().ok


@pytest.mark.parametrize("check", [check_id, lambda id_: checked_id(id_, "here")])
def test_ids_have_one_rule(check):
    for good in ("a", " ", "a\0", 0, -(2**63), np.int64(5)):
        assert check(good) == good
        assert type(check(good)) in (str, int)
    for bad in ("", True, None, 1.0, b"a", 2**63, "\ud800"):
        with pytest.raises(InputError):
            check(bad)


def test_numbers_too_long_to_read_back():
    with pytest.raises(InputError, match=r"too many digits.*'n'"):
        metadata_json({"n": 10**5_000}, "x")
    assert metadata_json({"n": 10**1_000}, "x")


def test_bulk_matches_one_at_a_time(tmp_path):
    """Rows inserted together are the rows inserted one after another."""
    ids = []
    for at_once in (1, 50):
        with store.create(tmp_path / str(at_once), storing.settings(), settle="manual") as opened:
            for first in range(0, 50, at_once):
                fill(opened, first, first + at_once, n_passages=2)
            snapshot = opened.snapshot()
            ids.append([(p.id, p.number, p.text) for p in snapshot.passages(range(100))])
            assert opened.verify().ok
    assert sorted(ids[0]) == sorted(ids[1])


@pytest.mark.parametrize("typed", [True, False])
def test_documents_made_int8_together_are_what_they_are_alone(tmp_path, monkeypatch, typed):
    """Short and long ones, of several passages and of none, in one order or the other."""
    shapes = [(1, 5), (3, 4), (0, 0), (1, 70), (2, 0), (1, 9), (1, 80), (5, 1)]
    records = [
        record(i, n_passages=n, n_tokens=tokens, typed=typed and i != 4)
        for i, (n, tokens) in enumerate(shapes)
    ]
    made = []
    for at_once in (1, 64, 1 << 13):
        monkeypatch.setattr(buffering, "_TOKENS_AT_ONCE", at_once)
        with store.create(tmp_path / str(at_once), storing.settings()) as opened:
            storing.add(opened, *records)
            assert opened.verify().ok
        made.append(storing.contents(tmp_path / str(at_once)))
    assert made[0] == made[1] == made[2]


def test_replacing_in_one_commit_ends_the_old_ones_together(opened):
    fill(opened, 0, 20)
    with opened.write() as writer:
        for i in range(5, 10):
            writer.add(*record(i, f"new {i}"))
        writer.add(*record(5, "newer"))
        assert writer.delete([6, 19]) == 2
        writer.add(*record(19, "back"))
    snapshot = opened.snapshot()
    assert sorted(snapshot.ids()) == sorted(set(range(20)) - {6})
    texts = {id_: document.text for id_, document in snapshot.documents([5, 7, 19]).items()}
    assert texts == {5: "newer", 7: "new 7", 19: "back"}
    assert opened.info()["n_documents"] == 19
    assert opened.verify().ok

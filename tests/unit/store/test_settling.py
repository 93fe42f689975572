"""Fresh becomes settled: when, how, and what stays the same."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import storing
from storing import add, fill, found, record

from interlace import codec, store
from interlace.errors import CollectionError
from interlace.store import settling
from interlace.store.settling import sample


def test_budgets(opened):
    fill(opened, 0, 60)
    assert opened.info()["n_settled_segments"] == 0
    fill(opened, 60, 61)
    assert opened.info()["n_fresh_tokens"] == 0
    fill(opened, 61, 80)
    assert opened.info()["n_fresh_tokens"] == 190
    fill(opened, 80, 82)
    assert opened.info()["n_fresh_tokens"] == 0


def test_manual(folder):
    with store.create(folder, storing.settings(), settle="manual") as opened:
        fill(opened, 0, 200)
        assert opened.info()["n_settled_segments"] == 0
        report = opened.settle()
        assert (report.n_passages, report.n_tokens, report.trained) == (200, 2000, True)
        fill(opened, 200, 300)
        assert opened.info()["n_fresh_tokens"] == 1000
        assert not opened.settle().trained


def test_a_bulk_write_goes_straight_to_settled(opened):
    fill(opened, 0, 100)
    number = opened.commit
    fill(opened, 100, 200)
    assert opened.commit == number + 1
    assert opened.info()["n_settled_segments"] == 2
    assert found(opened, record(150)) == [150]


@pytest.mark.parametrize("name", list(codec.NAMES))
def test_every_codec_finds_what_is_there(folder, name):
    with store.create(folder, storing.settings(codec=name)) as opened:
        fill(opened, 0, 150)
        fill(opened, 150, 155)
        for i in (0, 77, 149, 152):
            assert found(opened, record(i)) == [i]
        assert opened.verify().ok


@pytest.mark.parametrize("dim", [1, 5, 48, 127, 128])
def test_every_dim(folder, dim):
    with store.create(folder, storing.settings(dim=dim)) as opened:
        fill(opened, 0, 70, dim=dim)
        assert opened.info()["n_settled_segments"] == 1
        assert opened.verify().ok
        embeddings = opened.snapshot().embeddings(0)
        cosines = (embeddings * record(0, dim=dim)[3][0].matrix).sum(axis=1)
        assert cosines.mean() > 0.98


def test_half_fresh_half_settled_is_fair(folder):
    """The same passages, half of them coded: neither half may climb."""
    with store.create(folder, storing.settings(codec="residual2"), settle="manual") as opened:
        fill(opened, 0, 300, n_tokens=20)
        opened.settle()
        fill(opened, 300, 600, n_tokens=20)
        snapshot = opened.snapshot()
        places: list[int] = []
        for seed in range(40):
            matrix, _ = storing.matrix(10_000 + seed, 8)
            rows = store.search(snapshot, matrix, 50, effort="exhaustive", by="passage").rows
            places += [passage.id for passage in snapshot.passages(rows)]
        share = np.mean(np.array(places) < 300)
    assert 0.45 < share < 0.55


def test_tombstones_go_with_their_passages(opened):
    fill(opened, 0, 100)
    fill(opened, 100, 110)
    with opened.write() as writer:
        writer.delete([5, 105])
    opened.settle()
    assert sorted(opened.snapshot().ids()) == sorted(set(range(110)) - {5, 105})
    assert 5 not in found(opened, record(5), k=110)
    assert opened.verify().ok
    opened.compact()
    assert opened.info()["n_tombstones"] == 0
    assert sorted(opened.snapshot().ids()) == sorted(set(range(110)) - {5, 105})


def test_documents_that_die_while_settling(opened, folder, monkeypatch):
    """A writer comes between reading the inputs and the commit."""
    with store.open(folder, settle="manual") as other:
        fill(other, 0, 100)
        train = codec.train

        def interrupted(*args, **options):
            with other.write() as writer:
                writer.delete([7])
                writer.add(*record(8, "changed"))
                writer.add(*record(1000))
            return train(*args, **options)

        monkeypatch.setattr(settling.codec, "train", interrupted)
        opened.settle()
        opened.refresh()
        assert sorted(opened.snapshot().ids()) == sorted({*range(100), 1000} - {7})
        assert opened.snapshot().documents([8])[8].text == "changed"
        assert found(opened, record(1000)) == [1000]
        assert opened.verify().ok


def test_a_failure_leaves_everything_fresh_and_is_reported(opened, folder, monkeypatch):
    def fails(*args, **options):
        raise CollectionError("the disk is full: here. Free some space.")

    monkeypatch.setattr(settling, "write_settled", fails)
    with pytest.warns(RuntimeWarning, match="the write has succeeded: the disk is full"):
        fill(opened, 0, 100)
    assert isinstance(opened.last_settle_error, CollectionError)
    assert opened.snapshot().n_documents == 100
    assert opened.info()["n_settled_segments"] == 0
    assert [name for name in storing.listing(folder) if "codec" in name] == []
    monkeypatch.undo()
    fill(opened, 100, 101)
    assert opened.last_settle_error is None
    assert opened.info()["n_fresh_tokens"] == 0
    assert opened.verify().ok


@pytest.mark.parametrize("typed", [True, False])
def test_the_same_bytes_for_any_threads_and_commits(tmp_path, typed):
    """Names apart, files depend on embeddings and seed alone."""
    made = []
    for name, n_threads, step in (("one", 1, 150), ("four", 4, 150), ("commits", 2, 10)):
        with store.create(
            tmp_path / name, storing.settings(), settle="manual", n_threads=n_threads
        ) as opened:
            for first in range(0, 150, step):
                fill(opened, first, first + step, typed=typed)
            opened.settle()
            fill(opened, 150, 400, typed=typed)
            opened.settle()
            with opened.write() as writer:
                writer.delete([3, 200])
            opened.compact()
        made.append(storing.contents(tmp_path / name))
    assert made[0] == made[1] == made[2]


def test_another_seed_is_another_rotation(tmp_path):
    for seed in (0, 1):
        with store.create(tmp_path / str(seed), storing.settings(seed=seed)) as opened:
            fill(opened, 0, 100)
    assert storing.contents(tmp_path / "0") != storing.contents(tmp_path / "1")


def test_memory_bounds_cut_segments_not_passages(tmp_path, monkeypatch):
    monkeypatch.setattr(settling, "SEGMENT_TOKENS_MAX", 1_000)
    with store.create(tmp_path / "a", storing.settings(memory_bytes_max=2**20)) as opened:
        fill(opened, 0, 250, n_tokens=9)
        assert opened.info()["n_settled_segments"] == 3
        assert opened.verify().ok
        assert [found(opened, record(i, n_tokens=9)) for i in (0, 111, 249)] == [[0], [111], [249]]


def test_a_writer_flushes_when_its_buffer_is_full(opened, folder, monkeypatch):
    monkeypatch.setattr(store.Settings, "buffer_tokens_max", property(lambda self: 100))
    with opened.write() as writer:
        for i in range(45):
            writer.add(*record(i))
        assert len(storing.listing(folder)) == 4
        assert list(opened.snapshot().ids()) == []
    assert opened.snapshot().n_documents == 45
    assert opened.verify().ok


def test_sample_is_uniform_bounded_and_whole():
    lengths = np.full(1_000, 10, np.int64)
    assert list(sample(lengths[:5], 50, 0)) == [0, 1, 2, 3, 4]
    drawn = sample(lengths, 2_000, 0)
    assert len(drawn) == 200
    assert (np.diff(drawn) > 0).all()
    assert 400 < drawn.mean() < 600
    assert list(drawn) == list(sample(lengths, 2_000, 0))
    assert list(drawn) != list(sample(lengths, 2_000, 1))
    assert len(sample(np.array([500]), 10, 0)) == 1


def test_two_threads_write_and_settle(opened):
    problems: list[BaseException] = []

    def work(first: int) -> None:
        try:
            for i in range(first, first + 40):
                add(opened, record(i))
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(first,)) for first in (0, 1000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    assert opened.snapshot().n_documents == 80
    assert opened.verify().ok

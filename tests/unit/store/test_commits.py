"""What a commit promises to the process that made it, whatever its other threads do."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from storing import fill, found, listing, record

from interlace import files, store
from interlace.errors import CollectionError
from interlace.store import settling
from interlace.store.catalog import Catalog
from interlace.store.folder import Folder
from interlace.store.rows import PART


@pytest.fixture
def searched_meanwhile(opened, monkeypatch):
    """Another thread searches between a commit's last preparation and its COMMIT."""
    close_gate = Folder.close_gate

    def close_late(folder):
        if folder is opened._folder:
            thread = threading.Thread(target=opened.snapshot)
            thread.start()
            thread.join()
        return close_gate(folder)

    monkeypatch.setattr(Folder, "close_gate", close_late)


@pytest.mark.usefixtures("searched_meanwhile")
def test_a_process_sees_its_own_commit(opened):
    for n in range(1, 4):
        fill(opened, n, n + 1)
        assert opened.snapshot().n_documents == n
        assert opened.snapshot().number == opened.commit


@pytest.mark.usefixtures("searched_meanwhile")
def test_a_process_sees_its_own_settling_and_merging(opened):
    fill(opened, 0, 100)
    assert opened.snapshot().number == opened.commit
    assert opened.snapshot().n_fresh_rows == 0
    fill(opened, 100, 200)
    opened.compact()
    assert opened.snapshot().number == opened.commit
    assert len(opened.snapshot().segments) == 1


@pytest.mark.usefixtures("searched_meanwhile")
def test_a_process_sees_what_it_attached(opened, tmp_path):
    with store.create(tmp_path / "other", opened.settings) as other:
        fill(other, 0, 5)
        store.attach(opened, other)
    assert opened.snapshot().n_documents == 5


def test_adds_are_seen_while_threads_search(opened):
    over = threading.Event()
    failures: list[BaseException] = []

    def search() -> None:
        try:
            while not over.is_set():
                found(opened, record(0))
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for n in range(30):
            fill(opened, n, n + 1)
            assert opened.snapshot().contains(n)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert failures == []


def test_a_write_waits_for_nobody_who_settles(opened, folder, monkeypatch):
    fill(opened, 0, 55)
    with (
        store.open(folder, lock_wait_seconds=60) as other,
        ThreadPoolExecutor(1) as another,
        another.submit(opened._folder.shape_lock, "settling").result(),
    ):

        def refuse(_: float) -> None:
            raise AssertionError("the write waits")

        monkeypatch.setattr(files.time, "sleep", refuse)
        fill(other, 55, 70)
        assert other.snapshot().n_documents == 70
        assert "settling since" in str(other.last_settle_error)
    monkeypatch.undo()
    fill(opened, 70, 71)
    assert opened.info()["n_fresh_tokens"] == 0


@pytest.mark.parametrize("error", [MemoryError(), OSError(12, "no memory to map")])
def test_a_write_stands_when_settling_fails(opened, monkeypatch, error):
    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(settling.Coder, "train", fail)
        with pytest.warns(RuntimeWarning, match="settling failed, the write has succeeded"):
            fill(opened, 0, 70)
    assert opened.last_settle_error is error
    assert opened.snapshot().n_documents == 70
    assert found(opened, record(3)) == [3]
    fill(opened, 70, 71)
    assert opened.last_settle_error is None
    assert opened.info()["n_fresh_tokens"] == 0


def test_attaching_merges_when_there_are_many_segments(opened, tmp_path):
    fill(opened, 0, 100)
    for n in range(1, 10):
        with store.create(tmp_path / str(n), opened.settings) as other:
            other.train_like(opened)
            fill(other, 100 * n, 100 * n + 50)
            store.attach(opened, other)
    assert opened.info()["n_settled_segments"] <= 8
    assert opened.snapshot().n_documents == 550
    assert found(opened, record(930)) == [930]
    assert opened.verify().ok


def test_a_reader_opens_while_much_is_purged(opened, folder, monkeypatch):
    """Half a million documents take seconds: nobody who opens the collection may wait for them."""
    monkeypatch.setattr("interlace.store.catalog._ROWS_MUCH", 10)
    fill(opened, 0, 20, n_tokens=3)
    seen: list[list[int]] = []
    real = Catalog.purge

    def watched(catalog: Catalog, oldest: int) -> bool:
        with store.open(folder, lock_wait_seconds=0) as reader, reader.snapshot() as snapshot:
            assert snapshot.number == oldest
            seen.append(list(snapshot.ids()))
            with pytest.raises(CollectionError, match="is gone"):
                reader._folder.hold(reader._catalog, oldest - 1)
        return real(catalog, oldest)

    monkeypatch.setattr(Catalog, "purge", watched)
    with opened.write() as writer:
        writer.delete(range(19))
    assert seen == [[19]]
    assert opened._catalog._rows("SELECT id FROM documents") == [(19,)]
    assert opened.verify().ok


@pytest.mark.parametrize("what", ["text", "files"])
def test_much_to_purge_may_be_few_documents(opened, monkeypatch, what):
    """A text of a megabyte takes as long as eighty short ones; files need have no documents."""
    monkeypatch.setattr("interlace.store.catalog._ROWS_MUCH", 20)
    with opened.write() as writer:
        writer.add(*record("long", "x" * 12 * PART if what == "text" else "x", n_tokens=3))
        for i in range(30):
            writer.set_file(f"file{i}", writer.add_source("here", "here", {}), "seen")
    with monkeypatch.context() as patch:
        alone = []
        patch.setattr(Catalog, "purge_alone", lambda _, oldest: alone.append(oldest))
        with opened.write() as writer:
            if what == "text":
                writer.delete(["long"])
            else:
                for i in range(30):
                    writer.forget_file(f"file{i}")
        assert alone == [opened.commit]
    fill(opened, 20, 21)
    assert opened._catalog._value("SELECT count(*) FROM texts") == 1 + (what == "files")
    assert opened._catalog._value("SELECT count(*) FROM files") == 30 * (what == "text")
    assert opened.verify().ok


def test_a_purge_that_fails_leaves_it_to_the_next_commit(opened, monkeypatch):
    monkeypatch.setattr("interlace.store.catalog._ROWS_MUCH", 10)
    fill(opened, 0, 20, n_tokens=3)
    with monkeypatch.context() as patch:
        patch.setattr(Catalog, "purge_runs", lambda *_: raise_(CollectionError("the disk is full")))
        with opened.write() as writer:
            writer.delete(range(19))
    assert opened.snapshot().n_documents == 1
    assert opened._catalog._value("SELECT count(*) FROM documents") == 20
    fill(opened, 20, 21)
    assert opened._catalog._value("SELECT count(*) FROM documents") == 2
    assert opened.verify().ok


def raise_(error: Exception) -> None:
    raise error


def named(opened: store.Store) -> list[str]:
    """The files of segments and codec that the newest commit needs."""
    number = opened.commit
    generation = opened._catalog.generation(number)
    assert generation is not None
    return sorted(
        [f"segments/{row.file_name}" for row in opened._catalog.segments(number)]
        + [f"codec/{generation.name}/{array}.codec" for array in generation.arrays]
    )


@pytest.mark.parametrize(
    "work",
    [
        lambda opened: opened.write().abandon(),
        lambda opened: opened.write().commit(),
        lambda opened: fill(opened, 200, 201),
        store.Store.compact,
        store.Store.settle,
    ],
    ids=["a write that is left", "a write of nothing", "a write", "compact", "settle"],
)
def test_what_was_replaced_while_somebody_read_it_goes_with_the_next_work(opened, folder, work):
    fill(opened, 0, 100)
    with store.open(folder) as reader:
        fill(opened, 100, 200)
        opened.compact()
        old = set(listing(folder)) - set(named(opened))
        assert old
        opened.write().commit()
        opened.compact()
        assert old <= set(listing(folder))
        assert found(reader, record(0)) == [0]
    work(opened)
    assert listing(folder) == named(opened)
    assert opened.verify().ok


@pytest.mark.parametrize("work", [store.Store.write, store.Store.compact])
def test_what_only_the_stores_own_snapshot_still_sees_goes_as_well(opened, folder, work):
    """It was taken before others went on, and is not what the next search sees."""
    fill(opened, 0, 100)
    with store.open(folder) as idle:
        fill(opened, 100, 200)
        opened.compact()
        assert set(listing(folder)) > set(named(opened))
        done = work(idle)
        assert listing(folder) == named(opened)
        if isinstance(done, store.Writer):
            done.abandon()
        assert found(idle, record(150)) == [150]


def test_what_a_small_write_cannot_sweep_goes_with_the_compaction_that_it_met(opened, folder):
    """Without the shape lock it purges rows that nobody needs, and leaves their files."""
    fill(opened, 0, 100)
    readers = [store.open(folder)]
    fill(opened, 100, 200)
    opened.compact()
    old = set(listing(folder)) - set(named(opened))
    assert old
    fill(opened, 200, 300)

    def met(*_: object) -> None:
        if len(readers) == 1:
            readers[0].close()
            with store.open(folder, settle="manual") as other:
                fill(other, 300, 301)
            assert old <= set(listing(folder))
            readers.append(store.open(folder))  # so that the compaction purges nothing

    opened.compact(met)
    readers[1].close()
    assert not old & set(listing(folder))

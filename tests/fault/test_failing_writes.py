"""Writes that the system refuses: a typed error, and the last commit as it was."""

from __future__ import annotations

import errno
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import storing
from storing import add, fill, found, record

from interlace import files, store
from interlace.errors import CollectionError, Corrupt
from interlace.store.catalog import Catalog


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "notes.lace"


@pytest.fixture
def opened(folder):
    with store.create(folder, storing.settings(), settle="manual") as made:
        fill(made, 0, 80)
        made.settle()
        fill(made, 80, 90)
        yield made


def failing(monkeypatch, n: int, code: int = errno.ENOSPC) -> list[int]:
    """Let the n-th sync fail; the list counts them."""
    count, sync = [0], files.sync_file

    def fails(fd: int) -> None:
        count[0] += 1
        if count[0] == n:
            raise OSError(code, "No space left on device")
        sync(fd)

    monkeypatch.setattr(files, "sync_file", fails)
    return count


def write(opened: store.Store) -> None:
    with opened.write() as writer:
        writer.delete([1])
        writer.add(*record("new"))


OPERATIONS = {
    "write": write,
    "settle": lambda opened: opened.settle(),
    "compact": lambda opened: (opened.settle(), opened.compact()),
}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("operation", list(OPERATIONS))
def test_a_failing_sync(opened, folder, monkeypatch, operation, code):
    ids = list(opened.snapshot().ids())
    for n in range(1, 20):
        with monkeypatch.context() as patch:
            count = failing(patch, n, code)
            try:
                OPERATIONS[operation](opened)
            except CollectionError as error:
                assert str(folder) in str(error)  # noqa: PT017
                assert "nothing that was committed is lost" in str(error)  # noqa: PT017
            else:
                assert count[0] < n
                break
        if operation == "write":
            assert list(opened.snapshot().ids()) == ids
        assert opened.verify().ok
        assert found(opened, record(5)) == [5]
    else:
        pytest.fail("it never came to its end")
    with store.open(folder) as again:
        fill(again, 200, 201)
        known = {row.file_name for row in again._catalog.segments(again.commit)}
        on_disk = {Path(name).name for name in storing.listing(folder) if "segments" in name}
        assert known == on_disk


def test_a_failing_commit(opened, folder, monkeypatch):
    def fails(self, commit):
        raise CollectionError("the disk is full or refuses a write: catalog.sqlite. Free some.")

    ids = list(opened.snapshot().ids())
    with monkeypatch.context() as patch:
        patch.setattr(Catalog, "commit", fails)
        with pytest.raises(CollectionError, match="disk is full"):
            write(opened)
    assert list(opened.snapshot().ids()) == ids
    write(opened)
    assert opened.snapshot().contains("new")
    assert not opened.snapshot().contains(1)
    assert opened.verify().ok


def test_a_writer_that_failed_can_only_be_left(opened, monkeypatch):
    writer = opened.write()
    writer.add(*record("x"))
    with monkeypatch.context() as patch:
        failing(patch, 1)
        with pytest.raises(CollectionError, match="disk is full"):
            writer.commit()
    with pytest.raises(CollectionError, match="over"):
        writer.commit()
    with pytest.raises(CollectionError, match="over"):
        writer.add(*record("y"))
    add(opened, record("x"))
    assert opened.snapshot().contains("x")


FULL_DISK = """
import resource, signal, sys
sys.path.insert(0, sys.argv[2])
import storing
from interlace import store
from interlace.errors import CollectionError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
opened = store.open(sys.argv[1], settle="manual")
limit = int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
try:
    with opened.write() as writer:
        for i in range(1000, 3000):
            writer.add(*storing.record(i, "long text " * 40))
except CollectionError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
with opened.write() as writer:
    writer.add(*storing.record("after"))
opened.close()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no file-size limits here")
@pytest.mark.parametrize("limit", [4_096, 60_000, 150_000, 250_000])
def test_a_full_disk(opened, folder, limit):
    """The catalog's log or the segment, whichever meets the limit first."""
    ids = list(opened.snapshot().ids())
    opened.close()
    tests = str(Path(storing.__file__).parent)
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", FULL_DISK, str(folder), tests, str(limit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert "nothing that was committed is lost" in run.stdout
    assert str(folder) in run.stdout
    with store.open(folder) as again:
        assert list(again.snapshot().ids()) == [*ids, "after"]
        assert again.verify().ok
        known = {row.file_name for row in again._catalog.segments(again.commit)}
        on_disk = {Path(name).name for name in storing.listing(folder) if "segments" in name}
        assert known == on_disk


def test_orphans_are_swept_by_the_next_writer(opened, folder):
    (folder / "segments" / "cafe.fresh").write_bytes(b"left by a crash")
    (folder / "codec" / "beef").mkdir()
    (folder / "codec" / "beef" / "cells.codec").write_bytes(b"left by a crash")
    assert opened.verify().ok
    fill(opened, 100, 101)
    assert not (folder / "segments" / "cafe.fresh").exists()
    assert not (folder / "codec" / "beef").exists()
    assert opened.verify().ok


def test_files_that_a_writer_has_on_the_way_are_not_swept(opened, folder, monkeypatch):
    """Settling sweeps while another writer has written, but not yet committed."""
    monkeypatch.setattr(store.Settings, "buffer_tokens_max", property(lambda self: 50))
    held = files.lock(folder / "shape.lock")
    writer = opened.write()
    held.release()
    for i in range(300, 320):
        writer.add(*record(i))
    with (
        store.open(folder, settle="manual", lock_wait_seconds=0.05) as other,
        ThreadPoolExecutor(1) as another,
        pytest.raises(CollectionError, match="is in use"),
    ):
        another.submit(other.settle).result()
    writer.commit()
    opened.settle()
    assert opened.snapshot().n_documents == 110
    assert opened.verify().ok


def test_corrupt_is_a_collection_error():
    assert issubclass(Corrupt, CollectionError)

"""Backups: one commit exactly, whole or not there, while others write; and back again."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import storing
from storing import contents, fill, found, listing, record

from interlace import files, store
from interlace.errors import CollectionError, Corrupt, InputError, Locked, NotACollection

TESTS = str(Path(storing.__file__).parent)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "backups" / "copy.lace"


@pytest.fixture
def filled(opened, target):
    """Fresh and settled segments, tombstones, and a folder to put backups in."""
    fill(opened, 0, 80)
    with opened.write() as writer:
        writer.delete([1, 2])
    fill(opened, 80, 90)
    target.parent.mkdir()
    return opened


def state(folder: Path) -> tuple[int, dict, list]:
    """The commit, the documents, and the best passages of a query."""
    with store.open(folder) as opened:
        assert opened.verify().problems == ()
        snapshot = opened.snapshot()
        documents = snapshot.documents(list(snapshot.ids()))
        return snapshot.number, documents, found(opened, record(5), k=10)


def test_a_backup_is_the_collection(filled, folder, target):
    report = filled.backup(target)
    assert report.path == str(target)
    assert report.commit == filled.commit
    assert report.n_documents == 88
    assert (report.n_files, report.n_files_kept) == (len(listing(target)) + 1, 0)
    sizes = [path.stat().st_size for path in [target / "catalog.sqlite", *target.glob("*/*.*")]]
    assert report.n_bytes >= sum(sizes)
    assert listing(target) == listing(folder)
    assert contents(target) == contents(folder)
    assert state(target) == state(folder)
    assert sorted(path.name for path in target.parent.iterdir()) == ["copy.lace"]
    assert not list(target.glob("catalog.sqlite-*"))
    assert not (target / "coming").exists()


def test_nothing_is_linked(filled, target):
    filled.backup(target)
    assert {path.stat().st_nlink for path in target.rglob("*") if path.is_file()} == {1}


def test_a_backup_lives_on_by_itself(filled, target):
    filled.backup(target)
    with store.open(target) as copy:
        fill(copy, 200, 300)
        copy.compact()
        assert copy.verify().ok
        assert found(copy, record(250)) == [250]
    assert not filled.snapshot().contains(250)


def test_an_empty_collection(opened, tmp_path):
    opened.backup(tmp_path / "copy")
    assert state(tmp_path / "copy")[:2] == (0, {})


def test_what_was_deleted_before_is_not_copied_as_files(filled, folder, target):
    with store.open(folder) as reader:
        reader.snapshot()  # holds the old segments on disk
        filled.compact()
        n = len(filled.snapshot().segments)
        assert len(list(folder.glob("segments/*"))) > n
        filled.backup(target)
    assert len([one for one in listing(target) if "segments" in one]) == n
    assert state(target)[0] == filled.commit


# --- bringing up to date -------------------------------------------------------------------------
def test_a_second_backup_copies_what_is_new(filled, folder, target):
    filled.backup(target)
    before = {target / name: (target / name).stat().st_mtime_ns for name in listing(target)}
    with filled.write() as writer:
        writer.update_metadata(7, {"new": True})
        writer.add(*record("more"))
    report = filled.backup(target)
    assert (report.commit, report.n_files_kept) == (filled.commit, len(before))
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert state(target) == state(folder)
    assert state(target)[1][7].metadata == {"new": True}
    assert sorted(path.name for path in target.parent.iterdir()) == ["copy.lace"]


def test_what_a_backup_needs_no_more_goes(filled, folder, target):
    filled.backup(target)
    filled.compact()
    filled.backup(target)
    assert listing(target) == listing(folder)
    assert state(target) == state(folder)


def test_the_same_commit_again(filled, target):
    first = filled.backup(target)
    again = filled.backup(target)
    assert again.commit == first.commit
    assert (again.n_files, again.n_files_kept) == (1, first.n_files - 1)


def test_a_damaged_header_in_the_backup_is_mended(filled, folder, target):
    filled.backup(target)
    path = next(target.glob("segments/*.settled"))
    path.write_bytes(b"x" + path.read_bytes()[1:])
    filled.backup(target)
    assert state(target) == state(folder)


def test_nothing_else_is_overwritten(filled, target, tmp_path):
    with store.create(tmp_path / "other", storing.settings()) as other:
        fill(other, 0, 3)
        with pytest.raises(CollectionError, match=r"other is no unchanged backup"):
            filled.backup(other.path)
        other.backup(tmp_path / "of another")
    with pytest.raises(CollectionError, match="a backup of another collection"):
        filled.backup(tmp_path / "of another")
    filled.backup(target)
    with store.open(target) as copy:
        fill(copy, 300, 301)
    with pytest.raises(CollectionError, match="written to since"):
        filled.backup(target)
    assert 300 in state(target)[1]
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("x")
    with pytest.raises(CollectionError, match="file is a file"):
        filled.backup(tmp_path / "file")
    with pytest.raises(CollectionError, match=r"full holds 'letter\.txt'"):
        filled.backup(tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["letter.txt"]


def test_a_newer_backup_is_not_overwritten(filled, folder, target, tmp_path):
    filled.backup(target)
    store.restore(target, tmp_path / "old")
    fill(filled, 100, 101)
    filled.backup(target)
    with (
        store.open(tmp_path / "old") as old,
        pytest.raises(CollectionError, match=rf"a backup of commit {filled.commit}, and"),
    ):
        old.backup(target)


def test_inside_itself(filled, folder):
    with pytest.raises(InputError, match="the collection itself"):
        filled.backup(folder)
    for inside in (folder / "copy", folder / "segments" / "copy"):
        with pytest.raises(InputError, match="inside the collection"):
            filled.backup(inside)


def test_a_backup_that_is_read_is_left_alone(filled, folder, target):
    filled.backup(target)
    before = state(target)
    fill(filled, 100, 110)
    with store.open(target) as reader:
        with pytest.raises(Locked, match=r"the backup is open.*Close it"):
            filled.backup(target)
        assert found(reader, record(5)) == [5]
    assert state(target) == before
    filled.backup(target)
    assert state(target) == state(folder)


def test_two_at_once(filled, target):
    partial = target.with_name("copy.lace.partial")
    partial.mkdir()
    with (
        files.lock(partial / "write.lock", doing="copying"),
        pytest.raises(Locked, match="copying"),
    ):
        filled.backup(target)
    filled.backup(target)
    assert not partial.exists()


# --- damage --------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["fresh", "settled", "codec"])
def test_damage_is_not_copied(filled, folder, target, kind):
    path = next(folder / name for name in listing(folder) if name.endswith(kind))
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(Corrupt, match=f"damaged: {path}:"):
        filled.backup(target)
    assert list(target.parent.iterdir()) == []


def test_a_file_that_is_gone(filled, folder, target):
    path = next(folder.glob("segments/*.settled"))
    path.unlink()
    with pytest.raises(Corrupt, match=f"gone: {path}:"):
        filled.backup(target)


def test_a_damaged_catalog_is_named_by_its_own_path(filled, folder, target):
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(folder / "catalog.sqlite")) as connection, connection:
        connection.execute("DELETE FROM texts WHERE document = 3")
    with pytest.raises(Corrupt, match=rf"no text: {folder}/catalog\.sqlite"):
        filled.backup(target)


# --- back again ----------------------------------------------------------------------------------
def test_restored(filled, folder, target, tmp_path):
    filled.backup(target)
    store.restore(target, tmp_path / "new" / "notes.lace")
    assert state(tmp_path / "new" / "notes.lace") == state(folder)
    with store.open(tmp_path / "new" / "notes.lace") as restored:
        fill(restored, 100, 130)
        assert restored.verify().ok
        restored.backup(target)  # the same collection, so its backup goes on
    assert 120 in state(target)[1]


def test_twins_do_not_overwrite_each_others_backup(filled, target, tmp_path):
    """Restored from one backup and grown apart: of the same commits, each has others."""
    filled.backup(target)
    store.restore(target, tmp_path / "twin")
    with store.open(tmp_path / "twin") as twin:
        for i in range(3):
            fill(twin, 200 + i, 201 + i)
        with twin.write() as writer:
            writer.delete([0, 200, 201, 202])
        with filled.write() as writer:
            writer.delete([0])
        filled.backup(target)
        with pytest.raises(CollectionError, match="another history"):
            twin.backup(target)
        twin.backup(tmp_path / "of the twin")
        twin.backup(tmp_path / "of the twin")
    for i in range(9):
        fill(filled, 300 + i, 301 + i)
    with pytest.raises(CollectionError, match="another history"):
        filled.backup(tmp_path / "of the twin")
    filled.backup(target)


def test_a_restored_one_may_go_on_with_its_backup_and_the_lost_one_then_not(
    filled, target, tmp_path
):
    filled.backup(target)
    for i in range(2):  # restored from what was restored
        store.restore(target, tmp_path / f"twin {i}")
        with store.open(tmp_path / f"twin {i}") as twin:
            fill(twin, 200 + i, 201 + i)
            twin.backup(target)
    for i in range(9):
        with filled.write() as writer:
            writer.delete([i])
    with pytest.raises(CollectionError, match="another history"):
        filled.backup(target)


@pytest.mark.parametrize("goes_on", ["a backup", "a copy"])
def test_copies_that_were_written_to_are_told_apart(filled, folder, target, tmp_path, goes_on):
    filled.backup(target)
    other = target
    if goes_on == "a copy":
        shutil.copytree(folder, other := tmp_path / "copy")
    with store.open(other) as written:
        fill(written, 200, 201)
        written.backup(tmp_path / "second")
        fill(written, 201, 202)
        written.backup(tmp_path / "second")
    for i in range(9):
        fill(filled, 300 + i, 301 + i)
    with pytest.raises(CollectionError, match="another history"):
        filled.backup(tmp_path / "second")


def delete(opened, *ids):
    """A commit for each."""
    for id_ in ids:
        with opened.write() as writer:
            writer.delete([id_])


def test_two_backups_that_were_written_to_are_told_apart(filled, target, tmp_path):
    """Also when nothing is left of what the first has more, as after deletes."""
    backups = [tmp_path / "one", tmp_path / "two"]
    for backup in backups:
        filled.backup(backup)
    with store.open(backups[0]) as one, store.open(backups[1]) as two:
        delete(one, 3)
        one.backup(target)
        delete(two, 3, 4)
        with pytest.raises(CollectionError, match="another history"):
            two.backup(target)
        delete(one, 5)
        one.backup(target)
        two.backup(backups[0].with_name("of two"))
    with store.open(target) as third:
        delete(third, 6)
    with store.open(backups[0]) as one, pytest.raises(CollectionError, match="written to since"):
        one.backup(target)


@pytest.mark.parametrize("ids", [[4], [4, 5]])
@pytest.mark.parametrize("what", ["deletes", "metadata"])
def test_copied_folders_are_told_apart_by_their_documents(
    filled, folder, target, tmp_path, what, ids
):
    shutil.copytree(folder, tmp_path / "copy")

    def change(opened, id_):
        with opened.write() as writer:
            if what == "deletes":
                writer.delete([id_])
            else:
                writer.update_metadata(id_, {"new": True})

    with store.open(tmp_path / "copy") as copy:
        change(filled, 3)
        filled.backup(target)
        for id_ in ids:
            change(copy, id_)
        with pytest.raises(CollectionError, match="another history"):
            copy.backup(target)
    change(filled, 9)
    filled.backup(target)


def test_a_commit_that_is_still_there_tells_copies_apart(filled, folder, target, tmp_path):
    """Of the same number it is another: of another time, or with other counts."""
    shutil.copytree(folder, tmp_path / "copy")
    with store.open(tmp_path / "copy") as copy:
        with copy.write() as writer:
            writer.delete([3, 4])
        copy.backup(target)
        delete(filled, 3)
        with pytest.raises(CollectionError, match="another history"):
            filled.backup(target)


def test_damage_is_not_restored(filled, target, tmp_path):
    filled.backup(target)
    path = next(target.glob("segments/*.settled"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(Corrupt, match=rf"not restored: {target}: .*{path.name}"):
        store.restore(target, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_restoring_over_something(filled, folder, target, tmp_path):
    filled.backup(target)
    with pytest.raises(CollectionError, match="is a collection already"):
        store.restore(target, folder)
    with pytest.raises(NotACollection):
        store.restore(tmp_path / "nothing", tmp_path / "new")


# --- failures and crashes ------------------------------------------------------------------------
WRITES = ("copy", "move", "make_folder", "sync_folder", "sync_file", "lock")


class Fails(Exception):
    """The nth call of anything that writes."""


@pytest.fixture
def failing(monkeypatch):
    """Counts the calls that write, and lets one of them fail."""
    at = {"calls": 0, "fail": None}

    def patched(original):
        def call(*arguments, **options):
            at["calls"] += 1
            if at["calls"] == at["fail"]:
                raise Fails
            return original(*arguments, **options)

        return call

    for name in WRITES:
        monkeypatch.setattr(files, name, patched(getattr(files, name)))
    return at


def test_a_backup_that_fails_leaves_nothing(filled, target, failing):
    failing["calls"] = 0
    filled.backup(target)
    n = failing["calls"]
    shutil.rmtree(target)
    for i in range(1, n - 1):  # the last two are the sync of the folder around it
        failing.update(calls=0, fail=i)
        with pytest.raises(Fails):
            filled.backup(target)
        assert list(target.parent.rglob("*.*")) in ([], [target.with_name("copy.lace.partial")])
        assert not list(target.parent.rglob("*.sqlite")), i
    failing["fail"] = None
    filled.backup(target)
    state(target)


def test_a_renewal_that_fails_leaves_the_old_or_the_new(filled, folder, target, failing, tmp_path):
    filled.backup(target)
    old = state(target)
    fill(filled, 100, 130)
    filled.compact()
    new = state(folder)
    shutil.copytree(target, tmp_path / "old")
    failing.update(calls=0)
    filled.backup(target)
    n = failing["calls"]
    for i in range(1, n + 1):
        shutil.rmtree(target)
        shutil.copytree(tmp_path / "old", target)
        failing.update(calls=0, fail=i)
        with pytest.raises(Fails):
            filled.backup(target)
        failing["fail"] = None
        assert state(target) in (old, new), i
        filled.backup(target)
        assert state(target) == new


BACKUP = """
import sys
from interlace import store
with store.open(sys.argv[1]) as opened:
    print('go', flush=True)
    opened.backup(sys.argv[2])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_backup_that_is_killed(filled, folder, target):
    generator = random.Random(5)
    for renewed in (False, True):
        for _ in range(4):
            before = state(target) if renewed else None
            with subprocess.Popen(
                [sys.executable, "-c", BACKUP, str(folder), str(target)], stdout=subprocess.PIPE
            ) as process:
                process.stdout.readline()
                time.sleep(generator.random() * 0.03)
                process.send_signal(signal.SIGKILL)
            if renewed:
                assert state(target) in (before, state(folder))
                fill(filled, 1_000 + filled.commit * 10, 1_010 + filled.commit * 10)
            elif target.exists():
                assert state(target) == state(folder)
                shutil.rmtree(target)
        filled.backup(target)
        assert state(target) == state(folder)
        assert [path.name for path in target.parent.iterdir()] == ["copy.lace"]


# --- while others write --------------------------------------------------------------------------
WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
import storing
from interlace import store
with store.open(sys.argv[1]) as opened:
    for step in range(100_000):
        with opened.write() as writer:
            for i in range(8):
                writer.add(*storing.record(step * 8 + i))
            writer.delete(range((step - 6) * 8, (step - 5) * 8))
            writer.add(*storing.record('step', 'of the step', metadata={'step': step}))
        if step == 10:
            print('on the way', flush=True)
        if step % 7 == 0:
            opened.compact()
"""


def expected(step: int) -> dict:
    ids = range(max(0, step - 5) * 8, (step + 1) * 8)
    documents = {i: record(i)[0] for i in ids}
    return documents | {"step": record("step", "of the step", metadata={"step": step})[0]}


def test_backups_while_another_process_writes_settles_and_purges(opened, folder, tmp_path):
    seconds = float(os.environ.get("INTERLACE_TEST_SECONDS", "4"))
    steps = set()
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), TESTS], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "on the way\n"
            end = time.monotonic() + seconds
            while time.monotonic() < end or len(steps) < 2:
                n = len(steps) % 2  # a new one, then the same renewed
                if not n:
                    shutil.rmtree(tmp_path / "copy", ignore_errors=True)
                report = opened.backup(tmp_path / "copy")
                number, documents, _ = state(tmp_path / "copy")
                step = documents["step"].metadata["step"]
                assert number == report.commit
                assert documents == expected(step)
                one = record(step * 8)
                with store.open(tmp_path / "copy") as copy:
                    assert found(copy, one) == [one[0].id]
                steps.add(step)
            assert process.poll() is None
        finally:
            process.kill()
    assert len(steps) > 1

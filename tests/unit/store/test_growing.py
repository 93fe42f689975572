"""A codec grows while others read it: tails of no commit, readers of an older one, copies."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import storing
from storing import fill, record

from interlace import files, store
from interlace.errors import CollectionError, Corrupt
from interlace.store import backup, settling
from interlace.store.catalog import Catalog
from interlace.store.segment import open_codec


@pytest.fixture
def opened(folder):
    """A codec, and a store that settles when it is told."""
    with store.create(folder, storing.settings(), settle="manual", n_threads=1) as made:
        fill(made, 0, 100)
        made.settle()
        yield made


def grow(opened: store.Store, first: int = 100) -> None:
    """Settle so much more that the codec grows."""
    fill(opened, first, first + 300, n_tokens=20)
    opened.settle()


def rows(folder: Path) -> dict[str, bytes]:
    """What is in the files of the codec, by their names."""
    return {path.name: path.read_bytes() for path in folder.glob("codec/*/*")}


def counted(opened: store.Store) -> dict[str, int]:
    """How much of them counts."""
    return {name: n for (_, name), n in opened._catalog.known_files()[1].items()}


def n_chunks(opened: store.Store) -> int:
    return opened.info()["n_codec_chunks"]


def scores(snapshot: store.Snapshot) -> list[bytes]:
    found = [
        store.search(snapshot, record(i)[3][0].matrix, 10, effort=effort)
        for i in range(0, 100, 9)
        for effort in ("fast", "exhaustive")
    ]
    return [part.tobytes() for one in found for part in (one.rows, one.scores)]


# --- appending -----------------------------------------------------------------------------------
def test_growing_appends_and_touches_nothing_else(opened, folder):
    before = rows(folder)
    grow(opened)
    after = rows(folder)
    assert n_chunks(opened) == 2
    assert all(after[name].startswith(content) for name, content in before.items())
    assert len(after["cells.codec"]) > len(before["cells.codec"])
    assert counted(opened) == {name: len(content) for name, content in after.items()}
    assert opened.verify().ok


def test_cells_that_were_leaves_themselves_become_leaves_when_others_come(folder, monkeypatch):
    monkeypatch.setattr("interlace.codec.clustering.CELLS_MIN", 30)
    monkeypatch.setattr("interlace.codec.clustering.CELLS_MAX", 40)
    monkeypatch.setattr("interlace.codec.clustering.TOKENS_PER_LEAF", 10)
    with store.create(folder, storing.settings(), settle="manual", n_threads=1) as opened:
        fill(opened, 0, 30)
        opened.settle()
        assert "leaves.codec" not in rows(folder)
        before = scores(opened.snapshot())
        embeddings = [opened.snapshot().embeddings(row) for row in range(30)]
        grow(opened)
        assert "leaves.codec" in rows(folder)
        snapshot = opened.snapshot()
        found = [int(row) for row in snapshot.rows_of(range(30))]
        for row, kept in zip(found, embeddings, strict=True):
            np.testing.assert_array_equal(snapshot.embeddings(row), kept)
        assert before != scores(snapshot)
        assert opened.verify().ok


@pytest.mark.parametrize("length", [1, 7, 100_000])
def test_a_tail_of_no_commit_is_not_seen_and_goes_with_the_next_write(opened, folder, length):
    before = rows(folder)
    for path in folder.glob("codec/*/*"):
        with path.open("ab") as file:
            file.write(b"\xff" * length)
    with store.open(folder, settle="manual") as other:
        assert other.verify().ok
        assert scores(other.snapshot()) == scores(opened.snapshot())
        fill(other, 500, 501)
    assert rows(folder) == before


@pytest.mark.parametrize("is_cut", [True, False], ids=["cut", "not cut"])
def test_a_crash_between_appending_and_the_commit(opened, folder, tmp_path, monkeypatch, is_cut):
    """Also where nothing can be cut off, as with some mapped files on Windows."""
    shutil.copytree(folder, tmp_path / "undisturbed.lace")
    before = rows(folder)
    with monkeypatch.context() as patch:
        patch.setattr(files, "cut", lambda path, n_bytes: None)
        patch.setattr(settling.Coder, "record", lambda self, transaction: 1 / 0)
        fill(opened, 700, 900, n_tokens=30)  # not what comes later
        with pytest.raises(ZeroDivisionError):
            opened.settle()
        with opened.write() as writer:
            writer.delete(range(700, 900))
    torn = rows(folder)
    assert all(torn[name].startswith(content) for name, content in before.items())
    assert len(torn["cells.codec"]) > len(before["cells.codec"])
    assert opened.verify().ok
    if not is_cut:
        monkeypatch.setattr(files, "cut", lambda path, n_bytes: None)
    grow(opened)
    assert opened.verify().ok
    assert n_chunks(opened) == 2
    with store.open(tmp_path / "undisturbed.lace", settle="manual", n_threads=1) as other:
        grow(other)
        assert counted(other) == counted(opened)
        expected = rows(other.path)
    assert {name: content[: len(expected[name])] for name, content in rows(folder).items()} == (
        expected
    )


def test_what_a_failed_append_leaves_is_swept(opened, folder, monkeypatch):
    before, append, calls = rows(folder), files.append, []

    def failing(path, at, content):
        calls.append(path)
        if len(calls) == 4:
            raise CollectionError("the disk is full")
        return append(path, at, content)

    fill(opened, 100, 400, n_tokens=20)
    monkeypatch.setattr(files, "append", failing)
    with pytest.raises(CollectionError, match="full"):
        opened.settle()
    assert len(calls) == 4
    assert rows(folder) == before
    opened.settle()
    assert n_chunks(opened) == 2
    assert opened.verify().ok


# --- readers -------------------------------------------------------------------------------------
def test_readers_of_two_commits(opened, folder):
    with store.open(folder, settle="manual", n_threads=1) as reader:
        old = reader.snapshot()
        before, n_leaves = scores(old), len(old._decoder.arrays.leaf_scales)
        grow(opened)
        with store.open(folder, settle="manual", n_threads=1) as other:
            new = other.snapshot()
            seen = scores(new)
            grow(opened, 1000)
            assert scores(new) == seen
            assert len(new._decoder.arrays.leaf_scales) > n_leaves
        assert scores(old) == before
        assert len(old._decoder.arrays.leaf_scales) == n_leaves
    assert n_chunks(opened) == 3


def test_a_commit_before_is_opened_from_the_files_of_a_later_one(opened, folder):
    kept, number = opened.snapshot(), opened.commit
    grow(opened)
    catalog = Catalog(folder)
    try:
        old, new = (catalog.generation(commit) for commit in (number, opened.commit))
    finally:
        catalog.close()
    assert new.chunks[: len(old.chunks)] == old.chunks
    found = open_codec(folder, old, 4, storing.DIM)
    for name, array in kept._decoder.rows.items():
        np.testing.assert_array_equal(found[name], array)


def test_rows_lie_on_cache_lines_and_in_the_file(opened):
    grow(opened)
    arrays = opened.snapshot()._decoder.rows
    for name, array in arrays.items():
        if len(array):
            assert array.ctypes.data % 4096 == 0, name
            assert not array.flags.owndata
            assert not array.flags.writeable


@pytest.mark.parametrize("array", ["cells", "cell_groups", "cell_types", "group_scales"])
def test_a_file_that_is_too_short_is_damage(opened, folder, array):
    (path,) = folder.glob(f"codec/*/{array}.codec")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Corrupt, match=f"{path}: expected at least"):
        store.open(folder)
    with store.open(folder, settle="manual", damaged="skip") as skipping:
        assert skipping.snapshot().left_out == (path.parent,)
        fill(skipping, 100, 400, n_tokens=20)
        with pytest.raises(Corrupt, match=str(path)):
            skipping.settle()


# --- copies --------------------------------------------------------------------------------------
def test_a_backup_and_its_original_grow_apart(opened, folder, tmp_path):
    opened.backup(tmp_path / "copy.lace")
    store.restore(tmp_path / "copy.lace", tmp_path / "back.lace")
    with store.open(tmp_path / "back.lace", settle="manual", n_threads=1) as other:
        assert rows(other.path) == rows(folder)
        grow(opened)
        grow(other, 5_000)
        assert opened.verify().ok
        assert other.verify().ok
        assert rows(other.path) != rows(folder)
        for path in other.path.glob("codec/*/*"):
            assert path.stat().st_nlink == 1


def test_a_backup_holds_what_counts_and_no_tail(opened, folder, tmp_path):
    expected = rows(folder)
    for path in folder.glob("codec/*/*"):
        with path.open("ab") as file:
            file.write(b"tail")
    opened.backup(tmp_path / "copy.lace")
    assert rows(tmp_path / "copy.lace") == expected


def test_a_backup_is_brought_up_to_date_by_the_new_rows_alone(opened, folder, tmp_path):
    target = tmp_path / "copy.lace"
    opened.backup(target)
    known = {path: path.stat().st_ino for path in target.glob("codec/*/*")}
    sizes = counted(opened)
    grow(opened)
    report = opened.backup(target)
    new = sum(counted(opened).values()) - sum(sizes.values())
    segments = sum(segment.row.written.n_bytes for segment in opened.snapshot().opened)
    assert report.n_bytes <= new + segments + files.size(target / "catalog.sqlite")
    assert {path: path.stat().st_ino for path in known} == known
    assert rows(target) == rows(folder)
    assert store.verify_folder(target).ok


@pytest.mark.parametrize("later", [100, 5_000], ids=["the same again", "another time"])
def test_a_backup_that_is_cut_off_stays_what_it_was(opened, folder, tmp_path, monkeypatch, later):
    target = tmp_path / "copy.lace"
    opened.backup(target)
    before = opened.commit
    grow(opened, later)
    with monkeypatch.context() as patch:
        patch.setattr(backup.Catalog, "set_origin", lambda self, origin: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            opened.backup(target)
    assert len(rows(target)["cells.codec"]) > counted(store.open(target))["cells.codec"]
    assert store.verify_folder(target).ok
    with store.open(target) as copy:
        assert copy.commit == before
        assert n_chunks(copy) == 1
    opened.backup(target)
    assert rows(target) == rows(folder)
    assert store.verify_folder(target).ok


def test_damage_is_not_copied_onto_a_backup(opened, folder, tmp_path):
    target = tmp_path / "copy.lace"
    opened.backup(target)
    grow(opened)
    (path,) = folder.glob("codec/*/cell_scales.codec")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(Corrupt, match=str(path)):
        opened.backup(target)
    assert store.verify_folder(target).ok

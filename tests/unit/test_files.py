"""files.py: one format, read by others; nothing half-written; locks that end with their process."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from interlace import files
from interlace.errors import CollectionError, Corrupt

ARRAYS = {
    "codes": np.arange(30, dtype=np.int8).reshape(10, 3),
    "offsets": np.array([0, 4, 10], np.int64),
    "none": np.empty((0, 5), np.uint16),
    "scales": np.linspace(0, 1, 7, dtype=np.float32),
}


def test_round_trip(tmp_path):
    path = tmp_path / "a.fresh"
    written = files.write_arrays(path, ARRAYS, {"kind": "test", "über": "ü"})
    arrays, manifest = files.open_arrays(path, written)
    assert written.n_bytes == path.stat().st_size
    assert manifest["kind"] == "test"
    assert manifest["über"] == "ü"
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)
        assert not arrays[name].flags.writeable
    files.verify_arrays(path, written)


def test_safetensors_reads_it(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "a.fresh"
    files.write_arrays(path, ARRAYS, {"kind": "test"})
    loaded = safetensors.load_file(path)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(loaded[name], array)


def test_arrays_are_aligned(tmp_path):
    path = tmp_path / "a.fresh"
    files.write_arrays(path, ARRAYS, {})
    header = path.read_bytes()
    data = 8 + int.from_bytes(header[:8], "little")
    assert data % 64 == 0
    for name, array in files.open_arrays(path)[0].items():
        assert array.flags.aligned, name


def test_by_and_by_equals_at_once(tmp_path):
    once = tmp_path / "once"
    files.write_arrays(once, ARRAYS, {"kind": "test"})
    shapes = {name: files.Shape(array.dtype, array.shape) for name, array in ARRAYS.items()}
    parts = tmp_path / "parts"
    with files.ArrayWriter(parts, shapes, {"kind": "test"}) as writer:
        for start in range(0, 10, 4):
            for name, array in ARRAYS.items():
                writer.append(name, array[start : start + 4])
    assert parts.read_bytes() == once.read_bytes()
    files.verify_arrays(parts, writer.written)


def test_an_existing_file_is_never_overwritten(tmp_path):
    path = tmp_path / "a"
    path.write_text("precious")
    with pytest.raises(CollectionError, match="cannot write"):
        files.write_arrays(path, ARRAYS, {})
    assert path.read_text() == "precious"


def test_a_block_that_raises_leaves_no_file(tmp_path):
    path = tmp_path / "a"

    def write() -> None:
        with files.ArrayWriter(path, {"a": files.Shape("i1", (4,))}, {}) as writer:
            writer.append("a", np.ones(2, np.int8))
            raise KeyError

    with pytest.raises(KeyError):
        write()
    assert not path.exists()


def test_a_full_disk_is_told_with_what_was_needed(tmp_path, monkeypatch):
    def full(fd):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "sync_file", full)
    path = tmp_path / "a"
    with pytest.raises(CollectionError, match=r"disk is full.*bytes needed.*free.*Free some space"):
        files.write_arrays(path, ARRAYS, {})
    assert not path.exists()


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 100, -1])
def test_truncated(tmp_path, length):
    path = tmp_path / "a"
    written = files.write_arrays(path, ARRAYS, {"kind": "test"})
    path.write_bytes(path.read_bytes()[:length])
    for expected in (None, written):
        with pytest.raises(Corrupt, match=str(path)):
            files.open_arrays(path, expected)


def test_every_flipped_bit_is_found(tmp_path):
    path = tmp_path / "a"
    written = files.write_arrays(path, ARRAYS, {"kind": "test"})
    whole = path.read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        with pytest.raises(Corrupt, match=r"expected .*found"):
            files.verify_arrays(path, written)


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b"null",
        b"{}",
        b'{"__metadata__":{}}',
        b'{"__metadata__":{},"a":1}',
        b'{"__metadata__":[],"a":{"dtype":"I8","shape":[4],"data_offsets":[0,4]}}',
        b'{"__metadata__":{},"a":{"dtype":"X","shape":[4],"data_offsets":[0,4]}}',
        b'{"__metadata__":{},"a":{"dtype":"I8","shape":[5],"data_offsets":[0,4]}}',
        b'{"__metadata__":{},"a":{"dtype":"I8","shape":[-4],"data_offsets":[0,4]}}',
        b'{"__metadata__":{},"a":{"dtype":"I8","shape":[4],"data_offsets":[-4,0]}}',
        b'{"__metadata__":{},"a":{"dtype":"I8","shape":[8],"data_offsets":[0,8]}}',
        b'{"__metadata__":{},"a":{"dtype":"I8","shape":["x"],"data_offsets":[0,4]}}',
        b'{"__metadata__":{},"a":{"dtype":"I8","shape":[4],"data_offsets":[0]}}',
        b"\xff\xfe",
    ],
)
def test_a_hostile_header_is_damage(tmp_path, header):
    path = tmp_path / "a"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 4)
    with pytest.raises(Corrupt):
        files.open_arrays(path)


def test_a_missing_file_is_the_callers_to_judge(tmp_path):
    with pytest.raises(FileNotFoundError):
        files.open_arrays(tmp_path / "a")


def test_locks_exclude(tmp_path):
    path = tmp_path / "lock"
    with files.lock(path, doing="resting"):
        assert files.lock(path) is None
        assert files.lock(path, shared=True) is None
        assert files.lock(path, wait_seconds=0.02) is None
        assert re.fullmatch(rf"process {os.getpid()} on .*, resting since 20.*", files.holder(path))
    with files.lock(path, shared=True), files.lock(path, shared=True):
        assert files.lock(path) is None
    with files.lock(path) as held:
        held.release()
        files.lock(path).release()


def test_a_thread_knows_the_locks_that_it_has_signed(tmp_path):
    path = tmp_path / "lock"
    assert not files.is_own(path)
    with files.lock(path):
        assert not files.is_own(path)
    with files.lock(path, doing="resting"), ThreadPoolExecutor(1) as another:
        assert files.is_own(path)
        assert not files.is_own(tmp_path / "other")
        assert not another.submit(files.is_own, path).result()
        if hasattr(os, "fork"):
            pid = os.fork()
            if not pid:
                os._exit(files.is_own(path))
            assert os.waitpid(pid, 0)[1] == 0
    assert not files.is_own(path)


def test_a_lock_that_is_dropped_is_given_back(tmp_path):
    held = files.lock(tmp_path / "lock")
    assert held is not None
    del held
    files.lock(tmp_path / "lock").release()


def test_a_lock_falls_with_its_process(tmp_path):
    path = tmp_path / "lock"
    script = (
        "import sys, time; from pathlib import Path; from interlace import files\n"
        "lock = files.lock(Path(sys.argv[1]), doing='writing'); print('held', flush=True)\n"
        "time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        assert files.lock(path) is None
        assert f"process {process.pid} " in files.holder(path)
        process.kill()
        process.wait()
        files.lock(path, wait_seconds=5).release()


def test_a_note_covers_an_older_and_longer_one(tmp_path):
    path = tmp_path / "lock"
    path.write_bytes(json.dumps({"pid": 1, "host": "x" * 300, "since": "then"}).encode())
    with files.lock(path, doing="writing"):
        assert f"process {os.getpid()} " in files.holder(path)


def test_a_strange_note_is_another_process(tmp_path):
    path = tmp_path / "lock"
    assert files.holder(path) == "another process"
    path.write_text("[]")
    assert files.holder(path) == "another process"


def test_names_of_a_missing_folder(tmp_path):
    assert files.names(tmp_path / "none") == []
    assert files.size(tmp_path / "none") == 0


# --- growing files -------------------------------------------------------------------------------
def test_pieces_are_appended_and_mapped(tmp_path):
    path = tmp_path / "rows"
    first, second = np.arange(6, dtype="<i4").reshape(3, 2), np.array([[7, -8]], "<i4")
    pieces = [files.append(path, 0, first), files.append(path, 24, second)]
    assert [piece.n_bytes for piece in pieces] == [24, 8]
    rows = files.open_rows(path, 24)
    np.testing.assert_array_equal(rows.view("<i4").reshape(-1, 2), first)
    assert not rows.flags.writeable
    files.verify_rows(path, pieces)
    assert len(files.open_rows(path, 0)) == 0


def test_a_piece_is_written_over_what_lies_beyond(tmp_path):
    path = tmp_path / "rows"
    one = files.append(path, 0, np.arange(8, dtype="u1"))
    files.append(path, 8, np.zeros(100, "u1"))
    mapped = files.open_rows(path, 8)
    two = files.append(path, 8, np.ones(3, "u1"))
    assert path.read_bytes() == bytes(range(8)) + b"\1\1\1"
    files.verify_rows(path, [one, two])
    assert mapped.tolist() == list(range(8))
    files.append(path, 0, np.ones(2, "u1"))  # another file: whoever has mapped the old one keeps it
    assert path.read_bytes() == b"\1\1"
    assert mapped.tolist() == list(range(8))


def test_growing_files_that_are_shorter_or_other_are_damage(tmp_path):
    path = tmp_path / "rows"
    pieces = [files.append(path, at, np.full(5, at, "u1")) for at in (0, 5)]
    with pytest.raises(Corrupt, match=f"{path}: expected at least 11 bytes, found 10"):
        files.append(path, 11, np.ones(1, "u1"))
    with pytest.raises(Corrupt, match="at least 11 bytes"):
        files.open_rows(path, 11)
    path.write_bytes(path.read_bytes()[:9] + b"x")
    with pytest.raises(Corrupt, match=f"{path}: expected bytes 5 to 10 with checksum"):
        files.verify_rows(path, pieces)
    files.verify_rows(path, pieces, 2)
    with pytest.raises(FileNotFoundError):
        files.open_rows(tmp_path / "none", 1)


def test_cutting_gives_back_what_lies_beyond_and_fails_silently(tmp_path):
    path = tmp_path / "rows"
    files.append(path, 0, np.ones(9, "u1"))
    files.cut(path, 4)
    assert path.read_bytes() == b"\1" * 4
    files.cut(tmp_path / "none", 4)


def test_a_lock_that_outlives_its_module_ends_quietly(tmp_path, monkeypatch):
    held, raised = files.lock(tmp_path / "lock"), []
    fd = held._fd
    monkeypatch.setattr(sys, "unraisablehook", raised.append)
    with monkeypatch.context() as ending:
        ending.setattr(files, "_unlock", None)  # what Python does to names when it ends
        del held
    os.close(fd)
    assert raised == []

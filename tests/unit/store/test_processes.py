"""Stores and processes: forks, readers elsewhere, warnings as errors."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import storing
from storing import fill, found, record

from interlace import store
from interlace.errors import CollectionError


def fork(work) -> int:
    """Start a child that runs a function; its process id."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return pid


def status_of(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def in_child(work) -> int:
    """Run a function in a forked child; its exit status."""
    return status_of(fork(work))


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@needs_fork
def test_a_child_reads_and_writes(opened):
    fill(opened, 0, 20)
    snapshot = opened.snapshot()

    def work() -> None:
        assert snapshot.documents([3])[3].id == 3
        assert found(opened, record(3)) == [3]
        fill(opened, 20, 21)
        assert opened.snapshot().n_documents == 21
        opened.close()

    assert in_child(work) == 0
    assert snapshot.documents([4])[4].id == 4
    assert opened.refresh()
    assert opened.snapshot().n_documents == 21
    fill(opened, 21, 22)
    assert opened.verify().ok


@needs_fork
def test_a_child_that_ends_leaves_the_parents_locks(opened, folder):
    fill(opened, 0, 5)
    with opened.write() as writer:
        writer.add(*record(5))
        assert in_child(lambda: None) == 0
        assert in_child(writer._transaction._lock.release) == 0
        with (
            store.open(folder, lock_wait_seconds=0) as other,
            ThreadPoolExecutor(1) as another,
            pytest.raises(CollectionError, match="is in use"),
        ):
            another.submit(other.write).result()
    assert opened.snapshot().n_documents == 6


@needs_fork
def test_a_snapshot_taken_up_too_late_says_so(opened):
    fill(opened, 0, 20)
    held = [opened.snapshot()]
    ready, go = os.pipe(), os.pipe()

    def work() -> None:
        os.write(ready[1], b"x")
        os.read(go[0], 1)
        with pytest.raises(CollectionError, match="is gone"):
            held[0].documents([0])

    pid = fork(work)
    os.read(ready[0], 1)
    held.pop().close()
    fill(opened, 20, 40)
    os.write(go[1], b"x")
    assert status_of(pid) == 0
    for fd in (*ready, *go):
        os.close(fd)


def test_another_process_reads_while_this_one_writes(opened, folder):
    fill(opened, 0, 30)
    script = (
        "import sys; sys.path.insert(0, sys.argv[2]); import storing\n"
        "from interlace import store\n"
        "with store.open(sys.argv[1]) as opened:\n"
        "    snapshot = opened.snapshot(); print(snapshot.n_documents, flush=True)\n"
        "    sys.stdin.readline()\n"
        "    assert len(snapshot.documents(range(30))) == 30\n"
        "    assert opened.refresh(); print(opened.snapshot().n_documents, flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script, str(folder), str(_tests())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "30\n"
        with opened.write() as writer:
            writer.delete(range(20))
        fill(opened, 100, 200)
        opened.compact()
        kept = [name for name in storing.listing(folder) if name.endswith("fresh")]
        assert kept, "a file that the other process reads must stay"
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "110\n"
        assert process.wait() == 0
    fill(opened, 200, 201)
    fill(opened, 201, 202)
    assert len([name for name in storing.listing(folder) if name.endswith("fresh")]) == 2


def test_nothing_is_left_open(folder):
    """Warnings are errors, in a process of its own that forgets to close."""
    script = (
        "import sys, gc; sys.path.insert(0, sys.argv[2]); import storing\n"
        "from interlace import store\n"
        "def use():\n"
        "    with store.create(sys.argv[1], storing.settings()) as opened:\n"
        "        storing.fill(opened, 0, 100); storing.fill(opened, 100, 105)\n"
        "        snapshot = opened.snapshot(); opened.compact(); assert opened.verify().ok\n"
        "        try:\n"
        "            with opened.write() as writer: raise KeyError\n"
        "        except KeyError: pass\n"
        "use(); gc.collect()\n"
    )
    run = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", script, str(folder), str(_tests())],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert not list(folder.glob("catalog.sqlite-*"))


def test_importing_the_store_is_light():
    script = "import sys, interlace.store; print('onnxruntime' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"


def _tests() -> Path:
    return Path(storing.__file__).parent


def test_several_processes_write_and_settle(opened, folder):
    script = (
        "import sys; sys.path.insert(0, sys.argv[2]); import storing\n"
        "from interlace import store\n"
        "first = int(sys.argv[3])\n"
        "with store.open(sys.argv[1], lock_wait_seconds=60) as opened:\n"
        "    for i in range(first, first + 90, 3):\n"
        "        storing.fill(opened, i, i + 3)\n"
        "        with opened.write() as writer: assert writer.delete([i]) == 1\n"
        "        assert opened.snapshot().contains(i + 1)\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", script, str(folder), str(_tests()), str(first)]
        )
        for first in (0, 1_000, 2_000)
    ]
    assert [process.wait() for process in processes] == [0, 0, 0]
    opened.refresh()
    assert opened.snapshot().n_documents == 180
    assert opened.verify().ok
    assert [found(opened, record(i)) for i in (1, 1_004, 2_088)] == [[1], [1_004], [2_088]]

"""Cases from the field: a build that is killed twice, and three processes on one collection."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import storing

import interlace
from interlace.errors import Locked

TESTS = str(Path(storing.__file__).parent)

BUILD = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
import storing
import interlace
from interlace.collection import batches
batches.batches.__defaults__ = (2**26, 1_500)
n, last = int(sys.argv[3]), int(sys.argv[4])

def records():
    for i in range(n):
        if i == last:
            os.kill(os.getpid(), signal.SIGKILL)
        yield {"id": i, "text": f"document {i}", "metadata": {"i": i}}

matrices = (storing.matrix(i, 8)[0] for i in range(n))
with interlace.open(sys.argv[1], n_threads=1) as notes:
    report = notes.add(records(), embeddings=matrices)
    print(report.added, report.unchanged)
"""


def build(path: Path, n: int, last: int) -> subprocess.CompletedProcess[str]:
    """Add ``n`` documents in a process that is killed when it has read ``last``."""
    command = [sys.executable, "-c", BUILD, str(path), TESTS, str(n), str(last)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 here")
@pytest.mark.parametrize("n", [1_000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_a_build_killed_twice(tmp_path, n):
    """C38: it goes on where it was, and ends as one that nobody disturbed."""
    folders = [tmp_path / name for name in ("killed", "whole")]
    for folder in folders:
        interlace.create(folder, model=None, dim=storing.DIM).close()
    sizes = []
    for last in (3 * n // 10, 6 * n // 10):
        run = build(folders[0], n, last)
        assert run.returncode == -signal.SIGKILL, run.stderr
        with interlace.open(folders[0]) as notes:
            assert notes.verify().ok
            assert list(notes.ids()) == list(range(len(notes)))
            assert last - 200 <= len(notes) <= last  # all but the batch on the way
            sizes.append(len(notes))
    assert build(folders[0], n, -1).stdout == f"{n - sizes[1]} {sizes[1]}\n"
    assert build(folders[1], n, -1).stdout == f"{n} 0\n"
    with interlace.open(folders[0]) as killed, interlace.open(folders[1]) as whole:
        assert killed.verify().ok
        ids = list(range(n))
        assert list(killed.ids()) == list(whole.ids()) == ids
        assert killed.get(ids) == whole.get(ids)
        for seed in range(20):
            matrix = storing.matrix(seed, 8)[0]
            found = [
                [(hit.id, hit.score) for hit in one.search(embeddings=matrix, k=10)]
                for one in (killed, whole)
            ]
            assert found[0] == found[1]
            assert found[0][0][0] == seed


OTHER = """
import sys
sys.path.insert(0, sys.argv[2])
import storing
import interlace
from interlace.errors import Locked

def add(changes, first, last):
    changes.add(
        [{"id": i, "text": f"document {i}"} for i in range(first, last)],
        embeddings=[storing.matrix(i, 8)[0] for i in range(first, last)],
    )

with interlace.open(sys.argv[1], n_threads=1, lock_wait_seconds=float(sys.argv[4])) as notes:
    for line in sys.stdin:
        first = int(line)
        try:
            with notes.writer() as changes:
                changes.delete(range(first - 20, first))
                add(changes, first, first + 20)
                print("writing", flush=True)
                if sys.argv[3] == "waits":
                    sys.stdin.readline()
            print("written", flush=True)
        except Locked as error:
            print(error, flush=True)
"""


class Other:
    """Another process that has the collection open, and moves a window of documents on."""

    def __init__(self, path: Path, mode: str, wait: float) -> None:
        command = [sys.executable, "-c", OTHER, str(path), TESTS, mode, str(wait)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self._process.pid

    def say(self, line: object) -> None:
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def hear(self) -> str:
        return self._process.stdout.readline().rstrip()

    def end(self) -> None:
        self._process.stdin.close()
        assert self._process.wait() == 0
        self._process.stdout.close()


def test_three_processes(tmp_path):
    """C40: one searches, the second deletes and adds, the third tries to write meanwhile."""
    notes = interlace.create(tmp_path / "notes.lace", model=None, dim=storing.DIM)
    matrices = [storing.matrix(i, 8)[0] for i in range(200)]
    notes.add([{"id": i, "text": f"document {i}"} for i in range(20)], embeddings=matrices[:20])
    writer = Other(notes.path, "waits", 10)
    hasty = Other(notes.path, "goes on", 0.1)
    patient = Other(notes.path, "goes on", 30)

    def ids_are(first: int) -> None:
        assert list(notes.ids()) == list(range(first, first + 20))
        for i in (first, first + 19):
            hits = notes.search(embeddings=matrices[i], k=20)
            assert hits[0].id == i
            assert {hit.id for hit in hits} == set(range(first, first + 20))

    for first in (20, 60, 100):
        ids_are(first - 20)
        writer.say(first)
        assert writer.hear() == "writing"
        ids_are(first - 20)
        hasty.say(first + 20)
        message = hasty.hear()
        assert f"process {writer.pid} on" in message
        assert str(notes.path) in message
        assert "Waited 0.1 s" in message
        patient.say(first + 20)
        ids_are(first - 20)
        writer.say("commit")
        assert writer.hear() == "written"
        assert patient.hear() == "writing"
        assert patient.hear() == "written"
        ids_are(first + 20)
    notes.delete([120])
    with pytest.raises(Locked):
        writer_is_killed_while_it_writes(notes, writer)
    for other in (hasty, patient):
        other.end()
    notes.add([{"id": "after", "text": "after"}], embeddings=[np.ones((3, storing.DIM))])
    assert notes.verify().ok
    assert len(notes) == 20
    notes.close()


def writer_is_killed_while_it_writes(notes: interlace.Collection, writer: Other) -> None:
    """Its lock falls with it; until then others are told who it is."""
    writer.say(140)
    assert writer.hear() == "writing"
    with interlace.open(notes.path, lock_wait_seconds=0) as impatient:
        try:
            impatient.delete([121])
        finally:
            os.kill(writer.pid, signal.SIGKILL)
            writer._process.wait()
            writer._process.stdin.close()
            writer._process.stdout.close()

"""A writer that is killed before any of its durable steps: all of its commit, or nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import storing
from storing import fill

from interlace import store
from interlace.errors import NotACollection

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 here")

VICTIM = Path(__file__).with_name("victim.py")


def seen(folder: Path) -> tuple[int, dict]:
    """The commit number and all that a reader sees."""
    with store.open(folder, settle="manual") as opened:
        snapshot = opened.snapshot()
        ids = list(snapshot.ids())
        return snapshot.number, snapshot.documents(ids)


@pytest.fixture(scope="module")
def before(tmp_path_factory) -> Path:
    """A collection with fresh and settled segments, tombstones, and a retired file."""
    folder = tmp_path_factory.mktemp("before") / "notes.lace"
    with store.create(folder, storing.settings(), settle="manual") as opened:
        fill(opened, 0, 80)
        opened.settle()
        fill(opened, 80, 160)
        opened.settle()
        with opened.write() as writer:
            writer.delete(range(10, 20))
        fill(opened, 160, 165)
        fill(opened, 165, 170)
    return folder


def run(folder: Path, operation: str, n: int) -> int:
    environment = dict(os.environ)
    return subprocess.run(
        [sys.executable, str(VICTIM), str(folder), operation, str(n)],
        env=environment,
        check=False,
    ).returncode


@pytest.mark.parametrize("operation", ["write", "bulk", "settle", "compact"])
def test_killed(before, tmp_path, operation):
    old_number, old = seen(before)
    whole = shutil.copytree(before, tmp_path / "whole")
    assert run(whole, operation, 10_000) == 0
    new_number, new = seen(whole)
    assert new_number > old_number
    outcomes = set()
    for n in range(1, 100):
        folder = shutil.copytree(before, tmp_path / str(n))
        status = run(folder, operation, n)
        number, documents = seen(folder)
        assert (number, documents) in [(old_number, old), (new_number, new)], f"step {n}"
        outcomes.add(number)
        if status == 0:
            break
        assert status == -signal.SIGKILL
        # The lock fell with the process; the next writer sweeps what was left and goes on.
        with store.open(folder, settle="manual") as opened:
            fill(opened, 5_000, 5_001)
            known = {row.file_name for row in opened._catalog.segments(opened.commit)}
            on_disk = {Path(name).name for name in storing.listing(folder) if "segments" in name}
            assert known <= on_disk
            fill(opened, 5_001, 5_002)
            known = {row.file_name for row in opened._catalog.segments(opened.commit)}
            on_disk = {Path(name).name for name in storing.listing(folder) if "segments" in name}
            assert known == on_disk
            report = opened.verify()
            assert report.ok, report.problems
            assert opened.snapshot().n_documents == len(documents) + 2
    else:
        pytest.fail("the victim never came to its end")
    assert outcomes == {old_number, new_number}


def test_killed_while_creating(tmp_path):
    script = (
        "import os, signal, sys\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "import storing\n"
        "from interlace import files, store\n"
        "from interlace.store import database\n"
        "left = int(sys.argv[3])\n"
        "def killed_before(function):\n"
        "    def step(*args, **options):\n"
        "        global left\n"
        "        left -= 1\n"
        "        if not left: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return function(*args, **options)\n"
        "    return step\n"
        "for name in ('make_folder', 'sync_folder', 'lock'):\n"
        "    setattr(files, name, killed_before(getattr(files, name)))\n"
        "database.create = killed_before(database.create)\n"
        "database.now = killed_before(database.now)\n"
        "store.create(sys.argv[1], storing.settings()).close()\n"
    )
    tests = str(Path(storing.__file__).parent)
    for n in range(1, 50):
        folder = tmp_path / str(n)
        command = [sys.executable, "-c", script, str(folder), tests, str(n)]
        status = subprocess.run(command, check=False).returncode
        try:
            opened = store.open(folder)
        except NotACollection:
            opened = store.create(folder, storing.settings())
        with opened:
            fill(opened, 0, 1)
            assert opened.verify().ok
        if status == 0:
            return
    pytest.fail("the victim never came to its end")

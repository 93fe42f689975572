"""The suites of the long run (``python tests/fault``), each for a few seconds and one seed."""

from __future__ import annotations

import signal
import tempfile

import checking
import cutting
import disk
import failing
import killing
import pytest
import soaking
import steps
import storing
from victims import Victims

from interlace import store

pytestmark = pytest.mark.skipif(bool(disk.reason()), reason=disk.reason())


@pytest.fixture(scope="module")
def victims():
    with Victims() as started:
        yield started


def test_kills():
    outcomes = killing.run(1, rounds=28)
    assert outcomes.total() - outcomes["the end"] > 10


PAIRS = [
    (operation, fault)
    for i, operation in enumerate(steps.OPERATIONS)
    for j, fault in enumerate(failing.FAULTS)
    if (i + j) % 3 == 0
]


@pytest.mark.parametrize(("operation", "fault"), PAIRS)
def test_failing_calls(victims, operation, fault):
    """At some calls, and each operation in two ways; in the long run at every call, in all."""
    failing.one(victims, 1, operation, fault, stride=50)


@pytest.mark.parametrize("fault", ["EIO", "ENOSPC from then on"])
def test_failing_to_create(victims, fault):
    with tempfile.TemporaryDirectory(dir=disk.MEMORY) as root:
        assert not victims.run("fail_to_create", root=root, fault=failing.FAULTS[fault])


def test_a_commit_that_fails_and_comes_back(victims, tmp_path):
    """Its rows may be in the log though it failed; the next writer sweeps its files, and dies."""
    plan = [["add", [], [[i, i, 1, 7, {}] for i in range(9)], []]]
    model = steps.after({}, plan[0])
    step = ["write", [1], [[2, 7, 1, 7, {}], ["new", 8, 1, 7, {}]], []]
    for n in range(1, 7):
        folder = tmp_path / str(n)
        with store.create(folder, storing.settings(), n_threads=1) as opened:
            steps.perform(opened, plan[0])
        status = victims.run("fail_and_die", folder=str(folder), n=n)
        assert status == -signal.SIGKILL
        with store.open(folder, n_threads=1) as opened:
            checking.check(opened, [model, steps.after(model, step)], {})


def test_power_cuts(victims):
    """At some points here, at each in the long run."""
    outcomes = cutting.one(victims, 1, every=25)
    assert set(outcomes) == set(cutting.WORLDS)


def test_soak():
    outcomes = soaking.run(1, seconds=8)
    assert min(outcomes.values()) > 5

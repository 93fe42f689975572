"""What victims do."""

from __future__ import annotations

import errno
import os
import random
import signal
import warnings
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import checking
import steps
import storing
from disk import FAIL, NOTHING, SYNC, Disk

from interlace import store
from interlace.errors import CollectionError, InputError, InterlaceError, Locked, NotACollection


def follow(
    folder: str, plan: list[steps.Step], log: str, arms: list[list[Any]], settle: str
) -> None:
    """Do the steps of a plan, with a line in the log before and after each.

    The disk is armed anew when it has let a step fail.
    """
    disk, waiting = Disk(Path(folder).parent), iter([*arms, [NOTHING]])
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def say(what: str, number: int) -> None:
        os.write(fd, f"{what} {number}\n".encode())

    disk.arm(*next(waiting))
    warnings.simplefilter("ignore")  # of settling that failed
    opened, has_failed = _opened(folder, settle, disk), False
    for number, step in enumerate(plan):
        say("begin", number)
        try:
            opened = steps.perform(opened, step)
        except InputError:  # an id to attach is free only if the delete that failed was done
            if not (has_failed and step[0] == "attach"):
                raise
            say("refused", number)
        except InterlaceError:
            if not disk.fired:
                raise
            has_failed = True
            say("failed", number)
            if step[0] == "repair":
                disk.disarm()
                steps.mend(opened)
            disk.arm(*next(waiting))
            if opened._catalog._closed:
                opened = _opened(folder, settle, disk)
        else:
            say("done", number)
    opened.close()
    say("calls", disk.calls)


def _opened(folder: str, settle: str, disk: Disk) -> store.Store:
    try:
        return store.open(folder, settle=settle, n_threads=1)
    except InterlaceError:
        if not disk.fired:
            raise
        disk.disarm()
        return store.open(folder, settle=settle, n_threads=1)


def fail(folder: str, seed: int, name: str, fault: list[Any], first: int, stride: int) -> None:
    """Let an operation fail at one call after another, until it makes fewer calls than that.

    ``fault`` is what ``Disk.arm`` takes but the number of the call. The handle stays the same.
    """
    action, error, lasting, ops = fault
    rng = random.Random(seed)
    opened = store.open(folder, settle="manual", n_threads=1, lock_wait_seconds=0)
    plan = steps.Plan(rng)
    for step in (plan.draw("bulk"), ["settle"], plan.draw("add")):
        steps.perform(opened, step)
    memory: checking.Memory = {}
    checking.check(opened, [plan.model], memory)
    disk, n = Disk(Path(folder).parent), first
    _prepare(opened, plan, name)
    opened = steps.perform(opened, plan.draw(name))  # SQLite keeps as many files as it once needed
    while True:
        _prepare(opened, plan, name)
        checking.live(opened)
        before, n_open = plan.model, open_files(folder)
        step = plan.draw(name)
        disk.arm(action, n, error=error, lasting=lasting, ops=ops)
        failed = None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                opened = steps.perform(opened, step)
        except InterlaceError as caught:
            failed = caught
        calls, fired = disk.calls, disk.fired
        if not lasting:
            disk.disarm()
        try:
            if failed is not None:
                assert fired, failed
                plan.model = before
                assert type(failed) in (CollectionError, Locked), repr(failed)
                assert str(Path(folder).parent) in str(failed), failed
                if opened._catalog._closed:  # it failed in opening again
                    disk.disarm()
                    opened = store.open(folder, settle="manual", n_threads=1, lock_wait_seconds=0)
            failed = None
            if not lasting or error == errno.ENOSPC:  # a full disk can be read, a broken one not
                checking.same(opened, plan.model)
            disk.disarm()
            if name == "repair":
                steps.mend(opened)
                memory.clear()
            checking.check(opened, [plan.model], memory)
            checking.backup(opened.path)
            for _ in range(2):
                steps.perform(opened, plan.draw("write"))
            checking.check(opened, [plan.model], memory)
            checking.nothing_left_over(opened)
            assert open_files(folder) <= n_open, (open_files(folder), n_open)
        except BaseException as error_:
            error_.add_note(f"seed {seed}: {name}, {fault} at call {n}: {step[0]}")
            raise
        if calls < n:
            break
        n += stride
    opened.close()


def _prepare(opened: store.Store, plan: steps.Plan, name: str) -> None:
    """Give an operation something to do."""
    todo = {"compact": ["add", "settle", "delete"], "settle": ["add", "delete"]}.get(name, ["add"])
    for step in todo:
        steps.perform(opened, plan.draw(step))
    if name == "compact":
        steps.perform(opened, plan.draw("settle"))


def open_files(folder: str) -> Counter[str]:
    """How many descriptors there are of each kind of file; of segments, what a snapshot maps."""
    found: Counter[str] = Counter()
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            target = str(fd.readlink())
            kind = target.removeprefix(folder + "/").partition("/")[0]
            if target.startswith(folder) and kind not in ("segments", "codec"):
                found[kind] += 1
    return found


def fail_and_die(folder: str, n: int) -> None:
    """Let the ``n``-th sync of a write fail, begin the next writer, and die in it."""
    disk = Disk(Path(folder).parent)
    opened = store.open(folder, settle="manual", n_threads=1)
    step = ["write", [1], [[2, 7, 1, 7, {}], ["new", 8, 1, 7, {}]], []]
    disk.arm(FAIL, n, errno.EIO, False, 1 << SYNC)
    try:
        steps.perform(opened, step)
    except InterlaceError:
        disk.disarm()
        assert opened.write()
    os.kill(os.getpid(), signal.SIGKILL)


def record(root: str, folder: str, codec: str, plan: list[steps.Step], log: str) -> None:
    """Make a collection and do the steps of a plan, while the disk logs every call."""
    disk = Disk(Path(root))
    disk.record(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND))
    made = storing.settings(codec=codec, first_budget_tokens=300, fresh_budget_tokens=100)
    opened = store.create(folder, made, n_threads=1)
    disk.mark("created")
    for number, step in enumerate(plan):
        disk.mark(f"begin {number}")
        opened = steps.perform(opened, step)
        disk.mark(f"done {number}")
    opened.close()


def fail_to_create(root: str, fault: list[Any]) -> None:
    """Let making a collection fail at one call after another; it is made when asked again."""
    action, error, lasting, ops = fault
    disk, n, has_failed = Disk(Path(root)), 0, True
    while has_failed:
        n += 1
        folder = Path(root) / str(n) / "notes.lace"
        has_failed = False
        disk.arm(action, n, error, lasting, ops)
        try:
            store.create(folder, storing.settings(), n_threads=1).close()
        except InterlaceError as failed:
            has_failed = True
            assert type(failed) is CollectionError, repr(failed)  # noqa: PT017
            assert str(Path(root)) in str(failed), failed  # noqa: PT017
        has_failed = has_failed or disk.calls >= n
        disk.disarm()
        assert not open_files(str(folder)), open_files(str(folder))
        try:
            opened = store.open(folder, n_threads=1)
        except NotACollection:
            opened = store.create(folder, storing.settings(), n_threads=1)
        with opened:
            storing.fill(opened, 0, 1)
            assert opened.verify().ok
    assert n > 10, n

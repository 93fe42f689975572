"""Writers killed with SIGKILL, at random moments and at random calls, for as long as is wanted."""

from __future__ import annotations

import errno
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import checking
import disk
import steps
import storing
from steps import Model, Plan, after
from victims import Victims

from interlace import store

ROUNDS_A_FOLDER = 25
"""Rounds that go on with the folder of the killed before a new one is begun."""


_IN_A_CROWD = ["add", "write", "bulk", "delete", "update_metadata", "settle", "compact", "reopen"]
"""Operations that leave others' documents as they are."""


class Killing:
    """A folder, what must be in it, and what has happened."""

    def __init__(self, seed: int, root: Path, victims: Victims, others: Victims) -> None:
        self.rng, self.root = random.Random(seed), root
        self.victims, self.others = victims, others
        self.outcomes: Counter[str] = Counter()
        self.n_folders = self.calls = self.seconds = 0
        self.calls, self.seconds = 200.0, 0.1

    def begin(self) -> None:
        """A new folder, with something in it."""
        self.n_folders += 1
        self.folder = self.root / "disk" / f"{self.n_folders}.lace"
        self.backups: list[Model] = []
        self.memory: checking.Memory = {}
        codec = self.rng.choice(["residual1", "residual2", "residual4"])
        self.recuts = self.rng.random() < 0.5
        plan = Plan(self.rng, recuts=self.recuts)
        made = storing.settings(codec=codec, first_budget_tokens=300, fresh_budget_tokens=100)
        with store.create(self.folder, made, n_threads=1) as opened:
            for name in ("bulk", "settle", "add", "delete"):
                steps.perform(opened, plan.draw(name))
        self.model, self.n_versions = plan.model, plan.n_versions

    def round(self) -> str:
        """One victim, and one look at what it left; the operation that it died in."""
        plan = Plan(self.rng, self.model, self.n_versions, recuts=self.recuts)
        todo = [plan.draw() for _ in range(self.rng.randint(1, 6))]
        self.n_versions = plan.n_versions
        log = self.root / "log"
        log.write_bytes(b"")
        by_time = self.rng.random() < 0.4
        reader = self._reader() if self.rng.random() < 0.3 else None
        arms, kill_after = [], None
        if self.rng.random() < 0.3:  # what fails may be half done, and then the kill comes
            error = self.rng.choice([errno.EIO, errno.ENOSPC])
            arms = [[disk.FAIL, self.rng.randint(1, int(self.calls)), error]]
        if by_time:
            kill_after = self.rng.uniform(0.0, 1.2 * self.seconds)
        else:
            n = self.calls if not arms else 5
            arms.append([self.rng.choice([disk.KILL, disk.TEAR]), self.rng.randint(1, int(n) + 9)])
        started = time.monotonic()
        status = self.victims.run(
            "follow",
            kill_after,
            folder=str(self.folder),
            plan=todo,
            log=str(log),
            arms=arms,
            settle=self.rng.choice(["auto", "manual"]),
        )
        assert status in (0, -signal.SIGKILL), status
        lines = log.read_text().splitlines()
        said = [(what, int(number)) for what, number in map(str.split, lines)]
        if status == 0:  # what a whole plan takes, for the next moments
            self.seconds += 0.1 * (time.monotonic() - started - self.seconds)
            if not by_time and ("failed" not in (what for what, _ in said)):
                self.calls += 0.2 * (said[-1][1] - self.calls)
        elif by_time and not said:
            self.seconds *= 1.05
        if reader is not None:
            seen, opened = reader
            assert checking.live(opened) == seen
            opened.close()
        before, self.backups = self.backups, []
        self._look_at_backup([*before, *models_of_backups(self.model, todo, said)])
        was_damaged = any(what == "begin" and todo[number][0] == "repair" for what, number in said)
        self._look(possible(self.model, todo, said), was_damaged)
        what, number = said[-1] if said else ("opening", 0)
        self.outcomes[
            "the end" if status == 0 else todo[number][0] if what == "begin" else what
        ] += 1
        return what

    def crowd(self) -> str:
        """Two writers at once, each with documents of its own; one of them is killed, or both.

        What one leaves on the way, the other sweeps while it has files on the way itself.
        """
        ranges, said, plans, models = (range(75), range(75, 150)), [], [], []
        for number, ids in enumerate(ranges):
            mine = {id_: version for id_, version in self.model.items() if id_ in ids}
            plan = Plan(self.rng, mine, self.n_versions + 1_000 * number, ids, self.recuts)
            names = _IN_A_CROWD if self.recuts else [*_IN_A_CROWD, "rebuild"]
            plans.append([plan.draw(self.rng.choice(names)) for _ in range(8)])
            models.append(mine)
        self.n_versions += 2_000
        moments = [self.rng.uniform(0.0, 8 * self.seconds), None]
        if self.rng.random() < 0.3:
            moments[1] = self.rng.uniform(0.0, 8 * self.seconds)
        logs = [self.root / "log 0", self.root / "log 1"]
        for log in logs:
            log.write_bytes(b"")

        def run(number: int) -> int:
            return (self.victims, self.others)[number].run(
                "follow",
                moments[number],
                folder=str(self.folder),
                plan=plans[number],
                log=str(logs[number]),
                arms=[],
                settle="auto",
            )

        with ThreadPoolExecutor(2) as pool:
            statuses = list(pool.map(run, (0, 1)))
        assert set(statuses) <= {0, -signal.SIGKILL}, statuses
        assert moments[1] is not None or not statuses[1]
        for log in logs:
            said.append(
                [(what, int(n)) for what, n in map(str.split, log.read_text().splitlines())]
            )
        allowed = [
            one | other
            for one in possible(models[0], plans[0], said[0])
            for other in possible(models[1], plans[1], said[1])
        ]
        self._look(allowed, was_damaged=False)
        self.outcomes["one of two writers" if statuses[1] == 0 else "two writers"] += 1
        return "crowd"

    def _reader(self) -> tuple[dict, store.Store]:
        """A reader that lives through it."""
        opened = store.open(self.folder, n_threads=1)
        return checking.live(opened), opened

    def _look_at_backup(self, allowed: list[Model]) -> None:
        """A backup is whole, of a commit that it was made of; or it is not there."""
        path = steps.backup_folder(self.folder)
        if path.exists():
            with store.open(path, n_threads=1) as opened:
                self.backups = [allowed[checking.check(opened, allowed, {})]]

    def _look(self, allowed: list[Model], was_damaged: bool) -> None:
        others = steps.others_folder(self.folder)
        shutil.rmtree(others, ignore_errors=True)
        with store.open(self.folder, settle="manual", lock_wait_seconds=0, n_threads=1) as opened:
            if was_damaged:
                steps.mend(opened)
                self.memory.clear()
            self.model = allowed[checking.check(opened, allowed, self.memory)]
            for _ in range(2):  # locks are free; what was left is swept, then what that retired
                self.n_versions += 1
                step = ["add", [], [[0, self.n_versions, 1, 7, {}]], []]
                steps.perform(opened, step)
                self.model = steps.after(self.model, step)
            checking.nothing_left_over(opened)
            checking.check(opened, [self.model], self.memory)


def possible(model: Model, plan: list[steps.Step], said: list[tuple[str, int]]) -> list[Model]:
    """What may be there: all that is done, and perhaps the one step that was not yet.

    A commit that failed may still come to be, when the process dies before the next one.
    """
    perhaps: list[Model] = []
    for what, number in said:
        if what == "begin":
            begun = after(model, plan[number])
        elif what == "failed":
            perhaps.append(begun)
        elif what == "done":
            model, perhaps = begun, []
    if said and said[-1][0] == "begin":
        perhaps.append(begun)
    return [model, *perhaps]


def models_of_backups(
    model: Model, plan: list[steps.Step], said: list[tuple[str, int]]
) -> list[Model]:
    """What may be in a backup that was begun in these steps."""
    found = []
    for i, (what, number) in enumerate(said):
        if what == "begin" and plan[number][0] == "backup":
            found += possible(model, plan, said[:i])
    return found


def run(seed: int, *, rounds: int | None = None, seconds: float = 0.0) -> Counter[str]:
    """Kill so many writers, or for so long; what they died in."""
    deadline = time.monotonic() + seconds
    with (
        tempfile.TemporaryDirectory(dir=disk.MEMORY) as root,
        Victims() as victims,
        Victims() as others,
    ):
        Path(root, "disk").mkdir()
        killing = Killing(seed, Path(root), victims, others)
        number = 0
        while number < rounds if rounds is not None else time.monotonic() < deadline:
            if number % ROUNDS_A_FOLDER == 0:
                killing.begin()
            number += 1
            try:
                killing.crowd() if number % 4 == 0 else killing.round()
            except BaseException as error:
                error.add_note(f"seed {seed}, round {number}")
                kept = Path(tempfile.mkdtemp(prefix=f"interlace-killed-{seed}-")) / "lace"
                shutil.copytree(killing.folder, kept, dirs_exist_ok=True)
                error.add_note(f"the folder is kept: {kept}")
                raise
        return killing.outcomes

"""Power is cut at every point of what a writer does, in three worlds."""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path

import checking
import disk
import replay
import steps
import storing
from killing import possible
from steps import Plan
from victims import Victims

from interlace import store
from interlace.errors import NotACollection

WORLDS = ("all", "synced", "some")


def one(victims: Victims, seed: int, *, every: int = 1) -> Counter[str]:
    """Record a plan and look at what every ``every``-th cut leaves; how many of each world."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(dir=disk.MEMORY) as made:
        root, log = Path(made) / "disk", Path(made) / "log"
        root.mkdir()
        plan = Plan(rng)
        todo = [plan.draw(name) for name in ("add", "bulk")]
        todo += [plan.draw() for _ in range(rng.randint(2, 6))]
        codec = rng.choice(["residual1", "residual2", "residual4"])
        inside = "a/b/notes.lace"  # folders above it are made as well
        status = victims.run(
            "record",
            root=str(root),
            folder=f"{root}/{inside}",
            codec=codec,
            plan=todo,
            log=str(log),
        )
        assert status == 0, f"seed {seed}"
        machine, said, outcomes = replay.Machine(str(root)), [], Counter()
        is_made = False
        for number, call in enumerate(replay.calls(log)):
            if call.op == replay.disk.MARK:
                is_made = True
                if call.path != "created":
                    what, step = call.path.split()
                    said.append((what, int(step)))
            worlds = _worlds(call, machine.make(call), rng)
            for world in worlds:
                if rng.random() >= 1 / every:
                    continue
                outcomes[world] += 1
                left = Path(made) / "left"
                choice = {"all": replay.everything, "synced": replay.nothing}.get(world)
                machine.write(left, choice or replay.some(rng))
                try:
                    was_damaged = any(todo[step][0] == "repair" for _, step in said)
                    _look(left / inside, is_made, was_damaged, possible({}, todo, said), rng)
                    _look_at_backup(left / inside, todo, said)
                except BaseException as error:
                    error.add_note(f"seed {seed}: cut after call {number}, {call[:5]}: {world}")
                    kept = Path(tempfile.mkdtemp(prefix=f"interlace-cut-{seed}-")) / "left"
                    machine.write(kept, choice or replay.nothing)
                    error.add_note(f"the folder is kept: {kept} (before it was opened)")
                    raise
                shutil.rmtree(left)
    return outcomes


def _worlds(call: replay.Call, changes: bool, rng: random.Random) -> list[str]:
    """The worlds that a call makes different."""
    if call.op in (replay.disk.SYNC, replay.disk.MARK):
        return ["synced", "some"]
    return ["all", "some"] if changes else []


def _look(
    folder: Path,
    is_made: bool,
    was_damaged: bool,
    allowed: list[steps.Model],
    rng: random.Random,
) -> None:
    """Open what is left, and go on with it."""
    try:
        opened = store.open(folder, settle="manual", n_threads=1)
    except NotACollection:
        assert not is_made
        opened = store.create(folder, storing.settings(), settle="manual", n_threads=1)
    with opened:
        if was_damaged:
            steps.mend(opened)
        model = allowed[checking.check(opened, allowed, {})]
        if rng.random() < 0.3:
            for number in (1_000_001, 1_000_002):
                step = ["add", [], [[0, number, 1, 7, {}]], []]
                steps.perform(opened, step)
                model = steps.after(model, step)
            checking.nothing_left_over(opened)
            checking.check(opened, [model], {})


def _look_at_backup(folder: Path, plan: list[steps.Step], said: list[tuple[str, int]]) -> None:
    """What was backed up is there, as it was at some commit."""
    held = checking.backup(folder)
    if held is None:
        assert not any(what == "done" and plan[number][0] == "backup" for what, number in said)
        return
    states: list[steps.Model] = [{}]
    for step in plan:
        states.append(steps.after(states[-1], step))
    assert held in list(map(checking.expected, states))


def run(seed: int, *, seconds: float) -> Counter[str]:
    """Record one plan after another, and cut it everywhere, for so long."""
    deadline, outcomes = time.monotonic() + seconds, Counter()
    with Victims() as victims:
        while time.monotonic() < deadline:
            outcomes += one(victims, seed)
            seed += 1
    return outcomes

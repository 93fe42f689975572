"""Every call that changes the disk fails once, in every operation and in every way."""

from __future__ import annotations

import errno
import random
import tempfile
import time
from collections import Counter
from pathlib import Path

import disk
import steps
import storing
from victims import Victims

from interlace import store

FAULTS = {
    "ENOSPC": [disk.FAIL, errno.ENOSPC, False, disk.NEEDS_SPACE],
    "EIO": [disk.FAIL, errno.EIO, False, disk.ALL],
    "EDQUOT": [disk.FAIL, errno.EDQUOT, False, disk.NEEDS_SPACE],
    "a short write": [disk.SHORTEN, 0, False, disk.ALL],
    "ENOSPC from then on": [disk.FAIL, errno.ENOSPC, True, disk.NEEDS_SPACE],
    "EIO from then on": [disk.FAIL, errno.EIO, True, disk.ALL],
}


_STRIDE = 7
"""In so many rounds every call has failed."""


def one(
    victims: Victims,
    seed: int,
    operation: str,
    fault: str,
    stride: int = 1,
    first: int | None = None,
) -> None:
    """An operation with a fault at every ``stride``-th call."""
    rng = random.Random(f"{seed} {operation} {fault}")
    with tempfile.TemporaryDirectory(dir=disk.MEMORY) as root:
        folder = Path(root) / "notes.lace"
        store.create(folder, storing.settings(first_budget_tokens=300)).close()
        status = victims.run(
            "fail",
            folder=str(folder),
            seed=rng.randrange(2**32),
            name=operation,
            fault=FAULTS[fault],
            first=first or rng.randint(1, stride),
            stride=stride,
        )
    assert status == 0, f"{operation} with {fault}, seed {seed}: what the victim says is above"


def run(seed: int, *, seconds: float) -> Counter[str]:
    """All operations and faults, at every call, again and again for so long."""
    deadline, outcomes, rounds = time.monotonic() + seconds, Counter(), 0
    pairs = [(operation, fault) for operation in steps.OPERATIONS for fault in FAULTS]
    firsts = random.Random(seed).sample(range(1, _STRIDE + 1), _STRIDE)
    with Victims() as victims:
        while time.monotonic() < deadline:
            random.Random(seed).shuffle(pairs)
            for operation, fault in pairs:
                if time.monotonic() < deadline:
                    first = firsts[rounds % _STRIDE]
                    one(victims, seed, operation, fault, _STRIDE, first)
                    outcomes[operation] += 1
            seed, rounds = seed + 1, rounds + 1
    return outcomes

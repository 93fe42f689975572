"""The collection's state machine, with one seed after another."""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

import hypothesis
from hypothesis.stateful import run_state_machine_as_test

from interlace import files

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "property"))

import test_collection_machine as machine


def run(seed: int, *, seconds: float) -> Counter[str]:
    """Random operations for so long; how many examples of how many steps there were."""
    deadline, outcomes = time.monotonic() + seconds, Counter()
    sync, files.sync_file = files.sync_file, lambda fd: None
    try:
        while time.monotonic() < deadline:
            seeded = type("Seeded", (machine.CollectionMachine,), {})
            hypothesis.seed(seed)(seeded)
            print(f"random operations: seed {seed}", flush=True)
            run_state_machine_as_test(seeded, settings=machine.options(5, 60))
            outcomes["examples of up to 60 operations"] += 5
            seed += 1
    finally:
        files.sync_file = sync
    return outcomes

"""Does one thing to a store, and is killed just before its n-th durable step.

Usage: victim.py FOLDER OPERATION N. Ends with status 0 when it had fewer steps than N.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import storing

from interlace import files, store
from interlace.store.catalog import Catalog

OPERATIONS = {
    "write": lambda opened: change(opened),
    "bulk": lambda opened: storing.fill(opened, 1_000, 1_100),
    "settle": lambda opened: opened.settle(),
    "compact": lambda opened: opened.compact(),
}


def change(opened: store.Store) -> None:
    with opened.write() as writer:
        writer.delete([1])
        writer.add(*storing.record(2, "changed"))
        writer.add(*storing.record("new"))


def main(folder: str, operation: str, n: int) -> None:
    opened = store.open(folder, settle="auto" if operation == "bulk" else "manual")
    steps = 0

    def killed_before(function):
        def step(*args, **options):
            nonlocal steps
            steps += 1
            if steps == n:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **options)

        return step

    for name in ("sync_file", "remove", "make_folder"):
        setattr(files, name, killed_before(getattr(files, name)))
    Catalog.commit = killed_before(Catalog.commit)
    Catalog.close = killed_before(Catalog.close)
    OPERATIONS[operation](opened)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))

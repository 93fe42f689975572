"""Opening a collection that a command is to change."""

from __future__ import annotations

from pathlib import Path

import interlace
from interlace.cli import output, settings
from interlace.collection import Collection


def opened(
    path: Path,
    chosen: settings.Settings,
    model: interlace.Encoder | str | None = None,
    *,
    damaged: str = "raise",
) -> Collection:
    """Open a collection; which damaged files it goes on without is said."""
    collection = interlace.open(
        path,
        model,
        damaged=damaged,
        lock_wait_seconds=chosen.lock_wait_seconds,
        n_threads=chosen.n_threads,
    )
    if damaged != "raise":
        note_left_out(path, collection.info()["left_out"])
    return collection


def note_left_out(path: Path, files: list[str]) -> None:
    """Name damaged files, and the command that makes them again."""
    output.note(*(f"damaged: {one}. `interlace repair {path}` makes it again." for one in files))

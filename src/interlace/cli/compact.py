"""``interlace compact``: merge segments and drop what was deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import interlace
from interlace.cli import options, output, settings
from interlace.store import CompactReport


def command(path: options.CollectionPath, json: options.AsJson = False) -> None:
    """Free the space of what was deleted or replaced."""
    chosen = settings.load()
    with interlace.open(path, lock_wait_seconds=chosen.lock_wait_seconds) as collection:
        before = collection.info()
        report = collection.compact()
        after = collection.info()
    if json:
        output.as_json(output.fields_of(report))
        return
    output.to_people().print(f"{_done(report, before, after)}.", soft_wrap=True)
    if left := after["n_tombstones"]:
        output.note(
            f"{output.counted(left, 'deleted passage')} in vectors that are not compressed yet; "
            "the space is free when they are."
        )


def _done(report: CompactReport, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    if before["commit"] == after["commit"]:
        return "Nothing to do"
    if not report.n_merged:
        return "The lists of words are merged"
    freed = sum(before["bytes"].values()) - sum(after["bytes"].values())
    return (
        f"{output.counted(report.n_merged, 'segment')} merged into {report.n_written:,}, "
        f"{output.counted(report.n_dropped, 'deleted passage')} dropped, "
        f"{output.bytes_shown(max(0, freed))} freed"
    )

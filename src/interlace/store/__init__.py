"""A collection on disk: matrices in, snapshots out. It never sees a model."""

from __future__ import annotations

from interlace.store.backup import BackupReport
from interlace.store.buffering import Prepared
from interlace.store.compaction import CompactReport
from interlace.store.mending import LostDocument
from interlace.store.rebuilding import RebuildReport
from interlace.store.repairing import RepairReport
from interlace.store.rows import FORMAT, OLDEST_READABLE, Known, SourceRow, StoredPassage
from interlace.store.search import (
    EFFORTS,
    TUNED,
    Effort,
    Found,
    Rows,
    matching,
    plan_for,
    score,
    search,
)
from interlace.store.settings import Settings
from interlace.store.settling import SettleReport
from interlace.store.snapshot import Snapshot
from interlace.store.store import Store, attach, create, open, restore, verify_folder  # noqa: A004
from interlace.store.tuned import Tuned
from interlace.store.verify import VerifyReport
from interlace.store.where import Where, matches_all
from interlace.store.writer import Writer

__all__ = [
    "EFFORTS",
    "FORMAT",
    "OLDEST_READABLE",
    "TUNED",
    "BackupReport",
    "CompactReport",
    "Effort",
    "Found",
    "Known",
    "LostDocument",
    "Prepared",
    "RebuildReport",
    "RepairReport",
    "Rows",
    "Settings",
    "SettleReport",
    "Snapshot",
    "SourceRow",
    "Store",
    "StoredPassage",
    "Tuned",
    "VerifyReport",
    "Where",
    "Writer",
    "attach",
    "create",
    "matches_all",
    "matching",
    "open",
    "plan_for",
    "restore",
    "score",
    "search",
    "verify_folder",
]

"""Which segments to merge, which is a pure function, and merging them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from interlace.progress import Progress, silent
from interlace.store.catalog import Catalog
from interlace.store.folder import Folder
from interlace.store.parts import Parts
from interlace.store.rows import SegmentRow
from interlace.store.runs import merges
from interlace.store.segment import FRESH, SETTLED
from interlace.store.settling import held
from interlace.store.tombstones import Tombstones
from interlace.store.transaction import Transaction
from interlace.store.writing import write_fresh, write_settled

FRESH_MAX = 16
"""Fresh segments a search scans: a few microseconds each."""

SETTLED_MAX = 8
"""Settled segments, up to ten million passages: each costs a search a walk through its lists."""

PASSAGES_A_SEGMENT = 1_250_000
"""Beyond ten million passages, one more segment is allowed for each of these."""

DEAD_SHARE_MAX = 0.25
"""A segment with more tombstones than this is written again without them."""


class Size(NamedTuple):
    """What choosing needs to know of a segment."""

    n_passages: int
    n_tokens: int
    n_dead: int

    @property
    def is_mostly_dead(self) -> bool:
        """Whether it is worth writing again without its tombstones."""
        return self.n_dead > DEAD_SHARE_MAX * self.n_passages


@dataclass(frozen=True, slots=True)
class CompactReport:
    """What merging did.

    Attributes
    ----------
    n_merged, n_written : int
        Segments that went in and came out.
    n_dropped : int
        Tombstones that are gone.
    """

    n_merged: int = 0
    n_written: int = 0
    n_dropped: int = 0


def choose_fresh(sizes: Sequence[Size], n_tokens_max: int) -> list[int]:
    """Positions of the fresh segments to merge: none while there are few, else the smaller half.

    Merging half of the places keeps the work a token low: it is written again once for each
    doubling of its segment.
    """
    if len(sizes) <= FRESH_MAX:
        return []
    order = sorted(range(len(sizes)), key=lambda i: (sizes[i].n_tokens, i))
    chosen: list[int] = []
    n_tokens = 0
    for i in order[: len(sizes) - FRESH_MAX // 2]:
        n_tokens += sizes[i].n_tokens
        if n_tokens > n_tokens_max and len(chosen) > 1:
            break
        chosen.append(i)
    return sorted(chosen)


def choose_settled(sizes: Sequence[Size], *, thorough: bool = False) -> list[list[int]]:
    """Groups of positions of settled segments, each to become one segment.

    Where there are too many, the smallest are merged: no more than must be, and than make less than
    half of the next in size. So sizes at least double, and after ten thousand settlings of equal
    size a token has been copied seven times (docs/explanation/growth.md has what lost).
    A segment with many tombstones is written again alone, unless it is merged anyway. ``thorough``
    merges all into one and drops every tombstone.
    """
    if thorough:
        needed = len(sizes) > 1 or any(size.n_dead for size in sizes)
        return [list(range(len(sizes)))] if needed else []
    groups: list[list[int]] = []
    n_passages = sum(size.n_passages - size.n_dead for size in sizes)
    allowed = max(SETTLED_MAX, -(-n_passages // PASSAGES_A_SEGMENT))
    merged: list[int] = []
    if len(sizes) > allowed:
        order = sorted(range(len(sizes)), key=lambda i: (sizes[i].n_tokens, i))
        fewest, n, n_tokens = len(sizes) - allowed + 1, 0, 0
        while n < len(order):
            if n >= max(2, fewest) and 2 * n_tokens <= sizes[order[n]].n_tokens:
                break
            n_tokens += sizes[order[n]].n_tokens
            n += 1
        merged = sorted(order[:n])
        groups.append(merged)
    for i, size in enumerate(sizes):
        if i not in merged and size.is_mostly_dead:
            groups.append([i])
    return groups


def is_due(n_settled_segments: int, n_held: int, n_alive: int) -> bool:
    """Whether some settled segment may be worth merging; counts alone tell."""
    return n_settled_segments > SETTLED_MAX or n_held - n_alive > DEAD_SHARE_MAX * n_held


def merge_fresh(folder: Folder, transaction: Transaction) -> None:
    """Keep the fresh segments few, and few of their passages dead, inside a writer's commit.

    A damaged one stays as it is: the write must not fail for it. Needs the shape lock.
    """
    catalog, number = transaction.catalog, transaction.number
    rows = [row for row in catalog.segments(number) if row.kind == FRESH]
    if len(rows) <= FRESH_MAX and not transaction.n_died:
        return
    before = folder.mapped(catalog.segments(number - 1))
    fresh = folder.mapped(rows)
    rows = [segment.row for segment in fresh]
    tombstones = folder.tombstones(catalog, number - 1, before).at(catalog, number, fresh)
    sizes, dead = _sizes(rows, tombstones), tombstones.numbers
    merged = choose_fresh(sizes, folder.settings.buffer_tokens_max)
    alone = [[i] for i in range(len(sizes)) if i not in merged and sizes[i].is_mostly_dead]
    for group in [merged, *alone] if merged else alone:
        chosen = [rows[i] for i in group if folder.is_sound(rows[i])]
        if not chosen:
            continue
        segments = [folder.segment(row) for row in chosen]
        parts = Parts(segments, dead)
        if len(parts):
            transaction.add_segment(write_fresh(folder.path, parts.part(0, len(parts))))
        transaction.retire(chosen, held(segments, dead))


def compact(
    folder: Folder,
    catalog: Catalog,
    let_go: Callable[[], None],
    *,
    thorough: bool,
    progress: Progress = silent,
    wait_seconds: float | None = None,
) -> CompactReport:
    """Merge settled segments as one commit: copy codes, join lists, drop tombstones.

    The order of locks and writes is that of ``settling.settle``.

    Raises
    ------
    Corrupt
        When one of them is damaged; all stay as they are.
    """
    with folder.shape_lock("compacting", wait_seconds), folder.swept(catalog, let_go):
        number = catalog.newest().number
        folder = folder.at(catalog, number)
        rows = catalog.segments(number)
        opened = folder.mapped(rows)
        if len(opened) < len(rows):
            folder.check(rows)
        tombstones = folder.tombstones(catalog, number, opened)
        dead = tombstones.numbers
        rows = [row for row in rows if row.kind == SETTLED]
        chosen = choose_settled(_sizes(rows, tombstones), thorough=thorough)
        groups = [[rows[i] for i in group] for group in chosen]
        of_words = merges(catalog, number, thorough=thorough)
        if not groups and not of_words:
            return CompactReport()
        written: list[SegmentRow] = []
        n_dropped = 0
        for done, group in enumerate(groups):
            progress("merge", done, len(groups))
            folder.check(group)
            parts = Parts([folder.segment(row) for row in group], dead)
            n_dropped += sum(row.n_passages for row in group) - len(parts)
            if len(parts):
                generation = group[0].generation or ""
                written.append(write_settled(folder.path, parts, generation, folder.width))
        merged = [row for group in groups for row in group]
        with Transaction(folder, let_go, doing="compacting") as transaction:
            transaction.may_sweep = True
            for row in written:
                transaction.add_segment(row)
            transaction.retire(merged, held([folder.segment(row) for row in merged], dead))
            for merge in of_words:
                merge.record(transaction.catalog, transaction.number)
            if transaction.changed:
                transaction.commit("compact")
        progress("merge", len(groups), len(groups))
        return CompactReport(len(merged), len(written), n_dropped)


def _sizes(rows: Sequence[SegmentRow], tombstones: Tombstones) -> list[Size]:
    return [Size(row.n_passages, row.n_tokens, tombstones.of[row.name].n) for row in rows]

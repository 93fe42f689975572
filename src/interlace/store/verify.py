"""Reading everything and believing nothing: checksums, references, counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from interlace import files
from interlace.errors import InterlaceError
from interlace.files import Written
from interlace.progress import Progress, silent
from interlace.store.catalog import Catalog
from interlace.store.folder import Folder, missing
from interlace.store.rows import GenerationRow
from interlace.store.segment import (
    SEGMENTS,
    SETTLED,
    Numbers,
    Segment,
    chunk_path,
    open_chunks,
    open_segment,
)


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What ``verify`` found.

    Attributes
    ----------
    problems : tuple of str
        One sentence each, with the file, what was expected and what was found; none is good.
    n_files, n_bytes : int
        That were read.
    """

    problems: tuple[str, ...]
    n_files: int
    n_bytes: int

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify(folder: Folder, catalog: Catalog, progress: Progress = silent) -> VerifyReport:
    """Check the newest commit, holding it meanwhile."""
    number, lock = folder.hold(catalog)
    try:
        folder = folder.at(catalog, number)
        problems = list(catalog.problems(number))
        n_files = n_bytes = 0
        n_leaves: int | None = None
        generation = catalog.generation(number)
        if generation is not None:
            damage: list[str] = []
            for i, written in enumerate(generation.chunks):
                path = chunk_path(folder.path, generation.name, i)
                damage += _problems_of(path, written)
                n_files, n_bytes = n_files + 1, n_bytes + written.n_bytes
            problems += damage
            if not damage:
                n_leaves = _n_leaves(folder, generation)
        rows = catalog.segments(number)
        seen: list[Numbers] = []
        for done, row in enumerate(rows):
            progress("verify", done, len(rows))
            path = folder.path / SEGMENTS / row.file_name
            found = _problems_of(path, row.written)
            if not found:
                segment = open_segment(folder.path, row, folder.width, folder.settings.dim)
                found = list(_inside(segment, n_leaves))
                seen.append(segment.passages)
            problems += found
            n_files, n_bytes = n_files + 1, n_bytes + row.written.n_bytes
        progress("verify", len(rows), len(rows))
        if not problems:
            problems += _references(catalog, number, seen)
    finally:
        if lock is not None:
            lock.release()
    return VerifyReport(tuple(problems), n_files, n_bytes)


def _problems_of(path: Path, written: Written) -> list[str]:
    """What is wrong with the bytes of a file."""
    try:
        files.verify_arrays(path, written)
    except FileNotFoundError:
        return [str(missing(path))]
    except InterlaceError as error:
        return [str(error)]
    return []


def _n_leaves(folder: Folder, generation: GenerationRow) -> int:
    chunks = open_chunks(folder.path, generation)
    return sum(len(chunk.get("leaf_scales", chunk["cell_scales"])) for chunk in chunks)


def _inside(segment: Segment, n_leaves: int | None) -> Iterator[str]:
    """What is wrong with a segment whose bytes are as they were written."""
    arrays = segment.arrays
    ends = {"offsets": segment.row.n_tokens}
    if segment.row.kind == SETTLED:
        ends |= {
            "block_offsets": len(arrays["list_leaves"]),
            "list_offsets": len(arrays["list_ordinals"]),
        }
    for name, end in ends.items():
        offsets = arrays[name]
        if offsets[0] != 0 or offsets[-1] != end or (np.diff(offsets) < 0).any():
            yield f"{name} do not rise from 0 to {end}: {segment.path}."
    if (np.diff(segment.passages) <= 0).any():
        yield f"passages do not ascend: {segment.path}."
    if segment.row.kind == SETTLED and n_leaves is not None:
        for name in ("leaves", "list_leaves"):
            largest = int(arrays[name].max(initial=0))
            if len(arrays[name]) and largest >= n_leaves:
                yield f"{name} refer to leaf {largest} of {n_leaves}: {segment.path}."


def _references(catalog: Catalog, number: int, seen: list[Numbers]) -> Iterator[str]:
    """What is wrong between catalog and segments: each live passage must be held exactly once."""
    held = np.sort(np.concatenate(seen or [np.empty(0, np.int64)]))
    twice = held[1:][held[1:] == held[:-1]]
    if len(twice):
        yield f"passage {twice[0]} is in two segments: {catalog.path}."
    alive = catalog.live_passages(number)
    lacking = np.setdiff1d(alive, held, assume_unique=True)
    if len(lacking):
        yield f"passage {lacking[0]} is in no segment: {catalog.path}; {len(lacking)} such."
    dead = catalog.dead_passages(number)
    strange = np.setdiff1d(held, np.union1d(alive, dead))
    if len(strange):
        yield f"passage {strange[0]} has no row: {catalog.path}; {len(strange)} such."

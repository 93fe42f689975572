"""Reading everything and believing nothing: checksums, contents, references, counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from interlace import files
from interlace.errors import REPAIR, VERIFY, Corrupt, InterlaceError
from interlace.progress import Progress, silent
from interlace.store import postings
from interlace.store.catalog import Catalog
from interlace.store.folder import Folder, missing
from interlace.store.parts import Parts
from interlace.store.rows import GenerationRow, SegmentRow
from interlace.store.segment import (
    CODEC,
    FRESH,
    SEGMENTS,
    SETTLED,
    Numbers,
    Segment,
    open_codec,
    open_segment,
    rows_path,
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
    damaged : tuple of str
        The files of segments and codecs that are to blame: what ``repair`` makes again.
    """

    problems: tuple[str, ...]
    n_files: int
    n_bytes: int
    damaged: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


class Finding(NamedTuple):
    """A sentence on what is wrong, and the segment's or codec's file that is to blame."""

    sentence: str
    file: Path | None = None


def verify(folder: Folder, catalog: Catalog, progress: Progress = silent) -> VerifyReport:
    """Check the newest commit, holding it meanwhile."""
    number, lock = folder.hold(catalog)
    try:
        reading = Reading(folder.at(catalog, number), catalog, number)
        found = list(reading.findings(progress))
    finally:
        if lock is not None:
            lock.release()
    damaged = dict.fromkeys(str(finding.file) for finding in found if finding.file is not None)
    return VerifyReport(
        tuple(finding.sentence for finding in found),
        reading.n_files,
        reading.n_bytes,
        tuple(damaged),
    )


class Reading:
    """One pass over all that a commit sees.

    Attributes
    ----------
    n_files, n_bytes : int
        Read so far.
    sound : list of Segment
        Those without a finding.
    """

    def __init__(self, folder: Folder, catalog: Catalog, number: int) -> None:
        self._folder, self._catalog, self._number = folder, catalog, number
        self.n_files = self.n_bytes = 0
        self.sound: list[Segment] = []

    def findings(self, progress: Progress = silent) -> Iterator[Finding]:
        """All that is wrong: of the catalog, the codec, the segments, and between them."""
        try:
            for sentence in self._catalog.problems(self._number):
                yield Finding(sentence)
            yield from self._files(progress)
        except Corrupt as error:  # not all of the catalog can be read
            yield Finding(_sentence(error))

    def _files(self, progress: Progress) -> Iterator[Finding]:
        generation = self._catalog.generation(self._number)
        n_places = None
        if generation is not None:
            faults = list(self._codec(generation))
            yield from faults
            if not faults:
                n_places = _n_places(self._folder, generation)
        alive, owners = self._catalog.live_passages(self._number)
        rows = self._catalog.segments(self._number)
        held = np.empty(0, np.int64)
        for done, row in enumerate(rows):
            progress("verify", done, len(rows))
            path = self._folder.path / SEGMENTS / row.file_name
            check = partial(files.verify_arrays, path, row.written)
            found = list(self._bytes(path, row.written.n_bytes, check))
            segment = None if found else self._open(row)
            if isinstance(segment, Finding):
                found = [segment]
            elif segment is not None:
                sentences = [*_inside(segment, n_places), *_owners(segment, alive, owners)]
                if row.kind == SETTLED and row.generation != (generation and generation.name):
                    sentences.append(f"the codec {row.generation} is not there")
                if len(np.intersect1d(segment.passages, held, assume_unique=True)):
                    sentences.append("another segment holds its passages too")
                found = [Finding(f"{sentence}: {path}.", path) for sentence in sentences]
                if not found:
                    self.sound.append(segment)
                    held = np.union1d(held, segment.passages)
            yield from found
        progress("verify", len(rows), len(rows))
        dead = self._catalog.dead_passages(self._number)
        strange = np.setdiff1d(held, np.union1d(alive, dead))
        if len(strange):
            yield Finding(f"passages have no row: {self._catalog.path}: {_first(strange)}.")
        lacking = np.setdiff1d(alive, held, assume_unique=True)
        if len(lacking) and len(self.sound) == len(rows):
            yield Finding(f"passages are in no segment: {self._catalog.path}: {_first(lacking)}.")

    def _open(self, row: SegmentRow) -> Segment | Finding:
        """A segment whose checksums are right, or what in it the catalog did not expect."""
        folder = self._folder
        try:
            return open_segment(folder.path, row, folder.width, folder.settings.dim)
        except InterlaceError as error:
            return Finding(_sentence(error), folder.path / SEGMENTS / row.file_name)

    def _codec(self, generation: GenerationRow) -> Iterator[Finding]:
        folder, n_found = self._folder, 0
        for array in generation.arrays:
            path = rows_path(folder.path, generation.name, array)
            pieces = generation.pieces(array)
            check = partial(files.verify_rows, path, pieces)
            for finding in self._bytes(path, generation.n_bytes(array), check):
                n_found += 1
                yield finding
        if not n_found:
            try:
                open_codec(folder.path, generation, folder.bits, folder.settings.dim)
            except InterlaceError as error:
                yield Finding(_sentence(error), folder.path / CODEC / generation.name)

    def _bytes(self, path: Path, n_bytes: int, check: Callable[[], None]) -> Iterator[Finding]:
        """What is wrong with the bytes of a file, by its checksums."""
        self.n_files, self.n_bytes = self.n_files + 1, self.n_bytes + n_bytes
        try:
            check()
        except FileNotFoundError:
            yield Finding(_sentence(missing(path)), path)
        except InterlaceError as error:
            yield Finding(_sentence(error), path if isinstance(error, Corrupt) else None)


def _sentence(error: InterlaceError) -> str:
    """An error's message, without the advice to do what has just been done."""
    return str(error).removesuffix(VERIFY).removesuffix(REPAIR).rstrip(".") + "."


def _n_places(folder: Folder, generation: GenerationRow) -> Numbers:
    """How many leaves each cell has."""
    arrays = folder.codec(generation)[0].arrays
    return np.bincount(arrays.leaf_cells, minlength=len(arrays.cell_scales))


def _inside(segment: Segment, n_places: Numbers | None) -> Iterator[str]:
    """What is wrong with a segment whose bytes are as they were written."""
    arrays = segment.arrays
    ends = {"offsets": segment.row.n_tokens}
    if segment.row.kind == SETTLED:
        ends |= {"list_offsets": len(arrays["list_gaps"])}
    for name, end in ends.items():
        offsets = arrays[name]
        falls = np.flatnonzero(offsets[:-1] > offsets[1:])
        if offsets[0] != 0 or offsets[-1] != end or len(falls):
            where = f": they fall at index {falls[0] + 1}" if len(falls) else ""
            yield f"{name} do not rise from 0 to {end}{where}"
            return
    if segment.row.kind == FRESH:
        scales = arrays["scales"]
        if not ((scales >= 0) & (scales <= 1)).all():
            yield "scales are not all from 0 to 1"
        if arrays["codes"].min(initial=0) < -127:
            yield "a level is below -127"
        if "token_ids" in arrays and arrays["token_ids"].min(initial=0) < -1:
            yield "a token id is below -1"
        return
    cells, places = arrays["heads"] >> 16, arrays["heads"] >> 8 & 255
    if n_places is not None and len(cells):
        if cells.max() >= len(n_places):
            yield f"cells go to {cells.max()}, of {len(n_places)}"
        elif (places >= n_places[cells]).any():
            yield "leaves go beyond those of their cells"
    if not _same_lists(segment):
        yield "the posting lists are not those of the leaves"


def _same_lists(segment: Segment) -> bool:
    """Whether the lists name each passage for each leaf that it has a token in, once."""
    stored = segment.arrays
    made = postings.Lists(Parts([segment], np.empty(0, np.int64)).heads)
    for name in ("list_cells", "list_places", "list_offsets"):
        if not np.array_equal(stored[name], getattr(made, name)):
            return False
    at = 0
    for gaps in made.gaps():
        if not np.array_equal(stored["list_gaps"][at : at + len(gaps)], gaps):
            return False
        at += len(gaps)
    return True


def _owners(segment: Segment, alive: Numbers, owners: Numbers) -> Iterator[str]:
    """Whether the catalog says of live passages what the segment says: whose they are."""
    at = np.searchsorted(alive, segment.passages)
    at[at == len(alive)] = 0
    lives = alive[at] == segment.passages if len(alive) else np.zeros(len(at), bool)
    wrong = segment.passages[lives][owners[at[lives]] != segment.documents[lives]]
    if len(wrong):
        yield f"passages are another document's: {_first(wrong)}"


def _first(numbers: Numbers) -> str:
    more = f" and {len(numbers) - 1:,} more" if len(numbers) > 1 else ""
    return f"number {numbers[0]}{more}"

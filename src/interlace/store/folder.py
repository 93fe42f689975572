"""An open collection's folder: its locks, its readers, and the files it has mapped.

    catalog.sqlite       the truth on what exists
    segments/            <name>.fresh and <name>.settled
    codec/<generation>/  <array>.codec
    readers/             <commit>, locked by whoever reads that commit; gate
    write.lock           held while a commit is made
    shape.lock           held while segments are replaced, the codec grows, or orphans are swept

Locks are taken in this order: shape (or, by a writer that already has write, only without
waiting), write, gate, a commit's.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from interlace import codec, files, kernels
from interlace.codec import Generation
from interlace.errors import CollectionError, Corrupt, Locked, SettingsError
from interlace.files import Lock, Piece
from interlace.kernels import Handle, packed_width
from interlace.store.catalog import Catalog
from interlace.store.damage import Damage
from interlace.store.lexical import NOWHERE, Places
from interlace.store.rows import GenerationRow, SegmentRow
from interlace.store.segment import (
    CODEC,
    SEGMENTS,
    Numbers,
    Segment,
    open_codec,
    open_segment,
    rows_path,
)
from interlace.store.settings import Settings
from interlace.store.tombstones import NONE, Tombstones

if TYPE_CHECKING:
    from interlace.store.snapshot import Snapshot

READERS = "readers"
WRITE_LOCK, SHAPE_LOCK, GATE = "write.lock", "shape.lock", "gate"

_SILENT_SECONDS = 1.0
"""How long a wait is too short to speak of."""

_log = logging.getLogger(__name__)


class Folder:
    """What every part of an open store needs, under one state of its settings.

    Settings change only with a commit (a rebuild), and segments fit those that they were written
    under. So whoever reads a commit, or holds a lock, goes on with the folder ``at`` that commit.

    Attributes
    ----------
    path : Path
    settings : Settings
    kernels, searching : Kernels
        What builds, and what searches on ``device``.
    signs : (n_rounds, dim) int8
    n_threads : int
    lock_wait_seconds : float
    damage : Damage
        The files that readers go on without.
    """

    def __init__(
        self,
        path: Path,
        settings: Settings,
        *,
        n_threads: int,
        lock_wait_seconds: float,
        damage: Damage | None = None,
        device: str = "cpu",
    ) -> None:
        self.path, self.settings, self.device = path, settings, device
        self.kernels, self.searching = kernels.table(), kernels.on(device)
        self.signs = codec.rotation_signs(settings.dim, settings.seed)
        self.n_threads, self.lock_wait_seconds = n_threads, lock_wait_seconds
        self.bits = codec.NAMES[settings.codec]
        self.width = packed_width(settings.dim, self.bits)
        self.damage = Damage(skips=False) if damage is None else damage
        self._opening = threading.RLock()
        self._segments: dict[str, Segment] = {}
        self._handles: dict[str, tuple[Handle, Handle]] = {}
        self._codec: tuple[GenerationRow, Generation, Handle] | None = None
        self._tombstones = NONE
        self._places = NOWHERE
        self._settled: tuple[tuple[str, ...], tuple[Numbers, Numbers]] | None = None
        self._sound_pieces: dict[Path, list[Piece]] = {}

    def at(self, catalog: Catalog, commit: int) -> Folder:
        """The folder as a commit sees it: this one, unless its settings are others."""
        return self.under(stored_settings(catalog, commit))

    def under(self, settings: Settings) -> Folder:
        """The folder under these settings; another shares no opened file with this one."""
        if settings == self.settings:
            return self
        return Folder(
            self.path,
            settings,
            n_threads=self.n_threads,
            lock_wait_seconds=self.lock_wait_seconds,
            damage=self.damage,
            device=self.device,
        )

    # --- locks -----------------------------------------------------------------------------------
    def write_lock(self, wait_seconds: float | None = None, *, doing: str = "writing") -> Lock:
        """The right to make a commit."""
        return self._exclusive(WRITE_LOCK, wait_seconds, doing)

    def shape_lock(self, doing: str, wait_seconds: float | None = None) -> Lock:
        """The right to replace segments, to grow the codec, and to sweep.

        (1) A process settles: it reads fresh segments and writes a settled one, for seconds,
        without the write lock, so that others may commit. (2) Another merges the same fresh
        segments, or sweeps the new file, which no row names yet. (3) The first commits rows for
        passages that are held twice, or for a file that is gone. So whoever replaces segments or
        sweeps holds this lock from reading its inputs to its commit.
        """
        return self._exclusive(SHAPE_LOCK, wait_seconds, doing)

    def try_shape_lock(self) -> Lock | None:
        """The same, when nobody has it: a small write does without."""
        return files.lock(self.path / SHAPE_LOCK, doing="writing")

    def _exclusive(self, name: str, wait_seconds: float | None, doing: str) -> Lock:
        path = self.path / name
        if files.is_own(path):
            raise Locked(
                f"this thread is itself at work on the collection: {self.path}: it would wait "
                "for itself. Use the writer that is open, or end its block first."
            )
        wait = self.lock_wait_seconds if wait_seconds is None else wait_seconds
        lock = files.lock(path, wait_seconds=min(wait, _SILENT_SECONDS), doing=doing)
        if lock is None and wait > _SILENT_SECONDS:
            _log.info("waiting for %s: %s.", files.holder(path), self.path)
            lock = files.lock(path, wait_seconds=wait - _SILENT_SECONDS, doing=doing)
        if lock is None:
            raise Locked(
                f"the collection is in use: {self.path}: {files.holder(path)}. "
                f"Waited {wait:g} s. Wait until it is done, or end it."
            )
        return lock

    # --- readers ---------------------------------------------------------------------------------
    def hold(self, catalog: Catalog, number: int | None = None) -> tuple[int, Lock | None]:
        """Hold the newest commit, or a given one, against purging.

        (1) A reader learns that commit 7 is the newest. (2) A writer makes commit 8, finds no lock
        on 7, and purges what only 7 could see. (3) The reader locks 7 and reads rows and files
        that are gone. So a reader passes (1) and (3) inside the gate, shared. A writer is inside
        it alone from looking for the oldest commit that is held to the COMMIT that removes those
        below: from then on nobody comes to hold one, and what only they saw may go inside the gate
        or later, outside.

        A folder that cannot be written has no place for locks: the reader goes without. On a disk
        too full for one more name it stays in the gate instead: no commit is removed meanwhile.
        """
        readers = self.path / READERS
        with self.inside_gate() as locks:
            if number is None:
                number = catalog.newest().number
            if not locks:
                return number, None
            if catalog.at(number) is None:
                raise CollectionError(
                    f"snapshot {number} is gone: {self.path}: a child process took it up too "
                    "late. Take a new one from the store."
                )
            try:
                lock = files.lock(readers / str(number), shared=True)
            except CollectionError:
                lock = files.lock(readers / GATE, shared=True)
            if lock is None:
                raise Locked(f"commit {number} is locked by another program: {readers}.")
            return number, lock

    @contextmanager
    def inside_gate(self) -> Iterator[bool]:
        """Shared: no commit is removed meanwhile, and what the newest sees stays.

        False where there is no place for locks.
        """
        if not files.is_writable(self.path / READERS):
            yield False
            return
        gate = files.lock(
            self.path / READERS / GATE, shared=True, wait_seconds=self.lock_wait_seconds
        )
        if gate is None:
            raise Locked(
                f"a writer is ending its commit: {self.path}. "
                f"Waited {self.lock_wait_seconds:g} s; try again."
            )
        with gate:
            yield True

    def close_gate(self) -> Lock | None:
        """Keep new readers out while commits are removed; None when some are inside."""
        return files.lock(self.path / READERS / GATE)

    def oldest_reader(self, newest: int) -> int:
        """The oldest commit that anybody reads, ``newest`` when nobody does; with a closed gate.

        Lock files that nobody holds are removed: with the gate closed, nobody is about to.
        """
        readers, oldest = self.path / READERS, newest
        for name in files.names(readers):
            if not name.isdigit():
                continue
            lock = files.lock(readers / name)
            if lock is None:
                oldest = min(oldest, int(name))
            else:
                lock.release()
                files.remove(readers / name)
        return oldest

    @contextmanager
    def swept(self, catalog: Catalog, let_go: Callable[[], None]) -> Iterator[None]:
        """Sweep before work under the shape lock, and again when it fails."""
        with self.write_lock():
            self.purge(catalog, let_go)
            self.sweep(catalog)
        try:
            yield
        except BaseException:
            with suppress(CollectionError), self.write_lock(0):  # else the next writer sweeps
                self.sweep(catalog)
            raise

    def purge(self, catalog: Catalog, let_go: Callable[[], None]) -> None:
        """Forget what was replaced while somebody read it, once nobody does; outside a transaction.

        Needs the write lock. (1) An ``index`` merges segments while a search reads the old ones.
        (2) Both end. (3) Nothing is added any more, and no commit purges: the old files would stay.
        So whoever only begins to write purges as well, and sweeps if it may. Where the store that
        asks is the one that still reads, it lets its snapshot go.
        """
        with suppress(CollectionError):  # a full disk must not stop a delete; the next one purges
            newest = catalog.newest().number
            if not catalog.has_retired(newest):
                return
            let_go()
            gate = self.close_gate()
            if gate is None:
                return
            with gate:
                oldest = self.oldest_reader(newest)
                if not catalog.has_retired(oldest):
                    return
                catalog.end_commits(oldest)
            catalog.purge_alone(oldest)

    def sweep(self, catalog: Catalog, *, log_is_certain: bool = False) -> None:
        """Remove files that no row names, and what of a codec's files counts for no commit.

        That is what a crash, a failure or a purge left.

        Needs the shape lock and the write lock: whoever holds either may have files on the way
        that are not named yet.

        (1) A COMMIT writes its rows to the log and fails in syncing it. (2) The next writer finds
        files without rows and removes them. (3) It is killed before its own commit, and whoever
        opens the catalog next reads the log to its end: the rows are there, their files are not.
        So the log's end is overwritten first, unless it is certain: just committed, or made so.
        """
        segments, rows = catalog.known_files()
        named = self.path / SEGMENTS, self.path / CODEC
        orphans = [named[0] / name for name in files.names(named[0]) if name not in segments]
        emptied = []
        for generation in files.names(named[1]):
            inside = named[1] / generation
            strange = [name for name in files.names(inside) if (generation, name) not in rows]
            orphans += [inside / name for name in strange]
            if len(strange) == len(files.names(inside)):
                emptied.append(inside)
        known = {named[1] / of / name: n_bytes for (of, name), n_bytes in rows.items()}
        longer = {path: n_bytes for path, n_bytes in known.items() if files.size(path) > n_bytes}
        if (orphans or longer) and not log_is_certain:
            catalog.end_log()
        for path in orphans:
            files.remove(path)
        for path, n_bytes in longer.items():
            files.cut(path, n_bytes)
        for inside in emptied:
            files.remove_folder(inside)

    # --- opened files ----------------------------------------------------------------------------
    def segment(self, row: SegmentRow) -> Segment:
        """Map a segment, or take it as it was mapped before."""
        with self._opening:
            if row.name not in self._segments:
                self._segments[row.name] = open_segment(
                    self.path, row, self.width, self.settings.dim
                )
            return self._segments[row.name]

    def codec(self, row: GenerationRow) -> tuple[Generation, Handle]:
        """Load a codec with the chunks that a row names, or take it as it was loaded before."""
        with self._opening:
            if self._codec is None or self._codec[0] != row:
                rows = open_codec(self.path, row, self.bits, self.settings.dim)
                generation = Generation.load(row.description, rows, row.chunks[-1].n_tokens)
                inside = self.path / CODEC / row.name
                handle = self.searching.load_codec(generation.arrays, str(inside))
                self._codec = (row, generation, handle)
            return self._codec[1:]

    def handle(self, segment: Segment, codec_handle: Handle) -> Handle:
        """A segment as search calls take it, loaded once for each state of the codec."""
        with self._opening:
            known = self._handles.get(segment.row.name)
            if known is None or known[0] is not codec_handle:
                known = (codec_handle, segment.load(self.searching, codec_handle))
                self._handles[segment.row.name] = known
            return known[1]

    def tombstones(self, catalog: Catalog, commit: int, segments: Sequence[Segment]) -> Tombstones:
        """What is dead at a commit, in all the segments that it sees.

        Worked out from the last commit that was asked for, unless that is a later one. Without a
        lock: two threads may work out the same.

        (1) A damaged segment is left out, and what is dead in it forgotten, as no other holds it.
        (2) The segment is repaired, while one more of its passages dies. (3) The new one holds that
        passage, and nobody knows any more that it is dead. So nothing is forgotten meanwhile.
        """
        known = self._tombstones
        if known.commit > commit:
            return NONE.at(catalog, commit, segments)
        found = known.at(catalog, commit, segments)
        if found.are_many_forgotten and len(segments) == len(catalog.segments(commit)):
            found = found.without_forgotten(segments)
        self._tombstones = found
        return found

    def places(self, snapshot: Snapshot, catalog: Catalog) -> Places:
        """Where the passages of a commit's runs of words are; worked out as ``tombstones`` are."""
        known = self._places
        if known.commit > snapshot.number:
            return NOWHERE.at(snapshot, catalog)
        found = self._places = known.at(snapshot, catalog)
        return found

    def numbers(self, segments: Sequence[Segment]) -> tuple[Numbers, Numbers]:
        """Insertion numbers of all passages of some settled segments, and of their documents.

        Joined when those are replaced, not with every commit.
        """
        names = tuple(segment.row.name for segment in segments)
        known = self._settled
        if known is None or known[0] != names:
            known = self._settled = (names, joined_numbers(segments))
        return known[1]

    def check(self, rows: Iterable[SegmentRow]) -> None:
        """Compare every checksum of some segments, before what they hold is written anew.

        (1) A bit flips in a segment. (2) It is merged. (3) The new file has a checksum of its own,
        and nobody will ever know. Reading for this costs a small part of merging.

        Raises
        ------
        Corrupt
        """
        for row in rows:
            path = self.path / SEGMENTS / row.file_name
            with _found(path):
                files.verify_arrays(path, row.written)

    def mapped(self, rows: Iterable[SegmentRow]) -> list[Segment]:
        """Map some segments; those that are too damaged for it are left out."""
        found = []
        for row in rows:
            with suppress(Corrupt, FileNotFoundError):
                found.append(self.segment(row))
        return found

    def leave_out(self, catalog: Catalog, commit: int, error: Corrupt) -> bool:
        """Go on without the file that an error blames; without a name, without all that are bad.

        False when nothing more can be left out, so that the error must be told.
        """
        if not self.damage.skips:
            return False
        if error.file is not None:
            return self.damage.leave_out(error)
        found = False
        generation = catalog.generation(commit)
        checks = [partial(self.check, [row]) for row in catalog.segments(commit)]
        checks += [] if generation is None else [partial(self.check_codec, generation)]
        for check in checks:
            try:
                check()
            except Corrupt as damage:
                found |= self.damage.leave_out(damage)
        return found

    def is_sound(self, row: SegmentRow) -> bool:
        """Whether a segment's bytes are those that were written."""
        try:
            self.check([row])
        except Corrupt:
            return False
        return True

    def check_codec(self, row: GenerationRow) -> None:
        """The same for a codec, before anything is coded by it; each piece once."""
        for array in row.arrays:
            path, pieces = rows_path(self.path, row.name, array), row.pieces(array)
            known = self._sound_pieces.get(path, [])
            n_known = len(known) if pieces[: len(known)] == known else 0
            with _found(path):
                files.verify_rows(path, pieces, n_known)
            self._sound_pieces[path] = pieces

    def forget(self, gone: Iterable[str]) -> None:
        """Let go of opened segments that newer snapshots do not need."""
        with self._opening:
            for name in gone:
                self._segments.pop(name, None)
                self._handles.pop(name, None)

    def opened(self) -> set[str]:
        """Names of the segments that are opened."""
        with self._opening:
            return set(self._segments)


def joined_numbers(segments: Sequence[Segment]) -> tuple[Numbers, Numbers]:
    """Insertion numbers of the passages of segments, and of their documents; of one, as mapped."""
    if len(segments) == 1:
        return segments[0].passages, segments[0].documents
    nothing = [np.empty(0, np.int64)]
    passages = np.concatenate([segment.passages for segment in segments] or nothing)
    documents = np.concatenate([segment.documents for segment in segments] or nothing)
    return passages, documents


def stored_settings(catalog: Catalog, commit: int | None = None) -> Settings:
    """The settings that a commit sees, or the newest ones.

    Raises
    ------
    Corrupt
        When the catalog holds none that can be.
    """
    try:
        return Settings(**catalog.settings(commit))
    except (TypeError, SettingsError) as error:
        raise Corrupt(
            f"the catalog is damaged: {catalog.path}: expected settings, found: {error} "
            "Restore the folder from a copy, or index the documents again."
        ) from error


@contextmanager
def _found(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise missing(path) from error


def missing(path: object) -> Corrupt:
    """The error for a file that a row names and that is not there."""
    return Corrupt.at(path, "a file of the collection", "none", "a file is gone")


def bitmap(rows: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """One bit a row, lowest first."""
    return np.packbits(rows, bitorder="little")

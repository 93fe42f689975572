"""Create, open, write, settle: the life of a collection on disk."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from interlace import files, kernels
from interlace.errors import CollectionError, Corrupt, InterlaceError, Locked, SettingsError
from interlace.progress import Progress, silent
from interlace.store import (
    attaching,
    backup,
    compaction,
    database,
    drift,
    rebuilding,
    repairing,
    settling,
    verify,
)
from interlace.store.backup import BackupReport
from interlace.store.catalog import Catalog
from interlace.store.compaction import CompactReport
from interlace.store.damage import DAMAGED, Damage
from interlace.store.folder import READERS, WRITE_LOCK, Folder, stored_settings
from interlace.store.rebuilding import Encode, RebuildReport
from interlace.store.repairing import Encode as Remake
from interlace.store.repairing import Judge, RepairReport
from interlace.store.rows import FORMAT, Known
from interlace.store.segment import CODEC, FRESH, SEGMENTS, SETTLED
from interlace.store.settings import Settings
from interlace.store.settling import SettleReport
from interlace.store.snapshot import Snapshot, take
from interlace.store.storable import check_id
from interlace.store.transaction import Transaction
from interlace.store.tuned import Tuned, tuned_from
from interlace.store.verify import VerifyReport
from interlace.store.writer import Outcome, Writer
from interlace.threads import n_cores
from interlace.types import Id

_SETTLE = ("auto", "manual")


class Store:
    """An open collection folder. Use it from any number of threads, and from children after a fork.

    Made by ``create`` and ``open``; a context manager. Any number of stores, in any process, may
    have one folder open; one writer at a time holds its lock.

    Attributes
    ----------
    path : Path
    last_settle_error : Exception or None
        Why the last settling on its own failed; the write that caused it has succeeded.
    """

    def __init__(self, folder: Folder, catalog: Catalog, *, settle: str) -> None:
        self.path = folder.path
        self.last_settle_error: Exception | None = None
        self._folder, self._catalog, self._auto = folder, catalog, settle == "auto"
        self._lock = threading.RLock()
        self._snapshot: Snapshot | None = None

    # --- reading ---------------------------------------------------------------------------------
    def snapshot(self) -> Snapshot:
        """The commit that this store reads: the newest one when it was first asked for.

        Stays the same until ``refresh`` or a write through this store. Everybody shares it; it
        lives no longer than the store.
        """
        with self._lock:
            if self._snapshot is None or self._snapshot.closed:
                self._snapshot = take(self._folder, self._catalog)
                self._folder = self._snapshot.folder
            return self._snapshot

    def refresh(self) -> bool:
        """Go on to the newest commit; whether there is a newer one."""
        with self._lock:
            newest = self._catalog.newest().number
            if self._snapshot is None or self._snapshot.number == newest:
                return False
            self._snapshot = None
            return True

    def leave_out(self, error: Corrupt) -> bool:
        """Go on without the damaged file that an error blames; False when it must be told.

        Only with ``damaged="skip"``. The next snapshot is without the file.
        """
        snapshot = self.snapshot()
        if not snapshot.folder.leave_out(self._catalog, snapshot.number, error):
            return False
        self._let_go()
        return True

    @property
    def settings(self) -> Settings:
        """The newest settings; what ``snapshot`` sees has its own."""
        return stored_settings(self._catalog)

    @property
    def commit(self) -> int:
        """The number of the newest commit."""
        return self._catalog.newest().number

    # --- writing ---------------------------------------------------------------------------------
    def write(self, wait_seconds: float | None = None) -> Writer:
        """Take the write lock; everything done through the writer is one commit.

        Parameters
        ----------
        wait_seconds : float, optional
            How long to wait for another writer; the store's ``lock_wait_seconds`` by default.

        Raises
        ------
        Locked
            When the other writer is not done by then; the message says who and since when.
        """
        return Writer(
            self._folder,
            encode_bulk=self._auto,
            let_go=self._let_go,
            after_commit=self._after_write,
            wait_seconds=wait_seconds,
        )

    def known(self, ids: Iterable[Id]) -> dict[Id, Known]:
        """Content hash and place of live documents by id, at the newest commit."""
        return self._catalog.known(map(check_id, ids))

    def _let_go(self) -> None:
        with self._lock:
            self._snapshot = None

    def _after_write(self, outcome: Outcome) -> None:
        """Settle when the commit passed the budget: in this thread, as a commit of its own."""
        settings = self._folder.settings
        budget = settings.fresh_budget_tokens if outcome.has_codec else settings.first_budget_tokens
        if outcome.n_fresh_tokens > budget:
            self._on_its_own(lambda: self._settle(silent, 0.0))
        elif outcome.n_settled_segments and compaction.is_due(
            outcome.n_settled_segments, outcome.n_held, outcome.n_alive
        ):
            self._on_its_own(lambda: self._compact(wait_seconds=0.0))

    def _on_its_own(self, work: Callable[[], object]) -> None:
        """Do what a commit has made due. The commit stands, whatever becomes of this."""
        if not self._auto:
            return
        try:
            work()
        except Locked as error:  # somebody is at it; if not, the next write is again past it
            self.last_settle_error = error
        except (InterlaceError, MemoryError, OSError) as error:
            self.last_settle_error = error
            warnings.warn(
                f"settling failed, the write has succeeded: {error or type(error).__name__}",
                RuntimeWarning,
                stacklevel=5,
            )
        else:
            self.last_settle_error = None

    def settle(self, progress: Progress = silent) -> SettleReport:
        """Compress what is fresh, and merge settled segments when there are too many.

        Raises
        ------
        Locked, CollectionError
            Nothing is lost: what is fresh stays fresh, and searchable.
        """
        return self._settle(progress, None)

    def _settle(self, progress: Progress, wait_seconds: float | None) -> SettleReport:
        report = settling.settle(
            self._folder, self._catalog, self._let_go, progress, wait_seconds=wait_seconds
        )
        self._compact(progress=progress, wait_seconds=wait_seconds)
        return report

    def compact(self, progress: Progress = silent) -> CompactReport:
        """Merge all settled segments into one and drop every tombstone in them."""
        return self._compact(thorough=True, progress=progress)

    def _compact(
        self,
        *,
        thorough: bool = False,
        progress: Progress = silent,
        wait_seconds: float | None = None,
    ) -> CompactReport:
        return compaction.compact(
            self._folder,
            self._catalog,
            self._let_go,
            thorough=thorough,
            progress=progress,
            wait_seconds=wait_seconds,
        )

    def rebuild(
        self,
        settings: Settings,
        encode: Encode,
        *,
        known_until: int | None = None,
        progress: Progress = silent,
    ) -> RebuildReport:
        """Encode all documents under other settings, and switch to those as one commit.

        Others search, add and delete meanwhile; what they add is encoded as well.

        Parameters
        ----------
        settings : Settings
            Of another model, width, codec or splitting, or the same: that trains the codec anew.
        encode : callable
            Takes an iterator of documents, and yields for each its content hash, its passages and
            the matrix of each; it is called several times.
        known_until : int, optional
            Documents numbered below it come first, and in their order; by default some of all.

        Raises
        ------
        Locked, CollectionError
            Nothing is lost: the collection is as it was.
        """
        return rebuilding.rebuild(
            self._folder,
            self._let_go,
            settings,
            encode,
            known_until=known_until,
            may_train=self._auto,
            progress=progress,
        )

    def repair(
        self, judge: Judge, encode: Remake, *, drop_lost: bool = False, progress: Progress = silent
    ) -> RepairReport:
        """Make damaged segments and codecs again, from the texts, as one commit.

        What is sound is not touched, and passages keep their numbers. A codec that had to go is
        trained anew when there is enough to settle, in a commit of its own.

        Parameters
        ----------
        judge : callable
            Whether the passages of a ``LostDocument`` can be encoded again.
        encode : callable
            Takes an iterator of such documents, and yields each with the matrices of its passages.
        drop_lost : bool
            Whether documents that cannot be made again are deleted; else nothing is done when
            there are any.

        Raises
        ------
        Locked, CollectionError
            The collection is as it was.
        """
        report = repairing.repair(
            self._folder, self._let_go, judge, encode, drop_lost=drop_lost, progress=progress
        )
        if report.n_passages:
            self._let_go()
            number = self._catalog.newest().number
            rows = self._catalog.segments(number)
            has_codec = self._catalog.generation(number) is not None
            n_fresh = sum(row.n_tokens for row in rows if row.kind == FRESH)
            self._after_write(Outcome(number, n_fresh, 0, 0, 0, has_codec))
        return report

    def train_like(self, other: Store) -> bool:
        """Take over the codec of another collection, so that what is built here fits there.

        Returns whether it was new.

        Raises
        ------
        InputError, ModelMismatch
            When settings or models differ.
        CollectionError
            When the other has no codec yet, or this one another.
        """
        theirs = other.snapshot()
        return attaching.adopt_codec(self._folder, self._let_go, theirs.folder, theirs.generation)

    def attach(self, source: Store) -> int:
        """Take over all live documents of a collection whose codec was taken from this one.

        Settled segments are merged when there are too many then; what came fresh stays fresh, so
        that the codec does not grow away from the next collection's.
        """
        snapshot = source.snapshot()
        n_documents = attaching.attach(
            self._folder,
            self._let_go,
            snapshot.folder,
            source._catalog,
            snapshot.number,
        )
        self._on_its_own(lambda: self._compact(wait_seconds=0.0))
        return n_documents

    def tune(self, tuned: Tuned | None) -> None:
        """Keep knobs that were measured, for every search to come; None forgets them.

        Raises
        ------
        Locked, CollectionError
        """
        with Transaction(self._folder, self._let_go, doing="tuning") as transaction:
            value = None if tuned is None else tuned.to_json()
            transaction.catalog.replace_tuned(value, transaction.number)
            if transaction.changed:
                transaction.commit("tune")

    # --- looking after ---------------------------------------------------------------------------
    def verify(self, progress: Progress = silent) -> VerifyReport:
        """Read every byte, compare every checksum and every reference, and list what is wrong."""
        return verify.verify(self._folder, self._catalog, progress)

    def backup(self, path: str | os.PathLike[str], progress: Progress = silent) -> BackupReport:
        """Copy the newest commit to another folder, while others read and write.

        A folder that holds an earlier backup of this collection, which nobody has written to, is
        brought up to date: only files that it lacks are copied.

        Raises
        ------
        CollectionError
            When the target holds anything else, or cannot be written.
        Corrupt
            When a file of this collection is damaged; the message names it.
        Locked
            When the backup is open, or made by another process.
        """
        return backup.backup(self._folder, Path(path), progress)

    def info(self) -> dict[str, Any]:
        """Counts, bytes by part, and the kernel table that searches."""
        commit = self._catalog.newest()
        rows = self._catalog.segments(commit.number)
        generation = self._catalog.generation(commit.number)
        fresh = [row for row in rows if row.kind == FRESH]
        settled = [row for row in rows if row.kind == SETTLED]
        log = database.FILE_NAME + "-wal"
        drifted = drift.drift(self._folder, generation, settled)
        tuned = tuned_from(self._catalog.tuned(commit.number))
        return {
            "path": str(self.path),
            "format": FORMAT,
            "kernels": self._folder.searching.name,
            "commit": commit.number,
            "n_documents": commit.n_documents,
            "n_passages": commit.n_passages,
            "n_sources": len(self._catalog.sources(commit.number)),
            "n_files": self._catalog.n_files(commit.number),
            "left_out": [str(path) for path in self.snapshot().left_out],
            "fields": self._catalog.field_kinds(commit.number),
            "n_tombstones": sum(row.n_passages for row in rows) - commit.n_passages,
            "n_tokens": sum(row.n_tokens for row in rows),
            "n_fresh_segments": len(fresh),
            "n_fresh_tokens": sum(row.n_tokens for row in fresh),
            "n_settled_segments": len(settled),
            "n_settled_tokens": sum(row.n_tokens for row in settled),
            "codec": self.settings.codec,
            "generation": None if generation is None else generation.name,
            "n_codec_chunks": 0 if generation is None else len(generation.chunks),
            "fairness": None if generation is None else generation.description.get("fairness"),
            "tuned": None if tuned is None else asdict(tuned),
            "is_outgrown": tuned is not None and tuned.is_outgrown(commit.n_passages),
            "drift": drifted.ratio,
            "advice": drifted.advice,
            "bytes": {
                "catalog": files.size(self._catalog.path) + files.size(self.path / log),
                "fresh": sum(row.written.n_bytes for row in fresh),
                "settled": sum(row.written.n_bytes for row in settled),
                "codec": sum(map(generation.n_bytes, generation.arrays)) if generation else 0,
            },
        }

    def close(self) -> None:
        """Close the catalog and give the snapshot back. Again is harmless."""
        with self._lock:
            if self._snapshot is not None:
                self._snapshot.close()
            self._snapshot = None
            self._catalog.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def create(path: str | os.PathLike[str], settings: Settings, **options: Any) -> Store:
    """Make an empty collection in a folder that is new or empty, and open it.

    Parameters
    ----------
    path : path
    settings : Settings
    **options
        As for ``open``.

    Raises
    ------
    CollectionError
        When the folder holds something, or cannot be written.
    SettingsError
        When an option is out of range; nothing is written then.
    """
    _check_options(**options)
    folder = Path(path).absolute()
    if folder.exists() and not folder.is_dir():
        raise CollectionError(f"not a folder: {folder}. Give the path of a new or empty folder.")
    files.make_folder(folder)
    _check_empty(folder)
    with files.lock(folder / WRITE_LOCK, wait_seconds=1.0) or _busy(folder):
        _check_empty(folder)
        for name in (SEGMENTS, CODEC, READERS):
            files.make_folder(folder / name)
        database.create(folder, settings.to_json())
        files.sync_folder(folder)
        files.sync_folder(folder.resolve().parent)
    return open(folder, **options)


_LEFT_BY_CREATE = {
    SEGMENTS, CODEC, READERS, WRITE_LOCK, database.FILE_NAME, database.FILE_NAME + "-journal",
    database.FILE_NAME + "-wal", database.FILE_NAME + "-shm",
}  # fmt: skip


def _check_empty(folder: Path) -> None:
    """Refuse a folder with anything in it but what a ``create`` that was cut off leaves."""
    found = files.names(folder)
    if database.exists(folder):
        raise CollectionError(
            f"there is a collection already: {folder}. Open it with "
            f"interlace.open({str(folder)!r}), or give another path."
        )
    if set(found) - _LEFT_BY_CREATE or files.names(folder / SEGMENTS):
        other = sorted(set(found) - _LEFT_BY_CREATE) or [SEGMENTS]
        raise CollectionError(
            f"the folder is not empty: {folder} holds {other[0]!r}. "
            "Give the path of a new or empty folder."
        )


def _busy(folder: Path) -> Any:
    raise CollectionError(f"another process is making a collection here: {folder}. Open it then.")


def open(  # noqa: A001
    path: str | os.PathLike[str],
    *,
    settle: str = "auto",
    damaged: str = "raise",
    lock_wait_seconds: float = 10.0,
    n_threads: int | None = None,
    device: str = "cpu",
) -> Store:
    """Open a collection.

    Parameters
    ----------
    path : path
    settle : "auto" or "manual"
        Whether a write that passes the budget settles, or only ``Store.settle`` does.
    damaged : "raise" or "skip"
        Whether a damaged segment or codec is told with ``Corrupt``, or reading goes on without it:
        ``Snapshot.left_out`` names it.
    lock_wait_seconds : float
        How long a write waits for another one.
    n_threads : int, optional
        For encoding and searching; as many as the machine lets this process use, by default.
    device : str
        Where searches run: ``"cpu"``, or a device of PyTorch or MLX.

    Raises
    ------
    NotACollection, FormatTooNew, FormatTooOld, Corrupt
    SettingsError
        When an option is out of range, or the device not here.
    MissingExtra
        When the device wants PyTorch or MLX, which is not installed.
    """
    folder = Path(path).absolute()
    _check_options(settle, damaged, lock_wait_seconds, n_threads, device)
    damage = Damage(skips=damaged == "skip")
    opened, catalog = _open(folder, n_threads, lock_wait_seconds, damage, device)
    try:
        store = Store(opened, catalog, settle=settle)
        store.snapshot()
    except BaseException:
        catalog.close()
        raise
    return store


def _check_options(
    settle: object = "auto",
    damaged: object = "raise",
    lock_wait_seconds: object = 10.0,
    n_threads: object = None,
    device: str = "cpu",
) -> None:
    for name, value, allowed in (("settle", settle, _SETTLE), ("damaged", damaged, DAMAGED)):
        if value not in allowed:
            raise SettingsError(f"{name} is {value!r}. Choose one of {', '.join(allowed)}.")
    if (
        isinstance(lock_wait_seconds, bool)
        or not isinstance(lock_wait_seconds, int | float)
        or not 0 <= lock_wait_seconds < float("inf")
    ):
        raise SettingsError(
            f"lock_wait_seconds is out of range: {lock_wait_seconds!r}. Give a number from 0."
        )
    if n_threads is not None and (
        isinstance(n_threads, bool) or not isinstance(n_threads, int) or n_threads < 1
    ):
        raise SettingsError(
            f"n_threads is out of range: {n_threads!r}. Give a whole number from 1."
        )
    kernels.on(device)


def verify_folder(path: str | os.PathLike[str], progress: Progress = silent) -> VerifyReport:
    """Verify a collection that may be too damaged to open.

    Raises
    ------
    NotACollection, FormatTooNew, FormatTooOld, Corrupt
        When not even the catalog can be read.
    """
    folder, catalog = _open(Path(path).absolute(), None, 10.0)
    try:
        return verify.verify(folder, catalog, progress)
    finally:
        catalog.close()


def restore(
    source: str | os.PathLike[str], path: str | os.PathLike[str], progress: Progress = silent
) -> None:
    """Copy a backup, or any collection, to a new folder, when every checksum in it is right.

    Raises
    ------
    NotACollection, FormatTooNew, FormatTooOld
    Corrupt
        When anything in the backup is damaged; nothing is left at the target.
    CollectionError
        When there is something at the target, or it cannot be written.
    """
    folder, catalog = _open(Path(source).absolute(), None, 10.0)
    try:
        problems = verify.verify(folder, catalog, progress).problems
        if problems:
            raise Corrupt(
                f"the backup is damaged, and was not restored: {folder.path}: {problems[0]} "
                f"`interlace verify` lists all {len(problems)}."
            )
        backup.copy_out(folder, Path(path), is_backup=False, progress=progress)
    finally:
        catalog.close()


def _open(
    path: Path,
    n_threads: int | None,
    lock_wait_seconds: float,
    damage: Damage | None = None,
    device: str = "cpu",
) -> tuple[Folder, Catalog]:
    if not files.size(path / database.FILE_NAME):
        raise database.not_a_collection(path)
    catalog = Catalog(path, wait_seconds=lock_wait_seconds)
    try:
        folder = Folder(
            path,
            stored_settings(catalog),
            n_threads=n_threads or n_cores(),
            lock_wait_seconds=lock_wait_seconds,
            damage=damage,
            device=device,
        )
    except BaseException:
        catalog.close()
        raise
    return folder, catalog


def attach(target: Store, source: Store) -> int:
    """Take over what was built elsewhere: the codec, and segments made against it, as one commit.

    Codes are copied as they are. The source stays as it was.

    Parameters
    ----------
    target, source : Store
        With the same settings and model. Where both have a codec, the source's must have come
        from the target (``Store.train_like``), or the other way round.

    Returns
    -------
    int
        How many documents came.

    Raises
    ------
    InputError
        When the settings differ, or an id is alive in both.
    ModelMismatch, CollectionError
    """
    return target.attach(source)

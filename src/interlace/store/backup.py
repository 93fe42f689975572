"""One commit as a folder of its own, copied while writers go on.

A copy is made in a folder beside, ``<name>.partial``, which is no collection until all of it is
there, and takes its name last. A backup is brought up to date where it lies: files are only added,
and rows appended, then one SQLite transaction makes its catalog the new one, then what the old one
needed goes.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Final

from interlace import files
from interlace.errors import VERIFY, CollectionError, Corrupt, InputError, Locked
from interlace.files import Lock, Piece, Written
from interlace.progress import Progress, silent
from interlace.store import database
from interlace.store.catalog import Catalog
from interlace.store.folder import READERS, WRITE_LOCK, Folder, missing
from interlace.store.rows import GenerationRow
from interlace.store.segment import CODEC, SEGMENTS, rows_path

PARTIAL: Final = ".partial"
"""What the name of an unfinished copy ends with."""

_COMING: Final = "coming"
"""Where the new catalog waits until every file that it names is there."""

_PART: Final = ".part"
"""What the name of an unfinished file ends with: the others in a copy are whole."""


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What ``backup`` did.

    Attributes
    ----------
    path : str
        The backup's folder.
    commit : int
        The commit that it holds.
    n_documents : int
        In it.
    n_files, n_bytes : int
        That were copied, the catalog among them.
    n_files_kept : int
        That an earlier backup in the same folder had already.
    """

    path: str
    commit: int
    n_documents: int
    n_files: int
    n_bytes: int
    n_files_kept: int


def backup(folder: Folder, target: Path, progress: Progress = silent) -> BackupReport:
    """Copy the newest commit into a new folder, or into that of an earlier backup."""
    target = _outside(folder, target)
    if database.exists(target):
        return _renew(folder, target, progress)
    return copy_out(folder, target, is_backup=True, progress=progress)


def copy_out(
    folder: Folder, target: Path, *, is_backup: bool, progress: Progress = silent
) -> BackupReport:
    """Copy the newest commit into a new folder, which is there whole or not at all."""
    target = _outside(folder, target)
    _check_free(target)
    partial = target.with_name(target.name + PARTIAL)
    files.make_folder(partial)
    lock = files.lock(partial / WRITE_LOCK, doing="copying")
    if lock is None:
        raise Locked(
            f"another process copies to there: {target}: {files.holder(partial / WRITE_LOCK)}. "
            "Wait until it is done, or give another path."
        )
    try:
        with lock:
            report = _fill(folder, partial, is_backup, progress)
            coming = partial / _COMING
            files.move(coming / database.FILE_NAME, partial / database.FILE_NAME)
            files.remove_tree(coming)
            files.sync_folder(partial)
        files.move(partial, target)
    except BaseException:
        files.remove_tree(partial)
        raise
    files.sync_folder(target.parent)
    return _at(report, target)


def _renew(folder: Folder, target: Path, progress: Progress) -> BackupReport:
    """Bring a backup up to date; it stays what it was until the last file is there.

    (1) A process reads the backup at commit 7. (2) Its catalog becomes that of commit 9, where what
    only 7 saw is gone. (3) The process reads rows that are not there. So nobody may read a backup
    while it changes its commit: the gate is closed, and nobody inside.
    """
    into = Folder(
        target,
        folder.settings,
        n_threads=folder.n_threads,
        lock_wait_seconds=folder.lock_wait_seconds,
    )
    with into.shape_lock("copying to here"), into.write_lock(doing="copying to here"):
        with closing(Catalog(target, wait_seconds=into.lock_wait_seconds)) as old:
            _check_backup_of(folder, old)
            old.end_log()  # it may hold a try that failed, whose rows others are written over
            codec = old.generation(old.newest().number)
        with _alone(into):
            pass  # rather now than after an hour of copying
        report = _fill(folder, target, True, progress, codec)
        with (
            _alone(into),
            closing(Catalog(target / _COMING, wait_seconds=into.lock_wait_seconds)) as new,
        ):
            new.copy_into(target / database.FILE_NAME)
        files.remove_tree(target / _COMING)
        with closing(Catalog(target, wait_seconds=into.lock_wait_seconds)) as now:
            into.sweep(now)
    return _at(report, target)


def _alone(into: Folder) -> Lock:
    """The closed gate of a backup that nobody reads."""
    gate = into.close_gate()
    if gate is not None:
        if into.oldest_reader(_NEVER) == _NEVER:
            return gate
        gate.release()
    raise Locked(
        f"the backup is open: {into.path}. Close it where it is read, or give another path."
    )


_NEVER: Final = 2**63
"""A commit that is not reached."""


def _fill(
    folder: Folder,
    into: Path,
    is_backup: bool,
    progress: Progress,
    codec: GenerationRow | None = None,
) -> BackupReport:
    """Copy into a folder all that it lacks of the newest commit; its catalog is left in coming.

    Of a codec that it has, only the rows are copied that came since, onto what is there.

    A reader that cannot lock may find a file gone, as in ``snapshot.take``: it begins again.
    """
    for name in (SEGMENTS, CODEC, READERS):
        files.make_folder(into / name)
    tried: int | None = None
    while True:
        with ExitStack() as held:
            catalog, lock = _copy_catalog(folder, into / _COMING)
            held.callback(catalog.close)
            if lock is not None:
                held.enter_context(lock)
            commit = catalog.newest()
            try:
                copied, n_kept = _copy_files(folder, into, catalog, commit.number, codec, progress)
            except FileNotFoundError as error:
                if lock is not None or tried == commit.number:
                    raise missing(error.filename) from error
                tried = commit.number
                continue
            for problem in catalog.problems(commit.number):
                raise Corrupt(
                    problem.replace(str(catalog.path), str(folder.path / database.FILE_NAME))
                    + f" Restore an earlier backup, or index the documents again{VERIFY}"
                )
            catalog.set_origin(catalog.origin()._replace(backup=commit.number))
            if not is_backup:
                catalog.leave_origin()
        n_bytes = sum(copied) + files.size(into / _COMING / database.FILE_NAME)
        files.sync_folder(into / _COMING)
        return BackupReport("", commit.number, commit.n_documents, len(copied) + 1, n_bytes, n_kept)


def _copy_catalog(folder: Folder, coming: Path) -> tuple[Catalog, Lock | None]:
    """The catalog's copy, opened, and the lock on its newest commit.

    (1) The catalog is copied; its newest commit is 7. (2) A writer makes commit 8, finds no lock on
    7, and removes a segment that only 7 needed. (3) The copy names a file that is gone. So both
    happen inside the gate; the files are copied under the lock on 7, while others purge what is
    older.
    """
    files.remove_tree(coming)
    files.make_folder(coming)
    with folder.inside_gate():
        with closing(Catalog(folder.path, wait_seconds=folder.lock_wait_seconds)) as original:
            original.copy_into(coming / database.FILE_NAME)
        catalog = Catalog(coming, wait_seconds=folder.lock_wait_seconds)
        try:
            return catalog, folder.hold(catalog)[1]
        except BaseException:
            catalog.close()
            raise


def _copy_files(
    folder: Folder,
    into: Path,
    catalog: Catalog,
    number: int,
    codec: GenerationRow | None,
    progress: Progress,
) -> tuple[list[int], int]:
    """Bytes of what was copied, for each file, and how many were there.

    (1) A backup of commit 7 is brought up to date: rows are appended to its codec. (2) It is cut
    off. (3) The backup is restored: at commit 7, which names no more rows than before.
    """
    segments, generation = catalog.segments(number), catalog.generation(number)
    arrays = [] if generation is None else generation.arrays
    total = sum(row.written.n_bytes for row in segments)
    total += sum(map(generation.n_bytes, arrays)) if generation else 0
    done, copied = 0, []
    progress("copy", 0, total)
    for row in segments:
        source, target = (path / SEGMENTS / row.file_name for path in (folder.path, into))
        if not _is_there(target, row.written):
            _copy_file(source, target, row.written)
            copied.append(row.written.n_bytes)
        done += row.written.n_bytes
        progress("copy", done, total)
    files.sync_folder(into / SEGMENTS)
    if generation is not None:
        files.make_folder(into / CODEC / generation.name)
        n_common = _n_common(generation, codec)
        for array in arrays:
            source, target = (rows_path(at, generation.name, array) for at in (folder.path, into))
            pieces = generation.pieces(array)
            if n_new := _append_rows(source, target, pieces, n_common):
                copied.append(n_new)
            done += generation.n_bytes(array)
            progress("copy", done, total)
        files.sync_folder(into / CODEC / generation.name)
    files.sync_folder(into / CODEC)
    return copied, len(segments) + len(arrays) - len(copied)


def _n_common(generation: GenerationRow, other: GenerationRow | None) -> int:
    """How many chunks two codecs have in common."""
    if other is None or other.name != generation.name:
        return 0
    pairs = zip(generation.chunks, other.chunks, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _append_rows(source: Path, target: Path, pieces: list[Piece], n_common: int) -> int:
    """Bring a growing file up to date, and read what was copied; how many bytes that are."""
    known, total = (sum(one.n_bytes for one in some) for some in (pieces[:n_common], pieces))
    if files.size(target) < known:
        n_common = known = 0
    if known == total:
        return 0
    files.append(target, known, files.open_rows(source, total)[known:])
    try:
        files.verify_rows(target, pieces, n_common)
    except Corrupt:
        files.cut(target, known)
        files.verify_rows(source, pieces, n_common)  # says so, where the damage is there
        raise
    return total - known


def _copy_file(source: Path, target: Path, written: Written) -> None:
    """Copy a file, and read the copy: a backup of damage would be found out too late."""
    part = target.with_name(target.name + _PART)
    files.remove(part)
    files.copy(source, part)
    try:
        files.verify_arrays(part, written)
    except Corrupt:
        files.remove(part)
        files.verify_arrays(source, written)  # says so, where the damage is there
        raise
    files.move(part, target)


def _is_there(path: Path, written: Written) -> bool:
    """Whether a file is there, by its size and header; a name is given when all of it is."""
    try:
        files.open_arrays(path, written)
    except (FileNotFoundError, Corrupt):
        return False
    return True


# --- which target ---------------------------------------------------------------------------------
def _outside(folder: Folder, target: Path) -> Path:
    target = Path(target).absolute()
    own, there = folder.path.resolve(), target.resolve()
    if there == own:
        raise InputError(
            f"the target is the collection itself: {target}. Give the path of another folder."
        )
    if own in there.parents:
        raise InputError(
            f"a copy cannot lie inside the collection: {target}. Give a path outside {folder.path}."
        )
    return target


def _check_free(target: Path) -> None:
    if target.exists() and (not target.is_dir() or files.names(target)):
        what = f"holds {files.names(target)[0]!r}" if target.is_dir() else "is a file"
        if target.is_dir() and database.exists(target):
            what = "is a collection already"
        raise CollectionError(
            f"there is something at the target: {target} {what}. Give the path of a new folder."
        )


def _check_backup_of(folder: Folder, old: Catalog) -> None:
    """Refuse to overwrite what is no untouched backup of the same collection."""
    with closing(Catalog(folder.path, wait_seconds=folder.lock_wait_seconds)) as original:
        newest = original.newest().number
        mine = original.origin().collection
        theirs, commit = old.origin(), old.newest()
        why = ""
        if theirs.backup != commit.number:
            why = "no unchanged backup: it was made otherwise, or written to since"
        elif theirs.collection.partition(":")[0] != mine.partition(":")[0]:
            why = "a backup of another collection"
        elif commit.number > newest:
            why = f"a backup of commit {commit.number}, and the collection is at {newest}"
        elif commit.number > _shared(mine, theirs.collection) or not _is_past(old, original):
            why = "a backup of another history of the collection"
    if why:
        raise CollectionError(
            f"nothing is overwritten: {old.path.parent} is {why}. Give the path of a new folder."
        )


def _shared(mine: str, theirs: str) -> int:
    """The last commit of another history that is one of mine: all of them, where it is mine.

    (1) A collection is restored from its backup of commit 12, and both go on. (2) The first brings
    the backup up to its commit 15. (3) The other, at commit 20, does so too, and what the first had
    is gone.
    """
    if mine == theirs:
        return _NEVER
    fork = mine[len(theirs) :].partition("/")[0] if mine.startswith(f"{theirs}:") else ":-1"
    return int(fork[1:])


def _is_past(old: Catalog, original: Catalog) -> bool:
    """Whether a backup can be an earlier commit of this very collection, as far as rows tell.

    (1) A folder is copied by other means than these, so that both copies have one name. (2) One is
    at commit 15 and backed up. (3) The other, at commit 20, is backed up to the same folder. What
    lives in it since before 15 would live in the backup, if that were its own.
    """
    commit = old.newest()
    if original.at(commit.number) not in (None, commit):
        return False
    if not all(old.has_versions(rows) for rows in original.unchanged_since(commit.number)):
        return False
    codec, mine = old.generation(commit.number), original.generation(original.newest().number)
    if codec is None or mine is None or codec.name != mine.name:
        return True
    return _n_common(mine, codec) == min(len(mine.chunks), len(codec.chunks))


def _at(report: BackupReport, target: Path) -> BackupReport:
    return replace(report, path=str(target))

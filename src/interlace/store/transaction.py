"""The next commit while it is made: files first, then the catalog, then what readers see."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Self

from interlace import files
from interlace.errors import CollectionError
from interlace.files import Lock
from interlace.store.catalog import Catalog
from interlace.store.database import now
from interlace.store.folder import Folder
from interlace.store.rows import Commit, SegmentRow
from interlace.store.runs import POSTINGS_WAITING, WordBuffer, merge_few
from interlace.store.segment import SEGMENTS, Numbers
from interlace.types import Id


class Transaction:
    """Changes that become visible together, or not at all. Holds the write lock throughout.

    As a context manager it is abandoned when the block raises or ends without ``commit``.

    Parameters
    ----------
    folder : Folder
    let_go : callable
        Lets go of the snapshot that the store caches. Called when all files are written, so that
        what only that one sees can be purged at once, and again after COMMIT: a thread that
        searches in between caches the commit before.
    wait_seconds : float, optional
        For the write lock.
    doing : str
        What whoever waits for it is told.

    Attributes
    ----------
    catalog : Catalog
    number : int
        The commit that is being made; rows are born and die with it.
    n_documents, n_passages : int
        What will be alive; the changes keep them up to date.
    n_died : int
        Passages that the changes let die.
    next_document, next_passage : int
        The next insertion numbers.
    may_sweep : bool
        Whoever holds the shape lock as well sets it: orphans are then removed.
    """

    def __init__(
        self,
        folder: Folder,
        let_go: Callable[[], None],
        *,
        wait_seconds: float | None = None,
        doing: str = "writing",
    ) -> None:
        self._folder, self._let_go = folder, let_go
        self.may_sweep = self._attempted = self._swept = False
        self._retired: list[str] = []
        self._words = WordBuffer()
        self._lock: Lock | None = folder.write_lock(wait_seconds, doing=doing)
        try:
            self.catalog = Catalog(folder.path, wait_seconds=folder.lock_wait_seconds)
            try:
                folder.purge(self.catalog, let_go)
                last = self.catalog.begin()
            except BaseException:
                self.catalog.close()
                raise
        except BaseException:
            self._lock.release()
            raise
        self.number = last.number + 1
        self.n_documents, self.n_passages = last.n_documents, last.n_passages
        self.n_died = 0
        self.next_document, self.next_passage = last.next_document, last.next_passage

    @property
    def changed(self) -> bool:
        """Whether any row is new or different."""
        return self.catalog.n_changes > 0

    def sweep(self) -> None:
        """Remove what others left, before the first change; needs the shape lock."""
        self.may_sweep = True
        self._folder.sweep(self.catalog)
        self._swept = True

    def end_documents(self, ids: Iterable[Id]) -> int:
        """Let documents die; how many there were."""
        n_documents, n_passages = self.catalog.end_documents(ids, self.number)
        self.n_documents -= n_documents
        self.n_passages -= n_passages
        self.n_died += n_passages
        return n_documents

    def add_words(self, number: int, text: str) -> None:
        """Let lexical search find a passage of this insertion number, until it dies."""
        self._words.add(number, text)
        if len(self._words) >= POSTINGS_WAITING:
            self._write_words()

    def _write_words(self) -> None:
        self._words.write(self.catalog, self.number)
        self._words = WordBuffer()

    def add_segment(self, row: SegmentRow) -> None:
        """Add a segment that is written and synced."""
        self.catalog.add_segment(row, self.number)

    def retire(self, rows: list[SegmentRow], dropped: Numbers) -> None:
        """Let segments die that others replace, which hold all but these dead passages."""
        self._retired += [row.name for row in rows]
        self.catalog.retire_segments([row.name for row in rows], self.number)
        self.catalog.drop_passages(dropped, self.number)

    def commit(self, kind: str) -> int:
        """Make the changes durable, then visible; the commit's number.

        (1) Segment files are synced as they are written. (2) Their names are synced. (3) SQLite
        syncs its log: the commit. Power lost before (3) leaves files that no row names; after it,
        rows whose files are on the disk. In any other order a row could name a file that is not.

        What nobody can see any more goes with it, and what is much of that goes after it: (1) A
        delete of half a million documents removes them inside the closed gate, for seconds. (2) A
        process opens the collection, waits for the gate, and gives up. With the commit only its
        bound is decided then, and the commits below it go, so that nobody comes to hold one.
        """
        self.catalog.leave_origin()
        self._write_words()
        merge_few(self.catalog, self.number)
        files.sync_folder(self._folder.path / SEGMENTS)
        self._let_go()
        self._attempted = True
        is_much, oldest = False, self.number
        gate = self._folder.close_gate()
        try:
            if gate is not None:
                oldest = self._folder.oldest_reader(self.number)
                self.catalog.end_commits(oldest)
                is_much = self.catalog.is_much(oldest)
                if not is_much:
                    self.catalog.purge(oldest)
            self.catalog.commit(
                Commit(
                    self.number,
                    kind,
                    now(),
                    self.n_documents,
                    self.n_passages,
                    self.next_document,
                    self.next_passage,
                )
            )
        finally:
            if gate is not None:
                gate.release()
            self._let_go()
        if is_much:
            with suppress(CollectionError):  # the next commit purges
                self.catalog.purge_alone(oldest)
        self._folder.forget(self._retired)
        self._sweep(log_is_certain=True)
        self._end()
        return self.number

    def abandon(self) -> None:
        """Forget the changes and their files. Again, or after ``commit``, is harmless.

        After a COMMIT that failed the files stay for the next writer to sweep: what the log holds
        of it is only certain then.
        """
        if self._lock is None:
            return
        try:
            self.catalog.rollback()
            if not self._attempted:
                self._sweep(log_is_certain=self._swept)  # then what is left is its own
        finally:
            self._end()

    def _sweep(self, *, log_is_certain: bool) -> None:
        if self.may_sweep:
            with suppress(CollectionError):  # orphans harm nobody, and the next writer sweeps
                self._folder.sweep(self.catalog, log_is_certain=log_is_certain)

    def _end(self) -> None:
        lock, self._lock = self._lock, None
        try:
            self.catalog.close()  # which rolls an open transaction back
        finally:
            if lock is not None:
                lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.abandon()

"""Files and folders into a collection: what is new, changed or gone, and nothing else."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from interlace import text
from interlace.collection.batches import (
    BATCH_BYTES,
    Batch,
    Entry,
    Seen,
    entry_of,
    hash_of,
)
from interlace.collection.changes import AddReport, Changes
from interlace.collection.planning import (
    PARTLY,
    UNFINISHED,
    Plan,
    Source,
    Task,
    options_of,
    with_parents,
)
from interlace.errors import InputError, InterlaceError
from interlace.progress import Progress, silent
from interlace.store import Known
from interlace.types import Document, Skipped

#: What ends a batch: some three seconds of encoding on two cores, all that an interruption costs.
BATCH_TOKENS: Final = 100_000

#: Skipped files and records that a report names; it counts all.
_NAMED: Final = 1_000


@dataclass(slots=True)
class IndexReport(AddReport):
    """What an ``index`` or ``update`` did: ``AddReport``, and what became of the files.

    Attributes
    ----------
    n_files_new, n_files_changed, n_files_unchanged, n_files_removed : int
        Files: read for the first time; read again, because their content is another one; as they
        were, so not read; there no more, or left out now.
    n_files_kept : int
        Files that could not be looked at, or are not there with all of what was indexed: what was
        read of them stays.
    removed : int
        Documents that went with files, or are in their files no more.
    n_skipped : int
        Files and records that were not read.
    skipped : list of Skipped
        The first thousand of them, each with its reason.
    n_files_as_prose : int
        Source files cut like prose, because their grammar is not installed.
    """

    n_files_new: int = 0
    n_files_changed: int = 0
    n_files_unchanged: int = 0
    n_files_kept: int = 0
    n_files_removed: int = 0
    removed: int = 0
    n_skipped: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    n_files_as_prose: int = 0

    @property
    def has_changed(self) -> bool:
        """Whether the collection holds anything else than before."""
        return bool(self.added or self.replaced or self.removed)

    def skip(self, skipped: Skipped) -> None:
        """Count what was not read, and name it while there is room."""
        self.n_skipped += 1
        if len(self.skipped) < _NAMED:
            self.skipped.append(skipped)


def carry_out(
    plan: Plan,
    report: IndexReport,
    writer: Callable[[Callable[[int, int], None]], Changes],
    progress: Progress = silent,
) -> IndexReport:
    """Do what a plan says, in commits of some 100,000 tokens.

    What a file gave, what it gives no more, and its fingerprint go in with its last commit: when
    the work is cut off, the file counts as changed the next time, and what is stored of it is not
    encoded again.

    Parameters
    ----------
    plan : Plan
    report : IndexReport
        Is added to, and returned.
    writer : callable
        Begins a commit; it is given who hears how many characters and tokens have been encoded.
    progress : Progress
        Told ``("read", characters, of an estimated number)``, ``("files", files, of how many)`` and
        ``("tokens", tokens, None)``.

    Raises
    ------
    InterlaceError
        With ``committed``, the number of documents that are stored.
    """
    workload = _Workload(plan.tasks)
    run = _Run(plan, report, workload)

    def heard(n_characters: int, n_tokens: int) -> None:
        workload.encoded(n_characters, n_tokens)
        progress("files", workload.n_files, len(plan.tasks))
        progress("tokens", workload.n_tokens, None)
        progress("read", workload.n_done, max(workload.n_done, workload.total))

    report.n_files_unchanged += len(plan.unchanged)
    report.n_files_kept += len(plan.kept - plan.unchanged)
    try:
        with writer(heard) as changes:
            run.begin(changes)
        for batch in run.batches():
            changes = writer(heard)
            changes.prepare(Batch(batch.entries, 0), "replace")
            with changes:
                run.store(changes, batch)
        if plan.gone:
            with writer(heard) as changes:
                run.end(changes)
    except InterlaceError as error:
        error.committed = report.n_documents
        raise
    return report


@dataclass(slots=True)
class _FileRead:
    """A file on its way in.

    Attributes
    ----------
    task : Task
    ids : set of int
        Hashes of the ids that it gave.
    failed : list of str
        What of it could not be read: its own name, or those of files in it.
    is_whole : bool
        Whether nothing of it was skipped.
    """

    task: Task
    ids: set[int] = field(default_factory=set)
    failed: list[str] = field(default_factory=list)
    is_whole: bool = True


@dataclass(slots=True)
class _Batch:
    """Entries for one commit, the file of each by its position, and the files that end here."""

    entries: list[Entry] = field(default_factory=list)
    files: dict[int, _FileRead] = field(default_factory=dict)
    finished: list[_FileRead] = field(default_factory=list)
    n_bytes: int = 0
    n_tokens: int = 0

    def add(self, entry: Entry, file: _FileRead) -> None:
        self.entries.append(entry)
        self.files[entry.position] = file
        self.n_bytes += entry.n_bytes
        self.n_tokens += entry.n_tokens

    @property
    def is_full(self) -> bool:
        return self.n_bytes >= BATCH_BYTES or self.n_tokens >= BATCH_TOKENS


class _Run:
    """One carrying out of a plan."""

    def __init__(self, plan: Plan, report: IndexReport, workload: _Workload) -> None:
        self._plan, self._report, self._workload = plan, report, workload
        self._seen = Seen()
        self._numbers: dict[str, int] = {}
        self._settled = plan.unchanged | plan.kept
        self._positions = count()

    def begin(self, changes: Changes) -> None:
        """Take note of the sources."""
        for source in self._plan.sources:
            number = changes.writer.add_source(
                str(source.path), source.label, options_of(source.reading)
            )
            self._numbers[source.label] = number
            for inner in self._plan.absorbed:
                if source.path in inner.path.parents:
                    self._absorb(changes, inner, number)

    def _absorb(self, changes: Changes, inner: Source, number: int) -> None:
        """End a source that lies in another one, which has its files from now on."""
        assert inner.number is not None
        for name, fingerprint in changes.writer.files(inner.number).items():
            changes.writer.set_file(name, number, fingerprint)
        changes.writer.forget_source(inner.number)

    def batches(self) -> Iterator[_Batch]:
        """Read files: entries for one commit, and the files that end with them."""
        batch = _Batch()
        for file in map(_FileRead, self._plan.tasks):
            for entry in self._read(file):
                batch.add(entry, file)
                if batch.is_full:
                    yield batch
                    batch = _Batch()
            self._workload.finish(file.task)
            batch.finished.append(file)
        if batch.finished:
            yield batch

    def _read(self, file: _FileRead) -> Iterator[Entry]:
        task, reading = file.task, file.task.source.reading
        is_prose = False
        found = text.read_file(task.found, format=reading.format, fields=reading.fields)
        for one in found:
            if isinstance(one, Skipped):
                self._skip(file, one)
                continue
            self._workload.read(task, len(one.text))
            is_prose |= one.syntax is not None and text.lacks_grammar(one.syntax)
            try:
                entry = entry_of(next(self._positions), text.checked(one, _where(one)))
            except InputError as error:
                self._skip(file, Skipped(_where(one), str(error)))
                continue
            file.ids.add(hash_of(entry.id))
            yield entry
        self._report.n_files_as_prose += is_prose

    def _skip(self, file: _FileRead, skipped: Skipped) -> None:
        self._report.skip(skipped)
        file.is_whole = False
        if skipped.failed:
            file.failed.append(skipped.where)

    def store(self, changes: Changes, batch: _Batch) -> None:
        """Store a batch, and what its files end with."""

        def refuse(entry: Entry, why: str) -> None:
            skipped = Skipped(_where(entry.document), f"{why}; give it another")
            self._skip(batch.files[entry.position], skipped)

        def repeated(entry: Entry) -> None:
            # The same row again in a table whose rows have no ids is one document.
            if not str(entry.id).endswith(text.identify(entry.document.text)):
                refuse(entry, f"its id {entry.id!r} came before")

        new = self._seen.new(batch.entries, repeated=repeated)
        known = changes.writer.known([entry.id for entry in new.entries])
        mine = []
        for entry in new.entries:
            if (owner := self._owner(entry, known.get(entry.id))) is None:
                mine.append(entry)
            else:
                refuse(entry, f"its id {entry.id!r} is that of a document in {owner}")
        for file in batch.files.values():
            if file.task.before is None:  # what is stored of it must be found if it ends here
                self._note(changes, file, UNFINISHED)
        self._report += changes.take(new._replace(entries=mine), "replace")
        for file in batch.finished:
            self._finish(changes, file)

    def _finish(self, changes: Changes, file: _FileRead) -> None:
        task, name = file.task, file.task.found.name
        self._settled.add(name)
        if name in file.failed:
            return
        kept = {id_ for where in file.failed for id_ in changes.writer.ids_of_file(where)}
        stale = [
            id_
            for id_ in changes.writer.ids_of_file(name)
            if hash_of(id_) not in file.ids and id_ not in kept
        ]
        self._report.removed += changes.delete(stale)
        if not file.ids and not kept:  # it is named as skipped each time, so it is not known
            if task.before is not None:
                changes.writer.forget_file(name)
                self._report.n_files_removed += 1
            return
        self._note(changes, file, task.fingerprint + ("" if file.is_whole else PARTLY))
        if task.is_new:
            self._report.n_files_new += 1
        elif task.is_same:
            self._report.n_files_unchanged += 1
        else:
            self._report.n_files_changed += 1

    def _note(self, changes: Changes, file: _FileRead, fingerprint: str) -> None:
        source = self._numbers[file.task.source.label]
        changes.writer.set_file(file.task.found.name, source, fingerprint)

    def end(self, changes: Changes) -> None:
        """Remove what is gone; last, so that a record that moved to another file is not encoded
        again.
        """
        for name in self._plan.gone:
            self._report.removed += changes.delete(changes.writer.ids_of_file(name))
            changes.writer.forget_file(name)
            self._report.n_files_removed += 1

    def _owner(self, entry: Entry, known: Known | None) -> str | None:
        """Another file that has a document of this id, if it is as it should be by now."""
        if known is None or known.file is None or known.file == entry.document.file:
            return None
        return None if self._settled.isdisjoint(with_parents(known.file)) else known.file


def _where(document: Document) -> str:
    line = "" if document.line is None else f", line {document.line}"
    return f"{document.file}{line}"


class _Workload:
    """How many characters there are to encode: known for what was read, estimated for the rest.

    Bytes tell little: a PDF has a twentieth of its size in text. So each kind of file has a rate,
    characters a byte, which what was read of the kind corrects.
    """

    #: What a rate begins with, and how many bytes it takes to shake it.
    _RATES: Final = {
        ".pdf": 0.05, ".docx": 0.2, ".odt": 0.2, ".epub": 0.4, ".pptx": 0.02, ".xlsx": 2.0,
        ".html": 0.4, ".htm": 0.4, ".gz": 3.0, ".zip": 3.0,
    }  # fmt: skip
    _PRIOR_BYTES: Final = 20_000

    def __init__(self, tasks: list[Task]) -> None:
        self.n_done = self.n_tokens = self.n_files = 0
        self._ends: deque[int] = deque()
        self._n_bytes_left: dict[str, int] = {}
        self._read: dict[str, list[float]] = {}
        self._n_known = self._n_current = 0
        for task in tasks:
            kind = _kind(task)
            self._n_bytes_left[kind] = self._n_bytes_left.get(kind, 0) + task.found.n_bytes
            prior = self._RATES.get(kind, 1.0)
            self._read.setdefault(kind, [prior * self._PRIOR_BYTES, self._PRIOR_BYTES])

    def read(self, task: Task, n_characters: int) -> None:
        """A document came out of a file."""
        self._n_current += n_characters

    def finish(self, task: Task) -> None:
        """All of a file is read."""
        kind = _kind(task)
        self._n_bytes_left[kind] -= task.found.n_bytes
        self._read[kind][0] += self._n_current
        self._read[kind][1] += task.found.n_bytes
        self._n_known += self._n_current
        self._n_current = 0
        self._ends.append(self._n_known)

    def encoded(self, n_characters: int, n_tokens: int) -> None:
        """So much more is encoded, in the order it was read in."""
        self.n_done += n_characters
        self.n_tokens += n_tokens
        while self._ends and self._ends[0] <= self.n_done:
            self._ends.popleft()
            self.n_files += 1

    @property
    def total(self) -> int:
        """The estimate of all."""
        left = sum(
            n_bytes * self._read[kind][0] / self._read[kind][1]
            for kind, n_bytes in self._n_bytes_left.items()
        )
        return self._n_known + max(self._n_current, int(left))


def _kind(task: Task) -> str:
    return task.found.path.suffix.lower()

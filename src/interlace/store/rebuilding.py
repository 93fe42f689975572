"""All documents encoded anew beside what is there, and switched to in one commit.

Documents, texts and metadata stay as they are. A passage that is cut as before keeps its number and
its row; what changes is where its tokens are: other segments, another codec, other settings.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from interlace import files
from interlace.chance import draws
from interlace.progress import Progress, silent
from interlace.store.buffering import Buffer, gathered
from interlace.store.catalog import Catalog
from interlace.store.compaction import Size, choose_settled
from interlace.store.folder import Folder
from interlace.store.parts import Parts
from interlace.store.rows import CutRow, SegmentRow, StoredDocument, headings_json
from interlace.store.runs import POSTINGS_WAITING, WordBuffer, copy
from interlace.store.segment import CODEC, FRESH, SEGMENTS, Numbers, in_memory
from interlace.store.settings import Settings
from interlace.store.settling import Coder, held
from interlace.store.transaction import Transaction
from interlace.store.writing import write_fresh, write_settled
from interlace.types import Document, Encoded, Passage

_FEW = 32
"""Documents that came meanwhile and are encoded while other writers wait."""

_PATIENCE_SECONDS = 3_600.0
"""For the write lock, after what may have been hours of encoding."""

_RESERVED = 65_536
"""Insertion numbers of passages that are taken together: each time is a commit."""

_NOTED = 0
"""The commit that the noted runs of words are born with: another is theirs in the end."""

_NOTHING: Numbers = np.empty(0, np.int64)

Encode: TypeAlias = Callable[
    [Iterator[Document]], Iterator[tuple[str, Sequence[Passage], Iterable[Encoded]]]
]
"""For each document, in order, its content hash, its passages and the matrix of each; those are
read to their end before the next document is asked for."""


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """What a rebuild did.

    Attributes
    ----------
    n_documents, n_passages, n_tokens : int
        Encoded; those of documents that were deleted meanwhile among them.
    n_recut : int
        Documents that have other passages than before.
    n_meanwhile : int
        Documents that came, or were replaced, while it ran.
    n_empty : int
        Documents without a single token.
    trained : bool
        Whether a codec was trained; a small collection needs none.
    """

    n_documents: int = 0
    n_passages: int = 0
    n_tokens: int = 0
    n_recut: int = 0
    n_meanwhile: int = 0
    n_empty: int = 0
    trained: bool = False


def rebuild(
    folder: Folder,
    let_go: Callable[[], None],
    settings: Settings,
    encode: Encode,
    *,
    known_until: int | None = None,
    may_train: bool = True,
    progress: Progress = silent,
) -> RebuildReport:
    """Encode all documents under other settings, and switch to those as one commit.

    (1) Under the shape lock the documents are read and encoded; others may search, add and delete.
    (2) What they add is encoded in turn, until little is left. (3) Under the write lock the rest
    is, and one transaction names the new segments, retires all old ones and replaces the settings.
    A document that died between (1) and (3) needs care only where it was cut anew: rows for its
    passages are born dead, for the new segments hold them. Until (3) no row names a new file, so
    a failure leaves the collection as it was, and files that are swept.

    Parameters
    ----------
    encode : Encode
    known_until : int, optional
        Document numbers below it are encoded first, and in their order. Without it a sample of a
        large collection comes first, on which the codec is trained.
    may_train : bool
        Whether a codec may be trained that there was none of before.
    """
    with (
        closing(Catalog(folder.path, wait_seconds=folder.lock_wait_seconds)) as catalog,
        folder.shape_lock("rebuilding"),
        folder.swept(catalog, let_go),
        ExitStack() as holding,
    ):
        number, reader = folder.hold(catalog)
        if reader is not None:
            holding.enter_context(reader)  # the texts of what dies meanwhile stay readable
        old = folder.at(catalog, number)
        build = _Build(old.under(settings), catalog, let_go, encode, progress)
        commit = catalog.at(number)
        assert commit is not None
        seen = commit.next_document if known_until is None else known_until
        numbers = catalog.document_numbers(number, end=seen)
        build.total = len(numbers)
        first, rest = numbers, _NOTHING
        if known_until is None:
            first, rest = _sample(catalog, settings, numbers, number)
        build.take(number, first)
        expected = build.n_tokens * len(numbers) // max(1, len(first))
        is_due = may_train and expected > settings.first_budget_tokens
        if build.n_tokens and (is_due or catalog.generation(number) is not None):
            build.settle(expected)
        build.take(number, rest)
        build.catch_up(seen)
        with Transaction(
            folder, let_go, wait_seconds=_PATIENCE_SECONDS, doing="rebuilding"
        ) as transaction:
            transaction.may_sweep = True
            build.finish(transaction)
            _switch(transaction, build, catalog)
            holding.close()  # so that what only older commits see can go at once
            transaction.commit("rebuild")
        return build.report(len(numbers))


def _sample(
    catalog: Catalog, settings: Settings, numbers: Numbers, commit: int
) -> tuple[Numbers, Numbers]:
    """Documents to train a codec on, and the others; all are first when they are few.

    How many tokens they have is only known of the old segments.
    """
    rows = catalog.segments(commit)
    n_tokens = sum(row.n_tokens for row in rows)
    room = settings.sample_tokens_max
    if not any(row.generation for row in rows):
        room = max(room, settings.first_budget_tokens)
    if n_tokens <= room:
        return numbers, _NOTHING
    order = np.argsort(draws(len(numbers), settings.seed), kind="stable")
    n = max(1, len(numbers) * room // n_tokens)
    return np.sort(numbers[order[:n]]), np.sort(numbers[order[n:]])


def _switch(transaction: Transaction, build: _Build, notes: Catalog) -> None:
    """Put the new segments, and what was noted, in place of all that is there."""
    catalog, number = transaction.catalog, transaction.number
    retired = catalog.segments(number)
    for documents in notes.noted_documents():
        catalog.end_passages(documents, number)
    for rows in notes.noted_cuts():
        catalog.add_cuts(rows, number)
    for hashes in notes.noted_content_hashes():
        catalog.set_content_hashes(hashes)
    transaction.n_passages = catalog.n_live_passages()
    dead = catalog.dead_passages(number)
    kept = held([build.folder.segment(row) for row in build.rows], dead)
    transaction.retire(retired, np.setdiff1d(dead, kept))
    catalog.end_generation(number)
    build.record(transaction)
    catalog.replace_settings(build.folder.settings.to_json(), number)
    catalog.replace_tuned(None, number)  # it was measured on what is no more


class _Build:
    """New segments of all documents, in files that nobody knows before ``record``.

    Attributes
    ----------
    folder : Folder
        Under the new settings.
    total : int
        Documents to encode, as far as is known.
    n_tokens : int
        Encoded so far.
    """

    def __init__(
        self,
        folder: Folder,
        catalog: Catalog,
        let_go: Callable[[], None],
        encode: Encode,
        progress: Progress,
    ) -> None:
        self.folder, self.total, self.n_tokens = folder, 0, 0
        self._catalog, self._let_go, self._encode = catalog, let_go, encode
        self._progress = progress
        self._buffer, self._words = Buffer(folder), WordBuffer()
        self._fresh: list[SegmentRow] = []
        self._coder: Coder | None = None
        self._transaction: Transaction | None = None
        self._first_unseen = self._next_passage = self._n_reserved = 0
        self._n_documents = self._n_passages = self._n_recut = self._n_empty = 0
        catalog.begin_rebuild()

    @property
    def rows(self) -> list[SegmentRow]:
        """The segments so far."""
        return [*self._fresh, *(self._coder.rows if self._coder is not None else ())]

    def report(self, n_known: int) -> RebuildReport:
        """What was done; ``n_known`` documents were there at the beginning."""
        return RebuildReport(
            n_documents=self._n_documents,
            n_passages=self._n_passages,
            n_tokens=self.n_tokens,
            n_recut=self._n_recut,
            n_meanwhile=self._n_documents - n_known,
            n_empty=self._n_empty,
            trained=self._coder is not None,
        )

    # --- documents -------------------------------------------------------------------------------
    def take(self, commit: int, numbers: Numbers) -> None:
        """Encode the documents of these numbers, which are alive at a commit."""
        waiting: deque[StoredDocument] = deque()

        def documents() -> Iterator[Document]:
            for stored in self._catalog.whole_documents(commit, numbers):
                waiting.append(stored)
                row = stored.row
                yield Document(row.text, row.id, {}, row.syntax, row.file, row.line)

        for content_hash, passages, encoded in self._encode(documents()):
            self._add(waiting.popleft(), content_hash, passages, encoded)
            self._progress("encode", self._n_documents, self.total)
        assert not waiting, waiting[0].row.id

    def catch_up(self, first: int) -> None:
        """Encode what others add, from this document number on, until few are left.

        When they are quicker than this, it ends as well: then they have to wait.
        """
        n_before = -1
        while True:
            newest = self._catalog.newest()
            numbers = self._catalog.document_numbers(newest.number, first)
            if len(numbers) <= _FEW or 0 <= n_before <= len(numbers):
                break
            self.total += len(numbers)
            self.take(newest.number, numbers)
            first, n_before = newest.next_document, len(numbers)
        self._flush()
        self._first_unseen = first

    def finish(self, transaction: Transaction) -> None:
        """Encode the rest; with the write lock held, nobody adds more."""
        self._transaction = transaction
        before = transaction.number - 1
        numbers = self._catalog.document_numbers(before, self._first_unseen)
        self.total += len(numbers)
        self.take(before, numbers)
        self._flush()

    def _add(
        self,
        stored: StoredDocument,
        content_hash: str,
        passages: Sequence[Passage],
        encoded: Iterable[Encoded],
    ) -> None:
        lengths, tokens = gathered(self.folder, stored.row.id, encoded)
        assert len(passages) == len(lengths), (len(passages), len(lengths))
        number = stored.row.number
        if [_cut(one) for one in passages] == [
            (old.ordinal, old.start, old.end, old.page, old.headings) for old in stored.passages
        ]:
            first = stored.passages[0].number if len(passages) else 0
        else:
            first = self._reserve(len(passages))
            self._catalog.note_cut(number, _cut_rows(stored, first, passages))
            for i, passage in enumerate(passages):
                self._words.add(first + i, passage.text)
            if len(self._words) >= POSTINGS_WAITING:
                self._write_words()
            self._n_recut += 1
        if content_hash != stored.row.content_hash:
            self._catalog.note_content_hash(number, content_hash)
        n_tokens = int(lengths.sum())
        self._n_documents += 1
        self._n_passages += len(passages)
        self._n_empty += not n_tokens
        self.n_tokens += n_tokens
        if len(passages):
            self._buffer.add(number, first, lengths, tokens)
        if self._buffer.n_tokens >= self.folder.settings.buffer_tokens_max:
            self._flush()

    def _reserve(self, n: int) -> int:
        """The first of ``n`` insertion numbers that no other passage gets.

        Other writers go on numbering meanwhile, so a run of numbers is taken from them by a commit.
        """
        if self._transaction is not None:
            self._transaction.next_passage += n
            return self._transaction.next_passage - n
        if n > self._n_reserved:
            self._n_reserved = max(n, _RESERVED)
            with Transaction(
                self.folder, self._let_go, wait_seconds=_PATIENCE_SECONDS
            ) as transaction:
                self._next_passage = transaction.next_passage
                transaction.next_passage += self._n_reserved
                transaction.commit("reserve")
        self._next_passage += n
        self._n_reserved -= n
        return self._next_passage - n

    # --- files -----------------------------------------------------------------------------------
    def _write_words(self) -> None:
        self._words.write(self._catalog, _NOTED)
        self._words = WordBuffer()

    def _flush(self) -> None:
        """Write what is buffered: settled when it is much and there is a codec, else fresh."""
        part = self._buffer.take()
        if part is None:
            return
        parts = Parts([in_memory(FRESH, part)], _NOTHING)  # which puts numbers in order
        if self._coder is not None and part.n_tokens > self.folder.settings.fresh_budget_tokens:
            self._coder.encode(parts)
            self._merge(self._coder)
        else:
            self._fresh.append(write_fresh(self.folder.path, parts.part(0, len(parts))))

    def settle(self, n_tokens: int) -> None:
        """Train a codec on what there is, for as many tokens as there will be, and compress it."""
        self._flush()
        spool, self._fresh = self._fresh, []
        parts = Parts([self.folder.segment(row) for row in spool], _NOTHING)
        inside = files.names(self.folder.path / CODEC)  # a system may refuse to remove mapped files
        taken = self._catalog.generation_names().union(inside)
        self._coder = Coder(self.folder, None, 0, self._progress, taken=taken)
        self._coder.train(parts, n_tokens)
        self._coder.encode(parts)
        self._remove(spool)
        self._merge(self._coder)

    def _merge(self, coder: Coder) -> None:
        """Keep the settled segments few."""
        sizes = [Size(row.n_passages, row.n_tokens, 0) for row in coder.rows]
        for group in choose_settled(sizes):
            chosen = [coder.rows[i] for i in group]
            parts = Parts([self.folder.segment(row) for row in chosen], _NOTHING)
            merged = write_settled(
                self.folder.path, parts, chosen[0].generation or "", self.folder.width
            )
            coder.rows = [row for row in coder.rows if row not in chosen] + [merged]
            self._remove(chosen)

    def _remove(self, rows: Sequence[SegmentRow]) -> None:
        self.folder.forget(row.name for row in rows)
        for row in rows:
            files.remove(self.folder.path / SEGMENTS / row.file_name)

    # --- the switch ------------------------------------------------------------------------------
    def record(self, transaction: Transaction) -> None:
        """Name in the catalog all that was written."""
        self._write_words()
        for run in self._catalog.runs(_NOTED):
            copy(run, self._catalog, transaction.catalog, 0, transaction.number)
        for row in self._fresh:
            transaction.add_segment(row)
        if self._coder is not None:
            self._coder.record(transaction)


def _cut(passage: Passage) -> tuple[int, int, int, int | None, str | None]:
    """What tells whether a document is cut as it was; lines may have moved since."""
    headings = headings_json(passage.headings)
    return passage.number, passage.start, passage.end, passage.page, headings


def _cut_rows(stored: StoredDocument, first: int, passages: Sequence[Passage]) -> Iterator[CutRow]:
    """Lines are counted from the document's own, which may come or move before the switch."""
    row, before, n_lines = stored.row, 0, 0
    for i, passage in enumerate(passages):
        if row.line is None or passage.line is None:
            n_lines += row.text.count("\n", before, passage.start)
            before = passage.start
        else:
            n_lines = passage.line - row.line
        yield CutRow(
            first + i,
            row.number,
            passage.number,
            passage.start,
            passage.end,
            n_lines,
            passage.page,
            headings_json(passage.headings),
        )

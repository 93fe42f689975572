"""Damaged segments made again, from the catalog's texts and what a model makes of them.

Passages keep their insertion numbers, so no row changes; what is sound is not touched.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from interlace.progress import Progress, silent
from interlace.store.buffering import quantised
from interlace.store.catalog import Catalog
from interlace.store.folder import Folder
from interlace.store.mending import LostDocument
from interlace.store.parts import Parts, joined
from interlace.store.rows import GenerationRow, SegmentRow
from interlace.store.segment import FRESH, SEGMENTS, SETTLED, Numbers, Part, Segment, in_memory
from interlace.store.settling import Coder
from interlace.store.transaction import Transaction
from interlace.store.verify import Finding, Reading
from interlace.store.writing import write_fresh
from interlace.types import Encoded, Id

NAMED: Final = 100
"""Ids of lost documents that a report names; it counts all."""

_PATIENCE_SECONDS = 3_600.0
"""For the write lock, after what may have been hours of encoding."""

_NOTHING: Numbers = np.empty(0, np.int64)

Judge: TypeAlias = Callable[[LostDocument], bool]
"""Whether a document can be encoded again."""

Encode: TypeAlias = Callable[
    [Iterator[LostDocument]], Iterator[tuple[LostDocument, Iterable[Encoded]]]
]
"""For each document, in order, the matrices of its passages; they are read to their end before the
next document is asked for."""


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What a repair did.

    Attributes
    ----------
    n_files : int
        Damaged files of segments and codecs that were replaced, and are swept when nobody reads
        them any more.
    n_passages, n_tokens : int
        Encoded again.
    n_lost : int
        Documents that cannot be made again: their text is damaged, or their embeddings came from
        elsewhere.
    lost : list of str or int
        The ids of the first hundred.
    n_dropped : int
        Documents of those that were deleted.
    mended : tuple of str
        What was wrong with the catalog, and is not any more.
    problems : tuple of str
        What is still wrong, a sentence each.
    """

    n_files: int = 0
    n_passages: int = 0
    n_tokens: int = 0
    n_lost: int = 0
    lost: tuple[Id, ...] = ()
    n_dropped: int = 0
    mended: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong any more."""
        return not self.problems


def repair(
    folder: Folder,
    let_go: Callable[[], None],
    judge: Judge,
    encode: Encode,
    *,
    drop_lost: bool = False,
    progress: Progress = silent,
) -> RepairReport:
    """Make every damaged segment and codec again, as one commit.

    (1) Under the shape lock everything is read, as ``verify`` does, and what no sound segment holds
    is encoded into new files; others search and write meanwhile. (2) One transaction names them
    and retires what is damaged. A document that died in between needs no care: tombstones name
    passages, wherever those are held. A failure before (2) leaves the collection as it was.

    When something cannot be made again and may not be dropped, all files stay as they are, and
    only the catalog is mended.
    """
    with (
        closing(Catalog(folder.path, wait_seconds=folder.lock_wait_seconds)) as catalog,
        folder.shape_lock("repairing"),
        ExitStack() as holding,
    ):
        with folder.write_lock(doing="repairing"):
            mended = tuple(catalog.mend_indexes())
        if structure := catalog.structure():  # what it says of files must not be believed
            return RepairReport(mended=mended, problems=tuple(structure))
        holding.enter_context(folder.swept(catalog, let_go))
        number, reader = folder.hold(catalog)
        if reader is not None:
            holding.enter_context(reader)  # the texts of what dies meanwhile stay readable
        folder = folder.at(catalog, number)
        damage = _look(folder, catalog, number, progress)
        gone = damage.gone(judge)
        report = RepairReport(n_lost=len(gone), lost=tuple(gone.values())[:NAMED], mended=mended)
        left: list[str] = []
        if (gone or len(damage.ownerless)) and not drop_lost:
            left = [finding.sentence for finding in damage.findings if finding.file is not None]
            damage, gone = damage.of_catalog(catalog.generation(number)), {}
        if not damage.findings:
            return replace(report, problems=tuple(left))
        made = _Made(folder, damage.generation, damage.n_settled_tokens)
        n_documents = len(np.setdiff1d(damage.owners, np.array(list(gone), np.int64)))
        made.take(damage.documents(without=gone), encode, n_documents, progress)
        with Transaction(
            folder, let_go, wait_seconds=_PATIENCE_SECONDS, doing="repairing"
        ) as transaction:
            transaction.may_sweep = True
            made.record(transaction)
            _switch(folder, transaction, damage, list(gone))
            holding.close()  # so that what only older commits see can go at once
            transaction.commit("repair")
        return replace(
            report,
            n_files=len(damage.files),
            n_passages=made.n_passages,
            n_tokens=made.n_tokens,
            n_dropped=len(gone),
            problems=(*catalog.problems(catalog.newest().number), *left),
        )


def _write_words(transaction: Transaction) -> None:
    """Write the words of all live passages again, in place of all runs."""
    catalog = transaction.catalog
    catalog.retire_all_runs(transaction.number)
    passages, owners = catalog.live_passages(transaction.number)
    for document in _by_document(catalog, passages, owners):
        for number, start, end in document.passages:
            transaction.add_words(number, document.text[start:end])


def _by_document(
    catalog: Catalog, passages: Numbers, owners: Numbers, left_out: Container[int] = ()
) -> Iterator[LostDocument]:
    """Documents with some of their passages, one text in memory at a time."""
    order = np.lexsort((passages, owners))
    pairs = zip(owners[order].tolist(), passages[order].tolist(), strict=True)
    for owner, group in groupby(pairs, key=itemgetter(0)):
        if owner not in left_out:
            yield catalog.lost_document(owner, [passage for _, passage in group])


# --- what is damaged -----------------------------------------------------------------------------
class _Damage(NamedTuple):
    """What is wrong at a commit, and what no sound segment holds.

    Attributes
    ----------
    generation : GenerationRow or None
        The codec, unless it is to be trained anew.
    damaged : list of SegmentRow
        To be retired.
    files : set of Path
        To be replaced.
    passages, owners : (n,) int64
        Live passages that no sound segment holds, and their documents.
    broken : mapping of int to str or int
        Documents of which the catalog has lost something.
    ownerless : (n,) int64
        Passages of no document.
    words : bool
        Whether the lexical index is damaged.
    fields : bool
        Whether the index of metadata is.
    """

    catalog: Catalog
    findings: list[Finding]
    generation: GenerationRow | None
    sound: list[Segment]
    damaged: list[SegmentRow]
    files: set[Path]
    passages: Numbers
    owners: Numbers
    broken: dict[int, Id]
    ownerless: Numbers
    words: bool
    fields: bool

    @property
    def n_settled_tokens(self) -> int:
        """Tokens in sound settled segments."""
        return sum(one.row.n_tokens for one in self.sound if one.row.kind == SETTLED)

    def of_catalog(self, generation: GenerationRow | None) -> _Damage:
        """What can be mended while all files stay as they are."""
        return self._replace(
            findings=[finding for finding in self.findings if finding.file is None],
            generation=generation,
            damaged=[],
            files=set(),
            passages=_NOTHING,
            owners=_NOTHING,
            ownerless=_NOTHING,
        )

    def documents(self, without: Iterable[int] = ()) -> Iterator[LostDocument]:
        """Documents with passages to encode again, one text in memory at a time."""
        left_out = {*without, *self.broken}
        return _by_document(self.catalog, self.passages, self.owners, left_out)

    def gone(self, judge: Judge) -> dict[int, Id]:
        """Documents that cannot be made again: ids by insertion number."""
        judged = {one.number: one.id for one in self.documents() if not judge(one)}
        return dict(sorted({**judged, **self.broken}.items()))


def _look(folder: Folder, catalog: Catalog, number: int, progress: Progress) -> _Damage:
    reading = Reading(folder, catalog, number)
    findings = list(reading.findings(progress))
    files = {finding.file for finding in findings if finding.file is not None}
    generation, sound = catalog.generation(number), reading.sound
    segments = folder.path / SEGMENTS
    if any(file.parent != segments for file in files):
        generation, sound = None, [one for one in sound if one.row.kind == FRESH]
    kept = {segment.row.name for segment in sound}
    alive, owners = catalog.live_passages(number)
    held = np.concatenate([_NOTHING, *(segment.passages for segment in sound)])
    ownerless = catalog.passages_without_document(number)
    lost = ~np.isin(alive, np.concatenate([held, ownerless]))
    return _Damage(
        catalog,
        findings,
        generation,
        sound,
        [row for row in catalog.segments(number) if row.name not in kept],
        files,
        alive[lost],
        owners[lost],
        catalog.broken_documents(number),
        ownerless,
        any(True for _ in catalog.word_problems(number)),
        any(True for _ in catalog.unlike_metadata(number)),
    )


# --- what is made again --------------------------------------------------------------------------
class _Made:
    """New segments, in files that nobody knows before ``record``.

    Attributes
    ----------
    n_passages, n_tokens : int
        In them.
    """

    def __init__(self, folder: Folder, generation: GenerationRow | None, n_settled: int) -> None:
        self.n_passages = self.n_tokens = 0
        self._folder, self._generation, self._n_settled = folder, generation, n_settled
        self._coder: Coder | None = None
        self._fresh: list[SegmentRow] = []
        self._waiting: list[Part] = []
        self._n_waiting = 0

    @property
    def rows(self) -> list[SegmentRow]:
        """The segments so far."""
        return [*self._fresh, *(self._coder.rows if self._coder is not None else ())]

    def take(
        self, documents: Iterator[LostDocument], encode: Encode, total: int, progress: Progress
    ) -> None:
        """Encode some passages of documents, and write them."""
        settings = self._folder.settings
        for done, (document, encoded) in enumerate(encode(documents), 1):
            lengths, tokens = quantised(self._folder, document.id, encoded)
            numbers = np.array([number for number, _, _ in document.passages], np.int64)
            assert len(numbers) == len(lengths), (len(numbers), len(lengths))
            part = Part(numbers, np.full_like(numbers, document.number), lengths, tokens)
            self._waiting.append(part)
            self._n_waiting += part.n_tokens
            self.n_passages += len(numbers)
            self.n_tokens += part.n_tokens
            progress("encode", done, total)
            if self._n_waiting >= settings.buffer_tokens_max:
                self._flush()
        self._flush()

    def _flush(self) -> None:
        """Write what waits: settled when it is much and there is a codec, else fresh."""
        if not self._waiting:
            return
        part, self._waiting, self._n_waiting = joined(self._waiting), [], 0
        parts = Parts([in_memory(FRESH, part)], _NOTHING)  # which puts numbers in order
        is_much = part.n_tokens > self._folder.settings.fresh_budget_tokens
        if self._generation is None or not is_much:
            self._fresh.append(write_fresh(self._folder.path, parts.part(0, len(parts))))
            return
        if self._coder is None:
            self._coder = Coder(self._folder, self._generation, self._n_settled)
        self._coder.encode(parts)

    def record(self, transaction: Transaction) -> None:
        """Name in the catalog all that was written."""
        for row in self._fresh:
            transaction.add_segment(row)
        if self._coder is not None:
            self._coder.record(transaction)


def _switch(folder: Folder, transaction: Transaction, damage: _Damage, gone: list[int]) -> None:
    """Put what was made in place of what is damaged, drop what is gone, and count again."""
    catalog, number = transaction.catalog, transaction.number
    if gone or len(damage.ownerless):
        catalog.end_numbers(gone, damage.ownerless.tolist(), number)
    if damage.damaged:
        retired = {row.name for row in damage.damaged}
        kept = folder.mapped(row for row in catalog.segments(number) if row.name not in retired)
        held = np.concatenate([_NOTHING, *(segment.passages for segment in kept)])
        dropped = np.setdiff1d(catalog.dead_passages(number), held)
        transaction.retire(damage.damaged, dropped)
    if damage.generation is None:
        catalog.end_generation(number)
    if damage.words:
        _write_words(transaction)
    if damage.fields:
        for document, metadata in list(catalog.unlike_metadata(number)):
            catalog.replace_values(document, metadata, number)
    n_documents, n_passages, next_document, next_passage = catalog.live_counts()
    transaction.n_documents, transaction.n_passages = n_documents, n_passages
    transaction.next_document = max(transaction.next_document, next_document)
    transaction.next_passage = max(transaction.next_passage, next_passage)

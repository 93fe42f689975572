"""What a reader sees: one commit, for as long as it is held, whatever writers do meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from interlace.codec import Coded, Generation
from interlace.errors import CollectionError, Corrupt
from interlace.files import Lock
from interlace.kernels import Handle, Kernels, unrotate
from interlace.store.buffering import Prepared, quantised
from interlace.store.catalog import Catalog
from interlace.store.filtering import Cache, Filtering, Universe, documents_where, ids_where
from interlace.store.folder import Folder, joined_numbers, missing
from interlace.store.lexical import Lexicon, WordScores
from interlace.store.rows import Commit, SegmentRow, SourceRow, StoredPassage
from interlace.store.segment import CODEC, FRESH, SEGMENTS, SETTLED, Numbers, Segment
from interlace.store.storable import check_id
from interlace.store.tombstones import alive
from interlace.store.tuned import Tuned, tuned_from
from interlace.store.where import Where, parse
from interlace.types import Document, Encoded, Id, Passage


class Column:
    """A number for each row: ``column[rows]``, or all of them as ``numpy.asarray(column)``.

    Fresh rows and settled ones stay apart: joining them would cost every commit the whole column.
    """

    def __init__(self, fresh: Numbers, settled: Numbers) -> None:
        self._fresh, self._settled = fresh, settled

    @property
    def parts(self) -> tuple[Numbers, Numbers]:
        """Of fresh rows, and of the settled ones after them."""
        return self._fresh, self._settled

    def __len__(self) -> int:
        return len(self._fresh) + len(self._settled)

    def __getitem__(self, rows: npt.NDArray[np.integer]) -> Numbers:
        n_fresh = len(self._fresh)
        if not n_fresh or not len(self._settled):
            only: Numbers = (self._fresh if n_fresh else self._settled)[rows]
            return only
        is_fresh = rows < n_fresh
        found: Numbers = self._settled.take(rows.astype(np.int64) - n_fresh, mode="clip")
        found[is_fresh] = self._fresh[rows[is_fresh]]
        return found

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        return np.concatenate([self._fresh, self._settled], dtype=dtype)


class Snapshot:
    """The collection at one commit. Never changes; use it from any number of threads.

    Rows count through the passages of ``segments``, in their order: fresh ones first.

    Attributes
    ----------
    number : int
        The commit.
    settings : Settings
        As of that commit: a rebuild changes them.
    segments : tuple of Handle
        What the kernels search, fresh first.
    n_fresh_segments, n_fresh_rows, n_rows : int
    codec : Handle or None
        What settled segments refer to; None before anything is settled.
    alive : (ceil(n_rows / 8),) uint8, or None
        Bit ``row & 7`` of byte ``row >> 3``; None when no row is dead.
    passage_of_row, document_of_row : Column
        Insertion numbers: ``(n_rows,)`` int64.
    n_passages, n_documents : int
        Alive.
    n_alive, n_tokens : int
        Live passages that can be searched, all but those of files that are left out; their tokens.
    left_out : tuple of Path
        Damaged segments and codecs that this commit is read without, with ``damaged="skip"``.
    kernels : Kernels
    signs : (n_rounds, dim) int8
        Of the rotation that stored codes went through.
    """

    def __init__(self, folder: Folder, catalog: Catalog, commit: Commit, lock: Lock | None) -> None:
        self._folder, self._catalog, self._lock = folder, catalog, lock
        self._pid, self.closed = os.getpid(), False
        self.number, self.commit, self.settings = commit.number, commit, folder.settings
        self.kernels: Kernels = folder.searching
        self.signs = folder.signs
        self.n_threads = folder.n_threads
        rows = catalog.segments(commit.number)
        self.generation = catalog.generation(commit.number)
        self._decoder: Generation | None = None
        self.codec: Handle | None = None
        self.left_out: tuple[Path, ...] = ()
        if self.generation is not None:
            inside = folder.path / CODEC / self.generation.name
            if inside in folder.damage:
                self.left_out = (inside,)
            else:
                self._decoder, self.codec = folder.codec(self.generation)
        rows, n_left_out = self._without_damage(rows)
        self.opened = [folder.segment(row) for row in rows]
        self.segments: tuple[Handle, ...] = tuple(
            folder.handle(segment, self.codec) for segment in self.opened
        )
        self.n_fresh_segments = sum(row.kind == FRESH for row in rows)
        self._bases = np.append(0, np.cumsum([row.n_passages for row in rows])).astype(np.int64)
        self.n_rows = int(self._bases[-1])
        self.n_fresh_rows = int(self._bases[self.n_fresh_segments])
        fresh = joined_numbers(self.opened[: self.n_fresh_segments])
        settled = folder.numbers(self.opened[self.n_fresh_segments :])
        self.passage_of_row, self.document_of_row = map(Column, fresh, settled)
        dead = folder.tombstones(catalog, commit.number, self.opened)
        self.alive = alive(self.opened, dead)
        self.n_alive = self.n_rows - sum(one.n for one in dead.of.values())
        self.n_tokens = sum(row.n_tokens for row in rows)
        self.n_tokens -= sum(one.n_tokens for one in dead.of.values())
        self._filters = Cache()
        self._universe: Universe | None = None
        self.n_documents, self.n_passages = commit.n_documents, commit.n_passages
        is_right = 0 <= self.n_passages - self.n_alive <= n_left_out
        if not is_right and not folder.damage.skips:
            raise Corrupt(
                f"catalog and segments disagree: {folder.path}: expected {self.n_passages} live "
                f"passages, found {self.n_alive}. Run `interlace verify`."
            )

    def _without_damage(self, rows: list[SegmentRow]) -> tuple[list[SegmentRow], int]:
        """The segments that are not left out, and how many passages the others hold."""
        kept, n_left_out, codec_is_out = [], 0, bool(self.left_out)
        for row in rows:
            path = self._folder.path / SEGMENTS / row.file_name
            is_damaged = path in self._folder.damage
            if is_damaged:
                self.left_out += (path,)
            if is_damaged or (codec_is_out and row.kind == SETTLED):
                n_left_out += row.n_passages
            else:
                kept.append(row)
        return kept, n_left_out

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know about every search of this commit: what it goes on without."""
        n, more = self.n_passages - self.n_alive, len(self.left_out) - 1
        if not n and not self.left_out:
            return ()
        file = self.left_out[0] if self.left_out else self._catalog.path
        return (
            f"{n:,} of {self.n_passages:,} passages are left out, for damage: {file}"
            + (f" and {more:,} more. " if more > 0 else ". ")
            + f"`interlace repair {self._folder.path}` makes them again from their texts.",
        )

    @cached_property
    def tuned(self) -> Tuned | None:
        """What the collection was tuned to, as far as this version understands it."""
        return tuned_from(self._mine.tuned(self.number))

    # --- words -----------------------------------------------------------------------------------
    def lexical(self, asked: Sequence[str]) -> WordScores:
        """How well the words of each row match those asked for.

        ``interlace.text.asked_words`` makes those of a query.
        """
        return self._lexicon.scores(asked, self._mine)

    @cached_property
    def _lexicon(self) -> Lexicon:
        return Lexicon(self, self._folder.places(self, self._mine))

    # --- what rows stand for ---------------------------------------------------------------------
    def passages(self, rows: Sequence[int] | npt.NDArray[np.integer]) -> list[StoredPassage]:
        """The passages of some rows, in their order.

        Raises
        ------
        Corrupt
            When the catalog does not know a row's passage, or as one of another document.
        """
        at = np.asarray(rows, np.int64)
        found = self._mine.passages(self.passage_of_row[at].tolist(), self.number)
        owners = self.document_of_row[at].tolist()
        for row, owner, passage in zip(at.tolist(), owners, found, strict=True):
            if passage.document_number != owner:
                raise self.damage(row, f"document {passage.document_number}", str(owner))
        return found

    def damage(self, row: int, expected: str, found: str) -> Corrupt:
        """The error for the segment of a row that shows to be damaged."""
        owner = int(np.searchsorted(self._bases, row, side="right")) - 1
        return Corrupt.at(self.opened[owner].path, expected, found)

    def rows_of(self, ids: Sequence[Id]) -> Numbers:
        """Rows of some documents' passages, in insertion order; unknown ids have none."""
        return self.find(ids)[0]

    def find(self, ids: Sequence[Id]) -> tuple[Numbers, list[Id]]:
        """Rows of some documents' passages, in insertion order, and the ids that are unknown.

        One statement for all ids.
        """
        ids = list(map(check_id, ids))
        known, numbers = self._mine.passage_numbers(ids, self.number)
        return self._rows_at(numbers), [id_ for id_ in ids if id_ not in known]

    def where(self, where: Where) -> npt.NDArray[np.uint8]:
        """The live rows of documents that match a filter, as a bitmap; kept for the next time.

        Parameters
        ----------
        where : mapping or str
            As ``store.where.parse`` reads it.

        Returns
        -------
        (ceil(n_rows / 8),) uint8
            Like ``alive``. Not to be written.

        Raises
        ------
        FilterError
            When the filter cannot be read, names a field that no document has, or compares a field
            with a value of another kind.
        """
        condition = parse(where)
        found = self._filters.get(condition)
        if found is None:
            marked = np.zeros(self.n_rows, np.bool_)
            if self.n_documents:
                column = self.document_of_row
                universe = self._universe = self._universe or Universe(
                    self.commit, lambda: np.asarray(column)
                )
                marks = Filtering(self._mine, self.number, universe).marks(condition)
                marked = np.concatenate([universe.of(marks, part) for part in column.parts])
            found = np.packbits(marked, bitorder="little")
            if self.alive is not None:
                found &= self.alive
            self._filters.put(condition, found)
        return found

    def row_of(self, id_: Id, number: int) -> int | None:
        """The row of one passage of a document; None when there is no such."""
        found = self._mine.passage_number(check_id(id_), int(number), self.number)
        if found is None:
            return None
        return next(iter(self._rows_at(np.array([found], np.int64)).tolist()), None)

    def _rows_at(self, numbers: Numbers) -> Numbers:
        """Rows of the passages with these insertion numbers, both ascending in those."""
        rows = [
            base + segment.ordinals(numbers)
            for base, segment in zip(self._bases.tolist(), self.opened, strict=False)
        ]
        joined = np.concatenate(rows or [np.empty(0, np.int64)])
        return joined[np.argsort(self.passage_of_row[joined], kind="stable")]

    def documents(self, ids: Sequence[Id]) -> dict[Id, Document]:
        """Live documents by id; unknown ids are left out."""
        return self._mine.documents(list(map(check_id, ids)), self.number)

    def ids_where(self, where: Where) -> list[Id]:
        """Ids of the live documents that match a filter, in insertion order."""
        return ids_where(self._mine, self.commit, where)

    def ids(self) -> Iterator[Id]:
        """Ids of live documents, in insertion order."""
        yield from self._mine.ids(self.number)  # a generator holds the snapshot while it runs

    def contains(self, id_: Id) -> bool:
        """Whether a document of this id is alive."""
        return self._mine.contains(check_id(id_), self.number)

    # --- where documents come from ---------------------------------------------------------------
    def sources(self) -> list[SourceRow]:
        """What documents are read from, in the order it was first added."""
        return self._mine.sources(self.number)

    def files(self, source: int) -> dict[str, str]:
        """Fingerprints of a source's files by name, in the order of names."""
        return self._mine.files(source, self.number)

    def ids_of_file(self, name: str) -> list[Id]:
        """Ids of the live documents of a file, and of what lies in it, in insertion order."""
        return self._mine.ids_of_file(name, self.number)

    def whole_documents(
        self, where: Where | None = None
    ) -> Iterator[tuple[Document, list[Passage], list[int]]]:
        """Live documents with their passages and those's numbers, in insertion order.

        Raises
        ------
        FilterError
            For a filter that ``where`` would refuse.
        """
        numbers = None if where is None else documents_where(self._mine, self.commit, where)
        for stored in self._mine.whole_documents(self.number, numbers):
            document, passages = self._mine.as_nouns(stored)
            yield document, passages, [part.number for part in stored.passages]

    # --- what tokens there are -------------------------------------------------------------------
    def embeddings(self, row: int) -> npt.NDArray[np.float32]:
        """Token embeddings of a row as they are stored: ``(n_tokens, dim)`` unit rows, decoded.

        Raises
        ------
        IndexError
            When there is no such row.
        Corrupt
        """
        segment, tokens = self._tokens(row)
        with np.errstate(over="ignore", invalid="ignore"):  # of damaged scales
            if segment.row.kind == FRESH:
                rotated = tokens["codes"] * tokens["scales"][:, None]
            else:
                assert self._decoder is not None
                try:
                    rotated = self._decoder.decode(Coded(**tokens))
                except IndexError as error:
                    raise self.damage(row, "leaves of the codec", str(error)) from error
            embeddings: npt.NDArray[np.float32] = unrotate(rotated.astype(np.float32), self.signs)
        if not np.isfinite(embeddings).all():
            raise self.damage(row, "embeddings", "NaN or infinity")
        return embeddings

    def n_tokens_of(self, rows: npt.NDArray[np.uint32]) -> int:
        """How many tokens some live rows have together."""
        if not len(rows):
            return 0
        if len(rows) == self.n_alive:
            return self.n_tokens
        rows = np.sort(rows).astype(np.int64)
        cuts = np.searchsorted(rows, self._bases).tolist()
        n_tokens = 0
        for i, segment in enumerate(self.opened):
            if cuts[i] < cuts[i + 1]:
                at = rows[cuts[i] : cuts[i + 1]] - self._bases[i]
                n_tokens += int((segment.offsets[at + 1] - segment.offsets[at]).sum())
        return n_tokens

    def encoded(self, numbers: Sequence[int]) -> list[Encoded]:
        """Live passages by number, ascending, as they are stored: decoded, and with token ids.

        Token ids are kept until a passage is settled.

        Raises
        ------
        Corrupt
            When no segment holds one of them.
        """
        rows = self._rows_at(np.array(numbers, np.int64)).tolist()
        if len(rows) != len(numbers):
            raise Corrupt(
                f"a passage is in no segment: {self._folder.path}: expected {list(numbers)}, found "
                f"{len(rows)} of them. Run `interlace verify`."
            )
        return [Encoded(self.embeddings(row), self._token_ids(row)) for row in rows]

    def _token_ids(self, row: int) -> npt.NDArray[np.int32] | None:
        ids = self._tokens(row)[1].get("token_ids")
        return None if ids is None or (ids < 0).any() else ids

    def _tokens(self, row: int) -> tuple[Segment, Mapping[str, npt.NDArray[Any]]]:
        """The segment of a row, and its tokens there."""
        if not 0 <= row < self.n_rows:
            raise IndexError(f"row {row} of {self.n_rows}")
        owner = int(np.searchsorted(self._bases, row, side="right")) - 1
        ordinal = row - int(self._bases[owner])
        segment: Segment = self.opened[owner]
        return segment, segment.part(ordinal, ordinal + 1).tokens

    # --- what is to be written -------------------------------------------------------------------
    def prepare(self, id_: Id, encoded: Iterable[Encoded]) -> Prepared:
        """Check and quantise a document's matrices, before the write lock is taken.

        Raises
        ------
        InputError
            When a matrix cannot be stored, naming document, passage and token.
        """
        return Prepared(self.settings, *quantised(self._folder, id_, encoded))

    # --- holding on ------------------------------------------------------------------------------
    @property
    def _mine(self) -> Catalog:
        """The catalog, with this process holding the commit.

        (1) A process takes a snapshot and forks. (2) The parent lets go of it. (3) The child has
        the parent's lock no more, and a purge takes the rows that it is about to read. So a child
        takes a lock of its own before its first statement.

        Where there is no place for locks, a purge takes the rows all the same, and a filter or a
        search by words would find less without a word. So it is looked whether the commit is there.
        """
        if self._pid != os.getpid():
            self._lock = self._folder.hold(self._catalog, self.number)[1]
            self._pid = os.getpid()
        if self._lock is None and self._catalog.at(self.number) is None:
            raise CollectionError(
                f"snapshot {self.number} is gone: {self._folder.path}: the folder cannot be "
                "written, so nothing keeps what is read there from being purged. Refresh, or take "
                "a new one."
            )
        return self._catalog

    @property
    def folder(self) -> Folder:
        """The folder under the settings of this commit."""
        return self._folder

    def close(self) -> None:
        """Give the commit back: what only it could see may be purged. Again is harmless.

        Needed only to purge soon: the last reference to a snapshot gives it back as well.
        """
        self.closed = True
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the commit to the last reference: other threads may use the same snapshot."""


def take(folder: Folder, catalog: Catalog) -> Snapshot:
    """The newest commit, with every file mapped.

    (1) A reader that cannot lock learns of commit 7. (2) A writer makes commit 8 and removes a file
    or a row that only 7 needed. (3) The reader finds it gone. So it starts again with the newest
    commit; what the newest commit lacks is damage, which is left out or told.
    """
    tried: int | None = None
    while True:
        number, lock = folder.hold(catalog)
        try:
            commit = catalog.at(number)
            if commit is not None:
                folder = folder.at(catalog, number)
                snapshot = Snapshot(folder, catalog, commit, lock)
                folder.forget(folder.opened() - {segment.row.name for segment in snapshot.opened})
                return snapshot
        except (FileNotFoundError, Corrupt) as error:
            if lock is not None:  # else the traceback would hold on to it
                lock.release()
            if lock is not None or tried == number:
                damage = error if isinstance(error, Corrupt) else missing(error.filename)
                try:
                    if not folder.leave_out(catalog, number, damage):
                        raise damage from error
                finally:
                    del damage
        tried = number

"""Documents and their matrices in, one commit out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from interlace.errors import CollectionError, Corrupt
from interlace.files import Lock
from interlace.store import compaction
from interlace.store.buffering import Buffer, Matrices, Prepared, gathered
from interlace.store.catalog import Catalog
from interlace.store.filtering import ids_where
from interlace.store.folder import Folder
from interlace.store.parts import Parts
from interlace.store.rows import DocumentRow, Known, PassageRow, SourceRow, headings_json
from interlace.store.segment import FRESH, SETTLED, Numbers, in_memory
from interlace.store.settings import Settings
from interlace.store.settling import Coder
from interlace.store.storable import (
    check_id,
    check_name,
    check_text,
    metadata_json,
    options_json,
)
from interlace.store.transaction import Transaction
from interlace.store.where import Where
from interlace.store.writing import write_fresh
from interlace.types import Document, Encoded, Id, Passage

_ROWS_MAX = 1_000
_CHARACTERS_MAX = 1 << 22
"""Documents, and characters of their texts, that wait to be inserted together."""


class Outcome(NamedTuple):
    """What a commit tells the store: whether there is something to settle or to merge."""

    number: int
    n_fresh_tokens: int
    n_settled_segments: int
    n_held: int
    n_alive: int
    has_codec: bool


class Writer:
    """Changes to a collection that become one commit, whatever their number.

    Made by ``Store.write``, as a context manager: commits when the block ends, and changes nothing
    when it raises. Holds the write lock until then. Not for several threads at once.

    Attributes
    ----------
    n_documents, n_tokens : int
        Added so far.
    """

    def __init__(
        self,
        folder: Folder,
        *,
        encode_bulk: bool,
        let_go: Callable[[], None],
        after_commit: Callable[[Outcome], None],
        wait_seconds: float | None = None,
    ) -> None:
        self.n_documents = self.n_tokens = 0
        self._folder, self._after_commit, self._encode_bulk = folder, after_commit, encode_bulk
        self._buffer, self._rows = Buffer(folder), _Rows()
        self._coder: Coder | None = None
        self._broken = self._over = False
        self._number = -1
        self._shape: Lock | None = None
        self._transaction = Transaction(folder, let_go, wait_seconds=wait_seconds)
        with self._whole():
            self._folder = folder.at(self._transaction.catalog, self._transaction.number)
            self._buffer = Buffer(self._folder)
            self._shape = folder.try_shape_lock()
            if self._shape is not None:
                self._transaction.sweep()

    @property
    def settings(self) -> Settings:
        """Under which this writer writes; nobody changes them while it is open."""
        return self._folder.settings

    # --- changes ---------------------------------------------------------------------------------
    def known(self, ids: Iterable[Id]) -> dict[Id, Known]:
        """Content hash and place of live documents by id, this writer's own changes seen."""
        ids = list(map(check_id, ids))
        with self._seen() as catalog:
            return catalog.known(ids)

    def add(
        self,
        document: Document,
        content_hash: str,
        passages: Sequence[Passage],
        encoded: Iterable[Encoded] | Prepared,
    ) -> None:
        """Add a document, in place of a live one of the same id.

        Matrices are taken one after another and kept as int8, so a generator bounds the memory.

        Parameters
        ----------
        document : Document
            With its id set.
        content_hash : str
            Tells later whether the text has changed.
        passages : sequence of Passage
            Slices of the document's text.
        encoded : iterable of Encoded, or Prepared
            The matrix of each passage, or all as ``Snapshot.prepare`` made them under the settings
            of this writer. When it raises, nothing has changed.

        Raises
        ------
        InputError
            When id, text, metadata or a matrix cannot be stored; nothing has changed.
        CollectionError
            When the disk refuses; the writer can then only be left.
        """
        assert all(document.text[p.start : p.end] == p.text for p in passages)
        id_ = check_id(document.id)
        check_text(document.text, id_)
        _check_place(id_, document.syntax, document.file)
        if id_ is not document.id:
            document = dataclasses.replace(document, id=id_)
        metadata = metadata_json(document.metadata, id_)
        lengths, tokens = self._gathered(id_, encoded)
        assert len(passages) == len(lengths), (len(passages), len(lengths))
        with self._whole():
            transaction = self._transaction
            if id_ in self._rows.ids:
                self._rows.write(transaction)
            number, first = transaction.next_document, transaction.next_passage
            transaction.next_document += 1
            transaction.next_passage += len(passages)
            self._rows.add(number, document, content_hash, metadata, first, passages)
            transaction.n_documents += 1
            transaction.n_passages += len(passages)
            for i, passage in enumerate(passages):
                transaction.add_words(first + i, passage.text)
            if len(passages):
                self._buffer.add(number, first, lengths, tokens)
            self.n_documents += 1
            self.n_tokens += int(lengths.sum())
            if self._rows.is_full:
                self._rows.write(transaction)
            if self._buffer.n_tokens >= self._folder.settings.buffer_tokens_max:
                self._flush()

    def _gathered(
        self, id_: Id, encoded: Iterable[Encoded] | Prepared
    ) -> tuple[Numbers, Mapping[str, npt.NDArray[Any]] | Matrices]:
        if not isinstance(encoded, Prepared):
            return gathered(self._folder, id_, encoded)
        assert encoded.settings == self.settings
        return encoded.lengths, encoded.tokens

    def delete(self, ids: Iterable[Id]) -> int:
        """Let documents die; how many there were."""
        ids = [check_id(id_) for id_ in ids]
        with self._whole():
            return self._end(ids)

    def ids_where(self, where: Where) -> list[Id]:
        """As ``Snapshot.ids_where``, this writer's own changes seen."""
        with self._seen() as catalog:
            pass
        return ids_where(
            catalog, self._transaction, where
        )  # a wrong filter leaves the writer whole

    def update_metadata(self, id_: Id, metadata: Mapping[str, Any]) -> bool:
        """Give a document other metadata; False when no live one has the id."""
        value = metadata_json(metadata, check_id(id_))
        with self._seen() as catalog:
            return catalog.replace_metadata(id_, value, self._transaction.number)

    def set_place(self, id_: Id, file: str | None, line: int | None) -> bool:
        """Give a document another file and line; False when no live one has the id.

        For a text that has moved, or that a file has now. Its passages stay as they are, and their
        lines move along; where there were none, they are counted in the text. Unlike all other
        changes this one has no versions: after the commit, older snapshots see the new place too.
        """
        id_ = check_id(id_)
        _check_place(id_, None, file)
        with self._seen() as catalog:
            return catalog.set_place(id_, file, line)

    # --- where documents come from ---------------------------------------------------------------
    def add_source(self, path: str, label: str, options: Mapping[str, Any]) -> int:
        """Add what documents are read from, a file or folder; its number.

        A source of the same path keeps its number, and gets this label and these options.

        Parameters
        ----------
        path : str
            Where it lies; bytes that are no UTF-8 come back as they went in.
        label : str
            What the names of its files begin with.
        options : mapping
            How it is read: anything that JSON can hold.
        """
        check_name(label, "a label")
        values = options_json(options, label)
        with self._seen() as catalog:
            return catalog.add_source(path, label, values, self._transaction.number)

    def forget_source(self, number: int) -> bool:
        """Let a source and its files die, not their documents; False when it is not there."""
        with self._seen() as catalog:
            return catalog.end_source(number, self._transaction.number)

    def set_file(self, name: str, source: int, fingerprint: str) -> None:
        """Note what a file held when its documents were read; a file has one source."""
        check_name(name, "a file's name")
        with self._seen() as catalog:
            catalog.set_file(name, source, fingerprint, self._transaction.number)

    def forget_file(self, name: str) -> bool:
        """Let a file's row die, not its documents; False when it is not there."""
        with self._seen() as catalog:
            return catalog.end_file(name, self._transaction.number)

    def sources(self) -> list[SourceRow]:
        """As ``Snapshot.sources``, this writer's own changes seen."""
        with self._seen() as catalog:
            return catalog.sources(self._transaction.number)

    def files(self, source: int) -> dict[str, str]:
        """As ``Snapshot.files``, this writer's own changes seen."""
        with self._seen() as catalog:
            return catalog.files(source, self._transaction.number)

    def ids_of_file(self, name: str) -> list[Id]:
        """As ``Snapshot.ids_of_file``, this writer's own changes seen."""
        with self._seen() as catalog:
            return catalog.ids_of_file(name, self._transaction.number)

    @contextmanager
    def _seen(self) -> Iterator[Catalog]:
        """The catalog, with all that waits in it."""
        with self._whole():
            self._rows.write(self._transaction)
            yield self._transaction.catalog

    def _end(self, ids: Sequence[Id]) -> int:
        if not self._rows.ids.isdisjoint(ids):
            self._rows.write(self._transaction)
        return self._transaction.end_documents(ids)

    # --- files -----------------------------------------------------------------------------------
    def _flush(self) -> None:
        """Write what is buffered: settled when it is much and there is a codec, else fresh."""
        part = self._buffer.take()
        if part is None:
            return
        settings, transaction = self._folder.settings, self._transaction
        if part.n_tokens > settings.fresh_budget_tokens and self._may_encode():
            assert self._coder is not None
            self._coder.encode(Parts([in_memory(FRESH, part)], np.empty(0, np.int64)))
            return
        row = write_fresh(self._folder.path, part)
        transaction.add_segment(row)

    def _may_encode(self) -> bool:
        """Whether this writer may write settled segments: the codec is there and its to grow."""
        if self._coder is None and self._encode_bulk and self._shape is not None:
            catalog, number = self._transaction.catalog, self._transaction.number
            generation = catalog.generation(number)
            if generation is not None:
                n_settled = sum(
                    row.n_tokens for row in catalog.segments(number) if row.kind == SETTLED
                )
                with suppress(Corrupt):  # fresh it is, then; settling will say so
                    self._coder = Coder(self._folder, generation, n_settled)
        return self._coder is not None

    # --- the end ---------------------------------------------------------------------------------
    def commit(self) -> int:
        """Make the changes durable and visible; the commit's number.

        Without changes nothing is written, and the number is that of the last commit.
        """
        if self._over and not self._broken:
            return self._number
        with self._whole():
            transaction = self._transaction
            self._rows.write(transaction)
            self._flush()
            if not transaction.changed:
                self._number = transaction.number - 1
                self.abandon()
                return self._number
            if self._coder is not None:
                self._coder.record(transaction)
            if self._shape is not None:
                compaction.merge_fresh(self._folder, transaction)
            rows = transaction.catalog.segments(transaction.number)
            outcome = Outcome(
                transaction.number,
                sum(row.n_tokens for row in rows if row.kind == FRESH),
                sum(row.kind == SETTLED for row in rows),
                sum(row.n_passages for row in rows),
                transaction.n_passages,
                transaction.catalog.generation(transaction.number) is not None,
            )
            self._number = transaction.commit("write")
        self._release()
        self._after_commit(outcome)
        return self._number

    def abandon(self) -> None:
        """Forget all changes. Again, or after ``commit``, is harmless."""
        self._transaction.abandon()
        self._release()

    def _release(self) -> None:
        self._over = True
        if self._shape is not None:
            self._shape.release()

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """A change that fails half way leaves a writer that can only be left."""
        if self._broken or self._over:
            raise CollectionError(
                f"this writer is over: {self._folder.path}. It was committed, left or has failed; "
                "begin a new one."
            )
        self._broken = True
        try:
            yield
        except BaseException:
            self.abandon()
            raise
        self._broken = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None and not self._over:
            self.commit()
        else:
            self.abandon()


def _check_place(id_: Id, syntax: str | None, file: str | None) -> None:
    for name, what in ((syntax, "syntax"), (file, "file")):
        if name is not None:
            check_name(name, f"the {what} of document {id_!r}")


class _Rows:
    """Rows of documents that are not in the catalog yet: many at once go in faster.

    Whoever asks the transaction about them writes them first.
    """

    def __init__(self) -> None:
        self.ids: set[Id] = set()
        self._n_characters = 0
        self._documents: list[DocumentRow] = []
        self._passages: list[PassageRow] = []

    @property
    def is_full(self) -> bool:
        """Whether it is time to write."""
        return len(self._documents) >= _ROWS_MAX or self._n_characters >= _CHARACTERS_MAX

    def add(
        self,
        number: int,
        document: Document,
        content_hash: str,
        metadata: str,
        first: int,
        passages: Sequence[Passage],
    ) -> None:
        """Take a document, and its passages numbered from ``first``."""
        assert document.id is not None
        self.ids.add(document.id)
        self._n_characters += len(document.text) + len(metadata)
        self._documents.append(
            DocumentRow(
                number,
                document.id,
                content_hash,
                document.text,
                metadata,
                document.syntax,
                document.file,
                document.line,
            )
        )
        self._passages += [
            PassageRow(
                first + i,
                number,
                passage.number,
                passage.start,
                passage.end,
                passage.line,
                passage.page,
                headings_json(passage.headings),
            )
            for i, passage in enumerate(passages)
        ]

    def write(self, transaction: Transaction) -> None:
        """Insert all, in place of the live ones of their ids; none wait then."""
        if self._documents:
            transaction.end_documents(self.ids)
            transaction.catalog.add_documents(self._documents, transaction.number)
            transaction.catalog.add_passages(self._passages, transaction.number)
            self.ids, self._n_characters = set(), 0
            self._documents, self._passages = [], []

"""A stream of records as batches of checked entries: nothing is encoded before all are right."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from interlace import text
from interlace.collection.arguments import check_iterable
from interlace.collection.matrices import encoded_from
from interlace.collection.pooling import Pooling, pooling_of
from interlace.errors import InputError
from interlace.store import Settings
from interlace.types import Document, Encoded, Id, Passage

#: What ends a batch: some 8 s of encoding on two cores, or this much memory. Never the clock: what
#: a commit holds must not depend on the machine, or the same documents would give other codes.
BATCH_TOKENS: Final = 250_000
BATCH_BYTES: Final = 64 * 2**20

#: What an entry takes besides its text, its metadata and its embeddings.
_ENTRY_BYTES: Final = 500

_END: Final = object()


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """Embeddings that came with a document.

    Attributes
    ----------
    passages : tuple of Passage
    encoded : tuple of Encoded
        Of each passage.
    model : str or None
        The fingerprint of the model that made them; None: they are the user's own.
    """

    passages: tuple[Passage, ...]
    encoded: tuple[Encoded, ...]
    model: str | None = None

    @property
    def n_bytes(self) -> int:
        """Of all matrices."""
        return sum(one.matrix.nbytes for one in self.encoded)

    @property
    def n_tokens(self) -> int:
        """Of all passages."""
        return sum(len(one.matrix) for one in self.encoded)


@dataclass(frozen=True, slots=True)
class Entry:
    """A document on its way in.

    Attributes
    ----------
    position : int
        Its place in the call, from 0.
    document : Document
        Checked, with an id.
    content_hash : str
        Of all that its stored vectors follow from, the collection's model apart.
    is_named : bool
        Whether the id came with it, instead of from its text.
    given : Given or None
        The embeddings that came with it.
    """

    position: int
    document: Document
    id: Id
    content_hash: str
    is_named: bool
    given: Given | None = None

    @property
    def n_bytes(self) -> int:
        """How much memory it holds on to, roughly."""
        n_bytes = _ENTRY_BYTES + len(self.document.text)
        if self.document.metadata:
            n_bytes += len(json.dumps(self.document.metadata))
        return n_bytes + (self.given.n_bytes if self.given else 0)

    @property
    def n_tokens(self) -> int:
        """How many tokens it will be, roughly."""
        return self.given.n_tokens if self.given else len(self.document.text) // 4


class Batch(NamedTuple):
    """Entries for one commit, and how many were left out as the same text again."""

    entries: list[Entry]
    n_repeated: int


def entries(
    records: Iterable[Any],
    embeddings: Iterable[Any] | None,
    token_ids: Iterable[Any] | None,
    settings: Settings,
) -> Iterator[Entry]:
    """Check records one at a time, and the embeddings beside them, which are pooled.

    Raises
    ------
    InputError
        At once for lengths that differ, where lengths are known; else at the record.
    """
    if isinstance(records, (str, bytes, Mapping, Document)):
        raise InputError(
            f"documents must come as a list or another iterable: got one "
            f"{type(records).__name__}. Write [document]."
        )
    for name, values in (
        ("documents", records),
        ("embeddings", embeddings),
        ("token_ids", token_ids),
    ):
        if values is not None or name == "documents":
            check_iterable(values, name)
    if token_ids is not None and embeddings is None:
        raise InputError("token_ids came without embeddings. Pass both, or neither.")
    _check_lengths(records, embeddings, "embeddings")
    _check_lengths(records, token_ids, "token_ids")
    if embeddings is None:
        return _texts(records)
    return _given(records, embeddings, token_ids, settings.dim, pooling_of(settings))


def batches(
    stream: Iterator[Entry], n_bytes_max: int = BATCH_BYTES, n_tokens_max: int = BATCH_TOKENS
) -> Iterator[Batch]:
    """Cut a stream of entries into batches. A text without an id may come again: it is the same.

    Raises
    ------
    InputError
        For an id that came before in the same stream, naming both positions.
    """
    seen = Seen()
    batch: list[Entry] = []
    n_bytes = n_tokens = 0
    for entry in stream:
        batch.append(entry)
        n_bytes += entry.n_bytes
        n_tokens += entry.n_tokens
        if n_bytes >= n_bytes_max or n_tokens >= n_tokens_max:
            yield seen.new(batch)
            batch, n_bytes, n_tokens = [], 0, 0
    if batch:
        yield seen.new(batch)


def _texts(records: Iterable[Any]) -> Iterator[Entry]:
    for position, record in enumerate(records):
        document = text.document_from(record, f"document {position}")
        yield entry_of(position, document)


def _given(
    records: Iterable[Any],
    embeddings: Iterable[Any],
    token_ids: Iterable[Any] | None,
    dim: int,
    pooling: Pooling,
) -> Iterator[Entry]:
    matrices = iter(embeddings)
    ids = None if token_ids is None else iter(token_ids)
    position = -1
    for position, record in enumerate(records):
        where = f"document {position}"
        if isinstance(record, Mapping) and "id" in record and "text" not in record:
            record = {**record, "text": ""}
        document = text.document_from(record, where)
        matrix = _next(matrices, "embeddings", position)
        of_tokens = None if ids is None else _next(ids, "token_ids", position)
        name = repr(document.id) if document.id is not None else str(position)
        given = pooling.pooled(encoded_from(matrix, of_tokens, dim, f"passage {name}"))
        id_ = text.identify(document.text) if document.id is None else document.id
        whole = Passage(id_, 0, 0, len(document.text), document.text)
        yield given_entry(position, document, Given((whole,), (given,)))
    if next(matrices, _END) is not _END:
        raise InputError(
            f"embeddings go on after the last of {position + 1} documents. Pass one matrix each."
        )


def entry_of(position: int, document: Document) -> Entry:
    """Make an entry of a checked document."""
    id_ = text.identify(document.text) if document.id is None else document.id
    content = hashlib.sha256(document.text.encode())
    if document.syntax is not None:  # it says where passages begin
        content.update(f"\0syntax\0{document.syntax}".encode())
    is_named = document.id is not None
    if not is_named:
        document = replace(document, id=id_)
    return Entry(position, document, id_, content.hexdigest(), is_named)


def given_entry(position: int, document: Document, given: Given) -> Entry:
    """Make an entry of a checked document with its embeddings.

    Those of the collection's model follow from the text, so its hash is that of the text alone, and
    adding the text again encodes nothing.
    """
    entry = entry_of(position, document)
    if given.model is not None:
        return replace(entry, given=given)
    content = hashlib.sha256(bytes.fromhex(entry.content_hash))
    for passage, one in zip(given.passages, given.encoded, strict=True):
        content.update(f"\0embeddings\0{passage.start}\0{passage.end}\0".encode())
        content.update(one.matrix.tobytes())
        if one.token_ids is not None:
            content.update(one.token_ids.tobytes())
    return replace(entry, content_hash=content.hexdigest(), given=given)


def _next(values: Iterator[Any], name: str, position: int) -> Any:
    value = next(values, _END)
    if value is _END:
        raise InputError(
            f"{name} end after {position} of more documents. Pass one for each document."
        )
    return value


def _check_lengths(records: Iterable[Any], others: Iterable[Any] | None, name: str) -> None:
    if not (isinstance(records, Sized) and isinstance(others, Sized)):
        return
    if len(records) != len(others):
        raise InputError(
            f"{len(records)} documents but {len(others)} {name}. Pass one for each document."
        )


class Seen:
    """The ids of a call: sixteen bytes a document, however many batches pass."""

    def __init__(self) -> None:
        self._hashes: npt.NDArray[np.uint64] = np.empty(0, np.uint64)
        self._positions: npt.NDArray[np.int64] = np.empty(0, np.int64)

    def new(self, batch: list[Entry], *, repeated: Callable[[Entry], None] | None = None) -> Batch:
        """The batch without what came before: texts without ids, which are the same again.

        An id that comes again is ``repeated``'s to report; without it, that raises.
        """
        hashes = np.fromiter((hash_of(entry.id) for entry in batch), np.uint64, len(batch))
        positions = np.fromiter((entry.position for entry in batch), np.int64, len(batch))
        hashes = np.concatenate([self._hashes, hashes])
        positions = np.concatenate([self._positions, positions])
        order = np.argsort(hashes, kind="stable")
        hashes, positions = hashes[order], positions[order]
        if not len(hashes):
            return Batch([], 0)
        again = np.append(False, hashes[1:] == hashes[:-1])
        first = dict(zip(positions[again].tolist(), positions[np.append(again[1:], False)].tolist(),
                         strict=True))  # fmt: skip
        n_same = 0
        for entry in batch:
            if entry.position not in first:
                continue
            if not entry.is_named:
                n_same += 1
            elif repeated is not None:
                repeated(entry)
            else:
                raise InputError(
                    f"id {entry.id!r} comes twice in one call: documents {first[entry.position]} "
                    f"and {entry.position}. Keep one of them, or give them different ids."
                )
        self._hashes, self._positions = hashes[~again], positions[~again]
        return Batch([entry for entry in batch if entry.position not in first], n_same)


def hash_of(id_: Id) -> int:
    """Eight bytes that stand for an id."""
    return int.from_bytes(hashlib.blake2b(repr(id_).encode(), digest_size=8).digest(), "little")

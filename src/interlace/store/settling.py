"""Fresh becomes settled: train or grow the codec, encode, build lists; then one commit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Container
from dataclasses import dataclass
from itertools import chain, count

import numpy as np

from interlace import codec
from interlace.chance import draws
from interlace.codec import Generation, Tokens
from interlace.files import Array
from interlace.progress import Progress, silent
from interlace.store.catalog import Catalog
from interlace.store.drift import drift
from interlace.store.folder import Folder
from interlace.store.parts import Parts
from interlace.store.rows import Chunk, GenerationRow, SegmentRow
from interlace.store.segment import (
    FRESH,
    SETTLED,
    Numbers,
    Part,
    Segment,
    in_memory,
    open_codec,
)
from interlace.store.transaction import Transaction
from interlace.store.writing import append_rows, write_settled

SEGMENT_TOKENS_MAX = 4_000_000
"""Tokens of a settled segment as it is first written; merging makes larger ones."""


@dataclass(frozen=True, slots=True)
class SettleReport:
    """What settling did.

    Attributes
    ----------
    n_passages, n_tokens : int
        That were settled; 0 when nothing was fresh.
    n_segments : int
        Settled segments that were written.
    trained : bool
        Whether the codec was trained, rather than used or grown.
    drift : float or None
        How far what was settled lately lies from its centroids, as a multiple of what the codec
        was trained on; None when nothing is settled.
    advice : str or None
        What to do about the drift; None when it does no harm.
    """

    n_passages: int = 0
    n_tokens: int = 0
    n_segments: int = 0
    trained: bool = False
    drift: float | None = None
    advice: str | None = None


def settle(
    folder: Folder,
    catalog: Catalog,
    let_go: Callable[[], None],
    progress: Progress = silent,
    *,
    wait_seconds: float | None = None,
) -> SettleReport:
    """Settle all fresh segments as one commit, when others let it within so many seconds.

    (1) Under the shape lock the inputs are chosen; other writers may go on. (2) Files are written.
    (3) One transaction adds the settled segments and retires the inputs. Documents that die between
    (1) and (3) need no care: tombstones name passages, wherever those are held. A failure in (2)
    leaves the fresh segments as they are, searchable.

    Raises
    ------
    Corrupt
        When a fresh segment or the codec is damaged; nothing has changed.
    """
    with folder.shape_lock("settling", wait_seconds), folder.swept(catalog, let_go):
        number = catalog.newest().number
        folder = folder.at(catalog, number)
        rows = catalog.segments(number)
        fresh = [row for row in rows if row.kind == FRESH]
        folder.check(fresh)
        segments = [folder.segment(row) for row in fresh]
        dead = folder.tombstones(catalog, number, folder.mapped(rows)).numbers
        parts = Parts(segments, dead)
        generation = catalog.generation(number)
        if not parts.n_tokens and (generation is None or not fresh):
            return SettleReport()
        n_settled = sum(row.n_tokens for row in rows if row.kind == SETTLED)
        taken = catalog.generation_names()  # the dead ones among them
        coder = Coder(folder, generation, n_settled, progress, taken=taken)
        if generation is None:
            coder.train(parts)
        coder.encode(parts)
        with Transaction(folder, let_go, doing="settling") as transaction:
            transaction.may_sweep = True
            coder.record(transaction)
            transaction.retire(fresh, held(segments, dead))
            number = transaction.commit("settle")
        drifted = drift(folder, catalog.generation(number), catalog.segments(number))
        return SettleReport(
            len(parts), parts.n_tokens, len(coder.rows), generation is None, *drifted
        )


def held(segments: list[Segment], numbers: Numbers) -> Numbers:
    """Those of these insertion numbers that some segment holds."""
    found = [segment.passages[segment.ordinals(numbers)] for segment in segments]
    return np.sort(np.concatenate(found or [np.empty(0, np.int64)]))


class Coder:
    """Writes settled segments from fresh tokens, growing the codec on the way.

    Needs the shape lock. What it writes is known to nobody before ``record``.

    Parameters
    ----------
    folder : Folder
    generation : GenerationRow or None
        The codec so far; None when ``train`` is to make it.
    n_tokens : int
        Tokens that are settled already.
    taken : container of str
        Names of codecs that one that is trained must not have.

    Attributes
    ----------
    rows : list of SegmentRow
        The segments written.
    """

    def __init__(
        self,
        folder: Folder,
        generation: GenerationRow | None,
        n_tokens: int,
        progress: Progress = silent,
        *,
        taken: Container[str] = (),
    ) -> None:
        self._folder, self._n_tokens, self._progress = folder, n_tokens, progress
        self._taken, self._row = taken, generation
        self._n_chunks_known = 0 if generation is None else len(generation.chunks)
        self._generation: Generation | None = None
        if generation is not None:
            folder.check_codec(generation)
            self._generation = folder.codec(generation)[0]
        self._complete, self._done = False, 0
        self.rows: list[SegmentRow] = []

    def train(self, parts: Parts, n_tokens: int | None = None) -> None:
        """Train the codec on a uniform sample of whole passages.

        For as many tokens as those have, unless it is said that there will be more.
        """
        settings = self._folder.settings
        at = sample(parts.lengths, settings.sample_tokens_max, settings.seed)
        self._complete = len(at) == len(parts)
        trained = codec.train(
            settings.codec,
            _tokens(parts.take(at)),
            n_tokens=parts.n_tokens if n_tokens is None else n_tokens,
            kernels=self._folder.kernels,
            n_threads=self._folder.n_threads,
            progress=self._progress,
        )
        self._row = GenerationRow(_name(trained, self._taken), trained.description, ())
        self._write(trained, trained.rows)

    def encode(self, parts: Parts) -> None:
        """Write settled segments of all passages, each of a bounded number of tokens."""
        assert self._row is not None
        folder, nothing = self._folder, np.empty(0, np.int64)
        room = folder.settings.memory_bytes_max // (2 * folder.width + 32)
        for first, last in parts.spans(max(1, min(SEGMENT_TOKENS_MAX, room))):
            coded = Parts([in_memory(SETTLED, self._coded(parts, first, last))], nothing)
            self.rows.append(write_settled(folder.path, coded, self._row.name, folder.width))
        self._complete = False  # what comes next was not trained on

    def _coded(self, parts: Parts, first: int, last: int) -> Part:
        """The codes of a span of passages, from a buffer of tokens after another."""
        lengths = parts.lengths[first:last]
        arrays: dict[str, Array] = {}
        at, n_tokens = 0, int(lengths.sum())
        for begin, end in parts.spans(self._folder.settings.buffer_tokens_max, first, last):
            part = parts.part(begin, end)
            for name, rows in self._encode(part).items():
                if name not in arrays:
                    arrays[name] = np.empty((n_tokens, *rows.shape[1:]), rows.dtype)
                arrays[name][at : at + len(rows)] = rows
            at += part.n_tokens
            self._done += part.n_tokens
            self._progress("settle", self._done, parts.n_tokens)
        return Part(parts.passages[first:last], parts.documents[first:last], lengths, arrays)

    def _encode(self, part: Part) -> dict[str, Array]:
        assert self._generation is not None
        tokens = _tokens(part)
        self._n_tokens += part.n_tokens
        if not self._complete and part.n_tokens:
            old = self._generation
            grown = old.grow(
                tokens,
                n_tokens=self._n_tokens,
                kernels=self._folder.kernels,
                n_threads=self._folder.n_threads,
            )
            if grown is not old:
                new = {name: rows[len(old.rows[name]) :] for name, rows in grown.rows.items()}
                self._write(grown, new)
        coded = self._generation.encode(
            tokens, kernels=self._folder.kernels, n_threads=self._folder.n_threads
        )
        return coded._asdict()

    def _write(self, generation: Generation, new: codec.Rows) -> None:
        """Append a chunk, and go on with what the files hold: there it takes no memory."""
        assert self._row is not None
        folder = self._folder
        chunk = Chunk(generation.n_tokens, append_rows(folder.path, self._row, new))
        self._row = self._row._replace(chunks=(*self._row.chunks, chunk))
        rows = open_codec(folder.path, self._row, folder.bits, folder.settings.dim)
        self._generation = Generation.load(generation.description, rows, generation.n_tokens)

    def record(self, transaction: Transaction) -> None:
        """Name in the catalog all that was written."""
        assert self._row is not None
        name, chunks = self._row.name, self._row.chunks
        if not self._n_chunks_known and chunks:
            transaction.catalog.add_generation(name, self._row.description, transaction.number)
        for number, chunk in enumerate(chunks[self._n_chunks_known :], self._n_chunks_known):
            transaction.catalog.add_chunk(name, number, chunk, transaction.number)
        for row in self.rows:
            transaction.add_segment(row)


def _tokens(part: Part) -> Tokens:
    return Tokens(part.tokens["codes"], part.tokens["scales"], part.tokens.get("token_ids"))


def _name(generation: Generation, taken: Container[str]) -> str:
    """A codec is named by its content: the same training gives the same name everywhere.

    Unless a collection is rebuilt and has had that very codec: then it is numbered.
    """
    digest = hashlib.sha256(json.dumps(generation.description, sort_keys=True).encode())
    for name, rows in sorted(generation.rows.items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(rows).data)
    name = digest.hexdigest()[:16]
    names = chain([name], (f"{name}-{n}" for n in count(2)))
    return next(name for name in names if name not in taken)


def sample(lengths: Numbers, n_tokens_max: int, seed: int) -> Numbers:
    """Positions, ascending, of passages drawn uniformly until so many tokens are there."""
    if lengths.sum() <= n_tokens_max:
        return np.arange(len(lengths), dtype=np.int64)
    order = np.argsort(draws(len(lengths), seed), kind="stable")
    n = max(1, int(np.searchsorted(np.cumsum(lengths[order]), n_tokens_max, side="right")))
    return np.sort(order[:n]).astype(np.int64)

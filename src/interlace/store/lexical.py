"""Lexical search: how well a passage's own words match the query's, by BM25.

Robertson and Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond, 2009. Its counts are
those of the passages that are alive, so scores do not depend on what was deleted or merged.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from interlace.store.words import Postings, WordTables

if TYPE_CHECKING:
    from interlace.store.snapshot import Snapshot

K1: Final = 1.2
B: Final = 0.75
"""How soon a word's count saturates, and how much a long passage is held back."""

POSTINGS_MAX: Final = 1 << 18
"""Of the words of a query the rarest are looked up, as long as they are in no more passages than
this together: some milliseconds. In a large collection the words that are left out are in a good
part of all passages and say little. One word is always looked up."""


class WordScores(NamedTuple):
    """How well passages match by words.

    Attributes
    ----------
    scores : (n_rows,) float32
        BM25; 0 where none of the words is, and for dead rows.
    most : float
        What a passage of all the words, each very often, would have.
    """

    scores: npt.NDArray[np.float32]
    most: float


class Lexicon:
    """What a snapshot needs of its runs to score passages by words.

    The passages of all runs stand one after another; a *slot* is a position among them.
    """

    def __init__(self, snapshot: Snapshot, catalog: WordTables) -> None:
        runs = catalog.runs(snapshot.number)
        self.runs = [run.number for run in runs]
        self._sizes = {run.number: len(run.passages) for run in runs}
        ends = np.cumsum([0, *self._sizes.values()]).tolist()
        self._bases = dict(zip(self.runs, ends, strict=False))
        self._rows = _rows_of(
            snapshot, np.concatenate([run.passages for run in runs] or [np.empty(0, np.int64)])
        )
        lengths = np.concatenate([run.lengths for run in runs] or [np.empty(0, np.uint32)])
        alive = lengths[self._rows >= 0]
        self._n_alive, self._n_rows = len(alive), snapshot.n_rows
        mean = int(alive.sum(dtype=np.int64)) / max(1, len(alive))
        self._norms = K1 * (1 - B + B * lengths / max(1.0, mean))

    def scores(self, asked: Sequence[str], catalog: WordTables) -> WordScores:
        """The BM25 of each row; a word asked for twice counts twice."""
        times = Counter(asked)
        sizes_known = catalog.word_sizes(times, self.runs)
        chosen = _affordable(sizes_known)
        found = catalog.postings(chosen, self.runs)
        if not found.words:
            return WordScores(np.zeros(self._n_rows, np.float32), self._most(times, sizes_known))
        slots, sizes = self._slots(found, catalog)
        place = {word: i for i, word in enumerate(chosen)}
        word_of = np.repeat([place[word] for word in found.words], sizes)
        counts = np.frombuffer(b"".join(found.counts), np.uint8).astype(np.float64)
        rows = self._rows[slots]
        alive = rows >= 0
        n_with = np.bincount(word_of[alive], minlength=len(chosen)).tolist()
        weights = [times[word] * self._idf(n) for word, n in zip(chosen, n_with, strict=True)]
        parts = np.array(weights)[word_of] * counts * (K1 + 1) / (counts + self._norms[slots])
        sums = np.bincount(rows[alive], parts[alive], self._n_rows)
        n_alive_with = dict(zip(chosen, n_with, strict=True))
        return WordScores(
            sums.astype(np.float32), self._most(times, {**sizes_known, **n_alive_with})
        )

    def _most(self, times: Mapping[str, int], n_with: Mapping[str, int]) -> float:
        return (K1 + 1) * math.fsum(n * self._idf(n_with.get(word, 0)) for word, n in times.items())

    def _slots(
        self, found: Postings, catalog: WordTables
    ) -> tuple[npt.NDArray[np.int64], list[int]]:
        """The slots of all postings, and how many are each row's."""
        n_passages = [self._sizes[run] for run in found.runs]
        ordinals, sizes = catalog.ordinals(found.runs, n_passages, found.passages, found.counts)
        return ordinals + np.repeat([self._bases[run] for run in found.runs], sizes), sizes

    def _idf(self, n_with: int) -> float:
        n_without = max(0, self._n_alive - n_with)  # of the dead, n_with may count some
        return math.log(1 + (n_without + 0.5) / (n_with + 0.5))


def _affordable(sizes: dict[str, int]) -> list[str]:
    """The rarest words, as many as may be looked up; the order is one of the words alone."""
    order = sorted(sizes, key=lambda word: (sizes[word], word))
    totals = np.cumsum([sizes[word] for word in order])
    n = max(1, int(np.searchsorted(totals, POSTINGS_MAX, "right")))
    return sorted(order[:n])


def _rows_of(snapshot: Snapshot, passages: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The row of each insertion number; -1 for what is dead."""
    rows = np.arange(snapshot.n_rows)
    if snapshot.alive is not None:
        bits = np.unpackbits(snapshot.alive, count=snapshot.n_rows, bitorder="little")
        rows = np.flatnonzero(bits)
    known = snapshot.passage_of_row[rows]
    order = np.argsort(known, kind="stable")
    known, rows = known[order], rows[order]
    if not len(known):
        return np.full(len(passages), -1, np.int64)
    at = np.minimum(np.searchsorted(known, passages), len(known) - 1)
    return np.where(known[at] == passages, rows[at], -1)

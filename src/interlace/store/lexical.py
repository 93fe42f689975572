"""Lexical search: how well a passage's own words match the query's, by BM25.

Robertson and Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond, 2009. Its counts are
those of the passages that are alive, so scores do not depend on what was deleted or merged.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from interlace.store.segment import Numbers, Segment
from interlace.store.words import Postings, RunRow, WordTables

if TYPE_CHECKING:
    from interlace.store.snapshot import Snapshot

_Lengths: TypeAlias = npt.NDArray[np.uint32]

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
    rows : (n,) uint32
        Those of live passages that have any of the words, ascending.
    scores : (n,) float32
        BM25 of each.
    most : float
        What a passage of all the words, each very often, would have.
    is_whole : bool
        Whether every word was looked up.
    """

    rows: npt.NDArray[np.uint32]
    scores: npt.NDArray[np.float32]
    most: float
    is_whole: bool

    def of(self, rows: npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
        """The score of each of some rows; 0 where none of the words is."""
        found = np.zeros(len(rows), np.float32)
        if len(self.rows):
            at = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
            found = np.where(self.rows[at] == rows, self.scores[at], found)
        return found


# --- where the passages of runs are ---------------------------------------------------------------
class _Run(NamedTuple):
    """A run as searches need it.

    Attributes
    ----------
    lengths : (n,) uint32
        Words of each passage.
    places : (n,) int32
        The settled row of each, counted from the first settled one; ``-1 - i`` for loose ``i``.
    loose : (m,) int64
        Insertion numbers of passages that no settled segment holds: fresh ones, and dead ones.
    loose_lengths : (m,) uint32
    """

    lengths: _Lengths
    places: npt.NDArray[np.int32]
    loose: Numbers
    loose_lengths: _Lengths

    def placed(self, segments: Sequence[tuple[int, Segment]], lengths: _Lengths) -> _Run:
        """The same, knowing of these segments as well, each with its first row.

        The lengths of what they hold are noted in ``lengths``, by settled row.
        """
        order = np.argsort(self.loose, kind="stable")
        numbers, rows = self.loose[order], np.full(len(order), -1, np.int32)
        for base, segment in segments:
            held = segment.passages
            if len(held):
                first = int(np.searchsorted(numbers, held[0]))
                last = int(np.searchsorted(numbers, held[-1], side="right"))
                at = np.searchsorted(held, numbers[first:last])
                is_here = np.flatnonzero(held[at] == numbers[first:last])
                rows[first + is_here] = base + at[is_here]
        is_found = rows >= 0
        if not is_found.any():
            return self
        found, places = order[is_found], self.places.copy()
        places[np.flatnonzero(places < 0)[found]] = rows[is_found]
        lengths[rows[is_found]] = self.loose_lengths[found]
        left = np.flatnonzero(places < 0)
        places[left] = -1 - np.arange(len(left), dtype=np.int32)
        return _Run(
            self.lengths,
            places,
            np.delete(self.loose, found),
            np.delete(self.loose_lengths, found),
        )


class Places(NamedTuple):
    """Where the passages of a commit's runs are among its settled rows.

    Attributes
    ----------
    commit : int
    settled : tuple of str
        Names of the settled segments.
    lengths : (n,) uint32
        Words of each settled row.
    runs : mapping of (number, commit that it was born in) to _Run
    """

    commit: int
    settled: tuple[str, ...]
    lengths: _Lengths
    runs: Mapping[tuple[int, int], _Run]

    def at(self, snapshot: Snapshot, catalog: WordTables) -> Places:
        """The same at another commit: what neither runs nor settled segments changed is kept."""
        settled = snapshot.opened[snapshot.n_fresh_segments :]
        names = tuple(segment.row.name for segment in settled)
        known = self if names[: len(self.settled)] == self.settled else NOWHERE
        ends = np.cumsum([0, *(len(segment.passages) for segment in settled)]).tolist()
        placed = list(zip(ends, settled, strict=False))
        new = placed[len(known.settled) :]
        lengths = known.lengths
        if new:
            lengths = np.append(lengths, np.zeros(ends[-1] - len(lengths), np.uint32))
        keys = catalog.run_keys(snapshot.number)
        lacking = [number for number, born in keys if (number, born) not in known.runs]
        read = {run.number: run for run in catalog.runs(snapshot.number, lacking)}
        runs = {}
        for key in keys:
            run = known.runs.get(key)
            if run is not None:
                runs[key] = run.placed(new, lengths) if new else run
            elif key[0] in read:
                runs[key] = _loose(read[key[0]]).placed(placed, lengths)
        return Places(snapshot.number, names, lengths, runs)


NOWHERE: Final = Places(-1, (), np.empty(0, np.uint32), {})
"""Before anything is known."""


def _loose(run: RunRow) -> _Run:
    places = -1 - np.arange(len(run.passages), dtype=np.int32)
    return _Run(run.lengths, places, run.passages, run.lengths)


# --- scores ---------------------------------------------------------------------------------------
class Lexicon:
    """What a snapshot needs of its runs to score passages by words."""

    def __init__(self, snapshot: Snapshot, places: Places) -> None:
        self._runs = {number: run for (number, _), run in places.runs.items()}
        self._n_rows, self._n_fresh = snapshot.n_rows, snapshot.n_fresh_rows
        self._alive = snapshot.alive
        fresh = snapshot.passage_of_row.parts[0]
        order = np.argsort(fresh, kind="stable")
        self._loose = {
            number: _fresh_rows(fresh[order], order, run.loose)
            for number, run in self._runs.items()
        }
        lengths = [
            run.loose_lengths[self._lives(self._loose[number])]
            for number, run in self._runs.items()
        ]
        of_words = [places.lengths, *lengths]
        n_words = sum(int(some.sum(dtype=np.int64)) for some in of_words)
        self._n_alive = sum(int(np.count_nonzero(some)) for some in of_words)
        if self._alive is not None:
            bits = np.unpackbits(self._alive, count=self._n_rows, bitorder="little")
            dead = places.lengths[np.flatnonzero(bits[self._n_fresh :] == 0)]
            n_words -= int(dead.sum(dtype=np.int64))
            self._n_alive -= int(np.count_nonzero(dead))
        self._mean = max(1.0, n_words / max(1, self._n_alive))

    def scores(self, asked: Sequence[str], catalog: WordTables) -> WordScores:
        """The BM25 of each row; a word asked for twice counts twice."""
        times = Counter(asked)
        known = catalog.word_sizes(times, self._runs)
        chosen = _affordable(known)
        is_whole = len(chosen) == len(known)
        found = catalog.postings(chosen, self._runs)
        if not found.words:
            nothing = np.empty(0, np.uint32), np.empty(0, np.float32)
            return WordScores(*nothing, self._most(times, known), is_whole)
        rows, lengths, sizes = self._found(found, catalog)
        alive = self._lives(rows)
        rows, lengths = rows[alive], lengths[alive]
        place = {word: i for i, word in enumerate(chosen)}
        word_of = np.repeat([place[word] for word in found.words], sizes)[alive]
        counts = np.frombuffer(b"".join(found.counts), np.uint8)[alive].astype(np.float64)
        n_with = np.bincount(word_of, minlength=len(chosen)).tolist()
        weights = [times[word] * self._idf(n) for word, n in zip(chosen, n_with, strict=True)]
        norms = K1 * (1 - B + B * lengths / self._mean)
        parts = np.array(weights)[word_of] * counts * (K1 + 1) / (counts + norms)
        sums = np.zeros(self._n_rows)  # of its memory only what is touched is ever there
        np.add.at(sums, rows, parts)
        rows = np.sort(rows)
        rows = rows[np.flatnonzero(np.diff(rows, prepend=-1))]
        most = self._most(times, {**known, **dict(zip(chosen, n_with, strict=True))})
        return WordScores(rows.astype(np.uint32), sums[rows].astype(np.float32), most, is_whole)

    def _most(self, times: Mapping[str, int], n_with: Mapping[str, int]) -> float:
        return (K1 + 1) * math.fsum(n * self._idf(n_with.get(word, 0)) for word, n in times.items())

    def _found(
        self, found: Postings, catalog: WordTables
    ) -> tuple[npt.NDArray[np.int32], _Lengths, list[int]]:
        """Row and length of all postings, and how many are each word's of each run."""
        n_passages = [len(self._runs[run].places) for run in found.runs]
        ordinals, sizes = catalog.ordinals(found.runs, n_passages, found.passages, found.counts)
        rows, lengths = np.empty(len(ordinals), np.int32), np.empty(len(ordinals), np.uint32)
        first = 0
        for number, of_run in groupby(zip(found.runs, sizes, strict=True), itemgetter(0)):
            run, last = self._runs[number], first + sum(size for _, size in of_run)
            span, first = slice(first, last), last
            places = run.places[ordinals[span]]
            lengths[span] = run.lengths[ordinals[span]]
            loose = np.flatnonzero(places < 0)
            rows[span] = places + self._n_fresh
            rows[span][loose] = self._loose[number][-1 - places[loose]]
        return rows, lengths, sizes

    def _lives(self, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        """Which rows are there, and alive."""
        if self._alive is None or not len(self._alive):
            return rows >= 0
        bits = self._alive.take(rows >> 3, mode="clip") >> (rows & 7).astype(np.uint8)
        return (rows >= 0) & (bits & 1).astype(np.bool_)

    def _idf(self, n_with: int) -> float:
        n_without = max(0, self._n_alive - n_with)  # of the dead, n_with may count some
        return math.log(1 + (n_without + 0.5) / (n_with + 0.5))


def _affordable(sizes: dict[str, int]) -> list[str]:
    """The rarest words, as many as may be looked up; the order is one of the words alone."""
    order = sorted(sizes, key=lambda word: (sizes[word], word))
    totals = np.cumsum([sizes[word] for word in order])
    n = max(1, int(np.searchsorted(totals, POSTINGS_MAX, "right")))
    return sorted(order[:n])


def _fresh_rows(
    passages: Numbers, rows: npt.NDArray[np.intp], numbers: Numbers
) -> npt.NDArray[np.int32]:
    """The row of each insertion number, of fresh passages, ascending; -1 for others."""
    found = np.full(len(numbers), -1, np.int32)
    if len(passages):
        asked = np.flatnonzero((numbers >= passages[0]) & (numbers <= passages[-1]))
        at = np.searchsorted(passages, numbers[asked])
        is_here = passages[at] == numbers[asked]
        found[asked[is_here]] = rows[at[is_here]]
    return found

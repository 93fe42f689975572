"""Runs of words as they are made: from the texts of a commit, and from other runs."""

from __future__ import annotations

import heapq
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from interlace.store.words import RunRow, WordRow, WordTables, in_parts
from interlace.text import words

RUNS_MAX: Final = 16
"""Runs that a commit sees, unless they are large: each costs a search a look into an index."""

POSTINGS_A_COMMIT: Final = 1 << 16
"""So many are merged at most by a commit: some tenths of a second."""

POSTINGS_A_COMPACTION: Final = 1 << 23
"""So many are merged at most when segments are: for some seconds, before others wait for the lock,
and then written in a part of that. Only a thorough compaction merges all."""

POSTINGS_WAITING: Final = 1 << 21
"""Of a commit that are kept in memory, 12 bytes each, before they are a run."""

COUNT_MAX: Final = 255

_ASKED: Final = 4_096
"""Passages of a run that are looked up to see how many are dead."""

_Placed: TypeAlias = tuple[str, int, bytes, bytes]
"""A word, the position of its run among those that are merged, passages and counts."""

DEAD_SHARE_MAX: Final = 0.25


class WordBuffer:
    """The words of passages that are in no run yet."""

    def __init__(self) -> None:
        self._words: dict[str, int] = {}
        self._passages, self._lengths = array("q"), array("I")
        self._word_of, self._ordinal_of, self._count_of = array("I"), array("I"), array("B")

    def __len__(self) -> int:
        return len(self._count_of)

    def add(self, number: int, text: str) -> None:
        """Take the words of a passage; one without any is left out."""
        found = words(text)
        if not found:
            return
        counts = Counter(found)
        self._word_of.extend(self._words.setdefault(word, len(self._words)) for word in counts)
        self._ordinal_of.extend([len(self._passages)] * len(counts))
        self._count_of.extend(min(count, COUNT_MAX) for count in counts.values())
        self._passages.append(number)
        self._lengths.append(len(found))

    def write(self, catalog: WordTables, born: int) -> None:
        """Add all of it as a run."""
        if self._passages:
            passages = np.array(self._passages, np.int64)
            lengths = np.array(self._lengths, np.uint32)
            catalog.add_run(passages, lengths, self._rows(), born)

    def _rows(self) -> Iterator[WordRow]:
        word_of = np.array(self._word_of, np.uint32)
        order = np.argsort(word_of, kind="stable")
        ordinals = np.array(self._ordinal_of, "<u4")[order]
        counts = np.array(self._count_of, np.uint8)[order]
        ends = np.cumsum(np.bincount(word_of, minlength=len(self._words))).tolist()
        for word, i in sorted(self._words.items()):
            span = slice(ends[i - 1] if i else 0, ends[i])
            yield WordRow(word, ordinals[span].tobytes(), counts[span].tobytes())


def choose(sizes: Sequence[int], n_postings_max: int) -> list[int]:
    """Positions of the runs to merge: none while there are few, else the smaller half or more.

    As many more as make them less than half of the next in size: so sizes double, and a posting is
    seldom copied. Runs of more than half of what may be merged are large, and stay.
    """
    small = [i for i, size in enumerate(sizes) if 2 * size <= n_postings_max]
    if len(small) <= RUNS_MAX:
        return []
    order = sorted(small, key=lambda i: (sizes[i], i))
    n = n_postings = 0
    while n < len(order):
        size = sizes[order[n]]
        is_enough = n >= len(small) - RUNS_MAX // 2 and 2 * n_postings <= size
        if is_enough or n_postings + size > n_postings_max:
            break
        n_postings += size
        n += 1
    return sorted(order[:n]) if n > 1 else []


class Merge(NamedTuple):
    """A run that takes the place of others, without what is dead.

    Attributes
    ----------
    runs : set of (int, int)
        Those that go: number and birth.
    passages, lengths, words
        Of the new one, as ``WordTables.add_run`` takes them.
    """

    runs: set[tuple[int, int]]
    passages: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.uint32]
    words: Iterable[WordRow]

    def record(self, catalog: WordTables, number: int) -> None:
        """Put the new run in place, unless another writer has merged some of the others by now.

        (1) A merge is made of runs 1 and 2. (2) All documents are deleted, and the runs purged.
        (3) New ones get runs 1 and 2. So births are compared as well.
        """
        if self.runs <= set(catalog.run_keys(number)):
            if len(self.passages):
                catalog.add_run(self.passages, self.lengths, self.words, number)
            catalog.retire_runs([run for run, _ in self.runs], number)


def merge_few(catalog: WordTables, number: int) -> None:
    """Keep small runs few, inside a writer's commit."""
    sizes = catalog.run_sizes(number)
    numbers = list(sizes)
    chosen = choose(list(sizes.values()), POSTINGS_A_COMMIT)
    if chosen:
        _merge(catalog, catalog.runs(number, [numbers[i] for i in chosen])).record(catalog, number)


def merges(catalog: WordTables, number: int, *, thorough: bool) -> list[Merge]:
    """What keeps all runs few, and few of their passages dead; ``thorough`` makes them one.

    Runs never change, so all but the writing is done before the write lock is taken.
    """
    runs = catalog.runs(number)
    if thorough:
        needed = len(runs) > 1 or not all(catalog.live_among(run.passages).all() for run in runs)
        return [_merge(catalog, runs)] if needed else []
    chosen = choose([run.n_postings for run in runs], POSTINGS_A_COMPACTION)
    groups = [[runs[i] for i in chosen]] if chosen else []
    room = POSTINGS_A_COMPACTION - sum(runs[i].n_postings for i in chosen)
    for i, run in enumerate(runs):
        if i not in chosen and run.n_postings <= room and _is_mostly_dead(catalog, run):
            groups.append([run])
            room -= run.n_postings
    return [_merge(catalog, group) for group in groups]


def _is_mostly_dead(catalog: WordTables, run: RunRow) -> bool:
    some = run.passages[:: max(1, len(run.passages) // _ASKED)]
    return bool(1 - catalog.live_among(some).mean() > DEAD_SHARE_MAX)


def _merge(catalog: WordTables, runs: Sequence[RunRow]) -> Merge:
    """One run of several; the words of very many postings are only read when they are written."""
    passages = np.concatenate([run.passages for run in runs])
    lengths = np.concatenate([run.lengths for run in runs])
    alive = catalog.live_among(passages)
    words_left: Iterable[WordRow] = _merged(catalog, runs, alive)
    if sum(run.n_postings for run in runs) <= POSTINGS_A_COMPACTION:
        words_left = list(words_left)
    keys = {(run.number, run.born) for run in runs}
    return Merge(keys, passages[alive], lengths[alive], words_left)


def _merged(
    catalog: WordTables, runs: Sequence[RunRow], alive: npt.NDArray[np.bool_]
) -> Iterator[WordRow]:
    """The words of several runs, their ordinals counted through all passages that are alive."""
    ordinals = (np.cumsum(alive) - 1).astype("<u4")
    bases = np.cumsum([0, *(len(run.passages) for run in runs)])
    streams = (_placed(catalog, run, place) for place, run in enumerate(runs))
    for rows in in_parts(heapq.merge(*streams, key=itemgetter(0))):
        _, places, *blobs = map(list, zip(*rows, strict=True))
        chosen = [runs[place] for place in places]
        found, sizes = catalog.ordinals(
            [run.number for run in chosen], [len(run.passages) for run in chosen], *blobs
        )
        old = found + np.repeat(bases[places], sizes)
        kept = alive[old]
        passages = ordinals[old[kept]].tobytes()
        counts = np.frombuffer(b"".join(counts for *_, counts in rows), np.uint8)[kept].tobytes()
        ends = np.append(0, np.cumsum(kept))[np.cumsum(sizes)].tolist()
        first = 0
        for i, (word, *_) in enumerate(rows):
            last = ends[i]
            if last > first and (i + 1 == len(rows) or rows[i + 1][0] != word):
                yield WordRow(word, passages[4 * first : 4 * last], counts[first:last])
                first = last


def _placed(catalog: WordTables, run: RunRow, place: int) -> Iterator[_Placed]:
    for word, passages, counts in catalog.words_of(run.number):
        yield word, place, passages, counts


def copy(run: RunRow, source: WordTables, target: WordTables, shift: int, born: int) -> None:
    """Take over a run of another collection, its insertion numbers shifted."""
    target.add_run(run.passages + shift, run.lengths, source.words_of(run.number), born)

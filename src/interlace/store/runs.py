"""Runs of words as they are made: from the texts of a commit, and from other runs."""

from __future__ import annotations

import heapq
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from interlace.store.words import RunRow, WordRow, WordTables
from interlace.text import words

RUNS_MAX: Final = 16
"""Runs that a commit sees, unless they are large: each costs a search a look into an index."""

POSTINGS_A_COMMIT: Final = 1 << 19
POSTINGS_A_COMPACTION: Final = 1 << 23
"""So many are merged at most while others wait for the lock: some tenths of a second by a writer,
some seconds when segments are merged. Only a thorough compaction merges all."""

POSTINGS_WAITING: Final = 1 << 21
"""Of a commit that are kept in memory, 12 bytes each, before they are a run."""

COUNT_MAX: Final = 255

_ASKED: Final = 4_096
"""Passages of a run that are looked up to see how many are dead."""

_Placed: TypeAlias = tuple[str, npt.NDArray[np.uint32], bytes]

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


def merge_few(catalog: WordTables, number: int) -> None:
    """Keep small runs few, inside a writer's commit."""
    sizes = catalog.run_sizes(number)
    numbers = list(sizes)
    chosen = choose(list(sizes.values()), POSTINGS_A_COMMIT)
    if chosen:
        merge(catalog, catalog.runs(number, [numbers[i] for i in chosen]), number)


def merge_more(catalog: WordTables, number: int, *, thorough: bool) -> None:
    """Keep all runs few, and few of their passages dead; ``thorough`` makes them one."""
    runs = catalog.runs(number)
    if thorough:
        if len(runs) > 1 or not all(catalog.live_among(run.passages).all() for run in runs):
            merge(catalog, runs, number)
        return
    chosen = choose([run.n_postings for run in runs], POSTINGS_A_COMPACTION)
    merge(catalog, [runs[i] for i in chosen], number)
    for i, run in enumerate(runs):
        some = run.passages[:: max(1, len(run.passages) // _ASKED)]
        if i not in chosen and 1 - catalog.live_among(some).mean() > DEAD_SHARE_MAX:
            merge(catalog, [run], number)


def merge(catalog: WordTables, runs: Sequence[RunRow], number: int) -> None:
    """Put one run in place of several, without what is dead."""
    if not runs:
        return
    passages = np.concatenate([run.passages for run in runs])
    alive = catalog.live_among(passages)
    if alive.any():
        lengths = np.concatenate([run.lengths for run in runs])
        words_left = _merged(catalog, runs, alive)
        catalog.add_run(passages[alive], lengths[alive], words_left, number)
    catalog.retire_runs([run.number for run in runs], number)


def _merged(
    catalog: WordTables, runs: Sequence[RunRow], alive: npt.NDArray[np.bool_]
) -> Iterator[WordRow]:
    """The words of several runs, their ordinals counted through all passages that are alive."""
    ordinals = (np.cumsum(alive) - 1).astype("<u4")
    ends = np.cumsum([len(run.passages) for run in runs]).tolist()
    streams = (
        _placed(catalog, run, end - len(run.passages)) for run, end in zip(runs, ends, strict=True)
    )
    for word, some in groupby(heapq.merge(*streams, key=_word), key=_word):
        rows = list(some)
        old = np.concatenate([passages for _, passages, _ in rows])
        counts = np.frombuffer(b"".join(counts for _, _, counts in rows), np.uint8)
        kept = alive[old]
        if kept.any():
            yield WordRow(word, ordinals[old[kept]].tobytes(), counts[kept].tobytes())


def _placed(catalog: WordTables, run: RunRow, base: int) -> Iterator[_Placed]:
    """The words of a run, their ordinals counted from the passage that it begins at."""
    for row in catalog.words_of(run.number):
        yield row.word, catalog.ordinals(run, row) + np.uint32(base), row.counts


def _word(row: _Placed) -> str:
    return row[0]


def copy(run: RunRow, source: WordTables, target: WordTables, shift: int, born: int) -> None:
    """Take over a run of another collection, its insertion numbers shifted."""
    target.add_run(run.passages + shift, run.lengths, source.words_of(run.number), born)

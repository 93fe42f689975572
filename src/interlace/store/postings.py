"""Posting lists: for each leaf, the passages that have a token there, as gaps between ordinals.

They are made in two passes over the passages, block by block: the first counts each list's words,
the second writes them. In memory are some 50 bytes for each token of a block, 40 for each list, and
as many words as are written at once; where those are not all, the second pass is made again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from interlace.kernels import GAPS

BLOCK_TOKENS = 1 << 22
"""That are sorted at once."""

_WORDS_AT_ONCE = 1 << 26
_FARTHEST = 65_536 - GAPS
"""Times ``GAPS`` that a word can lead ahead."""

Numbers = npt.NDArray[np.int64]
Heads = tuple[Numbers, npt.NDArray[np.uint32]]
"""Of a block of passages where their tokens begin, and all their heads."""


class _Block(NamedTuple):
    """The distinct postings of some passages, by leaf and ordinal."""

    leaves: npt.NDArray[np.uint32]
    starts: Numbers
    ordinals: Numbers

    @property
    def lengths(self) -> Numbers:
        return np.diff(self.starts, append=len(self.ordinals))


class Lists:
    """The posting lists of some passages; ``kernels.SettledArrays`` tells what each array holds.

    Parameters
    ----------
    blocks : callable
        Gives the passages anew at each call, about ``BLOCK_TOKENS`` tokens at a time.

    Attributes
    ----------
    list_cells, list_places, list_offsets : arrays
    """

    def __init__(self, blocks: Callable[[], Iterable[Heads]]) -> None:
        self._blocks = blocks
        self._leaves, n_words = self._counted()
        cells = np.arange(int(self._leaves[-1] >> 8) + 2 if len(self._leaves) else 1) << 8
        self.list_cells = np.searchsorted(self._leaves, cells).astype(np.uint32)
        self.list_places = self._leaves.astype(np.uint8)
        self.list_offsets = np.append(0, np.cumsum(n_words)).astype(np.int64)

    def gaps(self) -> Iterator[npt.NDArray[np.uint16]]:
        """``list_gaps``, some lists at a time."""
        first = 0
        while first < len(self._leaves):
            begin = self.list_offsets[first]
            last = int(np.searchsorted(self.list_offsets, begin + _WORDS_AT_ONCE, side="right")) - 1
            last = max(last, first + 1)
            yield self._written(first, last)
            first = last

    def _counted(self) -> tuple[npt.NDArray[np.uint32], Numbers]:
        """The leaves that have lists, ascending, and the words of each."""
        leaves, n_words, last = np.empty(0, np.uint32), np.empty(0, np.int64), np.empty(0, np.int64)
        for block in self._postings():
            known = np.concatenate([leaves, block.leaves])
            known.sort()  # here, too, np.unique would hash
            known = known[_is_first(known)]
            at = np.searchsorted(known, leaves)
            n_words, last = _spread(n_words, at, len(known)), _spread(last, at, len(known))
            leaves, at = known, np.searchsorted(known, block.leaves)
            n = 1 + _n_far(_gaps(block, last[at]))
            n_words[at] += np.add.reduceat(n, block.starts)
            last[at] = block.ordinals[block.starts + block.lengths - 1]
        return leaves, n_words

    def _written(self, first: int, last: int) -> npt.NDArray[np.uint16]:
        """The words of lists ``[first, last)``."""
        words = np.empty(self.list_offsets[last] - self.list_offsets[first], np.uint16)
        leaves = self._leaves[first:last]
        ends = self.list_offsets[first:last] - self.list_offsets[first]  # of what is written
        ordinals = np.zeros(len(leaves), np.int64)
        some = None if len(leaves) == len(self._leaves) else leaves
        for block in self._postings(some):
            at = np.searchsorted(leaves, block.leaves)
            gaps = _gaps(block, ordinals[at])
            n = 1 + _n_far(gaps)
            after = np.cumsum(n)
            before_list = after[block.starts] - n[block.starts]
            places = after - 1 + np.repeat(ends[at] - before_list, block.lengths)
            words[places] = gaps % GAPS
            for ahead in range(1, int(n.max())):
                far = np.flatnonzero(n > ahead)
                times = np.minimum(gaps[far] // GAPS - (ahead - 1) * _FARTHEST, _FARTHEST)
                words[places[far] - n[far] + ahead] = GAPS - 1 + times
            ends[at] += np.add.reduceat(n, block.starts)
            ordinals[at] = block.ordinals[block.starts + block.lengths - 1]
        return words

    def _postings(self, leaves: npt.NDArray[np.uint32] | None = None) -> Iterator[_Block]:
        """What blocks hold of all leaves, or of some that follow each other."""
        first = 0
        for offsets, heads in self._blocks():
            last = first + len(offsets) - 1
            owners = np.repeat(np.arange(first, last, dtype=np.uint64), np.diff(offsets))
            if leaves is not None:
                inside = (heads >> 8 >= leaves[0]) & (heads >> 8 <= leaves[-1])
                heads, owners = heads[inside], owners[inside]
            pairs = heads.astype(np.uint64)
            pairs >>= np.uint64(8)
            pairs <<= np.uint64(32)
            pairs |= owners
            pairs.sort()  # np.unique would hash first, which takes far longer on such pairs
            pairs = pairs[_is_first(pairs)]
            ordinals = pairs.astype(np.uint32).astype(np.int64)  # keeps the low bits
            pairs >>= np.uint64(32)
            starts = np.flatnonzero(_is_first(pairs))
            if len(starts):
                yield _Block(pairs[starts].astype(np.uint32), starts, ordinals)
            first = last


def _gaps(block: _Block, last: Numbers) -> Numbers:
    """How far each posting is from the one before it, and a list's first here from ``last``."""
    gaps = np.diff(block.ordinals, prepend=0)
    gaps[block.starts] = block.ordinals[block.starts] - last
    return gaps


def _n_far(gaps: Numbers) -> Numbers:
    """Words that lead ahead without naming a passage."""
    return -(-(gaps // GAPS) // _FARTHEST)


def _spread(values: Numbers, at: Numbers, n: int) -> Numbers:
    """Zeros, but these values at their places."""
    spread = np.zeros(n, np.int64)
    spread[at] = values
    return spread


def _is_first(values: npt.NDArray[np.unsignedinteger[Any]]) -> npt.NDArray[np.bool_]:
    """Where a sorted array has a value for the first time."""
    first = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=first[1:])
    return first

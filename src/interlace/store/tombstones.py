"""Which passages of each segment are dead. Read once; from then on only what has died since.

So a commit, and the snapshot after it, cost the same whatever the size of the collection.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from interlace.store.catalog import Catalog
from interlace.store.segment import Numbers, Segment

Bits = npt.NDArray[np.uint8]

_FORGOTTEN_MAX = 4_096
"""Dead numbers that no segment holds any more and that are kept none the less."""


class Dead(NamedTuple):
    """The dead of a segment.

    Attributes
    ----------
    ordinals : (n,) int64, ascending
    n_tokens : int
        Of these passages.
    alive : (ceil(n_passages / 8),) uint8
        The others as bits, lowest first.
    """

    ordinals: Numbers
    n_tokens: int
    alive: Bits

    @property
    def n(self) -> int:
        """How many."""
        return len(self.ordinals)


@dataclass(frozen=True, eq=False, slots=True)
class Tombstones:
    """What is dead at a commit.

    Attributes
    ----------
    commit : int
    numbers : (n,) int64
        Insertion numbers of dead passages, ascending; some that no segment holds may be among them.
    of : mapping of str to Dead
        By a segment's name.
    """

    commit: int
    numbers: Numbers
    of: Mapping[str, Dead]

    def at(self, catalog: Catalog, commit: int, segments: Iterable[Segment]) -> Tombstones:
        """The same at a later commit, for the segments that it sees, or for some of them."""
        new = catalog.dead_passages(commit, after=self.commit)
        numbers = self.numbers
        if len(new):
            numbers = np.insert(numbers, np.searchsorted(numbers, new), new)
        of = {}
        for segment in segments:
            known = self.of.get(segment.row.name)
            if known is None:
                of[segment.row.name] = _dead(segment, segment.ordinals(numbers))
            else:
                ordinals = segment.ordinals(new) if len(new) else new
                of[segment.row.name] = _and(segment, known, ordinals) if len(ordinals) else known
        return Tombstones(commit, numbers, of)

    @property
    def are_many_forgotten(self) -> bool:
        """Whether most numbers are those of passages that none of these segments holds."""
        return len(self.numbers) > 2 * sum(dead.n for dead in self.of.values()) + _FORGOTTEN_MAX

    def without_forgotten(self, segments: Sequence[Segment]) -> Tombstones:
        """The same without the numbers that none of a commit's segments holds."""
        held = (segment.passages[self.of[segment.row.name].ordinals] for segment in segments)
        numbers = np.concatenate([NONE.numbers, *held])
        return Tombstones(self.commit, np.sort(numbers), self.of)


NONE = Tombstones(-1, np.empty(0, np.int64), {})
"""Before any commit: what all tombstones are found from."""


def alive(segments: Sequence[Segment], tombstones: Tombstones) -> Bits | None:
    """A bitmap over the rows of these segments; None when none is dead.

    A segment's bits are moved to where its rows begin: rows are counted through, so a small write
    shifts those of all that follow.
    """
    of = [tombstones.of[segment.row.name] for segment in segments]
    if not any(dead.n for dead in of):
        return None
    n_rows = sum(len(segment.passages) for segment in segments)
    bits, base = np.zeros(-(-n_rows // 8) + 1, np.uint8), 0
    for segment, dead in zip(segments, of, strict=True):
        at, shift = divmod(base, 8)
        end = at + len(dead.alive)
        bits[at:end] |= dead.alive << np.uint8(shift)
        if shift:
            bits[at + 1 : end + 1] |= dead.alive >> np.uint8(8 - shift)
        base += len(segment.passages)
    return bits[: -(-n_rows // 8)]


def _dead(segment: Segment, ordinals: Numbers) -> Dead:
    n = len(segment.passages)
    full = np.full(-(-n // 8), 255, np.uint8)
    if n % 8:
        full[-1] = (1 << n % 8) - 1
    return _and(segment, Dead(np.empty(0, np.int64), 0, full), ordinals)


def _and(segment: Segment, known: Dead, ordinals: Numbers) -> Dead:
    """The dead of a segment, and these."""
    lengths = segment.offsets[ordinals + 1] - segment.offsets[ordinals]
    alive = known.alive.copy()
    np.bitwise_and.at(alive, ordinals >> 3, ~(1 << (ordinals & 7)).astype(np.uint8))
    joined = np.insert(known.ordinals, np.searchsorted(known.ordinals, ordinals), ordinals)
    return Dead(joined, known.n_tokens + int(lengths.sum()), alive)

"""Many segments as one list of passages, in insertion order, read part by part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from interlace.store.postings import BLOCK_TOKENS, Heads
from interlace.store.segment import Numbers, Part, Segment


class Parts:
    """The live passages of some segments of one kind, in insertion order, read part by part.

    Parameters
    ----------
    segments : sequence of Segment
    dead : (n,) int64
        Insertion numbers to leave out, ascending.

    Attributes
    ----------
    passages, documents : (n,) int64
        Insertion numbers, the passages' ascending.
    lengths : (n,) int64
        Tokens of each passage.
    """

    def __init__(self, segments: Sequence[Segment], dead: Numbers) -> None:
        self._segments = segments
        alive, owners = [], []
        for owner, segment in enumerate(segments):
            lives = np.ones(len(segment.passages), bool)
            lives[segment.ordinals(dead)] = False
            alive.append(np.flatnonzero(lives))
            owners.append(np.full(len(alive[-1]), owner, np.int64))
        pairs = list(zip(segments, alive, strict=True))
        passages = _joined([segment.passages[ordinals] for segment, ordinals in pairs])
        documents = _joined([segment.documents[ordinals] for segment, ordinals in pairs])
        lengths = _joined([np.diff(segment.offsets)[ordinals] for segment, ordinals in pairs])
        order = np.argsort(passages, kind="stable")
        self._ordinals, self._owners = _joined(alive)[order], _joined(owners)[order]
        self.passages, self.documents = passages[order], documents[order]
        self.lengths = lengths[order]

    def __len__(self) -> int:
        return len(self._ordinals)

    @property
    def n_tokens(self) -> int:
        """Tokens of all live passages."""
        return int(self.lengths.sum())

    def part(self, first: int, last: int, names: Sequence[str] = ()) -> Part:
        """Passages ``[first, last)`` of the list, with all token arrays or those named."""
        return self.take(np.arange(first, last), names)

    def take(self, at: Numbers, names: Sequence[str] = ()) -> Part:
        """The passages at these positions, ascending."""
        owners, ordinals = self._owners[at], self._ordinals[at]
        breaks = np.flatnonzero((np.diff(owners) != 0) | (np.diff(ordinals) != 1)) + 1
        starts = np.append(0, breaks)[: len(at)]
        ends = np.append(breaks, len(at))[: len(starts)]
        runs = [
            self._segments[owners[start]].part(
                int(ordinals[start]), int(ordinals[end - 1]) + 1, names
            )
            for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
        ]
        return joined(runs, self._segments)

    def spans(
        self, n_tokens_max: int, first: int = 0, last: int | None = None
    ) -> Iterator[tuple[int, int]]:
        """Cut ``[first, last)`` into spans of at most so many tokens, but at least a passage."""
        last = len(self) if last is None else last
        ends = np.cumsum(self.lengths)
        while first < last:
            before = int(ends[first - 1]) if first else 0
            end = int(np.searchsorted(ends, before + n_tokens_max, side="right"))
            end = min(max(end, first + 1), last)
            yield first, end
            first = end

    def heads(self) -> Iterator[Heads]:
        """What posting lists are made of."""
        for first, last in self.spans(BLOCK_TOKENS):
            part = self.part(first, last, ("heads",))
            yield part.offsets, part.tokens["heads"]


def joined(parts: Sequence[Part], segments: Sequence[Segment] = ()) -> Part:
    """Parts one after another; where some have token ids, those of the others are -1.

    ``segments`` tells the arrays' names and widths where there are no parts.
    """
    if not parts:
        return segments[0].part(0, 0)
    if len(parts) == 1:
        return parts[0]
    tokens = {
        name: np.concatenate([part.tokens[name] for part in parts])
        for name in parts[0].tokens
        if name != "token_ids"
    }
    typed = with_ids([(part.n_tokens, part.tokens.get("token_ids")) for part in parts])
    return Part(
        np.concatenate([part.passages for part in parts]),
        np.concatenate([part.documents for part in parts]),
        np.concatenate([part.lengths for part in parts]),
        tokens if typed is None else {**tokens, "token_ids": typed},
    )


def with_ids(
    parts: Sequence[tuple[int, npt.NDArray[np.int32] | None]],
) -> npt.NDArray[np.int32] | None:
    """Join the token ids of parts of so many tokens: -1 where they lack, None where all do."""
    if all(ids is None for n, ids in parts if n):
        return None
    return np.concatenate([np.full(n, -1, np.int32) if ids is None else ids for n, ids in parts])


def _joined(arrays: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return np.concatenate(arrays) if len(arrays) else np.empty(0, np.int64)

"""Posting lists: for each leaf, the passages that have a token there, in blocks of 65,536 passages.

A block's ordinals fit 16 bits, and a walk over it needs one small array of accumulators. Building
takes about 20 bytes a token of one block beyond what it returns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from interlace.kernels import BLOCK


def build(
    offsets: npt.NDArray[np.int64], leaves: npt.NDArray[np.uint32]
) -> dict[str, npt.NDArray[Any]]:
    """The list arrays of ``kernels.SettledArrays`` for passages at ``offsets`` of ``leaves``."""
    n_passages = len(offsets) - 1
    parts = [
        _block(offsets[first : min(first + BLOCK, n_passages) + 1], leaves)
        for first in range(0, n_passages, BLOCK)
    ]
    lengths = np.concatenate([part[1] for part in parts] or [np.empty(0, np.int64)])
    n_lists = np.array([len(part[0]) for part in parts], np.int64)
    return {
        "block_offsets": np.append(0, np.cumsum(n_lists)).astype(np.int64),
        "list_leaves": np.concatenate([part[0] for part in parts] or [np.empty(0, np.uint32)]),
        "list_offsets": np.append(0, np.cumsum(lengths)).astype(np.int64),
        "list_ordinals": np.concatenate([part[2] for part in parts] or [np.empty(0, np.uint16)]),
    }


def _block(
    offsets: npt.NDArray[np.int64], leaves: npt.NDArray[np.uint32]
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64], npt.NDArray[np.uint16]]:
    """Distinct (leaf, ordinal) pairs of one block: the leaves, list lengths, and ordinals."""
    pairs = leaves[offsets[0] : offsets[-1]].astype(np.uint64)
    pairs <<= np.uint64(16)
    pairs |= np.repeat(np.arange(len(offsets) - 1, dtype=np.uint16), np.diff(offsets))
    pairs.sort()  # np.unique would hash first, which takes far longer on such pairs
    pairs = pairs[_is_first(pairs)]
    ordinals = pairs.astype(np.uint16)  # keeps the low bits
    pairs >>= np.uint64(16)
    starts = np.flatnonzero(_is_first(pairs))
    return (
        pairs[starts].astype(np.uint32),
        np.diff(np.append(starts, len(pairs))).astype(np.int64),
        ordinals,
    )


def _is_first(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Where a sorted array has a value for the first time."""
    first = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=first[1:])
    return first

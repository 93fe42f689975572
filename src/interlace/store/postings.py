"""Posting lists: for each leaf, the passages that have a token there, in blocks of 65,536 passages.

A block's ordinals fit 16 bits, and a walk over it needs one small array of accumulators. Building
takes about 20 bytes a token of one block beyond what it returns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from interlace.files import Array
from interlace.kernels import BLOCK


class Block(NamedTuple):
    """The lists of one block: ``kernels.SettledArrays`` tells what each array holds."""

    list_cells: npt.NDArray[np.uint32]
    list_places: npt.NDArray[np.uint8]
    list_offsets: npt.NDArray[np.uint32]
    list_ordinals: npt.NDArray[np.uint16]


def build(
    offsets: npt.NDArray[np.int64], tokens: Mapping[str, Array], n_cells: int
) -> dict[str, Array]:
    """The list arrays of ``kernels.SettledArrays`` for passages at ``offsets`` of ``tokens``.

    Cells from ``n_cells`` on have no lists.
    """
    n_passages = len(offsets) - 1
    blocks = [
        block(offsets[first : min(first + BLOCK, n_passages) + 1], tokens, n_cells)
        for first in range(0, n_passages, BLOCK)
    ]
    nothing = Block(
        np.empty((0, n_cells + 1), np.uint32),
        np.empty(0, np.uint8),
        np.empty(0, np.uint32),
        np.empty(0, np.uint16),
    )
    joined = Block(*(np.concatenate(parts) for parts in zip(nothing, *blocks, strict=True)))
    return {
        "block_lists": _ends([len(one.list_places) for one in blocks]),
        "block_postings": _ends([len(one.list_ordinals) for one in blocks]),
        **joined._asdict(),
    }


def block(offsets: npt.NDArray[np.int64], tokens: Mapping[str, Array], n_cells: int) -> Block:
    """The lists of the passages of one block: distinct (cell, place, ordinal), in order."""
    span = slice(int(offsets[0]), int(offsets[-1]))
    pairs = tokens["heads"][span].astype(np.uint64)
    pairs >>= np.uint64(8)
    pairs <<= np.uint64(16)
    pairs |= np.repeat(np.arange(len(offsets) - 1, dtype=np.uint16), np.diff(offsets))
    pairs.sort()  # np.unique would hash first, which takes far longer on such pairs
    pairs = pairs[_is_first(pairs)]
    ordinals = pairs.astype(np.uint16)  # keeps the low bits
    pairs >>= np.uint64(16)
    starts = np.flatnonzero(_is_first(pairs))
    leaves = pairs[starts]
    cells = np.arange(n_cells + 1, dtype=np.uint64) << np.uint64(8)
    return Block(
        np.searchsorted(leaves, cells).astype(np.uint32)[None],
        leaves.astype(np.uint8),
        np.append(starts, len(pairs)).astype(np.uint32),
        ordinals,
    )


def _ends(lengths: list[int]) -> npt.NDArray[np.int64]:
    return np.append(0, np.cumsum(np.array(lengths, np.int64))).astype(np.int64)


def _is_first(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Where a sorted array has a value for the first time."""
    first = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=first[1:])
    return first

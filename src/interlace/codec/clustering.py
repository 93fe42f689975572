"""Cells and leaves: the centroids that residuals refer to, clustered apart for each token type.

The tokens of one vocabulary id form a tight, small family, so k-means over all vectors falls apart
into thousands of small problems (TACHIOM, arXiv 2604.28142, section 3). Two levels keep a query
cheap at any size: it scores every *cell*, and only the *leaves* of its best cells.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from interlace.kernels import Kernels, Quantised

TOKENS_PER_CELL, TOKENS_PER_LEAF = 50, 200
"""Of a small collection, and of a large one. A leaf more costs 132 bytes; a leaf fewer makes
residuals a little longer, and posting lists (benchmarks/leaves.py)."""

CELLS_MIN, CELLS_MAX = 16_384, 65_536
"""At most as many cells as sixteen bits can tell apart."""

LEAVES_A_CELL_MAX = 256
"""What eight bits can tell apart."""

CELLS_A_GROUP = 32
"""About the root of the number of cells: a query looks at all groups, and at the cells of some."""

TYPES_MAX = 32_768
"""The rarer token types of a larger vocabulary share ``RARE_GROUPS`` groups."""

RARE_GROUPS = 4_096

TOKENS_PER_CENTROID_MIN = 8
"""No type gets more centroids than this leaves tokens to each."""


class Tokens(NamedTuple):
    """Quantised token embeddings with their vocabulary ids, in insertion order.

    Attributes
    ----------
    codes : (n, dim) int8
    scales : (n,) float32
    token_ids : (n,) int32, or None when the embeddings came without
    """

    codes: npt.NDArray[np.int8]
    scales: npt.NDArray[np.float32]
    token_ids: npt.NDArray[np.int32] | None


def wanted_leaves(n_tokens: int) -> int:
    """How many leaves a collection of this size should have.

    One for so many tokens, then with the root of the size, then again one for so many.
    """
    by_root = max(CELLS_MIN, int(17 * n_tokens**0.5))
    return max(1, min(n_tokens // TOKENS_PER_CELL, by_root), n_tokens // TOKENS_PER_LEAF)


def wanted_cells(n_tokens: int) -> int:
    """How many cells: each is its own leaf, up to some thirteen million tokens."""
    return min(CELLS_MAX, wanted_leaves(n_tokens))


def group_types(
    token_ids: npt.NDArray[np.int32], known: npt.NDArray[np.int32] | None = None
) -> npt.NDArray[np.int32]:
    """The type of each token: its vocabulary id, or a group for the rare of a large vocabulary.

    ``known`` holds the types that a trained codec has; without it the types are chosen here.
    Groups are negative, so they never meet a vocabulary id.
    """
    if known is None:
        ids, counts = np.unique(token_ids, return_counts=True)
        if len(ids) <= TYPES_MAX:
            return token_ids
        known = np.sort(ids[np.lexsort((ids, -counts))[: TYPES_MAX - RARE_GROUPS]])
    elif not len(known) or known[0] >= 0:
        return token_ids
    at = np.minimum(np.searchsorted(known, token_ids), len(known) - 1)
    return np.where(known[at] == token_ids, token_ids, -1 - token_ids % RARE_GROUPS)


def new_cells(
    codes: npt.NDArray[np.int8],
    types: npt.NDArray[np.int32],
    known: npt.NDArray[np.int32],
    budget: int,
    room: int,
    kernels: Kernels,
    n_threads: int,
) -> tuple[Quantised, npt.NDArray[np.int32]]:
    """Cells for some tokens, and the ascending type of each.

    Parameters
    ----------
    known : (n,) int32
        Types that have cells already; the others get at least one each.
    budget : int
        How many cells the types share; those without any yet may exceed it.
    room : int
        More than these there cannot be: the rarest types then go without.
    """
    order = np.argsort(types, kind="stable")
    found, starts = np.unique(types[order], return_index=True)
    counts = np.diff(np.append(starts, len(order)))
    k = _shares(counts, budget, ~np.isin(found, known))
    frequent = np.argsort(-counts, kind="stable")
    k[frequent[np.cumsum(k[frequent]) > room]] = 0
    rows = codes[order[np.repeat(k > 0, counts)]]
    offsets = np.append(0, np.cumsum(counts[k > 0])).astype(np.int64)
    return kernels.cluster(rows, offsets, k[k > 0], n_threads=n_threads), np.repeat(found, k)


def new_groups(
    cells: Quantised, kernels: Kernels, n_threads: int
) -> tuple[Quantised, npt.NDArray[np.uint32]]:
    """Groups of cells, whatever their types, and the group of each cell."""
    n = len(cells.scales)
    k = max(min(n, 1), n // CELLS_A_GROUP)
    if not n:
        return cells, np.empty(0, np.uint32)
    whole = np.array([0, n], np.int64)
    groups = kernels.cluster(cells.codes, whole, np.array([k], np.int64), n_threads=n_threads)
    first, last = np.zeros(n, np.int64), np.full(n, k, np.int64)
    return groups, kernels.assign(cells.codes, first, last, groups, n_threads)


def new_leaves(
    codes: npt.NDArray[np.int8],
    own: npt.NDArray[np.int64],
    cells: Quantised,
    n_leaves: npt.NDArray[np.int64],
    budget: int,
    kernels: Kernels,
    n_threads: int,
) -> tuple[Quantised, npt.NDArray[np.uint32]]:
    """Leaves for some tokens, by the cells that they are in, and the ascending cell of each.

    Parameters
    ----------
    own : (n,) int64
        The cell of each token.
    cells : Quantised
        All cells.
    n_leaves : (n_cells,) int64
        How many leaves each has. Those without get at least one: a cell of few tokens is its own
        leaf.
    """
    n_cells = len(cells.scales)
    members = np.bincount(own, minlength=n_cells)
    k = np.rint(members * (budget / len(codes))).astype(np.int64)
    k = np.minimum(k, members // TOKENS_PER_CENTROID_MIN)
    k = np.minimum(k, LEAVES_A_CELL_MAX - n_leaves)
    is_new = n_leaves == 0
    k[is_new & (k == 1)] = 0
    rows = codes[np.argsort(own, kind="stable")[np.repeat(k > 0, members)]]
    offsets = np.append(0, np.cumsum(members[k > 0])).astype(np.int64)
    split = kernels.cluster(rows, offsets, k[k > 0], n_threads=n_threads)
    whole = np.flatnonzero(is_new & (k == 0))
    parents = np.concatenate([np.repeat(np.arange(n_cells), k), whole])
    order = np.argsort(parents, kind="stable")
    leaves = Quantised(
        np.concatenate([split.codes, cells.codes[whole]])[order],
        np.concatenate([split.scales, cells.scales[whole]])[order],
    )
    return leaves, parents[order].astype(np.uint32)


def _shares(
    counts: npt.NDArray[np.int64], budget: int, without: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int64]:
    """Cells of each type: by sqrt(n) log(n + 1), so that frequent types do not take them all.

    A type ``without`` cells gets at least one. The logarithm is exact at powers of two and linear
    between them, so that every machine's library computes the same.
    """
    mantissa, exponent = np.frexp(counts + 1.0)
    weight = np.sqrt(counts) * (exponent - 2 + 2 * mantissa)
    wanted = np.rint(weight * (budget / math.fsum(weight.tolist()))).astype(np.int64)
    least = without.astype(np.int64)
    most = np.maximum(least, counts // TOKENS_PER_CENTROID_MIN)
    shares: npt.NDArray[np.int64] = np.clip(wanted, least, most)
    return shares

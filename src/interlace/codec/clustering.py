"""Cells and leaves: the centroids that residuals refer to, clustered apart for each token type.

The tokens of one vocabulary id form a tight, small family, so k-means over all vectors falls apart
into thousands of small problems (TACHIOM, arXiv 2604.28142, section 3). Two levels keep a query
cheap at any size: it scores every *cell*, and only the *leaves* of its best cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from interlace.kernels import Kernels, Quantised

TOKENS_PER_LEAF = 50
"""A leaf more costs 132 bytes; a leaf fewer makes residuals longer and posting lists too."""

CELLS_MIN, CELLS_MAX = 16_384, 65_536
"""At most as many cells as their table for a query fits a second-level cache."""

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


@dataclass(frozen=True, slots=True, eq=False)
class Centroids:
    """One chunk of cells and leaves, as it is stored.

    Attributes
    ----------
    cells : Quantised, (n_cells, dim)
    cell_types : (n_cells,) int32, ascending
    leaves : Quantised, (n_leaves, dim), grouped by cell
    cell_leaves : (n_cells,) int64, how many leaves each cell has
    """

    cells: Quantised
    cell_types: npt.NDArray[np.int32]
    leaves: Quantised
    cell_leaves: npt.NDArray[np.int64]


def wanted_leaves(n_tokens: int) -> int:
    """How many leaves a collection of this size should have."""
    return max(1, n_tokens // TOKENS_PER_LEAF)


def wanted_cells(n_tokens: int) -> int:
    """How many cells: as many as leaves while that is cheap, then with the root of the size.

    Measured (docs/explanation/codec.md): 16,000 cells rank candidates well at a million tokens,
    48,000 at fifteen million.
    """
    by_size = min(CELLS_MAX, max(CELLS_MIN, int(17 * n_tokens**0.5)))
    leaves = wanted_leaves(n_tokens)
    return leaves if leaves <= min(CELLS_MAX, by_size * 3 // 2) else by_size


def group_types(
    token_ids: npt.NDArray[np.int32], known: npt.NDArray[np.int32] | None = None
) -> npt.NDArray[np.int32]:
    """The type of each token: its vocabulary id, or a group for the rare ones of a large vocabulary.

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


def centroids(
    codes: npt.NDArray[np.int8],
    types: npt.NDArray[np.int32],
    n_cells: int,
    n_leaves: int,
    kernels: Kernels,
    n_threads: int,
) -> Centroids:
    """Cluster some tokens: each type gets cells by its share, each cell leaves by its tokens."""
    order = np.argsort(types, kind="stable")
    rows = codes[order]
    found, starts = np.unique(types[order], return_index=True)
    offsets = np.append(starts, len(rows)).astype(np.int64)
    k = _shares(np.diff(offsets), n_cells)
    cells = kernels.cluster(rows, offsets, k, n_threads=n_threads)
    cell_types = np.repeat(found, k)
    if n_leaves <= len(cells.scales) * 3 // 2:
        return Centroids(cells, cell_types, cells, np.ones(len(cell_types), np.int64))
    first = np.repeat(np.cumsum(k) - k, np.diff(offsets))
    last = np.repeat(np.cumsum(k), np.diff(offsets))
    own = kernels.assign(rows, first, last, cells, n_threads=n_threads)
    members = np.bincount(own, minlength=len(cell_types)).astype(np.int64)
    k = np.clip(np.rint(members * (n_leaves / len(rows))).astype(np.int64), 0, None)
    k = np.minimum(k, members // TOKENS_PER_CENTROID_MIN)
    grown = k > 1
    rows = rows[np.argsort(own, kind="stable")]
    inside = np.repeat(grown, members)
    leaves = kernels.cluster(
        rows[inside], np.append(0, np.cumsum(members[grown])), k[grown], n_threads=n_threads
    )
    return _interleave(cells, cell_types, leaves, np.where(grown, k, 1), grown)


def _interleave(
    cells: Quantised,
    cell_types: npt.NDArray[np.int32],
    grown_leaves: Quantised,
    cell_leaves: npt.NDArray[np.int64],
    grown: npt.NDArray[np.bool_],
) -> Centroids:
    """A cell that is too small to be split is its own single leaf."""
    from_grown = np.repeat(grown, cell_leaves)
    codes = np.empty((len(from_grown), cells.codes.shape[1]), np.int8)
    scales = np.empty(len(from_grown), np.float32)
    codes[from_grown], scales[from_grown] = grown_leaves
    codes[~from_grown], scales[~from_grown] = cells.codes[~grown], cells.scales[~grown]
    return Centroids(cells, cell_types, Quantised(codes, scales), cell_leaves)


def _shares(counts: npt.NDArray[np.int64], budget: int) -> npt.NDArray[np.int64]:
    """Centroids of each type: by sqrt(n) log(n + 1), so that frequent types do not take them all.

    At least one each; the budget may be exceeded by types that are many and rare.
    """
    weight = np.sqrt(counts) * np.log2(counts + 1.0)
    wanted = np.rint(weight * (budget / weight.sum())).astype(np.int64)
    shares: npt.NDArray[np.int64] = np.clip(
        wanted, 1, np.maximum(1, counts // TOKENS_PER_CENTROID_MIN)
    )
    return shares

"""The residual codec: a leaf, a residual at 1, 2 or 4 bits a coordinate, and a byte of scales.

Rotated and scaled to unit variance, a residual's coordinates are nearly Gaussian whatever the
model, so the levels are constants (a trellis's, for a Gaussian) and only centroids are trained. A
factor restores unit length. docs/explanation/codec.md has what lost against this.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from interlace.chance import draws
from interlace.codec import clustering
from interlace.codec.clustering import Tokens
from interlace.kernels import (
    CENTROID_DEVIATION,
    CodecArrays,
    Handle,
    Kernels,
    Quantised,
    centroid_length,
    joined,
    residuals,
    unpack,
)
from interlace.progress import Progress, silent

_POSITIVE_LEVELS = {
    1: (0.3897, 1.1864),
    2: (0.1745, 0.6344, 1.069, 1.8701),
    4: (0.0569, 0.1832, 0.2991, 0.4261, 0.5461, 0.6785, 0.8064, 0.9475, 1.0886, 1.2448, 1.4152,
        1.6074, 1.8392, 2.1329, 2.5236, 3.1156),
}  # fmt: skip
_ERROR = {1: 0.3178, 2: 0.089, 4: 0.0065}
"""What a trellis rounds a unit Gaussian to, the positive half, and the mean square of what remains:
0.36, 0.12 and 0.0095 where each coordinate is rounded by itself (benchmarks/levels.py)."""

_LENGTHS = (0, 0.16, 0.187, 0.218, 0.255, 0.298, 0.347, 0.406, 0.473, 0.553, 0.645, 0.753, 0.879,
            1.03, 1.2, 1.4)  # fmt: skip
"""Of residuals, in units: each norm is a sixth longer than the one before.

A unit is the leaf's length, or a half or a quarter of it where a model's tokens differ so little.
"""

_UNIT_MIN = 0.25
"""In a smaller one the shortest residuals would be less than a step of the leaf's levels."""

_DEVIATIONS = 3
"""The sixteen factors of a norm reach so far on both sides of their mean."""

_LOSS = {1: 0.17, 2: 0.047, 4: 0.0048}
_SPREAD = {1: 0.52, 2: 0.3, 4: 0.085}
"""What rounding a residual of length r does to the length of the sum: on average its square grows
by so much of r squared, with a deviation of so much of r over the square root of ``dim``: alike for
real tokens in 128, 64 and 32 dimensions (benchmarks/factors.py)."""

_CHUNK_SHARE = 1 / 32
"""A chunk adds at least such a share of the leaves: each is synced, and loads the codec again."""

_RATE_WITHOUT_IDS = 2
"""So many times as many later leaves: routers of a first few tokens tell less than types do."""

_MISFITS_A_LEAF = 16
"""Tokens that a later leaf is clustered from, of those that lie farthest from the leaves there are.

Without token ids all are taken: the farthest of a router's tokens have too little in common.
"""
_WINDOWS, _WINDOW = 256, 128
"""Stand-in passages when fairness is measured, and the tokens of each."""

_QUERIES, _QUERY_TOKENS, _HEAD = 24, 16, 10
"""Stand-in queries, their tokens, and how many passages at the head of their ranking count.

Ten of 256 come close to what real queries' first ten hits show (benchmarks/fairness.py).
"""


Rows: TypeAlias = Mapping[str, npt.NDArray[Any]]
"""Arrays by name, with a row for each centroid of a kind."""

DTYPES: Final = {
    "cells": "i1", "cell_scales": "<f4", "cell_types": "<i4", "cell_groups": "<u4",
    "leaves": "i1", "leaf_scales": "<f4", "leaf_cells": "<u4",
    "groups": "i1", "group_scales": "<f4", "routers": "i1", "router_scales": "<f4",
}  # fmt: skip
"""The arrays of a codec, and the types of their rows: those of int8 have ``dim`` columns."""


def no_rows(dim: int) -> dict[str, npt.NDArray[Any]]:
    """Of a codec that is yet to be trained."""
    return {
        name: np.empty((0, dim) if dtype == "i1" else 0, dtype) for name, dtype in DTYPES.items()
    }


def rotation_signs(dim: int, seed: int) -> npt.NDArray[np.int8]:
    """The sign flips of ``kernels.rotate``, ``(2, dim)`` of -1 and 1."""
    bits = (draws(2 * dim, seed) >> np.uint64(63)).astype(np.int8)
    return (bits * 2 - 1).reshape(2, dim)


def stretch(bits: int) -> float:
    """What residuals and levels are multiplied with: the levels that round best are too short."""
    return float(np.float32(1 / math.sqrt(1 - _ERROR[bits])))


def levels(bits: int) -> npt.NDArray[np.float32]:
    """What a coordinate of unit deviation, stretched, is rounded to: (2**(bits + 1),) float32."""
    positive = np.array(_POSITIVE_LEVELS[bits])
    both = np.concatenate([-positive[::-1], positive])
    return (both * stretch(bits)).astype(np.float32)


def norms(unit: float = 1.0) -> npt.NDArray[np.float32]:
    """What a residual's levels are multiplied with, ``(16,)`` float32."""
    return np.array(_LENGTHS, np.float32) * np.float32(unit * CENTROID_DEVIATION)


def factors(bits: int, dim: int, unit: float = 1.0) -> npt.NDArray[np.float32]:
    """What brings leaf and residual to unit length, ``(256,)`` float32: sixteen for each norm."""
    lengths = unit * np.maximum(_LENGTHS, _LENGTHS[1] / 2)
    means = 1 / np.sqrt(1 + _LOSS[bits] * lengths**2)
    reach = _DEVIATIONS * _SPREAD[bits] / math.sqrt(dim) * lengths
    both = means + np.linspace(-1, 1, 16)[:, None] * reach
    scaled: npt.NDArray[np.float32] = (both.ravel() / centroid_length(dim)).astype(np.float32)
    return scaled


class Coded(NamedTuple):
    """What stands for some tokens.

    Attributes
    ----------
    heads : (n,) uint32
        ``cell << 16 | place << 8 | scale code``: its place is the leaf's among those of its cell.
    codes : (n, width) uint8
    """

    heads: npt.NDArray[np.uint32]
    codes: npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Generation:
    """A trained codec. Its rows are only ever appended to, a chunk at a time.

    Attributes
    ----------
    description : mapping
        JSON-able: ``bits``, ``dim``, ``fairness``, ``mean_cosine``, ``residual`` (the mean length
        of the residuals it was trained on, in units), ``typed``, ``unit`` (of residuals' lengths,
        beside their leaf's).
    rows : mapping of name to array
        ``cells``, ``cell_scales``, ``cell_types``, ``cell_groups``: the group of each;
        ``groups``, ``group_scales``; ``leaves``, ``leaf_scales``, ``leaf_cells``: the cell of each,
        without rows as long as each cell is its own leaf; ``routers``, ``router_scales``, which
        stand for types where embeddings come without token ids, else without rows.
    n_tokens : int
        What it held when it was made or last grown, with what it was grown for.
    """

    description: Mapping[str, Any]
    rows: Rows
    n_tokens: int

    @classmethod
    def load(cls, description: Mapping[str, Any], rows: Rows, n_tokens: int) -> Self:
        """Take back what ``description``, ``rows`` and ``n_tokens`` gave."""
        return cls(description, rows, n_tokens)

    @classmethod
    def train(
        cls,
        bits: int,
        tokens: Tokens,
        *,
        n_tokens: int,
        kernels: Kernels,
        n_threads: int,
        progress: Progress = silent,
    ) -> Self:
        """Cluster a sample and measure what the codec does to scores."""
        progress("cluster", 0, 2)
        empty = no_rows(tokens.codes.shape[1])
        if tokens.token_ids is None:
            routers = _routers(tokens.codes, n_tokens, kernels, n_threads)
            empty |= {"routers": routers.codes, "router_scales": routers.scales}
            types = _route(tokens.codes, routers, kernels, n_threads)
        else:
            types = clustering.group_types(tokens.token_ids)
        description = {
            "bits": bits,
            "dim": tokens.codes.shape[1],
            "typed": tokens.token_ids is not None,
            "fairness": 1.0,
            "mean_cosine": 1.0,
            "residual": 0.0,
            "unit": _unit(tokens.codes),
        }
        wanted = clustering.wanted_leaves(n_tokens)
        draft = cls(description, empty, 0)._with_more(
            tokens, types, n_tokens, wanted, kernels, n_threads
        )
        progress("calibrate", 1, 2)
        measured = draft._measure(tokens, kernels, n_threads)
        progress("calibrate", 2, 2)
        return cls({**description, **measured}, draft.rows, n_tokens)

    def grow(
        self, tokens: Tokens, *, n_tokens: int, kernels: Kernels, n_threads: int = 1
    ) -> Generation:
        """Append cells and leaves, clustered from these tokens, when they are worth a chunk.

        ``n_tokens`` counts what the generation will hold, these tokens included. What has come
        since the last chunk wants as many leaves as a collection of the new size should have more,
        and a cell for each type that has none. A chunk adds at least a thirty-second, so that their
        number follows the logarithm of the size. Types without cells come first, then the frequent
        ones; where there are cells enough, leaves are added to old ones.
        """
        if not len(tokens.codes):
            return self
        types = self._types(tokens, kernels, n_threads)
        n_strange = len(np.setdiff1d(types, self._types_known))
        rate = 1 if self.description["typed"] else _RATE_WITHOUT_IDS
        more = clustering.wanted_leaves(n_tokens) - clustering.wanted_leaves(self.n_tokens)
        wanted = rate * more + n_strange
        if wanted < len(self.arrays.leaf_scales) * _CHUNK_SHARE:
            return self
        if self.description["typed"]:
            chosen = self._misfits(tokens, types, wanted, kernels, n_threads)
            ids = None if tokens.token_ids is None else tokens.token_ids[chosen]
            tokens = Tokens(tokens.codes[chosen], tokens.scales[chosen], ids)
            types = types[chosen]
        return self._with_more(tokens, types, n_tokens, wanted, kernels, n_threads)

    def _misfits(
        self,
        tokens: Tokens,
        types: npt.NDArray[np.int32],
        wanted: int,
        kernels: Kernels,
        n_threads: int,
    ) -> npt.NDArray[np.int64]:
        """Positions of the tokens that lie farthest from their leaves, or whose type has none."""
        coded = self.encode(tokens, kernels=kernels, n_threads=n_threads)
        far = (coded.heads & 15).astype(np.int64)
        far[~np.isin(types, self._types_known)] = 16
        n = min(len(far), max(wanted * _MISFITS_A_LEAF, int((far == 16).sum())))
        return np.sort(np.argsort(-far, kind="stable")[:n])

    def _with_more(
        self,
        tokens: Tokens,
        types: npt.NDArray[np.int32],
        n_tokens: int,
        wanted: int,
        kernels: Kernels,
        n_threads: int,
    ) -> Generation:
        """The same with a chunk more: so many leaves, and of these the cells it lacks.

        While every cell is its own leaf, new leaves are new cells.
        """
        n_cells = len(self.rows["cells"])
        budget = clustering.wanted_cells(n_tokens)
        if budget < clustering.wanted_leaves(n_tokens):
            budget = max(0, budget - n_cells)
        cells, cell_types = clustering.new_cells(
            tokens.codes,
            types,
            self._types_known,
            budget=min(wanted, budget),
            room=clustering.CELLS_MAX - n_cells,
            kernels=kernels,
            n_threads=n_threads,
        )
        groups, cell_groups = clustering.new_groups(cells, kernels, n_threads)
        # Neighbours lie together, and with them their leaves: a query needs those of few groups.
        order = np.argsort(cell_groups, kind="stable")
        cells = Quantised(cells.codes[order], cells.scales[order])
        cell_types, cell_groups = cell_types[order], cell_groups[order]
        with_cells = self._appended(
            n_tokens,
            groups=groups.codes,
            group_scales=groups.scales,
            cell_groups=(len(self.rows["groups"]) + cell_groups).astype(np.uint32),
            cells=cells.codes,
            cell_scales=cells.scales,
            cell_types=cell_types,
        )
        if wanted <= len(cell_types) * 3 // 2:
            if not len(self.rows["leaves"]):
                return with_cells
            numbers = np.arange(n_cells, n_cells + len(cell_types), dtype=np.uint32)
            return with_cells._appended(
                n_tokens, leaves=cells.codes, leaf_scales=cells.scales, leaf_cells=numbers
            )
        leaves, leaf_cells = clustering.new_leaves(
            tokens.codes,
            with_cells._cells(tokens.codes, types, kernels, n_threads),
            Quantised(with_cells.rows["cells"], with_cells.rows["cell_scales"]),
            np.bincount(self.arrays.leaf_cells, minlength=n_cells + len(cell_types)),
            wanted,
            kernels,
            n_threads,
        )
        if not len(self.rows["leaves"]):  # the cells were the leaves: each stays its cell's first
            old = self.arrays
            leaf_cells = np.concatenate([old.leaf_cells, leaf_cells])
            order = np.argsort(leaf_cells, kind="stable")
            leaf_cells = leaf_cells[order]
            leaves = Quantised(
                np.concatenate([old.leaves, leaves.codes])[order],
                np.concatenate([old.leaf_scales, leaves.scales])[order],
            )
        return with_cells._appended(
            n_tokens, leaves=leaves.codes, leaf_scales=leaves.scales, leaf_cells=leaf_cells
        )

    def _appended(self, n_tokens: int, **more: npt.NDArray[Any]) -> Generation:
        """The same with more rows."""
        rows = {
            name: np.concatenate([rows, more[name]]) if len(more.get(name, ())) else rows
            for name, rows in self.rows.items()
        }
        return Generation(self.description, rows, n_tokens)

    def encode(self, tokens: Tokens, *, kernels: Kernels, n_threads: int = 1) -> Coded:
        """Leaves and residual codes of some tokens, in their order.

        A token of a type that has no cells yet takes the best of all cells.
        """
        types = self._types(tokens, kernels, n_threads)
        cell = self._cells(tokens.codes, types, kernels, n_threads)
        first, last = self._leaf_offsets[cell], self._leaf_offsets[cell + 1]
        place = first.astype(np.uint32)
        split = np.flatnonzero(last - first > 1)
        split = split[np.argsort(cell[split], kind="stable")]
        place[split] = kernels.assign(
            np.ascontiguousarray(tokens.codes[split]),
            first[split],
            last[split],
            self._by_cell,
            n_threads,
        )
        leaves = self._leaf_order[place].astype(np.uint32)
        coded = kernels.encode(
            Quantised(tokens.codes, tokens.scales),
            leaves,
            self._handle(kernels),
            n_threads,
        )
        heads = cell << 16 | (place - first) << 8 | coded.scale_codes
        return Coded(heads.astype(np.uint32), coded.codes)

    def _cells(
        self,
        codes: npt.NDArray[np.int8],
        types: npt.NDArray[np.int32],
        kernels: Kernels,
        n_threads: int,
    ) -> npt.NDArray[np.int64]:
        """The best cell of each token among those of its type, or of all when that has none."""
        order = np.argsort(types, kind="stable")
        at = np.searchsorted(self._types_known, types[order])
        at[at == len(self._types_known)] = 0
        known = self._types_known[at] == types[order]
        first = np.where(known, self._type_offsets[at], 0)
        last = np.where(known, self._type_offsets[at + 1], len(self._cell_order))
        rows = np.ascontiguousarray(codes[order])
        cells = np.empty(len(order), np.int64)
        cells[order] = self._cell_order[kernels.assign(rows, first, last, self._by_type, n_threads)]
        return cells

    def decode(self, coded: Coded) -> npt.NDArray[np.float32]:
        """The embeddings that codes stand for, ``(n, dim)`` float32, still rotated.

        Raises
        ------
        IndexError
            When a cell, or a leaf of one, is not there.
        """
        arrays, leaves = self.arrays, self.leaves(coded)
        taken = unpack(coded.codes, arrays.bits, arrays.leaves.shape[1])
        scales = coded.heads[:, None] & np.uint32(255)
        rest = residuals(arrays.levels, arrays.norms)[scales & 15, taken]
        decoded: npt.NDArray[np.float32] = (
            joined(arrays.leaves[leaves], rest) * arrays.factors[scales]
        )
        return decoded

    def leaves(self, coded: Coded) -> npt.NDArray[np.int64]:
        """Which of ``arrays.leaves`` each token has, ``(n,)`` int64.

        Raises
        ------
        IndexError
            When a cell, or a leaf of one, is not there.
        """
        heads = coded.heads.astype(np.int64)
        cells = heads >> 16
        found: npt.NDArray[np.int64] = self._leaf_offsets[cells] + (heads >> 8 & 255)
        if (found >= self._leaf_offsets[cells + 1]).any():
            raise IndexError("a leaf beyond those of its cell")
        return self._leaf_order[found]

    def drift(self, heads: npt.NDArray[np.uint32]) -> float | None:
        """How long these tokens' residuals are, on average, beside those of the training.

        None when those had no length: every token was a leaf.
        """
        trained = self.description["residual"]
        return _mean_length(heads) / trained if trained else None

    @cached_property
    def arrays(self) -> CodecArrays:
        """The codec as ``kernels.load_codec`` takes it."""
        rows, bits, unit = self.rows, self.description["bits"], self.description["unit"]
        leaves = rows["leaves"], rows["leaf_scales"], rows["leaf_cells"]
        if not len(rows["leaves"]):
            numbers = np.arange(len(rows["cells"]), dtype=np.uint32)
            leaves = rows["cells"], rows["cell_scales"], numbers
        return CodecArrays(
            bits=bits,
            groups=rows["groups"],
            group_scales=rows["group_scales"],
            cells=rows["cells"],
            cell_scales=rows["cell_scales"],
            cell_groups=rows["cell_groups"],
            leaves=leaves[0],
            leaf_scales=leaves[1],
            leaf_cells=leaves[2],
            levels=levels(bits),
            stretch=stretch(bits),
            norms=norms(unit),
            factors=factors(bits, self.description["dim"], unit),
            fairness=self.description["fairness"],
        )

    def _handle(self, kernels: Kernels) -> Handle:
        return kernels.load_codec(self.arrays, "the codec in memory")

    def _types(self, tokens: Tokens, kernels: Kernels, n_threads: int) -> npt.NDArray[np.int32]:
        if self.description["typed"] and tokens.token_ids is not None:
            return clustering.group_types(tokens.token_ids, self._types_known)
        if len(self.rows["routers"]):
            routers = Quantised(self.rows["routers"], self.rows["router_scales"])
            return _route(tokens.codes, routers, kernels, n_threads)
        # Tokens without ids in a codec made for tokens with: no type is known, all cells compete.
        return np.full(len(tokens.codes), np.iinfo(np.int32).min, np.int32)

    @cached_property
    def _cell_order(self) -> npt.NDArray[np.int64]:
        """The cells sorted by type: they come in order of time and group."""
        return np.argsort(self.rows["cell_types"], kind="stable")

    @cached_property
    def _leaf_order(self) -> npt.NDArray[np.int64]:
        """The leaves sorted by cell: a later chunk may have added some to an old one."""
        return np.argsort(self.arrays.leaf_cells, kind="stable")

    @cached_property
    def _leaf_offsets(self) -> npt.NDArray[np.int64]:
        counts = np.bincount(self.arrays.leaf_cells, minlength=len(self.arrays.cell_scales))
        return np.append(0, np.cumsum(counts)).astype(np.int64)

    @cached_property
    def _by_cell(self) -> Quantised:
        """The leaves sorted by cell; those of a single chunk are, and stay mapped from disk."""
        leaves, order = Quantised(self.arrays.leaves, self.arrays.leaf_scales), self._leaf_order
        if (order[:-1] < order[1:]).all():
            return leaves
        return Quantised(leaves.codes[order], leaves.scales[order])

    @cached_property
    def _by_type(self) -> Quantised:
        order = self._cell_order
        return Quantised(self.arrays.cells[order], self.arrays.cell_scales[order])

    @cached_property
    def _types_known(self) -> npt.NDArray[np.int32]:
        return np.unique(self.rows["cell_types"])

    @cached_property
    def _type_offsets(self) -> npt.NDArray[np.int64]:
        types = self.rows["cell_types"][self._cell_order]
        starts = np.searchsorted(types, self._types_known)
        return np.append(starts, len(types)).astype(np.int64)

    def _measure(self, tokens: Tokens, kernels: Kernels, n_threads: int) -> dict[str, float]:
        """Fairness, mean cosine and residual, on stand-in passages and queries from the sample.

        What matters is how coded scores compare with exact ones at the head of a ranking: there
        they are a little smaller, while the scores of poor matches grow, since the best of many
        noisy products is taken. So each query, a few neighbouring tokens, ranks the other
        passages exactly, and only the first few count. ``math.fsum`` makes sums exact, hence
        independent of their order.
        """
        n = min(len(tokens.codes), _WINDOWS * _WINDOW)
        ids = tokens.token_ids
        part = Tokens(tokens.codes[:n], tokens.scales[:n], None if ids is None else ids[:n])
        exact = part.codes * part.scales[:, None]
        codes = self.encode(part, kernels=kernels, n_threads=n_threads)
        coded = self.decode(codes)
        cosine = math.fsum(np.multiply(exact, coded, dtype=np.float64).ravel().tolist()) / n
        offsets = np.append(np.arange(0, n, _WINDOW), n).astype(np.int64)
        n_windows = len(offsets) - 1
        true, found = [1.0], [1.0]
        for own in range(0, n_windows, -(-n_windows // _QUERIES)) if n_windows > 1 else ():
            query = exact[own * _WINDOW :][:_QUERY_TOKENS]
            scores = kernels.maxsim(query, exact, offsets, n_threads)
            scores[own] = -np.inf
            head = np.argsort(-scores, kind="stable")[: min(_HEAD, n_windows - 1)]
            true += scores[head].tolist()
            found += kernels.maxsim(query, coded, offsets, n_threads)[head].tolist()
        return {
            "fairness": float(np.float32(math.fsum(true) / math.fsum(found))),
            "mean_cosine": cosine,
            "residual": _mean_length(codes.heads),
        }


def _unit(codes: npt.NDArray[np.int8]) -> float:
    """What residuals are measured in: no less than how far tokens lie from the mean of all.

    So it tells what a model is like, and not how many of a collection's tokens are leaves. A power
    of two, from sums of whole numbers: the same everywhere.
    """
    total = codes.sum(axis=0, dtype=np.int64).tolist()
    power = int(np.square(codes, dtype=np.int32).sum(dtype=np.int64))
    in_common = sum(level * level for level in total) / max(1, power * len(codes))
    spread = math.sqrt(max(0.0, 1 - in_common))
    return min(1.0, 2.0 ** math.ceil(math.log2(max(spread, _UNIT_MIN))))


def _mean_length(heads: npt.NDArray[np.uint32]) -> float:
    """Of these tokens' residuals, in units; the same in whatever order they come."""
    counts = np.bincount(heads & 15, minlength=16).tolist()
    return math.fsum(map(math.prod, zip(_LENGTHS, counts, strict=True))) / max(1, len(heads))


def _routers(
    codes: npt.NDArray[np.int8], n_tokens: int, kernels: Kernels, n_threads: int
) -> Quantised:
    """Coarse centroids over all tokens, which stand for token types where there are none."""
    k = max(1, min(4096, int(n_tokens**0.5), len(codes) // clustering.TOKENS_PER_CENTROID_MIN))
    whole = np.array([0, len(codes)], np.int64)
    return kernels.cluster(codes, whole, np.array([k], np.int64), n_threads=n_threads)


def _route(
    codes: npt.NDArray[np.int8], routers: Quantised, kernels: Kernels, n_threads: int
) -> npt.NDArray[np.int32]:
    first = np.zeros(len(codes), np.int64)
    last = np.full(len(codes), len(routers.scales), np.int64)
    return kernels.assign(codes, first, last, routers, n_threads).astype(np.int32)

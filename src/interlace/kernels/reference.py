"""Every hot function in plain NumPy: the specification, and the twin that runs without a compiler.

Two rules make every machine agree to the last bit. Integers: document and query levels are int8 in
[-127, 127] and their dot products are exact int32. Floats: each float32 operation below is written
out, in the order in which it happens, with no contraction and no reduction whose order a library
may choose. Read top to bottom: preparing vectors, building a codec, searching.

Source: the rotation follows the structured rotations of RaBitQ (arXiv 2405.12497); clustering by
token type is TACHIOM's (2604.28142); probe, walk, interact and score are PLAID's stages
(2205.09707) on integers, probing on three levels, and refining, before scoring, is our own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

import numpy as np

from interlace.kernels.api import (
    CELLS_MAX,
    CENTROID_DEVIATION,
    F32,
    GAPS,
    I8,
    I32,
    I64,
    NEAR_LEAVES,
    NEAR_SHARE,
    NO_LEAF,
    PLACES_MAX,
    REFINED_FIRST,
    SCORED_FIRST,
    SEEN,
    U8,
    U32,
    WALK_STEPS,
    WALKED_MAX,
    CodecArrays,
    FreshArrays,
    Probe,
    Quantised,
    Ranked,
    Residuals,
    SettledArrays,
    damaged,
)

name = "reference"

LANES = 16
"""Lanes of a long float32 sum: lane l adds elements l, l + 16, …; lanes then fold in halves."""

_TOKENS_AT_ONCE = 32_768

_quiet = np.errstate(over="ignore", invalid="ignore")
"""Damaged scales may be anything. Whoever reads the scores notices."""


# --- preparing vectors ---------------------------------------------------------------------------
def rotate(matrix: F32, signs: I8) -> F32:
    """Turn rows by a fixed orthogonal map, made of sign flips and Hadamard transforms.

    A round multiplies by its signs, transforms the first ``p`` coordinates and then the last ``p``,
    where ``p`` is the largest power of two that is at most dim; ``signs`` is (n_rounds, dim).
    """
    x = matrix.astype(np.float32, copy=True)
    p = 1 << (x.shape[1].bit_length() - 1)
    for flips in signs:
        x *= flips
        _hadamard(x[:, :p])
        if p < x.shape[1]:
            _hadamard(x[:, -p:])
    return x


def unrotate(matrix: F32, signs: I8) -> F32:
    """Undo ``rotate`` (up to float32 rounding): the transforms are their own inverses."""
    x = matrix.astype(np.float32, copy=True)
    p = 1 << (x.shape[1].bit_length() - 1)
    for flips in signs[::-1]:
        if p < x.shape[1]:
            _hadamard(x[:, -p:])
        _hadamard(x[:, :p])
        x *= flips
    return x


def _hadamard(x: F32) -> None:
    """In place: pairs at distance 1, 2, 4, … become sum and difference; then divide by sqrt(p)."""
    n, p = x.shape
    y, h = x, 1
    while h < p:
        pairs = y.reshape(n, p // (2 * h), 2, h)
        a, b = pairs[:, :, 0], pairs[:, :, 1]
        y = np.stack((a + b, a - b), axis=2).reshape(n, p)
        h *= 2
    x[:] = y * np.float32(1 / np.sqrt(p))


def quantise(matrix: F32, signs: I8, n_threads: int = 1) -> Quantised:
    """Rotate the rows of a matrix and round them to int8, each with its own scale.

    A row is first divided by its largest magnitude, so any finite length of input is safe; the
    scale then restores unit length exactly, whatever the rounding did.
    """
    peak = _largest(matrix)
    x = rotate(np.divide(matrix, peak, dtype=np.float32), signs)
    return _with_unit_scale(np.rint(x * (np.float32(127) / _largest(x))).astype(np.int8))


def _largest(x: F32) -> F32:
    """Largest magnitude of each row, (n, 1); 1 where a row is zero, so that it stays zero."""
    peak = np.abs(x).max(axis=1, initial=0, keepdims=True).astype(np.float32)
    return np.where(peak > 0, peak, np.float32(1))


def _with_unit_scale(codes: I8) -> Quantised:
    squared = np.square(codes, dtype=np.int32).sum(axis=1, dtype=np.int32).astype(np.float32)
    scales = np.zeros(len(codes), np.float32)
    np.divide(np.float32(1), np.sqrt(squared), out=scales, where=squared > 0)
    return Quantised(codes, scales)


def dots(a: I8, b: I8) -> I32:
    """Exact integer dot products, ``(len(a), len(b))`` int32.

    Float products are exact while every partial sum stays below the mantissa: 2**24 in float32.
    """
    exact: np.dtype[Any] = np.dtype("f4" if a.shape[1] * 127 * 127 < 2**24 else "f8")
    products: I32 = (a.astype(exact) @ b.astype(exact).T).astype(np.int32)
    return products


def _lane_sum(x: F32) -> F32:
    """Sum each row in the written order: 16 lanes, then 8, 4, 2, 1."""
    n, dim = x.shape
    padded = np.zeros((n, -(-dim // LANES) * LANES), np.float32)
    padded[:, :dim] = x
    total = np.zeros((n, LANES), np.float32)
    for start in range(0, padded.shape[1], LANES):
        total += padded[:, start : start + LANES]
    half = LANES // 2
    while half:
        total = total[:, :half] + total[:, half : 2 * half]
        half //= 2
    return total[:, 0]


# --- building a codec ----------------------------------------------------------------------------
def cluster(
    codes: I8,
    group_offsets: I64,
    n_centroids: I64,
    n_iterations: int = 6,
    sample: int = 64,
    n_threads: int = 1,
) -> Quantised:
    """Spherical k-means within each group of neighbouring rows.

    Group g holds rows ``group_offsets[g] : group_offsets[g + 1]`` and gets ``n_centroids[g]`` (at
    least 1, at most its rows) centroids. At most ``sample`` rows a centroid are looked at, taken at
    even steps; so are the first centroids. A centroid is the sum of its rows' levels, scaled to
    127 and rounded; one that loses all rows stays where it was. At last all are brought to one
    length, ``centroid_length``.
    """
    found = np.empty((int(n_centroids.sum()), codes.shape[1]), np.int8)
    out = 0
    for group, k in enumerate(n_centroids.tolist()):
        start, end = int(group_offsets[group]), int(group_offsets[group + 1])
        n = min(end - start, sample * k)
        rows = codes[start + np.arange(n, dtype=np.int64) * (end - start) // n]
        centroids = rows[np.arange(k, dtype=np.int64) * n // k]
        for _ in range(n_iterations if k > 1 else 1):
            nearest = _nearest(rows, _with_unit_scale(centroids))
            sums = np.zeros((k, codes.shape[1]), np.int32)
            np.add.at(sums, nearest, rows)
            alive = np.abs(sums).max(axis=1) > 0
            levels = sums[alive].astype(np.float32)
            centroids[alive] = np.rint(levels * (np.float32(127) / _largest(levels)))
        found[out : out + k] = centroids
        out += k
    return _with_unit_scale(_at_length(found))


def centroid_length(dim: int) -> np.float32:
    """Of every centroid's int8 levels, so that a residual is added to any in the same steps."""
    length: np.float32 = np.float32(CENTROID_DEVIATION) * np.sqrt(np.float32(dim))
    return length


def _at_length(centroids: I8) -> I8:
    squared = np.square(centroids, dtype=np.int32).sum(axis=1, dtype=np.int32).astype(np.float32)
    stretch = np.zeros_like(squared)
    length = centroid_length(centroids.shape[1])
    np.divide(length, np.sqrt(squared), out=stretch, where=squared > 0)
    levels = np.rint(centroids.astype(np.float32) * stretch[:, None])
    brought: I8 = np.clip(levels, -127, 127).astype(np.int8)
    return brought


def _nearest(rows: I8, centroids: Quantised) -> I64:
    """Index of the best cosine; a row's own scale cannot change it. Ties go to the lowest."""
    best: I64 = (dots(rows, centroids.codes).astype(np.float32) * centroids.scales).argmax(axis=1)
    return best


def assign(codes: I8, first: I64, last: I64, centroids: Quantised, n_threads: int = 1) -> U32:
    """For each row its best centroid in ``[first[i], last[i])``; ranges must not be empty."""
    found = np.empty(len(codes), np.uint32)
    order = np.lexsort((last, first))
    changes = np.flatnonzero((np.diff(first[order]) != 0) | (np.diff(last[order]) != 0)) + 1
    for run in np.split(order, changes) if len(order) else []:
        start, end = int(first[run[0]]), int(last[run[0]])
        choice = Quantised(centroids.codes[start:end], centroids.scales[start:end])
        for at in range(0, len(run), _TOKENS_AT_ONCE):
            rows = run[at : at + _TOKENS_AT_ONCE]
            found[rows] = start + _nearest(codes[rows], choice)
    return found


def encode(tokens: Quantised, leaves: U32, codec: Codec, n_threads: int = 1) -> Residuals:
    """Code what remains of each token after its leaf.

    The nearest of the codec's norms, times its levels and rounded, makes the whole numbers that a
    coordinate may add to the leaf's; ``trellised`` says which ones do, for the residual stretched.
    The nearest of the norm's factors restores unit length.
    """
    n, dim = tokens.codes.shape
    out = Residuals(
        np.empty((n, packed_width(dim, codec.bits)), np.uint8),
        np.empty(n, np.uint8),
    )
    root, length = np.sqrt(np.float32(dim)), centroid_length(dim)
    tables, between = residuals(codec.levels, codec.norms), _middles(codec.norms)
    first, steps_of = codec.factors[:16], codec.factors[16:32] - codec.factors[:16]
    for at in range(0, n, _TOKENS_AT_ONCE):
        part = slice(at, at + _TOKENS_AT_ONCE)
        near = codec.leaves.codes[leaves[part]]
        steps = (tokens.scales[part] * length)[:, None]
        rest = tokens.codes[part].astype(np.float32) * steps - near.astype(np.float32)
        norm = np.sqrt(_lane_sum(rest * rest)) / root
        of_norm = np.searchsorted(between, norm, side="left")
        added = tables[of_norm]
        x = _in_trellis_order(rest * codec.stretch, codec.bits)
        path = trellised(x, added.astype(np.float32))
        out.codes[part] = _pack(path, codec.bits)
        taken = unpack(out.codes[part], codec.bits, dim).astype(np.intp)
        whole = joined(near, np.take_along_axis(added, taken, axis=1))
        squared = np.square(whole, dtype=np.int32).sum(axis=1, dtype=np.int32)
        with np.errstate(divide="ignore"):  # a zero token on a zero leaf: the factor is the largest
            unit = np.float32(1) / np.sqrt(squared.astype(np.float32))
        place = np.clip(np.rint((unit - first[of_norm]) / steps_of[of_norm]), 0, 15)
        out.scale_codes[part] = 16 * place.astype(np.int64) + of_norm
    return out


def residuals(levels: F32, norms: F32) -> I8:
    """What is added to a leaf's level, for each norm and level: ``(16, 2**(bits + 1))``."""
    whole: I8 = np.clip(np.rint(norms[:, None] * levels), -127, 127).astype(np.int8)
    return whole


def _middles(ascending: F32) -> F32:
    """Half way between neighbours along the first axis."""
    middles: F32 = (ascending[1:] + ascending[:-1]) * np.float32(0.5)
    return middles


def joined(leaves: I8, residuals: I8) -> I8:
    """The sum of two int8 arrays, at most as large as int8 holds."""
    total: I8 = np.clip(leaves.astype(np.int16) + residuals, -128, 127).astype(np.int8)
    return total


def packed_width(dim: int, bits: int) -> int:
    """Bytes a token of packed residual codes."""
    return -(-dim * bits // 8)


def trellised(x: F32, levels: F32) -> U8:
    """The codes whose levels lie nearest to x: least in the sum of squares (Viterbi).

    Parameters
    ----------
    x : (n, n_steps) float32
        Coordinates in the order of the trellis.
    levels : (n, 2**(bits + 1)) float32
        Of each row, ascending.

    Returns
    -------
    (n, n_steps) uint8
        What ``levels_taken`` reads. Of paths that are equally near the lower state is taken, and of
        levels the lower one.

    Notes
    -----
    Trellis-coded quantisation with Ungerboeck's code of four states (Marcellin and Fischer, IEEE
    Transactions on Communications 38(1), 1990). A state is the lowest bits of the two codes before,
    ``u(t - 1) + 2 * u(t - 2)``; every other level can be had in each.
    """
    n, n_steps = x.shape
    subsets = [levels[:, subset::4] for subset in range(4)]
    costs = [np.zeros(n, np.float32)] + [np.full(n, np.inf, np.float32)] * 3  # of u(t-1) + 2 u(t-2)
    came = np.empty((n_steps, 4, n), bool)  # u(t - 2) of the cheaper way to each state
    for t in range(n_steps):
        away = []
        for subset in subsets:
            distance = x[:, t, None] - subset
            away.append((distance * distance).min(axis=1))
        following = list(costs)
        for u, before in ((0, 0), (1, 0), (0, 1), (1, 1)):
            zero = costs[before] + away[2 * u + before]
            one = costs[before + 2] + away[2 * (1 - u) + before]
            came[t, u + 2 * before] = one < zero
            following[u + 2 * before] = np.where(one < zero, one, zero)
        costs = following
    every = np.arange(n)
    state = np.argmin(costs, axis=0)
    codes = np.empty((n, n_steps), np.uint8)
    middles = np.stack([_middles(subset.T).T for subset in subsets])
    for t in reversed(range(n_steps)):
        u, before = state & 1, state >> 1
        two_before = came[t, state, every].astype(np.int64)
        between = middles[2 * (u ^ two_before) + before, every]
        codes[:, t] = 2 * (x[:, t, None] > between).sum(axis=1) + u
        state = before + 2 * two_before
    return codes


def levels_taken(codes: U8) -> U8:
    """Which level each code of a path tells, ``(n, n_steps)``: of twice as many as its bits could.

    ``level(t) = 2 * (code(t) ^ u(t - 2)) + u(t - 1)``, where ``u(t)`` is the lowest bit of
    ``code(t)``, and 0 before the first.
    """
    u = np.pad(codes & np.uint8(1), ((0, 0), (2, 0)))
    taken: U8 = 2 * (codes ^ u[:, :-2]) + u[:, 1:-1]
    return taken


def _in_trellis_order(x: F32, bits: int) -> F32:
    """Byte by byte, from the lowest bits up; what a last byte has beyond is coded as zeros."""
    (n, dim), planes, width = x.shape, 8 // bits, packed_width(x.shape[1], bits)
    padded = np.zeros((n, planes * width), np.float32)
    padded[:, :dim] = x
    return padded.reshape(n, planes, width).swapaxes(1, 2).reshape(n, planes * width)


def _pack(path: U8, bits: int) -> U8:
    """Codes in the trellis's order, several to a byte."""
    (n, n_steps), planes = path.shape, 8 // bits
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    packed: U8 = np.bitwise_or.reduce(path.reshape(n, n_steps // planes, planes) << shifts, axis=2)
    return packed


def unpack(packed: U8, bits: int, dim: int) -> U8:
    """Which of 2**(bits + 1) levels each coordinate takes, ``(n, dim)``.

    Byte b holds the codes of coordinates b, b + width, b + 2 * width, … from the lowest bits up;
    through the trellis they go as they lie there, byte by byte (``levels_taken``).
    """
    (n, width), planes = packed.shape, 8 // bits
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    codes = packed[:, :, None] >> shifts & np.uint8((1 << bits) - 1)
    taken = levels_taken(codes.reshape(n, width * planes)).reshape(n, width, planes)
    return taken.swapaxes(1, 2).reshape(n, width * planes)[:, :dim]


# --- loading -------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, eq=False)
class Fresh:
    """A loaded fresh segment."""

    arrays: FreshArrays
    name: str
    fairness: ClassVar[np.float32] = np.float32(1)

    @property
    def offsets(self) -> I64:
        """Where each passage's tokens begin."""
        return self.arrays.offsets

    def similarities(self, query: Quantised, start: int, end: int) -> F32:
        """``(tokens, q_tokens)`` products, without the query's scales."""
        products = dots(self.arrays.codes[start:end], query.codes).astype(np.float32)
        return products * self.arrays.scales[start:end, None]


@dataclass(frozen=True, slots=True, eq=False)
class Grouped:
    """Things sorted by the one of n groups that each is in; a group begins at its offset."""

    order: I64
    offsets: I64

    @classmethod
    def by(cls, group_of: U32, n_groups: int) -> Grouped:
        """Members of a group keep their order."""
        counts = np.bincount(group_of, minlength=n_groups)
        offsets = np.append(0, np.cumsum(counts)).astype(np.int64)
        return cls(np.argsort(group_of, kind="stable"), offsets)

    def members(self, group: int) -> I64:
        """What is in a group."""
        return self.order[self.offsets[group] : self.offsets[group + 1]]


@dataclass(frozen=True, slots=True, eq=False)
class Codec:
    """A loaded codec; the arrays' meaning is told in ``api.CodecArrays``."""

    bits: int
    groups: Quantised
    cells: Quantised
    cell_groups: U32
    leaves: Quantised
    by_group: Grouped
    by_cell: Grouped
    levels: F32
    stretch: np.float32
    norms: F32
    factors: F32
    fairness: np.float32


@dataclass(frozen=True, slots=True, eq=False)
class Settled:
    """A loaded settled segment."""

    arrays: SettledArrays
    codec: Codec
    name: str

    @property
    def offsets(self) -> I64:
        """Where each passage's tokens begin."""
        return self.arrays.offsets

    @property
    def fairness(self) -> np.float32:
        """What brings scores to the height of fresh ones."""
        return self.codec.fairness

    def cells(self, start: int, end: int) -> I64:
        """Cells of some tokens, all of them the codec's."""
        cells = (self.arrays.heads[start:end] >> np.uint32(16)).astype(np.int64)
        n_cells = len(self.codec.cells.scales)
        if len(cells) and cells.max() >= n_cells:
            raise damaged(self.name, f"cells below {n_cells}", str(cells.max()))
        return cells

    def similarities(self, query: Quantised, start: int, end: int) -> F32:
        """``(tokens, q_tokens)`` products, without the query's scales."""
        codec, arrays, leaves = self.codec, self.arrays, self._leaves(start, end)
        taken = unpack(arrays.codes[start:end], codec.bits, query.codes.shape[1])
        scales = arrays.heads[start:end, None] & np.uint32(255)
        rest = residuals(codec.levels, codec.norms)[scales & 15, taken]
        products = dots(joined(codec.leaves.codes[leaves], rest), query.codes).astype(np.float32)
        scaled: F32 = products * codec.factors[scales]
        return scaled

    def _leaves(self, start: int, end: int) -> I64:
        """Numbers of the leaves of some tokens."""
        offsets, n_cells = self.codec.by_cell.offsets, len(self.codec.cells.scales)
        heads = self.arrays.heads[start:end].astype(np.int64)
        cells, places = heads >> 16, heads >> 8 & 255
        known = np.where(cells < n_cells, cells, 0)
        n = offsets[known + 1] - offsets[known]
        bad = np.flatnonzero((cells >= n_cells) | (places >= n))
        if len(bad) and cells[bad[0]] >= n_cells:
            raise damaged(self.name, f"cells below {n_cells}", str(cells[bad[0]]))
        if len(bad):
            at = bad[0]
            raise damaged(self.name, f"leaves of a cell below {n[at]}", str(places[at]))
        leaves: I64 = self.codec.by_cell.order[offsets[cells] + places]
        return leaves


Segment = Fresh | Settled


def load_fresh(arrays: FreshArrays, name: str) -> Fresh:
    """Take a fresh segment."""
    _check_offsets(arrays.offsets, len(arrays.scales), name)
    return Fresh(arrays, name)


def load_codec(arrays: CodecArrays, name: str) -> Codec:
    """Take a codec."""
    n_cells = len(arrays.cell_scales)
    assert n_cells <= CELLS_MAX
    for what, group_of, n in (
        ("groups", arrays.cell_groups, len(arrays.group_scales)),
        ("cells", arrays.leaf_cells, n_cells),
    ):
        if len(group_of) and group_of.max() >= n:
            raise damaged(name, f"{what} below {n}", str(group_of.max()))
    by_cell = Grouped.by(arrays.leaf_cells, n_cells)
    n_leaves = np.diff(by_cell.offsets).max(initial=0)
    if n_leaves > PLACES_MAX:
        raise damaged(name, f"leaves of a cell below {PLACES_MAX + 1}", str(n_leaves))
    return Codec(
        arrays.bits,
        Quantised(arrays.groups, arrays.group_scales),
        Quantised(arrays.cells, arrays.cell_scales),
        arrays.cell_groups,
        Quantised(arrays.leaves, arrays.leaf_scales),
        Grouped.by(arrays.cell_groups, len(arrays.group_scales)),
        by_cell,
        arrays.levels,
        np.float32(arrays.stretch),
        arrays.norms,
        arrays.factors,
        np.float32(arrays.fairness),
    )


def load_settled(arrays: SettledArrays, codec: Codec, name: str) -> Settled:
    """Take a settled segment and the codec its codes refer to."""
    _check_offsets(arrays.offsets, len(arrays.heads), name)
    return Settled(arrays, codec, name)


def _check_offsets(offsets: I64, n: int, name: str) -> None:
    """Offsets begin at 0, end at n and never fall; else a damaged file could lead anywhere."""
    if not len(offsets):
        found = "none"
    elif offsets[0] != 0 or offsets[-1] != n:
        found = f"{offsets[0]} … {offsets[-1]}"
    else:
        # Compared, not subtracted: a difference of damaged offsets may wrap around.
        falls = np.flatnonzero(offsets[:-1] > offsets[1:])
        if not len(falls):
            return
        at = int(falls[0]) + 1
        found = f"{offsets[at]} after {offsets[at - 1]}, at index {at}"
    raise damaged(name, f"rising offsets 0 … {n}", found)


# --- searching -----------------------------------------------------------------------------------
def probe(query: Quantised, codec: Codec, n_groups: int, n_cells: int, n_leaves: int) -> Probe:
    """Look at the codec from group to cell to leaf; choose each query token's best leaves.

    Each query token takes the ``n_groups`` groups best for it, and all their cells are seen; of
    these it takes the ``n_cells`` best, and all their leaves are seen; of these it takes the
    ``n_leaves`` best, and more that are near (``n_taken``), which there are in large collections.
    What one query token takes is seen by all. What is best is told by the bytes of the table, of
    equal ones those that come first there: the groups in order, the cells by group, the leaves by
    cell in that order. Unused places hold ``NO_LEAF`` and -inf.
    """
    n_query = len(query.scales)
    far = _looked(query, codec.groups)
    groups = np.unique([_best(column, n_groups) for column in far.T]).astype(np.int64)
    unseen = np.delete(far, groups, axis=0).max(axis=0, keepdims=True, initial=0)
    entries = np.zeros(len(codec.cell_groups), np.uint32)

    cells = _members(codec.by_group, groups)
    entries[cells] = (1 + np.arange(len(cells), dtype=np.uint32)) << np.uint32(8)
    near = _looked(query, codec.cells, cells)
    chosen = np.unique([cells[_best(column, n_cells)] for column in near.T])
    n_places = np.diff(codec.by_cell.offsets)
    cells = cells[np.isin(cells, chosen) & (n_places[cells] > 0)]

    leaves, n = _members(codec.by_cell, cells), n_places[cells]
    first = np.append(0, np.cumsum(n))[:-1]
    row = (1 + len(near) + first).astype(np.uint32)
    entries[cells] = row << np.uint32(8) | (n - 1).astype(np.uint32)
    ids = (np.repeat(cells, n) << 8) + np.arange(len(leaves)) - np.repeat(first, n)
    nearest = _looked(query, codec.leaves, leaves)

    most = most_leaves(n_leaves, len(codec.leaves.scales))
    n_best = n_taken(nearest, unseen[0], n_leaves, most)
    best = np.full((n_query, most), NO_LEAF, np.uint32)
    scores = np.full(best.shape, -np.inf, np.float32)
    for token in range(n_query):
        at = _best(nearest[:, token], n_best[token])
        best[token, : len(at)] = ids[at]
        scores[token, : len(at)] = nearest[at, token] / np.float32(SEEN)
    table = np.zeros((1 + len(near) + len(nearest), -(-n_query // 16) * 16), np.uint8)
    table[:, :n_query] = np.concatenate([unseen, near, nearest])
    return Probe(table, entries, best, scores)


def most_leaves(n_leaves: int, n: int) -> int:
    """Leaves that a query token takes at most, of n that there are."""
    return min(NEAR_LEAVES * min(n_leaves, n), n)


def n_taken(nearest: U8, unseen: U8, n_leaves: int, most: int) -> I64:
    """How many leaves each query token takes, of what it has seen of them, ``(n, q_tokens)``.

    Near are those in the first ``NEAR_SHARE`` 32nds of the way from its best leaf to the best group
    that was not seen; those that it sees as 0 are not.
    """
    largest = nearest.max(axis=0, initial=0).astype(np.int64)
    near = largest - np.maximum(0, largest - unseen) * NEAR_SHARE // 32
    n_near = (nearest >= np.maximum(1, near)).sum(axis=0)
    taken: I64 = np.clip(n_near, min(n_leaves, most), most)
    return taken


def _members(grouped: Grouped, groups: I64) -> I64:
    """The members of some groups, one group after another."""
    empty = np.empty(0, np.int64)
    return np.concatenate([empty, *(grouped.members(group) for group in groups)])


def _looked(query: Quantised, centroids: Quantised, rows: I64 | None = None) -> U8:
    """``(n_centroids, q_tokens)`` uint8, cosines in steps of 1/254 and negative ones as 0.

    A cosine is the product, times the centroid's scale, times the query's.
    """
    if rows is not None:
        centroids = Quantised(centroids.codes[rows], centroids.scales[rows])
    products = dots(centroids.codes, query.codes).astype(np.float32)
    cosines: F32 = products * centroids.scales[:, None] * query.scales
    seen: U8 = np.clip(np.rint(cosines * np.float32(SEEN)), 0, 255).astype(np.uint8)
    return seen


def _best(scores: np.ndarray, n: int) -> I64:
    """Positions of the n largest, largest first, equal ones as they come."""
    return np.argsort(-scores.astype(np.float32), kind="stable")[:n]


def walk(probe: Probe, segments: Sequence[Segment], allowed: U8 | None, n: int) -> U32:
    """Walk the probed leaves' posting lists; the n best rows, ascending.

    A passage gets, for each query token, the score of its best probed leaf, and where it is in none
    of the probed lists, a floor (``walk_floors``). What is summed here is the gain over that, in
    whole steps: equal order, and most passages need no work. Only passages that some probed list
    names are returned; ties go to the lower row. Of a longer query the first ``WALKED_MAX`` tokens
    count.
    """
    gains: list[F32] = []
    seen: list[np.ndarray] = []
    floors = walk_floors(probe)
    for segment in segments:
        gain = np.zeros(len(segment.offsets) - 1, np.float32)
        named = np.zeros(len(gain), bool)
        if isinstance(segment, Settled):
            _walk_segment(probe, floors, segment, gain, named)
        gains.append(gain)
        seen.append(named)
    total: F32 = np.concatenate([*gains, np.empty(0, np.float32)])
    named = np.concatenate([*seen, np.empty(0, bool)])
    rows = np.flatnonzero(named & allowed_rows(allowed, len(total)))
    return np.sort(rows[_best(total[rows], n)]).astype(np.uint32)


def _walk_segment(
    probe: Probe, floors: F32, segment: Settled, gain: F32, named: np.ndarray
) -> None:
    tokens = zip(probe.leaves, probe.scores, floors, strict=True)
    for leaves, scores, floor in islice(tokens, WALKED_MAX):
        probed = leaves != NO_LEAF
        done = np.zeros(len(gain), bool)
        for leaf, score in zip(leaves[probed].tolist(), scores[probed], strict=True):
            ordinals = _posting_list(segment, leaf >> 8, leaf & 255)
            new = ordinals[~done[ordinals]]
            lead = (score - floor) * np.float32(WALK_STEPS)
            gain[new] += np.rint(np.clip(lead, 0, 2 * WALK_STEPS))
            done[new] = True
        named |= done


def walk_floors(probe: Probe) -> F32:
    """What a passage is worth to each query token where no probed list names it.

    Half way from the last leaf probed to the best group that was not seen; the last leaf's score
    where every group was seen, or none of the others has a positive cosine: nothing tells more.
    """
    n_probed = (probe.leaves != NO_LEAF).sum(1)
    none = np.zeros((len(probe.leaves), 1), np.float32)  # which a token without leaves gets
    last = np.take_along_axis(np.hstack([none, probe.scores]), n_probed[:, None], axis=1)[:, 0]
    unseen = probe.table[0, : len(last)] / np.float32(SEEN)
    between = (last + unseen) * np.float32(0.5)
    floors: F32 = np.where((unseen > 0) & (unseen < last), between, last)
    return floors


def _posting_list(segment: Settled, cell: int, place: int) -> I64:
    """The ordinals of the passages that have a token of a leaf."""
    arrays, n_passages = segment.arrays, len(segment.arrays.offsets) - 1
    none = np.empty(0, np.int64)
    if cell >= len(arrays.list_cells) - 1:
        return none
    n_lists, n_words = len(arrays.list_places), len(arrays.list_gaps)
    first, last = arrays.list_cells[cell : cell + 2].tolist()
    if first >= last:
        return none
    if last > n_lists:
        raise damaged(segment.name, f"lists below {n_lists + 1}", str(last))
    at = min(first + place, last - 1)
    while at > first and arrays.list_places[at] > place:
        at -= 1
    if arrays.list_places[at] != place:
        return none
    begin, end = arrays.list_offsets[at : at + 2].tolist()
    if not 0 <= begin <= end <= n_words:
        raise damaged(segment.name, f"list offsets that rise to {n_words}", f"{begin} … {end}")
    words = arrays.list_gaps[begin:end].astype(np.int64)
    names = words < GAPS
    ordinals = np.cumsum(np.where(names, words, (words - (GAPS - 1)) * GAPS))
    beyond = ordinals[ordinals >= n_passages]
    if len(beyond):
        raise damaged(segment.name, f"ordinals below {n_passages}", str(beyond[0]))
    return ordinals[names]


def allowed_rows(allowed: U8 | None, n_rows: int) -> np.ndarray:
    """A bitmap as one bool a row."""
    if allowed is None:
        return np.ones(n_rows, bool)
    return np.unpackbits(allowed, count=n_rows, bitorder="little").astype(bool)


def interact(probe: Probe, segments: Sequence[Segment], rows: U32, n: int) -> tuple[U32, U32]:
    """MaxSim of what the probe has seen for some rows of settled segments; the n best, best first.

    Their sums are of the table's integers: for each query token the largest entry among the
    passage's tokens, and at least that of what was not seen. Ties go to the lower row.
    """
    sums = np.zeros(len(rows), np.uint32)
    for i, segment, ordinal in _locate(segments, rows):
        seen = _seen(probe, segment, ordinal)
        sums[i] = np.maximum(seen.max(axis=0, initial=0), probe.table[0]).sum(dtype=np.uint32)
    best = np.lexsort((rows, -sums.astype(np.int64)))[:n]
    return rows[best], sums[best]


def _seen(probe: Probe, segment: Segment, ordinal: int) -> U8:
    """The table's row of each token of a passage."""
    start, end = int(segment.offsets[ordinal]), int(segment.offsets[ordinal + 1])
    if start == end:
        return probe.table[:0]
    assert isinstance(segment, Settled)
    entries = probe.entries[segment.cells(start, end)]
    places = segment.arrays.heads[start:end] >> np.uint32(8) & np.uint32(255)
    places = np.minimum(places, entries & np.uint32(255))
    seen: U8 = probe.table[(entries >> np.uint32(8)) + places]
    return seen


def score(query: Quantised, segments: Sequence[Segment], rows: U32, n_threads: int = 1) -> F32:
    """MaxSim of the stored codes for some rows.

    A product is ``float32(dot) * scale``; for a settled token the leaf's and the residual's
    products are added, then corrected to unit length. The best of each query token, times the
    query token's scale, is summed in the order of the query tokens and multiplied by the codec's
    fairness. A passage without tokens counts -1, the least cosine, for every query token.
    """
    return _scores(query, segments, rows)


@_quiet
def _scores(
    query: Quantised,
    segments: Sequence[Segment],
    rows: U32,
    entries: U32 | None = None,
    least: F32 | None = None,
) -> F32:
    """By all tokens, or by those whose cells have entries; each query token counts ``least``."""
    scores = np.empty(len(rows), np.float32)
    for i, segment, ordinal in _locate(segments, rows):
        start, end = int(segment.offsets[ordinal]), int(segment.offsets[ordinal + 1])
        if start == end:
            scores[i] = -len(query.scales)
            continue
        seen = segment.similarities(query, start, end)
        if entries is not None:
            if isinstance(segment, Settled):
                seen = seen[entries[segment.cells(start, end)] != 0]
            else:
                seen = seen[:0]  # these tokens have no cells
        best = seen.max(axis=0, initial=-np.inf) * query.scales
        total = np.float32(0)
        for value in best if least is None else np.fmax(best, least):
            total = np.float32(total + value)
        scores[i] = np.float32(total * segment.fairness)
    return scores


def refine(
    query: Quantised,
    probe: Probe,
    segments: Sequence[Segment],
    ranked: Ranked,
    n_threads: int = 1,
) -> F32:
    """``score_best`` by those tokens that a probe has seen.

    As the codes tell them; a query token is worth at least what the probe says of the unseen.
    """
    least = probe.table[0, : len(query.scales)].astype(np.float32) / np.float32(SEEN)

    def score(some: U32) -> F32:
        return _scores(query, segments, some, probe.entries, least)

    return scored_best(score, ranked, REFINED_FIRST)


def score_best(
    query: Quantised,
    segments: Sequence[Segment],
    ranked: Ranked,
    n_threads: int = 1,
) -> F32:
    """``score`` of the first of these rows, as long as the next may be of the k best owners.

    What a score adds to what was expected is much alike for the passages of one query. So the next
    is thought to get at most the mean more, and as much of the deviation as ``spread`` says.
    """

    def score(some: U32) -> F32:
        return _scores(query, segments, some)

    return scored_best(score, ranked, SCORED_FIRST)


def scored_best(score: Callable[[U32], F32], ranked: Ranked, first: int) -> F32:
    """Scores of the first rows, by any function that scores them; some may be scored in vain."""
    rows, scores = ranked.rows, np.empty(0, np.float32)
    n, step = 0, max(first, 2 * ranked.k)
    while True:
        n = min(n + step, len(rows))
        step = max(8, n // 8)
        if n > len(scores):
            more = score(rows[len(scores) : max(n, 2 * len(scores))])
            scores = np.concatenate([scores, more])
        if n == len(rows) or _is_enough(scores[:n], ranked):
            return scores[:n]


@_quiet
def _is_enough(scores: F32, ranked: Ranked) -> bool:
    """Whether the passage after those with scores is thought to be none of the best."""
    n, owners = len(scores), ranked.owners[: len(scores)]
    order = np.lexsort((-scores, owners))
    _, first = np.unique(owners[order], return_index=True)
    best = np.sort(scores[order[first]])[::-1]
    added = (scores - ranked.expected[:n]).astype(np.float64)
    mean = np.cumsum(added)[-1] / n
    variance = np.cumsum(added * added)[-1] / n - mean * mean
    deviation = np.sqrt(max(variance, 0.0))
    possible = np.float64(ranked.expected[n]) + mean + ranked.spread / 10 * deviation
    return len(best) >= ranked.k and bool(possible < best[ranked.k - 1])


def scan(
    query: Quantised, segments: Sequence[Segment], allowed: U8 | None, n_threads: int = 1
) -> F32:
    """``score`` of every row; -inf where a row is not allowed."""
    n_rows = sum(len(segment.offsets) - 1 for segment in segments)
    scores = np.full(n_rows, -np.inf, np.float32)
    rows = np.flatnonzero(allowed_rows(allowed, n_rows)).astype(np.uint32)
    scores[rows] = score(query, segments, rows)
    return scores


@_quiet
def similarities(query: Quantised, segments: Sequence[Segment], row: int) -> F32:
    """Each token of one row against each query token, ``(n_tokens, q_tokens)``.

    Taking the largest of each column and summing in order gives the row's ``score`` up to float32
    rounding (here the fairness multiplies each term).
    """
    (_, segment, ordinal) = next(_locate(segments, np.array([row], np.uint32)))
    start, end = int(segment.offsets[ordinal]), int(segment.offsets[ordinal + 1])
    return segment.similarities(query, start, end) * query.scales * segment.fairness


def _locate(segments: Sequence[Segment], rows: U32) -> Iterator[tuple[int, Segment, int]]:
    """Each row as (position in rows, its segment, its ordinal there)."""
    firsts = np.cumsum([0] + [len(segment.offsets) - 1 for segment in segments])
    owners = np.searchsorted(firsts, rows, side="right") - 1
    for i, (row, owner) in enumerate(zip(rows.tolist(), owners.tolist(), strict=True)):
        if owner >= len(segments):
            raise IndexError(f"row {row} of {firsts[-1]}")
        yield i, segments[owner], row - int(firsts[owner])


def maxsim(query: F32, tokens: F32, offsets: I64, n_threads: int = 1) -> F32:
    """MaxSim of float32 matrices: ``(n_docs,)``, documents at ``offsets`` of ``tokens``.

    Each product adds its coordinates in order, so a document's score does not depend on what
    stands beside it. A document without tokens counts -1 for every query token.
    """
    scores = np.full(len(offsets) - 1, -len(query), np.float32)
    for i, (start, end) in enumerate(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)):
        if start == end:
            continue
        products = np.zeros((end - start, len(query)), np.float32)
        for column, weight in zip(tokens[start:end].T, query.T, strict=True):
            products += column[:, None] * weight
        total = np.float32(0)
        for value in products.max(axis=0):
            total = np.float32(total + value)
        scores[i] = total
    return scores

"""Every hot function in plain NumPy: the specification, and the twin that runs without a compiler.

Two rules make every machine agree to the last bit. Integers: document and query levels are int8 in
[-127, 127] and their dot products are exact int32. Floats: each float32 operation below is written
out, in the order in which it happens, with no contraction and no reduction whose order a library
may choose. Read top to bottom: preparing vectors, building a codec, searching.

Source: the rotation follows the structured rotations of RaBitQ (arXiv 2405.12497); clustering by
token type is TACHIOM's (2604.28142); probe, walk, interact and score are PLAID's stages
(2205.09707) on integers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from interlace.kernels.api import (
    BLOCK,
    F32,
    I8,
    I32,
    I64,
    NO_LEAF,
    U8,
    U32,
    CodecArrays,
    FreshArrays,
    Probe,
    Quantised,
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
    127 and rounded; one that loses all rows stays where it was.
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
    return _with_unit_scale(found)


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


def encode(
    tokens: Quantised, leaves: U32, codec: Codec, cuts: F32, n_threads: int = 1
) -> Residuals:
    """Code what remains of each token after its leaf.

    The residual, scaled to unit variance a coordinate, is cut at ``cuts`` ((2**bits - 1,) float32,
    ascending): a code is the number of cuts below the coordinate. The norm code holds the scale
    that gives the levels the residual's length, the factor code what then restores unit length.
    """
    n, dim = tokens.codes.shape
    out = Residuals(
        np.empty((n, packed_width(dim, codec.bits)), np.uint8),
        np.empty(n, np.uint8),
        np.empty(n, np.uint8),
    )
    root = np.float32(np.sqrt(np.float32(dim)))
    for at in range(0, n, _TOKENS_AT_ONCE):
        part = slice(at, at + _TOKENS_AT_ONCE)
        leaf = leaves[part]
        centre = codec.leaves[leaf].astype(np.float32) * codec.leaf_scales[leaf][:, None]
        rest = tokens.codes[part].astype(np.float32) * tokens.scales[part][:, None] - centre
        norm = np.sqrt(_lane_sum(rest * rest))
        stretch = np.zeros_like(norm)
        np.divide(root, norm, out=stretch, where=norm > 0)
        codes = np.searchsorted(cuts, rest * stretch[:, None], side="left").astype(np.uint8)
        level = codec.levels[codes].astype(np.float32)
        power = np.square(codec.levels[codes], dtype=np.int32).sum(axis=1, dtype=np.int32)
        scale = norm / np.sqrt(power.astype(np.float32))
        out.norms[part] = np.clip(np.rint(scale / codec.norms[1]), 0, 255)
        near = centre + level * codec.norms[out.norms[part]][:, None]
        with np.errstate(divide="ignore"):  # a zero token on a zero leaf: the factor is the largest
            unit = np.float32(1) / np.sqrt(_lane_sum(near * near))
        step = codec.factors[1] - codec.factors[0]
        out.factors[part] = np.clip(np.rint((unit - codec.factors[0]) / step), 0, 255)
        out.codes[part] = pack(codes, codec.bits)
    return out


def packed_width(dim: int, bits: int) -> int:
    """Bytes a token of packed residual codes."""
    return -(-dim * bits // 8)


def pack(codes: U8, bits: int) -> U8:
    """Pack codes in planes: byte b holds coordinates b, b + width, …, lowest bits first."""
    n, dim = codes.shape
    width = packed_width(dim, bits)
    padded = np.zeros((n, 8 // bits, width), np.uint8)
    padded.reshape(n, -1)[:, :dim] = codes
    packed = np.zeros((n, width), np.uint8)
    for plane in range(8 // bits):
        packed |= padded[:, plane] << np.uint8(plane * bits)
    return packed


def unpack(packed: U8, bits: int, dim: int) -> U8:
    """Undo ``pack``."""
    mask = np.uint8((1 << bits) - 1)
    planes = [(packed >> np.uint8(plane * bits)) & mask for plane in range(8 // bits)]
    return np.concatenate(planes, axis=1)[:, :dim]


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
class Codec:
    """A loaded codec; the arrays' meaning is told in ``api.CodecArrays``."""

    bits: int
    cells: Quantised
    leaves: I8
    leaf_scales: F32
    leaf_cells: U32
    cell_leaves: I64
    cell_offsets: I64
    levels: I8
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

    def leaves(self, start: int, end: int) -> U32:
        """Leaf ids of some tokens, none of which leads out of the codec."""
        leaves = self.arrays.leaves[start:end]
        n_leaves = len(self.codec.leaf_scales)
        if len(leaves) and leaves.max() >= n_leaves:
            raise damaged(self.name, f"leaf ids below {n_leaves}", str(leaves.max()))
        return leaves

    def similarities(self, query: Quantised, start: int, end: int) -> F32:
        """``(tokens, q_tokens)`` products, without the query's scales."""
        leaf, inverse = np.unique(self.leaves(start, end), return_inverse=True)
        codec = self.codec
        near = dots(codec.leaves[leaf], query.codes).astype(np.float32)
        near *= codec.leaf_scales[leaf, None]
        codes = unpack(self.arrays.codes[start:end], codec.bits, query.codes.shape[1])
        rest = dots(codec.levels[codes], query.codes).astype(np.float32)
        rest *= codec.norms[self.arrays.norms[start:end], None]
        total: F32 = (near[inverse] + rest) * codec.factors[self.arrays.factors[start:end], None]
        return total


Segment = Fresh | Settled


def load_fresh(arrays: FreshArrays, name: str) -> Fresh:
    """Take a fresh segment."""
    _check_offsets(arrays.offsets, len(arrays.scales), name)
    return Fresh(arrays, name)


def load_codec(arrays: CodecArrays, name: str) -> Codec:
    """Take a codec."""
    n_cells = len(arrays.cell_scales)
    if len(arrays.leaf_cells) and arrays.leaf_cells.max() >= n_cells:
        raise damaged(name, f"cells below {n_cells}", str(arrays.leaf_cells.max()))
    n_leaves = np.bincount(arrays.leaf_cells, minlength=n_cells)
    return Codec(
        arrays.bits,
        Quantised(arrays.cells, arrays.cell_scales),
        arrays.leaves,
        arrays.leaf_scales,
        arrays.leaf_cells,
        np.argsort(arrays.leaf_cells, kind="stable"),
        np.append(0, np.cumsum(n_leaves)).astype(np.int64),
        arrays.levels,
        arrays.norms,
        arrays.factors,
        np.float32(arrays.fairness),
    )


def load_settled(arrays: SettledArrays, codec: Codec, name: str) -> Settled:
    """Take a settled segment and the codec its codes refer to."""
    _check_offsets(arrays.offsets, len(arrays.leaves), name)
    _check_offsets(arrays.block_offsets, len(arrays.list_leaves), name)
    _check_offsets(arrays.list_offsets, len(arrays.list_ordinals), name)
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
def probe(query: Quantised, codec: Codec, n_cells: int, n_leaves: int) -> Probe:
    """Score the cells for a query, and choose each query token's best leaves.

    Each query token takes its ``n_cells`` best cells and among their leaves the ``n_leaves`` best;
    equal cosines go to the lower id. Unused places hold ``NO_LEAF`` and -inf.
    """
    cosines = _cosines(query, codec.cells)
    table = np.rint((cosines + np.float32(1)) * np.float32(127)).astype(np.uint8)
    leaves = np.full((len(query.scales), n_leaves), NO_LEAF, np.uint32)
    scores = np.full(leaves.shape, -np.inf, np.float32)
    for token in range(len(query.scales)):
        best = _best(cosines[:, token], n_cells)
        starts, ends = codec.cell_offsets[best], codec.cell_offsets[best + 1]
        near = np.concatenate(
            [codec.cell_leaves[a:b] for a, b in zip(starts, ends, strict=True)] or [best]
        )
        near.sort()
        one = Quantised(query.codes[token : token + 1], query.scales[token : token + 1])
        cosine = _cosines(one, Quantised(codec.leaves[near], codec.leaf_scales[near]))[:, 0]
        chosen = _best(cosine, n_leaves)
        leaves[token, : len(chosen)] = near[chosen]
        scores[token, : len(chosen)] = cosine[chosen]
    return Probe(table, leaves, scores)


def _cosines(query: Quantised, centroids: Quantised) -> F32:
    """``(n_centroids, q_tokens)``: product, times the centroid's scale, times the query's."""
    products = dots(centroids.codes, query.codes).astype(np.float32)
    cosines: F32 = products * centroids.scales[:, None] * query.scales
    return cosines


def _best(scores: np.ndarray, n: int) -> I64:
    """Positions of the n largest, largest first, equal ones in ascending position."""
    return np.argsort(-scores, kind="stable")[:n]


def walk(probe: Probe, segments: Sequence[Segment], allowed: U8 | None, n: int) -> tuple[U32, F32]:
    """Walk the probed leaves' posting lists; the n best rows, best first, and their scores.

    A passage gets, for each query token, the score of its best probed leaf, and where it is in
    none of the probed lists, that of the last one probed. What is summed here, in the order of the
    query tokens, is the gain over that floor: equal order, and most passages need no work. Only
    passages that some probed list names are returned; ties go to the lower row.
    """
    gains: list[F32] = []
    seen: list[np.ndarray] = []
    for segment in segments:
        gain = np.zeros(len(segment.offsets) - 1, np.float32)
        named = np.zeros(len(gain), bool)
        if isinstance(segment, Settled):
            _walk_segment(probe, segment, gain, named)
        gains.append(gain)
        seen.append(named)
    gain = np.concatenate([*gains, np.empty(0, np.float32)])
    named = np.concatenate([*seen, np.empty(0, bool)])
    rows = np.flatnonzero(named & allowed_rows(allowed, len(gain)))
    rows = rows[_best(gain[rows], n)]
    return rows.astype(np.uint32), gain[rows]


def _walk_segment(probe: Probe, segment: Settled, gain: F32, named: np.ndarray) -> None:
    arrays = segment.arrays
    for block in range(len(arrays.block_offsets) - 1):
        start, end = int(arrays.block_offsets[block]), int(arrays.block_offsets[block + 1])
        present = arrays.list_leaves[start:end]
        for leaves, scores in zip(probe.leaves, probe.scores, strict=True):
            probed = leaves != NO_LEAF
            if not probed.any():
                continue
            floor = scores[probed][-1]
            done = np.zeros(len(gain), bool)
            for leaf, score in zip(leaves[probed], scores[probed], strict=True):
                at = start + int(np.searchsorted(present, leaf))
                if at == end or arrays.list_leaves[at] != leaf:
                    continue
                span = slice(int(arrays.list_offsets[at]), int(arrays.list_offsets[at + 1]))
                ordinals = arrays.list_ordinals[span].astype(np.int64) + block * BLOCK
                if len(ordinals) and ordinals.max() >= len(gain):
                    raise damaged(segment.name, f"ordinals below {len(gain)}", str(ordinals.max()))
                new = ordinals[~done[ordinals]]
                gain[new] += score - floor
                done[new] = True
            named |= done


def allowed_rows(allowed: U8 | None, n_rows: int) -> np.ndarray:
    """A bitmap as one bool a row."""
    if allowed is None:
        return np.ones(n_rows, bool)
    return np.unpackbits(allowed, count=n_rows, bitorder="little").astype(bool)


def interact(probe: Probe, segments: Sequence[Segment], rows: U32, n: int) -> U32:
    """MaxSim of cells alone for some rows of settled segments; the n best rows, best first.

    Sums the table's integers: for each query token the largest entry among the passage's cells (0
    when it has no token). Ties go to the lower row.
    """
    sums = np.zeros(len(rows), np.uint32)
    for i, segment, ordinal in _locate(segments, rows):
        start, end = int(segment.offsets[ordinal]), int(segment.offsets[ordinal + 1])
        if start < end:
            assert isinstance(segment, Settled)
            cells = segment.codec.leaf_cells[segment.leaves(start, end)]
            sums[i] = probe.table[cells].max(axis=0).sum(dtype=np.uint32)
    return rows[np.lexsort((rows, -sums.astype(np.int64)))[:n]]


@_quiet
def score(query: Quantised, segments: Sequence[Segment], rows: U32, n_threads: int = 1) -> F32:
    """MaxSim of the stored codes for some rows.

    A product is ``float32(dot) * scale``; for a settled token the leaf's and the residual's
    products are added, then corrected to unit length. The best of each query token, times the
    query token's scale, is summed in the order of the query tokens and multiplied by the codec's
    fairness. A passage without tokens counts -1, the least cosine, for every query token.
    """
    scores = np.empty(len(rows), np.float32)
    for i, segment, ordinal in _locate(segments, rows):
        scores[i] = _score_one(query, segment, ordinal)
    return scores


def _score_one(query: Quantised, segment: Segment, ordinal: int) -> np.float32:
    start, end = int(segment.offsets[ordinal]), int(segment.offsets[ordinal + 1])
    if start == end:
        return np.float32(-len(query.scales))
    best = segment.similarities(query, start, end).max(axis=0) * query.scales
    total = np.float32(0)
    for value in best:
        total = np.float32(total + value)
    return np.float32(total * segment.fairness)


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

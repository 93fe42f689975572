# ruff: noqa: D102 - what each function does is told once, in api.Kernels
"""Searching on a device: the functions of ``reference`` in the array operations of a library.

What libraries do differently is at the end of ``Device``, and told by ``torch`` and ``mlx``. Arrays
are copied to the device when a search first asks for them, and stay there. What is damaged is
noticed here and told by the host's table, which also does all building.

Integer products are float32 sums of whole numbers below 2**24, so they are exact, also where a
device multiplies in fewer bits: a level has eight. The floats after them come in the twin's order.
On a library's CPU device the results are therefore the twin's to the bit, but for ``maxsim``, whose
sums of floats are the library's; other devices may round otherwise.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec, TypeAlias, TypeVar, cast

import numpy as np

from interlace.kernels import reference
from interlace.kernels.api import (
    F32,
    GAPS,
    I8,
    I64,
    NO_LEAF,
    REFINED_FIRST,
    SCORED_FIRST,
    SEEN,
    U8,
    U32,
    WALK_STEPS,
    WALKED_MAX,
    CodecArrays,
    FreshArrays,
    Handle,
    Kernels,
    Probe,
    Quantised,
    Ranked,
    Residuals,
    SettledArrays,
)

#: The libraries are optional, so their types are not at hand.
Tensor: TypeAlias = Any

_Given = ParamSpec("_Given")
_Found = TypeVar("_Found")

#: Of what a call makes on the device at once, about.
_BYTES: Final = 256 << 20

#: So many products of int8 levels sum to less than 2**24.
_EXACT: Final = 2**24 // (128 * 127)

#: PyTorch has few operations on unsigned integers: their bits are taken as signed ones, in both.
_SIGNED: Final = {np.dtype(np.uint16): np.int16, np.dtype(np.uint32): np.int32}


class Held(dict[str, Tensor]):
    """Arrays by name, each on the device from its first use on; and the host's handle of all."""

    def __init__(
        self, arrays: Mapping[str, np.ndarray], host: Handle, put: Callable[[np.ndarray], Tensor]
    ) -> None:
        self.arrays, self.host, self._put = arrays, host, put

    def __missing__(self, name: str) -> Tensor:
        self[name] = self._put(self.arrays[name])
        return self[name]


class Codec(Held):
    """A loaded codec: its arrays, what is in each cell, and what a packed byte stands for.

    That depends on the lowest bits of the two codes before it: on four states of the byte before.
    """

    def __init__(
        self, arrays: CodecArrays, name: str, host: Handle, put: Callable[[np.ndarray], Tensor]
    ) -> None:
        self.twin = reference.load_codec(arrays, name)
        rest = reference.residuals(arrays.levels, arrays.norms)
        planes = 8 // arrays.bits
        ends = np.array([0, 1, 1 << arrays.bits, 1 + (1 << arrays.bits)]) << 8 - 2 * arrays.bits
        pairs = np.array([[end, byte] for end in ends for byte in range(256)], np.uint8)
        taken = reference.unpack(pairs, arrays.bits, 2 * planes)[:, 1::2]
        derived: dict[str, np.ndarray] = {
            "cell_order": self.twin.by_cell.order,
            "cell_offsets": self.twin.by_cell.offsets,
            "added": rest[:, taken].reshape(-1, planes).astype(np.float32),
        }
        super().__init__(arrays._asdict() | derived, host, put)


class Segment(Held):
    """A loaded segment; a fresh one has no codec."""

    def __init__(
        self,
        arrays: FreshArrays | SettledArrays,
        host: Handle,
        put: Callable[[np.ndarray], Tensor],
        codec: Codec | None = None,
    ) -> None:
        super().__init__(arrays._asdict(), host, put)
        self.codec = codec
        self.offsets, self.n_passages = arrays.offsets, len(arrays.offsets) - 1
        self.fairness = 1.0 if codec is None else float(codec.twin.fairness)


class _Damaged(Exception):
    """What no writer wrote was met on the device."""


def _there(
    search: Callable[Concatenate[Device, _Given], _Found],
) -> Callable[Concatenate[Device, _Given], _Found]:
    """What is called on the device; of what is damaged there, the host's function tells."""

    @wraps(search)
    def run(self: Device, /, *args: _Given.args, **named: _Given.kwargs) -> _Found:
        try:
            return self._run(lambda: search(self, *args, **named))
        except _Damaged:
            query, segments, *rest = args
            hosts = [one.host for one in cast("Sequence[Segment]", segments)]
            told: _Found = getattr(self._host, search.__name__)(query, hosts, *rest, **named)
            return told

    return run


class Device(ABC):
    """The kernels on one device.

    Parameters
    ----------
    name : str
        Of the table.
    library : module
        ``torch`` or ``mlx.core``.
    host : Kernels
        What builds, and tells what is damaged.
    """

    def __init__(self, name: str, library: Any, host: Kernels) -> None:
        self.name, self._library, self._host = name, library, host

    def __repr__(self) -> str:
        return f"<kernels {self.name}>"

    # --- loading -----------------------------------------------------------------------------
    def load_fresh(self, arrays: FreshArrays, name: str) -> Segment:
        return Segment(arrays, self._host.load_fresh(arrays, name), self._put)

    def load_codec(self, arrays: CodecArrays, name: str) -> Codec:
        return Codec(arrays, name, self._host.load_codec(arrays, name), self._put)

    def load_settled(self, arrays: SettledArrays, codec: Codec, name: str) -> Segment:
        host = self._host.load_settled(arrays, codec.host, name)
        return Segment(arrays, host, self._put, codec)

    # --- building ----------------------------------------------------------------------------
    def quantise(self, matrix: F32, signs: I8, n_threads: int = 1) -> Quantised:
        return self._host.quantise(matrix, signs, n_threads)

    def cluster(
        self,
        codes: I8,
        group_offsets: I64,
        n_centroids: I64,
        n_iterations: int = 6,
        sample: int = 64,
        n_threads: int = 1,
    ) -> Quantised:
        return self._host.cluster(
            codes, group_offsets, n_centroids, n_iterations, sample, n_threads
        )

    def assign(
        self, codes: I8, first: I64, last: I64, centroids: Quantised, n_threads: int = 1
    ) -> U32:
        return self._host.assign(codes, first, last, centroids, n_threads)

    def encode(self, tokens: Quantised, leaves: U32, codec: Codec, n_threads: int = 1) -> Residuals:
        return self._host.encode(tokens, leaves, codec.host, n_threads)

    # --- searching ---------------------------------------------------------------------------
    @_there
    def probe(
        self, query: Quantised, codec: Codec, n_groups: int, n_cells: int, n_leaves: int
    ) -> Probe:
        """Compare and sort on the device; keep count of cells and leaves here."""
        twin, n_query = codec.twin, len(query.scales)
        far = self._looked(query, codec, "group", np.arange(len(twin.groups.scales)))
        groups = np.unique(self._best(far, n_groups))
        is_near = np.isin(np.arange(len(far)), groups).astype(np.int64)
        unseen = self._largest(far, self._put(is_near), 2, 0.0)[:1]
        entries = np.zeros(len(twin.cell_groups), np.uint32)

        cells = _members(twin.by_group, groups)
        entries[cells] = (1 + np.arange(len(cells), dtype=np.uint32)) << np.uint32(8)
        near = self._looked(query, codec, "cell", cells)
        n_places = np.diff(twin.by_cell.offsets)
        chosen = np.unique(self._best(near, n_cells))
        cells = cells[chosen]
        cells = cells[n_places[cells] > 0]

        leaves, n = _members(twin.by_cell, cells), n_places[cells]
        first = np.cumsum(n) - n
        row = (1 + len(near) + first).astype(np.uint32)
        entries[cells] = row << np.uint32(8) | (n - 1).astype(np.uint32)
        ids = (np.repeat(cells, n) << 8) + np.arange(len(leaves)) - np.repeat(first, n)
        nearest = self._looked(query, codec, "leaf", leaves)

        whole = self._library.concatenate([unseen, near, nearest])
        seen = self._got(self._cast(whole, "uint8"))
        of_leaves = seen[1 + len(near) :]
        most = reference.most_leaves(n_leaves, len(codec.arrays["leaf_scales"]))
        n_best = reference.n_taken(of_leaves, seen[0], n_leaves, most)
        at = self._best(nearest, int(n_best.max(initial=0)))
        is_best = np.arange(len(at)) < n_best[:, None]
        best = np.full((n_query, most), NO_LEAF, np.uint32)
        scores = np.full(best.shape, -np.inf, np.float32)
        best[:, : len(at)] = np.where(is_best, ids[at].T, NO_LEAF)
        found = np.take_along_axis(of_leaves, at, axis=0).T / np.float32(SEEN)
        scores[:, : len(at)] = np.where(is_best, found, -np.float32(np.inf))
        table = np.zeros((len(seen), -(-n_query // 16) * 16), np.uint8)
        table[:, :n_query] = seen
        return Probe(table, entries, best, scores)

    def _looked(self, query: Quantised, codec: Codec, kind: str, rows: I64) -> Tensor:
        """``(len(rows), q_tokens)``: cosines of groups, cells or leaves in whole steps of 1/254."""
        plural = {"group": "groups", "cell": "cells", "leaf": "leaves"}[kind]
        at, codes, scales = (self._put(each) for each in (rows, query.codes, query.scales))
        cosines = self._dots(codec[plural][at], codes)
        cosines = cosines * codec[f"{kind}_scales"][at][:, None] * scales
        return self._library.clip((cosines * SEEN).round(), 0, 255)

    def _best(self, seen: Tensor, n: int) -> I64:
        """``(at most n, q_tokens)``: each column's largest, equal ones as they come."""
        best: I64 = self._got(self._falling(seen)[:n])
        return best

    @_there
    def walk(self, probe: Probe, segments: Sequence[Segment], allowed: U8 | None, n: int) -> U32:
        leaves, scores = probe.leaves[:WALKED_MAX], probe.scores[:WALKED_MAX]
        tokens, places = np.nonzero(leaves != NO_LEAF)
        floors = reference.walk_floors(probe)
        leads = (scores[tokens, places] - floors[tokens]) * np.float32(WALK_STEPS)
        leads = np.rint(np.clip(leads, 0, 2 * WALK_STEPS))
        probed = leaves[tokens, places].astype(np.int64)

        found = [self._gains(segment, tokens, probed, leads) for segment in segments]
        gains = self._library.concatenate([self._full((0,), 0.0), *found])
        is_named = gains >= 0
        if allowed is not None:
            is_named = is_named & self._put(reference.allowed_rows(allowed, len(gains)))
        rows = self._where(is_named)
        best = rows[self._falling(gains[rows])[:n]]
        walked: U32 = np.sort(self._got(best)).astype(np.uint32)
        return walked

    def _gains(self, segment: Segment, tokens: I64, leaves: I64, leads: F32) -> Tensor:
        """Each passage's sum of leads, -1 where no list names it."""
        n, total = segment.n_passages, self._full((segment.n_passages,), 0.0)
        if segment.codec is None or not n:
            return total - 1
        of, starts, lengths = _posting_lists(segment.arrays, leaves)
        is_named, n_query = total > 0, int(tokens.max(initial=-1)) + 1
        step = max(1, min(_BYTES // (16 * n), n_query))
        for token in range(0, n_query, step):
            mine = np.flatnonzero((tokens[of] >= token) & (tokens[of] < token + step))
            owners, words = self._spread(starts[mine], lengths[mine])
            words = self._cast(segment["list_gaps"][words], "int32") & 0xFFFF
            far = self._library.where(words < GAPS, words, (words - (GAPS - 1)) * GAPS)
            ends = far.cumsum(0)  # past int32 it wraps around, and comes back with the difference
            firsts = self._put(np.cumsum(lengths[mine]) - lengths[mine])
            ordinals = self._cast(ends - (ends - far)[firsts][owners], "int32")
            if len(ordinals) and not 0 <= int(ordinals.min()) <= int(ordinals.max()) < n:
                raise _Damaged
            at = self._put((tokens[of[mine]] - token) * n)[owners] + ordinals
            named = self._library.where(words < GAPS, self._put(leads[of[mine]])[owners], -1.0)
            best = self._full((step * n,), -1.0)
            best = self._raised(best, at, named).reshape(step, n)
            total = total + self._library.clip(best, 0, None).sum(0)
            is_named = is_named | (best >= 0).any(0)
        return self._library.where(is_named, total, -1.0)

    @_there
    def interact(
        self, probe: Probe, segments: Sequence[Segment], rows: U32, n: int
    ) -> tuple[U32, U32]:
        table = self._cast(self._put(probe.table), "float32")
        entries, sums = self._put(probe.entries.astype(np.int64)), np.zeros(len(rows), np.uint32)
        for at, segment, ordinals in _located(segments, rows):
            for part, owners, tokens in self._parts(segment.offsets, ordinals, table.shape[1]):
                heads = segment["heads"][tokens]
                cells = heads >> 16 & 0xFFFF
                if bool((cells >= len(entries)).any()):
                    raise _Damaged
                entry = entries[cells]
                places = self._library.minimum(heads >> 8 & 255, entry & 255)
                seen = table[(entry >> 8) + places]
                found = self._largest(seen, owners, len(ordinals[part]), 0.0)
                sums[at[part]] = self._got(self._library.maximum(found, table[:1]).sum(1))
        best = np.lexsort((rows, -sums.astype(np.int64)))[:n]
        return rows[best], sums[best]

    @_there
    def score(
        self, query: Quantised, segments: Sequence[Segment], rows: U32, n_threads: int = 1
    ) -> F32:
        return self._scores(query, segments, rows)

    @_there
    def refine(
        self,
        query: Quantised,
        probe: Probe,
        segments: Sequence[Segment],
        ranked: Ranked,
        n_threads: int = 1,
    ) -> F32:
        def score(some: U32) -> F32:
            return self._scores(query, segments, some, probe)

        return reference.scored_best(score, ranked, REFINED_FIRST)

    @_there
    def score_best(
        self,
        query: Quantised,
        segments: Sequence[Segment],
        ranked: Ranked,
        n_threads: int = 1,
    ) -> F32:
        def score(some: U32) -> F32:
            return self._scores(query, segments, some)

        return reference.scored_best(score, ranked, SCORED_FIRST)

    @_there
    def scan(
        self,
        query: Quantised,
        segments: Sequence[Segment],
        allowed: U8 | None,
        n_threads: int = 1,
    ) -> F32:
        scores = np.full(sum(one.n_passages for one in segments), -np.inf, np.float32)
        rows = np.flatnonzero(reference.allowed_rows(allowed, len(scores))).astype(np.uint32)
        scores[rows] = self._scores(query, segments, rows)
        return scores

    @_there
    def similarities(self, query: Quantised, segments: Sequence[Segment], row: int) -> F32:
        codes, scales = self._put(query.codes), self._put(query.scales)
        ((_, segment, ordinals),) = _located(segments, np.array([row], np.uint32))
        start, end = segment.offsets[ordinals[0] : ordinals[0] + 2].tolist()
        products = self._products(codes, segment, self._range(end - start) + start)
        cosines: F32 = self._got(products * scales * segment.fairness)
        return cosines

    @_there
    def maxsim(self, query: F32, tokens: F32, offsets: I64, n_threads: int = 1) -> F32:
        scores, wanted = np.empty(len(offsets) - 1, np.float32), self._put(query)
        width = tokens.shape[1] + 2 * len(query)
        for part, owners, _ in self._parts(offsets, np.arange(len(scores)), width):
            products = self._put(tokens[offsets[part.start] : offsets[part.stop]]) @ wanted.T
            best = self._largest(products, owners, part.stop - part.start, -np.inf)
            scores[part] = self._got(best.sum(1))
        scores[offsets[1:] == offsets[:-1]] = -len(query)
        return scores

    def _scores(
        self,
        query: Quantised,
        segments: Sequence[Segment],
        rows: U32,
        probe: Probe | None = None,
    ) -> F32:
        """MaxSim of the stored codes for some rows, or of those tokens that a probe has seen."""
        n_query = len(query.scales)
        codes, scales = self._put(query.codes), self._put(query.scales)
        if probe is not None:
            is_seen = self._put((probe.entries != 0).astype(np.float32))
            least = self._put(probe.table[0, :n_query] / np.float32(SEEN))
        scores = np.empty(len(rows), np.float32)
        for at, segment, ordinals in _located(segments, rows):
            width = 7 * codes.shape[1] + 3 * n_query
            for part, owners, tokens in self._parts(segment.offsets, ordinals, width):
                products = self._products(codes, segment, tokens)
                if probe is not None:
                    cells = segment["heads"][tokens] >> 16 & 0xFFFF
                    products = self._library.where(is_seen[cells][:, None] > 0, products, -np.inf)
                best = self._largest(products, owners, len(ordinals[part]), -np.inf) * scales
                if probe is not None:
                    # Also where nothing was seen and the query's scale is zero: not a number.
                    best = self._library.where(best > least, best, least)
                total = self._full((len(best),), 0.0)
                for column in best.T:
                    total = total + column
                scores[at[part]] = self._got(total * segment.fairness)
            scores[at[segment.offsets[ordinals] == segment.offsets[ordinals + 1]]] = -n_query
        return scores

    def _products(self, query: Tensor, segment: Segment, tokens: Tensor) -> Tensor:
        """``(n_tokens, q_tokens)``, without the query's scales."""
        codec = segment.codec
        if codec is None:
            products = self._dots(segment["codes"][tokens], query)
            return products * segment["scales"][tokens][:, None]
        heads = segment["heads"][tokens]
        cells, places = heads >> 16 & 0xFFFF, heads >> 8 & 255
        known = self._library.clip(cells, None, len(codec.arrays["cell_scales"]) - 1)
        first = codec["cell_offsets"][known]
        n_places = codec["cell_offsets"][known + 1] - first
        if bool(((cells != known) | (places >= n_places)).any()):
            raise _Damaged
        leaves = codec["leaves"][codec["cell_order"][first + places]]
        packed, bits = self._cast(segment["codes"][tokens], "int32"), codec.twin.bits
        ends = packed >> 8 - 2 * bits
        left = (ends & 1) << 8 | (ends >> bits & 1) << 9
        states = self._library.concatenate([left[:, :1] & 0, left[:, :-1]], 1)  # before all is 0
        rest = (
            codec["added"][(heads & 15)[:, None] << 10 | states | packed].swapaxes(1, 2).flatten(1)
        )
        whole = self._library.clip(leaves + rest[:, : query.shape[1]], -128, 127)
        return self._dots(whole, query) * codec["factors"][heads & 255][:, None]

    def _dots(self, a: Tensor, b: Tensor) -> Tensor:
        """Exact integer products of levels, ``(len(a), len(b))``, rounded to float32 at the end."""
        a, b = self._cast(a, "float32"), self._cast(b, "float32")
        parts = [slice(at, at + _EXACT) for at in range(0, a.shape[1], _EXACT)]
        total = sum(self._cast(a[:, part] @ b[:, part].T, "int32") for part in parts)
        return self._cast(total, "float32")

    def _largest(self, values: Tensor, owners: Tensor, n: int, least: float) -> Tensor:
        """``(n, width)``: the largest of each column among an owner's rows, and at least that."""
        return self._raised(self._full((n, values.shape[1]), least), owners, values)

    def _parts(
        self, offsets: I64, ordinals: I64, width: int
    ) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Runs of passages whose tokens, at ``width`` numbers each, are not too many at once.

        Each as its slice of ``ordinals``; its tokens' owners, counted from 0; and the tokens.
        """
        starts, lengths = offsets[ordinals], offsets[ordinals + 1] - offsets[ordinals]
        ends, at = np.cumsum(lengths), 0
        while at < len(ordinals):
            room = _BYTES // (4 * width + 32) + (int(ends[at - 1]) if at else 0)
            part = slice(at, max(at + 1, int(np.searchsorted(ends, room, side="right"))))
            yield part, *self._spread(starts[part], lengths[part])
            at = part.stop

    def _spread(self, starts: I64, lengths: I64) -> tuple[Tensor, Tensor]:
        """Ranges one after another: for each of their positions which range's it is, and itself."""
        first = np.cumsum(lengths) - lengths
        owners = self._repeated(lengths)
        return owners, self._range(len(owners)) + self._put(starts - first)[owners]

    # --- what libraries do differently -------------------------------------------------------
    def _put(self, array: np.ndarray) -> Tensor:
        return self._copied(array.view(_SIGNED.get(array.dtype, array.dtype)))

    @abstractmethod
    def _run(self, call: Callable[[], _Found]) -> _Found:
        """What a call returns where the library may be used."""

    @abstractmethod
    def _copied(self, array: np.ndarray) -> Tensor:
        """An array on the device."""

    @abstractmethod
    def _got(self, tensor: Tensor) -> Any:
        """A tensor as an array of NumPy."""

    @abstractmethod
    def _cast(self, tensor: Tensor, kind: str) -> Tensor:
        """Another dtype: ``"float32"``, ``"int32"``, ``"uint8"``."""

    @abstractmethod
    def _full(self, shape: tuple[int, ...], value: float) -> Tensor:
        """The same float32 everywhere."""

    @abstractmethod
    def _range(self, n: int) -> Tensor:
        """0 to n - 1, as int64."""

    @abstractmethod
    def _repeated(self, counts: I64) -> Tensor:
        """Each position as often as its count says."""

    @abstractmethod
    def _where(self, is_it: Tensor) -> Tensor:
        """The positions that are true, ``(n,)``."""

    @abstractmethod
    def _falling(self, values: Tensor) -> Tensor:
        """Positions along the first axis, largest whole number first, equal ones as they come."""

    @abstractmethod
    def _raised(self, least: Tensor, at: Tensor, values: Tensor) -> Tensor:
        """The largest of ``least[i]`` and all ``values`` whose ``at`` is i."""


def _members(grouped: reference.Grouped, groups: I64) -> I64:
    """The members of some groups, one group after another."""
    return np.concatenate([grouped.order[:0], *map(grouped.members, groups)])


def _located(segments: Sequence[Segment], rows: U32) -> Iterator[tuple[I64, Segment, I64]]:
    """For each segment that rows are in: their positions in ``rows``, it, their ordinals there."""
    firsts = np.cumsum([0, *(one.n_passages for one in segments)])
    beyond = rows[rows >= firsts[-1]]
    if len(beyond):
        raise IndexError(f"row {beyond[0]} of {firsts[-1]}")
    owners = np.searchsorted(firsts, rows, side="right") - 1
    for owner in np.unique(owners):
        at = np.flatnonzero(owners == owner)
        yield at, segments[owner], rows[at].astype(np.int64) - firsts[owner]


def _posting_lists(arrays: Mapping[str, np.ndarray], leaves: I64) -> tuple[I64, I64, I64]:
    """The lists of some leaves in a segment, of those that have one.

    Returns which of the leaves, where the list begins in ``list_gaps``, and its words.
    """
    of = np.flatnonzero(leaves >> 8 < len(arrays["list_cells"]) - 1)
    cells, places = leaves[of] >> 8, leaves[of] & 255
    first = arrays["list_cells"][cells].astype(np.int64)
    last = arrays["list_cells"][cells + 1].astype(np.int64)
    has = first < last
    of, places, first, last = of[has], places[has], first[has], last[has]
    if (last > len(arrays["list_places"])).any():
        raise _Damaged
    place_of, found = arrays["list_places"], np.minimum(first + places, last - 1)
    while (is_past := (found > first) & (place_of[found] > places)).any():
        found -= is_past
    there = place_of[found] == places
    of, found = of[there], found[there]
    begin, end = arrays["list_offsets"][found], arrays["list_offsets"][found + 1]
    if ((begin < 0) | (begin > end) | (end > len(arrays["list_gaps"]))).any():
        raise _Damaged
    full = begin < end
    return of[full], begin[full], (end - begin)[full]

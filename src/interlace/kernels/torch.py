# ruff: noqa: D102 - what each function does is told once, in api.Kernels
"""Searching on a device of PyTorch: the functions of ``reference`` in plain tensor operations.

Arrays are copied to the device when a search first asks for them, and stay there. What is damaged
is noticed here and told by the host's table, which also does all building.

Integer products are float32 sums of whole numbers below 2**24, so they are exact; the floats after
them come in the twin's order. On PyTorch's CPU device the results are therefore the twin's to the
bit, but for ``maxsim``, whose sums of floats are the library's; other devices may round otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np

from interlace import extras
from interlace.errors import SettingsError
from interlace.kernels import reference
from interlace.kernels.api import (
    BLOCK,
    F32,
    I8,
    I64,
    NO_LEAF,
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
    Residuals,
    SettledArrays,
)

#: torch is optional, so its types are not at hand.
Tensor: TypeAlias = Any

#: Of what a call makes on the device at once, about.
_BYTES: Final = 256 << 20

#: So many products of int8 levels sum to less than 2**24.
_EXACT: Final = 2**24 // (128 * 127)

#: PyTorch has few operations on unsigned integers: their bits are taken as signed ones.
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
    """A loaded codec: its arrays, what is in each cell, and what a packed byte stands for."""

    def __init__(
        self, arrays: CodecArrays, name: str, host: Handle, put: Callable[[np.ndarray], Tensor]
    ) -> None:
        self.twin = reference.load_codec(arrays, name)
        rest = reference.residuals(arrays.levels, arrays.norms)
        planes = 8 // arrays.bits
        codes = reference.unpack(np.arange(256, dtype=np.uint8)[:, None], arrays.bits, planes)
        derived: dict[str, np.ndarray] = {
            "cell_order": self.twin.by_cell.order,
            "cell_offsets": self.twin.by_cell.offsets,
            "added": rest[:, codes].reshape(-1, planes).astype(np.float32),
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


class Torch:
    """The kernels on one device.

    Parameters
    ----------
    device : str
        ``"cuda"``, ``"cuda:1"``, ``"mps"``, ``"cpu"``; the best that is here where empty.
    host : Kernels
        What builds, and tells what is damaged.

    Raises
    ------
    MissingExtra
        When torch is not installed.
    SettingsError
        When there is no such device.
    """

    def __init__(self, device: str, host: Kernels) -> None:
        self._torch = torch = extras.need("torch", extra="torch")
        here = ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available()
        self._host, self._device = host, device or [*here, "cpu"][0]
        try:
            torch.zeros(1, device=self._device).item()
        except Exception as error:  # of a device that is not here: whatever torch likes
            raise SettingsError(
                f"PyTorch cannot use the device: {self._device!r} ({str(error).splitlines()[0]}). "
                f"Choose from {', '.join([*here, 'cpu'])}."
            ) from error
        self.name = f"torch:{self._device}"

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

    def _put(self, array: np.ndarray) -> Tensor:
        signed = array.view(_SIGNED.get(array.dtype, array.dtype))
        return self._torch.tensor(signed, device=self._device)

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

    def encode(
        self, tokens: Quantised, leaves: U32, codec: Codec, cuts: F32, n_threads: int = 1
    ) -> Residuals:
        return self._host.encode(tokens, leaves, codec.host, cuts, n_threads)

    # --- searching ---------------------------------------------------------------------------
    def probe(
        self, query: Quantised, codec: Codec, n_groups: int, n_cells: int, n_leaves: int
    ) -> Probe:
        """Compare and sort on the device; keep count of cells and leaves here."""
        twin, n_query = codec.twin, len(query.scales)
        far = self._looked(query, codec, "group", np.arange(len(twin.groups.scales)))
        groups = np.unique(self._best(far, n_groups))
        entries = twin.cell_groups.astype(np.uint32) << np.uint32(8)

        cells = _members(twin.by_group, groups)
        entries[cells] = (len(far) + np.arange(len(cells), dtype=np.uint32)) << np.uint32(8)
        near = self._looked(query, codec, "cell", cells)
        n_places = np.diff(twin.by_cell.offsets)
        chosen = np.unique(self._best(near, n_cells))
        cells = cells[chosen]
        cells = cells[n_places[cells] > 0]

        leaves, n = _members(twin.by_cell, cells), n_places[cells]
        first = np.cumsum(n) - n
        row = (len(far) + len(near) + first).astype(np.uint32)
        entries[cells] = row << np.uint32(8) | (n - 1).astype(np.uint32)
        ids = (np.repeat(cells, n) << 8) + np.arange(len(leaves)) - np.repeat(first, n)
        nearest = self._looked(query, codec, "leaf", leaves)

        at = self._best(nearest, n_leaves)
        best = np.full((n_query, n_leaves), NO_LEAF, np.uint32)
        scores = np.full(best.shape, -np.inf, np.float32)
        seen = self._torch.cat([far, near, nearest]).byte().cpu().numpy()
        best[:, : len(at)] = ids[at].T
        of_leaves = seen[len(far) + len(near) :]
        scores[:, : len(at)] = np.take_along_axis(of_leaves, at, axis=0).T / np.float32(254)
        table = np.zeros((len(seen), -(-n_query // 16) * 16), np.uint8)
        table[:, :n_query] = seen
        return Probe(table, entries, best, scores)

    def _looked(self, query: Quantised, codec: Codec, kind: str, rows: I64) -> Tensor:
        """``(len(rows), q_tokens)``: cosines of groups, cells or leaves in whole steps of 1/254."""
        plural = {"group": "groups", "cell": "cells", "leaf": "leaves"}[kind]
        at, codes, scales = (self._put(each) for each in (rows, query.codes, query.scales))
        cosines = self._dots(codec[plural][at], codes)
        cosines = cosines * codec[f"{kind}_scales"][at][:, None] * scales
        return (cosines * 254).round().clamp(0, 255)

    def _best(self, seen: Tensor, n: int) -> I64:
        """``(at most n, q_tokens)``: each column's largest, equal ones as they come."""
        best: I64 = seen.sort(dim=0, descending=True, stable=True).indices[:n].cpu().numpy()
        return best

    def walk(self, probe: Probe, segments: Sequence[Segment], allowed: U8 | None, n: int) -> U32:
        leaves, scores = probe.leaves[:WALKED_MAX], probe.scores[:WALKED_MAX]
        tokens, places = np.nonzero(leaves != NO_LEAF)
        floors = np.zeros(len(leaves), np.float32)
        floors[tokens] = scores[tokens, places]  # of a token's leaves the last one's stays
        leads = (scores[tokens, places] - floors[tokens]) * np.float32(WALK_STEPS)
        leads = np.rint(np.clip(leads, 0, 2 * WALK_STEPS))
        probed = leaves[tokens, places].astype(np.int64)

        found = [self._put(np.empty(0, np.float32))]
        for segment in segments:
            gains = self._gains(segment, tokens, probed, leads)
            if gains is None:
                return self._host.walk(probe, [one.host for one in segments], allowed, n)
            found.append(gains)
        gains = self._torch.cat(found)
        is_named = gains >= 0
        if allowed is not None:
            is_named &= self._put(reference.allowed_rows(allowed, len(gains)))
        rows = is_named.nonzero().flatten()
        best = rows[gains[rows].sort(descending=True, stable=True).indices[:n]]
        walked: U32 = np.sort(best.cpu().numpy()).astype(np.uint32)
        return walked

    def _gains(self, segment: Segment, tokens: I64, leaves: I64, leads: F32) -> Tensor | None:
        """Each passage's sum of leads, -1 where no list names it; None when a list is damaged."""
        torch, n = self._torch, segment.n_passages
        total = torch.zeros(n, device=self._device)
        if segment.codec is None or not n:
            return total - 1
        lists = _posting_lists(segment.arrays, leaves)
        if lists is None:
            return None
        of, starts, lengths, firsts = lists
        is_named, n_query = total > 0, int(tokens.max(initial=-1)) + 1
        step = max(1, min(_BYTES // (16 * n), n_query))
        for token in range(0, n_query, step):
            mine = np.flatnonzero((tokens[of] >= token) & (tokens[of] < token + step))
            owners, postings = self._spread(starts[mine], lengths[mine])
            ordinals = (segment["list_ordinals"][postings].int() & 0xFFFF).long()
            ordinals += self._put(firsts[mine])[owners]
            if len(ordinals) and int(ordinals.max()) >= n:
                return None
            at = self._put((tokens[of[mine]] - token) * n)[owners] + ordinals
            best = torch.full((step * n,), -1.0, device=self._device)
            best.scatter_reduce_(0, at, self._put(leads[of[mine]])[owners], "amax")
            total += best.view(step, n).clamp(min=0).sum(0)
            is_named |= (best.view(step, n) >= 0).any(0)
        return torch.where(is_named, total, -1.0)

    def interact(
        self, probe: Probe, segments: Sequence[Segment], rows: U32, n: int
    ) -> tuple[U32, U32]:
        table, entries = self._put(probe.table).float(), self._put(probe.entries.astype(np.int64))
        sums, bad = np.zeros(len(rows), np.uint32), self._put(np.array(False))
        for at, segment, ordinals in _located(segments, rows):
            for part, owners, tokens in self._parts(segment.offsets, ordinals, table.shape[1]):
                heads = segment["heads"][tokens]
                cells = heads >> 16 & 0xFFFF
                bad = bad | (cells >= len(entries)).any()
                entry = entries[cells.clamp(max=len(entries) - 1)]
                places = self._torch.minimum(heads >> 8 & 255, entry & 255)
                seen = table[(entry >> 8) + places]
                found = self._largest(seen, owners, len(ordinals[part]), 0.0).sum(1)
                sums[at[part]] = found.cpu().numpy()
        if bool(bad):
            return self._host.interact(probe, [one.host for one in segments], rows, n)
        best = np.lexsort((rows, -sums.astype(np.int64)))[:n]
        return rows[best], sums[best]

    def score(
        self, query: Quantised, segments: Sequence[Segment], rows: U32, n_threads: int = 1
    ) -> F32:
        torch, n_query = self._torch, len(query.scales)
        codes, scales = self._put(query.codes), self._put(query.scales)
        scores, bad = np.empty(len(rows), np.float32), self._put(np.array(False))
        for at, segment, ordinals in _located(segments, rows):
            width = 5 * codes.shape[1] + 3 * n_query
            for part, owners, tokens in self._parts(segment.offsets, ordinals, width):
                products, wrong = self._products(codes, segment, tokens)
                bad = bad | wrong
                best = self._largest(products, owners, len(ordinals[part]), -np.inf)
                total = torch.zeros(len(best), device=self._device)
                for column in (best * scales).T:
                    total += column
                total *= segment.fairness
                scores[at[part]] = total.cpu().numpy()
            scores[at[segment.offsets[ordinals] == segment.offsets[ordinals + 1]]] = -n_query
        if bool(bad):
            hosts = [one.host for one in segments]
            return self._host.score(query, hosts, rows, n_threads)
        return scores

    def scan(
        self,
        query: Quantised,
        segments: Sequence[Segment],
        allowed: U8 | None,
        n_threads: int = 1,
    ) -> F32:
        scores = np.full(sum(one.n_passages for one in segments), -np.inf, np.float32)
        rows = np.flatnonzero(reference.allowed_rows(allowed, len(scores))).astype(np.uint32)
        scores[rows] = self.score(query, segments, rows, n_threads)
        return scores

    def similarities(self, query: Quantised, segments: Sequence[Segment], row: int) -> F32:
        codes, scales = self._put(query.codes), self._put(query.scales)
        ((_, segment, ordinals),) = _located(segments, np.array([row], np.uint32))
        start, end = segment.offsets[ordinals[0] : ordinals[0] + 2].tolist()
        tokens = self._torch.arange(start, end, device=self._device)
        products, bad = self._products(codes, segment, tokens)
        if bool(bad):
            return self._host.similarities(query, [one.host for one in segments], row)
        cosines: F32 = (products * scales * segment.fairness).cpu().numpy()
        return cosines

    def maxsim(self, query: F32, tokens: F32, offsets: I64, n_threads: int = 1) -> F32:
        scores, wanted = np.empty(len(offsets) - 1, np.float32), self._put(query)
        width = tokens.shape[1] + 2 * len(query)
        for part, owners, _ in self._parts(offsets, np.arange(len(scores)), width):
            products = self._put(tokens[offsets[part.start] : offsets[part.stop]]) @ wanted.T
            best = self._largest(products, owners, part.stop - part.start, -np.inf)
            scores[part] = best.sum(1).cpu().numpy()
        scores[offsets[1:] == offsets[:-1]] = -len(query)
        return scores

    def _products(self, query: Tensor, segment: Segment, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """``(n_tokens, q_tokens)``, without the query's scales; and whether a leaf is not there."""
        codec = segment.codec
        if codec is None:
            products = self._dots(segment["codes"][tokens], query)
            return products * segment["scales"][tokens][:, None], self._put(np.array(False))
        heads = segment["heads"][tokens]
        cells, places = heads >> 16 & 0xFFFF, heads >> 8 & 255
        known = cells.clamp(max=len(codec["cell_scales"]) - 1)
        first = codec["cell_offsets"][known]
        bad = ((cells != known) | (places >= codec["cell_offsets"][known + 1] - first)).any()
        leaves = codec["cell_order"][(first + places).clamp(max=len(codec["leaf_scales"]) - 1)]
        packed = (heads & 15)[:, None] << 8 | segment["codes"][tokens].int()
        rest = codec["added"][packed].transpose(1, 2).flatten(1)
        whole = (codec["leaves"][leaves] + rest[:, : query.shape[1]]).clamp_(-128, 127)
        return self._dots(whole, query) * codec["factors"][heads & 255][:, None], bad

    def _dots(self, a: Tensor, b: Tensor) -> Tensor:
        """Exact integer products of levels, ``(len(a), len(b))``, rounded to float32 at the end."""
        pairs = zip(a.float().split(_EXACT, 1), b.float().split(_EXACT, 1), strict=True)
        return sum((x @ y.T).int() for x, y in pairs).float()

    def _largest(self, values: Tensor, owners: Tensor, n: int, least: float) -> Tensor:
        """``(n, width)``: the largest of each column among an owner's rows, and at least that."""
        largest = self._torch.full((n, values.shape[1]), least, device=self._device)
        return largest.scatter_reduce_(0, owners[:, None].expand_as(values), values, "amax")

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
        n, first = int(lengths.sum()), np.cumsum(lengths) - lengths
        owners = self._torch.repeat_interleave(self._put(lengths), output_size=n)
        return owners, self._torch.arange(n, device=self._device) + self._put(starts - first)[
            owners
        ]


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


def _posting_lists(
    arrays: Mapping[str, np.ndarray], leaves: I64
) -> tuple[I64, I64, I64, I64] | None:
    """The lists of some leaves in every block of a segment; None when any is damaged.

    Returns which of the leaves, where the list begins in ``list_ordinals``, how long it is, and
    the passage it counts from.
    """
    known = np.flatnonzero(leaves >> 8 < arrays["list_cells"].shape[1] - 1)
    cells, places = leaves[known] >> 8, leaves[known] & 255
    first = arrays["list_cells"][:, cells].astype(np.int64)
    last = arrays["list_cells"][:, cells + 1].astype(np.int64)
    block, at = np.nonzero(first < last)
    first, last, places = first[block, at], last[block, at], places[at]
    if (last > np.diff(arrays["block_lists"])[block]).any():
        return None
    start = arrays["block_lists"][block]
    place_of, found = arrays["list_places"], np.minimum(first + places, last - 1)
    while (is_past := (found > first) & (place_of[start + found] > places)).any():
        found -= is_past
    there = place_of[start + found] == places
    block, offset, of = block[there], (start + block + found)[there], known[at[there]]
    begin = arrays["list_offsets"][offset].astype(np.int64)
    end = arrays["list_offsets"][offset + 1].astype(np.int64)
    if ((begin > end) | (end > np.diff(arrays["block_postings"])[block])).any():
        return None
    return of, arrays["block_postings"][block] + begin, end - begin, block * BLOCK

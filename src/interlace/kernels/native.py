# ruff: noqa: D102 - what each function does is told once, in api.Kernels
"""The C++ tables: the functions of ``reference``, bit for bit, from the extension ``_native``.

Arrays must be C-contiguous and have the dtypes that ``api`` names; nothing is converted silently.
"""

from __future__ import annotations

from collections.abc import Sequence

import interlace.kernels._native as _native
from interlace.kernels.api import (
    F32,
    I8,
    I64,
    U8,
    U32,
    CodecArrays,
    FreshArrays,
    Handle,
    Probe,
    Quantised,
    Ranked,
    Residuals,
    SettledArrays,
)

#: The instruction sets that this machine can run, best first.
NAMES: tuple[str, ...] = tuple(table.name for table in _native.tables)


class Native:
    """The kernels compiled for one instruction set."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._table = _native.tables[NAMES.index(name)]

    def __repr__(self) -> str:
        return f"<kernels {self.name}>"

    # --- loading -----------------------------------------------------------------------------
    def load_fresh(self, arrays: FreshArrays, name: str) -> Handle:
        return _native.load_fresh(*arrays, name)

    def load_codec(self, arrays: CodecArrays, name: str) -> Handle:
        return _native.load_codec(*arrays, name)

    def load_settled(self, arrays: SettledArrays, codec: Handle, name: str) -> Handle:
        return _native.load_settled(*arrays, codec, name)

    # --- building ----------------------------------------------------------------------------
    def quantise(self, matrix: F32, signs: I8, n_threads: int = 1) -> Quantised:
        return Quantised(*self._table.quantise(matrix, signs, n_threads))

    def cluster(
        self,
        codes: I8,
        group_offsets: I64,
        n_centroids: I64,
        n_iterations: int = 6,
        sample: int = 64,
        n_threads: int = 1,
    ) -> Quantised:
        found = self._table.cluster(
            codes, group_offsets, n_centroids, n_iterations, sample, n_threads
        )
        return Quantised(*found)

    def assign(
        self, codes: I8, first: I64, last: I64, centroids: Quantised, n_threads: int = 1
    ) -> U32:
        found: U32 = self._table.assign(codes, first, last, *centroids, n_threads)
        return found

    def encode(
        self, tokens: Quantised, leaves: U32, codec: Handle, n_threads: int = 1
    ) -> Residuals:
        return Residuals(*self._table.encode(*tokens, leaves, codec, n_threads))

    # --- searching ---------------------------------------------------------------------------
    def probe(
        self, query: Quantised, codec: Handle, n_groups: int, n_cells: int, n_leaves: int
    ) -> Probe:
        return Probe(*self._table.probe(*query, codec, n_groups, n_cells, n_leaves))

    def walk(self, probe: Probe, segments: Sequence[Handle], allowed: U8 | None, n: int) -> U32:
        rows: U32 = self._table.walk(*probe, segments, allowed, n)
        return rows

    def interact(
        self, probe: Probe, segments: Sequence[Handle], rows: U32, n: int
    ) -> tuple[U32, U32]:
        best, sums = self._table.interact(*probe, segments, rows, n)
        return best, sums

    def score(
        self, query: Quantised, segments: Sequence[Handle], rows: U32, n_threads: int = 1
    ) -> F32:
        scores: F32 = self._table.score(*query, segments, rows, n_threads)
        return scores

    def refine(
        self,
        query: Quantised,
        probe: Probe,
        segments: Sequence[Handle],
        ranked: Ranked,
        n_threads: int = 1,
    ) -> F32:
        scores: F32 = self._table.refine(*query, *probe, segments, *ranked, n_threads)
        return scores

    def score_best(
        self,
        query: Quantised,
        segments: Sequence[Handle],
        ranked: Ranked,
        n_threads: int = 1,
    ) -> F32:
        scores: F32 = self._table.score_best(*query, segments, *ranked, n_threads)
        return scores

    def scan(
        self,
        query: Quantised,
        segments: Sequence[Handle],
        allowed: U8 | None,
        n_threads: int = 1,
    ) -> F32:
        scores: F32 = self._table.scan(*query, segments, allowed, n_threads)
        return scores

    def similarities(self, query: Quantised, segments: Sequence[Handle], row: int) -> F32:
        cosines: F32 = self._table.similarities(*query, segments, row)
        return cosines

    def maxsim(self, query: F32, tokens: F32, offsets: I64, n_threads: int = 1) -> F32:
        scores: F32 = self._table.maxsim(query, tokens, offsets, n_threads)
        return scores

"""The seam: what a kernel table does, and the arrays it works on.

A table is one implementation of every function below: ``reference`` (NumPy, the specification) or
``native`` (C++ for one instruction set). All tables return the same bytes for the same input, but
for ``torch`` and ``mlx`` (devices of other libraries), where floats may differ in the last digits.

Three vocabularies meet here. A *row* is a passage's number in a list of segments: the segments'
passages counted through, in list order. A *query* is ``(codes, scales)`` as ``quantise`` makes it.
``allowed`` is a bitmap over rows, bit ``row & 7`` of byte ``row >> 3``; None allows everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from interlace.errors import Corrupt

F32: TypeAlias = npt.NDArray[np.float32]
I8: TypeAlias = npt.NDArray[np.int8]
U8: TypeAlias = npt.NDArray[np.uint8]
U16: TypeAlias = npt.NDArray[np.uint16]
U32: TypeAlias = npt.NDArray[np.uint32]
I32: TypeAlias = npt.NDArray[np.int32]
I64: TypeAlias = npt.NDArray[np.int64]

#: Words of a posting list below it are gaps; the other 256 lead farther ahead.
GAPS = 65_280

#: Up to so many times the leaves that are asked for are taken where they are near: in the first so
#: many 32nds of the way from a query token's best leaf to the best group that was not seen.
NEAR_LEAVES, NEAR_SHARE = 16, 5
#: So many query tokens walk posting lists, and count cosines in steps of so many to one.
WALKED_MAX, WALK_STEPS = 511, 8_192
#: Steps of a cosine in a probe's table; rows that are scored before it is asked whether more pay.
SEEN, REFINED_FIRST, SCORED_FIRST = 254, 32, 16

#: Of a centroid's int8 levels; rotated, they are nearly Gaussian, so that few reach 127.
CENTROID_DEVIATION = 32

#: The cells of a codec, and the leaves of a cell, at most.
CELLS_MAX, PLACES_MAX = 65_536, 256

#: Ends the list of probed leaves of a query token that has fewer than were asked for.
NO_LEAF = np.uint32(0xFFFFFFFF)

#: A segment or codec as a table loaded it; only the table that made it can read it.
Handle: TypeAlias = Any


class Quantised(NamedTuple):
    """Rotated token embeddings as integers: row i is ``codes[i] * scales[i]``, of unit length.

    Attributes
    ----------
    codes : (n, dim) int8, in [-127, 127]
    scales : (n,) float32, ``1 / |codes[i]|``; 0 for a zero row
    """

    codes: I8
    scales: F32


class FreshArrays(NamedTuple):
    """A segment as written: every token as int8.

    Attributes
    ----------
    offsets : (n_passages + 1,) int64, where each passage's tokens begin
    codes : (n_tokens, dim) int8
    scales : (n_tokens,) float32
    """

    offsets: I64
    codes: I8
    scales: F32


class CodecArrays(NamedTuple):
    """What a trained codec knows.

    Attributes
    ----------
    bits : 1, 2 or 4
    groups : (n_groups, dim) int8, ``group_scales`` (n_groups,) float32
    cells : (n_cells, dim) int8, ``cell_scales`` (n_cells,) float32
    cell_groups : (n_cells,) uint32, the group of each cell
    leaves : (n_leaves, dim) int8, ``leaf_scales`` (n_leaves,) float32
    leaf_cells : (n_leaves,) uint32, the cell of each leaf
    levels : (2**(bits + 1),) float32, ascending, what a coordinate of a residual may be: times the
        norm and rounded, it is added to the leaf's level
    stretch : what a residual is multiplied with before it is coded, as the levels have been: so a
        coded residual is as long as it was
    norms : (16,) float32, ascending, for the low half of a scale code
    factors : (256,) float32, what brings that sum to unit length, for each scale code; for each
        norm they are equally far apart
    fairness : multiplies settled scores, so that they compare with fresh ones
    """

    bits: int
    groups: I8
    group_scales: F32
    cells: I8
    cell_scales: F32
    cell_groups: U32
    leaves: I8
    leaf_scales: F32
    leaf_cells: U32
    levels: F32
    stretch: float
    norms: F32
    factors: F32
    fairness: float


class SettledArrays(NamedTuple):
    """A compressed segment. A leaf is told by its cell and its *place*: which of the cell's it is.

    Attributes
    ----------
    offsets : (n_passages + 1,) int64
    heads : (n_tokens,) uint32, ``cell << 16 | place << 8 | scale code``: an index into the codec's
        factors, whose low half is one into its norms
    codes : (n_tokens, ceil(dim * bits / 8)) uint8, packed by ``encode``
    list_cells : (n + 1,) uint32, where each cell's lists begin; cells from ``n`` on have none
    list_places : (n_lists,) uint8, ascending within a cell
    list_offsets : (n_lists + 1,) int64, where each list's words begin
    list_gaps : (n_words,) uint16, of the passages that a list names, ascending, how far each is
        from the one before it, the first from ordinal 0. A word from ``GAPS`` on names none, and
        leads ``(word - GAPS + 1) * GAPS`` passages ahead
    """

    offsets: I64
    heads: U32
    codes: U8
    list_cells: U32
    list_places: U8
    list_offsets: I64
    list_gaps: U16


class Probe(NamedTuple):
    """What a query has seen of a codec: closely what is near to it, and how good the rest may be.

    Attributes
    ----------
    table : (n, q_tokens rounded up to 16) uint8
        Cosines as ``rint(cosine * 254)``, negative ones as 0: first the best of the groups that
        are not near, for each query token; then of the cells of near groups, and of the leaves of
        near cells. Columns beyond the query are 0.
    entries : (n_cells,) uint32
        Where a token of each cell finds itself in the table: ``row << 8 | last``. It is in row
        ``row + min(place, last)``: its leaf's, or its cell's, where last is 0. Of cells that were
        not seen 0, the first row.
    leaves : (q_tokens, n) uint32
        The best leaves of each query token, best first, as ``cell << 8 | place``; then ``NO_LEAF``.
    scores : (q_tokens, n) float32, their cosines, in steps of 1/254
    """

    table: U8
    entries: U32
    leaves: U32
    scores: F32


class Ranked(NamedTuple):
    """Rows in the order of what is expected of them, of which the ``k`` best owners are wanted.

    Attributes
    ----------
    rows : (n,) uint32
    expected : (n,) float32
        What their scores are thought to be, falling; as far off as it likes, but alike for all.
    owners : (n,) int64
        Whose each is: of an owner's rows the best counts.
    k : int
    spread : int
        How far above what is expected a score is thought possible, in tenths of a standard
        deviation of what the scores so far have added.
    """

    rows: U32
    expected: F32
    owners: I64
    k: int
    spread: int


class Residuals(NamedTuple):
    """Residual codes and scale codes of a run of tokens."""

    codes: U8
    scale_codes: U8


class Kernels(Protocol):
    """One implementation of the hot functions. ``n_threads`` changes nothing but time."""

    name: str

    # --- loading -----------------------------------------------------------------------------
    def load_fresh(self, arrays: FreshArrays, name: str) -> Handle:
        """Take a fresh segment; ``name`` goes into error messages."""

    def load_codec(self, arrays: CodecArrays, name: str) -> Handle:
        """Take a codec."""

    def load_settled(self, arrays: SettledArrays, codec: Handle, name: str) -> Handle:
        """Take a settled segment and the codec its codes refer to."""

    # --- building ----------------------------------------------------------------------------
    def quantise(self, matrix: F32, signs: I8, n_threads: int = 1) -> Quantised:
        """Rotate the rows of a matrix and round them to int8."""

    def cluster(
        self,
        codes: I8,
        group_offsets: I64,
        n_centroids: I64,
        n_iterations: int = 6,
        sample: int = 64,
        n_threads: int = 1,
    ) -> Quantised:
        """Spherical k-means within each group of neighbouring rows."""

    def assign(
        self, codes: I8, first: I64, last: I64, centroids: Quantised, n_threads: int = 1
    ) -> U32:
        """For each row its best centroid in ``[first[i], last[i])``."""

    def encode(
        self, tokens: Quantised, leaves: U32, codec: Handle, n_threads: int = 1
    ) -> Residuals:
        """Code what remains of each token after its leaf."""

    # --- searching ---------------------------------------------------------------------------
    def probe(
        self, query: Quantised, codec: Handle, n_groups: int, n_cells: int, n_leaves: int
    ) -> Probe:
        """Look at the codec from group to cell to leaf; choose each query token's best leaves."""

    def walk(self, probe: Probe, segments: Sequence[Handle], allowed: U8 | None, n: int) -> U32:
        """Walk the probed leaves' posting lists; the n best rows, ascending."""

    def interact(
        self, probe: Probe, segments: Sequence[Handle], rows: U32, n: int
    ) -> tuple[U32, U32]:
        """MaxSim of what the probe has seen for some rows: the n best, and their sums."""

    def score(
        self, query: Quantised, segments: Sequence[Handle], rows: U32, n_threads: int = 1
    ) -> F32:
        """MaxSim of the stored codes for some rows."""

    def refine(
        self,
        query: Quantised,
        probe: Probe,
        segments: Sequence[Handle],
        ranked: Ranked,
        n_threads: int = 1,
    ) -> F32:
        """MaxSim by the tokens that a probe has seen, of the first rows, as ``score_best``."""

    def score_best(
        self,
        query: Quantised,
        segments: Sequence[Handle],
        ranked: Ranked,
        n_threads: int = 1,
    ) -> F32:
        """``score`` of the first of these rows, as long as the next may be of the ``k`` best."""

    def scan(
        self,
        query: Quantised,
        segments: Sequence[Handle],
        allowed: U8 | None,
        n_threads: int = 1,
    ) -> F32:
        """MaxSim of the stored codes for every row; -inf where a row is not allowed."""

    def similarities(self, query: Quantised, segments: Sequence[Handle], row: int) -> F32:
        """Each token of one row against each query token, ``(n_tokens, q_tokens)``."""

    def maxsim(self, query: F32, tokens: F32, offsets: I64, n_threads: int = 1) -> F32:
        """MaxSim of float32 matrices: ``(n_docs,)``, documents at ``offsets`` of ``tokens``."""


def damaged(name: str, expected: str, found: str) -> Corrupt:
    """Word the error of arrays that no writer wrote; all tables raise the same."""
    return Corrupt.at(name, expected, found)

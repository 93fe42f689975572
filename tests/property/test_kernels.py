"""Every kernel table returns the bytes that the NumPy twin returns, over odd sizes and shapes.

So do PyTorch and MLX on their CPU devices, but for ``maxsim`` of floats, where they are here.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from interlace import kernels
from interlace.errors import Corrupt
from interlace.kernels import (
    GAPS,
    NO_LEAF,
    CodecArrays,
    FreshArrays,
    Kernels,
    Probe,
    Quantised,
    Ranked,
    SettledArrays,
)

TWIN = kernels.table("reference")
OTHERS = [kernels.table(name) for name in kernels.available() if name != "reference"]
NATIVE = list(OTHERS)
OTHERS += [
    kernels.table(f"{name}:cpu") for name in ("torch", "mlx") if importlib.util.find_spec(name)
]
if not OTHERS:
    pytest.skip("the C++ kernels are not built", allow_module_level=True)

DIMS = [1, 2, 3, 5, 15, 16, 17, 32, 48, 64, 96, 127, 128, 256, 768]
SMALL_DIMS = [d for d in DIMS if d <= 256]

fast = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

seeds = st.integers(0, 2**32 - 1)
dims = st.sampled_from(DIMS)
n_query = st.one_of(st.sampled_from([0, 1, 2, 15, 16, 17, 31, 32, 33, 64, 512]), st.integers(0, 70))
threads = st.sampled_from([1, 2, 3])


def same(actual: Any, expected: Any) -> None:
    """Equal dtypes, shapes and bytes, through tuples."""
    if isinstance(expected, tuple):
        assert len(actual) == len(expected)
        for a, b in zip(actual, expected, strict=True):
            same(a, b)
        return
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(actual, expected)
    assert actual.tobytes() == expected.tobytes()


# --- making collections --------------------------------------------------------------------------
def unit(codes: np.ndarray) -> Quantised:
    length = np.sqrt(np.square(codes, dtype=np.float32).sum(axis=1))
    scales = np.divide(1, length, out=np.zeros(len(codes), np.float32), where=length > 0)
    return Quantised(codes, scales.astype(np.float32))


def levels(rng: np.random.Generator, n: int, dim: int, kinds: int = 0) -> np.ndarray:
    """Random codes; with ``kinds``, only so many different rows, so that scores tie."""
    rows = rng.integers(-127, 128, (kinds or n, dim), dtype=np.int8)
    return rows[rng.integers(0, kinds, n)] if kinds else rows


def some_offsets(rng: np.random.Generator, lengths: list[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def some_codec(rng: np.random.Generator, dim: int, bits: int, n_cells: int) -> CodecArrays:
    n_groups, n_leaves = n_cells // 7 + 1, int(rng.integers(1, 4 * n_cells + 1))
    groups = unit(levels(rng, n_groups, dim))
    cells = unit(levels(rng, n_cells, dim))
    leaves = unit(levels(rng, n_leaves, dim) // np.int8(2))
    return CodecArrays(
        bits=bits,
        groups=groups.codes,
        group_scales=groups.scales,
        cells=cells.codes,
        cell_scales=cells.scales,
        cell_groups=rng.integers(0, n_groups, n_cells).astype(np.uint32),
        leaves=leaves.codes,
        leaf_scales=leaves.scales,
        leaf_cells=rng.integers(0, n_cells, n_leaves).astype(np.uint32),
        levels=np.sort(rng.integers(-127, 128, 2 << bits).astype(np.float32)),
        stretch=1.0625,
        norms=np.sort(rng.random(16, np.float32)),
        factors=np.linspace(0.5, 1.5, 256, dtype=np.float32) / np.float32(40 * np.sqrt(dim)),
        fairness=1.015625,
    )


def posting_lists(
    offsets: np.ndarray, cells: np.ndarray, places: np.ndarray, n_cells: int
) -> tuple[np.ndarray, ...]:
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    keys = cells.astype(int), places.astype(int), owner
    triples = np.unique(np.stack(keys, axis=1).astype(np.int64), axis=0)
    lists, starts = np.unique(triples[:, :2], axis=0, return_index=True)
    gaps, list_offsets = [], []
    for ordinals in np.split(triples[:, 2], starts[1:]) if len(lists) else ():
        list_offsets.append(len(gaps))
        for gap in np.diff(ordinals, prepend=0).tolist():
            for far in range(gap // GAPS, 0, -256):
                gaps.append(GAPS - 1 + min(far, 256))
            gaps.append(gap % GAPS)
    return (
        np.array([int((lists[:, 0] < cell).sum()) for cell in range(n_cells + 1)], np.uint32),
        lists[:, 1].astype(np.uint8),
        np.array([*list_offsets, len(gaps)], np.int64),
        np.array(gaps, np.uint16),
    )


def some_fresh(rng: np.random.Generator, dim: int, lengths: list[int], kinds: int) -> FreshArrays:
    return FreshArrays(
        some_offsets(rng, lengths), *unit(levels(rng, int(sum(lengths)), dim, kinds))
    )


def some_settled(
    rng: np.random.Generator, codec: CodecArrays, lengths: list[int], kinds: int
) -> SettledArrays:
    n, dim = int(sum(lengths)), codec.leaves.shape[1]
    offsets = some_offsets(rng, lengths)
    n_leaves = min(len(codec.leaves), kinds or len(codec.leaves))
    leaves = rng.integers(0, n_leaves, n)
    cells = codec.leaf_cells[leaves].astype(np.uint32)
    rank = [int((codec.leaf_cells[:leaf] == codec.leaf_cells[leaf]).sum()) for leaf in leaves]
    places = np.array(rank, np.uint32)
    width = kernels.packed_width(dim, codec.bits)
    codes = rng.integers(0, 256, (n, width), dtype=np.uint8)
    scale_codes = rng.integers(0, 256, n, dtype=np.uint32)
    if kinds:
        codes[:], scale_codes[:] = 17, 83
    lists = posting_lists(
        offsets, cells, places, int(rng.integers(1, 4)) + int(cells.max(initial=0))
    )
    heads = cells << np.uint32(16) | places << np.uint32(8) | scale_codes
    return SettledArrays(offsets, heads, codes, *lists)


@dataclass(frozen=True)
class Collection:
    """Arrays of several segments over one codec, and how to load them into a table."""

    codec: CodecArrays
    segments: list[FreshArrays | SettledArrays]
    query: Quantised
    allowed: np.ndarray | None

    @property
    def n_rows(self) -> int:
        return sum(len(s.offsets) - 1 for s in self.segments)

    def load(self, table: Kernels) -> tuple[Any, list[Any]]:
        codec = table.load_codec(self.codec, "codec")
        return codec, [
            table.load_fresh(arrays, f"segment {i}")
            if isinstance(arrays, FreshArrays)
            else table.load_settled(arrays, codec, f"segment {i}")
            for i, arrays in enumerate(self.segments)
        ]


@st.composite
def collections(draw: st.DrawFn, settled_only: bool = False, with_dims: Any = dims) -> Collection:
    rng = np.random.default_rng(draw(seeds))
    dim = draw(with_dims)
    kinds = draw(st.sampled_from([0, 0, 1, 3]))
    codec = some_codec(
        rng, dim, draw(st.sampled_from([1, 2, 4])), draw(st.sampled_from([1, 5, 90]))
    )
    passage = st.one_of(st.integers(0, 9), st.sampled_from([0, 1, 63, 64, 65, 130]))
    segments: list[FreshArrays | SettledArrays] = []
    for lengths in draw(st.lists(st.lists(passage, max_size=12), max_size=3)):
        if settled_only or draw(st.booleans()):
            segments.append(some_settled(rng, codec, lengths, kinds))
        else:
            segments.append(some_fresh(rng, dim, lengths, kinds))
    n_rows = sum(len(s.offsets) - 1 for s in segments)
    bitmap = rng.integers(0, 256, -(-n_rows // 8), dtype=np.uint8)
    allowed = draw(st.sampled_from([None, bitmap, bitmap, np.zeros_like(bitmap)]))
    query = levels(rng, draw(n_query), dim)
    query[rng.random(len(query)) < 0.1] = 0
    return Collection(codec, segments, unit(query), allowed)


# --- building ------------------------------------------------------------------------------------
@fast
@given(seed=seeds, n=st.integers(0, 40), dim=dims, n_rounds=st.integers(0, 3), n_threads=threads)
def test_quantise(seed: int, n: int, dim: int, n_rounds: int, n_threads: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((n, dim)).astype(np.float32)
    matrix *= np.exp2(rng.integers(-100, 100, (n, 1))).astype(np.float32)
    matrix[rng.random(n) < 0.1] = 0
    signs = rng.choice(np.array([-1, 1], np.int8), (n_rounds, dim))
    expected = TWIN.quantise(matrix, signs)
    for table in OTHERS:
        same(table.quantise(matrix, signs, n_threads), expected)


def test_quantise_of_many_rows_on_threads() -> None:
    rng = np.random.default_rng(5)
    matrix = rng.standard_normal((9_001, 48)).astype(np.float32)
    signs = rng.choice(np.array([-1, 1], np.int8), (2, 48))
    for table in OTHERS:
        same(table.quantise(matrix, signs, n_threads=3), TWIN.quantise(matrix, signs))


@fast
@given(
    seed=seeds,
    dim=dims,
    sizes=st.lists(st.tuples(st.integers(1, 90), st.integers(1, 40)), max_size=6),
    kinds=st.sampled_from([0, 0, 2]),
    n_iterations=st.integers(0, 4),
    sample=st.sampled_from([1, 2, 64]),
    n_threads=threads,
)
def test_cluster(
    seed: int,
    dim: int,
    sizes: list[tuple[int, int]],
    kinds: int,
    n_iterations: int,
    sample: int,
    n_threads: int,
) -> None:
    rng = np.random.default_rng(seed)
    offsets = some_offsets(rng, [n for n, _ in sizes])
    k = np.array([min(k, n) for n, k in sizes], np.int64)
    codes = levels(rng, int(offsets[-1]), dim, kinds)
    expected = TWIN.cluster(codes, offsets, k, n_iterations, sample)
    for table in OTHERS:
        same(table.cluster(codes, offsets, k, n_iterations, sample, n_threads), expected)


def test_cluster_of_one_large_group_on_threads() -> None:
    rng = np.random.default_rng(3)
    codes = levels(rng, 20_000, 32)
    arguments = codes, np.array([0, 20_000]), np.array([300]), 2, 64
    expected = TWIN.cluster(*arguments)
    for table in OTHERS:
        same(table.cluster(*arguments, n_threads=3), expected)


@fast
@given(
    seed=seeds,
    dim=dims,
    n=st.integers(0, 200),
    n_ranges=st.integers(1, 9),
    n_centroids=st.integers(1, 150),
    kinds=st.sampled_from([0, 2]),
    n_threads=threads,
)
def test_assign(
    seed: int, dim: int, n: int, n_ranges: int, n_centroids: int, kinds: int, n_threads: int
) -> None:
    rng = np.random.default_rng(seed)
    ranges = np.sort(rng.integers(0, n_centroids + 1, (n_ranges, 2)), axis=1)
    ranges[:, 1] = np.minimum(np.maximum(ranges[:, 1], ranges[:, 0] + 1), n_centroids)
    ranges[:, 0] = np.minimum(ranges[:, 0], n_centroids - 1)
    first, last = np.ascontiguousarray(ranges[rng.integers(0, n_ranges, n)].T)
    codes = levels(rng, n, dim)
    centroids = unit(levels(rng, n_centroids, dim, kinds))
    expected = TWIN.assign(codes, first, last, centroids)
    for table in OTHERS:
        same(table.assign(codes, first, last, centroids, n_threads), expected)


@fast
@given(
    seed=seeds,
    dim=dims,
    n=st.integers(0, 120),
    bits=st.sampled_from([1, 2, 4]),
    closeness=st.sampled_from([0, 1, 20, 127]),
    n_threads=threads,
)
def test_encode(seed: int, dim: int, n: int, bits: int, closeness: int, n_threads: int) -> None:
    rng = np.random.default_rng(seed)
    codec = some_codec(rng, dim, bits, 7)
    codec = codec._replace(levels=np.linspace(-130, 130, 2 << bits, dtype=np.float32))
    leaves = rng.integers(0, len(codec.leaves), n).astype(np.uint32)
    near = 2 * codec.leaves[leaves] + rng.integers(-closeness, closeness + 1, (n, dim))
    tokens = unit(np.clip(near, -127, 127).astype(np.int8))
    expected = TWIN.encode(tokens, leaves, TWIN.load_codec(codec, "codec"))
    for table in OTHERS:
        loaded = table.load_codec(codec, "codec")
        same(table.encode(tokens, leaves, loaded, n_threads), expected)


# --- searching -----------------------------------------------------------------------------------
def probed(collection: Collection, n_groups: int, n_cells: int, n_leaves: int) -> Probe:
    codec, _ = collection.load(TWIN)
    return TWIN.probe(collection.query, codec, n_groups, n_cells, n_leaves)


@fast
@given(
    collection=collections(),
    n_groups=st.sampled_from([0, 1, 2, 99]),
    n_cells=st.integers(0, 100),
    n_leaves=st.integers(0, 20),
)
def test_probe(collection: Collection, n_groups: int, n_cells: int, n_leaves: int) -> None:
    expected = probed(collection, n_groups, n_cells, n_leaves)
    for table in OTHERS:
        codec, _ = collection.load(table)
        same(table.probe(collection.query, codec, n_groups, n_cells, n_leaves), expected)


@fast
@given(
    collection=collections(),
    n_cells=st.integers(0, 100),
    n_leaves=st.integers(0, 20),
    n=st.sampled_from([0, 1, 3, 1000]),
)
def test_walk(collection: Collection, n_cells: int, n_leaves: int, n: int) -> None:
    probe = probed(collection, 5, n_cells, n_leaves)
    _, segments = collection.load(TWIN)
    expected = TWIN.walk(probe, segments, collection.allowed, n)
    for table in OTHERS:
        _, segments = collection.load(table)
        same(table.walk(probe, segments, collection.allowed, n), expected)


@fast
@given(collection=collections(settled_only=True), seed=seeds, n=st.sampled_from([0, 1, 5, 1000]))
def test_interact(collection: Collection, seed: int, n: int) -> None:
    probe = probed(collection, 2, 8, 8)
    rng = np.random.default_rng(seed)
    rows = rng.permutation(collection.n_rows)[: rng.integers(0, collection.n_rows + 1)]
    rows = rows.astype(np.uint32)
    expected = TWIN.interact(probe, collection.load(TWIN)[1], rows, n)
    for table in OTHERS:
        same(table.interact(probe, collection.load(table)[1], rows, n), expected)


@fast
@given(collection=collections(), seed=seeds, n_threads=threads)
def test_score(collection: Collection, seed: int, n_threads: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, max(collection.n_rows, 1), rng.integers(0, 40)).astype(np.uint32)
    rows = rows[: len(rows) if collection.n_rows else 0]
    expected = TWIN.score(collection.query, collection.load(TWIN)[1], rows)
    for table in OTHERS:
        _, segments = collection.load(table)
        same(table.score(collection.query, segments, rows, n_threads), expected)


@fast
@given(
    collection=collections(),
    seed=seeds,
    k=st.sampled_from([1, 2, 30]),
    spread=st.sampled_from([-30, 0, 10]),
    n_threads=threads,
)
def test_score_best(collection: Collection, seed: int, k: int, spread: int, n_threads: int) -> None:
    ranked = hopes(collection, seed, k, spread)
    expected = TWIN.score_best(collection.query, collection.load(TWIN)[1], ranked)
    all_of_them = TWIN.score(collection.query, collection.load(TWIN)[1], ranked.rows)
    same(expected, all_of_them[: len(expected)])
    for table in OTHERS:
        _, segments = collection.load(table)
        same(table.score_best(collection.query, segments, ranked, n_threads), expected)


def hopes(collection: Collection, seed: int, k: int, spread: int) -> Ranked:
    """Some rows, what is expected of them, falling, and their owners."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, max(collection.n_rows, 1), rng.integers(0, 300)).astype(np.uint32)
    rows = rows[: len(rows) if collection.n_rows else 0]
    expected = np.sort(rng.random(len(rows), np.float32) * len(collection.query.scales))[::-1]
    return Ranked(rows, expected.copy(), rng.integers(0, 100, len(rows)), k, spread)


@fast
@given(
    collection=collections(settled_only=True),
    seed=seeds,
    n_near=st.sampled_from([1, 2, 8]),
    n_threads=threads,
)
def test_refine(collection: Collection, seed: int, n_near: int, n_threads: int) -> None:
    probe = probed(collection, n_near, 8, 8)
    ranked = hopes(collection, seed, 2, 5)
    expected = TWIN.refine(collection.query, probe, collection.load(TWIN)[1], ranked)
    for table in OTHERS:
        _, segments = collection.load(table)
        same(table.refine(collection.query, probe, segments, ranked, n_threads), expected)


@fast
@given(collection=collections(), n_threads=threads)
def test_scan(collection: Collection, n_threads: int) -> None:
    expected = TWIN.scan(collection.query, collection.load(TWIN)[1], collection.allowed)
    for table in OTHERS:
        _, segments = collection.load(table)
        same(table.scan(collection.query, segments, collection.allowed, n_threads), expected)


@fast
@given(collection=collections())
def test_similarities(collection: Collection) -> None:
    for row in range(min(collection.n_rows, 4)):
        expected = TWIN.similarities(collection.query, collection.load(TWIN)[1], row)
        for table in OTHERS:
            same(table.similarities(collection.query, collection.load(table)[1], row), expected)


@fast
@given(
    seed=seeds,
    dim=dims,
    n_tokens=n_query,
    lengths=st.lists(st.integers(0, 9), max_size=40),
    n_threads=threads,
)
@example(seed=1, dim=128, n_tokens=32, lengths=[300, 0, 1], n_threads=2)
def test_maxsim(seed: int, dim: int, n_tokens: int, lengths: list[int], n_threads: int) -> None:
    rng = np.random.default_rng(seed)
    query = rng.standard_normal((n_tokens, dim)).astype(np.float32)
    tokens = rng.standard_normal((sum(lengths), dim)).astype(np.float32)
    offsets = some_offsets(rng, lengths)
    expected = TWIN.maxsim(query, tokens, offsets)
    for table in OTHERS:
        found = table.maxsim(query, tokens, offsets, n_threads)
        if table in NATIVE:
            same(found, expected)
        else:
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("share", [1, 0.001])
def test_more_passages_than_accumulators_at_once(share: float) -> None:
    """Also where few have tokens, so that lists lead far ahead."""
    rng = np.random.default_rng(11)
    codec = some_codec(rng, 16, 2, 200)
    n = int(70_000 / share**0.2)
    lengths = (rng.integers(0, 4, n) * (rng.random(n) < share)).tolist()
    settled = some_settled(rng, codec, lengths, 0)
    assert share == 1 or (settled.list_gaps >= GAPS).any()
    bitmap = rng.integers(0, 256, -(-2 * n // 8), dtype=np.uint8)
    whole = Collection(codec, [settled, settled], unit(levels(rng, 5, 16)), bitmap)
    probe = probed(whole, 9, 20, 8)
    rows = rng.integers(0, 2 * n, 2_000).astype(np.uint32)
    _, twins = whole.load(TWIN)
    expected = TWIN.walk(probe, twins, bitmap, 3_000)
    assert expected.max() > 65_536 + n
    for table in OTHERS:
        _, segments = whole.load(table)
        same(table.walk(probe, segments, bitmap, 3_000), expected)
        same(table.interact(probe, segments, rows, 100), TWIN.interact(probe, twins, rows, 100))
        same(table.score(whole.query, segments, rows), TWIN.score(whole.query, twins, rows))


def test_a_scan_of_many_tokens_shares_its_leaves() -> None:
    """More tokens than leaves, so that products are kept for every leaf; and all thread counts."""
    rng = np.random.default_rng(12)
    codec = some_codec(rng, 128, 4, 50)
    settled = some_settled(rng, codec, rng.integers(0, 30, 600).tolist(), 0)
    whole = Collection(codec, [settled], unit(levels(rng, 40, 128)), None)
    expected = TWIN.scan(whole.query, whole.load(TWIN)[1], None)
    for table in OTHERS:
        for n_threads in (1, 2, 5):
            same(table.scan(whole.query, whole.load(table)[1], None, n_threads), expected)


# --- damage --------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def sound() -> Collection:
    rng = np.random.default_rng(2)
    codec = some_codec(rng, 32, 4, 20)
    settled = some_settled(rng, codec, [3, 0, 7, 5], 0)
    return Collection(codec, [settled], unit(levels(rng, 6, 32)), None)


def damaged(collection: Collection, **changes: np.ndarray) -> Collection:
    (segment,) = collection.segments
    assert isinstance(segment, SettledArrays)
    return replace(collection, segments=[segment._replace(**changes)])


def complaint(table: Kernels, act: Any) -> str:
    with pytest.raises(Corrupt) as caught:
        act(table)
    assert "segment 0" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["empty", "falls", "beyond", "short", "negative", "starts late"])
def test_damaged_offsets_are_refused_when_loaded(sound: Collection, kind: str) -> None:
    (segment,) = sound.segments
    bad = segment.offsets.copy()
    if kind == "empty":
        bad = bad[:0]
    elif kind == "falls":
        bad = np.concatenate([bad[:1], [bad[-1] + 1], bad[1:]])
    elif kind == "beyond":
        bad[-1] += 1
    elif kind == "short":
        bad[-1] -= 1
    elif kind == "negative":
        bad[0] = -1
    else:
        bad[0] = 1
    broken = damaged(sound, offsets=bad)
    messages = {complaint(table, broken.load) for table in [TWIN, *OTHERS]}
    assert len(messages) == 1
    if kind == "falls":
        assert f"found {bad[2]} after {bad[1]}, at index 2" in messages.pop()


@pytest.mark.parametrize("what", ["cells", "places"])
@pytest.mark.parametrize("call", ["score", "scan", "similarities", "interact"])
def test_a_leaf_that_is_not_there(sound: Collection, call: str, what: str) -> None:
    (segment,) = sound.segments
    assert isinstance(segment, SettledArrays)
    wrong = segment.heads.copy()
    if what == "places":
        wrong[[4, 6, 12]] |= 0xFF00
    else:
        cells = np.array([len(sound.codec.cells), 65_535, 32_768], np.uint32)
        wrong[[4, 6, 12]] = wrong[[4, 6, 12]] & np.uint32(0xFFFF) | cells << np.uint32(16)
    broken = damaged(sound, heads=wrong)
    rows = np.array([1, 2, 3], np.uint32)
    probe = probed(sound, 2, 8, 8)

    def act(table: Kernels) -> object:
        _, segments = broken.load(table)
        if call == "score":
            return table.score(sound.query, segments, rows)
        if call == "scan":
            return table.scan(sound.query, segments, None)
        if call == "similarities":
            return table.similarities(sound.query, segments, 2)
        return table.interact(probe, segments, rows, 3)

    if call == "interact" and what == "places":  # which it need not look at closely
        for table in OTHERS:
            same(act(table), act(TWIN))
        return
    assert len({complaint(table, act) for table in [TWIN, *OTHERS]}) == 1


@pytest.mark.parametrize("word", [4, GAPS - 1, GAPS, 65_535])
def test_an_ordinal_that_is_not_there(sound: Collection, word: int) -> None:
    (segment,) = sound.segments
    assert isinstance(segment, SettledArrays)
    probe = probed(sound, 100, 100, 100)
    gaps = segment.list_gaps.copy()
    gaps[-1] = word
    broken = damaged(sound, list_gaps=gaps)

    def act(table: Kernels) -> object:
        return table.walk(probe, broken.load(table)[1], None, 10)

    assert len({complaint(table, act) for table in [TWIN, *OTHERS]}) == 1


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("list_offsets", {0: -1}),
        ("list_offsets", {-1: 0}),
        ("list_offsets", {-1: 1_000}),
        ("list_cells", {-1: 1_000}),
    ],
)
def test_a_list_that_is_not_there(sound: Collection, field: str, changed: dict[int, int]) -> None:
    (segment,) = sound.segments
    assert isinstance(segment, SettledArrays)
    bad = getattr(segment, field).copy()
    for at, value in changed.items():
        bad[at] = value
    broken, probe = damaged(sound, **{field: bad}), probed(sound, 100, 100, 100)

    def act(table: Kernels) -> object:
        return table.walk(probe, broken.load(table)[1], None, 10)

    assert len({complaint(table, act) for table in [TWIN, *OTHERS]}) == 1


@fast
@given(seed=seeds, field=st.sampled_from(SettledArrays._fields))
def test_flipped_bytes_never_crash(sound: Collection, seed: int, field: str) -> None:
    """Whatever is in the arrays, a search ends with an answer or with Corrupt."""
    rng = np.random.default_rng(seed)
    (segment,) = sound.segments
    flipped = getattr(segment, field).copy()
    raw = flipped.reshape(-1).view(np.uint8)
    raw[rng.integers(0, len(raw), 4)] = rng.integers(0, 256, 4)
    broken = damaged(sound, **{field: flipped})
    probe = probed(sound, 2, 8, 8)
    for table in OTHERS:
        try:
            _, segments = broken.load(table)
            rows = table.walk(probe, segments, None, 10)
            table.interact(probe, segments, rows, 10)
            table.scan(sound.query, segments, None)
        except Corrupt:
            pass


def test_a_codec_with_wrong_numbers_never_crashes(sound: Collection) -> None:
    for bad in (np.nan, np.inf, -1e30):
        codec = sound.codec._replace(
            cell_scales=np.full_like(sound.codec.cell_scales, bad),
            leaf_scales=np.full_like(sound.codec.leaf_scales, bad),
            factors=np.full_like(sound.codec.factors, bad),
        )
        broken = replace(sound, codec=codec)
        for table in OTHERS:
            handle, segments = broken.load(table)
            probe = table.probe(sound.query, handle, 2, 8, 8)
            table.walk(probe, segments, None, 10)
            table.scan(sound.query, segments, None)


# --- misuse --------------------------------------------------------------------------------------
def test_rows_out_of_range(sound: Collection) -> None:
    probe = probed(sound, 2, 8, 8)
    rows = np.array([0, 4], np.uint32)
    for table in [TWIN, *OTHERS]:
        _, segments = sound.load(table)
        with pytest.raises(IndexError, match="row 4 of 4"):
            table.score(sound.query, segments, rows)
        with pytest.raises(IndexError, match="row 4 of 4"):
            table.similarities(sound.query, segments, 4)
        with pytest.raises(IndexError, match="row 4 of 4"):
            table.interact(probe, segments, rows, 1)


def test_wrong_types_and_shapes(sound: Collection) -> None:
    codes, scales = sound.query
    for table in NATIVE:
        _, segments = sound.load(table)
        with pytest.raises(TypeError):
            table.scan(Quantised(codes.astype(np.int16), scales), segments, None)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            table.scan(Quantised(codes[:, ::2], scales), segments, None)
        with pytest.raises(TypeError):
            table.scan(sound.query, [None], None)
        with pytest.raises(ValueError, match="dim"):
            table.scan(Quantised(codes[:, :16].copy(), scales), segments, None)
        with pytest.raises(ValueError, match="length"):
            table.scan(Quantised(codes, scales[:-1]), segments, None)
        with pytest.raises(ValueError, match="bit for every row"):
            table.scan(sound.query, segments, np.zeros(0, np.uint8))
        probe = probed(sound, 2, 8, 8)
        with pytest.raises(ValueError, match="row for what was not seen"):
            table.walk(probe._replace(table=probe.table[:0]), segments, None, 10)


def test_the_floor_of_unprobed_places(sound: Collection) -> None:
    """A query token without any probed leaf adds nothing."""
    probe = probed(sound, 2, 8, 8)
    leaves, scores = probe.leaves.copy(), probe.scores.copy()
    leaves[1], scores[1] = NO_LEAF, -np.inf
    leaves[2, 3:], scores[2, 3:] = NO_LEAF, -np.inf
    probe = probe._replace(leaves=leaves, scores=scores)
    expected = TWIN.walk(probe, sound.load(TWIN)[1], None, 10)
    for table in OTHERS:
        same(table.walk(probe, sound.load(table)[1], None, 10), expected)

"""What the specification promises, seen from outside: small cases with answers known by hand."""

from __future__ import annotations

import gc
import itertools
import os
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlace import kernels
from interlace.kernels import (
    CodecArrays,
    FreshArrays,
    Kernels,
    Probe,
    Quantised,
    Ranked,
    SettledArrays,
)

TABLES = [kernels.table(name) for name in kernels.available()]


@pytest.fixture(params=TABLES, ids=lambda table: table.name)
def table(request: pytest.FixtureRequest) -> Kernels:
    found: Kernels = request.param
    return found


def quantised(rows: list[list[int]]) -> Quantised:
    codes = np.array(rows, np.int8)
    return Quantised(codes, (1 / np.linalg.norm(codes.astype("f4"), axis=1)).astype("f4"))


def fresh(*passages: list[list[int]]) -> FreshArrays:
    tokens = quantised([token for passage in passages for token in passage])
    return FreshArrays(np.cumsum([0, *map(len, passages)]), *tokens)


@pytest.mark.parametrize("dim", [1, 2, 3, 48, 96, 127, 128])
def test_rotation_keeps_lengths_and_can_be_undone(dim: int) -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((20, dim)).astype(np.float32)
    signs = rng.choice(np.array([-1, 1], np.int8), (2, dim))
    turned = kernels.rotate(rows, signs)
    np.testing.assert_allclose(
        np.linalg.norm(turned, axis=1), np.linalg.norm(rows, axis=1), rtol=1e-5
    )
    np.testing.assert_allclose(kernels.unrotate(turned, signs), rows, atol=1e-5)


@pytest.mark.parametrize("length", [1e-30, 1.0, 1e30])
def test_quantised_rows_have_unit_length_whatever_came_in(table: Kernels, length: float) -> None:
    rng = np.random.default_rng(0)
    rows = (rng.standard_normal((9, 32)) * length).astype(np.float32)
    codes, scales = table.quantise(rows, np.ones((1, 32), np.int8))
    assert np.abs(codes).max(axis=1).tolist() == [127] * 9
    lengths = np.linalg.norm(codes * scales[:, None], axis=1)
    np.testing.assert_allclose(lengths, 1, rtol=1e-6)


def test_a_zero_row_stays_zero(table: Kernels) -> None:
    codes, scales = table.quantise(np.zeros((1, 8), np.float32), np.ones((1, 8), np.int8))
    assert (codes.tolist(), scales.tolist()) == ([[0] * 8], [0.0])


def test_two_clear_clusters_are_found(table: Kernels) -> None:
    rows = quantised([[100, 1], [0, 90], [100, 2], [1, 90], [100, 3], [2, 90]]).codes
    centroids = table.cluster(rows, np.array([0, 6]), np.array([2]))
    assert centroids.codes.tolist() == [[45, 1], [0, 45]]  # 32 * sqrt(2) long
    first, last = np.zeros(6, np.int64), np.full(6, 2)
    assert table.assign(rows, first, last, centroids).tolist() == [0, 1, 0, 1, 0, 1]


def test_a_level_is_told_by_a_code_and_by_those_before_it() -> None:
    # The lowest bit of a code shifts the level of the next, and turns that of the one after it.
    codes = np.array([[1, 2, 3, 0, 3, 0, 0, 0]], np.uint8)
    levels = [2 * 1, 2 * 2 + 1, 2 * (3 ^ 1), 2 * 0 + 1, 2 * (3 ^ 1), 2 * 0 + 1, 2 * 1, 0]
    assert kernels.levels_taken(codes).tolist() == [levels]
    packed = np.array([[1 | 2 << 2 | 3 << 4, 3]], np.uint8)  # a byte after another
    assert kernels.unpack(packed, 2, 8)[0, [0, 2, 4, 6, 1, 3, 5, 7]].tolist() == levels
    assert kernels.unpack(packed, 2, 5).tolist() == [[levels[i] for i in (0, 4, 1, 5, 2)]]
    packed = np.array([[9 << 4 | 1, 7, 3]], np.uint8)  # 1 9, then 7 0, then 3 0
    in_order = [2, 19, 2 * (7 ^ 1) + 1, 2 * 1 + 1, 2 * (3 ^ 1), 1]
    assert kernels.unpack(packed, 4, 6)[0, [0, 3, 1, 4, 2, 5]].tolist() == in_order
    packed = np.array([[0b11000101, 0b10]], np.uint8)  # 1 0 1 0 0 0 1 1, then 0 1 and zeros
    in_order = [2, 1, 0, 1, 2, 0, 2, 3, 3, 0, 1, 2, 0, 0, 0, 0]
    ordered = kernels.unpack(packed, 1, 16).reshape(8, 2).T.ravel()
    assert ordered.tolist() == in_order


@given(seed=st.integers(0, 2**32 - 1), bits=st.sampled_from([1, 2, 4]), n=st.integers(2, 5))
def test_no_path_is_nearer_than_the_one_that_is_found(seed: int, bits: int, n: int) -> None:
    n = min(n, 12 // bits)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((1, n)).astype(np.float32)
    levels = np.sort(rng.standard_normal(2 << bits)).astype(np.float32)
    every = np.array(list(itertools.product(range(1 << bits), repeat=n)), np.uint8)
    least = np.square(x - levels[kernels.levels_taken(every)]).sum(axis=1).min()
    found = kernels.levels_taken(kernels.trellised(x, levels[None]))
    assert np.square(x - levels[found]).sum() == pytest.approx(least, rel=1e-5)


def test_of_equally_near_paths_the_lower_is_taken(table: Kernels) -> None:
    leaf = quantised([[127] * 8])
    arrays = CodecArrays(
        4,
        *leaf,
        *leaf,
        np.array([0], np.uint32),
        *leaf,
        np.array([0], np.uint32),
        np.linspace(-120, 120, 32, dtype=np.float32),
        1,
        np.zeros(16, np.float32),
        np.linspace(0.1, 0.2, 256, dtype=np.float32),
        1.0,
    )
    # With norms of zero all levels are zero.
    coded = table.encode(leaf, np.array([0], np.uint32), table.load_codec(arrays, "codec"))
    assert coded.codes.tolist() == [[0] * 4]


def test_maxsim_by_hand(table: Kernels) -> None:
    segments = [table.load_fresh(fresh([[127, 0], [0, 127]], [], [[-127, 0]]), "s")]
    query = quantised([[127, 0], [0, 127]])
    np.testing.assert_allclose(table.scan(query, segments, None), [2, -2, -1])
    allowed = np.array([0b110], np.uint8)
    np.testing.assert_allclose(table.scan(query, segments, allowed), [-np.inf, -2, -1])
    rows = np.array([2, 0, 2], np.uint32)
    np.testing.assert_allclose(table.score(query, segments, rows), [-1, 2, -1])
    np.testing.assert_allclose(table.similarities(query, segments, 0), np.eye(2))


def test_scoring_stops_where_the_next_would_be_none_of_the_best(table: Kernels) -> None:
    """32 passages of cosine 1 and then 68 of cosine 0, which were told well apart."""
    segments = [table.load_fresh(fresh(*[[[127, 0]]] * 32, *[[[0, 127]]] * 68), "s")]
    query = quantised([[127, 0]])
    rows, hopes = np.arange(100, dtype=np.uint32), np.repeat([1, 0], [32, 68]).astype(np.float32)
    alone, together = np.arange(100), np.zeros(100, np.int64)

    def n_scored(expected: np.ndarray, owners: np.ndarray, k: int, spread: int = 0) -> int:
        return len(table.score_best(query, segments, Ranked(rows, expected, owners, k, spread)))

    assert n_scored(hopes, alone, 10) == 36  # 20, 28, 36: all before it are of one score
    assert n_scored(hopes, alone, 20) == 40  # never fewer than twice as many as are wanted
    assert n_scored(hopes, together, 1) == 32
    assert n_scored(hopes, together, 2) == 100  # one owner is not two
    vain = np.ones(100, np.float32)
    assert n_scored(vain, alone, 10) == 36  # then they disappoint
    assert n_scored(vain, alone, 10, spread=100) == 100


def test_rows_run_through_several_segments(table: Kernels) -> None:
    one = table.load_fresh(fresh([[127, 0]]), "one")
    none = table.load_fresh(
        FreshArrays(np.zeros(1, np.int64), *quantised([[1, 1]][:1]))._replace(
            codes=np.empty((0, 2), np.int8), scales=np.empty(0, np.float32)
        ),
        "none",
    )
    two = table.load_fresh(fresh([[0, 127]], [[127, 0]]), "two")
    query = quantised([[127, 0]])
    np.testing.assert_allclose(table.scan(query, [one, none, two], None), [1, 0, 1])
    np.testing.assert_allclose(table.scan(query, [], None), [])


def small_world(table: Kernels) -> tuple[Any, Any]:
    """Two cells of two leaves; passage 0 has the outer ones, 1 and 2 have an inner one each.

    Each cell is a group of its own.
    """
    codec = table.load_codec(
        CodecArrays(
            4,
            *quantised([[127, 10], [10, 127]]),
            *quantised([[127, 0], [0, 127]]),
            np.array([0, 1], np.uint32),
            *quantised([[127, 0], [120, 40], [40, 120], [0, 127]]),
            np.array([0, 0, 1, 1], np.uint32),
            np.linspace(-120, 120, 32, dtype=np.float32),
            1,
            np.zeros(16, np.float32),
            np.ones(256, np.float32),
            1.0,
        ),
        "codec",
    )
    settled = SettledArrays(
        offsets=np.array([0, 2, 3, 4]),
        heads=np.array([0, 1 << 16 | 1 << 8, 1 << 8, 1 << 16], np.uint32),
        codes=np.zeros((4, 1), np.uint8),
        list_cells=np.array([0, 2, 4], np.uint32),
        list_places=np.array([0, 1, 0, 1], np.uint8),
        list_offsets=np.arange(5),
        list_gaps=np.array([0, 1, 2, 0], np.uint16),
    )
    return codec, table.load_settled(settled, codec, "settled")


def test_the_stages_of_a_search_by_hand(table: Kernels) -> None:
    codec, segment = small_world(table)
    query = quantised([[127, 0], [0, 127]])
    probe = table.probe(query, codec, 1, 1, 2)
    unseen, cells = [0, 0], [[254, 0], [0, 254]]  # both groups are near
    leaves = [[254, 0], [241, 80], [80, 241], [0, 254]]
    assert probe.table[:, :2].tolist() == [unseen, *cells, *leaves]
    assert not probe.table[:, 2:].any()
    assert probe.entries.tolist() == [3 << 8 | 1, 5 << 8 | 1]  # from where each cell's leaves are
    assert probe.leaves[:, :2].tolist() == [[0, 1], [1 << 8 | 1, 1 << 8]]
    assert (probe.leaves[:, 2:] == kernels.NO_LEAF).all()

    # The last leaf probed is the floor, so only first leaves gain: passage 0 has both.
    assert table.walk(probe, [segment], None, 10).tolist() == [0, 1, 2]
    assert table.walk(probe, [segment], None, 1).tolist() == [0]
    assert table.walk(probe, [segment], None, 2).tolist() == [0, 1]  # of equals the lower row
    assert table.walk(probe, [segment], np.array([0b110], np.uint8), 1).tolist() == [1]
    assert table.walk(probe, [segment], np.array([0b010], np.uint8), 10).tolist() == [1]
    assert table.walk(probe, [segment], np.array([0], np.uint8), 10).tolist() == []

    # Passages 1 and 2 tie, and the lower row comes first.
    best, sums = table.interact(probe, [segment], np.array([2, 1, 0], np.uint32), 2)
    assert best.tolist() == [0, 1]
    assert sums.tolist() == [254 + 254, 241 + 80]


def test_leaves_that_are_nearly_as_good_as_the_best_are_probed_too(table: Kernels) -> None:
    codec, _ = small_world(table)
    probe = table.probe(quantised([[127, 0]]), codec, 1, 1, 1)
    assert probe.table[:, 0].tolist() == [20, 254, 254, 241]
    # One is asked for; near is what sees at least 254 - (254 - 20) * 5 // 32 = 218.
    assert probe.leaves.tolist() == [[0, 1, kernels.NO_LEAF, kernels.NO_LEAF]]


def test_what_no_list_names_is_worth_less_than_what_the_last_one_names(table: Kernels) -> None:
    _, segment = small_world(table)
    none, scores = kernels.NO_LEAF, np.array([[0.9, 0.85], [0.99, 0]], np.float32)
    leaves = np.array([[0, 1 << 8], [1, none]], np.uint32)  # of passages 0 and 2; of 1
    entries = np.zeros(2, np.uint32)

    def walked(unseen: int, n: int) -> list[int]:
        seen = np.zeros((1, 16), np.uint8)
        seen[0, :2] = unseen
        rows = table.walk(Probe(seen, entries, leaves, scores), [segment], None, n)
        return [int(row) for row in rows]

    # With nothing unseen the first token's last leaf, and the second's only one, add nothing.
    assert walked(0, 1) == walked(255, 1) == [0]
    # Half way to 0.2 the first token's floor is 0.525: passage 0 gains 0.375, passage 1 0.395.
    assert walked(51, 1) == [1]
    assert walked(51, 3) == [0, 1, 2]


def test_what_is_far_counts_as_the_best_that_may_be_there(table: Kernels) -> None:
    codec, segment = small_world(table)
    probe = table.probe(quantised([[127, 0]]), codec, 1, 1, 2)
    assert probe.table[:, 0].tolist() == [20, 254, 254, 241]
    assert probe.entries.tolist() == [2 << 8 | 1, 0]
    rows, none = np.array([0, 1, 2], np.uint32), np.zeros(3, np.float32)
    _, sums = table.interact(probe, [segment], rows, 3)
    assert sums.tolist() == [254, 241, 20]
    query = quantised([[127, 0]])
    refined = table.refine(query, probe, [segment], Ranked(rows, none, np.arange(3), 3, 0))
    scores = table.score(query, [segment], rows)
    assert refined[:2].tolist() == scores[:2].tolist()
    assert refined[2] == np.float32(20 / 254) != scores[2]  # its token's leaf was not seen


def test_what_is_stored_of_a_token_is_added_up(table: Kernels) -> None:
    codec = table.load_codec(
        CodecArrays(
            2,
            *quantised([[127, 0]]),
            *quantised([[127, 0]]),
            np.array([0], np.uint32),
            *quantised([[100, 20]]),
            np.array([0], np.uint32),
            np.array([-127, -120, -60, -38, 38, 60, 127, 200], np.float32),
            1,
            np.linspace(0, 1, 16, dtype=np.float32),
            np.linspace(0, 1, 256, dtype=np.float32),
            0.5,
        ),
        "codec",
    )
    arrays = SettledArrays(
        offsets=np.array([0, 1, 2]),
        heads=np.array([15 * 16 + 3, 3 * 16 + 15], np.uint32),
        codes=np.array([[0 | 2 << 2], [3 | 1 << 2]], np.uint8)[:, :1],
        list_cells=np.zeros(1, np.uint32),
        list_places=np.empty(0, np.uint8),
        list_offsets=np.zeros(1, np.int64),
        list_gaps=np.empty(0, np.uint16),
    )
    segment = table.load_settled(arrays, codec, "settled")
    query = quantised([[1, 0], [0, 1]])
    # A fifth of the levels onto the first leaf, all of them onto the second: 227 stays at 127.
    first, second = np.array([100 - 25, 20 + 8]) * 243 / 255, np.array([127, 20 - 38]) * 63 / 255
    found = table.scan(query, [segment], None)
    np.testing.assert_allclose(found, [first.sum() / 2, second.sum() / 2], rtol=1e-6)
    found = table.similarities(query, [segment], 0)
    np.testing.assert_allclose(found, [first / 2], rtol=1e-6)


def test_memory_mapped_arrays_are_taken_as_they_are(table: Kernels, tmp_path: Path) -> None:
    arrays = fresh([[127, 0]], [[0, 127]])
    for field in arrays._fields:
        np.save(tmp_path / f"{field}.npy", getattr(arrays, field))
    mapped = FreshArrays(
        *(np.load(tmp_path / f"{field}.npy", mmap_mode="r") for field in arrays._fields)
    )
    segment = table.load_fresh(mapped, "mapped")
    del mapped
    np.testing.assert_allclose(table.scan(quantised([[127, 0]]), [segment], None), [1, 0])


def test_a_handle_keeps_its_arrays_alive_and_lets_them_go(table: Kernels) -> None:
    arrays = fresh([[127, 0]])
    alive = weakref.ref(arrays.codes)
    segment = table.load_fresh(arrays, "s")
    del arrays
    gc.collect()
    assert alive() is not None
    del segment
    gc.collect()
    assert alive() is None


def test_many_threads_share_a_handle(table: Kernels) -> None:
    _, segment = small_world(table)
    query = quantised([[127, 0], [0, 127]])
    expected = table.scan(query, [segment], None)
    wrong: list[np.ndarray] = []

    def work() -> None:
        for _ in range(20):
            found = table.scan(query, [segment], None, 2)
            if not np.array_equal(found, expected):
                wrong.append(found)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_can_search_with_threads(table: Kernels) -> None:
    _, segment = small_world(table)
    query = quantised([[127, 0], [0, 127]])
    expected = table.scan(query, [segment], None, 2)
    child = os.fork()
    if child == 0:
        os._exit(int(not np.array_equal(table.scan(query, [segment], None, 2), expected)))
    assert os.waitpid(child, 0)[1] == 0

from __future__ import annotations

import numpy as np
import pytest

from interlace import codec, kernels
from interlace.codec import clustering, residual

TABLE = kernels.table()


def typed_tokens(n, n_types, dim=32, seed=0, spread=0.4):
    rng = np.random.default_rng(seed)
    types = rng.integers(0, n_types, n).astype(np.int32)
    centres = np.random.default_rng(99).normal(size=(max(n_types, 1000), dim))
    rows = centres[types] + spread * rng.normal(size=(n, dim))
    made = TABLE.quantise(rows.astype(np.float32), codec.rotation_signs(dim, 0))
    return codec.Tokens(made.codes, made.scales, types)


def train(tokens, name="residual4"):
    return codec.train(name, tokens, n_tokens=len(tokens.codes), kernels=TABLE)


@pytest.mark.parametrize("dim", [32, 48, 64, 96, 127, 128, 256])
def test_the_rotation_is_orthogonal_and_undone(dim):
    rows = np.random.default_rng(dim).normal(size=(20, dim)).astype(np.float32)
    signs = codec.rotation_signs(dim, 7)
    turned = kernels.rotate(rows, signs)
    np.testing.assert_allclose(turned @ turned.T, rows @ rows.T, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(kernels.unrotate(turned, signs), rows, atol=1e-5)


def test_signs_are_the_same_for_ever_and_differ_by_seed():
    assert codec.rotation_signs(8, 0).tolist() == [
        [1, -1, -1, 1, -1, -1, -1, 1],
        [-1, 1, -1, 1, 1, 1, 1, 1],
    ]
    assert (codec.rotation_signs(128, 0) != codec.rotation_signs(128, 1)).any()


def test_a_one_hot_row_is_spread_over_all_coordinates():
    turned = kernels.rotate(np.eye(128, dtype=np.float32), codec.rotation_signs(128, 0))
    assert np.abs(turned).max() < 0.6


def test_what_a_trellis_rounds_to_is_nearer_and_as_long():
    x = np.random.default_rng(0).standard_normal((200, 128)).astype(np.float32)
    for bits, alone in ((1, 0.3634), (2, 0.1175), (4, 0.009497)):  # each coordinate by itself
        levels, stretch = residual.levels(bits), residual.stretch(bits)
        codes = kernels.trellised(stretch * x, np.tile(levels, (len(x), 1)))
        taken = levels[kernels.levels_taken(codes)]
        assert np.square(taken / stretch - x).mean() < 0.9 * alone
        assert np.square(taken).mean() == pytest.approx(np.square(x).mean(), rel=0.01)


def test_one_token_trains_and_comes_back():
    tokens = typed_tokens(1, 1)
    generation = train(tokens, "residual1")
    decoded = generation.decode(generation.encode(tokens, kernels=TABLE))
    np.testing.assert_allclose(decoded, tokens.codes * tokens.scales[:, None], atol=0.02)


def test_identical_tokens_have_no_residual():
    one = typed_tokens(1, 1)
    tokens = codec.Tokens(
        np.repeat(one.codes, 500, axis=0), np.repeat(one.scales, 500), np.zeros(500, np.int32)
    )
    generation = train(tokens)
    assert generation.description["mean_cosine"] > 0.999


def test_a_token_never_leaves_its_type():
    tokens = typed_tokens(3000, 20, spread=3.0)
    generation = train(tokens)
    leaves = generation.leaves(generation.encode(tokens, kernels=TABLE))
    cells = generation.arrays.leaf_cells[leaves]
    np.testing.assert_array_equal(generation.rows["cell_types"][cells], tokens.token_ids)


def test_two_levels_split_large_cells_only(monkeypatch):
    monkeypatch.setattr(clustering, "CELLS_MIN", 30)
    monkeypatch.setattr(clustering, "CELLS_MAX", 40)
    monkeypatch.setattr(clustering, "TOKENS_PER_LEAF", 10)
    tokens = typed_tokens(4000, 20, spread=1.0)
    generation = train(tokens)
    arrays = generation.arrays
    assert len(arrays.cell_scales) <= 60 < len(arrays.leaf_scales)
    leaves = generation.leaves(generation.encode(tokens, kernels=TABLE))
    assert leaves.max() < len(arrays.leaf_scales)
    own = (arrays.leaves[leaves] * arrays.leaf_scales[leaves, None] * tokens.codes).sum(axis=1)
    first = np.searchsorted(arrays.leaf_cells, arrays.leaf_cells[leaves])
    other = (arrays.leaves[first] * arrays.leaf_scales[first, None] * tokens.codes).sum(axis=1)
    assert (own >= other - 1e-3).all()


def test_growth_appends_and_keeps_old_codes_valid():
    tokens = typed_tokens(8_000, 30)
    generation = train(tokens)
    coded = generation.encode(tokens, kernels=TABLE)
    before = generation.decode(coded)
    later = typed_tokens(8_000, 60, seed=1)
    grown = generation.grow(later, n_tokens=16_000, kernels=TABLE)
    assert grown.n_tokens == 16_000
    for name, rows in generation.rows.items():
        np.testing.assert_array_equal(grown.rows[name][: len(rows)], rows)
    assert len(grown.rows["cells"]) > len(generation.rows["cells"])
    np.testing.assert_array_equal(grown.decode(coded), before)
    old, new = (
        (g.decode(g.encode(later, kernels=TABLE)) * later.codes * later.scales[:, None]).sum(1)
        for g in (generation, grown)
    )
    assert new.mean() > old.mean()


def test_no_growth_while_leaves_suffice():
    tokens = typed_tokens(8_000, 30)
    generation = train(tokens)
    assert generation.grow(tokens, n_tokens=8_100, kernels=TABLE) is generation


def test_tokens_without_ids_fit_a_codec_made_with_ids():
    tokens = typed_tokens(4_000, 30)
    generation = train(tokens)
    untyped = tokens._replace(token_ids=None)
    decoded = generation.decode(generation.encode(untyped, kernels=TABLE))
    cosine = (decoded * tokens.codes * tokens.scales[:, None]).sum(axis=1)
    assert cosine.mean() > 0.99


def test_rare_types_of_a_large_vocabulary_share_groups(monkeypatch):
    monkeypatch.setattr(clustering, "TYPES_MAX", 50)
    monkeypatch.setattr(clustering, "RARE_GROUPS", 8)
    tokens = typed_tokens(4_000, 200)
    generation = train(tokens)
    types = np.unique(generation.rows["cell_types"])
    assert len(types) <= 50
    assert types[0] >= -8
    decoded = generation.decode(generation.encode(tokens, kernels=TABLE))
    assert (decoded * tokens.codes * tokens.scales[:, None]).sum(axis=1).mean() > 0.98


@pytest.mark.parametrize(("shift", "cosine", "unit"), [(3.0, 0.9, 0.5), (5.0, 0.96, 0.25)])
def test_strongly_anisotropic_embeddings_keep_their_order(shift, cosine, unit):
    """Random tokens at cosine 0.9: what differs between them must survive coding."""
    tokens = typed_tokens(6_000, 40, dim=64, spread=0.6)
    mean = np.random.default_rng(5).normal(size=64)
    rows = tokens.codes * tokens.scales[:, None]
    rows = rows + shift * mean / np.linalg.norm(mean)
    made = TABLE.quantise(rows.astype(np.float32), codec.rotation_signs(64, 0))
    narrow = codec.Tokens(made.codes, made.scales, tokens.token_ids)
    exact = narrow.codes * narrow.scales[:, None]
    assert (exact[:50] @ exact[50:100].T).mean() == pytest.approx(cosine, abs=0.02)
    generation = train(narrow)
    assert generation.description["unit"] == unit
    coded = generation.decode(generation.encode(narrow, kernels=TABLE))
    best, found = (exact[:100] @ exact.T).argsort(1), (exact[:100] @ coded.T).argsort(1)
    shared = [len(set(a[-50:]) & set(b[-50:])) / 50 for a, b in zip(best, found, strict=True)]
    assert np.mean(shared) > 0.91


def test_residuals_are_measured_in_leaves_where_tokens_point_everywhere():
    assert train(typed_tokens(6_000, 40)).description["unit"] == 1.0


@pytest.mark.parametrize("n", [1, 50])
def test_the_unit_of_tokens_that_are_all_one_is_the_least(n):
    row = np.full((n, 16), 3, np.int8)
    same = codec.Tokens(row, np.full(n, 1 / 12, np.float32), np.zeros(n, np.int32))
    generation = train(same)
    assert generation.description["unit"] == 0.25
    decoded = generation.decode(generation.encode(same, kernels=TABLE))
    np.testing.assert_allclose(decoded, row / 12, atol=0.01)


def grow_in_batches(monkeypatch, n_batches, batch=4_000, n_types=60):
    monkeypatch.setattr(clustering, "CELLS_MIN", 100)
    monkeypatch.setattr(clustering, "CELLS_MAX", 200)
    monkeypatch.setattr(clustering, "TOKENS_PER_LEAF", 20)
    generation = train(typed_tokens(batch, n_types, spread=1.0))
    for number in range(1, n_batches):
        tokens = typed_tokens(batch, n_types + number, seed=number, spread=1.0)
        generation = generation.grow(tokens, n_tokens=(number + 1) * batch, kernels=TABLE)
    return generation


def test_leaves_follow_the_tokens_when_cells_have_run_out(monkeypatch):
    generation = grow_in_batches(monkeypatch, 16)
    arrays = generation.arrays
    assert len(arrays.cell_scales) <= 200
    assert len(arrays.leaf_scales) > 0.75 * 16 * 4_000 / 20
    assert arrays.leaf_cells.max() < len(arrays.cell_scales)
    assert len(np.unique(arrays.leaf_cells)) == len(arrays.cell_scales)  # no cell without a leaf
    tokens = typed_tokens(2_000, 60, seed=99, spread=1.0)
    leaves = generation.leaves(generation.encode(tokens, kernels=TABLE))
    known = np.isin(tokens.token_ids, generation._types_known)
    types = generation.rows["cell_types"][arrays.leaf_cells[leaves]]
    np.testing.assert_array_equal(types[known], tokens.token_ids[known])


def test_a_grown_codec_codes_better_than_the_one_it_grew_from(monkeypatch):
    first = grow_in_batches(monkeypatch, 1)
    grown = grow_in_batches(monkeypatch, 12)
    tokens = typed_tokens(2_000, 60, seed=99, spread=1.0)

    def cosine(generation):
        decoded = generation.decode(generation.encode(tokens, kernels=TABLE))
        return (decoded * tokens.codes * tokens.scales[:, None]).sum(axis=1).mean()

    assert cosine(grown) > cosine(first)


def test_a_probe_finds_leaves_that_were_added_to_old_cells(monkeypatch):
    before, generation = (grow_in_batches(monkeypatch, n) for n in (11, 12))
    handle = TABLE.load_codec(generation.arrays, "grown")
    leaf = len(before.rows["leaves"])
    assert 0 < leaf < len(generation.rows["leaves"])
    assert generation.rows["leaf_cells"][leaf] < len(before.rows["cells"])
    codes = generation.arrays.leaves[leaf : leaf + 1]
    query = kernels.Quantised(codes, generation.arrays.leaf_scales[leaf : leaf + 1])
    cell = int(generation.arrays.leaf_cells[leaf])
    place = int((generation.arrays.leaf_cells[:leaf] == cell).sum())
    found = TABLE.probe(query, handle, 200, 200, 4)
    assert found.leaves[0, 0] == cell << 8 | place


def test_a_type_that_comes_later_gets_a_cell_however_many_leaves_there_are():
    """A first training on few tokens has a leaf for each type, more than the tokens ask for."""
    generation = train(typed_tokens(600, 300))
    later = typed_tokens(600, 330, seed=1)
    new = later.token_ids >= 300
    assert new.any()
    assert generation.grow(later, n_tokens=1_200, kernels=TABLE) is not generation
    grown = generation.grow(later, n_tokens=1_200, kernels=TABLE)
    assert set(later.token_ids) <= set(grown.rows["cell_types"])


def test_later_leaves_go_to_the_tokens_that_lie_far_from_theirs():
    tokens = typed_tokens(16_000, 20)
    rows, ids = tokens.codes * tokens.scales[:, None], tokens.token_ids
    away = np.random.default_rng(4).normal(size=rows.shape[1])
    rows[12_000:] += 1.5 * away / np.linalg.norm(away)
    made = TABLE.quantise(rows.astype(np.float32), codec.rotation_signs(rows.shape[1], 0))
    generation = train(codec.Tokens(made.codes[:8_000], made.scales[:8_000], ids[:8_000]))
    later = codec.Tokens(made.codes[8_000:], made.scales[8_000:], ids[8_000:])
    grown = generation.grow(later, n_tokens=16_000, kernels=TABLE)
    gained = (generation.encode(later, kernels=TABLE).heads & 15).astype(float)
    gained -= grown.encode(later, kernels=TABLE).heads & 15
    assert gained[4_000:].mean() > 4 * gained[:4_000].mean()


def test_growth_goes_on_where_the_last_chunk_left_off():
    """Small batches add up: what one was too small to grow for, a later one grows for too."""
    tokens = typed_tokens(40_000, 20)
    codes, scales, ids = tokens
    generation = train(codec.Tokens(codes[:20_000], scales[:20_000], ids[:20_000]))
    n, n_chunks = len(generation.arrays.leaf_scales), 1
    for first in range(20_000, 40_000, 500):
        part = slice(first, first + 500)
        batch = codec.Tokens(codes[part], scales[part], ids[part])
        before = generation
        generation = generation.grow(batch, n_tokens=first + 500, kernels=TABLE)
        n_chunks += generation is not before
    assert 1 < n_chunks < 40
    assert len(generation.arrays.leaf_scales) - n > 0.5 * 20_000 / clustering.TOKENS_PER_CELL

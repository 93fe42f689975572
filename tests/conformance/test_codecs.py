"""What every registered codec owes, whatever its bits: run over the registry."""

from __future__ import annotations

import numpy as np
import pytest

from interlace import codec, kernels

BEST = kernels.table()


def made_tokens(
    n: int = 6_000, dim: int = 64, n_types: int = 60, *, ids: bool = True, seed: int = 0
) -> tuple[codec.Tokens, np.ndarray]:
    """Tokens that scatter about one direction a type, as a model's do; and their float rows."""
    rng = np.random.default_rng(seed)
    types = np.minimum((rng.pareto(1.0, n) * 3).astype(np.int32), n_types - 1)
    centres = np.random.default_rng(99).normal(size=(1_000, dim))
    rows = centres[types] + 0.5 * rng.normal(size=(n, dim))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    made = BEST.quantise(rows, codec.rotation_signs(dim, 0))
    return codec.Tokens(made.codes, made.scales, types if ids else None), rows


def trained(name: str, tokens: codec.Tokens, table=BEST, n_threads: int = 1) -> codec.Generation:
    return codec.train(name, tokens, n_tokens=len(tokens.codes), kernels=table, n_threads=n_threads)


def cosines(generation: codec.Generation, tokens: codec.Tokens, rows: np.ndarray) -> np.ndarray:
    coded = generation.encode(tokens, kernels=BEST)
    signs = codec.rotation_signs(rows.shape[1], 0)
    return (kernels.unrotate(generation.decode(coded), signs) * rows).sum(axis=1)


#: Mean cosine of a Gaussian residual at these bits is far above this; a broken codec is below.
LEAST = {1: 0.93, 2: 0.97, 4: 0.99}


@pytest.mark.parametrize("ids", [True, False], ids=["typed", "untyped"])
@pytest.mark.parametrize("name", codec.NAMES)
def test_decoded_embeddings_are_close_to_what_went_in(name, ids):
    tokens, rows = made_tokens(ids=ids)
    generation = trained(name, tokens)
    assert cosines(generation, tokens, rows).mean() > LEAST[codec.NAMES[name]]


@pytest.mark.parametrize("name", codec.NAMES)
@pytest.mark.parametrize("dim", [9, 33, 96, 127])
def test_dimensions_that_fill_no_bytes_come_back_too(name, dim):
    tokens, rows = made_tokens(dim=dim)
    found = cosines(trained(name, tokens), tokens, rows)
    assert found.mean() > LEAST[codec.NAMES[name]] - 0.02


@pytest.mark.parametrize("name", codec.NAMES)
def test_decoded_embeddings_have_unit_length(name):
    tokens, _ = made_tokens()
    generation = trained(name, tokens)
    decoded = generation.decode(generation.encode(tokens, kernels=BEST))
    lengths = np.linalg.norm(decoded, axis=1)
    assert abs(lengths.mean() - 1) < 1e-3
    assert lengths.std() < 0.006
    np.testing.assert_allclose(lengths, 1, atol=0.05)


@pytest.mark.parametrize("name", codec.NAMES)
def test_more_tokens_than_at_training_still_code_well(name):
    tokens, _ = made_tokens()
    later, rows = made_tokens(n_types=80, seed=1)
    found = cosines(trained(name, tokens), later, rows)
    assert found.mean() > LEAST[codec.NAMES[name]] - 0.04


@pytest.mark.parametrize("name", codec.NAMES)
def test_a_generation_survives_being_written_down(name):
    tokens, _ = made_tokens()
    generation = trained(name, tokens)
    again = codec.Generation.load(
        dict(generation.description), dict(generation.rows), generation.n_tokens
    )
    for kept, given in zip(again.arrays, generation.arrays, strict=True):
        np.testing.assert_array_equal(kept, given)
    first, second = (g.encode(tokens, kernels=BEST) for g in (generation, again))
    for kept, given in zip(second, first, strict=True):
        np.testing.assert_array_equal(kept, given)


@pytest.mark.parametrize("ids", [True, False], ids=["typed", "untyped"])
def test_same_tokens_and_seed_give_the_same_bytes_on_every_table_and_thread_count(ids):
    tokens, _ = made_tokens(n=2_000, dim=48, ids=ids)
    first = trained("residual2", tokens, kernels.table("reference"))
    for name in kernels.available():
        for n_threads in (1, 3):
            other = trained("residual2", tokens, kernels.table(name), n_threads)
            assert other.description == first.description
            assert first.rows.keys() == other.rows.keys()
            for key, rows in first.rows.items():
                np.testing.assert_array_equal(rows, other.rows[key], err_msg=key)


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"residual3.*residual1, residual2, residual4"):
        codec.check_name("residual3")

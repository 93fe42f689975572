"""Pooling keeps what it promises, whatever the rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlace.collection.pooling import Pooling
from interlace.types import Encoded

pytest.importorskip("scipy")

poolings = st.builds(
    lambda factor, protected, more: Pooling(
        factor=factor, protected=protected, tokens_max=None if more is None else protected + more
    ),
    st.integers(1, 6),
    st.integers(0, 4),
    st.none() | st.integers(1, 20),
)


@st.composite
def matrices(draw):
    """Unit rows, among them equal ones and opposite ones."""
    dim = draw(st.sampled_from([1, 2, 5, 16]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    distinct = random.standard_normal((draw(st.integers(1, 40)), dim))
    distinct /= np.linalg.norm(distinct, axis=1, keepdims=True)
    chosen = distinct[random.integers(len(distinct), size=draw(st.integers(0, 60)))]
    return (chosen * random.choice([1, -1], (len(chosen), 1))).astype(np.float32)


@settings(deadline=None)
@given(matrices(), poolings)
def test_a_pooled_matrix(matrix, pooling):
    groups = pooling.groups(matrix)
    made = pooling.pooled(Encoded(matrix)).matrix
    assert made.dtype == np.float32
    assert made.flags.c_contiguous
    assert made.tobytes() == pooling.pooled(Encoded(matrix.copy())).matrix.tobytes()
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1, atol=1e-5)
    # Every row has its group, and groups are numbered by their first rows.
    _, begins = np.unique(groups, return_index=True)
    assert sorted(begins) == begins.tolist()
    assert len(begins) == len(made)
    n_first = min(pooling.protected, len(matrix))
    assert groups[:n_first].tolist() == list(range(n_first))
    np.testing.assert_allclose(made[:n_first], matrix[:n_first], atol=1e-6)
    # No more are left than were asked for; equal rows may leave fewer.
    n_rest = len(matrix) - n_first
    most = max(n_rest // pooling.factor, min(n_rest, 1))
    if pooling.tokens_max is not None:
        most = min(most, pooling.tokens_max - pooling.protected)
    assert len(made) - n_first <= most
    for group, row in enumerate(made):
        mean = matrix[groups == group].astype(np.float64).mean(axis=0)
        if np.linalg.norm(mean) > 1e-3:
            np.testing.assert_allclose(row, mean / np.linalg.norm(mean), atol=1e-5)

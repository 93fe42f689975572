"""What every encoder backend must do, run over the registry."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from interlace.errors import SettingsError
from interlace.models import Encoder
from interlace.models.backends import REGISTRY

TEXTS = ["the sky is blue", "", "x " * 400, "numbers 1 2 3", "東京 café 🚀"]

#: What another backend may differ by from the default one, as mean cosine over a text's rows.
LEAST_COSINE = 0.98


@pytest.fixture(scope="module", params=REGISTRY)
def backend(request):
    try:
        return Encoder.load("mini", backend=request.param, n_threads=2)
    except SettingsError as cannot:  # built without a compiler, or on another processor
        pytest.skip(str(cannot))


def test_it_says_what_runs_where(backend):
    assert backend.backend in REGISTRY
    assert (backend.precision, backend.device) == ("int8", "cpu")
    assert repr(backend) == f"<Encoder mini: {backend.backend}, int8, cpu>"


def test_rows_are_unit_float32(backend):
    for matrix in backend.encode_query(TEXTS):
        assert matrix.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(matrix, axis=1), 1, atol=1e-4)


def test_a_text_alone_equals_a_text_in_company(backend):
    together = backend.encode_document(TEXTS)
    for text, matrix in zip(TEXTS, together, strict=True):
        assert backend.encode_document([text])[0].tobytes() == matrix.tobytes()


def test_threads_may_share_it(backend):
    expected = [m.tobytes() for m in backend.encode_document(TEXTS)]
    with ThreadPoolExecutor(8) as pool:
        for run in pool.map(lambda _: backend.encode_document(TEXTS), range(8)):
            assert [m.tobytes() for m in run] == expected


def test_it_agrees_with_the_default_backend(backend, encoder):
    for ours, theirs in zip(
        backend.encode_document(TEXTS), encoder.encode_document(TEXTS), strict=True
    ):
        assert ours.shape == theirs.shape
        if len(ours):
            assert (ours * theirs).sum(axis=1).mean() >= LEAST_COSINE

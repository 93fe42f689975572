"""What sentence-transformers and PyLate make of some matrices when they pool them.

    python tests/golden/pooling/make.py ENVIRONMENTS

ENVIRONMENTS is the folder of ``tests/golden/models/README.md``. Writes ``matrices.npz``, and
``PACKAGE.npz`` with the pooled rows of each matrix and factor as the package leaves them:
sentence-transformers' are of unit length, PyLate's are means.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
LENGTHS = (1, 2, 3, 8, 45, 180)
FACTORS = (2, 3, 4, 6)
DIM = 24


def main() -> None:
    if sys.argv[1] in MAKERS:
        _pool(sys.argv[1])
        return
    random = np.random.default_rng(20)
    made = {}
    for n in LENGTHS:  # some near each other, as the tokens of a text are
        themes = random.standard_normal((n // 4 + 1, DIM))
        rows = themes[random.integers(len(themes), size=n)] + random.standard_normal((n, DIM))
        made[str(n)] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    np.savez_compressed(HERE / "matrices.npz", **made)
    for package, environment in (("sentence-transformers", "st"), ("pylate", "pylate")):
        python = Path(sys.argv[1]) / environment / "bin" / "python"
        subprocess.run([python, __file__, package], check=True)


def _pool(package: str) -> None:
    with np.load(HERE / "matrices.npz") as file:
        matrices = dict(file)
    made = {
        f"{name}/{factor}": MAKERS[package](matrix, factor)
        for name, matrix in matrices.items()
        for factor in FACTORS
    }
    np.savez_compressed(HERE / f"{package}.npz", **made)


def _sentence_transformers(matrix: np.ndarray, factor: int) -> Any:
    import torch
    from sentence_transformers.multi_vector_encoder.modules import token_pooling

    pooling = token_pooling.HierarchicalTokenPooling(factor)
    return pooling.pool_one(torch.from_numpy(matrix)).numpy()


def _pylate(matrix: np.ndarray, factor: int) -> Any:
    import torch
    from pylate.models import ColBERT

    # The method reads nothing of its model.
    (pooled,) = ColBERT.pool_embeddings_hierarchical(None, [torch.from_numpy(matrix)], factor)
    return pooled.numpy()


MAKERS: dict[str, Callable[[np.ndarray, int], Any]] = {
    "sentence-transformers": _sentence_transformers,
    "pylate": _pylate,
}

if __name__ == "__main__":
    main()

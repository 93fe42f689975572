"""An independent answer to a search: all of late interaction in float32 NumPy, nothing shared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def unit(matrix: np.ndarray) -> np.ndarray:
    """Rows of length one."""
    rows = np.asarray(matrix, np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def maxsim(query: np.ndarray, passage: np.ndarray) -> np.float32:
    """The best cosine of each query token, summed; -1 for each where the passage has no token."""
    if not len(passage):
        return np.float32(-len(query))
    return (unit(query) @ unit(passage).T).max(axis=1).sum()


def search(
    query: np.ndarray, documents: Sequence[Sequence[np.ndarray]], k: int
) -> list[tuple[int, float]]:
    """Positions and scores of the ``k`` best documents, each by its best passage.

    Equal scores keep the order of the documents.
    """
    scores = [max(float(maxsim(query, passage)) for passage in document) for document in documents]
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    return [(i, scores[i]) for i in order[:k]]

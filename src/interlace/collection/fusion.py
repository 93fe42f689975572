"""One score of two: how well a passage's tokens match, and how well its words do.

Each kind is scaled to 0 .. 1, where 1 is the best passage's and 0 that of the passage at place
``DEPTH``, and whatever is below it. So a passage that is among the best of neither has 0, and the
best passages of both kinds hold the best of their sum: nothing else needs looking at. What lost to
this is in docs/explanation/hybrid.md.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Scores: TypeAlias = npt.NDArray[np.float32]

DEPTH: Final = 100
"""Passages of each kind that have a say."""

LATE: Final = 0.85
"""The part of late interaction in the sum; the rest is the words'."""


def fused(late: Scores, lexical: Scores, heads: tuple[Scores, Scores]) -> Scores:
    """The weighted sum of two kinds of scores, each scaled by the head of its ranking.

    Parameters
    ----------
    late, lexical : (n,) float32
        Of the same passages.
    heads : pair of (at most DEPTH,) float32
        The best scores of each kind, best first, among all that is searched.

    Returns
    -------
    (n,) float32
        In [0, 1].
    """
    parts = [scaled(scores, head) for scores, head in zip((late, lexical), heads, strict=True)]
    return (LATE * parts[0] + (1 - LATE) * parts[1]).astype(np.float32)


def scaled(scores: Scores, head: Scores) -> npt.NDArray[np.float64]:
    """Scores between the best of a ranking, which is 1, and the last of its head, which is 0.

    Words that fewer passages have than a head holds scale from 0: to have none of them is worse
    than any match. The caller says so by a 0 at the end of the head. Without a head all have 0.
    """
    if not len(head):
        return np.zeros(len(scores))
    best, last = float(head[0]), float(head[-1])
    if best <= last:
        return (scores >= best).astype(np.float64)
    return np.clip((scores.astype(np.float64) - last) / (best - last), 0.0, 1.0)

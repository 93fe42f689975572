"""One score of two: how well a passage's tokens match, and how well its words do.

Each kind is scaled to 0 .. 1, where 1 is the best passage's and 0 that of the passage at place
``DEPTH``, and whatever is below it. So a passage that is among the best of neither has 0, and the
best passages of both kinds hold the best of their sum: nothing else needs looking at. What lost to
this is in docs/explanation/hybrid.md.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Scores: TypeAlias = npt.NDArray[np.float32]

DEPTH: Final = 64
"""Passages of each kind that have a say: a balanced search has scored four times as many."""

LATE: Final = 0.8
"""The part of late interaction in the sum; the rest is the words'."""

COVERED: Final = 0.3
"""The best passage by words counts whole when it has so much of what a passage could have at most;
below, in proportion. To share a "the" with a query must not count like answering it."""


class Span(NamedTuple):
    """The scores that become 0 and 1."""

    zero: float
    one: float


def span_of_late(head: Scores) -> Span:
    """The span of late scores, from the at most ``DEPTH`` best, best first."""
    return Span(float(head[-1]), float(head[0])) if len(head) else Span(0.0, 0.0)


def span_of_words(head: Scores, most: float) -> Span:
    """The span of lexical scores, from the best ones and what a passage could have at most.

    Where fewer passages than ``DEPTH`` have any word, having none is the 0.
    """
    if not len(head):
        return Span(0.0, 1.0)
    return Span(float(head[-1]) if len(head) == DEPTH else 0.0, max(float(head[0]), COVERED * most))


def fused(late: Scores, lexical: Scores, spans: tuple[Span, Span]) -> Scores:
    """The weighted sum of two kinds of scores of the same passages, in [0, 1].

    Parameters
    ----------
    late, lexical : (n,) float32
    spans : pair of Span
        Of each kind.

    Returns
    -------
    (n,) float32
    """
    by_tokens, by_words = scaled(late, spans[0]), scaled(lexical, spans[1])
    return (LATE * by_tokens + (1 - LATE) * by_words).astype(np.float32)


def scaled(scores: Scores, span: Span) -> npt.NDArray[np.float64]:
    """Scores from 0 to 1; in a span without a width there is only 0 or 1."""
    if span.one <= span.zero:
        return (scores >= span.one).astype(np.float64)
    with np.errstate(over="ignore"):  # in a span of next to nothing
        parts = (scores.astype(np.float64) - span.zero) / (span.one - span.zero)
    return np.clip(parts, 0.0, 1.0)

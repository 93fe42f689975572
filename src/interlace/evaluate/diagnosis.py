"""Diagnosis: of the passages that a search should find, how many each of its stages loses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from interlace import store
from interlace.collection import Collection, Inside
from interlace.errors import InputError, SettingsError
from interlace.evaluate.questions import Question, answer, live_rows, questions
from interlace.progress import Progress, silent
from interlace.types import FloatMatrix

FLOATS_FROM: Final = 200_000
"""Tokens up to which a collection is encoded again unasked: some ten seconds."""

CODEC: Final = "codec"
"""What loses passages that were scored."""

_MORE: Final = 4

_AT_ONCE: Final = 256
"""Passages whose texts are read together."""

_PRODUCTS_AT_ONCE: Final = 1 << 24
"""Of document tokens with query tokens: 64 MiB."""


@dataclass(frozen=True, slots=True)
class Losses:
    """What the stages of one effort lose.

    Attributes
    ----------
    name : str
        The effort.
    lost : mapping
        The share of the ``k`` best that each stage had and did not hand on, in the order of the
        stages. ``codec``: passages that were scored, and ranked lower than exact vectors rank them.
    recall : float
        The share that is among the ``k`` hits: 1 less all that was lost.
    won : mapping
        By how much recall grows with four times as much of one knob alone. Empty where no knob can
        win anything.
    """

    name: str
    lost: dict[str, float]
    recall: float
    won: dict[str, float]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Where recall is lost.

    Attributes
    ----------
    k, n_queries : int
    is_exact : bool
        Whether the ``k`` best are those of float32 vectors, encoded for the purpose; else those of
        an exhaustive search on the stored codes, which lose something themselves.
    efforts : tuple of Losses
        The named efforts, and ``tuned`` where the collection is.
    """

    k: int
    n_queries: int
    is_exact: bool
    efforts: tuple[Losses, ...]


def diagnose(
    collection: Collection,
    *,
    k: int = 10,
    queries: Sequence[str] | None = None,
    embeddings: Iterable[Any] | None = None,
    n_queries: int = 200,
    exact: bool | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Diagnosis:
    """Tell which stage of a search loses how many of the ``k`` best passages, at each effort.

    Parameters
    ----------
    k
        How many passages a search should find.
    queries, embeddings, n_queries, seed
        As for ``tune``.
    exact
        Compare with float32 vectors, for which all passages are encoded again; by default where
        that takes seconds. Without it the codec's own loss is not told.
    progress
        Told ``("exact", queries, of how many)``, ``("encode", passages, of how many)`` where it
        encodes, and ``("follow", efforts, of how many)``.

    Returns
    -------
    Diagnosis

    Raises
    ------
    InputError
        When no query has a token, and for ``exact`` where there is no model.
    ModelMismatch
        When the model at hand is not the collection's.
    """
    for name, value in (("k", k), ("n_queries", n_queries)):
        if value < 1:
            raise SettingsError(f"{name} is {value!r}. Give a whole number from 1.")
    inside = Inside(collection)
    snapshot = inside.snapshot
    if exact and not inside.has_model:
        raise InputError(
            "the collection has no model that could encode its passages again: it holds embeddings "
            "made elsewhere. Leave exact out."
        )
    asked = questions(
        inside, k, n_queries, texts=queries, embeddings=embeddings, seed=seed, progress=progress
    )
    if exact is None:
        exact = inside.has_model and snapshot.n_tokens <= FLOATS_FROM
    if exact:
        asked = _exactly(inside, asked, k, progress)
    efforts = [*store.EFFORTS, *([store.TUNED] if snapshot.tuned is not None else [])]
    losses = []
    for i, effort in enumerate(efforts):
        losses.append(_losses(snapshot, asked, k, effort))
        progress("follow", i + 1, len(efforts))
    return Diagnosis(k, len(asked), exact, tuple(losses))


def _losses(snapshot: store.Snapshot, asked: Sequence[Question], k: int, effort: str) -> Losses:
    """Follow the best passages of all questions from stage to stage."""
    plan = store.plan_for(effort, "passage", snapshot.tuned)
    lost, recall = _followed(snapshot, asked, k, effort)
    won = {}
    if plan is not None and any(share for stage, share in lost.items() if stage != CODEC):
        for knob in fields(plan):
            more = replace(plan, **{knob.name: getattr(plan, knob.name) * _MORE})
            won[knob.name] = _followed(snapshot, asked, k, more)[1] - recall
    return Losses(effort, lost, recall, won)


def _followed(
    snapshot: store.Snapshot, asked: Sequence[Question], k: int, effort: str | store.Effort
) -> tuple[dict[str, float], float]:
    """The share of the best passages that each stage loses, and that is found."""
    lost: dict[str, int] = {}
    by_codec = n_found = 0
    for question in asked:
        left: dict[str, store.Rows] = {}
        rows = answer(snapshot, question, k, effort, observe=left.__setitem__).rows
        safe = left.pop("scan", rows[:0])  # what is scanned passes no other stage
        still = len(question.best)
        for stage, handed_on in left.items():
            kept = int(np.isin(question.best, np.concatenate([safe, handed_on])).sum())
            lost[stage] = lost.get(stage, 0) + still - kept
            still = kept
        found = len(np.intersect1d(rows, question.best))
        by_codec += still - found
        n_found += found
    lost[CODEC] = by_codec
    n = sum(len(question.best) for question in asked)
    return {stage: one / n for stage, one in lost.items()}, n_found / n


def _exactly(
    inside: Inside, asked: Sequence[Question], k: int, progress: Progress
) -> list[Question]:
    """The questions, with the best rows by float32 MaxSim of passages that are encoded now.

    A few passages at a time, so that memory does not grow with the collection.
    """
    rows = live_rows(inside.snapshot)
    lanes = np.concatenate([question.matrix for question in asked])
    starts = np.append(0, np.cumsum([len(question.matrix) for question in asked])[:-1])
    own = np.array([question.own for question in asked])
    best = np.full((len(asked), 0), 0, np.int64)
    best_scores = np.full((len(asked), 0), 0, np.float32)
    at = 0
    for some in _matrices(inside, rows, max(1, _PRODUCTS_AT_ONCE // len(lanes))):
        numbers = rows[at : at + len(some)]
        at += len(some)
        scores = _maxsim(some, lanes, starts)
        scores[own[:, None] == numbers] = -np.inf
        best = np.concatenate([best, np.broadcast_to(numbers, scores.shape)], axis=1)
        best_scores = np.concatenate([best_scores, scores], axis=1)
        order = np.argsort(-best_scores, axis=1, kind="stable")[:, :k]
        best = np.take_along_axis(best, order, axis=1)
        best_scores = np.take_along_axis(best_scores, order, axis=1)
        progress("encode", at, len(rows))
    return [
        question._replace(best=best[i][best_scores[i] > -np.inf].astype(np.uint32))
        for i, question in enumerate(asked)
    ]


def _matrices(
    inside: Inside, rows: npt.NDArray[np.int64], n_tokens: int
) -> Iterator[list[FloatMatrix]]:
    """Matrices of the passages of some rows, encoded now: about so many tokens together."""

    def texts() -> Iterator[str]:
        for first in range(0, len(rows), _AT_ONCE):
            for passage in inside.snapshot.passages(rows[first : first + _AT_ONCE]):
                yield passage.text

    together: list[FloatMatrix] = []
    for matrix in inside.passages(texts()):
        together.append(matrix)
        if sum(map(len, together)) >= n_tokens:
            yield together
            together = []
    if together:
        yield together


def _maxsim(
    matrices: Sequence[FloatMatrix], lanes: FloatMatrix, starts: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Scores of passages for each query, ``(n_queries, n_passages)``; -1 a token without any."""
    lengths = np.array([len(matrix) for matrix in matrices])
    best = np.full((len(matrices), len(lanes)), -1, np.float32)
    full = np.flatnonzero(lengths)
    if len(full):
        offsets = np.append(0, np.cumsum(lengths))[full]
        best[full] = np.maximum.reduceat(np.concatenate(matrices) @ lanes.T, offsets, axis=0)
    scores: npt.NDArray[np.float32] = np.add.reduceat(best, starts, axis=1).T
    return scores

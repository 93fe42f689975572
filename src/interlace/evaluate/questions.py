"""Queries to measure a collection with: those that are given, or some that it makes of itself.

What a passage says, it answers best itself, whatever a search does. So the passage that a query was
taken from is left out of all that is compared.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from interlace import store
from interlace.chance import draws
from interlace.collection import Inside
from interlace.errors import InputError
from interlace.progress import Progress
from interlace.text import words
from interlace.types import FloatMatrix

_SENTENCE_ENDS: Final = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|[\r\n\f]+")
_WORDS_LEAST: Final = 4
_WORDS_MOST: Final = 32
_WINDOW_TOKENS: Final = 16
_AT_ONCE: Final = 256
"""Passages whose texts are read together."""


class Question(NamedTuple):
    """A query, and what it is measured against.

    Attributes
    ----------
    matrix : (q_tokens, dim) float32
    own : int
        The row that it was taken from, which is left out; -1 for none.
    best : (at most k,) uint32
        The rows that are to be found, best first.
    """

    matrix: FloatMatrix
    own: int
    best: store.Rows


class Answer(NamedTuple):
    """What a search found for a question: at most ``k`` rows, best first, and how."""

    rows: store.Rows
    found: store.Found


def questions(
    inside: Inside,
    k: int,
    n: int,
    *,
    texts: Sequence[str] | None = None,
    embeddings: Iterable[Any] | None = None,
    seed: int,
    progress: Progress,
) -> list[Question]:
    """Queries with what exhaustive search on the stored codes finds for each.

    Parameters
    ----------
    n
        How many are drawn where none are given: sentences and headings of stored passages, encoded
        as queries are; in a collection without a model runs of stored token embeddings.

    Raises
    ------
    InputError
        When there are no queries with tokens.
    """
    if texts is not None or embeddings is not None:
        asked = [(matrix, -1) for matrix in inside.queries(texts, embeddings)]
    else:
        asked = list(_drawn(inside, n, seed))
    asked = [(matrix, own) for matrix, own in asked if len(matrix)]
    if not asked:
        raise InputError(
            "there is nothing to measure with: no query has a token, or no passage a sentence of "
            "four words or more. Pass queries."
        )
    judged = []
    for i, (matrix, own) in enumerate(asked):
        question = Question(matrix, own, np.empty(0, np.uint32))
        n_threads = inside.snapshot.n_threads
        best = answer(inside.snapshot, question, k, "exhaustive", n_threads=n_threads).rows
        judged.append(question._replace(best=best))
        progress("exact", i + 1, len(asked))
    return judged


def answer(
    snapshot: store.Snapshot,
    question: Question,
    k: int,
    effort: str | store.Effort,
    *,
    n_threads: int = 1,
    observe: Callable[[str, store.Rows], None] | None = None,
) -> Answer:
    """Search for a question, and leave out the passage that it was taken from."""
    found = store.search(
        snapshot,
        question.matrix,
        k + (question.own >= 0),
        effort=effort,
        by="passage",
        n_threads=n_threads,
        observe=observe,
    )
    return Answer(found.rows[found.rows != question.own][:k], found)


def _drawn(inside: Inside, n: int, seed: int) -> Iterator[tuple[FloatMatrix, int]]:
    """Queries made of what is stored, and the row of each."""
    if inside.has_model:
        asked = _texts(inside.snapshot, n, seed)
        rows = [row for _, row in asked]
        yield from zip(inside.queries([text for text, _ in asked]), rows, strict=True)
        return
    for row, draw in _rows(inside.snapshot, seed):
        if n == 0:
            return
        matrix = inside.snapshot.embeddings(row)
        if len(matrix) >= _WORDS_LEAST:
            n -= 1
            first = draw % max(1, len(matrix) - _WINDOW_TOKENS + 1)
            yield matrix[first : first + _WINDOW_TOKENS], row


def _texts(snapshot: store.Snapshot, n: int, seed: int) -> list[tuple[str, int]]:
    """A sentence or heading of each of ``n`` passages, where there are so many, and its row."""
    some: list[tuple[str, int]] = []
    drawn = list(_rows(snapshot, seed))
    for at in range(0, len(drawn), _AT_ONCE):
        rows = drawn[at : at + _AT_ONCE]
        for (row, draw), passage in zip(
            rows, snapshot.passages([row for row, _ in rows]), strict=True
        ):
            found = [*passage.headings[-1:], *_SENTENCE_ENDS.split(passage.text)]
            found = [one.strip() for one in found if _WORDS_LEAST <= len(words(one)) <= _WORDS_MOST]
            if found:
                some.append((found[draw % len(found)], row))
            if len(some) == n:
                return some
    return some


def _rows(snapshot: store.Snapshot, seed: int) -> Iterator[tuple[int, int]]:
    """All live rows in an order that the seed decides, each with a number of its own."""
    rows = live_rows(snapshot)
    numbers = draws(len(rows), seed)
    for at in np.argsort(numbers, kind="stable").tolist():
        yield int(rows[at]), int(numbers[at]) >> 32


def live_rows(snapshot: store.Snapshot) -> npt.NDArray[np.int64]:
    """The rows that a search may find, ascending."""
    if snapshot.alive is None:
        return np.arange(snapshot.n_rows)
    return np.flatnonzero(np.unpackbits(snapshot.alive, count=snapshot.n_rows, bitorder="little"))

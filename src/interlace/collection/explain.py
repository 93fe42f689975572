"""Why a passage has its score: each query token, and the passage's token that answers it best."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from interlace import text
from interlace.collection.matrices import matrix_from
from interlace.collection.model import Model
from interlace.errors import InputError
from interlace.store import Snapshot
from interlace.types import Encoded, Explanation, FloatMatrix, Hit, IntArray, Match


def explain(
    snapshot: Snapshot, model: Model, query: str, hit: Hit, embeddings: Any = None
) -> Explanation:
    """Match the tokens of a query and a stored passage by the codes that a search compares.

    The similarities are those of the stored codes, and the score is the very one that ``search``
    gives this passage; they sum to it. Offsets come from tokenising the passage again; the model
    runs on the query alone, and on the passage where its tokens are pooled.

    Raises
    ------
    InputError
        When the snapshot does not hold the passage.
    """
    row, passage = _find(snapshot, hit)
    if embeddings is None:
        query_tokens = model.explained_query(query)
    else:
        query_tokens = Encoded(matrix_from(embeddings, model.dim, "the query"))
    quantised = snapshot.kernels.quantise(query_tokens.matrix, snapshot.signs)
    similarities = snapshot.kernels.similarities(quantised, snapshot.segments, row)
    n_tokens, q_tokens = similarities.shape
    query_spans = _spans(query_tokens.offsets, q_tokens)
    best = similarities.argmax(axis=0) if n_tokens else np.zeros(q_tokens, np.intp)
    spans = np.zeros((q_tokens, 2), np.int32)
    if n_tokens and embeddings is None:
        spans = _answers(model, passage.text, query_tokens.matrix, best, n_tokens)
    strengths = similarities.max(axis=0) if n_tokens else np.full(q_tokens, -1, np.float32)
    typical = similarities.mean(axis=0) if n_tokens else strengths
    only = np.array([row], np.uint32)
    score = float(snapshot.kernels.score(quantised, snapshot.segments, only)[0])
    matches = []
    for i, (strength, background) in enumerate(
        zip(strengths.tolist(), typical.tolist(), strict=True)
    ):
        query_start, query_end = query_spans[i].tolist()
        start, end = spans[i].tolist()
        is_text = end > start
        matches.append(
            Match(
                query_text=query[query_start:query_end],
                query_start=query_start,
                query_end=query_end,
                text=passage.text[start:end],
                start=passage.start + start if is_text else 0,
                end=passage.start + end if is_text else 0,
                similarity=strength,
                share=strength / score if score else 0.0,
                typical=background,
            )
        )
    return Explanation(
        query, hit.id, hit.passage, passage.start, passage.text, score, tuple(matches)
    )


def explain_words(query: str, hit: Hit) -> Explanation:
    """Where the words of a query stand in a hit: what a lexical search, which has no tokens, shows.

    Each place is a match of similarity 1, in the order of the text; the score is BM25.
    """
    asked = {word: next(text.places(query, {word})) for word in text.asked_words(query)}
    # Two pairs of characters may be one letter with its marks: that is one place.
    found = list(dict.fromkeys(text.places(hit.text, set(asked))))
    matches = []
    for start, end in found:
        word = next(word for word in text.words(hit.text[start:end]) if word in asked)
        query_start, query_end = asked[word]
        matches.append(
            Match(
                query_text=query[query_start:query_end],
                query_start=query_start,
                query_end=query_end,
                text=hit.text[start:end],
                start=hit.start + start,
                end=hit.start + end,
                similarity=1.0,
                share=1 / len(found),
            )
        )
    return Explanation(query, hit.id, hit.passage, hit.start, hit.text, hit.score, tuple(matches))


def _find(snapshot: Snapshot, hit: Hit) -> tuple[int, Any]:
    row = snapshot.row_of(hit.id, hit.passage)
    if row is not None:
        (passage,) = snapshot.passages([row])
        if passage.text == hit.text:  # else the document was replaced since
            return row, passage
    raise InputError(
        f"passage {hit.passage} of document {hit.id!r} is not in the collection any more. "
        "Search again."
    )


def _answers(
    model: Model, passage: str, query: FloatMatrix, rows: npt.NDArray[np.intp], n_rows: int
) -> IntArray:
    """Where in a passage the tokens are that answer a query's: ``(q_tokens, 2)``.

    The row that answers is one token's; or, pooled, that of several, and the nearest is named.
    """
    if not model.pooling.is_on:
        return _spans(model.offsets(passage), n_rows)[rows]
    tokens, groups = model.grouped(passage)
    offsets = _spans(tokens.offsets, len(groups))
    if groups.max(initial=-1) + 1 != n_rows:  # embeddings that came with the text
        return np.zeros((len(query), 2), np.int32)
    nearness = query @ tokens.matrix.T
    nearness[groups != rows[:, None]] = -np.inf
    spans: IntArray = offsets[nearness.argmax(axis=1)]
    return spans


def _spans(offsets: IntArray | None, n_tokens: int) -> IntArray:
    """Offsets of the tokens; (0, 0) for all where the model does not tell them."""
    if offsets is None or len(offsets) != n_tokens:
        return np.zeros((n_tokens, 2), np.int32)
    return offsets

"""Late interaction without a collection: score texts, or matrices, on the spot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from interlace import kernels, text
from interlace.collection.arguments import check_iterable, check_k
from interlace.collection.matrices import matrix_from
from interlace.collection.model import Model, speaker
from interlace.errors import InputError
from interlace.threads import n_cores
from interlace.types import Document, FloatMatrix, Hit, Hits


def maxsim(query: Any, documents: Sequence[Any]) -> FloatMatrix:
    """Score documents for a query by their token embeddings.

    Parameters
    ----------
    query : (q_tokens, dim)
    documents : sequence of (n_tokens, dim)
        Rows are made unit length; a score depends on nothing but the query and its document.

    Returns
    -------
    (n_docs,) float32
        For each document the sum over query tokens of the best cosine; a document without tokens
        counts -1 for each.

    Raises
    ------
    InputError
        For matrices of another width, with NaN or rows of zeros.

    Source
    ------
    ColBERT, arXiv 2004.12832, equation 3.
    """
    wanted = matrix_from(query, None, "the query")
    dim = wanted.shape[1]
    if hasattr(documents, "shape") and len(documents.shape) == 2:
        raise InputError("documents must be a list of matrices: got one matrix. Write [matrix].")
    check_iterable(documents, "documents")
    matrices = [matrix_from(one, dim, f"document {i}") for i, one in enumerate(documents)]
    offsets = np.zeros(len(matrices) + 1, np.int64)
    np.cumsum([len(one) for one in matrices], out=offsets[1:])
    tokens = np.concatenate([np.empty((0, dim), np.float32), *matrices])
    return kernels.table().maxsim(wanted, tokens, offsets, n_cores())


def rerank(
    query: str,
    texts: Iterable[str | Mapping[str, Any] | Document],
    k: int | None = None,
    model: Any = "mini",
) -> Hits:
    """Order texts by how well their tokens match the query's; nothing is stored.

    Parameters
    ----------
    query
        A text.
    texts
        Texts, or documents with ids and metadata. A long one is cut into passages, as in a
        collection, and goes by its best.
    k
        How many hits; all by default.
    model
        As for ``create``. A name is loaded for each call; pass an ``Encoder`` to call often.

    Returns
    -------
    Hits
        Best first, equal scores in the order given. The id of a text without one is its position.
        Scores are exact; ``search`` compares stored codes, and its ``mean_score`` stays within
        0.01 of this one while fresh, and within 0.05, 0.15 and 0.3 compressed to 4, 2 and 1 bits.

    Raises
    ------
    InputError
        For something that is no text, or ``k`` below 1.
    """
    if k is not None:
        check_k(k)
    speaking = speaker(model)
    encoder = Model(speaking.identity(), speaking.dim, given=[speaking])
    splitting = text.Splitting(tokens_max=speaking.tokens_max)
    ((matrix, notes),) = encoder.queries([query])
    documents = _documents(texts)
    if not len(matrix):
        return Hits(notes=notes)
    passages = [one for doc in documents for one in text.split(doc, splitting, encoder.spans)]
    scores = maxsim(matrix, [one.matrix for one in encoder.documents(p.text for p in passages)])
    by_id = {document.id: document for document in documents}
    best: dict[Any, Hit] = {}
    for i in np.lexsort((np.arange(len(scores)), -scores)).tolist():
        passage, score = passages[i], float(scores[i])
        if passage.document_id not in best:
            best[passage.document_id] = Hit(
                id=passage.document_id,
                passage=passage.number,
                start=passage.start,
                end=passage.end,
                text=passage.text,
                score=score,
                mean_score=score / len(matrix),
                late_score=score,
                rank=len(best) + 1,
                metadata=by_id[passage.document_id].metadata,
            )
    return Hits(tuple(best.values())[:k], notes=notes)


def _documents(texts: Iterable[Any]) -> list[Document]:
    """The texts as documents with ids: those without one are known by their position."""
    if isinstance(texts, (str, Mapping, Document)):
        raise InputError("texts must be a list: got one text. Write [text].")
    check_iterable(texts, "texts")
    documents = [text.document_from(record, f"text {i}") for i, record in enumerate(texts)]
    named = {document.id: i for i, document in enumerate(documents) if document.id is not None}
    for i, document in enumerate(documents):
        if document.id is not None and named[document.id] != i:
            raise InputError(
                f"id {document.id!r} comes twice: texts {i} and {named[document.id]}. "
                "Give them different ids."
            )
        if document.id is None and i in named:
            raise InputError(
                f"text {i} has no id, and would be known by its position: text {named[i]} has that "
                "id. Give both an id."
            )
    return [
        document if document.id is not None else replace(document, id=i)
        for i, document in enumerate(documents)
    ]

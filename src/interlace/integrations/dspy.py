"""DSPy: a collection as a retriever module, and as the retrieval model of ``dspy.Retrieve``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from interlace.collection import Collection
from interlace.extras import need
from interlace.integrations.frameworks import with_place
from interlace.types import Hits

need("dspy", extra="dspy")

import dspy
from dspy.dsp.utils import dotdict

__all__ = ["InterlaceRM", "InterlaceRetriever"]


class InterlaceRetriever(dspy.Module):
    """A collection as a module: a query in, a prediction with the passages out.

    Parameters
    ----------
    collection : Collection
    k : int
        How many passages; it may be given anew with each call.
    settings
        ``mode``, ``effort``, ``by``, ``where``, as for ``Collection.search``. Without ``by`` these
        are passages, so a long document may be there more than once.
    """

    def __init__(self, collection: Collection, k: int = 3, **settings: Any) -> None:
        super().__init__()
        self.collection, self.k, self.settings = collection, k, {"by": "passage", **settings}

    def forward(
        self, query: str | Sequence[str], k: int | None = None
    ) -> dspy.Prediction | list[dspy.Prediction]:
        """Search; several queries give a list, a prediction for each.

        Returns
        -------
        dspy.Prediction
            Lists of the same length, best first: ``passages`` (their texts), ``ids`` of their
            documents, ``scores``, and ``metadata``, whose key ``"interlace"`` says where a passage
            stands: start and end in the document's text, file, line, page, headings.
        """
        k = self.k if k is None else k
        if isinstance(query, str):
            return _prediction(self.collection.search(query, k, **self.settings))
        return [
            _prediction(hits) for hits in self.collection.search_many(query, k, **self.settings)
        ]

    async def aforward(
        self, query: str | Sequence[str], k: int | None = None
    ) -> dspy.Prediction | list[dspy.Prediction]:
        """``forward`` in a thread."""
        return await asyncio.to_thread(self.forward, query, k)


class InterlaceRM:
    """A collection in the place of ``dspy.ColBERTv2``: ``dspy.configure(rm=InterlaceRM(notes))``.

    Parameters
    ----------
    collection : Collection
    settings
        As for ``InterlaceRetriever``. Without ``mode`` it is ``"late"``: scores are MaxSim.
    """

    def __init__(self, collection: Collection, **settings: Any) -> None:
        self.collection, self.settings = collection, {"by": "passage", "mode": "late", **settings}

    def __call__(self, query: str, k: int = 10, simplify: bool = False) -> list[Any]:
        """Search.

        Returns
        -------
        list of dotdict, or of str
            ``long_text``, ``text``, ``pid`` (the document's id), ``rank``, ``score`` and
            ``metadata`` of each passage; with ``simplify`` their texts alone.
        """
        hits = self.collection.search(query, k, **self.settings)
        if simplify:
            return [hit.text for hit in hits]
        return [
            dotdict(
                long_text=hit.text,
                text=hit.text,
                pid=hit.id,
                rank=hit.rank,
                score=hit.score,
                metadata=with_place(hit.metadata, hit),
            )
            for hit in hits
        ]


def _prediction(hits: Hits) -> dspy.Prediction:
    return dspy.Prediction(
        passages=[hit.text for hit in hits],
        ids=[hit.id for hit in hits],
        scores=[hit.score for hit in hits],
        metadata=[with_place(hit.metadata, hit) for hit in hits],
    )

"""The retriever and the compressor that RAGatouille's model gives LangChain."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from interlace.extras import need
from interlace.integrations.frameworks import PLACE

need("langchain_core.retrievers", extra="langchain")

from langchain_core.callbacks import CallbackManagerForRetrieverRun, Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.retrievers import BaseRetriever

__all__ = ["RAGatouilleLangChainCompressor", "RAGatouilleLangChainRetriever"]

#: What of a result the metadata say beside those of its document.
_TOLD = ("document_id", "passage_id", "rank", "score")


class RAGatouilleLangChainRetriever(BaseRetriever):
    """Calls ``model.search`` with ``kwargs``."""

    model: Any
    kwargs: dict[str, Any] = {}  # noqa: RUF012 (pydantic copies it)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        return [
            Document(
                page_content=one["content"],
                metadata={
                    **one.get("document_metadata", {}),
                    PLACE: {name: one[name] for name in _TOLD},
                },
            )
            for one in self.model.search(query, **self.kwargs)
        ]


class RAGatouilleLangChainCompressor(BaseDocumentCompressor):
    """Calls ``model.rerank`` with ``kwargs``, and keeps the best ``k``."""

    model: Any
    kwargs: dict[str, Any] = {}  # noqa: RUF012
    k: int = 5

    def compress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """The documents, best first, with the score as ``relevance_score`` in their metadata."""
        texts = [one.page_content for one in documents]
        best = self.model.rerank(query, texts, kwargs.get("k", self.k), **self.kwargs)
        return [_scored(documents[one["result_index"]], one["score"]) for one in best]


def _scored(document: Document, score: float) -> Document:
    metadata = {**deepcopy(document.metadata), "relevance_score": score}
    return Document(id=document.id, page_content=document.page_content, metadata=metadata)

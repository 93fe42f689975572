"""LangChain: a collection as vector store and retriever, MaxSim as document compressor."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any, NoReturn, Self

from interlace import types
from interlace.collection import Collection, rerank
from interlace.errors import InputError
from interlace.extras import need
from interlace.integrations.frameworks import (
    collection_at,
    loaded,
    own_ids,
    with_place,
    without_place,
)
from interlace.store import Where
from interlace.types import Hit, Hits

need("langchain_core.vectorstores", extra="langchain")

from langchain_core.callbacks import CallbackManagerForRetrieverRun, Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import run_in_executor
from langchain_core.vectorstores import VectorStore
from pydantic import ConfigDict

__all__ = ["InterlaceCompressor", "InterlaceRetriever", "InterlaceVectorStore"]


class InterlaceVectorStore(VectorStore):
    """A collection as LangChain's vector store.

    Texts go in and passages come out, each with the id of its document. Searches take what
    ``Collection.search`` takes (``mode``, ``effort``, ``by``, ``ids``), and as ``filter`` what is
    ``where`` there. By default they find passages, so a long text may be there more than once.

    Parameters
    ----------
    collection : Collection
        Made or opened with ``interlace.create`` or ``interlace.open``.
    places : bool
        Whether a result's metadata say under ``"interlace"`` where it stands: score, start and end
        in the document's text, file, page, headings. Without them documents come back exactly as
        they were added.
    """

    def __init__(self, collection: Collection, *, places: bool = True) -> None:
        self.collection, self._places = collection, places

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Any = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        path: str | os.PathLike[str] | None = None,
        places: bool = True,
        **kwargs: Any,
    ) -> Self:
        """Add texts to the collection at a path, which is made where there is none.

        Parameters
        ----------
        texts, metadatas, ids
            As for ``add_texts``.
        embedding
            A late-interaction model, as ``interlace.create`` takes it; None is ``"mini"``.
        path
            The collection's folder; it must be given.
        places
            As for the class.

        Raises
        ------
        InputError
            Without a path; and for LangChain's embeddings, which give one vector a text and not
            one a token.
        """
        if path is None:
            raise InputError("a collection needs a folder: path. Pass path='notes.lace'.")
        if isinstance(embedding, Embeddings):
            raise InputError(
                "late interaction has a vector for each token, LangChain's embeddings have one for "
                f"a text: {type(embedding).__name__}. Pass None, or a model as interlace.create "
                "takes it."
            )
        store = cls(collection_at(path, embedding), places=places)
        store.add_texts(texts, metadatas, ids=ids, **kwargs)
        return store

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Add texts; an id that is there is replaced, and what is unchanged not encoded again.

        A text without id is known by a hash of it and its metadata, so adding it again changes
        nothing. ``batch_size``, which LangChain's indexing passes, is not needed here: batches
        are found by their tokens. What else is passed goes to ``Collection.add``.

        Returns
        -------
        list of str
            The ids, in the order of the texts.

        Raises
        ------
        InputError
            Unless there are as many metadata, and ids, as texts; and as ``Collection.add``.
        """
        texts = list(texts)
        metadatas, ids = metadatas or [{}] * len(texts), ids or [None] * len(texts)
        for name, given in (("metadatas", metadatas), ("ids", ids)):
            if len(given) != len(texts):
                raise InputError(
                    f"{len(texts)} texts but {len(given)} {name}. Pass one for each text, or none."
                )
        described = [without_place(one or {}) for one in metadatas]
        named = [
            id_ or _identify(text, metadata)
            for id_, text, metadata in zip(ids, texts, described, strict=True)
        ]
        stored = zip(own_ids(self.collection, named), texts, described, strict=True)
        self.collection.add([types.Document(text, id_, one) for id_, text, one in stored], **kwargs)
        return named

    def delete(
        self,
        ids: list[str] | None = None,
        *,
        filter: Where | None = None,  # noqa: A002 (LangChain's name)
        **kwargs: Any,
    ) -> bool:
        """Delete documents by id, or those that match a filter; without either, all of them.

        Ids that are not there are passed over; with ``missing="error"`` they are refused. So are
        ids and a filter together.
        """
        own: Iterable[types.Id] | None = None if ids is None else own_ids(self.collection, ids)
        if own is None and filter is None:
            own = self.collection.ids()
        self.collection.delete(own, where=filter, **kwargs)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """The documents that are there, whole, in the order asked for."""
        found = self.collection.get(own_ids(self.collection, ids), missing="ignore")
        return [
            Document(id=str(one.id), page_content=one.text, metadata=deepcopy(dict(one.metadata)))
            for one in found
        ]

    def similarity_search(
        self,
        query: str,
        k: int = 4,
        filter: Where | None = None,  # noqa: A002
        **kwargs: Any,
    ) -> list[Document]:
        """The ``k`` passages that best match a query; arguments are those of the class."""
        return [self._document(hit) for hit in self._hits(query, k, filter, **kwargs)]

    def similarity_search_with_score(
        self,
        query: str,
        k: int = 4,
        filter: Where | None = None,  # noqa: A002
        **kwargs: Any,
    ) -> list[tuple[Document, float]]:
        """``similarity_search`` with the score that orders the list; more is better."""
        hits = self._hits(query, k, filter, **kwargs)
        return [(self._document(hit), hit.score) for hit in hits]

    def _similarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """With the mean cosine of a query token, which may be compared between queries."""
        found = []
        for hit in self._hits(query, k, **kwargs):
            if hit.mean_score is None:
                raise InputError(
                    "words alone have no relevance between 0 and 1: mode='lexical'. "
                    "Use similarity_search_with_score, or mode='hybrid'."
                )
            found.append((self._document(hit), max(0.0, hit.mean_score)))
        return found

    async def _asimilarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        return await run_in_executor(
            None, self._similarity_search_with_relevance_scores, query, k, **kwargs
        )

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, **kwargs: Any
    ) -> NoReturn:
        """Refused: a query has a vector for each token."""
        raise InputError(
            "late interaction has no single vector of a query. Pass the text to similarity_search, "
            "or a matrix to collection.search(embeddings=…)."
        )

    def max_marginal_relevance_search(self, query: str, *_: Any, **__: Any) -> NoReturn:
        """Refused: documents have no single vectors to be compared by."""
        raise InputError(
            "maximal marginal relevance compares single vectors of documents, and there are none. "
            "Use search_type='similarity', with by='document' if one passage of each will do."
        )

    def max_marginal_relevance_search_by_vector(
        self, embedding: list[float], *_: Any, **__: Any
    ) -> NoReturn:
        """Refused, as ``similarity_search_by_vector`` is."""
        self.similarity_search_by_vector(embedding)

    def _hits(
        self,
        query: str,
        k: int = 4,
        filter: Where | None = None,  # noqa: A002
        by: str = "passage",
        **kwargs: Any,
    ) -> Hits:
        return self.collection.search(query, k, by=by, where=filter, **kwargs)

    def _document(self, hit: Hit) -> Document:
        found = _found(hit)
        if not self._places:
            found.metadata = without_place(found.metadata)
        return found


class InterlaceRetriever(BaseRetriever):
    """A collection as LangChain's retriever; what it finds says where it stands, and its score.

    Attributes
    ----------
    collection : Collection
    k : int
        How many passages; each setting may be given anew to ``invoke``.
    filter : mapping or str, optional
        What is ``where`` in ``Collection.search``.
    by, mode, effort
        As for ``Collection.search``; ``by="document"`` gives the best passage of each document.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    collection: Collection
    k: int = 4
    filter: Any = None
    by: str = "passage"
    mode: str | None = None
    effort: Any = None

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        **kwargs: Any,
    ) -> list[Document]:
        wanted = {name: getattr(self, name) for name in ("k", "filter", "by", "mode", "effort")}
        wanted |= kwargs
        where = wanted.pop("filter")
        return [_found(hit) for hit in self.collection.search(query, where=where, **wanted)]


class InterlaceCompressor(BaseDocumentCompressor):
    """Orders documents by MaxSim, for a ``ContextualCompressionRetriever``; nothing is stored.

    Attributes
    ----------
    model
        As for ``interlace.rerank``; a name is loaded once.
    top_n : int, optional
        How many documents are kept; all by default.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    model: Any = "mini"
    top_n: int | None = None

    def model_post_init(self, _: Any) -> None:
        """Load the model that has only a name."""
        self.model = loaded(self.model)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """The documents, best first, whole and with their own ids and metadata.

        Under ``"interlace"`` the metadata say the score and where the best passage stands; and, as
        LangChain's other compressors do, under ``"relevance_score"`` the mean cosine.
        """
        if not documents:
            return []
        hits = rerank(query, [one.page_content for one in documents], self.top_n, self.model)
        return [_ordered(documents[int(hit.id)], hit) for hit in hits]


def _found(hit: Hit) -> Document:
    metadata = with_place(hit.metadata, hit)
    return Document(id=str(hit.id), page_content=hit.text, metadata=metadata)


def _ordered(document: Document, hit: Hit) -> Document:
    metadata = with_place(document.metadata, hit)
    metadata["relevance_score"] = hit.mean_score
    return Document(id=document.id, page_content=document.page_content, metadata=metadata)


def _identify(text: str, metadata: dict[str, Any]) -> str:
    """The id of a text that has none; of two pages with the same text there are two."""
    told = json.dumps([text, metadata], sort_keys=True, default=str)
    return hashlib.sha256(told.encode()).hexdigest()[:16]

"""PyLate's index, retriever, reranker and model on interlace, for code with another import line.

Compared with PyLate 1.6. An index is a collection without a model.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, TypedDict

import numpy as np

from interlace.collection import Collection, maxsim
from interlace.errors import InputError, SettingsError
from interlace.integrations.named import filling, is_there, opened
from interlace.models import Encoder
from interlace.types import FloatMatrix, Id

__all__ = ["PLAID", "ColBERT", "Retriever", "indexes", "models", "rank", "rerank", "retrieve"]


class RerankResult(TypedDict):
    """A document and its score, MaxSim."""

    id: Id
    score: float


class ColBERT:
    """``models.ColBERT``: a model that runs without PyTorch where it can.

    A model of PyLate's own does as well: its arrays are taken by everything else here.

    Parameters
    ----------
    model_name_or_path
        As for ``Encoder.load``; ``"mini"`` is built in.
    kwargs
        Others of ``Encoder.load``: ``device``, ``revision``, ``token``, ``trust_remote_code``.
    """

    def __init__(self, model_name_or_path: str | os.PathLike[str] = "mini", **kwargs: Any) -> None:
        self._encoder = Encoder.load(model_name_or_path, **kwargs)

    def encode(
        self,
        sentences: Any,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        is_query: bool = True,
        pool_factor: int = 1,
    ) -> Any:
        """Encode queries, or documents with ``is_query=False``.

        Parameters
        ----------
        sentences
            A text, a list of texts, or a list of such lists.
        batch_size, show_progress_bar
            Change nothing.
        is_query
            Whether they are queries.
        pool_factor
            1: a collection pools what is added to it, ``interlace.create(…, pool_factor=2)``.

        Returns
        -------
        ``(n_tokens, dim)`` float32, a list of them, or a list of such lists
            As ``sentences``.
        """
        if pool_factor != 1:
            raise SettingsError(
                f"pool_factor is {pool_factor!r}: encode pools nothing. "
                "Let a collection do it: interlace.create(…, pool_factor=2)."
            )
        if isinstance(sentences, str):
            return self.encode([sentences], is_query=is_query)[0]
        if sentences and not isinstance(sentences[0], str):
            return [self.encode(some, is_query=is_query) for some in sentences]
        encoder = self._encoder
        return (encoder.encode_query if is_query else encoder.encode_document)(sentences)


class PLAID:
    """``indexes.PLAID``: token embeddings on disk, by the ids of documents.

    Parameters
    ----------
    index_folder, index_name
        The collection is ``index_folder/index_name``; it is made when the first documents come.
    override
        Whether to begin anew; what was there stays until then.
    nbits
        1, 2 or 4.
    settings
        Others of PyLate's, such as ``n_ivf_probe`` and ``device``, which change nothing.
    """

    is_end_to_end_index: Final = True

    def __init__(
        self,
        index_folder: str | os.PathLike[str] = "indexes",
        index_name: str = "colbert",
        override: bool = False,
        use_fast: bool = True,
        nbits: int = 4,
        **settings: Any,
    ) -> None:
        self._path, self._bits = Path(index_folder) / index_name, nbits
        self._overrides = override
        self._begins_anew = override or not is_there(self._path)
        self._opened: Collection | None = None

    def add_documents(
        self, documents_ids: Id | Iterable[Id], documents_embeddings: Any, **kwargs: Any
    ) -> PLAID:
        """Add documents, as one commit; those whose id is there are replaced.

        Parameters
        ----------
        documents_ids
            An id, str or int, or one for each.
        documents_embeddings
            ``(n_tokens, dim)`` for each: arrays or tensors.

        Raises
        ------
        InputError
            For other numbers of both, and embeddings that cannot be stored.
        """
        ids = _ids(documents_ids)
        matrices = _matrices(documents_embeddings)
        if len(ids) != len(matrices):
            raise InputError(
                f"{len(ids)} documents_ids, but {len(matrices)} documents_embeddings. "
                "Pass one of each for each document."
            )
        if not ids:
            return self
        records = [{"id": id_} for id_ in ids]
        if self._begins_anew:
            dim = int(matrices[0].shape[-1])
            with filling(self._path, self._overrides, None, dim=dim, bits=self._bits) as made:
                made.add(records, embeddings=matrices)
            self._begins_anew = False
        else:
            with self._collection().writer() as changes:
                changes.add(records, embeddings=matrices)
        return self

    def update_documents(
        self, documents_ids: Id | Iterable[Id], documents_embeddings: Any
    ) -> PLAID:
        """As :meth:`add_documents`."""
        return self.add_documents(documents_ids, documents_embeddings)

    def remove_documents(self, documents_ids: Id | Iterable[Id]) -> PLAID:
        """Remove documents; unknown ids are let be."""
        self._collection().delete(_ids(documents_ids))
        return self

    def __call__(
        self,
        queries_embeddings: Any,
        k: int = 10,
        subset: Sequence[Id] | Sequence[Sequence[Id]] | None = None,
    ) -> list[list[RerankResult]]:
        """The documents that best match each query.

        Parameters
        ----------
        queries_embeddings
            ``(q_tokens, dim)`` for each query; one such array is one query.
        k
            How many; all where there are fewer.
        subset
            Only these ids, or those for each query; ids that are not there are let be.

        Raises
        ------
        InputError
            When nothing was ever added, and for embeddings of another width.
        """
        found, queries = self._collection(), _matrices(queries_embeddings)
        subsets: Any = subset.tolist() if isinstance(subset, np.ndarray) else subset
        if not subsets or isinstance(subsets[0], str | int):
            runs = found.search_many(embeddings=queries, k=k, ids=subsets, missing="ignore")
        else:
            if len(subsets) != len(queries):
                raise InputError(
                    f"{len(subsets)} subsets for {len(queries)} queries. Pass one for each."
                )
            runs = [
                found.search(embeddings=query, k=k, ids=some, missing="ignore")
                for query, some in zip(queries, subsets, strict=True)
            ]
        return [[{"id": hit.id, "score": hit.score} for hit in hits] for hits in runs]

    def _collection(self) -> Collection:
        if self._begins_anew:
            raise InputError(f"the index is empty: {self._path}. Add documents first.")
        if self._opened is None:
            self._opened = opened(self._path)
        return self._opened


class Retriever:
    """``retrieve.ColBERT``: searches an index."""

    def __init__(self, index: PLAID) -> None:
        self.index = index

    def retrieve(
        self,
        queries_embeddings: Any,
        k: int = 10,
        k_token: int | None = None,
        device: str | None = None,
        batch_size: int | None = None,
        subset: Sequence[Id] | Sequence[Sequence[Id]] | None = None,
    ) -> list[list[RerankResult]]:
        """As a call of the index; ``k_token``, ``device`` and ``batch_size`` change nothing."""
        return self.index(queries_embeddings, k=k, subset=subset)


def rerank(
    documents_ids: Sequence[Sequence[Id]],
    queries_embeddings: Any,
    documents_embeddings: Any,
    device: str | None = None,
) -> list[list[RerankResult]]:
    """``rank.rerank``: order documents, for each query its own.

    Parameters
    ----------
    documents_ids
        For each query the ids of its documents.
    queries_embeddings
        ``(q_tokens, dim)`` for each query.
    documents_embeddings
        For each query the ``(n_tokens, dim)`` of its documents.
    device
        Changes nothing.

    Returns
    -------
    list of list of dict
        For each query ``id`` and ``score``, best first, equal scores in the order given.

    Raises
    ------
    InputError
        For lists of different lengths, and embeddings that cannot be compared.
    """
    queries = _matrices(queries_embeddings)
    if not len(queries) == len(documents_ids) == len(documents_embeddings):
        raise InputError(
            f"{len(queries)} queries_embeddings, {len(documents_ids)} documents_ids, "
            f"{len(documents_embeddings)} documents_embeddings. Pass one of each for each query."
        )
    results: list[list[RerankResult]] = []
    for i, (query, ids, given) in enumerate(
        zip(queries, documents_ids, documents_embeddings, strict=True)
    ):
        matrices = _matrices(given)
        if len(ids) != len(matrices):
            raise InputError(
                f"{len(ids)} documents_ids, but {len(matrices)} documents_embeddings: query {i}. "
                "Pass one of each for each document."
            )
        scores = maxsim(query, matrices)
        order = (-scores).argsort(kind="stable").tolist()
        results.append([{"id": ids[j], "score": float(scores[j])} for j in order])
    return results


def _ids(given: Id | Iterable[Id]) -> list[Id]:
    return [given] if isinstance(given, str | int) else list(given)


def _matrices(given: Any) -> list[FloatMatrix]:
    """A matrix for each text; one alone is a list of one."""
    return [given] if getattr(given, "ndim", 3) == 2 else list(given)


#: PyLate's modules, as its code names them.
indexes: Final = SimpleNamespace(PLAID=PLAID)
models: Final = SimpleNamespace(ColBERT=ColBERT)
rank: Final = SimpleNamespace(rerank=rerank)
retrieve: Final = SimpleNamespace(ColBERT=Retriever)

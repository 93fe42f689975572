"""RAGatouille's ``RAGPretrainedModel`` on interlace: its code runs with another import line.

Compared with RAGatouille 0.0.9. Each passage of an index is a document of a collection under its
``passage_id``, a whole number; its metadata say which document it is of.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Final, Self, TypeAlias
from uuid import uuid4

import numpy as np

from interlace.collection import Collection, Inside, maxsim
from interlace.errors import InputError
from interlace.integrations.frameworks import stored
from interlace.integrations.named import filling, is_there, opened
from interlace.models import Encoder
from interlace.text import Splitting, split
from interlace.types import Document, FloatMatrix, Hit, Id

__all__ = ["CorpusProcessor", "RAGPretrainedModel", "llama_index_sentence_splitter"]

#: A passage of an index: its ``content``, and the ``document_id`` of what it is of.
Chunk: TypeAlias = dict[str, Any]
Splitter: TypeAlias = Callable[..., Any]

_PASSAGE_TOKENS: Final = 256


def llama_index_sentence_splitter(
    documents: Sequence[str], document_ids: Sequence[Id], chunk_size: int = _PASSAGE_TOKENS
) -> list[Chunk]:
    """Cut texts between paragraphs and sentences into pieces of ``chunk_size`` tokens at most.

    The name is RAGatouille's; LlamaIndex has no part in it, and pieces do not overlap. Tokens are
    those of the built-in model.
    """
    return _cut(documents, document_ids, chunk_size, Encoder.load("mini"))


class RAGPretrainedModel:
    """A late-interaction model, and the index that it searches.

    Made by :meth:`from_pretrained` and :meth:`from_index`. Arguments that tell RAGatouille how to
    use a GPU, or how much to print, are taken and change nothing.
    """

    def __init__(self, encoder: Encoder, folder: Path, index_name: str | None = None) -> None:
        self._encoder, self._folder, self._name = encoder, folder, index_name
        self._opened: dict[Path, Collection] = {}
        self._in_memory = _InMemory(encoder)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str] | Encoder,
        n_gpu: int = -1,
        verbose: int = 1,
        index_root: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Load a model by name or folder; indexes are below ``index_root``, or ``.ragatouille``.

        Raises
        ------
        CheckpointError
            When there is no such model, or it cannot be read.
        """
        model = pretrained_model_name_or_path
        encoder = model if isinstance(model, Encoder) else Encoder.load(model)
        return cls(encoder, Path(index_root or ".ragatouille") / "colbert" / "indexes")

    @classmethod
    def from_index(
        cls, index_path: str | os.PathLike[str], n_gpu: int = -1, verbose: int = 1
    ) -> Self:
        """Open an index, or any collection that has a model, with its model.

        Raises
        ------
        InputError
            When it is an index that RAGatouille itself has made; the message says how to convert
            it.
        NotACollection
            When there is none.
        CollectionError
            When its model cannot be loaded by a name.
        """
        path = Path(index_path)
        with opened(path) as found:
            encoder = Inside(found).encoder()
        return cls(encoder, path.parent, path.name)

    # --- an index ------------------------------------------------------------------------------
    def index(
        self,
        collection: Sequence[str],
        document_ids: Sequence[Id] | None = None,
        document_metadatas: Sequence[Mapping[str, Any]] | None = None,
        index_name: str | None = None,
        overwrite_index: bool | str = True,
        max_document_length: int = _PASSAGE_TOKENS,
        split_documents: bool = True,
        document_splitter_fn: Splitter | None = llama_index_sentence_splitter,
        preprocessing_fn: Splitter | Sequence[Splitter] | None = None,
        bsize: int = 32,
        use_faiss: bool = False,
    ) -> str:
        """Make an index of documents; returns its path, where it is a collection.

        Parameters
        ----------
        collection
            The texts.
        document_ids
            One for each, str or int; random ones by default.
        document_metadatas
            A mapping for each, of anything that JSON can hold.
        index_name
            By default the model's name with ``new_index`` after it.
        overwrite_index
            Whether an index of that name is replaced, once the new one is complete.
        max_document_length
            Tokens of a passage, at most; never more than the model reads. What is longer is cut.
        split_documents
            Whether documents are cut before ``preprocessing_fn`` sees them.
        document_splitter_fn, preprocessing_fn
            As for :class:`CorpusProcessor`; by default cut between paragraphs and sentences, by
            the tokens of this model.

        Raises
        ------
        InputError
            For lists of different lengths, and ids that are blank or come twice, before anything
            is encoded. An index of that name stays as it was.
        CollectionError
            When the name is taken, with ``overwrite_index=False``.
        """
        texts = _texts(collection)
        ids, metadata = _identified(texts, document_ids, document_metadatas)
        name = index_name or f"{Path(self._encoder.name).name}new_index"
        path = self._folder / name
        if overwrite_index != "reuse" or not is_there(path):
            tokens = self._passage_tokens(max_document_length)
            splitter = self._splitter(document_splitter_fn, tokens) if split_documents else None
            chunks = _chunks(texts, ids, splitter, preprocessing_fn, chunk_size=max_document_length)
            if path in self._opened:
                self._opened.pop(path).close()
            with filling(path, overwrite_index, self._encoder, passage_tokens=tokens) as made:
                made.add(_records(chunks, metadata, 0))
        self._name = name
        return str(path)

    def add_to_index(
        self,
        new_collection: Sequence[str],
        new_document_ids: Sequence[Id] | None = None,
        new_document_metadatas: Sequence[Mapping[str, Any]] | None = None,
        index_name: str | None = None,
        split_documents: bool = True,
        document_splitter_fn: Splitter | None = llama_index_sentence_splitter,
        preprocessing_fn: Splitter | Sequence[Splitter] | None = None,
        bsize: int = 32,
        use_faiss: bool = False,
    ) -> None:
        """Add documents to an index, as one commit; those whose id it has are left out.

        Parameters and errors are those of :meth:`index`.
        """
        texts = _texts(new_collection)
        ids, metadata = _identified(texts, new_document_ids, new_document_metadatas)
        found = self._collection(index_name)
        tokens = found.info()["passage_tokens"] or self._encoder.document_length
        splitter = self._splitter(document_splitter_fn, tokens) if split_documents else None
        chunks = _chunks(texts, ids, splitter, preprocessing_fn, chunk_size=tokens)
        with found.writer() as changes:  # nobody else takes these numbers
            known = _known(found, ids)
            new = [chunk for chunk in chunks if chunk["document_id"] not in known]
            numbers = (number for number in found.ids() if isinstance(number, int))
            changes.add(_records(new, metadata, max(numbers, default=-1) + 1))

    def delete_from_index(
        self, document_ids: Id | Sequence[Id], index_name: str | None = None
    ) -> None:
        """Delete documents from an index, with all their passages; unknown ids are let be."""
        ids = [document_ids] if isinstance(document_ids, str | int) else document_ids
        found = self._collection(index_name)
        found.delete(**_only(found, ids))

    def search(
        self,
        query: str | Sequence[str],
        index_name: str | None = None,
        k: int = 10,
        force_fast: bool = False,
        zero_index_ranks: bool = False,
        doc_ids: Sequence[Id] | None = None,
    ) -> list[Any]:
        """The passages that best match a query, or each of a list of queries.

        Parameters
        ----------
        query
            A text, or texts.
        index_name
            Another index beside the one that was made or opened last, which it becomes.
        k
            How many; all where there are fewer.
        force_fast
            ``effort="fast"``.
        zero_index_ranks
            Whether ranks count from 0 instead of 1.
        doc_ids
            Only passages of these documents; ids that are not there are let be.

        Returns
        -------
        list of dict, or a list of such lists where ``query`` is a list
            Best first: ``content``, ``score`` (MaxSim), ``rank``, ``document_id``, ``passage_id``,
            and ``document_metadata`` where the document has some.

        Raises
        ------
        InputError
            When there is no index yet.
        """
        found = self._collection(index_name)
        only = {} if doc_ids is None else _only(found, doc_ids)
        queries = [query] if isinstance(query, str) else list(query)
        effort = "fast" if force_fast else None
        runs = found.search_many(queries, k, mode="late", effort=effort, **only)
        results = [_results(found, hits, 0 if zero_index_ranks else 1) for hits in runs]
        return results[0] if isinstance(query, str) else results

    # --- without an index ----------------------------------------------------------------------
    def rerank(
        self,
        query: str | Sequence[str],
        documents: Sequence[str],
        k: int = 10,
        zero_index_ranks: bool = False,
        bsize: int | str = "auto",
    ) -> list[Any]:
        """Order texts by how well they match a query, or each of a list of queries.

        Returns
        -------
        list of dict, or a list of such lists where ``query`` is a list
            Best first, ``k`` at most: ``content``, ``score``, ``rank`` from 1 or 0, and
            ``result_index``, the place in ``documents``.
        """
        beside = _InMemory(self._encoder)
        beside.add(documents, None, self._encoder.document_length)
        return beside.search(query, k, 0 if zero_index_ranks else 1)

    def encode(
        self,
        documents: Sequence[str],
        bsize: int | str = "auto",
        document_metadatas: Sequence[Mapping[str, Any]] | None = None,
        verbose: bool = True,
        max_document_length: int | str = "auto",
    ) -> None:
        """Encode texts and keep them in memory, beside those that are there.

        ``max_document_length`` bounds the tokens of a passage, as for :meth:`index`.
        """
        is_auto = max_document_length == "auto"
        tokens = self._encoder.document_length if is_auto else int(max_document_length)
        self._in_memory.add(documents, document_metadatas, self._passage_tokens(tokens))

    def search_encoded_docs(
        self, query: str | Sequence[str], k: int = 10, bsize: int = 32
    ) -> list[Any]:
        """Search what :meth:`encode` has kept.

        Returns
        -------
        list of dict, or a list of such lists where ``query`` is a list
            As of :meth:`rerank`, and ``document_metadata`` where metadata were given.

        Raises
        ------
        InputError
            When nothing is kept.
        """
        if not self._in_memory.documents:
            raise InputError("nothing is encoded: search_encoded_docs. Call encode first.")
        return self._in_memory.search(query, k, 1)

    def clear_encoded_docs(self, force: bool = False) -> None:
        """Let go of what :meth:`encode` has kept, at once."""
        self._in_memory = _InMemory(self._encoder)

    # --- LangChain -----------------------------------------------------------------------------
    def as_langchain_retriever(self, **kwargs: Any) -> Any:
        """A LangChain retriever that calls :meth:`search` with these arguments.

        What it finds has the metadata of its document, and under ``"interlace"`` what
        :meth:`search` says beside them.

        Raises
        ------
        MissingExtra
            Without the extra ``langchain``.
        """
        from interlace.integrations.ragatouille_langchain import RAGatouilleLangChainRetriever

        return RAGatouilleLangChainRetriever(model=self, kwargs=kwargs)

    def as_langchain_document_compressor(self, k: int = 5, **kwargs: Any) -> Any:
        """A LangChain document compressor that calls :meth:`rerank`, and keeps the best ``k``.

        It copies the documents, and puts ``relevance_score`` into their metadata.

        Raises
        ------
        MissingExtra
            Without the extra ``langchain``.
        """
        from interlace.integrations.ragatouille_langchain import RAGatouilleLangChainCompressor

        return RAGatouilleLangChainCompressor(model=self, k=k, kwargs=kwargs)

    # --- within --------------------------------------------------------------------------------
    def _collection(self, index_name: str | None) -> Collection:
        name = index_name or self._name
        if name is None:
            raise InputError("no index yet: index_name. Call index, or pass the name of one.")
        path = self._folder / name
        if path not in self._opened:
            self._opened[path] = opened(path, self._encoder)
        self._name = name
        return self._opened[path]

    def _passage_tokens(self, wanted: int) -> int:
        longest = self._encoder.document_length
        if wanted > max(longest, _PASSAGE_TOKENS):
            warnings.warn(
                f"max_document_length is {wanted}, but the model reads {longest} tokens: longer "
                "texts are cut into passages of that length.",
                UserWarning,
                stacklevel=3,
            )
        return min(wanted, longest)

    def _splitter(self, given: Splitter | None, tokens: int) -> Splitter | None:
        if given is not llama_index_sentence_splitter:
            return given
        return lambda texts, ids, **_: _cut(texts, ids, tokens, self._encoder)


class CorpusProcessor:
    """Cuts documents into passages, and passes them through functions of yours.

    Parameters
    ----------
    document_splitter_fn
        From texts, ids and ``chunk_size`` to passages: mappings with ``document_id`` and
        ``content``. None leaves documents whole.
    preprocessing_fn
        From passages (texts, where nothing is cut) and ids to passages; or several, in turn.
    """

    def __init__(
        self,
        document_splitter_fn: Splitter | None = llama_index_sentence_splitter,
        preprocessing_fn: Splitter | Sequence[Splitter] | None = None,
    ) -> None:
        self.document_splitter_fn = document_splitter_fn
        self.preprocessing_fn = preprocessing_fn

    def process_corpus(
        self,
        documents: Sequence[str],
        document_ids: Sequence[Id] | None = None,
        **splitter_kwargs: Any,
    ) -> list[Chunk]:
        """The passages of documents, which get random ids where none are given.

        ``splitter_kwargs``, such as ``chunk_size``, are for ``document_splitter_fn``.
        """
        texts = _texts(documents)
        ids, _ = _identified(texts, document_ids, None)
        functions = self.document_splitter_fn, self.preprocessing_fn
        return _chunks(texts, ids, *functions, **splitter_kwargs)


class _InMemory:
    """Texts that are encoded and searched without an index."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.documents: list[str] = []
        self._metadata: list[dict[str, Any] | None] = []
        self._matrices: list[FloatMatrix] = []
        self._owners: list[int] = []

    def add(
        self,
        documents: Sequence[str],
        metadata: Sequence[Mapping[str, Any]] | None,
        tokens: int,
    ) -> None:
        texts = _texts(documents)
        _check_length("document_metadatas", metadata, texts)
        first = len(self.documents)
        pieces = _cut(texts, range(first, first + len(texts)), tokens, self._encoder)
        self._matrices += self._encoder.encode_document(piece["content"] for piece in pieces)
        self._owners += [piece["document_id"] for piece in pieces]
        self.documents += texts
        self._metadata += (
            [None] * len(texts) if metadata is None else deepcopy([*map(dict, metadata)])
        )

    def search(self, query: str | Sequence[str], k: int, first: int) -> list[Any]:
        queries = [query] if isinstance(query, str) else list(query)
        results = [self._ranked(one, k, first) for one in self._encoder.encode_query(queries)]
        return results[0] if isinstance(query, str) else results

    def _ranked(self, query: FloatMatrix, k: int, first: int) -> list[dict[str, Any]]:
        if k < 1:
            raise InputError(f"k is {k!r}. It must be at least 1.")
        if not len(query) or not self.documents:
            return []
        scores = np.full(len(self.documents), -np.inf, np.float32)
        np.maximum.at(scores, self._owners, maxsim(query, self._matrices))
        has_metadata = any(one is not None for one in self._metadata)
        results = []
        for rank, i in enumerate(np.argsort(-scores, kind="stable")[:k].tolist(), first):
            result = {
                "content": self.documents[i],
                "score": float(scores[i]),
                "rank": rank,
                "result_index": i,
            }
            if has_metadata:
                result["document_metadata"] = deepcopy(self._metadata[i])
            results.append(result)
        return results


# --- documents and passages ----------------------------------------------------------------------
def _texts(documents: Sequence[str]) -> list[str]:
    if isinstance(documents, str):
        raise InputError("documents must be a list of texts: got one text. Write [text].")
    texts = list(documents)
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"no text but {type(text).__name__}: document {i}. Pass strings.")
    return texts


def _check_length(name: str, values: Sequence[Any] | None, texts: Sequence[str]) -> None:
    if values is not None and len(values) != len(texts):
        raise InputError(
            f"{len(values)} for {len(texts)} documents: {name}. Pass one for each document."
        )


def _identified(
    texts: Sequence[str],
    ids: Sequence[Id] | None,
    metadata: Sequence[Mapping[str, Any]] | None,
) -> tuple[list[Id], dict[Id, Mapping[str, Any]]]:
    """The ids of documents, and the metadata by id."""
    _check_length("document_ids", ids, texts)
    _check_length("document_metadatas", metadata, texts)
    named: list[Id] = [str(uuid4()) for _ in texts] if ids is None else list(ids)
    if len(set(named)) != len(named):
        raise InputError("an id comes twice: document_ids. Give each document its own.")
    if any(isinstance(id_, str) and not id_.strip() for id_ in named):
        raise InputError("an id is blank: document_ids. Give each document a name or a number.")
    return named, dict(zip(named, metadata or [], strict=bool(metadata)))


def _cut(documents: Iterable[str], ids: Iterable[Id], tokens: int, encoder: Encoder) -> list[Chunk]:
    """Cut texts as a collection cuts them."""
    splitting = Splitting(tokens_max=tokens)
    return [
        {"document_id": id_, "content": passage.text}
        for text, id_ in zip(documents, ids, strict=True)
        for passage in split(Document(text, id=id_), splitting, encoder.spans)
    ]


def _chunks(
    texts: list[str],
    ids: list[Id],
    splitter: Splitter | None,
    preprocessing: Splitter | Sequence[Splitter] | None,
    **options: Any,
) -> list[Chunk]:
    """The passages of documents, by functions of the user's."""
    some: Any = texts if splitter is None else splitter(texts, ids, **options)
    functions = [preprocessing] if callable(preprocessing) else list(preprocessing or [])
    for function in functions:
        some = function(some, ids)
    if all(isinstance(one, str) for one in some) and len(some) == len(ids):
        some = [{"document_id": id_, "content": one} for id_, one in zip(ids, some, strict=True)]
    known = set(ids)
    for i, one in enumerate(some):
        if not isinstance(one, Mapping) or not {"document_id", "content"} <= one.keys():
            raise InputError(
                f"no passage: {one!r:.80}, item {i} of what the function made. "
                "Return mappings with document_id and content."
            )
        if one["document_id"] not in known:
            raise InputError(
                f"a passage of no document: {one['document_id']!r}, item {i} of what the function "
                "made. Keep the ids that it was given."
            )
    return [dict(one) for one in some]


def _records(
    chunks: Iterable[Chunk], metadata: Mapping[Id, Mapping[str, Any]], first: int
) -> Iterable[dict[str, Any]]:
    for number, chunk in enumerate(chunks, first):
        id_ = chunk["document_id"]
        about = {"document_metadata": dict(metadata[id_])} if id_ in metadata else {}
        yield {
            "id": number,
            "text": chunk["content"],
            "metadata": {"document_id": id_, **about},
        }


# --- passages in a collection --------------------------------------------------------------------
def _only(found: Collection, document_ids: Iterable[Id]) -> dict[str, Any]:
    """What picks the passages of documents, for ``search_many`` and ``delete``.

    In a collection that was made elsewhere they are the documents themselves.
    """
    wanted = list(document_ids)
    some = next(iter(found.ids()), None)
    if wanted and some is not None and "document_id" in found.get([some])[0].metadata:
        return {"where": {"document_id": wanted}}
    return {"ids": wanted, "missing": "ignore"}


def _known(found: Collection, document_ids: Iterable[Id]) -> set[Id]:
    """Which documents are there."""
    only = _only(found, document_ids)
    passages = found.ids(only["where"]) if "where" in only else only["ids"]
    return {one.metadata.get("document_id", one.id) for one in stored(found, passages)}


def _results(found: Collection, hits: Sequence[Hit], first: int) -> list[dict[str, Any]]:
    # Of a passage that the model reads in pieces, a hit has the best.
    texts = {one.id: one.text for one in found.get([hit.id for hit in hits], missing="ignore")}
    results = []
    for rank, hit in enumerate(hits, first):
        result = {
            "content": texts.get(hit.id, hit.text),
            "score": hit.score,
            "rank": rank,
            "document_id": hit.metadata.get("document_id", hit.id),
            "passage_id": hit.id,
        }
        is_ours = "document_id" in hit.metadata
        metadata = hit.metadata.get("document_metadata") if is_ours else dict(hit.metadata) or None
        results.append(result if metadata is None else {**result, "document_metadata": metadata})
    return results

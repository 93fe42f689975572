"""LlamaIndex: a collection as vector store and retriever, MaxSim as node postprocessor."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from interlace.collection import Collection, rerank
from interlace.errors import InputError
from interlace.extras import need
from interlace.integrations.frameworks import PLACE, loaded, own_ids, with_place, without_place
from interlace.store import Where
from interlace.types import Document, Hit, Id

need("llama_index.core", extra="llama-index")

from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import (
    BaseNode,
    NodeRelationship,
    NodeWithScore,
    QueryBundle,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)
from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict

__all__ = ["InterlaceRerank", "InterlaceRetriever", "InterlaceVectorStore"]

#: Where a stored node keeps what is neither text nor metadata, by LlamaIndex's own names.
_NODE: Final[tuple[str, ...]] = ("_node_content", "_node_type", "ref_doc_id")

#: What a query's mode is in a collection; None is the store's own.
_MODES: Final[dict[Any, str | None]] = {
    VectorStoreQueryMode.DEFAULT: None,
    VectorStoreQueryMode.HYBRID: "hybrid",
    VectorStoreQueryMode.SEMANTIC_HYBRID: "hybrid",
    VectorStoreQueryMode.SPARSE: "lexical",
    VectorStoreQueryMode.TEXT_SEARCH: "lexical",
}

_OPERATORS: Final[dict[Any, str]] = {
    FilterOperator.EQ: "$eq",
    FilterOperator.NE: "$ne",
    FilterOperator.GT: "$gt",
    FilterOperator.GTE: "$gte",
    FilterOperator.LT: "$lt",
    FilterOperator.LTE: "$lte",
    FilterOperator.IN: "$in",
    FilterOperator.ANY: "$in",
    FilterOperator.NIN: "$nin",
    FilterOperator.CONTAINS: "$contains",
    FilterOperator.TEXT_MATCH: "$contains",
}


class InterlaceVectorStore(BasePydanticVectorStore):
    """A collection as LlamaIndex's vector store: nodes in, passages out, nothing to persist.

    It wants a query's text, not its embedding; so a ``VectorStoreIndex`` on it needs no embedding
    model, and takes ``MockEmbedding(embed_dim=1)`` in place of one.

    Parameters
    ----------
    collection : Collection
        Made or opened with ``interlace.create`` or ``interlace.open``.
    by : str
        ``"passage"``, or ``"document"`` for the best passage of each node.
    mode, effort
        As for ``Collection.search``. A query that has a mode of its own goes by that.
    """

    stores_text: bool = True
    is_embedding_query: bool = False

    _collection: Collection = PrivateAttr()
    _search: dict[str, Any] = PrivateAttr()

    def __init__(
        self,
        collection: Collection,
        *,
        by: str = "passage",
        mode: str | None = None,
        effort: Any = None,
    ) -> None:
        super().__init__(stores_text=True, is_embedding_query=False)
        self._collection = collection
        self._search = {"by": by, "mode": mode, "effort": effort}

    @classmethod
    def class_name(cls) -> str:
        """What LlamaIndex calls the class."""
        return "InterlaceVectorStore"

    @property
    def client(self) -> Collection:
        """The collection."""
        return self._collection

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Add nodes; an id that is there is replaced, and what is unchanged not encoded again.

        What else is passed goes to ``Collection.add``.
        """
        ids = [node.node_id for node in nodes]
        records = zip(own_ids(self._collection, ids), nodes, strict=True)
        self._collection.add([_document(id_, node) for id_, node in records], **kwargs)
        return ids

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """``add`` in a thread."""
        return await asyncio.to_thread(self.add, nodes, **kwargs)

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Delete the nodes of a source document; one that is not there is passed over."""
        ids = own_ids(self._collection, [ref_doc_id])
        if "ref_doc_id" in self._collection.info()["fields"]:
            ids += self._collection.ids({"ref_doc_id": ref_doc_id})
        self._collection.delete(ids, **delete_kwargs)

    def delete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **delete_kwargs: Any,
    ) -> None:
        """Delete nodes by id, by filter, or those that are named and match."""
        if node_ids is not None or filters is not None:
            self._collection.delete(self._ids(node_ids, filters), **delete_kwargs)

    def clear(self) -> None:
        """Delete all nodes."""
        self._collection.delete(self._collection.ids())

    def get_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """Whole nodes by id, by filter, or those that are named and match; without either, all."""
        found = self._collection.get(self._ids(node_ids, filters), missing="ignore")
        return [_node(one.id, one.text, one.metadata) for one in found if one.id is not None]

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Search for a query's text; what else is passed goes to ``Collection.search``.

        Raises
        ------
        InputError
            For a query without a text, one that weighs words against vectors with ``alpha``, a
            mode that needs single vectors, and a filter that cannot be translated.
        """
        if query.query_str is None:
            raise InputError(
                "late interaction needs a query's text: query_str. Its embedding is one vector, "
                "where a vector for each token is wanted."
            )
        if query.mode not in _MODES:
            raise InputError(
                f"the mode {query.mode.value!r} compares single vectors, and there are none: mode. "
                f"Choose one of {', '.join(mode.value for mode in _MODES)}."
            )
        if query.alpha is not None:
            raise InputError(
                f"alpha is {query.alpha}: words and meaning are weighed by the collection. Leave "
                "it out, or choose one of them with mode."
            )
        mode = _MODES[query.mode]
        k = (mode == "hybrid" and query.hybrid_top_k) or query.similarity_top_k
        wanted = self._search | ({"mode": mode} if mode else {}) | kwargs
        where = where_of(query.filters)
        if query.doc_ids is not None:
            named = {"ref_doc_id": {"$in": list(query.doc_ids)}}
            where = named if where is None else {"$and": [where, named]}
        if query.node_ids:
            wanted["ids"] = own_ids(self._collection, query.node_ids)
            wanted["missing"] = "ignore"
        hits = self._collection.search(query.query_str, k, where=where, **wanted)
        return VectorStoreQueryResult(
            nodes=[_found(hit) for hit in hits],
            similarities=[hit.score for hit in hits],
            ids=[str(hit.id) for hit in hits],
        )

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """``query`` in a thread."""
        return await asyncio.to_thread(self.query, query, **kwargs)

    def _ids(self, node_ids: list[str] | None, filters: MetadataFilters | None) -> list[Id]:
        named = None if node_ids is None else own_ids(self._collection, node_ids)
        return list(self._collection.ids(where_of(filters), among=named))


class InterlaceRetriever(BaseRetriever):
    """A collection as LlamaIndex's retriever, also one that LlamaIndex has not filled.

    Parameters
    ----------
    collection : Collection
    similarity_top_k : int
    filters : MetadataFilters, mapping or str, optional
        LlamaIndex's, or what is ``where`` in ``Collection.search``.
    by, mode, effort
        As for ``InterlaceVectorStore``.
    """

    def __init__(
        self,
        collection: Collection,
        similarity_top_k: int = 4,
        *,
        filters: MetadataFilters | Where | None = None,
        by: str = "passage",
        mode: str | None = None,
        effort: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._collection = collection
        where = filters if isinstance(filters, Mapping | str) else where_of(filters)
        self._search = {
            "k": similarity_top_k, "where": where, "by": by, "mode": mode, "effort": effort,
        }  # fmt: skip

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        hits = self._collection.search(query_bundle.query_str, **self._search)
        return [NodeWithScore(node=_found(hit), score=hit.score) for hit in hits]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._retrieve, query_bundle)


class InterlaceRerank(BaseNodePostprocessor):
    """Orders nodes by MaxSim; nothing is stored.

    Nodes come back as copies, whole, whose score is MaxSim and whose metadata say under
    ``"interlace"`` where the best passage stands.

    Attributes
    ----------
    model
        As for ``interlace.rerank``; a name is loaded once.
    top_n : int, optional
        How many nodes are kept; all by default.
    keep_retrieval_score : bool
        Whether the score before goes into the metadata, as ``"retrieval_score"``.
    """

    model: Any = "mini"
    top_n: int | None = None
    keep_retrieval_score: bool = False

    def model_post_init(self, context: Any) -> None:
        """Load the model that has only a name."""
        super().model_post_init(context)
        self.model = loaded(self.model)

    @classmethod
    def class_name(cls) -> str:
        """What LlamaIndex calls the class."""
        return "InterlaceRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise InputError("there is no query to rank by: query_bundle. Pass query_str='…'.")
        if not nodes:
            return []
        texts = [one.node.get_content() for one in nodes]
        hits = rerank(query_bundle.query_str, texts, self.top_n, self.model)
        return [self._ranked(nodes[int(hit.id)], hit) for hit in hits]

    def _ranked(self, before: NodeWithScore, hit: Hit) -> NodeWithScore:
        node = _placed(before.node.model_copy(), hit)
        if self.keep_retrieval_score:
            node.metadata["retrieval_score"] = before.score
        return NodeWithScore(node=node, score=hit.score)


def where_of(filters: MetadataFilters | None) -> Where | None:
    """What LlamaIndex's filters say, as ``where``; None where they say nothing.

    ``is_empty`` finds what is missing, null or an empty text, but no empty list.

    Raises
    ------
    InputError
        For a filter that does not regard capitals, which a collection has not.
    """
    if filters is None or not filters.filters:
        return None
    terms = [
        (where_of(one) or {}) if isinstance(one, MetadataFilters) else _condition(one)
        for one in filters.filters
    ]
    if filters.condition == FilterCondition.NOT:  # none of them, as LlamaIndex has it
        return {"$not": {"$or": terms}}
    return {"$or" if filters.condition == FilterCondition.OR else "$and": terms}


def _condition(one: MetadataFilter) -> dict[str, Any]:
    operator = FilterOperator(one.operator)
    if operator == FilterOperator.IS_EMPTY:
        return {"$or": [{one.key: None}, {one.key: ""}]}
    if operator == FilterOperator.ALL:
        values = one.value if isinstance(one.value, list) else [one.value]
        return {"$and": [{one.key: {"$eq": value}} for value in values]}
    if operator not in _OPERATORS:
        raise InputError(
            f"a filter regards capitals: {one.key}, {operator.value}. Use text_match, or keep a "
            "second field in lower case."
        )
    return {one.key: {_OPERATORS[operator]: one.value}}


def _document(id_: Id, node: BaseNode) -> Document:
    """The document that a node is stored as: its own text, its metadata, and what else it is."""
    text = node.get_content()
    described = node_to_metadata_dict(node.model_copy(update={"metadata": {}}), remove_text=True)
    if node.ref_doc_id is None:
        del described["ref_doc_id"]
    rest = {name: described[name] for name in _NODE if name in described}
    return Document(text, id_, {**without_place(node.metadata), **rest})


def _node(id_: Id, text: str, metadata: Mapping[str, Any]) -> BaseNode:
    """The node that was stored; or one of a document that LlamaIndex did not store."""
    own = {name: value for name, value in metadata.items() if name not in _NODE}
    if "_node_content" in metadata:
        node = metadata_dict_to_node(dict(metadata), text)
        node.metadata = own
        return node
    source = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=str(id_))}
    return TextNode(id_=str(id_), text=text, metadata=own, relationships=source)


def _found(hit: Hit) -> BaseNode:
    node = _placed(_node(hit.id, hit.text, hit.metadata), hit)
    if isinstance(node, TextNode):
        before = node.start_char_idx or 0  # where the node itself lies in its source
        node.start_char_idx, node.end_char_idx = before + hit.start, before + hit.end
    return node


def _placed(node: BaseNode, hit: Hit) -> BaseNode:
    """The node with the place of a hit, which is no part of what a model reads of it."""
    node.metadata = with_place(node.metadata, hit)
    node.excluded_llm_metadata_keys = [*node.excluded_llm_metadata_keys, PLACE]
    node.excluded_embed_metadata_keys = [*node.excluded_embed_metadata_keys, PLACE]
    return node

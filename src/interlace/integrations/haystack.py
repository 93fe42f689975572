"""Haystack 2 and later: document store, retriever, rankers; and fastRAG's, by their own names."""

# Annotations are not postponed: Haystack 2 compares them when it connects components.
import asyncio
import csv
import functools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

from interlace import types
from interlace.collection import Collection, maxsim, open, rerank  # noqa: A004
from interlace.collection import create as new_collection
from interlace.errors import FilterError as NoFilter
from interlace.errors import InputError
from interlace.extras import need
from interlace.integrations.frameworks import (
    collection_at,
    loaded,
    own_ids,
    stored,
    with_place,
    without_place,
)

need("haystack.document_stores.types", extra="haystack")

from haystack import Document, component, default_from_dict, default_to_dict
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy, FilterPolicy, apply_filter_policy
from haystack.errors import FilterError

__all__ = [
    "ColBERTRanker",
    "ColBERTRetriever",
    "InterlaceDocumentStore",
    "InterlaceRanker",
    "InterlaceRetriever",
    "MaxSimRanker",
    "PLAIDDocumentStore",
]

_ON_CONFLICT: Final[dict[Any, Any]] = {
    DuplicatePolicy.NONE: "replace",
    DuplicatePolicy.OVERWRITE: "replace",
    DuplicatePolicy.SKIP: "skip",
    DuplicatePolicy.FAIL: "error",
}

_COMPARISONS: Final = {
    "==": "$eq", "!=": "$ne", ">": "$gt", ">=": "$gte", "<": "$lt", "<=": "$lte",
    "in": "$in", "not in": "$nin",
}  # fmt: skip


def _in_a_thread(method: Callable[..., Any]) -> Callable[..., Any]:
    """The async form of a method; the signature stays, which Haystack reads."""

    @functools.wraps(method)
    async def run(*args: Any, **kwargs: Any) -> Any:
        return await asyncio.to_thread(method, *args, **kwargs)

    return run


class InterlaceDocumentStore:
    """A collection as Haystack's document store.

    Documents keep id, content and meta; embeddings of one vector a document, and blobs, are left
    out. With the default policy, as with ``OVERWRITE``, an id that is there is replaced, and what
    is unchanged not encoded again. Every method has an async form, ``…_async``.

    Parameters
    ----------
    path : str, path or Collection
        A collection's folder, which is made where there is none; or a collection that is open.
    model
        As for ``interlace.open`` and ``interlace.create``; None is the collection's own, or
        ``"mini"``. Only a name goes into a pipeline's YAML.
    """

    def __init__(self, path: str | os.PathLike[str] | Collection, model: Any = None) -> None:
        self.model = model
        self.collection = path if isinstance(path, Collection) else collection_at(path, model)

    def to_dict(self) -> dict[str, Any]:
        """The store's class, path and model's name, as pipelines are saved."""
        path = str(self.collection.path)
        return default_to_dict(self, path=path, model=_name_of(self.model))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Open the store of a saved pipeline."""
        return default_from_dict(cls, data)

    # --- Haystack's protocol -------------------------------------------------------------------

    def count_documents(self) -> int:
        """How many documents there are."""
        return len(self.collection)

    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """Whole documents that match, in the order of insertion."""
        return [
            Document(id=str(one.id), content=one.text, meta=dict(one.metadata))
            for one in self._matching(filters)
        ]

    def write_documents(
        self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE
    ) -> int:
        """Write documents; returns how many were written.

        Raises
        ------
        DuplicateDocumentError
            With ``DuplicatePolicy.FAIL``, for an id that is there or comes twice; nothing is
            written then.
        InputError
            For what is no document, or has no text.
        """
        if not isinstance(documents, Sequence) or isinstance(documents, str):
            raise InputError(f"documents must be a list: got {documents!r:.60}. Write [document].")
        for one in documents:
            if not isinstance(one, Document):
                raise InputError(
                    f"no Document of Haystack's: {one!r:.60}. Pass Document(content=…)."
                )
            if one.content is None:
                raise InputError(f"a document has no text: {one.id}. Convert it to text first.")
        ids = own_ids(self.collection, [one.id for one in documents])
        if policy == DuplicatePolicy.FAIL:
            taken = set(self.collection.ids(among=ids))
            for n, id_ in enumerate(ids):
                if id_ in taken:
                    raise DuplicateDocumentError(f"the id is taken: document {n}, {id_!r}.")
                taken.add(id_)
        report = self.collection.add(
            [
                types.Document(one.content or "", id_, without_place(one.meta))
                for id_, one in zip(ids, documents, strict=True)
            ],
            on_conflict=_ON_CONFLICT[policy],
        )
        return report.added if policy == DuplicatePolicy.SKIP else len(documents)

    def delete_documents(self, document_ids: list[str]) -> None:
        """Delete documents by id; those that are not there are passed over."""
        self.collection.delete(own_ids(self.collection, document_ids))

    # --- what Haystack's own stores can do besides ---------------------------------------------

    def delete_all_documents(self, recreate_index: bool = False) -> None:
        """Delete all documents; with ``recreate_index`` their room on disk is given back now."""
        self.collection.delete(self.collection.ids())
        if recreate_index:
            self.collection.compact()

    def delete_by_filter(self, filters: dict[str, Any]) -> int:
        """Delete the documents that match; returns how many there were."""
        with _filter_errors():
            return self.collection.delete(where=where_of(filters) or {})

    def update_by_filter(self, filters: dict[str, Any], meta: dict[str, Any]) -> int:
        """Set fields of the metadata of the documents that match; returns how many there were."""
        with self.collection.writer() as changes:  # with the lock held, what is read stays so
            n_documents = 0
            for one in self._matching(filters):
                assert one.id is not None
                changes.update_metadata(one.id, {**one.metadata, **meta})
                n_documents += 1
        return n_documents

    def count_documents_by_filter(self, filters: dict[str, Any]) -> int:
        """How many documents match."""
        return len(self._ids(filters))

    def count_unique_metadata_by_filter(
        self, filters: dict[str, Any], metadata_fields: list[str]
    ) -> dict[str, int]:
        """How many values each field has among the documents that match."""
        return {name: len(self._values(name, filters)) for name in metadata_fields}

    def get_metadata_fields_info(self) -> dict[str, dict[str, str]]:
        """The type of each field, by Haystack's names: keyword, int, float, boolean."""
        kinds: dict[str, dict[str, str]] = {}
        for one in self._matching(None):
            for name, value in one.metadata.items():
                if value is not None:
                    kind = {bool: "boolean", int: "int", float: "float"}.get(type(value))
                    kinds[name] = {"type": kind or "keyword"}
        return kinds

    def get_metadata_field_min_max(self, metadata_field: str) -> dict[str, Any]:
        """The least and the greatest value of a field; None where it has none that compare."""
        values = [one for one in self._values(metadata_field) if not isinstance(one, list | dict)]
        try:
            return {"min": min(values, default=None), "max": max(values, default=None)}
        except TypeError:
            return {"min": None, "max": None}

    def get_metadata_field_unique_values(
        self,
        metadata_field: str,
        search_term: str | None = None,
        from_: int = 0,
        size: int = 10,
        filters: dict[str, Any] | None = None,
    ) -> tuple[list[Any], int]:
        """A page of a field's values, and how many there are.

        ``search_term`` is looked for in each, whatever its capitals. ``1`` and ``"1"`` are two.
        """
        values = self._values(metadata_field, filters)
        if search_term:
            values = [one for one in values if search_term.lower() in str(one).lower()]
        values.sort(key=lambda one: (str(one), type(one).__name__))
        return values[from_ : from_ + size], len(values)

    count_documents_async = _in_a_thread(count_documents)
    filter_documents_async = _in_a_thread(filter_documents)
    write_documents_async = _in_a_thread(write_documents)
    delete_documents_async = _in_a_thread(delete_documents)
    delete_all_documents_async = _in_a_thread(delete_all_documents)
    delete_by_filter_async = _in_a_thread(delete_by_filter)
    update_by_filter_async = _in_a_thread(update_by_filter)
    count_documents_by_filter_async = _in_a_thread(count_documents_by_filter)
    count_unique_metadata_by_filter_async = _in_a_thread(count_unique_metadata_by_filter)
    get_metadata_fields_info_async = _in_a_thread(get_metadata_fields_info)
    get_metadata_field_min_max_async = _in_a_thread(get_metadata_field_min_max)
    get_metadata_field_unique_values_async = _in_a_thread(get_metadata_field_unique_values)

    def search(
        self, query: str, top_k: int = 10, filters: dict[str, Any] | None = None, **settings: Any
    ) -> list[Document]:
        """What a retriever finds; settings are those of ``Collection.search``."""
        with _filter_errors():
            hits = self.collection.search(query, top_k, where=where_of(filters), **settings)
        return [_found(hit) for hit in hits]

    def _ids(self, filters: dict[str, Any] | None) -> list[types.Id]:
        with _filter_errors():
            return list(self.collection.ids(where_of(filters)))

    def _matching(self, filters: dict[str, Any] | None) -> Iterator[types.Document]:
        return stored(self.collection, self._ids(filters))

    def _values(self, field: str, filters: dict[str, Any] | None = None) -> list[Any]:
        """The values of a field that differ, or differ in their type."""
        name = field.removeprefix("meta.")
        values: dict[tuple[str, str], Any] = {}
        for one in self._matching(filters):
            if (value := one.metadata.get(name)) is not None:
                values.setdefault((type(value).__name__, repr(value)), value)
        return list(values.values())


@component
class InterlaceRetriever:
    """Finds the passages of a collection that match a query best; one of Haystack's components.

    Parameters
    ----------
    document_store : InterlaceDocumentStore
    top_k : int
    filters : dict, optional
        Haystack's; ``filter_policy`` says whether those of a run replace them or are added.
    by : str
        ``"passage"``; or ``"document"`` for the best passage of each document, which joiners want,
        since they keep one result for each id.
    mode, effort
        As for ``Collection.search``.
    """

    def __init__(
        self,
        document_store: InterlaceDocumentStore,
        top_k: int = 10,
        filters: dict[str, Any] | None = None,
        filter_policy: FilterPolicy = FilterPolicy.REPLACE,
        by: str = "passage",
        mode: str | None = None,
        effort: str | None = None,
    ) -> None:
        self.document_store, self.top_k, self.filters = document_store, top_k, filters
        self.filter_policy, self.by, self.mode, self.effort = filter_policy, by, mode, effort

    def to_dict(self) -> dict[str, Any]:
        """The component as pipelines are saved."""
        return default_to_dict(
            self,
            document_store=self.document_store.to_dict(),
            top_k=self.top_k,
            filters=self.filters,
            filter_policy=self.filter_policy.value,
            by=self.by,
            mode=self.mode,
            effort=self.effort,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The component of a saved pipeline; its store is opened."""
        given = dict(data["init_parameters"])
        given["filter_policy"] = FilterPolicy.from_str(given.get("filter_policy", "replace"))
        if isinstance(store := given["document_store"], dict):  # as Haystack 2 leaves it
            plaid = store["type"].endswith(".PLAIDDocumentStore")
            kind = PLAIDDocumentStore if plaid else InterlaceDocumentStore
            given["document_store"] = kind.from_dict(store)
        return default_from_dict(cls, {**data, "init_parameters": given})

    @component.output_types(documents=list[Document])
    def run(
        self, query: str, filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """Search; each document found has its score, and under ``meta["interlace"]`` its place."""
        chosen = apply_filter_policy(self.filter_policy, self.filters, filters)
        k = self.top_k if top_k is None else top_k
        settings = {"by": self.by, "mode": self.mode, "effort": self.effort}
        return {"documents": self.document_store.search(query, k, chosen, **settings)}

    @component.output_types(documents=list[Document])
    async def run_async(
        self, query: str, filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """``run`` in a thread."""
        return await asyncio.to_thread(self.run, query, filters, top_k)


@component
class InterlaceRanker:
    """Orders documents by MaxSim of their texts; nothing is stored.

    Parameters
    ----------
    model
        As for ``interlace.rerank``; a name is loaded once, by ``warm_up`` or the first run.
    top_k : int
    """

    def __init__(self, model: Any = "mini", top_k: int = 10) -> None:
        self.model, self.top_k = model, top_k
        self._loaded: Any = None

    def warm_up(self) -> None:
        """Load the model that has only a name."""
        if self._loaded is None:
            self._loaded = loaded(self.model)

    def to_dict(self) -> dict[str, Any]:
        """The component as pipelines are saved; a model that is no name cannot be."""
        name = _name_of(self.model)
        if name is None:
            raise InputError(
                f"a pipeline's file holds a model's name: model, {type(self.model).__name__}. "
                "Pass a folder or a hub name."
            )
        return default_to_dict(self, model=name, top_k=self.top_k)

    @component.output_types(documents=list[Document])
    def run(
        self, query: str, documents: list[Document], top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """Copies of the best documents, whole, with their scores.

        Under ``meta["interlace"]`` stands where in the document the best passage is.
        """
        self.warm_up()
        if not documents:
            return {"documents": []}
        texts = [one.content or "" for one in documents]
        hits = rerank(query, texts, self.top_k if top_k is None else top_k, self._loaded)
        return {"documents": [_ranked(documents[int(hit.id)], hit) for hit in hits]}


@component
class MaxSimRanker:
    """Orders documents by the token embeddings that they carry; called as Haystack 3.5's own.

    A document has them in ``multivector_embedding``, or before Haystack 3.5 in its meta under that
    name. Vectors are made unit length, so that a score is a sum of cosines.

    Parameters
    ----------
    top_k : int
    """

    def __init__(self, top_k: int = 10) -> None:
        self.top_k = top_k

    @component.output_types(documents=list[Document])
    def run(
        self,
        documents: list[Document],
        query_multivector_embedding: list[list[float]],
        top_k: int | None = None,
    ) -> dict[str, list[Document]]:
        """Copies of the best documents, with their scores.

        Raises
        ------
        InputError
            For a document without token embeddings, and for ``top_k`` below 1.
        """
        k = self.top_k if top_k is None else top_k
        if k < 1:
            raise InputError(f"top_k is {k}. It must be at least 1.")
        scores = maxsim(query_multivector_embedding, [_multivector(one) for one in documents])
        best = sorted(range(len(documents)), key=lambda i: -float(scores[i]))[:k]
        return {"documents": [replace(documents[i], score=float(scores[i])) for i in best]}


# --- fastRAG -------------------------------------------------------------------------------------


class PLAIDDocumentStore(InterlaceDocumentStore):
    """fastRAG's store for ColBERT, which takes writes, deletes and filters here.

    Parameters
    ----------
    index_path
        The collection's folder. An index that fastRAG itself made is taken over with
        ``interlace import``.
    checkpoint_path
        The model's folder or name on the hub.
    collection_path
        A ``.tsv`` or ``.csv`` without header: id, text and, if wanted, title, which goes into the
        meta. It is read with ``create`` only.
    create : bool
        Make the collection be what the file says; of one that is there, only what has changed is
        encoded, and what is not in the file is deleted.
    nbits : int
        1, 2 or 4, as ``bits`` of ``interlace.create``.
    doc_maxlen : int
        How many tokens a passage has, at most. A longer text is cut into passages, not cut off.
    gpus, ranks, query_maxlen, kmeans_niters
        Taken, and not needed: neither GPUs nor processes nor rounds of k-means are to be chosen
        here, and the model says how long queries are.
    """

    def __init__(
        self,
        index_path: str | os.PathLike[str],
        checkpoint_path: Any,
        collection_path: str | os.PathLike[str] | None = None,
        create: bool = False,
        nbits: int = 2,
        gpus: int = 0,
        ranks: int = 1,
        doc_maxlen: int = 120,
        query_maxlen: int = 60,
        kmeans_niters: int = 4,
    ) -> None:
        if create and collection_path is None:
            raise InputError("create needs a file of texts: collection_path. Pass a .tsv or .csv.")
        if create and not Path(index_path).exists():
            collection = new_collection(
                index_path, checkpoint_path, bits=nbits, passage_tokens=doc_maxlen
            )
        else:
            collection = open(index_path, checkpoint_path)
        super().__init__(collection, checkpoint_path)
        if create and collection_path is not None:
            rows = list(_rows(Path(collection_path)))
            collection.add(rows)
            listed = {one.id for one in rows}
            collection.delete([id_ for id_ in collection.ids() if id_ not in listed])

    def to_dict(self) -> dict[str, Any]:
        """The store as pipelines are saved: opened again, its file is not read again."""
        path = str(self.collection.path)
        return default_to_dict(self, index_path=path, checkpoint_path=_name_of(self.model))

    def query(self, query_str: str, top_k: int = 10) -> list[Document]:
        """The documents that best match, by MaxSim."""
        return self.search(query_str, top_k, by="document", mode="late")

    def query_batch(self, query_strs: list[str], top_k: int = 10) -> list[list[Document]]:
        """``query`` for several, on all threads."""
        found = self.collection.search_many(query_strs, top_k, by="document", mode="late")
        return [[_found(hit) for hit in hits] for hits in found]

    def get_document_count(self) -> int:
        """How many documents there are."""
        return len(self.collection)


@component
class ColBERTRetriever(InterlaceRetriever):
    """fastRAG's retriever: documents by MaxSim alone. Filters work here."""

    def __init__(
        self,
        document_store: InterlaceDocumentStore,
        top_k: int = 10,
        filters: dict[str, Any] | None = None,
        filter_policy: FilterPolicy = FilterPolicy.REPLACE,
        by: str = "document",
        mode: str | None = "late",
        effort: str | None = None,
    ) -> None:
        InterlaceRetriever.__init__(  # @component makes another class, which super() does not know
            self, document_store, top_k, filters, filter_policy, by, mode, effort
        )


@component
class ColBERTRanker(InterlaceRanker):
    """fastRAG's ranker.

    Parameters
    ----------
    checkpoint_path
        The model's folder or name on the hub, or what ``interlace.rerank`` takes.
    top_k : int
    query_maxlen, doc_maxlen, dim, use_gpu
        Taken, and not needed: the model says them. Longer texts go by their best passage.
    """

    def __init__(
        self,
        checkpoint_path: Any,
        top_k: int = 10,
        query_maxlen: int = 120,
        doc_maxlen: int = 120,
        dim: int = 128,
        use_gpu: bool = False,
    ) -> None:
        InterlaceRanker.__init__(self, checkpoint_path, top_k)

    def to_dict(self) -> dict[str, Any]:
        """The component as pipelines are saved."""
        given = InterlaceRanker.to_dict(self)["init_parameters"]
        return default_to_dict(self, checkpoint_path=given["model"], top_k=self.top_k)


# --- filters, and results ------------------------------------------------------------------------


def where_of(filters: dict[str, Any] | None) -> dict[str, Any] | None:
    """What Haystack's filters say, as ``where``; None where they say nothing.

    Raises
    ------
    FilterError
        For a filter that is malformed, or about anything but metadata.
    """
    if not filters:
        return None
    operator = filters.get("operator")
    if "field" in filters:
        return _comparison(filters)
    if operator not in ("AND", "OR", "NOT") or not isinstance(filters.get("conditions"), list):
        raise FilterError(
            f"a filter has field, operator and value, or operator and conditions: {filters!r:.200}."
        )
    terms = [where_of(one) or {} for one in filters["conditions"]]
    if not terms:
        raise FilterError(f"{operator} has no conditions: {filters!r:.200}. Add one.")
    if operator == "NOT":  # not all of them, as Haystack has it
        return {"$not": {"$and": terms}}
    return {"$and" if operator == "AND" else "$or": terms}


def _comparison(condition: dict[str, Any]) -> dict[str, Any]:
    for key in ("operator", "value"):
        if key not in condition:
            raise FilterError(f"a condition has no {key!r}: {condition!r:.200}. Add it.")
    field, operator, value = condition["field"], condition["operator"], condition["value"]
    if field in ("id", "content", "score", "embedding", "blob"):
        raise FilterError(f"filters look at metadata, not at {field!r}: {condition!r:.200}.")
    if operator not in _COMPARISONS:
        raise FilterError(
            f"unknown operator {operator!r}: {field}. There are {', '.join(_COMPARISONS)}."
        )
    name = field.removeprefix("meta.")
    if operator in ("in", "not in") and not isinstance(value, list):
        raise FilterError(f"{operator!r} takes a list: {field}, {value!r:.60}. Write […].")
    if isinstance(value, datetime):
        value = value.isoformat()
    if operator in (">", ">=", "<", "<="):
        if value is None:
            return {name: {"$in": []}}  # nothing is more or less than no value
        if isinstance(value, str):
            try:
                datetime.fromisoformat(value)
            except ValueError as error:
                raise FilterError(
                    f"of texts only ISO dates have an order: {field}, {value!r:.60}. "
                    "Compare numbers or dates."
                ) from error
    return {name: {_COMPARISONS[operator]: value}}


@contextmanager
def _filter_errors() -> Iterator[None]:
    """What a collection says of a filter, as the error that Haystack has for it."""
    try:
        yield
    except NoFilter as error:
        raise FilterError(str(error)) from error


def _name_of(model: Any) -> str | None:
    """What a pipeline's file says of a model; None of one that was passed as an object."""
    return os.fspath(model) if isinstance(model, str | os.PathLike) else None


def _found(hit: types.Hit) -> Document:
    meta = with_place(hit.metadata, hit)
    return Document(id=str(hit.id), content=hit.text, meta=meta, score=hit.score)


def _ranked(document: Document, hit: types.Hit) -> Document:
    return replace(document, score=hit.score, meta=with_place(document.meta, hit))


def _multivector(document: Document) -> Any:
    found = getattr(document, "multivector_embedding", None)
    if found is None:
        found = document.meta.get("multivector_embedding")
    if found is None:
        raise InputError(
            f"a document has no token embeddings: {document.id}, multivector_embedding. "
            "Use InterlaceRanker, which encodes texts."
        )
    return found


def _rows(path: Path) -> Iterable[types.Document]:
    """The lines of fastRAG's file of texts."""
    with path.open(encoding="utf-8", newline="") as lines:
        for row in csv.reader(lines, delimiter="\t" if path.suffix == ".tsv" else ","):
            if len(row) < 2:
                raise InputError(f"a line has no text: {path}, {row!r:.60}. Write id and text.")
            title = {"title": row[2]} if len(row) > 2 else {}
            yield types.Document(row[1], row[0], title)

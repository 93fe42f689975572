"""MTEB: its runner judges a collection, and so the engine with the model, not the model alone."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from interlace.collection import Collection
from interlace.errors import InputError
from interlace.extras import need
from interlace.integrations.frameworks import collection_at, loaded
from interlace.types import Document
from interlace.version import VERSION

need("mteb", extra="mteb")

from mteb.models import ModelMeta

__all__ = ["InterlaceSearch"]

#: So many queries are searched for at once: of a thousand hits each, all texts are in memory.
_TOGETHER: Final = 64


class InterlaceSearch:
    """A search model for ``mteb.evaluate``: what it finds, collections on disk have found.

    Parameters
    ----------
    folder
        Where the collections go, one for each task, split, model and settings. What is there from
        an earlier run is used again.
    model
        As for ``interlace.create``; its name and fingerprint tell mteb's cache of results apart.
    mode, effort
        As for ``Collection.search``.
    settle
        Whether all is compressed before it is searched, however little there is. Otherwise a
        collection of less than a million tokens is searched uncompressed.
    settings
        What else ``interlace.create`` takes: ``bits``, ``passage_tokens``, ``pool_factor`` …

    Attributes
    ----------
    mteb_model_meta : mteb.models.ModelMeta
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        model: Any = "mini",
        *,
        mode: str = "late",
        effort: str | None = None,
        settle: bool = False,
        **settings: Any,
    ) -> None:
        self._folder, self._settings, self._settles = Path(folder), settings, settle
        self._model = loaded(model)
        self._asked: dict[str, Any] = {"mode": mode, "effort": effort}
        self._open: dict[str, Collection] = {}
        self.mteb_model_meta = self._described()

    def index(
        self, corpus: Any, *, task_metadata: Any, hf_split: str, hf_subset: str, **_: Any
    ) -> None:
        """Make the collection of a task, or bring the one that is there up to date.

        Parameters
        ----------
        corpus : datasets.Dataset
            With ``id``, ``text`` and, if there is one, ``title``, which goes before the text.
        task_metadata, hf_split, hf_subset
            They name the collection.
        """
        name = self._name(task_metadata, hf_split, hf_subset)
        if name in self._open:
            self._open.pop(name).close()
        collection = collection_at(self._folder / f"{name}.lace", self._model, **self._settings)
        gone = set(collection.ids()) - set(corpus["id"])
        collection.delete(gone)
        collection.add(_document(row) for row in corpus)
        if self._settles:
            collection.settle()
        self._open[name] = collection

    def search(
        self,
        queries: Any,
        *,
        task_metadata: Any,
        hf_split: str,
        hf_subset: str,
        top_k: int,
        top_ranked: Mapping[str, Sequence[str]] | None = None,
        **_: Any,
    ) -> dict[str, dict[str, float]]:
        """Search the collection of a task.

        Parameters
        ----------
        queries : datasets.Dataset
            With ``id``, ``text`` and, if there is one, ``instruction``, which goes after the text.
        task_metadata, hf_split, hf_subset
            As for ``index``.
        top_k
            How many documents are found for a query.
        top_ranked
            Only these documents are scored for a query: a task of reranking.

        Returns
        -------
        dict
            Query id -> document id -> score.

        Raises
        ------
        InputError
            Before ``index``; and for queries that are conversations.
        """
        name = self._name(task_metadata, hf_split, hf_subset)
        if name not in self._open:
            raise InputError(f"no collection of {name}. Call index first.")
        collection, ids, texts = self._open[name], list(queries["id"]), _texts(queries)
        if top_ranked is not None:
            runs = (
                collection.search(text, top_k, ids=top_ranked.get(id_, ()), **self._asked)
                for id_, text in zip(ids, texts, strict=True)
            )
        else:
            runs = (
                hits
                for first in range(0, len(texts), _TOGETHER)
                for hits in collection.search_many(
                    texts[first : first + _TOGETHER], top_k, **self._asked
                )
            )
        return {
            id_: {str(hit.id): hit.score for hit in hits}
            for id_, hits in zip(ids, runs, strict=True)
        }

    def close(self) -> None:
        """Close the collections; they stay on disk."""
        while self._open:
            self._open.popitem()[1].close()

    def _described(self) -> ModelMeta:
        """Who is judged: other weights and other settings are another entry in mteb's cache."""
        model = self._model
        name = str(getattr(model, "name", type(model).__name__))
        return ModelMeta.create_empty(
            {
                "name": f"interlace/{Path(name).name}",
                "revision": f"{VERSION}-{str(getattr(model, 'fingerprint', 'unknown'))[:12]}",
                "model_type": ["late-interaction"],
                "embed_dim": getattr(model, "dim", None),
                "max_tokens": getattr(model, "document_length", None),
                "adapted_from": name,
                "experiment_kwargs": {**self._asked, "settle": self._settles, **self._settings},
            }
        )

    def _name(self, task: Any, split: str, subset: str) -> str:
        meta = self.mteb_model_meta
        told = [task.name, subset, split, meta.name, meta.revision, self._settings]
        digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:8]
        readable = f"{task.name}-{subset}-{split}"
        return re.sub(r"[^\w.-]", "_", readable) + f"-{digest}"  # a name on every system


def _document(row: Mapping[str, Any]) -> Document:
    title = row.get("title") or ""
    return Document(f"{title} {row['text']}".strip(), row["id"])


def _texts(queries: Any) -> list[str]:
    texts = list(queries["text"])
    if not all(isinstance(text, str) for text in texts):
        raise InputError("queries are conversations, and a search takes a text. Join their turns.")
    if "instruction" not in queries.column_names:
        return texts
    return [f"{t} {i}" for t, i in zip(texts, queries["instruction"], strict=True)]

"""Text in, hits out: the only room where a model and a store meet."""

from __future__ import annotations

from interlace.collection.changes import AddReport, Changes, OnConflict
from interlace.collection.collection import Collection
from interlace.collection.exchange import ExportReport, Vectors, vectors_in
from interlace.collection.explain import explain_words
from interlace.collection.folders import IndexReport
from interlace.collection.inside import Inside
from interlace.collection.opening import create, open, restore  # noqa: A004
from interlace.collection.reranking import maxsim, rerank
from interlace.collection.snippets import Snippet, snippet
from interlace.collection.verifying import verify_folder

__all__ = [
    "AddReport",
    "Changes",
    "Collection",
    "ExportReport",
    "IndexReport",
    "Inside",
    "OnConflict",
    "Snippet",
    "Vectors",
    "create",
    "explain_words",
    "maxsim",
    "open",
    "rerank",
    "restore",
    "snippet",
    "vectors_in",
    "verify_folder",
]

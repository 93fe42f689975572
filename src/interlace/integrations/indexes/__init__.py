"""Indexes of other tools, read without their packages, and made into collections."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any, Final, cast

from interlace.collection import Collection, create
from interlace.errors import InputError
from interlace.integrations.indexes.plaid import Index
from interlace.integrations.indexes.texts import Texts
from interlace.progress import Progress, silent

__all__ = ["FORMATS", "Index", "convert", "open_index"]

#: Format -> the file that tells it, and what reads it, loaded on use.
FORMATS: Final = {
    "stanford": ("centroids.pt", "stanford:read"),
    "fast-plaid": ("centroids.npy", "fast_plaid:read"),
    "pylate": ("plaid_ids_to_documents_ids.pkl", "fast_plaid:read_pylate"),
}


def open_index(path: str | os.PathLike[str]) -> Index:
    """Open the index of another tool: Stanford ColBERT or PLAID, fast-plaid, or PyLate.

    Sizes and shapes of all its files are checked; embeddings are read when they are asked for. No
    file is ever unpickled.

    Parameters
    ----------
    path
        The folder with ``metadata.json``; of PyLate, that of the index's name.

    Raises
    ------
    InputError
        When there is none, or a file of it is damaged or missing; the message names it.
    """
    folder = Path(path)
    for mark, reader in FORMATS.values():
        if (folder / mark).is_file():
            module, _, name = reader.partition(":")
            read = getattr(importlib.import_module(f"{__name__}.{module}"), name)
            return cast("Index", read(folder))
    marks = ", ".join(f"{mark} ({name})" for name, (mark, _) in FORMATS.items())
    raise InputError(
        f"no index of another tool: {path}. Give the folder that has one of {marks}; "
        "documents are read by index, not by import."
    )


def convert(
    path: str | os.PathLike[str],
    to: str | os.PathLike[str],
    model: Any = None,
    *,
    texts: Texts = None,
    bits: int = 4,
    n_threads: int | None = None,
    progress: Progress = silent,
) -> Collection:
    """Make a collection of the index of another tool, in bounded memory.

    Parameters
    ----------
    path
        As for ``open_index``.
    to
        The new collection's folder.
    model
        As for ``create``: what the index was made with, so that texts can be searched for. None:
        queries come as ``embeddings``.
    texts, progress
        As for ``Index.into``.
    bits, n_threads
        As for ``create``.

    Returns
    -------
    Collection
        Open. Each passage of the index is a document under the index's number for it, an int, or
        under its name, where PyLate keeps names.

    Raises
    ------
    InputError
        For a file that is damaged, and for texts that do not fit the index. What was stored before
        stays: ``error.committed`` says how much.
    SettingsError
        When the model's embeddings are of another width.
    CollectionError
        When there is something at ``to``.
    """
    index = open_index(path)
    collection = create(to, model, dim=index.dim, bits=bits, n_threads=n_threads)
    try:
        index.into(collection, texts=texts, progress=progress)
    except BaseException:
        collection.close()
        raise
    return collection

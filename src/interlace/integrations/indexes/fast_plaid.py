"""fast-plaid's index, and PyLate's around it: NumPy arrays, and metadata in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Final

from interlace.integrations.indexes.arrays import Stored, npy, opened, refuse
from interlace.integrations.indexes.pickles import parse
from interlace.integrations.indexes.plaid import Chunk, Codec, Index, described, lengths
from interlace.types import Id

_PICKLE_BYTES_MAX: Final = 2**31

#: Longer texts and blobs are no metadata.
_VALUE_BYTES_MAX: Final = 2**24


def read(folder: Path, format: str = "fast-plaid", ids: list[Id] | None = None) -> Index:  # noqa: A002
    """Open an index that ``FastPlaid`` has made; ids are given where PyLate keeps them.

    ``embeddings.npy`` and ``buffer.npy``, which are pickled, are not needed and not touched.

    Raises
    ------
    InputError
        When a file is damaged or missing.
    """
    _, n_chunks = described(folder / "metadata.json")
    chunks, first = [], 0
    for number in range(n_chunks):
        of_documents = lengths(folder / f"doclens.{number}.json")
        stop = first + int(of_documents.sum(dtype="i8"))
        codes, residuals = (
            _rows(folder, number, kind, first, stop) for kind in ("codes", "residuals")
        )
        chunks.append(Chunk(of_documents, codes, residuals))
        first = stop
    return Index(
        folder,
        format,
        Codec.of(npy(folder / "centroids.npy"), npy(folder / "bucket_weights.npy")),
        chunks,
        ids=ids,
        metadata=partial(_metadata, folder / "metadata.db"),
    )


def read_pylate(folder: Path) -> Index:
    """Open the folder that ``pylate.indexes.PLAID`` keeps, with the ids of its documents.

    Raises
    ------
    InputError
        When a file is damaged or missing.
    """
    path = folder / "plaid_ids_to_documents_ids.pkl"
    with opened(path) as file:
        content = file.read(_PICKLE_BYTES_MAX)
    try:
        names = parse(content)
    except ValueError as error:
        refuse(path, f"a file of the index holds something else than ids ({error})")
    if not isinstance(names, dict) or not all(type(name) in (int, str) for name in names.values()):
        refuse(path, "a file of the index holds something else than ids")
    if set(names) != set(range(len(names))):
        refuse(path, "a file of the index has ids of passages that do not follow each other")
    return read(folder / "fast_plaid_index", "pylate", [names[n] for n in range(len(names))])


def _rows(folder: Path, number: int, kind: str, first: int, stop: int) -> Stored:
    """The rows of a chunk: of its own file while there is one, then of the one for all."""
    own = folder / f"{number}.{kind}.npy"
    if own.is_file():
        return npy(own)
    merged = npy(folder / f"merged_{kind}.npy")
    if not merged.shape or len(merged) < stop:
        refuse(merged.path, f"a file of the index has fewer than {stop:,} rows")
    return merged.rows(first, stop)


def _metadata(path: Path) -> Iterator[tuple[float, dict[str, Any]]]:
    """What ``fast_plaid.filtering`` keeps of each passage; a field without a value is left out."""
    if not path.is_file():
        return
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _VALUE_BYTES_MAX)
            database.execute("PRAGMA trusted_schema = OFF")
            kind = "SELECT type FROM sqlite_schema WHERE name = 'METADATA'"
            if database.execute(kind).fetchone() != ("table",):  # a view may go on for ever
                return
            rows = database.execute("SELECT * FROM METADATA ORDER BY _subset_")
            names = [column[0] for column in rows.description]
            for row in rows:
                fields = {
                    name: value for name, value in zip(names, row, strict=True) if value is not None
                }
                number = fields.pop("_subset_", None)
                if type(number) is not int:
                    refuse(path, f"a row has the number {number!r:.40}")
                yield number, fields
    except sqlite3.Error as error:
        refuse(path, f"a file of the index cannot be read ({error})")

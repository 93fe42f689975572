"""Segments into files, each written once, and chunks onto them: docs/reference/format.md."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import numpy as np

from interlace import codec, files
from interlace.files import Array, Piece, Shape
from interlace.store import postings
from interlace.store.parts import Parts
from interlace.store.rows import FORMAT, GenerationRow, SegmentRow
from interlace.store.segment import (
    CODEC,
    FRESH,
    SEGMENTS,
    SETTLED,
    SETTLED_ARRAYS,
    TOKEN_ARRAYS,
    Part,
    rows_path,
)
from interlace.version import VERSION

_TOKENS_AT_ONCE = 1 << 18


def write_fresh(folder: Path, part: Part) -> SegmentRow:
    """Write a fresh segment and sync its file; the folder is the caller's to sync."""
    arrays = {
        "passages": part.passages,
        "documents": part.documents,
        "offsets": part.offsets,
        **part.tokens,
    }
    name = uuid.uuid4().hex
    row = SegmentRow(name, FRESH, None, len(part.passages), part.n_tokens, files.Written(0, 0))
    written = files.write_arrays(folder / SEGMENTS / row.file_name, arrays, _manifest(row))
    return row._replace(written=written)


def write_settled(folder: Path, parts: Parts, generation: str, width: int) -> SegmentRow:
    """Write a settled segment, and sync its file; in memory is what making ``postings`` takes.

    Parameters
    ----------
    parts : Parts
    generation : str
        The codec's name.
    width : int
        Bytes of a token's residual codes.
    """
    n_passages, n_tokens = len(parts), parts.n_tokens
    lists = postings.Lists(parts.heads)
    whole: dict[str, Array] = {
        "passages": parts.passages,
        "documents": parts.documents,
        "offsets": np.append(0, np.cumsum(parts.lengths)),
        "list_cells": lists.list_cells,
        "list_places": lists.list_places,
        "list_offsets": lists.list_offsets,
    }
    lengths = {
        **{name: len(array) for name, array in whole.items()},
        **dict.fromkeys(TOKEN_ARRAYS[SETTLED], n_tokens),
        "list_gaps": int(lists.list_offsets[-1]),
    }
    shapes = {
        name: Shape(dtype, (lengths[name], width) if name == "codes" else (lengths[name],))
        for name, dtype in SETTLED_ARRAYS.items()
    }
    name = uuid.uuid4().hex
    row = SegmentRow(name, SETTLED, generation, n_passages, n_tokens, files.Written(0, 0))
    path = folder / SEGMENTS / row.file_name
    with files.ArrayWriter(path, shapes, _manifest(row)) as writer:
        for array_name, array in whole.items():
            writer.append(array_name, array)
        for gaps in lists.gaps():
            writer.append("list_gaps", gaps)
        for first, last in parts.spans(_TOKENS_AT_ONCE):
            for token_array, rows in parts.part(first, last).tokens.items():
                writer.append(token_array, rows)
    return row._replace(written=writer.written)


def append_rows(folder: Path, known: GenerationRow, rows: codec.Rows) -> dict[str, Piece]:
    """Append rows to the files of a codec, sync them, their names, and that of its folder.

    Needs the shape lock, and that it was swept since that was taken.

    (1) A writer appends; its COMMIT is written to the log, which then fails to be synced. (2) The
    next appends in place of that, other rows. (3) It is killed before its own commit, and whoever
    opens the catalog next reads the log to its end: the first one's chunk counts, and the second
    one's bytes are there. A sweep makes the log certain before (2), or finds the chunk in it.

    (1) A process reads commit 7, and has mapped the rows that it knows. (2) Rows are appended for
    commit 8. (3) It searches: what it has mapped is as it was, and it asks for nothing beyond.

    Parameters
    ----------
    known : GenerationRow
        The codec as it is; without chunks when it is new.
    """
    into = folder / CODEC / known.name
    files.make_folder(into)
    pieces = {
        name: files.append(rows_path(folder, known.name, name), known.n_bytes(name), array)
        for name, array in rows.items()
        if len(array)
    }
    files.sync_folder(into)
    files.sync_folder(into.parent)
    return pieces


def _manifest(row: SegmentRow) -> dict[str, str]:
    """What the header tells besides arrays: nothing that differs between two equal segments."""
    counts = {"n_passages": row.n_passages, "n_tokens": row.n_tokens}
    return {
        "format": str(FORMAT),
        "kind": row.kind,
        "generation": row.generation or "",
        "counts": json.dumps(counts),
        "writer": _writer(),
    }


def _writer() -> str:
    return f"interlace {VERSION}"

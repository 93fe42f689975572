"""Segments into files, each written once, and chunks onto them: docs/reference/format.md."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import numpy as np

from interlace import codec, files
from interlace.files import Piece, Shape
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
    """Write a settled segment, and sync its file; in memory is one block of passages at a time.

    That is about 24 bytes for each token of 65,536 passages, for its lists.

    The tokens are passed over twice: first to learn how long the posting lists are, which the
    header tells, then to write.

    Parameters
    ----------
    parts : Parts
    generation : str
        The codec's name.
    width : int
        Bytes of a token's residual codes.
    """
    n_passages, n_tokens = len(parts), parts.n_tokens
    n_blocks = n_cells = n_lists = n_postings = 0
    for part in parts.by_block():
        lists = postings.block(part.offsets, part.tokens, 0)
        n_blocks += 1
        n_cells = max(n_cells, int(part.tokens["heads"].max(initial=0) >> 16) + 1)
        n_lists += len(lists.list_places)
        n_postings += len(lists.list_ordinals)
    lengths = {
        **dict.fromkeys(("passages", "documents"), n_passages),
        "offsets": n_passages + 1,
        **dict.fromkeys(TOKEN_ARRAYS[SETTLED], n_tokens),
        **dict.fromkeys(("block_lists", "block_postings"), n_blocks + 1),
        "list_cells": n_blocks,
        "list_places": n_lists,
        "list_offsets": n_lists + n_blocks,
        "list_ordinals": n_postings,
    }
    widths = {"codes": (width,), "list_cells": (n_cells + 1,)}
    shapes = {
        name: Shape(dtype, (lengths[name], *widths.get(name, ())))
        for name, dtype in SETTLED_ARRAYS.items()
    }
    name = uuid.uuid4().hex
    row = SegmentRow(name, SETTLED, generation, n_passages, n_tokens, files.Written(0, 0))
    path = folder / SEGMENTS / row.file_name
    with files.ArrayWriter(path, shapes, _manifest(row)) as writer:
        for offsets in ("offsets", "block_lists", "block_postings"):
            writer.append(offsets, np.zeros(1, np.int64))
        n_tokens = n_lists = n_postings = 0
        for part in parts.by_block():
            lists = postings.block(part.offsets, part.tokens, n_cells)
            writer.append("passages", part.passages)
            writer.append("documents", part.documents)
            writer.append("offsets", part.offsets[1:] + n_tokens)
            for list_array, rows in lists._asdict().items():
                writer.append(list_array, rows)
            n_tokens += part.n_tokens
            n_lists += len(lists.list_places)
            n_postings += len(lists.list_ordinals)
            writer.append("block_lists", np.array([n_lists], np.int64))
            writer.append("block_postings", np.array([n_postings], np.int64))
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

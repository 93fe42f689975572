"""A segment on disk: immutable arrays of some passages. docs/reference/format.md is its page.

A *fresh* segment keeps every token as int8, as it was written. A *settled* one keeps leaves,
residual codes and posting lists. Both carry, for each ordinal, the passage's insertion number and
its document's, so the catalog needs no addresses and nothing is rewritten when segments merge.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from interlace import files
from interlace.errors import Corrupt, FormatTooNew
from interlace.files import Array, Arrays, Shape
from interlace.kernels import BLOCK, FreshArrays, Handle, Kernels, SettledArrays
from interlace.store import postings
from interlace.store.catalog import FORMAT, GenerationRow, SegmentRow
from interlace.version import VERSION

FRESH: Final = "fresh"
SETTLED: Final = "settled"

#: Folders of a collection, relative to its own.
SEGMENTS: Final = "segments"
CODEC: Final = "codec"

Numbers = npt.NDArray[np.int64]

_TOKENS_AT_ONCE = 1 << 18

_ROWS = {"passages": "<i8", "documents": "<i8", "offsets": "<i8"}
_FRESH = {**_ROWS, "codes": "i1", "scales": "<f4"}
_SETTLED = {
    **_ROWS,
    "leaves": "<u4",
    "codes": "u1",
    "norms": "u1",
    "factors": "u1",
    "block_offsets": "<i8",
    "list_leaves": "<u4",
    "list_offsets": "<i8",
    "list_ordinals": "<u2",
}


class Part(NamedTuple):
    """Some passages in insertion order, with all that a segment keeps of their tokens.

    Attributes
    ----------
    passages, documents : (n,) int64, insertion numbers
    lengths : (n,) int64, tokens of each passage
    tokens : mapping of name to (n_tokens, …) array
        Fresh: ``codes``, ``scales`` and, when every passage has them, ``token_ids``.
        Settled: ``leaves``, ``codes``, ``norms``, ``factors``.
    """

    passages: Numbers
    documents: Numbers
    lengths: Numbers
    tokens: Mapping[str, Array]

    @property
    def n_tokens(self) -> int:
        """Tokens of all passages."""
        return int(self.lengths.sum())

    @property
    def offsets(self) -> Numbers:
        """Where each passage's tokens begin, and the end."""
        return np.append(0, np.cumsum(self.lengths)).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """An opened segment: its arrays are read-only maps of the file."""

    row: SegmentRow
    path: Path
    arrays: Arrays

    @property
    def passages(self) -> Numbers:
        """Insertion numbers, ascending; the ordinal is the position."""
        return self.arrays["passages"]

    @property
    def documents(self) -> Numbers:
        """Insertion numbers of the passages' documents."""
        return self.arrays["documents"]

    @property
    def offsets(self) -> Numbers:
        """Where each passage's tokens begin, and the end."""
        return self.arrays["offsets"]

    def ordinals(self, numbers: Numbers) -> Numbers:
        """Ordinals of those of these insertion numbers that are here, ascending."""
        at = np.searchsorted(self.passages, numbers)
        at = at[at < len(self.passages)]
        found: Numbers = at[self.passages[at] == numbers[: len(at)]]
        return found

    def part(self, first: int, last: int, names: Sequence[str] = ()) -> Part:
        """The passages at ordinals ``[first, last)``, with all token arrays or those named."""
        offsets = self.offsets[first : last + 1]
        names = names or _TOKEN_ARRAYS[self.row.kind]
        span = slice(int(offsets[0]), int(offsets[-1]))
        tokens = {name: self.arrays[name][span] for name in names if name in self.arrays}
        return Part(self.passages[first:last], self.documents[first:last], np.diff(offsets), tokens)

    def load(self, kernels: Kernels, codec: Handle | None) -> Handle:
        """The segment as search calls take it."""
        arrays = self.arrays
        if self.row.kind == FRESH:
            fresh = FreshArrays(*(arrays[name] for name in FreshArrays._fields))
            return kernels.load_fresh(fresh, str(self.path))
        settled = SettledArrays(*(arrays[name] for name in SettledArrays._fields))
        return kernels.load_settled(settled, codec, str(self.path))


_TOKEN_ARRAYS = {
    FRESH: ("codes", "scales", "token_ids"),
    SETTLED: ("leaves", "codes", "norms", "factors"),
}


def in_memory(kind: str, part: Part) -> Segment:
    """A segment that has no file yet."""
    row = SegmentRow("", kind, None, len(part.passages), part.n_tokens, files.Written(0, 0))
    rows = {"passages": part.passages, "documents": part.documents, "offsets": part.offsets}
    return Segment(row, Path(), {**rows, **part.tokens})


# --- writing -------------------------------------------------------------------------------------
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
    """Write a settled segment in bounded memory, and sync its file.

    The leaves are passed over twice: first to learn how long the posting lists are, which the
    header tells, then to write.

    Parameters
    ----------
    parts : Parts
    generation : str
        The codec's name.
    width : int
        Bytes of a token's residual codes.
    """
    n_passages, n_tokens, n_lists, n_postings = len(parts), parts.n_tokens, 0, 0
    for part in parts.by_block():
        lists = postings.build(part.offsets, part.tokens["leaves"])
        n_lists += len(lists["list_leaves"])
        n_postings += len(lists["list_ordinals"])
    lengths = {
        **dict.fromkeys(("passages", "documents"), n_passages),
        "offsets": n_passages + 1,
        **dict.fromkeys(_TOKEN_ARRAYS[SETTLED], n_tokens),
        "block_offsets": -(-n_passages // BLOCK) + 1,
        "list_leaves": n_lists,
        "list_offsets": n_lists + 1,
        "list_ordinals": n_postings,
    }
    shapes = {
        name: Shape(dtype, (lengths[name], width) if name == "codes" else (lengths[name],))
        for name, dtype in _SETTLED.items()
    }
    name = uuid.uuid4().hex
    row = SegmentRow(name, SETTLED, generation, n_passages, n_tokens, files.Written(0, 0))
    path = folder / SEGMENTS / row.file_name
    with files.ArrayWriter(path, shapes, _manifest(row)) as writer:
        for offsets in ("offsets", "block_offsets", "list_offsets"):
            writer.append(offsets, np.zeros(1, np.int64))
        n_tokens = n_lists = n_postings = 0
        for part in parts.by_block():
            lists = postings.build(part.offsets, part.tokens["leaves"])
            writer.append("passages", part.passages)
            writer.append("documents", part.documents)
            writer.append("offsets", part.offsets[1:] + n_tokens)
            writer.append("block_offsets", lists["block_offsets"][1:] + n_lists)
            writer.append("list_leaves", lists["list_leaves"])
            writer.append("list_offsets", lists["list_offsets"][1:] + n_postings)
            writer.append("list_ordinals", lists["list_ordinals"])
            n_tokens += part.n_tokens
            n_lists += len(lists["list_leaves"])
            n_postings += len(lists["list_ordinals"])
        for first, last in parts.spans(_TOKENS_AT_ONCE):
            for token_array, rows in parts.part(first, last).tokens.items():
                writer.append(token_array, rows)
    return row._replace(written=writer.written)


def write_chunk(
    folder: Path, generation: str, number: int, chunk: Mapping[str, Array]
) -> files.Written:
    """Write a chunk of a codec, sync it, and sync the codec's folder."""
    into = folder / CODEC / generation
    files.make_folder(into)
    manifest = {"format": str(FORMAT), "kind": "codec", "writer": _writer()}
    written = files.write_arrays(into / f"{number}.codec", chunk, manifest)
    files.sync_folder(into)
    return written


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


# --- reading -------------------------------------------------------------------------------------
def open_segment(folder: Path, row: SegmentRow, width: int, dim: int) -> Segment:
    """Map a segment and check that it is what the catalog says it is.

    Parameters
    ----------
    width : int
        Bytes of a token's residual codes in a settled segment.

    Raises
    ------
    Corrupt, FormatTooNew
    FileNotFoundError
        When the file is gone.
    """
    path = folder / SEGMENTS / row.file_name
    arrays, manifest = files.open_arrays(path, row.written)
    _check_format(path, manifest)
    expected = _FRESH if row.kind == FRESH else _SETTLED
    n_passages, n_tokens = row.n_passages, row.n_tokens
    shapes: dict[str, tuple[int, ...]] = {
        "passages": (n_passages,),
        "documents": (n_passages,),
        "offsets": (n_passages + 1,),
        "block_offsets": (-(-n_passages // BLOCK) + 1,),
        "codes": (n_tokens, dim if row.kind == FRESH else width),
        **dict.fromkeys(("scales", "leaves", "norms", "factors", "token_ids"), (n_tokens,)),
    }
    for name, dtype in {**expected, "token_ids": "<i4"}.items():
        array = arrays.get(name)
        if array is None:
            if name in expected:
                raise _corrupt(path, f"an array {name}", "none")
            continue
        if array.dtype != np.dtype(dtype) or array.shape != shapes.get(name, array.shape):
            raise _corrupt(
                path,
                f"{name} {np.dtype(dtype)} {shapes.get(name, '')}",
                f"{array.dtype} {array.shape}",
            )
    return Segment(row, path, arrays)


def open_chunks(folder: Path, row: GenerationRow) -> list[Arrays]:
    """Map the chunks of a codec."""
    chunks = []
    for number, written in enumerate(row.chunks):
        path = chunk_path(folder, row.name, number)
        arrays, manifest = files.open_arrays(path, written)
        _check_format(path, manifest)
        chunks.append(arrays)
    return chunks


def chunk_path(folder: Path, generation: str, number: int) -> Path:
    """The file of a chunk."""
    return folder / CODEC / generation / f"{number}.codec"


def _check_format(path: Path, manifest: Mapping[str, str]) -> None:
    found = manifest.get("format", "")
    if not found.isdigit():
        raise _corrupt(path, "a format number", repr(found))
    if int(found) > FORMAT:
        raise FormatTooNew(
            f"a file has format {found}: {path}: this version reads formats up to {FORMAT}. "
            "Upgrade interlace (pip install --upgrade interlace)."
        )


def _corrupt(path: Path, expected: str, found: str) -> Corrupt:
    return Corrupt(
        f"a segment is damaged: {path}: expected {expected}, found {found}. "
        "Run `interlace verify`, then restore the folder or index the documents again."
    )


# --- many segments as one list of passages -------------------------------------------------------
class Parts:
    """The live passages of some segments of one kind, in insertion order, read part by part.

    Parameters
    ----------
    segments : sequence of Segment
    dead : (n,) int64
        Insertion numbers to leave out, ascending.
    """

    def __init__(self, segments: Sequence[Segment], dead: Numbers) -> None:
        self._segments = segments
        alive, lengths, owners, numbers = [], [], [], []
        for owner, segment in enumerate(segments):
            lives = np.ones(len(segment.passages), bool)
            lives[segment.ordinals(dead)] = False
            alive.append(np.flatnonzero(lives))
            lengths.append(np.diff(segment.offsets)[lives])
            owners.append(np.full(len(alive[-1]), owner, np.int64))
        numbers = [
            segment.passages[ordinals] for segment, ordinals in zip(segments, alive, strict=True)
        ]
        order = np.argsort(_joined(numbers), kind="stable")
        self._ordinals, self._owners = _joined(alive)[order], _joined(owners)[order]
        self.lengths = _joined(lengths)[order]

    def __len__(self) -> int:
        return len(self._ordinals)

    @property
    def n_tokens(self) -> int:
        """Tokens of all live passages."""
        return int(self.lengths.sum())

    def part(self, first: int, last: int, names: Sequence[str] = ()) -> Part:
        """Passages ``[first, last)`` of the list, with all token arrays or those named."""
        return self.take(np.arange(first, last), names)

    def take(self, at: Numbers, names: Sequence[str] = ()) -> Part:
        """The passages at these positions, ascending."""
        owners, ordinals = self._owners[at], self._ordinals[at]
        breaks = np.flatnonzero((np.diff(owners) != 0) | (np.diff(ordinals) != 1)) + 1
        starts = np.append(0, breaks)[: len(at)]
        ends = np.append(breaks, len(at))[: len(starts)]
        runs = [
            self._segments[owners[start]].part(
                int(ordinals[start]), int(ordinals[end - 1]) + 1, names
            )
            for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
        ]
        return joined(runs, self._segments)

    def spans(self, n_tokens_max: int) -> Iterator[tuple[int, int]]:
        """Cut the list into spans of at most so many tokens, but at least a passage."""
        ends = np.cumsum(self.lengths)
        first = 0
        while first < len(self):
            before = int(ends[first - 1]) if first else 0
            last = int(np.searchsorted(ends, before + n_tokens_max, side="right"))
            last = max(last, first + 1)
            yield first, last
            first = last

    def by_block(self) -> Iterator[Part]:
        """The leaves of one block of posting lists after another."""
        for first in range(0, len(self), BLOCK):
            yield self.part(first, min(first + BLOCK, len(self)), ("leaves",))


def joined(parts: Sequence[Part], segments: Sequence[Segment] = ()) -> Part:
    """Parts one after another; an array that one of them lacks is left out.

    ``segments`` tells the arrays' names and widths where there are no parts.
    """
    if not parts:
        return segments[0].part(0, 0)
    if len(parts) == 1:
        return parts[0]
    names = [name for name in parts[0].tokens if all(name in part.tokens for part in parts)]
    return Part(
        np.concatenate([part.passages for part in parts]),
        np.concatenate([part.documents for part in parts]),
        np.concatenate([part.lengths for part in parts]),
        {name: np.concatenate([part.tokens[name] for part in parts]) for name in names},
    )


def _joined(arrays: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return np.concatenate(arrays) if len(arrays) else np.empty(0, np.int64)

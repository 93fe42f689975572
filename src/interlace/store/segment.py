"""A segment on disk: immutable arrays of some passages. docs/reference/format.md is its page.

A *fresh* segment keeps every token as int8, as it was written. A *settled* one keeps leaves,
residual codes and posting lists. Both carry, for each ordinal, the passage's insertion number and
its document's, so the catalog needs no addresses and nothing is rewritten when segments merge.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from interlace import codec, files
from interlace.errors import Corrupt, FormatTooNew
from interlace.files import Array, Arrays
from interlace.kernels import FreshArrays, Handle, Kernels, SettledArrays
from interlace.store.rows import FORMAT, GenerationRow, SegmentRow

FRESH: Final = "fresh"
SETTLED: Final = "settled"

#: Folders of a collection, relative to its own.
SEGMENTS: Final = "segments"
CODEC: Final = "codec"

Numbers = npt.NDArray[np.int64]

_ROWS = {"passages": "<i8", "documents": "<i8", "offsets": "<i8"}
FRESH_ARRAYS = {**_ROWS, "codes": "i1", "scales": "<f4"}
SETTLED_ARRAYS = {
    **_ROWS,
    "heads": "<u4",
    "codes": "u1",
    "list_cells": "<u4",
    "list_places": "u1",
    "list_offsets": "<i8",
    "list_gaps": "<u2",
}


class Part(NamedTuple):
    """Some passages in insertion order, with all that a segment keeps of their tokens.

    Attributes
    ----------
    passages, documents : (n,) int64, insertion numbers
    lengths : (n,) int64, tokens of each passage
    tokens : mapping of name to (n_tokens, …) array
        Fresh: ``codes``, ``scales`` and, when some passage has them, ``token_ids``, -1 elsewhere.
        Settled: ``heads``, ``codes``.
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
        if not len(self.passages):
            return np.empty(0, np.int64)
        first = np.searchsorted(numbers, self.passages[0])
        last = np.searchsorted(numbers, self.passages[-1], side="right")
        numbers = numbers[first:last]  # most are far from here, and not worth a search each
        at = np.searchsorted(self.passages, numbers)
        found: Numbers = at[self.passages[at] == numbers]
        return found

    def part(self, first: int, last: int, names: Sequence[str] = ()) -> Part:
        """The passages at ordinals ``[first, last)``, with all token arrays or those named."""
        offsets = self.offsets[first : last + 1]
        names = names or TOKEN_ARRAYS[self.row.kind]
        span = slice(int(offsets[0]), int(offsets[-1]))
        tokens = {name: self.arrays[name][span] for name in names if name in self.arrays}
        return Part(self.passages[first:last], self.documents[first:last], np.diff(offsets), tokens)

    def load(self, kernels: Kernels, codec_handle: Handle | None) -> Handle:
        """The segment as search calls take it."""
        arrays = self.arrays
        if self.row.kind == FRESH:
            fresh = FreshArrays(*(arrays[name] for name in FreshArrays._fields))
            return kernels.load_fresh(fresh, str(self.path))
        settled = SettledArrays(*(arrays[name] for name in SettledArrays._fields))
        return kernels.load_settled(settled, codec_handle, str(self.path))


TOKEN_ARRAYS = {
    FRESH: ("codes", "scales", "token_ids"),
    SETTLED: ("heads", "codes"),
}


def in_memory(kind: str, part: Part) -> Segment:
    """A segment that has no file yet."""
    row = SegmentRow("", kind, None, len(part.passages), part.n_tokens, files.Written(0, 0))
    rows = {"passages": part.passages, "documents": part.documents, "offsets": part.offsets}
    return Segment(row, Path(), {**rows, **part.tokens})


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
    expected = FRESH_ARRAYS if row.kind == FRESH else SETTLED_ARRAYS
    n_passages, n_tokens = row.n_passages, row.n_tokens
    n_lists = len(arrays.get("list_places", ()))
    shapes: dict[str, tuple[int, ...]] = {
        "passages": (n_passages,),
        "documents": (n_passages,),
        "offsets": (n_passages + 1,),
        "list_cells": (max(1, arrays.get("list_cells", np.empty(0)).size),),
        "list_offsets": (n_lists + 1,),
        "codes": (n_tokens, dim if row.kind == FRESH else width),
        **dict.fromkeys(("scales", "heads", "token_ids"), (n_tokens,)),
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
    passages, documents = arrays["passages"], arrays["documents"]
    if (passages[:-1] >= passages[1:]).any():
        raise _corrupt(path, "ascending passages", "others")
    if min(passages[:1].min(initial=0), documents.min(initial=0)) < 0:
        raise _corrupt(path, "insertion numbers from 0", "a negative one")
    return Segment(row, path, arrays)


def open_codec(folder: Path, row: GenerationRow, bits: int, dim: int) -> codec.Rows:
    """Map the rows of a codec that a commit sees, and check that training could have made them.

    Raises
    ------
    Corrupt
    FileNotFoundError
        When a file is gone.
    """
    rows, ends = {}, {}
    for array, dtype in codec.DTYPES.items():
        shape = (-1, dim) if dtype == "i1" else (-1,)
        width, n_bytes = np.dtype(dtype).itemsize * abs(math.prod(shape)), row.n_bytes(array)
        path, lengths = rows_path(folder, row.name, array), [p.n_bytes for p in row.pieces(array)]
        if any(length % width for length in lengths):
            raise _corrupt(path, f"rows of {width} bytes", f"pieces of {lengths}")
        content = files.open_rows(path, n_bytes) if n_bytes else np.empty(0, np.uint8)
        rows[array] = content.view(dtype).reshape(shape)
        ends[array] = (np.cumsum(lengths, dtype=np.int64) // width).tolist()
    for array in row.arrays:
        if array not in codec.DTYPES:
            raise _corrupt(rows_path(folder, row.name, array), "an array of a codec", array)
    for fault in codec.faults(row.description, rows, ends, bits, dim):
        inside = folder / CODEC / row.name
        at = inside if fault.array is None else rows_path(folder, row.name, fault.array)
        raise _corrupt(at, fault.expected, fault.found)
    return rows


def rows_path(folder: Path, generation: str, array: str) -> Path:
    """The file of an array of a codec."""
    return folder / CODEC / generation / f"{array}.codec"


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
    return Corrupt.at(path, expected, found)

"""Whether a codec that was read from disk is one that training could have made.

What searches and settling rely on: shapes, ids in range, finite scales. Costs a pass over the small
arrays of the chunks; the levels themselves may be anything.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

_DTYPES = {
    "cells": "i1", "cell_scales": "<f4", "cell_types": "<i4", "leaves": "i1", "leaf_scales": "<f4",
    "leaf_cells": "<u4", "groups": "i1", "group_scales": "<f4", "cell_groups": "<u4",
    "routers": "i1", "router_scales": "<f4", "n_tokens": "<i8",
}  # fmt: skip

_TOGETHER = (
    ("cells", "cell_scales", "cell_types", "cell_groups"),
    ("groups", "group_scales"),
    ("leaves", "leaf_scales", "leaf_cells"),
    ("routers", "router_scales"),
)
"""Arrays of one length, of which a chunk has all or, but for cells and groups, none."""

_Chunk = Mapping[str, npt.NDArray[Any]]


class Fault(NamedTuple):
    """What no training makes, and the number of its chunk; None is the description."""

    chunk: int | None
    expected: str
    found: str


def faults(
    description: Mapping[str, Any], chunks: Sequence[_Chunk], bits: int, dim: int
) -> Iterator[Fault]:
    """What is wrong with a codec of so many bits and dims, first things first."""
    for name, wanted in (("bits", bits), ("dim", dim)):
        found = description.get(name)
        if found != wanted or isinstance(found, bool):
            yield Fault(None, f"{name} {wanted}", repr(found))
    if not isinstance(description.get("typed"), bool):
        yield Fault(None, "whether token types are known", repr(description.get("typed")))
    fairness = description.get("fairness")
    if not isinstance(fairness, float) or not (math.isfinite(fairness) and fairness > 0):
        yield Fault(None, "a fairness above 0", repr(fairness))
    residual = description.get("residual")
    if not isinstance(residual, float) or not (math.isfinite(residual) and residual >= 0):
        yield Fault(None, "a mean residual from 0", repr(residual))
    if not chunks:
        yield Fault(None, "a chunk", "none")
    n_cells = n_groups = 0
    for number, chunk in enumerate(chunks):
        wrong = [Fault(number, *pair) for pair in _shapes(chunk, dim)]
        if not wrong:
            n_old, n_cells = n_cells, n_cells + len(chunk["cell_types"])
            n_groups += len(chunk["groups"])
            wrong = [Fault(number, *pair) for pair in _contents(chunk, n_old, n_cells, n_groups)]
        yield from wrong
        if wrong:
            return  # the next chunk counts on from this one
    if chunks and not n_cells:
        yield Fault(0, "a cell", "none")
    if description.get("typed") is False and chunks and "routers" not in chunks[0]:
        yield Fault(0, "routers", "none")


def _shapes(chunk: _Chunk, dim: int) -> Iterator[tuple[str, str]]:
    for name, array in chunk.items():
        dtype = _DTYPES.get(name)
        if dtype is None:
            yield "arrays of a codec", name
        elif array.dtype != np.dtype(dtype):
            yield f"{name} of {np.dtype(dtype)}", str(array.dtype)
    if "n_tokens" not in chunk or chunk["n_tokens"].shape != (1,):
        yield (
            "n_tokens of shape (1,)",
            str(chunk["n_tokens"].shape if "n_tokens" in chunk else "none"),
        )
    for names in _TOGETHER:
        there = [name for name in names if name in chunk]
        if not there and names[0] not in ("cells", "groups"):
            continue
        if len(there) < len(names):
            yield ", ".join(names), ", ".join(there) or "none"
            continue
        n = len(chunk[names[0]])
        shapes = [(n, dim), *[(n,)] * (len(names) - 1)]
        for name, shape in zip(names, shapes, strict=True):
            if chunk[name].shape != shape:
                yield f"{name} of shape {shape}", str(chunk[name].shape)


def _contents(chunk: _Chunk, n_old: int, n_cells: int, n_groups: int) -> Iterator[tuple[str, str]]:
    for name in ("group_scales", "cell_scales", "leaf_scales", "router_scales"):
        if name in chunk:
            scales = chunk[name]
            bad = ~((scales >= 0) & (scales <= 1))
            if bad.any():
                yield f"{name} from 0 to 1", str(scales[bad][0])
    if (chunk["cell_groups"][:-1] > chunk["cell_groups"][1:]).any():
        yield "ascending groups of cells", "others"
    if n_cells > 1 << 16:
        yield "at most 65536 cells", str(n_cells)
    if len(chunk["cell_groups"]) and chunk["cell_groups"].max() >= n_groups:
        yield f"groups below {n_groups}", str(chunk["cell_groups"].max())
    if "leaf_cells" in chunk:
        parents = chunk["leaf_cells"]
        if len(parents) and parents.max() >= n_cells:
            yield f"cells below {n_cells}", str(parents.max())
        elif (parents[:-1] > parents[1:]).any():
            yield "ascending cells of leaves", "others"
        elif len(np.unique(parents[parents >= n_old])) < n_cells - n_old:
            yield "a leaf of each new cell", "a cell without"

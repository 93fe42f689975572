"""Whether a codec that was read from disk is one that training could have made.

What searches and settling rely on: lengths, ids in range, finite scales. Costs a pass over the
small arrays; the levels themselves may be anything.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from interlace.codec.residual import Rows

_TOGETHER = (
    ("cells", "cell_scales", "cell_types", "cell_groups"),
    ("groups", "group_scales"),
    ("leaves", "leaf_scales", "leaf_cells"),
    ("routers", "router_scales"),
)
"""Arrays of which a chunk has equally many rows."""


class Fault(NamedTuple):
    """What no training makes, and the name of its array; None is the description."""

    array: str | None
    expected: str
    found: str


def faults(
    description: Mapping[str, Any],
    rows: Rows,
    ends: Mapping[str, Sequence[int]],
    bits: int,
    dim: int,
) -> Iterator[Fault]:
    """What is wrong with a codec of so many bits and dims, first things first.

    Parameters
    ----------
    rows : mapping of name to array
        Of a codec, as ``Generation`` has them.
    ends : mapping of name to sequence of int
        Where the rows of each chunk end.
    """
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
    unit = description.get("unit")
    if not isinstance(unit, float) or not 0 < unit <= 1:
        yield Fault(None, "a unit of residuals from 0 to 1", repr(unit))
    wrong = list(_lengths(rows, ends))
    yield from wrong or _contents(rows, ends)
    if description.get("typed") is False and not len(rows["routers"]):
        yield Fault("routers", "routers", "none")


def _lengths(rows: Rows, ends: Mapping[str, Sequence[int]]) -> Iterator[Fault]:
    for first, *others in _TOGETHER:
        for name in others:
            if ends[name] != ends[first]:
                yield Fault(name, f"as many rows as {first}", f"{ends[name]}, not {ends[first]}")
    if not len(rows["cells"]):
        yield Fault("cells", "a cell", "none")
    if len(rows["cells"]) > 1 << 16:
        yield Fault("cells", "at most 65536 cells", str(len(rows["cells"])))


def _contents(rows: Rows, ends: Mapping[str, Sequence[int]]) -> Iterator[Fault]:
    for name in ("group_scales", "cell_scales", "leaf_scales", "router_scales"):
        least, most = rows[name].min(initial=0), rows[name].max(initial=0)  # NaN is both
        if not (least >= 0 and most <= 1):
            yield Fault(name, "scales from 0 to 1", f"{least} to {most}")
    groups = rows["cell_groups"]
    yield from _parents("cell_groups", groups, _starts(groups), ends["cells"], ends["groups"])
    if not len(rows["leaves"]):
        return  # the cells are the leaves
    cells = rows["leaf_cells"]
    starts = _starts(cells)
    wrong = list(_parents("leaf_cells", cells, starts, ends["leaves"], ends["cells"]))
    yield from wrong
    if not wrong:
        has_leaf = np.zeros(len(rows["cells"]), bool)
        has_leaf[cells[starts]] = True
        if not has_leaf.all():
            yield Fault("leaf_cells", "a leaf of each cell", "a cell without")


def _starts(numbers: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Where runs of one number begin."""
    changes = np.ones(len(numbers), bool)
    np.not_equal(numbers[1:], numbers[:-1], out=changes[1:])
    return np.flatnonzero(changes)


def _parents(
    name: str,
    parents: npt.NDArray[Any],
    starts: npt.NDArray[np.int64],
    ends: Sequence[int],
    below: Sequence[int],
) -> Iterator[Fault]:
    """Whether those of each chunk ascend, up to what there is by then."""
    runs = parents[starts]
    falls = starts[1:][runs[1:] < runs[:-1]]
    if not set(falls.tolist()) <= set(ends):
        yield Fault(name, "ascending numbers in a chunk", "others")
        return
    first = 0
    for end, bound in zip(ends, below, strict=True):
        if end > first and parents[end - 1] >= bound:
            yield Fault(name, f"numbers below {bound}", str(parents[end - 1]))
        first = end

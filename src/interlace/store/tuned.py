"""What a collection was tuned to: knobs that were measured on it, kept in its catalog."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Tuned:
    """The knobs of ``effort="tuned"``, and what was measured with them.

    Attributes
    ----------
    knobs : mapping or None
        The fields of an ``Effort``; None when nothing less than ``exhaustive`` was enough.
    wanted : float
        The recall that was asked for.
    recall : float
        What was measured: the share of the ``k`` best that exhaustive search finds.
    k : int
    p50_us : float
        Median microseconds of a search with these knobs, on one thread.
    n_queries : int
        Of which recall and time were measured.
    n_passages : int
        How many the collection held.
    """

    knobs: Mapping[str, int] | None
    wanted: float
    recall: float
    k: int
    p50_us: float
    n_queries: int
    n_passages: int

    def to_json(self) -> str:
        """As the catalog keeps it."""
        return json.dumps(dataclasses.asdict(self), allow_nan=False)

    def is_outgrown(self, n_passages: int) -> bool:
        """Whether a collection of this size is so unlike that one that it should be tuned again."""
        return not self.n_passages <= 2 * n_passages <= 4 * self.n_passages


def tuned_from(value: Mapping[str, Any] | None) -> Tuned | None:
    """What the catalog keeps; None where it keeps nothing that this version understands."""
    if value is None or {field.name for field in dataclasses.fields(Tuned)} != set(value):
        return None
    return Tuned(**value)

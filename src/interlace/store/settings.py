"""What a collection is made with; kept in its catalog, and changed by a rebuild alone."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from interlace import codec
from interlace.errors import SettingsError

DIM_MAX = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The settings of a collection.

    Attributes
    ----------
    dim : int
        Coordinates of a token embedding.
    codec : str
        A name of ``codec.NAMES``: how settled segments are coded.
    seed : int
        Of the rotation and of every sample; the same embeddings and seed give the same files.
    model : mapping or None
        Who made the embeddings: name, revision, fingerprint, precision, lengths. None for one's
        own embeddings.
    passages : mapping
        How documents were split; the store only keeps it.
    pooling : mapping
        How the embeddings of a passage were made fewer; the store only keeps it.
    first_budget_tokens : int
        Fresh tokens that are scanned before the codec is first trained.
    fresh_budget_tokens : int
        Fresh tokens that are scanned once there is a codec.
    memory_bytes_max : int
        Bounds what a writer buffers, and what settling and merging hold.
    """

    dim: int
    codec: str = "residual4"
    seed: int = 0
    model: Mapping[str, Any] | None = None
    passages: Mapping[str, Any] = field(default_factory=dict)
    pooling: Mapping[str, Any] = field(default_factory=dict)
    first_budget_tokens: int = 1_000_000
    fresh_budget_tokens: int = 32_768
    memory_bytes_max: int = 512 * 2**20

    def __post_init__(self) -> None:
        codec.check_name(self.codec)
        _check("dim", self.dim, 1, DIM_MAX)
        _check("seed", self.seed, 0, 2**63 - 1)
        _check("first_budget_tokens", self.first_budget_tokens, 0, 2**40)
        _check("fresh_budget_tokens", self.fresh_budget_tokens, 0, 2**40)
        _check("memory_bytes_max", self.memory_bytes_max, 2**20, 2**50)

    def to_json(self) -> str:
        """The settings as the catalog keeps them."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, allow_nan=False)

    @property
    def buffer_tokens_max(self) -> int:
        """Tokens that may be held as int8 at once, with room for a copy."""
        return max(1_024, min(1_000_000, self.memory_bytes_max // (2 * self.dim + 64)))

    @property
    def sample_tokens_max(self) -> int:
        """Tokens that a codec may be trained on: clustering sorts a copy."""
        return max(1_024, self.memory_bytes_max // (4 * self.dim + 64))


def _check(name: str, value: object, lowest: int, highest: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise SettingsError(
            f"{name} is out of range: {value!r}. Give a whole number from {lowest} to {highest}."
        )

"""Small documents with made-up matrices, for tests that need a store and no model."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from interlace import store
from interlace.types import Document, Encoded, Id, Passage

DIM = 16
N_TYPES = 24

Record = tuple[Document, str, list[Passage], list[Encoded]]


def settings(**changed: Any) -> store.Settings:
    """Settings under which settling happens after a few dozen documents."""
    small = {"dim": DIM, "first_budget_tokens": 600, "fresh_budget_tokens": 200}
    return store.Settings(**{**small, **changed})


def matrix(seed: int, n_tokens: int, dim: int = DIM, n_types: int = N_TYPES):
    """Unit rows near one centre a token type, and their types."""
    rng = np.random.default_rng([seed, n_tokens])
    centres = np.random.default_rng(7).normal(size=(n_types, dim))
    types = rng.integers(0, n_types, n_tokens).astype(np.int32)
    rows = centres[types] + 0.4 * rng.normal(size=(n_tokens, dim))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32), types


def record(
    id_: Id,
    text: str | None = None,
    *,
    metadata: Mapping[str, Any] | None = None,
    n_passages: int = 1,
    n_tokens: int = 10,
    seed: int | None = None,
    typed: bool = True,
    dim: int = DIM,
) -> Record:
    """A document cut into passages of equal length, as ``Writer.add`` takes it."""
    text = f"the text of {id_!r}, which is long enough to cut" if text is None else text
    if seed is None:
        seed = int.from_bytes(hashlib.sha256(repr((id_, text)).encode()).digest()[:4], "little")
    cuts = [len(text) * i // max(n_passages, 1) for i in range(n_passages + 1)]
    passages = [
        Passage(id_, i, start, end, text[start:end])
        for i, (start, end) in enumerate(itertools.pairwise(cuts))
    ]
    encoded = []
    for i in range(n_passages):
        rows, types = matrix(seed + i, n_tokens, dim)
        encoded.append(Encoded(rows, types if typed else None))
    content_hash = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return Document(text, id_, metadata or {}), content_hash, passages, encoded


def add(opened: store.Store, *records: Record) -> int:
    """One commit with these documents; its number."""
    with opened.write() as writer:
        for one in records:
            writer.add(*one)
    return opened.commit


def fill(opened: store.Store, first: int, last: int, **options: Any) -> None:
    """One commit with documents of ids ``first`` to ``last - 1``."""
    add(opened, *(record(i, **options) for i in range(first, last)))


def found(opened: store.Store, one: Record, k: int = 1, effort: str = "exhaustive") -> list[Id]:
    """Ids of the best documents for the first passage's own matrix."""
    snapshot = opened.snapshot()
    rows = store.search(snapshot, one[3][0].matrix, k, effort=effort).rows
    return [passage.id for passage in snapshot.passages(rows)]


def listing(folder: Path) -> list[str]:
    """Segment and codec files, relative."""
    files = [*folder.glob("segments/*"), *folder.glob("codec/*/*")]
    return sorted(str(path.relative_to(folder)) for path in files)


def contents(folder: Path) -> list[str]:
    """A digest of each segment and codec file, whatever its name."""
    return sorted(
        hashlib.sha256((folder / name).read_bytes()).hexdigest() + Path(name).suffix
        for name in listing(folder)
    )

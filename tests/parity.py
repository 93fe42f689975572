"""What the reference packages make of the golden checkpoints (``golden/models``)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parent / "golden" / "models"
REFERENCE = GOLDEN / "reference"
EXPORTS = GOLDEN / "exports"
ROLES = ("query", "document")
TEXTS: dict[str, str] = json.loads((GOLDEN / "texts.json").read_text(encoding="utf-8"))

#: Whose format it is, by how a checkpoint's name begins: the package that we follow.
MAKERS = {"stanford": "colbert-ai", "pylate": "pylate", "native": "sentence-transformers"}

#: How far apart embeddings of unit length may be.
TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class Encoded:
    """One text: ids, attention and kept (n_positions,); embeddings (n_kept, dim) float32.

    Of a package that is not the checkpoint's maker, embeddings are None, and ``distance`` says how
    far they are from the maker's at most, where they are of the same tokens.
    """

    ids: np.ndarray
    attention: np.ndarray
    kept: np.ndarray
    embeddings: np.ndarray | None
    distance: float


def checkpoints() -> list[str]:
    """The names of all golden checkpoints."""
    return sorted({path.name.split(".")[0] for path in REFERENCE.glob("*.npz")})


def folder(name: str) -> Path:
    """Where a checkpoint is; those of real weights are only where ``make.py`` was run."""
    return GOLDEN / ("large" if name.endswith("minilm") else "checkpoints") / name


def maker(name: str) -> str:
    return MAKERS[name.partition("-")[0]]


def others(name: str) -> list[str]:
    """The packages, apart from its maker, that can load a checkpoint."""
    found = [path.name.removeprefix(f"{name}.") for path in REFERENCE.glob(f"{name}.*.npz")]
    return sorted({one.removesuffix(".npz") for one in found} - {maker(name)})


def read(name: str, package: str, role: str, where: Path = REFERENCE) -> dict[str, Encoded]:
    """What a package made of each text, by the text's name."""
    with np.load(where / f"{name}.{package}.npz") as file:
        part = {key.partition(".")[2]: file[key] for key in file if key.startswith(f"{role}.")}
    bounds = np.cumsum(part["positions"].astype(int))[:-1]
    ids, attention, kept = (np.split(part[key], bounds) for key in ("ids", "attention", "kept"))
    rows: list[np.ndarray | None] = [None] * len(ids)
    if "embeddings" in part:
        rows = [*np.split(part["embeddings"], np.cumsum([one.sum() for one in kept])[:-1])]
    apart = part.get("distance", np.zeros(len(ids)))
    whole = zip(ids, attention, kept, rows, map(float, apart), strict=True)
    return {text: Encoded(*one) for text, one in zip(TEXTS, whole, strict=True)}


def differs(ours: Encoded, theirs: Encoded) -> str | None:
    """The first thing that two packages disagree on for one text."""
    for what in ("ids", "attention", "kept"):
        if not np.array_equal(getattr(ours, what), getattr(theirs, what)):
            return what
    return "embeddings" if max(ours.distance, theirs.distance) > TOLERANCE else None


def disagreements(name: str, package: str, role: str) -> dict[str, str]:
    """The texts that a package takes otherwise than the checkpoint's maker, and in what."""
    pairs = zip(
        TEXTS, read(name, maker(name), role).values(), read(name, package, role).values(),
        strict=True,
    )  # fmt: skip
    found = {text: differs(ours, theirs) for text, ours, theirs in pairs}
    return {text: what for text, what in found.items() if what is not None}


def table() -> str:
    """The table of docs/explanation/checkpoints.md: how many texts are taken otherwise."""
    rows = ["| checkpoint | package | queries | documents |", "|---|---|---|---|"]
    for name in checkpoints():
        for package in others(name):
            counts = (_counted(disagreements(name, package, role)) for role in ROLES)
            rows.append(f"| {name} | {package} | {' | '.join(counts)} |")
    return "\n".join(rows) + "\n"


def _counted(found: dict[str, str]) -> str:
    words = {"ids": "other tokens", "attention": "other attention", "kept": "other rows"}
    counts = {what: [*found.values()].count(what) for what in dict.fromkeys(found.values())}
    said = (f"{n} {words.get(what, 'other vectors')}" for what, n in counts.items())
    return ", ".join(said) or "the same"

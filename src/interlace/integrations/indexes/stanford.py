"""Stanford ColBERT's index: chunks of codes and residuals as torch writes them."""

from __future__ import annotations

from pathlib import Path

from interlace.integrations.indexes.arrays import Stored, refuse, torch_tensors
from interlace.integrations.indexes.plaid import Chunk, Codec, Index, described, lengths


def read(folder: Path) -> Index:
    """Open an index that ``Indexer.index`` has made, and ``IndexUpdater`` changed, perhaps.

    Raises
    ------
    InputError
        When a file is damaged or missing.
    """
    said, n_chunks = described(folder / "metadata.json")
    _, weights = _tensors(folder / "buckets.pt", 2)
    config = said.get("config")
    model = config.get("checkpoint") if isinstance(config, dict) else None
    return Index(
        folder,
        "stanford",
        Codec.of(_tensors(folder / "centroids.pt", 1)[0], weights),
        [
            Chunk(
                lengths(folder / f"doclens.{number}.json"),
                _tensors(folder / f"{number}.codes.pt", 1)[0],
                _tensors(folder / f"{number}.residuals.pt", 1)[0],
            )
            for number in range(n_chunks)
        ],
        model=model if isinstance(model, str) else None,
    )


def _tensors(path: Path, n: int) -> list[Stored]:
    found = torch_tensors(path)
    if len(found) != n:
        refuse(path, f"a file of the index has {len(found)} tensors where {n} are expected")
    return found

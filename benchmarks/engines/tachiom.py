"""tachiom (Martinico et al., SIGIR 2026): Rust, in memory, static."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tachiom import Tachiom

from engines.worker import Data, Ranked


def _setting(cells: int, scored: int, ef: int, alpha: float | None) -> dict[str, Any]:
    return {"k_centroids": cells, "k_docs_to_score": scored, "ef_search": ef, "alpha": alpha}


class Engine:
    """Settings are named k_centroids, k_docs_to_score, ef_search, alpha."""

    packages = ("tachiom", "numpy")
    settings: Mapping[str, Mapping[str, Any]] = {
        "10, 100, 15, .45": _setting(10, 100, 15, 0.45),
        "20, 500, 30, .1": _setting(20, 500, 30, 0.1),
        "20, 250, 30, .45": _setting(20, 250, 30, 0.45),
        "default": {},
        "40, 500, 60, .35": _setting(40, 500, 60, 0.35),
        "80, 1000, 120, none": _setting(80, 1000, 120, None),
        "160, 4000, 240, none": _setting(160, 4000, 240, None),
    }

    def __init__(self, data: Data, index: Path) -> None:
        self.data, self.index = data, index

    def build(self) -> None:
        self.index.mkdir(parents=True, exist_ok=True)
        halves = self.data.matrix.view(np.uint16)  # the one type that it takes them as
        ids = self.data.token_ids.astype(np.uint32)
        lengths = np.diff(self.data.offsets).astype(np.int32)
        built = Tachiom.build_from_arrays(np.asarray(halves), ids, lengths)
        built.save(str(self.index / "index.bin"))

    def open(self) -> None:
        self.opened = Tachiom.load(str(self.index / "index.bin"))

    def search(self, query: int, k: int, setting: Mapping[str, Any]) -> Ranked:
        scores, ids = self.opened.search(self.data.queries[query], k=k, **setting)
        return ids, scores

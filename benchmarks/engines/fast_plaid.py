"""fast-plaid (LightOn): PLAID in Rust on libtorch, in float16."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from fast_plaid import search

from engines.worker import Data, Ranked

torch.set_num_threads(1)


class Engine:
    """Settings are named n_ivf_probe, n_full_scores."""

    packages = ("fast-plaid", "torch")
    settings: Mapping[str, Mapping[str, Any]] = {
        "1, 128": {"n_ivf_probe": 1, "n_full_scores": 128},
        "2, 512": {"n_ivf_probe": 2, "n_full_scores": 512},
        "4, 1024": {"n_ivf_probe": 4, "n_full_scores": 1024},
        "default": {},
    }

    def __init__(self, data: Data, index: Path, *, bits: int) -> None:
        self.data, self.index, self.bits = data, index, bits

    def build(self) -> None:
        shutil.rmtree(self.index, ignore_errors=True)
        n = len(self.data.offsets) - 1
        matrices = [torch.from_numpy(self.data.text(i)) for i in range(n)]
        made = search.FastPlaid(index=str(self.index), device="cpu")
        made.create(documents_embeddings=matrices, nbits=self.bits)

    def open(self) -> None:
        self.opened = search.FastPlaid(index=str(self.index), device="cpu")
        self.search(0, 10, {})  # it reads its files then

    def search(self, query: int, k: int, setting: Mapping[str, Any]) -> Ranked:
        asked = torch.from_numpy(self.data.queries[query])[None]
        (found,) = self.opened.search(
            queries_embeddings=asked, top_k=k, show_progress=False, **setting
        )
        return tuple(zip(*found, strict=True))

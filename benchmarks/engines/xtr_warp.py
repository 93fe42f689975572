"""xtr-warp-rs: WARP (arXiv 2501.17788) in Rust on libtorch."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from xtr_warp import XTRWarp

from engines.worker import Data, Ranked

torch.set_num_threads(1)


class Engine:
    packages = ("xtr-warp-rs", "torch")
    settings: Mapping[str, Mapping[str, Any]] = {
        "nprobe 16": {"nprobe": 16},
        "default": {},
        "nprobe 64, t' 50000": {"nprobe": 64, "t_prime": 50_000},
    }

    def __init__(self, data: Data, index: Path, *, bits: int) -> None:
        self.data, self.index, self.bits = data, index, bits

    def build(self) -> None:
        shutil.rmtree(self.index, ignore_errors=True)
        n = len(self.data.offsets) - 1
        matrices = [torch.from_numpy(self.data.text(i)) for i in range(n)]
        made = XTRWarp(index=str(self.index))
        made.create(embeddings_source=matrices, device="cpu", nbits=self.bits, show_progress=False)

    def open(self) -> None:
        self.opened = XTRWarp(index=str(self.index))
        self.opened.load(device="cpu")

    def search(self, query: int, k: int, setting: Mapping[str, Any]) -> Ranked:
        asked = torch.from_numpy(self.data.queries[query])[None]
        (found,) = self.opened.search(asked, top_k=k, num_threads=1, show_progress=False, **setting)
        return tuple(zip(*found, strict=True))

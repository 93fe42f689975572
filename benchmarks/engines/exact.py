"""Exact MaxSim over everything in PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engines.worker import Data, Ranked

torch.set_num_threads(1)
AT_ONCE = 50_000
"""Tokens that are multiplied together: products stay in the cache."""


class Engine:
    """Blocks of matmul, then numpy's reduceat, which is faster than torch.segment_reduce."""

    packages = ("torch", "numpy")
    settings: Mapping[str, Mapping[str, Any]] = {
        "float32": {"dtype": torch.float32},
        "bfloat16": {"dtype": torch.bfloat16},
    }

    def __init__(self, data: Data, index: Path) -> None:
        self.data = data

    def open(self) -> None:
        tokens = torch.from_numpy(np.asarray(self.data.matrix, np.float32))
        self.tokens = {torch.float32: tokens, torch.bfloat16: tokens.bfloat16()}
        offsets, self.blocks, first = self.data.offsets, [], 0
        while first < len(offsets) - 1:
            last = int(np.searchsorted(offsets, offsets[first] + AT_ONCE, side="right")) - 1
            last = max(first + 1, last)
            self.blocks.append((first, last))
            first = last

    def search(self, query: int, k: int, setting: Mapping[str, Any]) -> Ranked:
        offsets, tokens = self.data.offsets, self.tokens[setting["dtype"]]
        asked = torch.from_numpy(self.data.queries[query]).T.to(setting["dtype"])
        scores = np.empty(len(offsets) - 1, np.float32)
        for first, last in self.blocks:
            begin, end = offsets[first], offsets[last]
            products = (tokens[begin:end] @ asked).float().numpy()
            best = np.maximum.reduceat(products, offsets[first:last] - begin, axis=0)
            scores[first:last] = best.sum(axis=1)
        found = torch.from_numpy(scores).topk(k)
        return found.indices.numpy(), found.values.numpy()

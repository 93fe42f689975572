"""BM25 by bm25s, its first texts ranked again by float32 MaxSim; from the text of a query."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
import Stemmer

from engines.worker import Data, Ranked


class Engine:
    packages = ("bm25s", "numpy")
    settings: Mapping[str, Mapping[str, Any]] = {
        "first 100": {"n": 100},
        "first 1000": {"n": 1000},
    }

    def __init__(self, data: Data, index: Path) -> None:
        self.data, self.index = data, index
        self.stemmer = Stemmer.Stemmer("english")
        self.asked = json.loads((data.folder / "asked.json").read_text())

    def build(self) -> None:
        texts = json.loads((self.data.folder / "texts.json").read_text())
        made = bm25s.BM25(k1=0.9, b=0.4)
        made.index(self._words(texts), show_progress=False)
        made.save(self.index)

    def _words(self, texts: list[str]) -> Any:
        return bm25s.tokenize(texts, stopwords="en", stemmer=self.stemmer, show_progress=False)

    def open(self) -> None:
        self.opened = bm25s.BM25.load(self.index)
        self.tokens = np.asarray(self.data.matrix, np.float32)

    def search(self, query: int, k: int, setting: Mapping[str, Any]) -> Ranked:
        asked, words = self.data.queries[query].T, self._words([self.asked[query]])
        found, _ = self.opened.retrieve(words, k=setting["n"], show_progress=False)
        begins, ends = self.data.offsets[found[0]], self.data.offsets[found[0] + 1]
        scores = np.array(
            [
                (self.tokens[begin:end] @ asked).max(axis=0, initial=-1).sum()
                for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)
            ]
        )
        best = np.argsort(-scores, kind="stable")[:k]
        return found[0][best], scores[best]

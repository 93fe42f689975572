"""interlace, through the front door of its store."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from engines.worker import Data, Ranked
from interlace import store
from interlace.types import Document, Encoded, Passage


class Engine:
    packages = ()
    settings = {effort: {"effort": effort} for effort in store.EFFORTS}  # noqa: RUF012

    def __init__(self, data: Data, index: Path, *, bits: int) -> None:
        self.data, self.index, self.bits = data, index, bits

    def build(self) -> Mapping[str, float]:
        shutil.rmtree(self.index, ignore_errors=True)
        settings = store.Settings(dim=self.data.matrix.shape[1], codec=f"residual{self.bits}")
        spans, last = {}, time.perf_counter()
        with store.create(self.index, settings, n_threads=1) as opened:
            self.add(opened, 0, len(self.data.offsets) - 1)
            for step, work in ("add", None), ("settle", opened.settle), ("compact", opened.compact):
                if work:
                    work()
                now = time.perf_counter()
                spans[step], last = round(now - last, 2), now
        return spans

    def add(self, opened: store.Store, first: int, last: int) -> None:
        """Some of the texts in one commit."""
        ends = self.data.offsets.tolist()
        with opened.write() as writer:
            for i in range(first, last):
                ids = self.data.token_ids[ends[i] : ends[i + 1]]
                encoded = Encoded(self.data.text(i), ids)
                writer.add(Document("x", i), str(i), [Passage(i, 0, 0, 1, "x")], [encoded])

    def open(self) -> None:
        self.opened = store.open(self.index, n_threads=1)
        self.snapshot = self.opened.snapshot()

    def search(self, query: int, k: int, setting: Mapping[str, Any]) -> Ranked:
        found = store.search(self.snapshot, self.data.queries[query], k, **setting)
        return self.snapshot.document_of_row[found.rows], found.scores

    def give(self, ordinals: list[int]) -> None:
        row_of = np.argsort(np.asarray(self.snapshot.document_of_row))
        self.rows = row_of[ordinals].astype(np.uint32)

    def score(self, query: int) -> Any:
        return store.score(self.snapshot, self.data.queries[query], self.rows)

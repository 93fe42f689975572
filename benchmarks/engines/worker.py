"""The process that an engine runs in: a line of JSON in, a line of JSON out.

    python -m engines.worker MODULE DATA INDEX [JSON OF OPTIONS]

MODULE is a file beside this one, whose class ``Engine`` has some of the methods of ``Engine``
below; DATA is a folder of embeddings, INDEX where the engine keeps what it builds. Started by
peers.py; needs nothing but numpy. What an engine prints goes to standard error.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Ranked = tuple[Any, Any]
"""Ordinals and scores, best first."""


class Data(NamedTuple):
    """A collection as every engine gets it.

    Attributes
    ----------
    folder : Path
        With ``texts.json`` and ``asked.json``, lists of strings.
    matrix : (n_tokens, dim) float16, memory-mapped
    token_ids : (n_tokens,) int32
    offsets : (n_texts + 1,) int64
    queries : list of (q_tokens, dim) float32
    """

    folder: Path
    matrix: npt.NDArray[np.float16]
    token_ids: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    queries: list[npt.NDArray[np.float32]]

    @classmethod
    def read(cls, folder: Path) -> Data:
        offsets = np.load(folder / "offsets.npy")
        n_tokens = int(offsets[-1])
        ends = np.load(folder / "query_offsets.npy").tolist()
        asked = np.load(folder / "queries.npy").astype(np.float32)
        return cls(
            folder,
            np.load(folder / "matrix.npy", mmap_mode="r")[:n_tokens],
            np.load(folder / "token_ids.npy")[:n_tokens],
            offsets,
            [np.ascontiguousarray(asked[a:b]) for a, b in pairwise(ends)],
        )

    def text(self, ordinal: int) -> npt.NDArray[np.float32]:
        """The matrix of one text."""
        begin, end = self.offsets[ordinal : ordinal + 2].tolist()
        return np.asarray(self.matrix[begin:end], np.float32)


class Engine(Protocol):
    """What an engine may have; none needs all of it.

    Attributes
    ----------
    settings : mapping
        What ``search`` can be told: its name, and keyword arguments for the engine.
    packages : sequence of str
        Distributions whose versions count.
    """

    settings: Mapping[str, Mapping[str, Any]]
    packages: tuple[str, ...]

    def __init__(self, data: Data, index: Path, **options: Any) -> None: ...
    def build(self) -> Mapping[str, float] | None:
        """Write the index; seconds by step, if they are to be told."""

    def open(self) -> None: ...
    def search(self, query: int, k: int, setting: Mapping[str, Any]) -> Ranked:
        """The best ``k`` texts for one of the queries."""

    def give(self, ordinals: list[int]) -> None:
        """Get ready to score these texts."""

    def score(self, query: int) -> Any:
        """MaxSim of the given texts."""


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    module, data, index, options = sys.argv[1:5]
    made = importlib.import_module(f"engines.{module}").Engine
    engine = made(Data.read(Path(data)), Path(index), **json.loads(options))
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(answer(engine, **asked)), file=answers, flush=True)


def answer(engine: Engine, do: str, **given: Any) -> dict[str, Any]:
    start = time.perf_counter_ns()
    if do == "search":
        setting = engine.settings[given["setting"]]
        cpu, start = time.process_time_ns(), time.perf_counter_ns()
        ids, scores = engine.search(given["query"], given["k"], setting)
        ns, cpu = time.perf_counter_ns() - start, time.process_time_ns() - cpu
        ids, scores = list(map(int, ids)), list(map(float, scores))
        return {"ns": ns, "cpu_ns": cpu, "ids": ids, "scores": scores}
    if do == "score":
        scores = engine.score(given["query"])
        ns = time.perf_counter_ns() - start
        return {"ns": ns, "scores": list(map(float, scores))}
    if do == "give":
        engine.give(given["ordinals"])
        return {"ns": time.perf_counter_ns() - start}
    if do == "build":
        _, most = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (given["cpu_s_max"], most))
        before, cpu = memory_mb("VmRSS"), time.process_time()
        steps = engine.build()
        seconds = (time.perf_counter_ns() - start) / 1e9
        return {
            "seconds": round(seconds, 2),
            "cpu_s": round(time.process_time() - cpu, 2),
            "steps": dict(steps or {}),
            "before_mb": before,
            "peak_mb": memory_mb("VmHWM"),
            "versions": versions(engine),
        }
    if do == "open":
        before = memory_mb("VmRSS")
        engine.open()
        return {
            "open_ms": round((time.perf_counter_ns() - start) / 1e6, 1),
            "before_mb": before,
            "opened_mb": memory_mb("VmRSS"),
            "settings": list(engine.settings),
            "versions": versions(engine),
        }
    return {"resident_mb": memory_mb("VmRSS")}


def versions(engine: Engine) -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in engine.packages}


def memory_mb(what: str) -> int | None:
    """Of this process, as Linux counts it; None elsewhere."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    (line,) = (line for line in status.read_text().splitlines() if line.startswith(what))
    return round(int(line.split()[1]) / 1024)


if __name__ == "__main__":
    main()

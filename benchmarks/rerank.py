"""Scoring a thousand given passages: ours from its codes, others from float32 in memory.

    python benchmarks/rerank.py [--engines ours] [--dry]

scifact's documents, cut after 160 tokens; of each query the thousand that exact MaxSim puts first.
The engines take turns query by query; a query takes the median of its repeats. Ours finds its codes
all over a collection of 5,183; the others have been given the passages beforehand. One JSON line.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from corpora import load
from embedded import Embedded, embedded
from measure import record
from peers import Collection, Worker, arithmetic, built, named, pin, written

ENGINES = "ours-4,ours-2,ours-1,numpy,torch,maxsim-cpu,fast-maxsim"
CUT = 160
N = 1_000
K = 10
N_QUERIES = 60
REPEATS = 5
WRONG = 1.0
"""A score that is further from the exact one is no loss of a codec."""


def cut(data: Path) -> Collection:
    """scifact, no document longer than so many tokens."""
    corpus = load(data, "scifact")
    whole = embedded("scifact", corpus.texts)
    lengths = np.minimum(np.diff(whole.offsets), CUT)
    offsets = np.append(0, np.cumsum(lengths))
    kept = np.repeat(whole.offsets[:-1] - offsets[:-1], lengths) + np.arange(offsets[-1])
    documents = Embedded(np.asarray(whole.matrix)[kept], whole.token_ids[kept], offsets)
    queries = embedded("scifact", corpus.queries, as_queries=True)
    return written(f"scifact-{CUT}", documents, queries, corpus.texts, corpus.queries)


def exact(of: Collection) -> npt.NDArray[np.float32]:
    """MaxSim of every document for every query, ``(n_queries, n)``."""
    tokens = np.asarray(of.documents.matrix, np.float32)
    starts = of.documents.offsets[:-1]
    asked = of.queries[:N_QUERIES]
    return np.stack(
        [np.maximum.reduceat(tokens @ query.T, starts, axis=0).sum(axis=1) for query in asked]
    )


def measured(of: Collection, names: Sequence[str]) -> dict[str, Any]:
    """Milliseconds and errors of each engine, and the tokens that it scored."""
    wanted = exact(of)
    lengths = np.diff(of.documents.offsets)
    times: dict[str, list[float]] = {name: [] for name in names}
    errors: dict[str, list[npt.NDArray[np.float32]]] = {name: [] for name in names}
    kept: dict[str, list[float]] = {name: [] for name in names}
    versions, tokens = {}, []
    with ExitStack() as stack:
        workers = {}
        for name in names:
            if name.startswith("ours"):
                built(name, of)
            workers[name] = stack.enter_context(Worker(name, of))
            versions |= workers[name].ask("open")["versions"]
        for query, scores in enumerate(wanted):
            given = np.argsort(-scores, kind="stable")[:N]
            tokens.append(int(lengths[given].sum()))
            for name, worker in workers.items():
                worker.ask("give", ordinals=given.tolist())
                found = [worker.ask("score", query=query) for _ in range(1 + REPEATS)]
                times[name].append(statistics.median(one["ns"] for one in found[1:]) / 1e6)
                said = np.asarray(found[0]["scores"], np.float32)
                errors[name].append(np.abs(said - scores[given]))
                best = np.argsort(-said, kind="stable")[:K]
                kept[name].append(float(np.mean(best < K)))
    return {
        "passages": N,
        "tokens": round(statistics.fmean(tokens)),
        "queries": len(wanted),
        "query_tokens": round(statistics.fmean(map(len, of.queries[:N_QUERIES])), 1),
        "versions": versions,
        "engines": {
            name: {
                "p50_ms": round(float(np.percentile(times[name], 50)), 3),
                "p95_ms": round(float(np.percentile(times[name], 95)), 3),
                "median_error": round(float(np.median(np.concatenate(errors[name]))), 4),
                "wrong": round(float(np.mean(~(np.concatenate(errors[name]) < WRONG))), 4),
                "recall@10": round(statistics.fmean(kept[name]), 4),
            }
            for name in names
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engines", default=ENGINES)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--dry", action="store_true", help="print, and record nothing")
    args = parser.parse_args()
    pin(args.core)
    figures = measured(cut(args.data), named(args.engines))
    for name, found in figures["engines"].items():
        print(f"{name:12} {found}")
    if not args.dry:
        record("rerank", arithmetic=arithmetic(), collection="scifact", cut=CUT, **figures)


if __name__ == "__main__":
    main()

"""Tuning on a collection's own sentences: what it finds, and what that is worth on real queries.

    taskset -c 0 python benchmarks/tuning.py [--collections scifact,debian-100000] [--recall 0.99]

Each collection is tuned by `interlace.evaluate`, as users do, and diagnosed; then every effort is
held against exhaustive search on the queries that come with the collection, which had no part in
it. The collections are kept in build/tuning. One JSON line a collection.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from corpora import load
from embedded import Embedded, debian_texts, embedded
from measure import record

import interlace
from interlace import evaluate

BUILD = Path(__file__).parents[1] / "build" / "tuning"
K = 10


def collection(data: Path, name: str) -> tuple[list[str], Embedded, Embedded]:
    """Texts, what they are encoded to, and queries; ``debian-100000`` is the first so many."""
    if not name.startswith("debian-"):
        corpus = load(data, name)
        queries = embedded(name, corpus.queries, as_queries=True)
        return corpus.texts, embedded(name, corpus.texts), queries
    texts, asked = debian_texts()
    n = int(name.removeprefix("debian-"))
    documents = embedded("debian", texts).head(n)
    return texts[:n], documents, embedded("debian", asked, as_queries=True)


def built(name: str, texts: list[str], documents: Embedded) -> interlace.Collection:
    """The collection of the built-in model, made from vectors that are there if it is not."""
    path = BUILD / f"{name}.lace"
    if not (path / "done").exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        with interlace.create(path, n_threads=1) as made:
            made.add(
                ({"id": i, "text": text} for i, text in enumerate(texts)),
                embeddings=documents,
                token_ids=np.split(documents.token_ids, documents.offsets[1:-1]),
            )
            made.settle()
            made.compact()
        (path / "done").touch()
    return interlace.open(path, n_threads=1)


def transferred(opened: interlace.Collection, queries: Embedded, effort: str) -> dict[str, float]:
    """Recall and microseconds of an effort on real queries, by passage as ``tune`` measures."""
    hits, times = 0, []
    for matrix in queries:
        wanted = opened.search(embeddings=matrix, k=K, effort="exhaustive", by="passage")
        spans = []
        for _ in range(3):
            start = time.perf_counter()
            found = opened.search(embeddings=matrix, k=K, effort=effort, by="passage")
            spans.append((time.perf_counter() - start) * 1e6)
        times.append(statistics.median(spans))
        hits += len({hit.id for hit in wanted} & {hit.id for hit in found})
    n = sum(1 for _ in queries) * K
    return {"recall": round(hits / n, 4), "p50_us": round(statistics.median(times), 1)}


def rounded(level: evaluate.Measured) -> dict[str, Any]:
    return {
        "knobs": level.knobs,
        "recall": round(level.recall, 4),
        "p50_us": round(level.p50_us, 1),
        "p95_us": round(level.p95_us, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--collections", default="scifact,debian-100000")
    parser.add_argument("--recall", type=float, default=0.99)
    parser.add_argument("--dry", action="store_true", help="print, and record nothing")
    args = parser.parse_args()
    for name in args.collections.split(","):
        texts, documents, queries = collection(args.data, name)
        with built(name, texts, documents) as opened:
            start = time.perf_counter()
            report = evaluate.tune(opened, args.recall, k=K)
            seconds = time.perf_counter() - start
            lost = {
                one.name: {stage: round(share, 4) for stage, share in one.lost.items()}
                for one in evaluate.diagnose(opened, k=K, exact=False).efforts
            }
            figures = {
                level.name: {
                    **rounded(level),
                    "lost": lost[level.name],
                    "on its queries": transferred(opened, queries, level.name),
                }
                for level in report.levels
            }
        told = {
            "collection": name,
            "passages": len(texts),
            "recall": args.recall,
            "seconds": round(seconds, 1),
            "tried": report.n_tried,
            "queries": report.n_queries,
            "its queries": len(queries.offsets) - 1,
            "efforts": figures,
        }
        if args.dry:
            print(asdict(report), told)
        else:
            record("tuning", **told)


if __name__ == "__main__":
    main()

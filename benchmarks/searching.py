"""Search on Debian's passages: recall and milliseconds of each effort, stage by stage.

    taskset -c 0 python benchmarks/searching.py [--passages 100000] [--bits 4,2]
                                                [--also groups=64 --also scored=64,spread=100]

From a float32 query matrix to ten rows and scores, on one thread; each query takes the median of
its repeats. Recall is against exact float32 MaxSim over the same vectors, kept beside them. The
collections are kept in build/searching. One JSON line for each size and width. `--also` measures
`balanced` with other knobs, too.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from embedded import Embedded, debian_texts, embedded, exact
from measure import record

from interlace import store
from interlace.types import Document, Encoded, Passage

BUILD = Path(__file__).parents[1] / "build" / "searching"
K = 10
REPEATS = 5


def built(documents: Embedded, bits: int) -> store.Store:
    """The collection, made if it is not there."""
    n = len(documents.offsets) - 1
    path = BUILD / f"debian-{n}-{bits}.lace"
    if not (path / "done").exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        settings = store.Settings(dim=documents.matrix.shape[1], codec=f"residual{bits}")
        with store.create(path, settings, n_threads=1) as opened:
            ends = documents.offsets.tolist()
            with opened.write() as writer:
                for i, matrix in enumerate(documents):
                    ids = documents.token_ids[ends[i] : ends[i + 1]]
                    passage = Passage(i, 0, 0, 1, "x")
                    writer.add(Document("x", i), str(i), [passage], [Encoded(matrix, ids)])
            opened.settle()
            opened.compact()
        (path / "done").touch()
    return store.open(path, n_threads=1)


def measured(
    snapshot: store.Snapshot,
    queries: list[npt.NDArray[np.float32]],
    wanted: npt.NDArray[np.int64],
    effort: str | store.Effort,
) -> dict[str, Any]:
    """Recall, the time of a search, and of its stages."""
    times, stages, hits = [], [], 0
    for query, best in zip(queries, wanted, strict=True):
        spans, profiles = [], []
        for _ in range(REPEATS if effort != "exhaustive" else 1):
            start = time.perf_counter()
            found = store.search(snapshot, query, K, effort=effort)
            spans.append((time.perf_counter() - start) * 1000)
            profiles.append(found.profile)
        times.append(statistics.median(spans))
        stages.append(profiles[int(np.argsort(spans)[len(spans) // 2])])
        rows = snapshot.document_of_row[found.rows]
        hits += len(np.intersect1d(rows, best))
    names = list(dict.fromkeys(name for profile in stages for name in profile))
    return {
        "recall@10": round(hits / wanted.size, 4),
        "p50_ms": round(float(np.percentile(times, 50)), 3),
        "p95_ms": round(float(np.percentile(times, 95)), 3),
        "stages": {
            name: round(statistics.median(profile.get(name, 0) for profile in stages), 3)
            for name in names
        },
    }


def turned(effort: str) -> str | store.Effort:
    """An effort by its name, or `balanced` with some knobs turned."""
    if effort in store.EFFORTS:
        return effort
    balanced = store.EFFORTS["balanced"]
    assert balanced is not None
    knobs = (knob.split("=") for knob in effort.split(","))
    return replace(balanced, **{name: int(n) for name, n in knobs})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--bits", default="4,2")
    parser.add_argument("--efforts", default="fast,balanced,thorough,exhaustive")
    parser.add_argument("--also", action="append", default=[], metavar="KNOB=N,…")
    parser.add_argument("--dry", action="store_true", help="print, and record nothing")
    args = parser.parse_args()
    texts, asked = debian_texts()
    documents = embedded("debian", texts).head(args.passages)
    queries = list(embedded("debian", asked, as_queries=True))
    wanted = exact(documents, queries, f"debian-{args.passages}")
    for bits in map(int, args.bits.split(",")):
        with built(documents, bits) as opened:
            snapshot = opened.snapshot()
            for query in queries:
                store.search(snapshot, query, K)
            efforts = {}
            for effort in [*args.efforts.split(","), *args.also]:
                efforts[effort] = measured(snapshot, queries, wanted, turned(effort))
                print(bits, effort, efforts[effort], flush=True)
            if not args.dry:
                record(
                    "searching",
                    corpus="debian",
                    passages=args.passages,
                    tokens=int(documents.offsets[-1]),
                    queries=len(queries),
                    query_tokens=round(statistics.fmean(map(len, queries)), 1),
                    bits=bits,
                    kernels=snapshot.kernels.name,
                    info=opened.info()["bytes"],
                    efforts=efforts,
                )


if __name__ == "__main__":
    main()

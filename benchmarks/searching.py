"""Search on Debian's passages: recall and milliseconds of each effort, stage by stage.

    python benchmarks/searching.py [--passages 100000] [--bits 4,2]
                                   [--also groups=64 --also scored=64,spread=100]

From a float32 query matrix to ten rows and scores, on one thread and core; each query takes the
median of its repeats. Recall is against exact float32 MaxSim over the same vectors, kept beside
them. The collections are kept in build/searching. One JSON line for each size and width. `--also`
measures `balanced` with other knobs, too.

More passages than there are come from `embedded.enlarged`, in commits of 10,000, settled as they
come; recall is then against an exhaustive search of the codes, for the first 100 queries. Opening
is measured in a process of its own.

Each size also gets what a search takes at one recall: of the ten that an exhaustive search of the
codes finds, for 100 queries, by the least widened or narrowed `balanced` that finds so many.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from embedded import Embedded, debian_texts, embedded, enlarged, exact
from measure import pinned, record

from interlace import store
from interlace.types import Document, Passage

HERE = Path(__file__).parent
BUILD = HERE.parent / "build" / "searching"
K = 10
REPEATS = 5
A_COMMIT, QUERIES_OF_MANY = 10_000, 100
RECALL = 0.95
WIDTHS = 1.3 ** np.arange(-6, 13)


def built(documents: Embedded, bits: int, n_passages: int | None = None) -> store.Store:
    """The collection, made if it is not there, of all texts or of so many."""
    n = len(documents.offsets) - 1 if n_passages is None else n_passages
    path = BUILD / f"debian-{n}-{bits}.lace"
    if not (path / "done").exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        settings = store.Settings(dim=documents.matrix.shape[1], codec=f"residual{bits}")
        start = time.perf_counter()
        with store.create(path, settings, n_threads=1) as opened:
            texts = enumerate(enlarged(documents, n))
            a_commit = n if n_passages is None else A_COMMIT
            for _ in range(0, n, a_commit):
                with opened.write() as writer:
                    for i, encoded in islice(texts, a_commit):
                        passage = Passage(i, 0, 0, 1, "x")
                        writer.add(Document("x", i), str(i), [passage], [encoded])
                opened.settle()
            opened.compact()
        (path / "done").write_text(f"{time.perf_counter() - start:.1f}")
    return store.open(path, n_threads=1)


def opening(path: Path) -> dict[str, float]:
    """What opening takes, and memory before a search and after one, of a process that does that."""
    script = (
        "import json, sys, time; from scale import resident_mb; from interlace import store\n"
        "before, start = resident_mb(), time.perf_counter()\n"
        "snapshot = store.open(sys.argv[1]).snapshot()\n"
        "spans = (time.perf_counter() - start) * 1000\n"
        "print(json.dumps({'ms': round(spans, 1), 'mb': round(resident_mb() - before, 1)}))"
    )
    found = [
        json.loads(subprocess.check_output([sys.executable, "-c", script, str(path)], cwd=HERE))
        for _ in range(REPEATS)
    ]
    return {name: statistics.median(one[name] for one in found) for name in found[0]}


def on_codes(opened: store.Store, queries: list[npt.NDArray[np.float32]]) -> npt.NDArray[np.int64]:
    """What an exhaustive search finds, kept with the collection."""
    path = opened.path / f"best-{len(queries)}.npy"
    if path.exists():
        return np.load(path)
    snapshot = opened.snapshot()
    found = [store.search(snapshot, query, K, effort="exhaustive").rows for query in queries]
    best = snapshot.document_of_row[np.stack(found)]
    np.save(path, best)
    return best


def at_recall(
    snapshot: store.Snapshot,
    queries: list[npt.NDArray[np.float32]],
    wanted: npt.NDArray[np.int64],
) -> dict[str, Any]:
    """What the narrowest `balanced` that finds `RECALL` takes; its width; what it finds at 1."""
    balanced = store.EFFORTS["balanced"]
    assert balanced is not None
    as_it_is = measured(snapshot, queries, wanted, balanced)["recall@10"]
    for width in WIDTHS:
        knobs = {name: round(n * width) for name, n in asdict(balanced).items() if name != "spread"}
        spread = round(balanced.spread * width**0.5)
        found = measured(snapshot, queries, wanted, replace(balanced, **knobs, spread=spread))
        if found["recall@10"] >= RECALL:
            break
    return {"width": round(float(width), 3), "as_it_is": as_it_is, **found}


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


def batches(snapshot: store.Snapshot, queries: list[npt.NDArray[np.float32]]) -> dict[str, float]:
    """Queries a second, all of them at once on one thread and on two, each with a core."""
    found = {}
    for n in (1, 2):
        spans = []
        with pinned(n), ThreadPoolExecutor(n) as threads:
            for _ in range(REPEATS):
                start = time.perf_counter()
                list(threads.map(lambda query: store.search(snapshot, query, K), queries))
                spans.append(time.perf_counter() - start)
        found[str(n)] = round(len(queries) / statistics.median(spans), 1)
    return found


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
    documents = embedded("debian", texts)
    queries = list(embedded("debian", asked, as_queries=True))
    is_enlarged = args.passages > len(texts)
    if is_enlarged:
        queries = queries[:QUERIES_OF_MANY]
    else:
        documents = documents.head(args.passages)
        wanted = exact(documents, queries, f"debian-{args.passages}")
    for bits in map(int, args.bits.split(",")):
        with built(documents, bits, args.passages if is_enlarged else None) as opened:
            snapshot = opened.snapshot()
            efforts = {}
            with pinned(1):
                if is_enlarged:
                    wanted = on_codes(opened, queries)
                for query in queries:
                    store.search(snapshot, query, K)
                for effort in [*args.efforts.split(","), *args.also]:
                    efforts[effort] = measured(snapshot, queries, wanted, turned(effort))
                    print(bits, effort, efforts[effort], flush=True)
                some = queries[:QUERIES_OF_MANY]
                same = at_recall(snapshot, some, on_codes(opened, some))
                print(bits, f"recall {RECALL}", same, flush=True)
            if not args.dry:
                record(
                    "searching",
                    corpus="debian, enlarged" if is_enlarged else "debian",
                    passages=args.passages,
                    tokens=int(snapshot.n_tokens_of(np.arange(snapshot.n_rows))),
                    queries=len(queries),
                    query_tokens=round(statistics.fmean(map(len, queries)), 1),
                    bits=bits,
                    kernels=snapshot.kernels.name,
                    info=opened.info()["bytes"],
                    opening=opening(opened.path),
                    built_s=float((opened.path / "done").read_text() or 0),
                    a_second=batches(snapshot, queries),
                    efforts=efforts,
                    at_recall=same,
                )


if __name__ == "__main__":
    main()

"""Filters at a million passages, from 0.01% to 100%: the first use, and a search from then on.

    python benchmarks/filters.py [--passages 1000000] [--queries 40]

The collection is made once, some ten minutes, in build/ and found there later. Its documents are
those of stream.py. Three curves: *any*, whatever the query; *near*, the topic of the query and
those beside it in time, where most that match is close to the query; *far*, topics far away from
it. A search with a filter and the same without take turns. ``recall`` is the share of the exact
ten best of those allowed, which ``exhaustive`` finds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import stream
from measure import record

from interlace import store
from interlace.types import Document, Encoded, Passage

BUILD = Path(__file__).parents[1] / "build"
SHARES = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
PER_COMMIT = 20_000
K = 10
EXACT = 4
"""Queries that recall is taken of: an exact search of a million passages takes seconds."""


def built(n_passages: int) -> store.Store:
    """The collection, made if it is not there."""
    path = BUILD / f"filters-{n_passages}.lace"
    if (path / "done").exists():
        return store.open(path, n_threads=1)
    opened = store.create(path, store.Settings(dim=128))
    for first in range(0, n_passages, PER_COMMIT):
        with opened.write() as writer:
            for one in stream.stream(min(PER_COMMIT, n_passages - first), first=first):
                writer.add(*one)
        print(f"{first + PER_COMMIT:,} passages", flush=True)
    opened.settle()
    opened.compact()
    opened.close()
    (path / "done").touch()
    return store.open(path, n_threads=1)


def filters(share: float, topic: int, newest: int) -> dict[str, dict[str, Any]]:
    """A filter of each curve for a query about a topic."""
    width = max(1, round(share * newest))
    within = min(1.0, share * newest / width)
    found: dict[str, dict[str, Any]] = {"any": {"share": {"$lt": share}}}
    for curve, centre in (("near", topic), ("far", (topic + newest // 2) % newest)):
        first = min(max(0, centre - width // 2), newest - width)
        found[curve] = {"topic": {"$gte": first, "$lt": first + width}}
        if width == newest:
            found[curve] = {"topic": {"$gte": 0}}
        elif within < 1:
            found[curve]["share"] = {"$lt": within}
    return found


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds of a call, and what it returns."""
    start = time.perf_counter()
    value = call()
    return (time.perf_counter() - start) * 1000, value


def point(snapshot: store.Snapshot, queries: list[Any], wheres: list[dict[str, Any]]) -> dict:
    """One point of a curve."""
    first, without, with_, matches, recalls = [], [], [], [], []
    for i, (query, where) in enumerate(zip(queries, wheres, strict=True)):
        snapshot._filters._bitmaps.clear()
        spans = [timed(lambda where=where: snapshot.where(where))]
        first.append(spans[0][0])
        allowed = spans[0][1]
        n = int(np.bitwise_count(allowed).sum())
        matches.append(n)
        turns: dict[str, list[float]] = {"without": [], "with": []}
        for _ in range(3):
            turns["without"].append(timed(lambda q=query: store.search(snapshot, q, K))[0])
            took, found = timed(
                lambda q=query, w=where: store.search(snapshot, q, K, allowed=snapshot.where(w))
            )
            turns["with"].append(took)
            assert len(found.rows) == min(K, n)
        without.append(statistics.median(turns["without"]))
        with_.append(statistics.median(turns["with"]))
        if i < EXACT:
            exact = store.search(snapshot, query, K, effort="exhaustive", allowed=allowed)
            same = np.intersect1d(exact.rows, found.rows)
            recalls.append(len(same) / max(1, len(exact.rows)))
    return {
        "n_matches": int(statistics.median(matches)),
        "first_ms": round(statistics.median(first), 2),
        "first_ms_max": round(max(first), 2),
        "search_ms": round(statistics.median(with_), 3),
        "unfiltered_ms": round(statistics.median(without), 3),
        "ratio": round(statistics.median(with_) / statistics.median(without), 3),
        "recall": round(statistics.fmean(recalls), 3),
    }


def first_uses(snapshot: store.Snapshot) -> dict[str, float]:
    """Milliseconds that filters of other kinds take first, the median of three."""
    found = {}
    for where in (
        "language = 'sw'",
        "language != 'en'",
        "language in ['de', 'fr', 'es']",
        "tags = 't7'",
        "tags contains 't7' or tags contains 't8'",
        "language contains 'n'",
        "tags exists",
        "share < 0.5 and language = 'sw'",
        "share >= 0.5 and share < 0.505 and language != 'en'",
        "not (share < 0.3 or topic < 250)",
    ):
        times = []
        for _ in range(3):
            snapshot._filters._bitmaps.clear()
            times.append(timed(lambda where=where: snapshot.where(where))[0])
        found[where] = round(statistics.median(times), 2)
    return found


def deletes(n_documents: int = 50_000, n_deleted: int = 10_000) -> dict[str, float]:
    """Milliseconds of deleting many documents as one commit, by id and by a filter."""
    row, found = np.eye(1, 16, dtype=np.float32), {}
    with (
        tempfile.TemporaryDirectory() as folder,
        store.create(Path(folder, "x.lace"), store.Settings(dim=16)) as opened,
    ):
        with opened.write() as writer:
            for i in range(n_documents):
                document = Document(f"{i}", i, {"n": i, "language": "en"})
                writer.add(document, f"{i}", [Passage(i, 0, 0, 0, "")], [Encoded(row, None)])
        for how in ("ids", "filter"):
            start = time.perf_counter()
            with opened.write() as writer:
                if how == "ids":
                    n = writer.delete(range(n_deleted))
                else:
                    n = writer.delete(writer.ids_where({"n": {"$lt": 2 * n_deleted}}))
            found[how] = round((time.perf_counter() - start) * 1000, 1)
            assert n == n_deleted
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=40)
    args = parser.parse_args()
    with built(args.passages) as opened:
        snapshot = opened.snapshot()
        numbers = np.random.default_rng(5).integers(0, args.passages, args.queries)
        queries, topics = stream.queries(numbers), stream.topics_of(numbers).tolist()
        for query in queries:
            store.search(snapshot, query, K)
        newest = args.passages // stream.TOPIC_LIFE + stream.N_TOPICS_ALIVE
        curves: dict[str, dict[str, Any]] = {}
        for share in SHARES:
            chosen = [filters(share, topic, newest) for topic in topics]
            for curve in ("any", "near", "far"):
                wheres = [one[curve] for one in chosen]
                found = point(snapshot, queries, wheres)
                curves.setdefault(curve, {})[f"{share:.2%}"] = found
                print(f"{curve:5s} {share:7.2%} {found}", flush=True)
        record(
            "filters",
            passages=snapshot.n_passages,
            tokens=snapshot.n_tokens,
            queries=args.queries,
            kernels=snapshot.kernels.name,
            curves=curves,
            first_ms=first_uses(snapshot),
            deletes_ms=deletes(),
        )


if __name__ == "__main__":
    main()

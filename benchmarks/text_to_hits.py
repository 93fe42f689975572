"""The whole way from text to hits, by part, on one core and on two: one JSON line a collection.

    python benchmarks/text_to_hits.py --data ../shared/data [--collections scifact,debian]

scifact is added as a user would, and how much of that time is not encoding is told as well; to
Debian's passages belong the vectors of embedded.py, without which they are left out. Queries are
searched for one at a time, without the cache of queries and then with it; of each the fastest of
some repeats counts, for whatever else the machine does only makes it slower. Collections are kept
in build/text-to-hits. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import embedded
import numpy as np
from corpora import load
from measure import pinned, record

import interlace

BUILD = Path(__file__).parents[1] / "build" / "text-to-hits"
N_QUERIES = 300
REPEATS = 7

#: Which part a stage of ``Hits.profile`` belongs to; all others are the search by tokens.
PARTS = {"encode": "encode", "words": "words", "fuse": "words", "fetch": "texts"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--collections", default="scifact,debian")
    args = parser.parse_args()
    BUILD.mkdir(parents=True, exist_ok=True)
    for name in args.collections.split(","):
        if name != "debian":
            corpus = load(args.data, name)
            texts, queries, encoded = corpus.texts, corpus.queries, None
        elif any(embedded.FOLDER.glob("debian-*/documents/offsets.npy")):
            texts, queries = embedded.debian_texts()
            encoded = embedded.embedded("debian", texts)
        else:
            print("left out, for want of vectors: debian")
            continue
        path = BUILD / f"{name}.lace"
        adding = None if path.exists() else added(path, texts, encoded)
        queries = queries[:N_QUERIES]
        with interlace.open(path) as notes:
            info = notes.info()
        record(
            "text_to_hits",
            collection=name,
            passages=info["n_passages"],
            tokens=info["n_tokens"],
            queries=len(queries),
            adding=adding,
            **{f"{n} threads": searched(path, queries, n) for n in (1, 2)},
        )


def added(
    path: Path, texts: Sequence[str], encoded: embedded.Embedded | None
) -> dict[str, Any] | None:
    """Make the collection; where it encodes, seconds on one core, and of those without encoding."""
    marks: list[tuple[str, float, float]] = [("store", time.perf_counter(), time.process_time())]

    def progress(stage: str, done: int, total: int | None) -> None:
        marks.append((stage, time.perf_counter(), time.process_time()))

    part = path.with_suffix(".part")
    with pinned(1), interlace.create(part, n_threads=1) as notes:
        if encoded is None:
            report = notes.add(texts, progress=progress)
        else:
            ids = np.split(encoded.token_ids, encoded.offsets[1:-1])
            notes.add(texts, embeddings=iter(encoded), token_ids=ids)
        notes.settle()
    part.rename(path)
    if encoded is not None:
        return None
    # A commit writes, and settles what is ready for it, from its last "encode" to its "store".
    pairs = [(a, b) for a, b in pairwise(marks) if b[0] == "store"]
    clock, processor = (
        [marks[-1][i] - marks[0][i], sum(b[i] - a[i] for a, b in pairs)] for i in (1, 2)
    )
    return {
        "tokens": report.n_tokens,
        "seconds": round(clock[0], 1),
        "storing_s": round(clock[1], 2),
        "cpu_s": round(processor[0], 1),
        "storing_cpu_s": round(processor[1], 2),
    }


def searched(path: Path, queries: Sequence[str], n_threads: int) -> dict[str, Any]:
    """Milliseconds of each mode, whole and by part."""
    found: dict[str, Any] = {}
    with pinned(n_threads):
        with interlace.open(path, n_threads=n_threads, query_cache_bytes=0) as notes:
            encoder = interlace.Encoder.load()
            for mode in ("late", "hybrid"):
                for query in queries[:20]:
                    notes.search(query, mode=mode)
                runs = [repeated(notes, query, mode, encoder) for query in queries]
                found[mode] = {name: spread(run[name] for run in runs) for name in runs[0]}
        with interlace.open(path, n_threads=n_threads) as notes:
            again = [repeated(notes, query, "hybrid", None)["whole"] for query in queries]
            found["hybrid, query in the cache"] = {"whole": spread(again)}
    return found


def repeated(
    notes: interlace.Collection, query: str, mode: str, encoder: interlace.Encoder | None
) -> dict[str, float]:
    """Milliseconds of a search, and of its parts: of the fastest repeat."""
    runs = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        hits = notes.search(query, mode=mode)
        runs.append(((time.perf_counter() - start) * 1000, hits.profile))
    whole, profile = min(runs, key=lambda run: run[0])
    parts = dict.fromkeys(("tokenise", "encode", "search", "words", "texts"), 0.0)
    for name, value in profile.items():
        stage, _, unit = name.rpartition("_")
        if unit == "us":
            parts[PARTS.get(stage, "search")] += value / 1000
    if encoder is not None:
        parts["tokenise"] = milliseconds(lambda: encoder.offsets(query))
        parts["encode"] -= parts["tokenise"]
    return {"whole": whole, **parts, "rest": whole - sum(parts.values())}


def milliseconds(call: Callable[[], Any]) -> float:
    """The fastest of some calls."""
    spans = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        spans.append(time.perf_counter() - start)
    return min(spans) * 1000


def spread(values: Iterable[float]) -> dict[str, float]:
    """Median and 95th percentile, in milliseconds."""
    p50, p95 = np.percentile(list(values), [50, 95])
    return {"p50_ms": round(float(p50), 3), "p95_ms": round(float(p95), 3)}


if __name__ == "__main__":
    main()

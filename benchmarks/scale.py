"""A million passages in a thousand commits: writes, searches meanwhile, disk, memory.

    python benchmarks/scale.py [--passages 1000000] [--commits 1000] [--folder build/scale]

Passages come from benchmarks/stream.py, drawn when they are added and never stored as floats. A
reader process searches all the while, and takes up each new commit; an idle second of it before
and after is measured alike. Then: opening, verifying, compacting, and the same passages built at
once beside it. A run that was cut off goes on where it stopped, and says so. One JSON line.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from measure import record
from stream import CHUNK, queries, stream

from interlace import store

N_QUERIES, N_CHUNKS = 200, 20
"""Queries, and the chunks of the stream that they are about: drawing one takes a moment."""

BITS = 4
REST_S = 0.05
"""Between two searches of the reader: it must not starve the writer of the machine's cores."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=1_000_000)
    parser.add_argument("--commits", type=int, default=1_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--folder", type=Path, default=Path("build/scale"))
    parser.add_argument("--keep", action="store_true", help="the collections, when all is done")
    args = parser.parse_args()
    folder = args.folder.absolute()
    grown, built = folder / "grown.lace", folder / "built.lace"
    begun = grown.exists()
    with watched(grown) as disk:
        writes = write(grown, args.passages, args.passages // args.commits, args.dim)
    figures: dict[str, Any] = {
        "passages": args.passages,
        "commits": args.commits,
        "dim": args.dim,
        "resumed": begun,
        **writes,
        "opened": apart(opened, grown, args.passages, args.dim),
        "verify": verified(grown),
        "disk_mb": {"peak_while_writing": megabytes(disk.peak), "written": size_mb(grown)},
    }
    with watched(grown) as disk, store.open(grown) as collection:
        start = time.perf_counter()
        collection.compact()
        figures["compact_s"] = round(time.perf_counter() - start, 1)
    figures["disk_mb"] |= {
        "peak_while_compacting": megabytes(disk.peak),
        "compacted": size_mb(grown),
    }
    figures["compacted"] = apart(opened, grown, args.passages, args.dim)
    shutil.rmtree(built, ignore_errors=True)
    start = time.perf_counter()
    figures["drawn_s"] = build(built, args.passages, args.dim)
    figures["build_s"] = round(time.perf_counter() - start - figures["drawn_s"], 1)
    figures["disk_mb"]["built_at_once"] = size_mb(built)
    figures["built"] = apart(opened, built, args.passages, args.dim)
    record("scale", **figures)
    if not args.keep:
        shutil.rmtree(folder)


def write(path: Path, n_passages: int, n_a_commit: int, dim: int) -> dict[str, Any]:
    """Add what lacks, so many passages a commit, while a reader searches."""
    if path.exists():
        opened_store = store.open(path)
    else:
        opened_store = store.create(path, store.Settings(dim=dim, codec=f"residual{BITS}"))
    done = opened_store.snapshot().n_documents
    here, there = multiprocessing.Pipe()
    reader = multiprocessing.get_context("spawn").Process(target=read, args=(path, dim, there))
    reader.start()
    here.recv()
    times, peaks = [], 0.0
    begun = time.perf_counter()
    for first in range(done, n_passages, n_a_commit):
        records = list(stream(min(n_a_commit, n_passages - first), dim=dim, first=first))
        here.send(first)
        start = time.perf_counter()
        with opened_store.write() as writer:
            for one in records:
                writer.add(*one)
        times.append(time.perf_counter() - start)
        peaks = max(peaks, resident_mb())
        if (first // n_a_commit) % 50 == 0:
            print(f"{first:,} {sum(times):.0f} s {time.perf_counter() - begun:.0f} s", flush=True)
    here.send(None)
    searching = here.recv()
    reader.join()
    info = opened_store.info()
    opened_store.close()
    milliseconds = np.array(times or [0.0]) * 1000
    return {
        "tokens": info["n_tokens"],
        "added": n_passages - done,
        "write_s": round(sum(times), 1),
        "passages_a_second": round((n_passages - done) / max(sum(times), 1e-9)),
        "commit_ms": {
            "p50": round(float(np.percentile(milliseconds, 50)), 1),
            "p99": round(float(np.percentile(milliseconds, 99)), 1),
            "max": round(float(milliseconds.max()), 1),
        },
        "segments": {"fresh": info["n_fresh_segments"], "settled": info["n_settled_segments"]},
        "codec": {"chunks": info["n_codec_chunks"], "bytes": info["bytes"]["codec"]},
        "writer_mb": round(peaks),
        "search_while_writing": searching,
    }


def read(path: Path, dim: int, told: Connection) -> None:
    """Search until told to stop; each search takes up the newest commit first."""
    opened_store = store.open(path, n_threads=1)
    told.send("ready")
    times: list[tuple[float, float]] = []
    number, about, asked, peak = 0, 0, [], 0.0
    rng = np.random.default_rng(1)
    while number is not None:
        while told.poll():
            number = told.recv()
            if number and (number > 2 * about or not asked):
                about = number
                asked = asked_about(rng, number, 20, 1, dim)
        if number and asked:
            start = time.perf_counter()
            opened_store.refresh()
            snapshot = opened_store.snapshot()
            refreshed = time.perf_counter()
            store.search(snapshot, asked[len(times) % len(asked)], 10)
            times.append((refreshed - start, time.perf_counter() - refreshed))
            peak = max(peak, resident_mb())
            del snapshot
        time.sleep(REST_S)
    late = np.array(times[len(times) // 2 :] or [(0.0, 0.0)]) * 1000  # the larger half of its life
    told.send(
        {
            "searches": len(times),
            "refresh_p50_ms": round(float(np.percentile(late[:, 0], 50)), 2),
            "refresh_p95_ms": round(float(np.percentile(late[:, 0], 95)), 2),
            "search_p50_ms": round(float(np.percentile(late[:, 1], 50)), 2),
            "search_p95_ms": round(float(np.percentile(late[:, 1], 95)), 2),
            "reader_mb": round(peak),
        }
    )
    opened_store.close()


def asked_about(
    rng: np.random.Generator, n_passages: int, n: int, n_chunks: int, dim: int
) -> list[Any]:
    """So many queries, each about a passage of a few chunks."""
    chunks = np.repeat(rng.integers(0, max(1, n_passages // CHUNK), n_chunks), n // n_chunks)
    within = rng.integers(0, min(CHUNK, n_passages), len(chunks))
    return [*map(np.asarray, queries(np.sort(chunks * CHUNK + within), dim=dim))]


def opened(path: Path, n_passages: int, dim: int) -> dict[str, Any]:
    """Opening, and searching with nobody else about."""
    asked = asked_about(np.random.default_rng(2), n_passages, N_QUERIES, N_CHUNKS, dim)
    before = resident_mb()
    start = time.perf_counter()
    with store.open(path, n_threads=1) as collection:
        seconds = time.perf_counter() - start
        after = resident_mb()
        found: dict[str, list[list[int]]] = {}
        times: dict[str, float] = {}
        for effort in ("balanced", "exhaustive"):
            spans, found[effort] = [], []
            for query in asked if effort == "balanced" else asked[:30]:
                start = time.perf_counter()
                hits = store.search(collection.snapshot(), query, 10, effort=effort)
                spans.append((time.perf_counter() - start) * 1000)
                numbers = collection.snapshot().document_of_row[hits.rows]
                found[effort].append(numbers.tolist())
            times[f"{effort}_p50_ms"] = round(float(np.percentile(spans, 50)), 2)
            times[f"{effort}_p95_ms"] = round(float(np.percentile(spans, 95)), 2)
        same = [
            len(set(a) & set(b)) / 10
            for a, b in zip(found["balanced"], found["exhaustive"], strict=False)
        ]
        return {
            "open_ms": round(seconds * 1000, 1),
            "segments": len(collection.snapshot().segments),
            **times,
            "balanced_of_exhaustive": round(float(np.mean(same)), 4),
            "opening_mb": round(after - before),
            "after_searching_mb": round(resident_mb() - before),
        }


def verified(path: Path) -> dict[str, Any]:
    """How fast everything is read and checked."""
    with store.open(path) as collection:
        start = time.perf_counter()
        report = collection.verify()
        seconds = time.perf_counter() - start
    assert report.ok, report.problems
    return {
        "seconds": round(seconds, 1),
        "megabytes": megabytes(report.n_bytes),
        "mb_a_second": round(report.n_bytes / 2**20 / seconds),
    }


def build(path: Path, n_passages: int, dim: int) -> float:
    """The same passages as one commit, settled together; the seconds that drawing them took."""
    drawn = 0.0
    settings = store.Settings(dim=dim, codec=f"residual{BITS}", first_budget_tokens=2**40)
    with store.create(path, settings) as collection:
        with collection.write() as writer:
            records: Iterator[Any] = stream(n_passages, dim=dim)
            while True:
                start = time.perf_counter()
                some = list(islice(records, 1_000))
                drawn += time.perf_counter() - start
                if not some:
                    break
                for one in some:
                    writer.add(*one)
        collection.settle()
        collection.compact()
    return round(drawn, 1)


# --- measures ------------------------------------------------------------------------------------
class Peak:
    """The most bytes that a folder took."""

    peak = 0


@contextmanager
def watched(folder: Path) -> Iterator[Peak]:
    """Look at a folder's size ten times a second."""
    seen, done = Peak(), threading.Event()

    def look() -> None:
        while not done.wait(0.1):
            seen.peak = max(seen.peak, size(folder))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()
        seen.peak = max(seen.peak, size(folder))


def size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # gone since it was listed
            continue
    return total


def size_mb(folder: Path) -> int:
    return megabytes(size(folder))


def megabytes(n_bytes: int) -> int:
    return round(n_bytes / 2**20)


def resident_mb() -> float:
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def apart(function: Any, path: Path, n_passages: int, dim: int) -> dict[str, Any]:
    """What a function finds in a process of its own, where no memory is another's."""
    code = (
        "import json, sys; from pathlib import Path; import scale; "
        f"print(json.dumps(scale.{function.__name__}(Path(sys.argv[1]), {n_passages}, {dim})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()

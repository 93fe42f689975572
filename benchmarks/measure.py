"""What every benchmark script needs: the machine, one JSON line a run, measures, a quiet timer."""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
QUALITY = {"nDCG@10": "nDCG@10", "MRR@10": "RR@10", "R@100": "R@100"}


def machine() -> dict[str, Any]:
    """Processor, cores, Python: a figure means nothing without them."""
    model, flags = platform.processor(), ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":")[1].strip()
            if line.startswith("flags"):
                flags = line
    sets = [name for name in ("amx_int8", "avx512_vnni", "avx_vnni", "avx2") if name in flags]
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "sets": sets,
        "python": platform.python_version(),
    }


def record(benchmark: str, **figures: Any) -> None:
    """Append one line to results/<benchmark>.jsonl and print it."""
    RESULTS.mkdir(exist_ok=True)
    line = {
        "benchmark": benchmark,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        **figures,
    }
    text = json.dumps(line)
    with (RESULTS / f"{benchmark}.jsonl").open("a", encoding="utf-8") as file:
        file.write(text + "\n")
    print(text, flush=True)


@contextmanager
def pinned(n_cores: int) -> Iterator[None]:
    """Keep this process, and those that it starts, on so many cores, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[-n_cores:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def quality(
    judgements: Mapping[str, Mapping[str, int]], run: Mapping[str, Mapping[str, float]]
) -> dict[str, float]:
    """nDCG@10, MRR@10 and R@100 in percent, by ir_measures."""
    import ir_measures  # of the extra bench; tests want the rest of this file without it

    measures = {name: ir_measures.parse_measure(one) for name, one in QUALITY.items()}
    found = ir_measures.calc_aggregate(measures.values(), judgements, run)
    return {name: round(100 * found[measure], 2) for name, measure in measures.items()}


def as_run(queries: Sequence[str], ranked: Sequence[Sequence[str]]) -> dict[str, dict[str, float]]:
    """Ranked ids as a run whose scores keep the order: measures break ties in their own way."""
    return {
        query: {id_: float(len(ids) - at) for at, id_ in enumerate(ids)}
        for query, ids in zip(queries, ranked, strict=True)
    }


def recall(exact: Sequence[Sequence[str]], found: Sequence[Sequence[str]], k: int) -> float:
    """Share of the exact first k that is among the first k found."""
    shares = [
        len(set(a[:k]) & set(b[:k])) / min(k, len(a)) for a, b in zip(exact, found, strict=True)
    ]
    return round(statistics.fmean(shares), 4)


def latency(calls: Sequence[Callable[[], Any]], repeats: int = 3) -> dict[str, float]:
    """Milliseconds of the calls, each the median of its repeats: median and 95th percentile."""
    for call in calls[:5]:
        call()
    times = []
    for call in calls:
        spans = []
        for _ in range(repeats):
            start = time.perf_counter()
            call()
            spans.append((time.perf_counter() - start) * 1000)
        times.append(statistics.median(spans))
    times.sort()
    return {
        "p50_ms": round(statistics.median(times), 3),
        "p95_ms": round(times[int(0.95 * (len(times) - 1))], 3),
    }

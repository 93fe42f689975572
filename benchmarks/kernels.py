"""How fast each kernel table scans, scores, clusters and builds: one JSON line on standard output.

    PYTHONPATH=src python benchmarks/kernels.py [--tables avx2,portable] [--threads 1]

32 query tokens x 128 dims; passages of 160 tokens; the best of several runs counts, tables take
turns. Tokens are random around random leaves, which costs the same as real ones.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from interlace import kernels
from interlace.kernels import CodecArrays, FreshArrays, Kernels, Quantised, SettledArrays
from interlace.store.postings import Lists

N_QUERY, DIM, LENGTH = 32, 128, 160
N_PASSAGES, N_LEAVES, LEAVES_PER_CELL = 4_000, 10_000, 8
N_SCORED = 250

RNG = np.random.default_rng(0)
SIGNS = RNG.choice(np.array([-1, 1], np.int8), (2, DIM))


def unit(n: int) -> Quantised:
    codes = RNG.integers(-127, 128, (n, DIM), dtype=np.int8)
    return Quantised(codes, (1 / np.linalg.norm(codes.astype(np.float32), axis=1)).astype("f4"))


def make_codec(bits: int) -> CodecArrays:
    n_cells = N_LEAVES // LEAVES_PER_CELL
    groups, cells, leaves = unit(n_cells // 32), unit(n_cells), unit(N_LEAVES)
    return CodecArrays(
        bits,
        *groups,
        *cells,
        np.sort(RNG.integers(0, n_cells // 32, n_cells)).astype(np.uint32),
        *leaves,
        np.repeat(np.arange(N_LEAVES // LEAVES_PER_CELL, dtype=np.uint32), LEAVES_PER_CELL),
        np.linspace(-120, 120, 2 << bits, dtype=np.float32),
        1,
        np.linspace(0, 1, 16, dtype=np.float32),
        np.linspace(0.9, 1.3, 256, dtype=np.float32),
        1.0,
    )


def make_settled(bits: int) -> SettledArrays:
    n = N_PASSAGES * LENGTH
    leaves = RNG.integers(0, N_LEAVES, n).astype(np.uint32)
    heads = leaves // LEAVES_PER_CELL << 16 | leaves % LEAVES_PER_CELL << 8
    heads |= RNG.integers(0, 256, n, dtype=np.uint32)
    offsets = np.arange(0, n + 1, LENGTH)
    lists = Lists(lambda: [(offsets, heads)])
    return SettledArrays(
        offsets,
        heads,
        RNG.integers(0, 256, (n, kernels.packed_width(DIM, bits)), dtype=np.uint8),
        lists.list_cells,
        lists.list_places,
        lists.list_offsets,
        np.concatenate(list(lists.gaps())),
    )


def cases(n_threads: int) -> Iterator[tuple[str, str, float, Callable[[Kernels], Any]]]:
    """Name, unit, how many units a run does, and what prepares the run."""
    query, tokens = unit(N_QUERY), unit(N_PASSAGES * LENGTH)
    offsets = np.arange(0, len(tokens.scales) + 1, LENGTH)
    rows = RNG.permutation(N_PASSAGES)[:N_SCORED].astype(np.uint32)
    many = RNG.permutation(N_PASSAGES)[:1000].astype(np.uint32)

    def fresh(table: Kernels) -> list[Any]:
        return [table.load_fresh(FreshArrays(offsets, *tokens), "fresh")]

    def scan(load: Callable[[Kernels], list[Any]]) -> Callable[[Kernels], Any]:
        def prepare(table: Kernels) -> Any:
            segments = load(table)
            return lambda: table.scan(query, segments, None, n_threads)

        return prepare

    n = len(tokens.scales)
    yield "scan fresh", "tokens/s", n, scan(fresh)
    for bits in (4, 2, 1):
        codec, settled = make_codec(bits), make_settled(bits)

        def load(
            table: Kernels, codec: CodecArrays = codec, settled: SettledArrays = settled
        ) -> list[Any]:
            return [table.load_settled(settled, table.load_codec(codec, "codec"), "settled")]

        def score(table: Kernels, load: Any = load) -> Any:
            segments = load(table)
            return lambda: table.score(query, segments, rows, n_threads)

        yield f"scan {bits} bits", "tokens/s", n, scan(load)
        yield f"score {bits} bits", "tokens/s", N_SCORED * LENGTH, score

    def probing(table: Kernels) -> Any:
        handle = table.load_codec(codec, "codec")
        return lambda: table.probe(query, handle, 16, 32, 32)

    def walking(table: Kernels) -> Any:
        segments = load(table)
        probe = table.probe(query, table.load_codec(codec, "codec"), 16, 32, 32)
        return lambda: table.walk(probe, segments, None, 1000)

    def interacting(table: Kernels) -> Any:
        segments = load(table)
        probe = table.probe(query, table.load_codec(codec, "codec"), 16, 32, 32)
        return lambda: table.interact(probe, segments, many, N_SCORED)

    yield "probe", "cells/s", len(codec.cell_scales), probing
    yield "walk", "queries/s", 1, walking
    yield "interact", "tokens/s", len(many) * LENGTH, interacting

    groups = np.arange(0, 200_001, 400)
    centroids = np.full(len(groups) - 1, 10)

    def clustering(table: Kernels) -> Any:
        return lambda: table.cluster(tokens.codes, groups, centroids, n_threads=n_threads)

    first = RNG.integers(0, N_LEAVES // 50, 100_000) * 50

    def assigning(table: Kernels) -> Any:
        part = tokens.codes[: len(first)]
        leaves = Quantised(codec.leaves, codec.leaf_scales)
        return lambda: table.assign(part, first, first + 50, leaves, n_threads)

    def encoding(table: Kernels) -> Any:
        handle = table.load_codec(make_codec(4), "codec")
        part = Quantised(tokens.codes[:100_000], tokens.scales[:100_000])
        heads = settled.heads[:100_000]
        own = (heads >> 16) * np.uint32(LEAVES_PER_CELL) + (heads >> 8 & 255)
        return lambda: table.encode(part, own, handle, n_threads)

    matrix = RNG.standard_normal((50_000, DIM)).astype(np.float32)

    def quantising(table: Kernels) -> Any:
        return lambda: table.quantise(matrix, SIGNS, n_threads)

    def comparing(table: Kernels) -> Any:
        few = np.arange(0, len(matrix) + 1, LENGTH)
        return lambda: table.maxsim(matrix[:N_QUERY], matrix, few, n_threads)

    yield "cluster", "rows/s", groups[-1], clustering
    yield "assign to 50", "tokens/s", len(first), assigning
    yield "encode 4 bits", "tokens/s", 100_000, encoding
    yield "quantise", "tokens/s", len(matrix), quantising
    yield "maxsim float32", "tokens/s", len(matrix), comparing


def seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    compiled = [name for name in kernels.available() if name != "reference"]
    parser.add_argument("--tables", default=",".join(compiled))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--only", default="", help="only cases whose name contains this")
    options = parser.parse_args()

    tables = [kernels.table(name) for name in options.tables.split(",")]
    results: dict[str, dict[str, float]] = {}
    for name, unit_name, amount, prepare in cases(options.threads):
        if options.only not in name:
            continue
        runs = {table.name: prepare(table) for table in tables}
        best = dict.fromkeys(runs, np.inf)
        for _ in range(options.runs):
            for key, run in runs.items():
                best[key] = min(best[key], seconds(run))
        results[f"{name} ({unit_name})"] = {
            key: float(f"{amount / time_taken:.3g}") for key, time_taken in best.items()
        }
    shape = {"query_tokens": N_QUERY, "dim": DIM, "threads": options.threads}
    print(json.dumps({"benchmark": "kernels", "machine": platform.machine(), **shape, **results}))


if __name__ == "__main__":
    main()

"""Each stage of a search beside what the machine would allow: arithmetic, or memory.

    python benchmarks/limits.py [--passages 100000] [--bits 4] [--efforts balanced]

A stage's limit is the larger of two times. Arithmetic: its int8 multiply-adds, at the rate that
products of registers reach (int8_peak.c). Memory: the rows that it must read, each as fast as one
of its size comes from an array of that size when all addresses are known beforehand, and the words
that it adds to (memory.c). What else a stage does, and that stages evict each other from caches,
is in no limit. Medians over the queries, on one thread and core; one JSON line.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from embedded import debian_texts, embedded
from encoder import int8_peak
from measure import pinned, record
from searching import REPEATS, K, built

from interlace import store
from interlace.kernels import NO_LEAF, SEEN, Probe, Ranked

HERE = Path(__file__).parent
STAGES = ("probe", "walk", "interact", "refine", "score")
ACCUMULATORS = 4 * 65_536
"""Bytes that a walk adds to at a time."""

A = np.ndarray


class Machine:
    """What its core does at best."""

    def __init__(self, folder: Path) -> None:
        peak = int8_peak()
        assert peak, "the limits want a C compiler, and AVX2 or more"
        self.peak: dict[str, Any] = peak
        self._program = folder / "memory"
        subprocess.run(["cc", "-O2", HERE / "memory.c", "-o", self._program], check=True)

    def products(self, n: float) -> float:
        """Microseconds of so many int8 multiply-adds."""
        return n / self.peak["gmacs"] / 1000

    def rows(self, n: float, of: int, within: int) -> float:
        """Microseconds of so many reads of ``of`` bytes, each anywhere in ``within``."""
        within = -(-max(within, of) // 65_536) * 65_536  # alike enough not to be measured anew
        return n * self._ns("rows", within, of) / 1000

    def adds(self, n: float, within: int) -> float:
        """Microseconds of so many additions to words anywhere in so many bytes."""
        return n * self._ns("adds", within) / 1000

    @cache  # noqa: B019 (one machine a run)
    def _ns(self, *what: object) -> float:
        return float(subprocess.check_output([self._program, *map(str, what)], text=True))


class Collection(NamedTuple):
    """A settled collection of one segment, and what its arrays hold."""

    snapshot: store.Snapshot
    arrays: dict[str, A]
    codec: Any

    def tokens(self, rows: A) -> int:
        return int(self.snapshot.n_tokens_of(rows))

    def postings(self, probe: Probe) -> tuple[int, int]:
        """How many lists a walk reads, and how many words they have: hardly more than postings."""
        leaves = probe.leaves[probe.leaves != NO_LEAF]
        cells, places = leaves >> 8, leaves & 0xFF
        of_cells, place_of = self.arrays["list_cells"].astype(np.int64), self.arrays["list_places"]
        known = cells < len(of_cells) - 1
        begin, end = of_cells[cells[known]], of_cells[cells[known] + 1]
        n_lists = n_postings = 0
        for low, high, place in zip(begin, end, places[known], strict=True):
            at = low + np.searchsorted(place_of[low:high], place)
            if at < high and place_of[at] == place:
                n_lists += 1
                n_postings += int(np.diff(self.arrays["list_offsets"][at : at + 2])[0])
        return n_lists, n_postings

    def seen(self, probe: Probe, rows: A) -> int:
        """How many tokens of some rows a probe has seen."""
        (segment,) = self.snapshot.opened
        return sum(
            int(np.count_nonzero(probe.entries[self.arrays["heads"][first:last] >> 16]))
            for first, last in zip(segment.offsets[rows], segment.offsets[rows + 1], strict=True)
        )

    def n_bytes(self, *names: str) -> int:
        return sum(self.arrays[name].nbytes for name in names)


def taken(it: Collection, matrices: list[A], effort: str) -> tuple[A, A]:
    """Microseconds of each stage of each search, and how many it refined and scored.

    All queries in turn, so that little of what one reads is still in a cache when it comes again.
    """
    passes = [
        [store.search(it.snapshot, one, K, effort=effort).profile for one in matrices]
        for _ in range(REPEATS)
    ]
    spans = np.array([[[one[f"{stage}_us"] for stage in STAGES] for one in row] for row in passes])
    numbers = np.array([[one["refine_n"], one["score_n"]] for one in passes[0]], np.int64)
    return np.median(spans, axis=0), numbers


def limits(it: Collection, matrix: A, effort: str, numbers: A, machine: Machine) -> A:
    """Of each stage the limits by arithmetic and by memory, in microseconds: ``(5, 2)``."""
    kernels, segments, plan = it.snapshot.kernels, it.snapshot.segments, store.EFFORTS[effort]
    assert plan is not None
    query = kernels.quantise(matrix, it.snapshot.signs)
    n, dim = query.codes.shape
    passage = it.tokens(np.arange(it.snapshot.n_rows)) // it.snapshot.n_rows
    width, leaves = it.arrays["codes"].shape[1], it.codec.leaves.nbytes

    probe = kernels.probe(query, it.snapshot.codec, plan.groups, plan.cells, plan.leaves)
    n_rows = len(it.codec.groups) + len(probe.table) - 1
    of_probe = machine.products(n_rows * n * dim), machine.rows(n_rows, dim, leaves)

    found = kernels.walk(probe, segments, None, plan.candidates)
    n_lists, n_postings = it.postings(probe)
    lists = it.n_bytes("list_cells", "list_places", "list_offsets", "list_gaps")
    reading = machine.rows(3 * n_lists, 64, lists)
    reading += machine.rows(n_lists, 2 * max(1, n_postings // max(1, n_lists)), lists)
    of_walk = 0.0, max(reading, machine.adds(n_postings, ACCUMULATORS))

    best, sums = kernels.interact(probe, segments, found, plan.scored)
    reading = machine.rows(len(found), 4 * passage, it.n_bytes("heads"))
    looking = machine.rows(it.tokens(found), 8, probe.entries.size // 8)
    n_seen = it.seen(probe, found)
    looking += machine.rows(n_seen, 4, probe.entries.nbytes)
    looking += machine.rows(n_seen, probe.table.shape[1], probe.table.nbytes)
    of_interact = 0.0, max(reading, looking)

    def scoring(n_passages: int, n_tokens: int) -> tuple[float, float]:
        reading = machine.rows(n_tokens, dim, leaves)
        run = max(1, round(n_tokens / n_passages / 16)) * 16  # tokens of a passage, roughly
        reading += machine.rows(n_passages, width * run, it.n_bytes("codes"))
        reading += machine.rows(n_passages, 4 * passage, it.n_bytes("heads"))
        return machine.products(n_tokens * n * dim), reading

    refined, scored = numbers.tolist()
    owners, expected = best.astype(np.int64), sums.astype(np.float32) / np.float32(SEEN)
    ranked = Ranked(best, expected, owners, K, plan.spread)
    near = kernels.refine(query, probe, segments, ranked)
    assert len(near) == refined
    of_refine = scoring(refined, it.seen(probe, best[:refined]))
    of_score = scoring(scored, it.tokens(best[np.argsort(-near, kind="stable")[:scored]]))
    return np.array([of_probe, of_walk, of_interact, of_refine, of_score])


def scanned(it: Collection, matrices: list[A], machine: Machine) -> A:
    """What a scan of everything takes, and its limits: ``(3,)``, medians."""
    n_tokens = it.tokens(np.arange(it.snapshot.n_rows))
    dim, width = it.codec.leaves.shape[1], it.arrays["codes"].shape[1]
    reading = machine.rows(n_tokens, dim, it.codec.leaves.nbytes)
    page = 65_536  # what lies in a row
    reading += machine.rows(n_tokens * (width + 4) / page, page, it.n_bytes("codes"))
    found = []
    for matrix in matrices[::30]:
        profile = store.search(it.snapshot, matrix, K, effort="exhaustive").profile
        found.append((profile["scan_us"], machine.products(n_tokens * matrix.size), reading))
    return np.median(found, axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--bits", type=int, default=4)
    parser.add_argument("--efforts", default="fast,balanced,thorough")
    parser.add_argument("--dry", action="store_true", help="print, and record nothing")
    args = parser.parse_args()
    texts, asked = debian_texts()
    documents = embedded("debian", texts).head(args.passages)
    matrices = list(embedded("debian", asked, as_queries=True))
    with (
        tempfile.TemporaryDirectory() as folder,
        built(documents, args.bits) as opened,
        pinned(1),
    ):
        machine, snapshot = Machine(Path(folder)), opened.snapshot()
        (segment,), generation = snapshot.opened, snapshot._decoder
        assert generation is not None
        it = Collection(snapshot, dict(segment.arrays), generation.arrays)
        stages: dict[str, dict[str, A]] = {}
        for effort in args.efforts.split(","):
            spans, numbers = taken(it, matrices, effort)
            allowed = [
                limits(it, one, effort, n, machine)
                for one, n in zip(matrices, numbers, strict=True)
            ]
            rows = np.column_stack([np.median(spans, axis=0), np.median(allowed, axis=0)])
            stages[effort] = dict(zip(STAGES, rows, strict=True))
        stages["exhaustive"] = {"scan": scanned(it, matrices, machine)}
    figures = {
        effort: {
            stage: {
                "us": round(float(row[0]), 1),
                "arithmetic": round(float(row[1]), 1),
                "memory": round(float(row[2]), 1),
                "share": round(float(max(row[1:]) / row[0]), 3),
            }
            for stage, row in rows.items()
        }
        for effort, rows in stages.items()
    }
    for effort, rows in figures.items():
        for stage, row in rows.items():
            print(effort, stage, row)
    if not args.dry:
        record(
            "limits",
            corpus="debian",
            passages=args.passages,
            bits=args.bits,
            kernels=snapshot.kernels.name,
            peak=machine.peak,
            efforts=figures,
        )


if __name__ == "__main__":
    main()

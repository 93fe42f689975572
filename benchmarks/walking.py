"""What the first passages of a walk hold of the ten best: which leaves, and what is not named.

    python benchmarks/walking.py [--passages 1000000] [--candidates 800]

On collections that searching.py has built, 4 bits, 100 queries, one thread, as wide as `balanced`.
The ten best are those of an exhaustive search of the codes. For some numbers of leaves a query
token, and with those that are nearly as good as its best: postings that a walk reads, its
milliseconds, and what share of the ten its passages hold, where what no list names is worth as much
as the last leaf probed, half way to the best group that was not seen (what searches do), and as
that.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
from embedded import debian_texts, embedded
from limits import Collection
from measure import pinned, record
from searching import BUILD, QUERIES_OF_MANY, on_codes

from interlace import store
from interlace.kernels import NO_LEAF, SEEN, Probe

TIMES = (1, 2, 4, 16)
"""As many leaves as `balanced` asks for."""


def floored(probe: Probe, way: float) -> Probe:
    """The same, where a walk takes what is not named to be so far from the last leaf probed.

    Its floor is the last score where it knows of nothing unseen: so that of a leaf that is nowhere.
    """
    n, unseen = (probe.leaves != NO_LEAF).sum(1), probe.table[0, : len(probe.leaves)] / SEEN
    assert n.all()
    token, table = np.arange(len(n)), probe.table.copy()
    last = probe.scores[token, n - 1]
    leaves = np.pad(probe.leaves, ((0, 0), (0, 1)), constant_values=NO_LEAF)
    scores = np.pad(probe.scores, ((0, 0), (0, 1)), constant_values=-np.inf)
    leaves[token, n] = NO_LEAF - 1
    scores[token, n] = np.where((unseen > 0) & (unseen < last), last + way * (unseen - last), last)
    table[0] = 0
    return probe._replace(table=table, leaves=leaves, scores=scores)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--candidates", type=int, default=800)
    parser.add_argument("--dry", action="store_true", help="print, and record nothing")
    args = parser.parse_args()
    plan = store.EFFORTS["balanced"]
    assert plan is not None
    _, asked = debian_texts()
    queries = list(embedded("debian", asked, as_queries=True))[:QUERIES_OF_MANY]
    found = {}
    with store.open(BUILD / f"debian-{args.passages}-4.lace", n_threads=1) as opened, pinned(1):
        wanted, snapshot = on_codes(opened, queries), opened.snapshot()
        kernels, segments = snapshot.kernels, snapshot.segments
        assert len(snapshot.opened) == 1
        it = Collection(snapshot, dict(snapshot.opened[0].arrays), None)
        codes = [kernels.quantise(query, snapshot.signs) for query in queries]

        def probes_of(n_leaves: int, first: int | None = None) -> list[Probe]:
            """Of so many leaves and those that are near, or of these the first so many."""
            width = plan.groups, plan.cells, n_leaves
            found = [kernels.probe(query, snapshot.codec, *width) for query in codes]
            return [
                one._replace(
                    leaves=np.ascontiguousarray(one.leaves[:, :first]),
                    scores=np.ascontiguousarray(one.scores[:, :first]),
                )
                for one in found
            ]

        least = plan.leaves
        choices = {f"the best {n}": probes_of(n, n) for n in (least * times for times in TIMES)}
        choices[f"the best {least} and those near"] = probes_of(least)
        for name, probes in choices.items():
            shares, spans = [], []
            for way in (0.0, 0.5, 1.0):
                hits = 0
                for probe, best in zip(probes, wanted, strict=True):
                    asked_for = probe if way == 0.5 else floored(probe, way)
                    start = time.perf_counter()
                    rows = kernels.walk(asked_for, segments, None, args.candidates)
                    spans.append(time.perf_counter() - start)
                    hits += len(np.intersect1d(snapshot.document_of_row[rows], best))
                shares.append(round(hits / wanted.size, 3))
            postings = statistics.fmean(it.postings(probe)[1] for probe in probes)
            found[name] = {
                "postings": round(postings),
                "ms": round(statistics.median(spans) * 1000, 2),
                "held": dict(zip(("last", "half way", "unseen"), shares, strict=True)),
            }
            print(name, found[name], flush=True)
    if not args.dry:
        record("walking", passages=args.passages, candidates=args.candidates, leaves=found)


if __name__ == "__main__":
    main()

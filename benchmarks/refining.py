"""How well passages are ranked by the tokens that a probe has seen, and how well by centroids.

    python benchmarks/refining.py [--queries 150] [--dry]

100,000 passages of Debian's documentation, 4 bits, `balanced`: of the passages that interacting
hands on, the first 160. Each is scored on its codes, by all tokens and by those of cells that the
probe has seen (the rest count as the best of the unseen). How much of the exact ten best stands
among the ten best of the first 16, 24 … in each order, ranked by all tokens. One JSON line.
"""

from __future__ import annotations

import argparse

import numpy as np
from embedded import debian_texts, embedded, exact
from measure import record
from searching import K, built

from interlace import store
from interlace.kernels import SEEN

N_PASSAGES, N_RANKED = 100_000, 160
FIRST = (10, 16, 24, 32, 48, 64, 100, 160)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=150)
    parser.add_argument("--dry", action="store_true", help="print, and record nothing")
    args = parser.parse_args()
    texts, asked = debian_texts()
    documents = embedded("debian", texts).head(N_PASSAGES)
    queries = list(embedded("debian", asked, as_queries=True))
    wanted = exact(documents, queries, f"debian-{N_PASSAGES}")
    plan = store.EFFORTS["balanced"]
    assert plan is not None
    found = {order: dict.fromkeys(FIRST, 0) for order in ("centroids", "seen")}
    n_tokens = n_seen = 0
    with built(documents, 4) as opened:
        snapshot = opened.snapshot()
        kernels, segments = snapshot.kernels, snapshot.segments
        (segment,) = snapshot.opened
        cells = np.asarray(segment.arrays["heads"]) >> 16
        for matrix, best in zip(queries[: args.queries], wanted, strict=False):
            query = kernels.quantise(matrix, snapshot.signs)
            probe = kernels.probe(query, snapshot.codec, plan.groups, plan.cells, plan.leaves)
            rows = kernels.walk(probe, segments, None, plan.candidates)
            for row in rows:
                seen = probe.entries[cells[segment.offsets[row] : segment.offsets[row + 1]]] != 0
                n_tokens, n_seen = n_tokens + len(seen), n_seen + int(seen.sum())
            rows, _ = kernels.interact(probe, segments, rows, N_RANKED)
            least = probe.table[0, : len(matrix)].astype(np.float32) / SEEN
            whole, near = np.empty((2, len(rows)))
            for i, row in enumerate(rows):
                cosines = kernels.similarities(query, segments, int(row))
                seen = probe.entries[cells[segment.offsets[row] : segment.offsets[row + 1]]] != 0
                whole[i] = cosines.max(axis=0).sum()
                near[i] = np.maximum(cosines[seen].max(axis=0, initial=-1), least).sum()
            orders = {"centroids": np.arange(len(rows)), "seen": np.argsort(-near, kind="stable")}
            for name, order in orders.items():
                for n in FIRST:
                    first = order[:n]
                    ten = rows[first[np.argsort(-whole[first], kind="stable")[:K]]]
                    found[name][n] += len(np.intersect1d(snapshot.document_of_row[ten], best))
    figures = {
        name: {n: round(hits / (args.queries * K), 4) for n, hits in of_order.items()}
        for name, of_order in found.items()
    }
    print(figures, "seen", round(n_seen / n_tokens, 3))
    if not args.dry:
        record(
            "refining",
            corpus="debian",
            passages=N_PASSAGES,
            queries=args.queries,
            seen=round(n_seen / n_tokens, 3),
            recall=figures,
        )


if __name__ == "__main__":
    main()

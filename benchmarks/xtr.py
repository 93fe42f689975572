"""Would XTR's scores rank better than MaxSim? Exact vectors, so that only the scores differ.

    python benchmarks/xtr.py --data ../shared/data [--collection scifact]
                              [--queries 100]

XTR (arXiv 2304.01982) sees of a passage only the tokens that are among the k' best of the whole
collection for some query token, and puts the k'-th best similarity where it sees none. So its score
is MaxSim with a floor a query token. `mini` was not trained for it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from corpora import load
from measure import as_run, quality, recall, record
from quality import encoded

import interlace

SEEN = (1_000, 4_000, 10_000, 40_000, 100_000)
"""k'. PyLate's default is 10,000."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--collection", default="scifact")
    parser.add_argument("--cache", type=Path, default=Path("build/embeddings"))
    parser.add_argument("--queries", type=int, default=100)
    args = parser.parse_args()
    corpus = load(args.data, args.collection)
    documents, queries, _ = encoded(interlace.Encoder.load("mini"), corpus, args.cache)
    queries = queries[: args.queries]
    lengths = np.array([len(document.matrix) for document in documents])
    rows = np.concatenate([document.matrix for document in documents])
    begins = (np.cumsum(lengths) - lengths)[lengths > 0]
    names = ["MaxSim", *map(str, SEEN)]
    ranked: dict[str, list[list[str]]] = {name: [] for name in names}
    for query in queries:
        similarities = query.matrix @ rows.T
        best = np.full((len(query.matrix), len(lengths)), -1, np.float32)
        best[:, lengths > 0] = np.maximum.reduceat(similarities, begins, axis=1)
        similarities.partition([len(rows) - n for n in SEEN], axis=1)
        floors = [np.float32(-1), *(similarities[:, [len(rows) - n]] for n in SEEN)]
        for name, floor in zip(names, floors, strict=True):
            scores = np.maximum(best, floor).sum(axis=0)
            order = np.argsort(-scores, kind="stable")[:100]
            ranked[name].append([corpus.ids[i] for i in order])
    judged = {id_: corpus.judgements[id_] for id_ in corpus.query_ids[: len(queries)]}
    record(
        "xtr",
        collection=args.collection,
        tokens=len(rows),
        queries=len(queries),
        rows={
            name: {
                **quality(judged, as_run(corpus.query_ids[: len(found)], found)),
                "shared@10": recall(ranked["MaxSim"], found, 10),
            }
            for name, found in ranked.items()
        },
    )


if __name__ == "__main__":
    main()

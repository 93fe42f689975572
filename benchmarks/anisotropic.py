"""What the codec keeps of a model whose random tokens are at a cosine of 0.9.

    python benchmarks/anisotropic.py --data ../shared/data [--collection scifact] [--documents 2000]
                                     [--queries 100]

Vectors of `mini`, of documents and queries alike, moved along one direction that they have little
in common with, by so much that random tokens reach the cosine, and brought to unit length again.
MaxSim orders passages as before, but within a tenth of the range. Recall@10 is against exact
float32 MaxSim of the moved vectors; at 0 they are as they were.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from corpora import load
from measure import recall, record
from quality import encoded

import interlace
from interlace import kernels

F32 = np.ndarray
COSINES = (0.0, 0.5, 0.9, 0.95)
EFFORTS = ("balanced", "exhaustive")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--collection", default="scifact")
    parser.add_argument("--cache", type=Path, default=Path("build/embeddings"))
    parser.add_argument("--documents", type=int, default=2_000)
    parser.add_argument("--queries", type=int, default=100)
    args = parser.parse_args()
    encoder = interlace.Encoder.load("mini")
    documents, queries, _ = encoded(encoder, load(args.data, args.collection), args.cache)
    documents, queries = documents[: args.documents], queries[: args.queries]
    ids = [document.token_ids for document in documents]
    offsets = np.append(0, np.cumsum([len(one) for one in ids])).astype(np.int64)
    rows = np.concatenate([document.matrix for document in documents])
    away = direction(rows)
    figures = {}
    for cosine in COSINES:
        moved = toward(rows, away, cosine)
        asked = [toward(query.matrix, away, cosine) for query in queries]
        figures[str(cosine)] = {
            "mean_cosine": round(mean_cosine(moved), 3),
            **{str(bits): found(moved, asked, offsets, ids, bits) for bits in (4, 2)},
        }
        print(cosine, figures[str(cosine)], flush=True)
    record(
        "anisotropic",
        collection=args.collection,
        documents=len(documents),
        tokens=len(rows),
        queries=len(queries),
        rows=figures,
    )


def direction(rows: F32) -> F32:
    """The direction along which vectors differ least: all of them have as little of it."""
    _, _, turned = np.linalg.svd(rows[::17].T @ rows[::17])
    return turned[-1]


def toward(rows: F32, away: F32, cosine: float) -> F32:
    """Moved so far that what is added makes up ``cosine`` of a product of two."""
    moved = np.sqrt(np.float32(1 - cosine)) * rows + np.sqrt(np.float32(cosine)) * away
    return moved / np.linalg.norm(moved, axis=1, keepdims=True)


def mean_cosine(rows: F32) -> float:
    """Of random pairs."""
    one, other = np.random.default_rng(0).integers(0, len(rows), (2, 10_000))
    return float((rows[one] * rows[other]).sum(axis=1).mean())


def found(
    rows: F32, queries: Sequence[F32], offsets: np.ndarray, ids: Sequence[np.ndarray], bits: int
) -> dict[str, float]:
    """Recall@10 of each effort, and of the fresh collection before it is settled."""
    table = kernels.table()
    exact = []
    for query in queries:
        scores = table.maxsim(query, rows, offsets, n_threads=2)
        exact.append([str(i) for i in np.argsort(-scores, kind="stable")[:10]])
    figures = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        interlace.create(
            f"{folder}/x.lace", model=None, dim=rows.shape[1], bits=bits, settle="manual"
        ) as opened,
    ):
        opened.add(
            ({"id": str(i), "text": ""} for i in range(len(ids))),
            embeddings=np.split(rows, offsets[1:-1]),
            token_ids=ids,
        )
        for name in ("fresh", *EFFORTS):
            effort = "exhaustive" if name == "fresh" else name
            runs = opened.search_many(embeddings=queries, k=10, effort=effort)
            figures[name] = recall(exact, [[hit.id for hit in hits] for hits in runs], 10)
            if name == "fresh":
                opened.settle()
    return figures


if __name__ == "__main__":
    main()

"""Quality, recall, size, build and latency on the shared collections, side by side.

    python benchmarks/quality.py --data ../shared/data [--collections scifact,cranfield]

For each collection: exact float32 MaxSim of `mini`, then ours: fresh, and settled at 4, 2 and 1
bits at each effort. One JSON line a collection. Embeddings are encoded once and kept in
--cache; `--encode-only` does no more than that, on all threads, so that the rest can be pinned to
one.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from corpora import NAMES, Corpus, load
from measure import as_run, latency, quality, recall, record

import interlace
from interlace.types import Encoded

EFFORTS = ("fast", "balanced", "thorough", "exhaustive")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--collections", default=",".join(NAMES))
    parser.add_argument("--cache", type=Path, default=Path("build/embeddings"))
    parser.add_argument("--queries", type=int, default=300, help="of which latency is measured")
    parser.add_argument("--encode-only", action="store_true")
    args = parser.parse_args()
    encoder = interlace.Encoder.load("mini")
    for name in args.collections.split(","):
        corpus = load(args.data, name)
        documents, queries, seconds = encoded(encoder, corpus, args.cache)
        n_tokens = sum(len(document.matrix) for document in documents)
        if args.encode_only:
            if seconds:
                record("encoding", collection=name, tokens=n_tokens, seconds=round(seconds, 1))
            continue
        exact = exact_ranking(corpus, documents, queries)
        figures: dict[str, Any] = {
            "collection": name,
            "documents": len(corpus.ids),
            "tokens": n_tokens,
            "queries": len(queries),
            "dim": encoder.dim,
            "exact": quality(corpus.judgements, as_run(corpus.query_ids, exact)),
        }
        for bits in (4, 2, 1):
            figures |= settled(corpus, documents, queries, exact, bits, args.queries, ids=True)
        untyped = settled(corpus, documents, queries, exact, 4, args.queries, ids=False)
        figures["4 bits, no token ids"] = untyped["4 bits"]
        record("quality", **figures)


def encoded(
    encoder: interlace.Encoder, corpus: Corpus, cache: Path
) -> tuple[list[Encoded], list[Encoded], float | None]:
    """Document and query matrices, and how long the documents took (None: from the cache)."""
    path = cache / f"{corpus.name}-{encoder.fingerprint[:12]}.npz"
    if path.exists():
        with np.load(path) as kept:
            arrays = dict(kept)
        return _cut(arrays, "documents"), _cut(arrays, "queries"), None
    start = time.perf_counter()
    documents = list(encoder.documents(corpus.texts))
    seconds = time.perf_counter() - start
    queries = list(encoder.queries(corpus.queries))
    cache.mkdir(parents=True, exist_ok=True)
    np.savez(path, **_joined(documents, "documents"), **_joined(queries, "queries"))
    return documents, queries, seconds


def _joined(texts: list[Encoded], kind: str) -> dict[str, np.ndarray]:
    return {
        f"{kind}_matrix": np.concatenate([text.matrix for text in texts]),
        f"{kind}_ids": np.concatenate([text.token_ids for text in texts]),
        f"{kind}_lengths": np.array([len(text.matrix) for text in texts]),
    }


def _cut(arrays: dict[str, np.ndarray], kind: str) -> list[Encoded]:
    ends = np.cumsum(arrays[f"{kind}_lengths"])[:-1]
    matrices = np.split(arrays[f"{kind}_matrix"], ends)
    ids = np.split(arrays[f"{kind}_ids"], ends)
    return [Encoded(matrix, token_ids) for matrix, token_ids in zip(matrices, ids, strict=True)]


def exact_ranking(
    corpus: Corpus, documents: list[Encoded], queries: list[Encoded]
) -> list[list[str]]:
    """The 100 best documents of each query by exact float32 MaxSim over all documents."""
    lengths = np.array([len(document.matrix) for document in documents])
    offsets = np.append(0, np.cumsum(lengths)).astype(np.int64)
    tokens = np.concatenate([document.matrix for document in documents])
    ranked = []
    for query in queries:
        scores = np.full(len(documents), -float(len(query.matrix)), np.float32)
        full = np.flatnonzero(lengths)
        products = tokens @ query.matrix.T
        best = np.maximum.reduceat(products, offsets[full], axis=0)
        scores[full] = best.sum(axis=1)
        order = np.argsort(-scores, kind="stable")[:100]
        ranked.append([corpus.ids[i] for i in order])
    return ranked


def settled(
    corpus: Corpus,
    documents: list[Encoded],
    queries: list[Encoded],
    exact: list[list[str]],
    bits: int,
    n_timed: int,
    *,
    ids: bool,
) -> dict[str, Any]:
    """Build from embeddings on one thread; with 4 bits also look at it while it is fresh."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        notes = interlace.create(
            Path(folder, "x.lace"),
            model=None,
            dim=queries[0].matrix.shape[1],
            bits=bits,
            settle="manual",
            n_threads=1,
        )
        records = [{"id": i, "text": t} for i, t in zip(corpus.ids, corpus.texts, strict=True)]
        start = time.perf_counter()
        notes.add(
            records,
            embeddings=[document.matrix for document in documents],
            token_ids=[document.token_ids for document in documents] if ids else None,
        )
        added = time.perf_counter() - start
        if bits == 4 and ids:
            figures["fresh"] = {
                **searched(notes, corpus, queries, exact, "exhaustive", n_timed),
                "add_s": round(added, 2),
            }
        start = time.perf_counter()
        notes.settle()
        figures[f"{bits} bits"] = {
            "settle_s": round(time.perf_counter() - start, 2),
            "bytes": notes.info()["bytes"],
            **{
                effort: searched(notes, corpus, queries, exact, effort, n_timed)
                for effort in EFFORTS
            },
        }
        notes.close()
    return figures


def searched(
    notes: interlace.Collection,
    corpus: Corpus,
    queries: list[Encoded],
    exact: list[list[str]],
    effort: str,
    n_timed: int,
) -> dict[str, Any]:
    """Quality and recall at k=100; latency at k=10, query matrix to hits with their texts."""
    found = [
        [str(hit.id) for hit in notes.search(embeddings=query.matrix, k=100, effort=effort)]
        for query in queries
    ]
    calls = [
        lambda matrix=query.matrix: notes.search(embeddings=matrix, k=10, effort=effort)
        for query in queries[:n_timed]
    ]
    return {
        **quality(corpus.judgements, as_run(corpus.query_ids, found)),
        "recall@10": recall(exact, found, 10),
        "recall@100": recall(exact, found, 100),
        **latency(calls),
    }


if __name__ == "__main__":
    main()

"""A collection grown a hundredfold, topic after topic, against the same built at once.

    python benchmarks/growth.py --data ../shared/data [--collections medquad,scifact,squad-dev]

Documents are put in the order of their topics (k-means of their mean vectors), so that early ones
tell nothing of later ones. *Grown*: the codec is trained on the first hundredth of the tokens, the
rest comes in small commits and settles at the ordinary budget. *Not grown*: the same with the first
codec as it is, which shows what drift a rebuild would mend. *At once*: all is settled together.
One JSON line a collection:
recall of exact float32 MaxSim, nDCG where there are judgements, size and latency at each effort.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from corpora import Corpus, load
from measure import as_run, quality, recall, record
from quality import encoded, exact_ranking

import interlace
from interlace import codec, store
from interlace.collection import Collection
from interlace.types import Encoded, Passage

EFFORTS = ("fast", "balanced", "thorough", "exhaustive")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--collections", default="squad-dev,scifact,medquad")
    parser.add_argument("--cache", type=Path, default=Path("build/embeddings"))
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--bits", default="4,2")
    parser.add_argument("--topics", type=int, default=25)
    parser.add_argument("--commit", type=int, default=20, help="documents")
    parser.add_argument("--no-ids", action="store_true", help="embeddings without token ids")
    args = parser.parse_args()
    encoder = interlace.Encoder.load("mini")
    for name in args.collections.split(","):
        corpus = load(args.data, name)
        documents, queries, _ = encoded(encoder, corpus, args.cache)
        corpus, documents = by_topic(corpus, documents, args.topics)
        queries = queries[: args.queries]
        if args.no_ids:
            documents = [Encoded(document.matrix, None) for document in documents]
        exact = exact_ranking(corpus, documents, queries)
        n_tokens = sum(len(document.matrix) for document in documents)
        figures: dict[str, Any] = {
            "collection": name,
            "documents": len(documents),
            "tokens": n_tokens,
            "topics": args.topics,
            "token_ids": not args.no_ids,
            "queries": len(queries),
        }
        for bits in map(int, args.bits.split(",")):
            first = n_tokens // 100
            given = (corpus, documents, queries, exact, bits)
            made = {
                "grown": built(*given, first, args.commit),
                "not grown": built(*given, first, args.commit, grows=False),
                "at once": built(*given, n_tokens, len(documents)),
            }
            lost = {
                f"{name} lost": {
                    effort: round(
                        made["at once"][effort]["recall@10"] - made[name][effort]["recall@10"], 4
                    )
                    for effort in EFFORTS
                }
                for name in ("grown", "not grown")
            }
            figures[f"{bits} bits"] = made | lost
    record("growth", **figures)


def by_topic(
    corpus: Corpus, documents: list[Encoded], n_topics: int
) -> tuple[Corpus, list[Encoded]]:
    """The same documents, those of a topic together, topics in an arbitrary order."""
    means = np.stack([document.matrix.sum(axis=0) for document in documents]).astype(np.float64)
    means -= means.mean(axis=0)
    means /= np.linalg.norm(means, axis=1, keepdims=True) + 1e-9
    centres = means[np.random.default_rng(0).choice(len(means), n_topics, replace=False)]
    for _ in range(20):
        topic = (means @ centres.T).argmax(axis=1)
        sums = np.stack([means[topic == i].sum(axis=0) for i in range(n_topics)])
        centres = sums / (np.linalg.norm(sums, axis=1, keepdims=True) + 1e-9)
    order = np.argsort(topic, kind="stable")
    reordered = Corpus(
        corpus.name,
        [corpus.ids[i] for i in order],
        [corpus.texts[i] for i in order],
        corpus.query_ids,
        corpus.queries,
        corpus.judgements,
    )
    return reordered, [documents[i] for i in order]


def built(
    corpus: Corpus,
    documents: list[Encoded],
    queries: list[Encoded],
    exact: list[list[str]],
    bits: int,
    first_budget: int,
    n_a_commit: int,
    *,
    grows: bool = True,
) -> dict[str, Any]:
    """Add all documents, so many a commit, and see what a search finds."""
    grow = codec.Generation.grow
    if not grows:
        codec.Generation.grow = lambda self, tokens, **options: self  # type: ignore[method-assign]
    dim = queries[0].matrix.shape[1]
    settings = store.Settings(dim=dim, codec=f"residual{bits}", first_budget_tokens=first_budget)
    with tempfile.TemporaryDirectory() as folder:
        opened = store.create(Path(folder, "x.lace"), settings)
        notes = Collection(opened)
        start = time.perf_counter()
        for first in range(0, len(documents), n_a_commit):
            part = documents[first : first + n_a_commit]
            with opened.write() as writer:
                for number, document in enumerate(part, first):
                    writer.add(*stored(corpus.ids[number], document))
        notes.settle()
        codec.Generation.grow = grow  # type: ignore[method-assign]
        seconds = time.perf_counter() - start
        info = opened.info()
        arrays = opened.snapshot()._decoder.arrays
        figures: dict[str, Any] = {
            "cells": len(arrays.cell_scales),
            "leaves": len(arrays.leaf_scales),
            "chunks": info["n_codec_chunks"],
            "segments": info["n_settled_segments"],
            "bytes_a_token": round(
                (info["bytes"]["settled"] + info["bytes"]["codec"]) / info["n_tokens"], 2
            ),
            "fairness": round(info["fairness"], 4),
            "seconds": round(seconds, 1),
            "drift": info["drift"],
        }
        for effort in EFFORTS:
            figures[effort] = searched(notes, corpus, queries, exact, effort)
        notes.close()
    return figures


def stored(id_: str, document: Encoded) -> tuple[Any, ...]:
    """A document as a writer takes it: its text does not matter here."""
    return (
        interlace.Document(id_, id_),
        id_,
        [Passage(id_, 0, 0, len(id_), id_)],
        [document],
    )


def searched(
    notes: Collection,
    corpus: Corpus,
    queries: list[Encoded],
    exact: list[list[str]],
    effort: str,
) -> dict[str, Any]:
    """Quality and recall; the median of one run of each query, in milliseconds."""
    found, times = [], []
    for query in queries:
        start = time.perf_counter()
        hits = notes.search(embeddings=query.matrix, k=100, effort=effort)
        times.append((time.perf_counter() - start) * 1000)
        found.append([str(hit.id) for hit in hits])
    asked = corpus.query_ids[: len(queries)]
    judged = {query: corpus.judgements[query] for query in asked}
    return {
        "nDCG@10": quality(judged, as_run(asked, found))["nDCG@10"],
        "recall@10": recall(exact, found, 10),
        "recall@100": recall(exact, found, 100),
        "p50_ms": round(float(np.median(times)), 2),
    }


if __name__ == "__main__":
    main()

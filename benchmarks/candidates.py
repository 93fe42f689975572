"""What candidates by words add to those by centroids: BM25's first hundred, united with a search.

    taskset -c 0 python benchmarks/candidates.py [--passages 100000] [--bits 4] [--first 100]

BM25 over word pieces, as lists by token type would have them, and over stemmed words without stop
words. What a search has scored and what BM25 puts first are ranked together by the stored codes.
Beside it, as many more passages in the search's own order. Recall is of exact float32 MaxSim. One
JSON line.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import bm25s
import numpy as np
import Stemmer
from embedded import debian_texts, embedded, exact
from measure import record
from searching import built

from interlace import store

K = 10
K1, B = 0.9, 0.4
IN_ALL = 0.5
"""A term of more than this share of the passages says nothing: its inverse frequency is below 0."""

A = np.ndarray


class Lists:
    """BM25 over posting lists by term: of word pieces, or of words."""

    def __init__(self, terms: A, offsets: A) -> None:
        self.n = len(offsets) - 1
        lengths = np.diff(offsets)
        pairs = terms.astype(np.int64) * self.n + np.repeat(np.arange(self.n), lengths)
        pairs, counts = np.unique(pairs, return_counts=True)
        self.rows, owners = pairs % self.n, pairs // self.n
        self.starts = np.searchsorted(owners, np.arange(terms.max() + 2))
        weight = K1 * (1 - B + B * lengths / lengths.mean())
        self.gains = counts * (K1 + 1) / (counts + weight[self.rows])

    def first(self, asked: A, n: int) -> tuple[A, int]:
        """The best rows for some terms, and how many postings had to be read."""
        scores, n_read = np.zeros(self.n), 0
        for term in np.unique(asked[asked < len(self.starts) - 1]).tolist():
            span = slice(self.starts[term], self.starts[term + 1])
            frequency = span.stop - span.start
            if frequency < IN_ALL * self.n:
                inverse = np.log1p((self.n - frequency + 0.5) / (frequency + 0.5))
                scores[self.rows[span]] += inverse * self.gains[span]
                n_read += frequency
        rows = np.argpartition(-scores, n)[:n]
        return rows[scores[rows] > 0].astype(np.uint32), n_read


def word_lists(texts: list[str], asked: list[str]) -> tuple[Lists, list[A]]:
    """Of stemmed words, and the terms of each query that some passage has."""
    made = bm25s.tokenize(
        texts, stopwords="en", stemmer=Stemmer.Stemmer("english"), show_progress=False
    )
    words = bm25s.tokenize(
        asked,
        stopwords="en",
        stemmer=Stemmer.Stemmer("english"),
        show_progress=False,
        return_ids=False,
    )
    offsets = np.append(0, np.cumsum([len(ids) for ids in made.ids])).astype(np.int64)
    terms = np.concatenate([np.asarray(ids, np.int64) for ids in made.ids])
    known = [[made.vocab[word] for word in some if word in made.vocab] for some in words]
    return Lists(terms, offsets), [np.array(ids, np.int64) for ids in known]


def best(snapshot: store.Snapshot, matrix: A, rows: A) -> A:
    """The documents of the ten best of some rows, by the stored codes."""
    scores = store.score(snapshot, matrix, rows)
    order = np.lexsort((rows, -scores))[:K]
    return snapshot.document_of_row[rows[order]]


def looked_at(snapshot: store.Snapshot, matrix: A, effort: str, more: int) -> tuple[A, A]:
    """The rows that a search scores, and so many more in its own order."""
    plan = store.EFFORTS[effort]
    assert plan is not None
    stages: dict[str, A] = {}
    store.search(snapshot, matrix, K, effort=effort, observe=stages.__setitem__)
    query = snapshot.kernels.quantise(matrix, snapshot.signs)
    probe = snapshot.kernels.probe(query, snapshot.codec, plan.groups, plan.cells, plan.leaves)
    rows = snapshot.kernels.walk(probe, snapshot.segments, None, plan.candidates)
    scored = stages["score"]
    rows, _ = snapshot.kernels.interact(probe, snapshot.segments, rows, len(scored) + more)
    return scored, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--bits", type=int, default=4)
    parser.add_argument("--first", type=int, default=100)
    parser.add_argument("--efforts", default="fast,balanced,thorough")
    parser.add_argument("--dry", action="store_true", help="print, and record nothing")
    args = parser.parse_args()
    texts, asked = debian_texts()
    documents = embedded("debian", texts).head(args.passages)
    pieces = embedded("debian", asked, as_queries=True)
    queries = list(pieces)
    wanted = exact(documents, queries, f"debian-{args.passages}")
    words, asked_words = word_lists(texts[: args.passages], asked)
    lists = {
        "word pieces": (
            Lists(documents.token_ids, documents.offsets),
            np.split(pieces.token_ids, pieces.offsets[1:-1]),
        ),
        "words": (words, asked_words),
    }
    named: dict[str, list[A]] = {}
    figures: dict[str, Any] = {}
    with built(documents, args.bits) as opened:
        snapshot = opened.snapshot()
        for kind, (index, terms) in lists.items():
            found = [index.first(some, args.first) for some in terms]
            named[kind] = [rows for rows, _ in found]
            read = [n for _, n in found]
            pairs = zip(queries, named[kind], strict=True)
            figures[f"BM25 of {kind}"] = {
                "holds": share([snapshot.document_of_row[rows] for rows in named[kind]], wanted),
                "recall": share([best(snapshot, query, rows) for query, rows in pairs], wanted),
                "postings_p50": int(np.percentile(read, 50)),
                "postings_p95": int(np.percentile(read, 95)),
            }
            print(kind, figures[f"BM25 of {kind}"], flush=True)
        for effort in args.efforts.split(","):
            figures[effort] = united(snapshot, queries, wanted, effort, named, args.first)
            print(effort, figures[effort], flush=True)
    if not args.dry:
        record(
            "candidates",
            corpus="debian",
            passages=args.passages,
            queries=len(queries),
            bits=args.bits,
            first=args.first,
            found=figures,
        )


def united(
    snapshot: store.Snapshot,
    queries: list[A],
    wanted: A,
    effort: str,
    named: dict[str, list[A]],
    first: int,
) -> dict[str, Any]:
    """Recall of an effort, with BM25's first, and with as many more of its own."""
    found: dict[str, list[A]] = {}
    n_scored, n_new, times = [], [], []
    for i, matrix in enumerate(queries):
        scored, longer = looked_at(snapshot, matrix, effort, first)
        n_scored.append(len(scored))
        found.setdefault("alone", []).append(best(snapshot, matrix, scored))
        found.setdefault("more of its own", []).append(best(snapshot, matrix, longer))
        for kind, rows in named.items():
            new = np.setdiff1d(rows[i], scored)
            start = time.perf_counter()
            store.score(snapshot, matrix, new)
            times.append((time.perf_counter() - start) * 1e6)
            n_new.append(len(new))
            both = np.concatenate([scored, new])
            found.setdefault(f"with BM25 of {kind}", []).append(best(snapshot, matrix, both))
    return {
        **{name: share(some, wanted) for name, some in found.items()},
        "scored": statistics.median(n_scored),
        "new": statistics.median(n_new),
        "scoring_new_us": round(statistics.median(times), 1),
    }


def share(found: list[A], wanted: A) -> float:
    """Of what is wanted, how much is there."""
    hits = sum(len(np.intersect1d(a, b)) for a, b in zip(found, wanted, strict=True))
    return round(hits / wanted.size, 4)


if __name__ == "__main__":
    main()

"""How good and how fast the built-in model is: one JSON line.

    python benchmarks/encoder.py --data ../shared/data [--collections scifact,cranfield]
                                 [--model FOLDER] [--float32 FOLDER]

Mean cosine to the float32 graph (`--float32`, a folder that `scripts/make_mini.py --precision
float32` wrote), tokens/s and query latency with one and two callers' threads, and nDCG@10 of the
exact float scores of its embeddings. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from corpora import Corpus, load
from measure import as_run, latency, quality, record

from interlace.models import Encoder

N_TIMED_DOCUMENTS = 300
N_TIMED_QUERIES = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--collections", default="scifact,cranfield")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--float32", type=Path)
    args = parser.parse_args()
    corpora = [load(args.data, name) for name in args.collections.split(",")]
    encoder = Encoder.load(args.model)
    sample = corpora[0].texts[:: max(1, len(corpora[0].texts) // N_TIMED_DOCUMENTS)]
    queries = corpora[0].queries[:N_TIMED_QUERIES]
    figures: dict[str, Any] = {"fingerprint": encoder.fingerprint[:16], "dim": encoder.dim}
    if args.float32:
        figures["cosine_to_float32"] = cosine(encoder, Encoder.load(args.float32), sample)
    for n_threads in (1, 2):
        figures[f"{n_threads} threads"] = {
            "tokens_per_s": tokens_per_second(args.model, n_threads, sample),
            "query": query_latency(encoder, queries, n_threads),
        }
    figures["exact"] = {corpus.name: exact_quality(encoder, corpus) for corpus in corpora}
    record("encoder", **figures)


def cosine(encoder: Encoder, reference: Encoder, texts: Sequence[str]) -> dict[str, float]:
    """Cosine between the two models' rows of the same tokens: mean and lowest hundredth."""
    pairs = zip(encoder.encode_document(texts), reference.encode_document(texts), strict=True)
    cosines = np.concatenate([(ours * theirs).sum(axis=1) for ours, theirs in pairs])
    return {
        "mean": round(float(cosines.mean()), 5),
        "p1": round(float(np.quantile(cosines, 0.01)), 5),
    }


def tokens_per_second(model: str, n_threads: int, texts: Sequence[str]) -> int:
    """Tokens the model reads a second, punctuation included; the best of three runs."""
    encoder = Encoder.load(model, n_threads=n_threads)
    n_tokens = sum(min(n, encoder.document_length) for n in encoder.count(texts))
    spans = []
    for _ in range(3):
        start = time.perf_counter()
        encoder.encode_document(texts)
        spans.append(time.perf_counter() - start)
    return round(n_tokens / min(spans))


def query_latency(encoder: Encoder, queries: Sequence[str], n_callers: int) -> dict[str, float]:
    """Latency that each of so many callers at once sees; the slowest caller's figures."""

    def caller(_: int) -> dict[str, float]:
        return latency([lambda text=text: encoder.encode_query([text]) for text in queries])

    with ThreadPoolExecutor(n_callers) as pool:
        seen = list(pool.map(caller, range(n_callers)))
    return max(seen, key=lambda figures: figures["p50_ms"])


def exact_quality(encoder: Encoder, corpus: Corpus) -> dict[str, float]:
    """Measures of ranking all documents by exact float32 MaxSim."""
    scores = encoder.similarity(corpus.queries, corpus.texts)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :100]
    ranked = [[corpus.ids[i] for i in row] for row in best]
    return quality(corpus.judgements, as_run(corpus.query_ids, ranked))


if __name__ == "__main__":
    main()

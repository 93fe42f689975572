"""What each codec loses: recall of exact float32 MaxSim from decoded vectors, at equal bits.

    python benchmarks/codec.py --data ../shared/data [--collection scifact] [--queries 100]

Beside ours: ColBERTv2's quantile buckets (arXiv 2112.01488, section 3.3) on the same centroids,
with and without unit length restored; and each coordinate rounded by itself to Lloyd's levels,
with scales of several kinds that are not rounded. Every row scores every passage, so it shows the
codec's loss alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from corpora import load
from measure import recall, record
from quality import encoded

import interlace
from interlace import codec, kernels

F32 = np.ndarray
LLOYD = {
    1: (0.79788456,),
    2: (0.45278, 1.51042),
    4: (0.12840, 0.38805, 0.65676, 0.94234, 1.25623, 1.61804, 2.06902, 2.73259),
}
"""Levels of a unit Gaussian (J. Max, 1960, table I), the positive half."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--collection", default="scifact")
    parser.add_argument("--cache", type=Path, default=Path("build/embeddings"))
    parser.add_argument("--queries", type=int, default=100)
    args = parser.parse_args()
    table = kernels.table()
    encoder = interlace.Encoder.load("mini")
    documents, queries, _ = encoded(encoder, load(args.data, args.collection), args.cache)
    lengths = [len(document.matrix) for document in documents]
    offsets = np.append(0, np.cumsum(lengths)).astype(np.int64)
    rows = np.concatenate([document.matrix for document in documents])
    ids = np.concatenate([document.token_ids for document in documents])

    def ranked(vectors: F32) -> list[list[str]]:
        found = []
        for query in queries[: args.queries]:
            scores = table.maxsim(query.matrix, vectors, offsets, n_threads=2)
            found.append([str(i) for i in np.argsort(-scores, kind="stable")[:100]])
        return found

    exact = ranked(rows)

    def row(vectors: F32) -> dict[str, float]:
        found = ranked(vectors)
        cosine = float((rows[::37] * unit(vectors[::37])).sum(axis=1).mean())
        return {
            "recall@10": recall(exact, found, 10),
            "recall@100": recall(exact, found, 100),
            "mean_cosine": round(cosine, 4),
        }

    signs = codec.rotation_signs(rows.shape[1], 0)
    made = table.quantise(rows, signs)
    turned = made.codes * made.scales[:, None]
    figures: dict[str, dict[str, float]] = {"int8": row(kernels.unrotate(turned, signs))}
    for bits in (4, 2, 1):
        tokens = codec.Tokens(made.codes, made.scales, ids)
        start = time.perf_counter()
        generation = codec.train(f"residual{bits}", tokens, n_tokens=len(rows), kernels=table)
        trained = time.perf_counter()
        coded = generation.encode(tokens, kernels=table)
        done = time.perf_counter()
        ours = row(kernels.unrotate(generation.decode(coded), signs))
        ours |= {"train_s": round(trained - start, 2), "encode_s": round(done - trained, 2)}
        figures[f"residual{bits}"] = ours
        untyped = codec.train(
            f"residual{bits}",
            tokens._replace(token_ids=None),
            n_tokens=len(rows),
            kernels=table,
        )
        again = untyped.decode(untyped.encode(tokens._replace(token_ids=None), kernels=table))
        figures[f"residual{bits}, no token ids"] = row(kernels.unrotate(again, signs))
        leaves = generation.leaves(coded)
        centre = generation.arrays.leaves[leaves] * generation.arrays.leaf_scales[leaves, None]
        plain = kernels.unrotate(centre, signs)
        for name, other in alternatives(rows, plain, turned, centre, signs, bits).items():
            figures[f"{bits} bits: {name}"] = row(other())
    record(
        "codec",
        collection=args.collection,
        tokens=len(rows),
        leaves=len(generation.arrays.leaf_scales),
        queries=len(exact),
        rows=figures,
    )


def alternatives(
    rows: F32, plain: F32, turned: F32, centre: F32, signs: np.ndarray, bits: int
) -> dict[str, Callable[[], F32]]:
    """What lost, each a function that gives decoded vectors."""

    def buckets() -> F32:
        rest = rows - plain
        sample = np.random.default_rng(0).choice(rest.ravel(), 2_000_000)
        edges = np.quantile(sample, np.arange(1, 2**bits) / 2**bits).astype(np.float32)
        means = np.quantile(sample, (np.arange(2**bits) + 0.5) / 2**bits).astype(np.float32)
        return plain + means[np.searchsorted(edges, rest)]

    def scaled(fit: Callable[[F32, F32, F32], F32], vectors: F32, near: F32) -> F32:
        rest = vectors - near
        norm = np.linalg.norm(rest, axis=1, keepdims=True) + 1e-9
        positive = np.array(LLOYD[bits], np.float32)
        levels = np.concatenate([-positive[::-1], positive])
        cuts = (levels[1:] + levels[:-1]) / 2
        level = levels[np.searchsorted(cuts, rest * (np.sqrt(rest.shape[1]) / norm))]
        return unit(near + level * fit(rest, level, norm))

    def length(rest: F32, level: F32, norm: F32) -> F32:
        return norm / np.linalg.norm(level, axis=1, keepdims=True)

    def least_squares(rest: F32, level: F32, norm: F32) -> F32:
        return (rest * level).sum(1, keepdims=True) / (level * level).sum(1, keepdims=True)

    def unbiased(rest: F32, level: F32, norm: F32) -> F32:
        return norm * norm / ((rest * level).sum(1, keepdims=True) + 1e-9)

    return {
        "quantile buckets": buckets,
        "quantile buckets, unit length": lambda: unit(buckets()),
        "each by itself": lambda: kernels.unrotate(scaled(length, turned, centre), signs),
        "each by itself, not rotated": lambda: scaled(length, rows, plain),
        "each by itself, least-squares scale": lambda: kernels.unrotate(
            scaled(least_squares, turned, centre), signs
        ),
        "each by itself, unbiased scale": lambda: kernels.unrotate(
            scaled(unbiased, turned, centre), signs
        ),
    }


def unit(vectors: F32) -> F32:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


if __name__ == "__main__":
    main()

"""Fusing scores of few passages, as a narrow filter leaves them: where is the 0 of the late ones?

    python benchmarks/few.py --data ../shared/data [--collections scifact,cranfield]

Of fewer passages than ``fusion.DEPTH`` the worst one's late score becomes 0, however good it is.
For each query, several times over, some documents are drawn from those nearest to it by tokens or
by words, a quarter of them relevant, at least one. One JSON line a collection: nDCG@10 among them
by late scores alone, and what each choice of the 0 adds.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from corpora import NAMES, load
from hybrid import Floats, Passages, made, sampled
from measure import as_run, quality, record

from interlace.collection import fusion
from interlace.text import asked_words

SIZES: Final = (2, 5, 20, 40)
DRAWS: Final = 8
NEAR: Final = 150
"""Passages of each kind that documents are drawn from."""

#: From the late scores that are there, best first, to the one that becomes 0.
ZEROS: Final[dict[str, Callable[[Floats], float]]] = {
    "the worst": lambda head: head[-1],
    "0.4 of the best": lambda head: min(head[-1], 0.4 * head[0]),
    "lower the fewer": lambda head: head[-1] * math.sqrt(len(head) / fusion.DEPTH),
    "0": lambda head: min(head[-1], 0.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--collections", default=",".join(NAMES))
    parser.add_argument("--cache", type=Path, default=Path("build/hybrid"))
    parser.add_argument("--queries", type=int, default=300)
    args = parser.parse_args()
    for name in args.collections.split(","):
        corpus = sampled(load(args.data, name), args.queries)
        with made(corpus, args.cache / f"{name}.lace") as notes:
            record(
                "few",
                collection=name,
                queries=len(corpus.queries),
                few=few(Passages(notes, corpus)),
            )


def few(at: Passages) -> dict[str, dict[str, float]]:
    """By the number of documents, what late scores reach, and what the ways of fusing add."""
    reached: dict[int, dict[str, list[float]]] = {
        size: {name: [] for name in ("late", *ZEROS)} for size in SIZES
    }
    every, scored = np.arange(at.snapshot.n_rows), []
    for i, query in enumerate(at.corpus.queries):
        found = at.snapshot.lexical(asked_words(query))
        scored.append((at.late(i), found.of(every), found.most))
    for size in SIZES:
        for draw in range(DRAWS):
            ranked: dict[str, list[list[str]]] = {name: [] for name in reached[size]}
            judged = {}
            for i, (late, words, most) in enumerate(scored):
                relevant = at.corpus.judgements[at.corpus.query_ids[i]]
                rows = drawn(at, relevant, late, words, size, np.random.default_rng((draw, i)))
                here = {at.ids[row] for row in rows}
                judged[at.corpus.query_ids[i]] = {
                    id_: value for id_, value in relevant.items() if id_ in here
                }
                ranked["late"].append(at.ranked(rows, late))
                for name, zero in ZEROS.items():
                    ranked[name].append(at.ranked(rows, fused(rows, late, words, most, zero), late))
            for name, ids in ranked.items():
                run = as_run(at.corpus.query_ids, ids)
                reached[size][name].append(quality(judged, run)["nDCG@10"])
    means = {
        size: {name: statistics.fmean(some) for name, some in ways.items()}
        for size, ways in reached.items()
    }
    return {
        str(size): {
            name: round(mean - (0 if name == "late" else ways["late"]), 2)
            for name, mean in ways.items()
        }
        for size, ways in means.items()
    }


def drawn(
    at: Passages,
    relevant: dict[str, int],
    late: Floats,
    words: Floats,
    size: int,
    random: np.random.Generator,
) -> Floats:
    """The rows of so many documents near a query."""
    ids = np.array(at.ids)
    near = np.concatenate([np.argsort(-scores, kind="stable")[:NEAR] for scores in (late, words)])
    good = np.intersect1d(ids, [id_ for id_, value in relevant.items() if value > 0])
    good = random.permutation(good)[: max(1, size // 4)]
    other = np.setdiff1d(ids[near], list(relevant))
    return np.flatnonzero(np.isin(ids, [*good, *random.permutation(other)[: size - len(good)]]))


def fused(
    rows: Floats, late: Floats, words: Floats, most: float, zero: Callable[[Floats], float]
) -> Floats:
    """Scores of all passages; only those of ``rows`` count."""
    by_tokens, by_words = (-np.sort(-scores[rows])[: fusion.DEPTH] for scores in (late, words))
    spans = (
        fusion.Span(float(zero(by_tokens)), float(by_tokens[0])),
        fusion.span_of_words(by_words[by_words > 0], most),
    )
    return fusion.fused(late, words, spans)


if __name__ == "__main__":
    main()

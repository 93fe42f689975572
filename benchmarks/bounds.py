"""Could a search prove its ten best without scoring all? How often, with bounds however tight.

    taskset -c 0 python benchmarks/bounds.py [--passages 100000] [--bits 4] [--queries 100]

A passage that no probed list names has no token in a probed leaf, so its score is at most the sum,
over query tokens, of the best that any other leaf holds. What a leaf holds at best is bounded by
its product and its largest residual (`length`), by its angle and its widest one (`angle`), or is
the largest true product with any of its tokens (`true`), beyond which no bound by leaves can go. A
search is proven when that is below its tenth score. One JSON line.
"""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple

import numpy as np
from embedded import debian_texts, embedded
from measure import record
from searching import built

from interlace import store
from interlace.codec import Coded

K = 10
AT_ONCE, PASSAGES_AT_ONCE = 40_000, 2_000
BOUNDS = ("length", "angle", "true")

A = np.ndarray


class Leaves(NamedTuple):
    """What each leaf can hold, and which leaf each token is in.

    Attributes
    ----------
    of_token : (n_tokens,) int32
    names : (n_leaves,) as the probe names them, ascending
    centres : (n_leaves, dim) float32
    longest : (n_leaves,) the largest length of a residual there
    widest : (n_leaves,) the largest angle of a token with its leaf
    length : (n_leaves,) the largest length of a token
    best : (n_leaves, n_lanes) the largest product with each query token; -inf where none is
    cosines, lengths : (n_tokens,) of each token: the cosine with its leaf, and its length
    """

    of_token: A
    names: A
    centres: A
    longest: A
    widest: A
    length: A
    best: A
    cosines: A
    lengths: A


def leaves_of(snapshot: store.Snapshot, lanes: A) -> Leaves:
    """Decode every token once, leaf by leaf."""
    (segment,), generation = snapshot.opened, snapshot._decoder
    assert generation is not None
    stored = Coded(segment.arrays["heads"], segment.arrays["codes"])
    arrays = generation.arrays
    n = len(arrays.leaf_scales)
    of_token = generation.leaves(stored).astype(np.int32)
    order = np.argsort(of_token, kind="stable")
    starts = np.searchsorted(of_token[order], np.arange(n + 1))
    centres = arrays.leaves * arrays.leaf_scales[:, None]
    best = np.full((n, lanes.shape[1]), -np.inf, np.float32)
    longest, widest, length = (np.zeros(n, np.float32) for _ in range(3))
    all_cosines, all_lengths = (np.empty(len(order), np.float32) for _ in range(2))
    first = 0
    while first < n:
        last = max(first + 1, int(np.searchsorted(starts, starts[first] + AT_ONCE, "right")) - 1)
        last = min(last, n)
        at = order[starts[first] : starts[last]]
        tokens = generation.decode(Coded(*(rows[at] for rows in stored)))
        near, full = centres[of_token[at]], np.flatnonzero(np.diff(starts[first : last + 1]))
        begins = starts[first:last][full] - starts[first]
        lengths = np.linalg.norm(tokens, axis=1)
        cosines = np.clip(np.einsum("ij,ij->i", tokens, near) / lengths, -1, 1)
        all_cosines[at], all_lengths[at] = cosines, lengths
        for into, each in (
            (longest, np.linalg.norm(tokens - near, axis=1)),
            (widest, np.arccos(cosines)),
            (length, lengths),
            (best, tokens @ lanes),
        ):
            if len(full):
                into[first + full] = np.maximum.reduceat(each, begins, axis=0)
        first = last
    places = np.arange(n) - np.searchsorted(arrays.leaf_cells, arrays.leaf_cells)
    named = arrays.leaf_cells.astype(np.int64) << 8 | places
    return Leaves(of_token, named, centres, longest, widest, length, best, all_cosines, all_lengths)


def bounds(leaves: Leaves, lanes: A, query: A) -> dict[str, A]:
    """``(n_leaves, q_tokens)`` of each kind; -inf where a leaf has no tokens."""
    cosines = leaves.centres @ query.T
    angles = np.arccos(np.clip(cosines, -1, 1)) - leaves.widest[:, None]
    found = {
        "length": cosines + leaves.longest[:, None],
        "angle": leaves.length[:, None] * np.cos(np.maximum(0, angles)),
        "true": leaves.best[:, lanes],
    }
    found["cosine"] = cosines
    for rows in found.values():
        rows[leaves.length == 0] = -np.inf
    return found


def possible(leaves: Leaves, of_leaf: dict[str, A], offsets: A) -> dict[str, A]:
    """What each passage could score at most, by what its leaves, or its own tokens, could."""
    n = len(offsets) - 1
    sines = np.sqrt(np.maximum(0, 1 - of_leaf["cosine"] ** 2))
    found = {kind: np.empty(n, np.float32) for kind in ("angle", "token", "true")}
    for first in range(0, n, PASSAGES_AT_ONCE):
        last = min(n, first + PASSAGES_AT_ONCE)
        span = slice(offsets[first], offsets[last])
        at, cosine = leaves.of_token[span], leaves.cosines[span, None]
        to_leaf = of_leaf["cosine"][at]
        turned = to_leaf * cosine + sines[at] * np.sqrt(1 - cosine * cosine)
        of_token = {
            "angle": of_leaf["angle"][at],
            "token": np.where(to_leaf < cosine, turned, 1) * leaves.lengths[span, None],
            "true": of_leaf["true"][at],
        }
        begins = offsets[first:last] - offsets[first]
        for kind, rows in of_token.items():
            found[kind][first:last] = np.maximum.reduceat(rows, begins, axis=0).sum(axis=1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--bits", type=int, default=4)
    parser.add_argument("--queries", type=int, default=60)
    parser.add_argument("--efforts", default="fast,balanced,thorough")
    parser.add_argument("--dry", action="store_true", help="print, and record nothing")
    args = parser.parse_args()
    texts, asked = debian_texts()
    documents = embedded("debian", texts).head(args.passages)
    every = list(embedded("debian", asked, as_queries=True))
    queries = every[:: len(every) // args.queries][: args.queries]
    with built(documents, args.bits) as opened:
        snapshot = opened.snapshot()
        made = [snapshot.kernels.quantise(query, snapshot.signs) for query in queries]
        rotated = [one.codes * one.scales[:, None] for one in made]
        leaves = leaves_of(snapshot, np.ascontiguousarray(np.concatenate(rotated).T))
        ends = np.append(0, np.cumsum([len(query) for query in queries]))
        rows = []
        for i, (matrix, query) in enumerate(zip(queries, rotated, strict=True)):
            lanes = slice(int(ends[i]), int(ends[i + 1]))
            rows.append(proofs(snapshot, leaves, lanes, matrix, query, args.efforts.split(",")))
            print(i, rows[-1], flush=True)
        figures = summed(rows)
        n_leaves = int((leaves.length > 0).sum())
    if args.dry:
        print(figures)
    else:
        record(
            "bounds",
            corpus="debian",
            passages=args.passages,
            queries=len(queries),
            bits=args.bits,
            leaves=n_leaves,
            efforts=figures,
        )


def proofs(
    snapshot: store.Snapshot,
    leaves: Leaves,
    lanes: slice,
    matrix: A,
    query: A,
    efforts: list[str],
) -> dict[str, dict[str, float]]:
    """Of one query: bounds over tenth scores at each effort, and what a proof would take."""
    (segment,), fairness = snapshot.opened, snapshot._decoder.description["fairness"]  # type: ignore[union-attr]
    of_leaf = bounds(leaves, lanes, query)
    kernels, asked = snapshot.kernels, snapshot.kernels.quantise(matrix, snapshot.signs)
    scores = kernels.scan(asked, snapshot.segments, None)
    tenth = float(np.partition(scores, -K)[-K])
    begins = segment.offsets[:-1]
    at_most = {
        kind: sums * fairness for kind, sums in possible(leaves, of_leaf, segment.offsets).items()
    }
    assert all((sums >= scores - 2e-3).all() for sums in at_most.values())
    found = {}
    for effort in efforts:
        plan = store.EFFORTS[effort]
        assert plan is not None
        scored: dict[str, A] = {}
        hits = store.search(snapshot, matrix, K, effort=effort, observe=scored.__setitem__)
        probe = kernels.probe(asked, snapshot.codec, plan.groups, plan.cells, plan.leaves)
        probed = np.zeros(len(leaves.length), bool)
        named = probe.leaves[np.isfinite(probe.scores)]
        probed[np.searchsorted(leaves.names, named)] = True
        kth, rest = float(hits.scores[-1]), ~probed
        unscored = np.ones(len(scores), bool)
        unscored[scored["score"]] = False
        is_named = np.logical_or.reduceat(probed[leaves.of_token], begins)
        found[effort] = {
            "right": float(kth >= tenth - 1e-4),
            **{kind: fairness * of_leaf[kind][rest].max(axis=0).sum() / kth for kind in BOUNDS},
            "named": is_named.mean(),
            "unscored that may be among the best": (at_most["true"][unscored] > kth).sum(),
            "of them named": (at_most["true"][unscored & is_named] > kth).sum(),
        }
    found["a proof"] = {
        **{f"passages, {kind}": (sums >= tenth).sum() for kind, sums in at_most.items()},
        **wanted(leaves, of_leaf, tenth / fairness, begins),
    }
    return found


def wanted(leaves: Leaves, of_leaf: dict[str, A], kth: float, begins: A) -> dict[str, float]:
    """Leaves to be probed for each query token, a power of two, until what is left is below."""
    n = len(leaves.length)
    order = np.argsort(-of_leaf["cosine"], axis=0)
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(n)[:, None], axis=0)
    rank = rank.min(axis=1)
    found = {}
    for kind in BOUNDS:
        m = 16
        while m < n and of_leaf[kind][rank >= m].max(axis=0).sum() >= kth:
            m *= 2
        found[f"leaves, {kind}"] = min(m, n)
    probed = (rank < found["leaves, true"])[leaves.of_token]
    found["passages named, true"] = np.logical_or.reduceat(probed, begins).mean()
    return found


def summed(rows: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, Any]]:
    """Medians over queries, shares of what is right and proven."""
    figures: dict[str, dict[str, Any]] = {}
    for name, first in rows[0].items():
        figures[name] = {}
        for key in first:
            values = np.array([row[name][key] for row in rows], np.float64)
            if key == "right":
                figures[name][key] = round(float(values.mean()), 3)
                continue
            figures[name][key] = round(float(np.median(values)), 4)
            if key in BOUNDS:
                figures[name][f"{key}, proven"] = round(float((values < 1).mean()), 3)
                figures[name][f"{key}, least"] = round(float(values.min()), 4)
    return figures


if __name__ == "__main__":
    main()

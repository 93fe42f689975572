"""Where the bytes of a settled token go, what each part could take, and what that costs in recall.

    taskset -c 0 python benchmarks/size.py [--passages 100000] [--bits 2] [--queries 60]

An experiment: no format is changed. What is on disk is coded in memory by the functions that write
it, and measured array by array, beside its entropy and beside what well-known integer codings would
take. Then the same passages are coded with fewer leaves, and every passage is scored on that:
recall@10 of exact float32 MaxSim; with --queries 0 only sizes. One JSON line a codec.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import statistics
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from embedded import Embedded, debian_texts, embedded, exact
from measure import record

from interlace import codec, kernels, store
from interlace.kernels import GAPS, CodecArrays, SettledArrays
from interlace.store import postings, settling

K = 10
AT_ONCE = 200_000
TABLE = kernels.table()
SIGNS = codec.rotation_signs(128, 0)
LEAVES = ("leaves", "leaf_scales", "leaf_cells")

A = np.ndarray


class Corpus(NamedTuple):
    """Tokens of all passages as int8, queries likewise, and what exact search finds."""

    tokens: codec.Tokens
    offsets: A
    queries: list[kernels.Quantised]
    wanted: A


class Packed(NamedTuple):
    """All passages coded, with what a segment would hold beside their tokens."""

    generation: codec.Generation
    coded: codec.Coded
    lists: Mapping[str, A]


def loaded(documents: Embedded, queries: list[A], wanted: A) -> Corpus:
    n = len(documents.token_ids)
    codes, scales = np.empty((n, documents.matrix.shape[1]), np.int8), np.empty(n, np.float32)
    for at in range(0, n, AT_ONCE):
        part = slice(at, at + AT_ONCE)
        made = TABLE.quantise(np.asarray(documents.matrix[part], np.float32), SIGNS)
        codes[part], scales[part] = made.codes, made.scales
    asked = [TABLE.quantise(query, SIGNS) for query in queries]
    return Corpus(
        codec.Tokens(codes, scales, documents.token_ids), documents.offsets, asked, wanted
    )


def trained(corpus: Corpus, bits: int, n_leaves: int | None = None) -> codec.Generation:
    """A codec for all tokens, as settling would train it, or for those that want so many leaves."""
    n = len(corpus.tokens.scales)
    lengths = np.diff(corpus.offsets)
    settings = store.Settings(dim=corpus.tokens.codes.shape[1], codec=f"residual{bits}")
    chosen = settling.sample(lengths, settings.sample_tokens_max, settings.seed)
    is_chosen = np.zeros(len(lengths), bool)
    is_chosen[chosen] = True
    at = np.flatnonzero(np.repeat(is_chosen, lengths))
    sample = codec.Tokens(*(part[at] for part in corpus.tokens))
    stands_for = n if n_leaves is None else n_leaves * 50
    return codec.train(settings.codec, sample, n_tokens=stands_for, kernels=TABLE)


def cells_alone(generation: codec.Generation) -> codec.Generation:
    """The same cells, each its own leaf."""
    none = {name: generation.rows[name][:0] for name in LEAVES}
    return dataclasses.replace(generation, rows={**generation.rows, **none})


def packed(corpus: Corpus, generation: codec.Generation) -> Packed:
    parts = []
    for at in range(0, len(corpus.tokens.scales), AT_ONCE):
        some = codec.Tokens(*(part[at : at + AT_ONCE] for part in corpus.tokens))
        parts.append(generation.encode(some, kernels=TABLE))
    joined = codec.Coded(*(np.concatenate(rows) for rows in zip(*parts, strict=True)))
    lists = postings.Lists(lambda: [(corpus.offsets, joined.heads)])
    arrays = {name: getattr(lists, name) for name in ("list_cells", "list_places", "list_offsets")}
    return Packed(generation, joined, arrays | {"list_gaps": np.concatenate(list(lists.gaps()))})


# --- how large ------------------------------------------------------------------------------------
def on_disk(it: Packed, corpus: Corpus) -> dict[str, float]:
    """Bytes a token of every array of a segment and of the codec."""
    rows = dict.fromkeys(("passages", "documents", "offsets"), corpus.offsets)
    arrays = {**rows, **it.coded._asdict(), **it.lists}
    arrays |= {f"codec: {name}": array for name, array in it.generation.rows.items()}
    n = len(it.coded.heads)
    return {name: round(array.nbytes / n, 3) for name, array in arrays.items()}


def entropy(symbols: A) -> float:
    """Bits a symbol that any coding needs which knows how often each comes, and no more."""
    counts = np.bincount(symbols)
    shares = counts[counts > 0] / len(symbols)
    return float(-(shares * np.log2(shares)).sum())


def entropies(it: Packed) -> dict[str, float]:
    """Bits a token."""
    coded, cells = it.coded, (it.coded.heads >> 16).astype(np.int64)
    arrays = it.generation.arrays
    shifts = np.arange(0, 8, arrays.bits, dtype=np.uint8)
    codes = coded.codes[::29, :, None] >> shifts & np.uint8((1 << arrays.bits) - 1)
    leaves = entropy(leaf_numbers(it))
    return {
        "cell": entropy(cells),
        "place, its cell known": leaves - entropy(cells),
        "leaf": leaves,
        "norm": entropy(coded.heads & 15),
        "scale code": entropy(coded.heads & 255),
        "codes": entropy(codes.ravel()) * arrays.leaves.shape[1],
    }


def elias_fano(n: A, universe: A | int) -> A:
    """Bits of ascending lists of ``n`` numbers below ``universe``."""
    low = np.floor(np.log2(np.maximum(1, universe / np.maximum(1, n))))
    return np.where(n > 0, n * (low + 1) + np.ceil(universe / 2**low), 0)


def ids(it: Packed, corpus: Corpus) -> dict[str, float]:
    """Bits a token that tell its leaf; in what order a passage's tokens come changes no score."""
    lengths, n = np.diff(corpus.offsets).astype(np.float64), len(it.coded.heads)
    n_leaves = len(it.generation.arrays.leaf_scales)
    orders = sum(math.lgamma(length + 1) for length in lengths) / math.log(2)
    return {
        "now": 24,
        "one number, packed": math.ceil(math.log2(n_leaves)),
        "sorted in the passage, Elias-Fano": float(elias_fano(lengths, n_leaves).sum() / n),
        "sorted in the passage, entropy": entropy(leaf_numbers(it)) - orders / n,
    }


def leaf_numbers(it: Packed) -> A:
    return (it.coded.heads >> 8).astype(np.int64)


def list_codings(it: Packed, n_passages: int) -> dict[str, float]:
    """Bits a posting of the real lists in well-known codings, and how many postings a token has.

    StreamVByte as it would be for 16 bits: a gap has one bit for its length, of one or two bytes.
    """
    lists = it.lists
    words, n_words = lists["list_gaps"].astype(np.int64), np.diff(lists["list_offsets"])
    owners = np.repeat(np.arange(len(n_words)), n_words)[words < GAPS]
    far = np.where(words < GAPS, words, (words - GAPS + 1) * GAPS)
    ends = np.cumsum(far)[words < GAPS]  # of postings, each counted from all lists' beginning
    n, total = np.bincount(owners, minlength=len(n_words)), len(owners)
    gaps = np.diff(ends, prepend=0) - 1
    first = np.cumsum(n) - n
    gaps[first] += 1  # a list's first passage may be passage 0
    bits = {
        "Elias-Fano": elias_fano(n, n_passages).sum(),
        "PFor": patched(gaps, n).sum(),
        "StreamVByte": (1 + 8 + 8 * (gaps > 255)).sum(),
    }
    return {
        "postings a token": total / len(it.coded.heads),
        "postings a list": total / len(lists["list_places"]),
        "now": 16 * len(words) / total,
        **{name: value / total for name, value in bits.items()},
    }


def patched(gaps: A, n: A) -> A:
    """Bits of each list where gaps take the width that suits it, and wider ones are patched in.

    A patch is its place in a byte and what the width lacks; a list has a byte for its width and one
    for the number of patches.
    """
    owner = np.repeat(np.arange(len(n)), n)
    wide = np.ceil(np.log2(gaps + 1)).astype(np.int64)
    histogram = np.bincount(owner * 17 + wide, minlength=17 * len(n)).reshape(-1, 17)
    wider = n[:, None] - np.cumsum(histogram, axis=1)
    widths = np.arange(17)
    return (16 + n[:, None] * widths + wider * (8 + 16 - widths)).min(axis=1)


# --- with less ------------------------------------------------------------------------------------
def searched(it: Packed, corpus: Corpus) -> dict[str, float]:
    """Recall of scoring everything, and of the stages of `balanced` without an early end."""
    segment, handle = handles(it, corpus)
    plan = store.EFFORTS["balanced"]
    assert plan is not None
    whole = staged = 0
    times = []
    for query, best in zip(corpus.queries, corpus.wanted, strict=True):
        scores = TABLE.scan(query, [segment], None)
        whole += len(np.intersect1d(np.argsort(-scores, kind="stable")[:K], best))
        start = time.perf_counter()
        probe = TABLE.probe(query, handle, plan.groups, plan.cells, plan.leaves)
        rows = TABLE.walk(probe, [segment], None, plan.candidates)
        rows, _ = TABLE.interact(probe, [segment], rows, plan.scored)
        scores = TABLE.score(query, [segment], rows)
        times.append((time.perf_counter() - start) * 1000)
        staged += len(np.intersect1d(rows[np.argsort(-scores, kind="stable")[:K]], best))
    n = corpus.wanted.size
    return {
        "recall": round(whole / n, 4),
        "staged": round(staged / n, 4),
        "staged_ms": round(statistics.median(times), 3),
    }


def handles(it: Packed, corpus: Corpus) -> tuple[Any, Any]:
    arrays: CodecArrays = it.generation.arrays
    handle = TABLE.load_codec(arrays, "codec")
    segment = SettledArrays(offsets=corpus.offsets, **it.coded._asdict(), **it.lists)
    return TABLE.load_settled(segment, handle, "segment"), handle


def measured(it: Packed, corpus: Corpus) -> dict[str, Any]:
    arrays = it.generation.arrays
    found: dict[str, Any] = {
        "cells": len(arrays.cell_scales),
        "leaves": len(arrays.leaf_scales),
        "bytes": on_disk(it, corpus),
        "entropies": rounded(entropies(it)),
        "ids": rounded(ids(it, corpus)),
        "lists": rounded(list_codings(it, len(corpus.offsets) - 1)),
    }
    return found | (searched(it, corpus) if corpus.queries else {})


def rounded(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: round(float(value), 3) for name, value in figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=60)
    parser.add_argument("--bits", type=int, default=2)
    parser.add_argument("--codecs", default="now,its cells alone,a quarter of the leaves")
    parser.add_argument("--dry", action="store_true", help="print, and record nothing")
    args = parser.parse_args()
    texts, asked = debian_texts()
    documents = embedded("debian", texts).head(args.passages)
    queries = list(embedded("debian", asked, as_queries=True))
    every = slice(None, None, len(queries) // args.queries) if args.queries else slice(0)
    wanted = exact(documents, queries, f"debian-{args.passages}")
    queries, wanted = queries[every], wanted[every]
    corpus = loaded(documents, queries, wanted)
    usual = trained(corpus, args.bits)
    n_leaves = len(usual.arrays.leaf_scales)
    codecs = {
        "now": lambda: usual,
        "its cells alone": lambda: cells_alone(usual),
        "a quarter of the leaves": lambda: trained(corpus, args.bits, n_leaves // 4),
    }
    for name in args.codecs.split(","):
        figures = measured(packed(corpus, codecs[name]()), corpus)
        print(name, figures, flush=True)
        if not args.dry:
            record(
                "size",
                corpus="debian",
                passages=args.passages,
                tokens=len(documents.token_ids),
                queries=len(corpus.queries),
                bits=args.bits,
                codec=name,
                **figures,
            )


if __name__ == "__main__":
    main()

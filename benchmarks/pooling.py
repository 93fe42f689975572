"""What token pooling and narrower rows cost and save: nDCG@10 and bytes, by `mini`.

    python benchmarks/pooling.py --data ../shared/data [--collections scifact,cranfield,squad-dev]

For each collection, each factor, each count and each width: a collection settled at 4 bits, its
bytes, and what it finds; and what pooling a passage takes beside encoding it. `mini` was not
trained to be cut: those lines say so. One JSON line a collection. Embeddings are kept in --cache,
where quality.py leaves them too.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from corpora import Corpus, load
from measure import as_run, quality, record
from quality import encoded

import interlace
from interlace.collection.pooling import Pooling
from interlace.types import Encoded

POOLED: dict[str, dict[str, int]] = {
    "all": {},
    **{f"factor {n}": {"pool_factor": n} for n in (2, 3, 4, 6)},
    **{f"at most {n}": {"pool_tokens": n} for n in (64, 32, 16)},
}
WIDTHS = (96, 64, 32)

#: Passages that are timed have so many tokens, at most a tenth more or less.
TIMED_TOKENS = 160
N_TIMED = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--collections", default="scifact,cranfield,squad-dev")
    parser.add_argument("--cache", type=Path, default=Path("build/embeddings"))
    args = parser.parse_args()
    encoder = interlace.Encoder.load("mini")
    for name in args.collections.split(","):
        corpus = load(args.data, name)
        documents, queries, _ = encoded(encoder, corpus, args.cache)
        figures: dict[str, Any] = {
            "collection": name,
            "documents": len(corpus.ids),
            "queries": len(queries),
            "dim": encoder.dim,
            "passage_ms": timed(encoder, corpus, documents),
        }
        for how, options in POOLED.items():
            figures[how] = measured(corpus, documents, queries, **options)
        for dim in WIDTHS:
            narrow = [cut(one, dim) for one in documents], [cut(one, dim) for one in queries]
            figures[f"{dim} dims, not trained for it"] = measured(corpus, *narrow)
        record("pooling", **figures)


def cut(text: Encoded, dim: int) -> Encoded:
    """The first coordinates, of unit length: what `dim=` of `Encoder.load` makes."""
    short = text.matrix[:, :dim]
    norms = np.maximum(np.linalg.norm(short, axis=1, keepdims=True), 1e-12)
    return Encoded(np.ascontiguousarray(short / norms), text.token_ids)


def timed(encoder: interlace.Encoder, corpus: Corpus, documents: list[Encoded]) -> dict[str, float]:
    """Milliseconds of the processor's time to encode a passage and to pool it, two to one."""
    near = [
        i
        for i, one in enumerate(documents)
        if abs(len(one.matrix) - TIMED_TOKENS) <= TIMED_TOKENS / 10
    ][:N_TIMED]
    pooling = Pooling(factor=2)
    return {
        "encode": milliseconds(lambda i: next(encoder.documents([corpus.texts[i]])), near),
        "pool": milliseconds(lambda i: pooling.pooled(documents[i]), near),
    }


def milliseconds(call: Callable[[int], Any], numbers: list[int]) -> float:
    """The median of the calls, each the best of three."""
    times = []
    for number in numbers:
        starts = []
        for _ in range(4):
            starts.append(time.process_time())
            call(number)
        times.append(np.diff([*starts, time.process_time()]).min())
    return round(1000 * float(np.median(times)), 2)


def measured(
    corpus: Corpus, documents: list[Encoded], queries: list[Encoded], **options: int
) -> dict[str, Any]:
    """Stored by a collection that pools, and settled."""
    dim = queries[0].matrix.shape[1]
    with tempfile.TemporaryDirectory() as folder:
        notes = interlace.create(Path(folder, "x.lace"), None, dim=dim, settle="manual", **options)
        start = time.perf_counter()
        notes.add(
            [{"id": id_, "text": text} for id_, text in zip(corpus.ids, corpus.texts, strict=True)],
            embeddings=[one.matrix for one in documents],
            token_ids=[one.token_ids for one in documents],
        )
        seconds = time.perf_counter() - start
        notes.settle()
        found = [
            [str(hit.id) for hit in notes.search(embeddings=query.matrix, k=100)]
            for query in queries
        ]
        sizes, n_tokens = notes.info()["bytes"], notes.info()["n_tokens"]
        notes.close()
    vectors = sizes["settled"] + sizes["codec"]
    return {
        "tokens": n_tokens,
        "bytes": vectors,
        "bytes a document": round(vectors / len(corpus.ids)),
        "add_s": round(seconds, 1),
        "settled": quality(corpus.judgements, as_run(corpus.query_ids, found)),
    }


if __name__ == "__main__":
    main()

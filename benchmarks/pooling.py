"""What token pooling and narrower rows cost and save: nDCG@10 and bytes, by `mini`.

    python benchmarks/pooling.py --data ../shared/data [--collections scifact,cranfield,squad-dev]

For each collection, each factor, each count and each width: a collection settled at 4 bits, its
bytes, and what it finds. `mini` was not trained to be cut: those lines say so. One JSON line a
collection. Embeddings are kept in --cache, where quality.py leaves them too.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from corpora import Corpus, load
from measure import as_run, quality, record
from quality import encoded

import interlace
from interlace.collection.pooling import Pooling
from interlace.types import Encoded

ALL = Pooling()
POOLED = {
    "all": ALL,
    **{f"factor {n}": Pooling(factor=n) for n in (2, 3, 4, 6)},
    **{f"at most {n}": Pooling(tokens_max=n) for n in (64, 32, 16)},
}
WIDTHS = (96, 64, 32)


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
        }
        for how, pooling in POOLED.items():
            figures[how] = measured(corpus, documents, queries, pooling)
        for dim in WIDTHS:
            narrow = [cut(one, dim) for one in documents], [cut(one, dim) for one in queries]
            figures[f"{dim} dims, not trained for it"] = measured(corpus, *narrow)
        record("pooling", **figures)


def cut(text: Encoded, dim: int) -> Encoded:
    """The first coordinates, of unit length: what `dim=` of `Encoder.load` makes."""
    short = text.matrix[:, :dim]
    norms = np.maximum(np.linalg.norm(short, axis=1, keepdims=True), 1e-12)
    return Encoded(np.ascontiguousarray(short / norms), text.token_ids)


def measured(
    corpus: Corpus, documents: list[Encoded], queries: list[Encoded], pooling: Pooling = ALL
) -> dict[str, Any]:
    """Pooled, stored and settled."""
    start = time.perf_counter()
    kept = [pooling.pooled(document) for document in documents]
    seconds = time.perf_counter() - start
    dim = queries[0].matrix.shape[1]
    with tempfile.TemporaryDirectory() as folder:
        notes = interlace.create(Path(folder, "x.lace"), None, dim=dim, settle="manual")
        with notes.writer() as changes:
            for some in (True, False):
                typed = [i for i, one in enumerate(kept) if (one.token_ids is not None) == some]
                changes.add(
                    [{"id": corpus.ids[i], "text": corpus.texts[i]} for i in typed],
                    embeddings=[kept[i].matrix for i in typed],
                    token_ids=[kept[i].token_ids for i in typed] if some else None,
                )
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
        "pool_s": round(seconds, 1),
        "settled": quality(corpus.judgements, as_run(corpus.query_ids, found)),
    }


if __name__ == "__main__":
    main()

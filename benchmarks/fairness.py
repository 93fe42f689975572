"""How coded scores compare with exact ones at the head of real rankings, and as training saw it.

    python benchmarks/fairness.py --data ../shared/data [--collections scifact,cranfield,nq-gold]

The first 1,400 documents and 50 queries of each collection; a ratio above 1 means that coded scores
are smaller. The codec should have measured the same without any query.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from corpora import load
from measure import record
from quality import encoded

import interlace
from interlace import codec, kernels

N_DOCUMENTS, N_QUERIES, HEAD = 1_400, 50, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--collections", default="scifact,cranfield,nq-gold")
    parser.add_argument("--cache", type=Path, default=Path("build/embeddings"))
    args = parser.parse_args()
    encoder, table = interlace.Encoder.load("mini"), kernels.table()
    signs = codec.rotation_signs(encoder.dim, 0)
    for name in args.collections.split(","):
        documents, queries, _ = encoded(encoder, load(args.data, name), args.cache)
        documents = documents[:N_DOCUMENTS]
        made = table.quantise(np.concatenate([one.matrix for one in documents]), signs)
        ids = np.concatenate([one.token_ids for one in documents])
        tokens = codec.Tokens(made.codes, made.scales, ids)
        exact = made.codes * made.scales[:, None]
        offsets = np.append(0, np.cumsum([len(one.matrix) for one in documents])).astype(np.int64)
        asked = [table.quantise(query.matrix, signs) for query in queries[:N_QUERIES]]
        found: dict[str, dict[str, float]] = {}
        for kind in codec.NAMES:
            trained = codec.train(kind, tokens, n_tokens=len(ids), kernels=table)
            coded = trained.decode(trained.encode(tokens, kernels=table))
            true = seen = 0.0
            for query in asked:
                matrix = query.codes * query.scales[:, None]
                scores = table.maxsim(matrix, exact, offsets)
                head = np.argsort(-scores, kind="stable")[:HEAD]
                true += float(scores[head].sum())
                seen += float(table.maxsim(matrix, coded, offsets)[head].sum())
            measured = trained.description
            found[kind] = {
                "real": round(true / seen, 4),
                "trained": round(measured["fairness"], 4),
                "by_mean_cosine": round(1 / measured["mean_cosine"], 4),
            }
        record("fairness", collection=name, **found)


if __name__ == "__main__":
    main()

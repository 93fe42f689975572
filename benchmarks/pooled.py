"""The single-vector baseline: all-MiniLM-L6-v2 as its makers use it, mean-pooled, in float32.

    python benchmarks/pooled.py MINILM_FOLDER --data ../shared/data

MINILM_FOLDER holds model.safetensors and tokenizer.json (scripts/make_mini.py says where from); the
graph is the one that `mini` was made from. 256 tokens, [CLS] and [SEP] included, cosine.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
from corpora import NAMES, load
from measure import as_run, quality, record
from safetensors.numpy import load_file
from tokenizers import Tokenizer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))
from make_mini import build, plain_tokenizer

LENGTH = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("minilm", type=Path)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--collections", default=",".join(NAMES))
    args = parser.parse_args()
    weights = load_file(args.minilm / "model.safetensors")
    graph = build(weights, precision="float32", projection=None).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options)
    tokenizer = Tokenizer.from_str(plain_tokenizer(args.minilm))

    def pooled(text: str) -> np.ndarray:
        ids = tokenizer.encode(text).ids
        if len(ids) > LENGTH:
            ids = [*ids[: LENGTH - 1], ids[-1]]
        (hidden,) = session.run(None, {session.get_inputs()[0].name: np.array([ids], np.int64)})
        vector = hidden.reshape(len(ids), -1).mean(axis=0)
        return vector / np.linalg.norm(vector)

    for name in args.collections.split(","):
        corpus = load(args.data, name)
        with ThreadPoolExecutor(2) as threads:
            documents = np.stack(list(threads.map(pooled, corpus.texts)))
            queries = np.stack(list(threads.map(pooled, corpus.queries)))
        order = np.argsort(-(queries @ documents.T), axis=1, kind="stable")[:, :100]
        ranked = [[corpus.ids[i] for i in row] for row in order]
        record(
            "pooled",
            collection=name,
            **quality(corpus.judgements, as_run(corpus.query_ids, ranked)),
        )


if __name__ == "__main__":
    main()

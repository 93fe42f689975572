"""What ours is held against: BM25, and one vector a text from the weights of `mini`.

    python benchmarks/baselines.py --data ../shared/data [--minilm FOLDER]

BM25 by bm25s: k1 0.9, b 0.4, English stop words, Snowball stems. With --minilm (a folder that holds
MiniLM's model.safetensors and tokenizer.json; scripts/make_mini.py says where from) also
all-MiniLM-L6-v2 as its makers use it: mean-pooled, float32, 256 tokens, [CLS] and [SEP] included,
cosine.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bm25s
import numpy as np
import onnxruntime
import Stemmer
from corpora import NAMES, Corpus, load
from measure import as_run, quality, record
from safetensors.numpy import load_file
from tokenizers import Tokenizer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))
from make_mini import build, plain_tokenizer

LENGTH = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minilm", type=Path)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--collections", default=",".join(NAMES))
    args = parser.parse_args()
    baselines: dict[str, Callable[[Corpus], list[list[str]]]] = {"bm25": bm25}
    if args.minilm:
        baselines["pooled"] = Pooled(args.minilm)
    for name in args.collections.split(","):
        corpus = load(args.data, name)
        for baseline, rank in baselines.items():
            run = as_run(corpus.query_ids, rank(corpus))
            record(baseline, collection=name, **quality(corpus.judgements, run))


def bm25(corpus: Corpus) -> list[list[str]]:
    stemmer = Stemmer.Stemmer("english")
    index = bm25s.BM25(k1=0.9, b=0.4)
    documents, queries = (
        bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False)
        for texts in (corpus.texts, corpus.queries)
    )
    index.index(documents, show_progress=False)
    found, _ = index.retrieve(queries, k=min(100, len(corpus.ids)), show_progress=False)
    return [[corpus.ids[i] for i in row] for row in found]


class Pooled:
    """One unit vector a text."""

    def __init__(self, folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        graph = build(weights, precision="float32", projection=None).SerializeToString()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(graph, options)
        self._tokenizer = Tokenizer.from_str(plain_tokenizer(folder))

    def __call__(self, corpus: Corpus) -> list[list[str]]:
        with ThreadPoolExecutor(2) as threads:
            documents = np.stack(list(threads.map(self._encode, corpus.texts)))
            queries = np.stack(list(threads.map(self._encode, corpus.queries)))
        order = np.argsort(-(queries @ documents.T), axis=1, kind="stable")[:, :100]
        return [[corpus.ids[i] for i in row] for row in order]

    def _encode(self, text: str) -> np.ndarray:
        ids = self._tokenizer.encode(text).ids
        if len(ids) > LENGTH:
            ids = [*ids[: LENGTH - 1], ids[-1]]
        name = self._session.get_inputs()[0].name
        (hidden,) = self._session.run(None, {name: np.array([ids], np.int64)})
        vector = hidden.reshape(len(ids), -1).mean(axis=0)
        return vector / np.linalg.norm(vector)


if __name__ == "__main__":
    main()

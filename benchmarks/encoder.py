"""How faithful the built-in model is, and what share of the processor it takes: one JSON line.

    python benchmarks/encoder.py --data ../shared/data [--collections scifact,cranfield]
                                 [--model FOLDER] [--float32 FOLDER] [--backend onnx]

Tokens/s of documents on one core, and what share of its int8 peak that is; mean cosine to the
float32 graph (`--float32`, a folder that `scripts/make_mini.py --precision float32` wrote); nDCG@10
of the exact float scores of its embeddings. How fast it is beside others, models.py tells. Run it
on a quiet machine.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from corpora import Corpus, load
from measure import as_run, pinned, quality, record

from interlace.models import Encoder

HERE = Path(__file__).parent
N_TIMED_DOCUMENTS = 100
ROUNDS = 3

#: Multiply-adds of MiniLM-L6 a token, attention apart: four products of 384 by 384 a layer, and two
#: with 1,536; and the projection.
MULTIPLY_ADDS = 6 * (4 * 384 * 384 + 2 * 384 * 1536) + 384 * 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--collections", default="scifact,cranfield")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--float32", type=Path)
    args = parser.parse_args()
    corpora = [load(args.data, name) for name in args.collections.split(",")]
    encoder = Encoder.load(args.model, backend=args.backend)
    sample = corpora[0].texts[:: max(1, len(corpora[0].texts) // N_TIMED_DOCUMENTS)]
    figures: dict[str, Any] = {
        "fingerprint": encoder.fingerprint[:16],
        "dim": encoder.dim,
        "backend": encoder.backend,
    }
    figures["int8_peak"] = peak = int8_peak()
    if args.float32:
        figures["cosine_to_float32"] = cosine(encoder, Encoder.load(args.float32), sample)
    with pinned(1):
        found = timed(args.model, args.backend, sample)
    if peak is not None:
        done = found["tokens_per_cpu_s"] * MULTIPLY_ADDS / 1e9
        found["of_int8_peak"] = round(done / peak["gmacs"], 3)
    figures["1 threads"] = found
    figures["exact"] = {corpus.name: exact_quality(encoder, corpus) for corpus in corpora}
    record("encoder", **figures)


def int8_peak() -> dict[str, Any] | None:
    """Multiply-adds a second of one core, and by which instructions; None without a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "peak"
        source = str(HERE / "int8_peak.c")
        built = subprocess.run([compiler, "-O2", source, "-o", str(program)], check=False)
        if built.returncode:
            return None
        name, gmacs = subprocess.check_output([str(program)], text=True).split()
    return {"set": name, "gmacs": float(gmacs)}


def timed(model: str, backend: str, texts: Sequence[str]) -> dict[str, Any]:
    """Tokens that the model reads a second, punctuation included."""
    encoder = Encoder.load(model, backend=backend, n_threads=1)
    n_tokens = sum(min(n, encoder.document_length) for n in encoder.count(texts))
    encoder.encode_document(texts[:5])
    return speed(n_tokens, [seconds(encoder, texts) for _ in range(ROUNDS)])


def seconds(encoder: Encoder, texts: Sequence[str]) -> tuple[float, float]:
    """What encoding takes, by the clock and of the processor's time."""
    start = time.perf_counter(), time.process_time()
    encoder.encode_document(texts)
    return time.perf_counter() - start[0], time.process_time() - start[1]


def speed(n_tokens: int, rounds: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Tokens a second of the best round, by the clock and by the processor's time.

    Whatever else the machine does only makes a round slower; it shows less in processor time.
    """
    clock, processor = np.min(rounds, axis=0)
    return {
        "tokens_per_s": round(n_tokens / clock),
        "tokens_per_cpu_s": round(n_tokens / processor),
    }


def cosine(encoder: Encoder, reference: Encoder, texts: Sequence[str]) -> dict[str, float]:
    """Cosine between the two models' rows of the same tokens: mean and lowest hundredth."""
    pairs = zip(encoder.encode_document(texts), reference.encode_document(texts), strict=True)
    cosines = np.concatenate([(ours * theirs).sum(axis=1) for ours, theirs in pairs])
    return {
        "mean": round(float(cosines.mean()), 5),
        "p1": round(float(np.quantile(cosines, 0.01)), 5),
    }


def exact_quality(encoder: Encoder, corpus: Corpus) -> dict[str, float]:
    """Measures of ranking all documents by exact float32 MaxSim."""
    scores = encoder.similarity(corpus.queries, corpus.texts)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :100]
    ranked = [[corpus.ids[i] for i in row] for row in best]
    return quality(corpus.judgements, as_run(corpus.query_ids, ranked))


if __name__ == "__main__":
    main()

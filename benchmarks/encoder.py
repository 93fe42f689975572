"""How good and how fast the built-in model is: one JSON line.

    python benchmarks/encoder.py --data ../shared/data [--collections scifact,cranfield]
                                 [--model FOLDER] [--float32 FOLDER] [--backend onnx]
                                 [--peer PYTHON --minilm FOLDER]

Tokens/s of documents and latency of queries on one core and on two, and what share of the
processor's int8 peak that is; mean cosine to the float32 graph (`--float32`, a folder that
`scripts/make_mini.py --precision float32` wrote); nDCG@10 of the exact float scores of its
embeddings. With `--peer`, the Python of an environment that has sentence-transformers, the same
texts go through that in float32 in turn (`--minilm`: its folder of all-MiniLM-L6-v2). Run it on a
quiet machine.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from corpora import Corpus, load
from measure import as_run, pinned, quality, record

from interlace.models import Encoder

HERE = Path(__file__).parent
N_TIMED_DOCUMENTS = 100
N_TIMED_QUERIES = 200
QUERY_TOKENS = 12
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
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--minilm", type=Path)
    args = parser.parse_args()
    corpora = [load(args.data, name) for name in args.collections.split(",")]
    encoder = Encoder.load(args.model, backend=args.backend)
    sample = corpora[0].texts[:: max(1, len(corpora[0].texts) // N_TIMED_DOCUMENTS)]
    queries = corpora[0].queries[:N_TIMED_QUERIES]
    figures: dict[str, Any] = {
        "fingerprint": encoder.fingerprint[:16],
        "dim": encoder.dim,
        "backend": encoder.backend,
    }
    figures["int8_peak"] = peak = int8_peak()
    if args.float32:
        figures["cosine_to_float32"] = cosine(encoder, Encoder.load(args.float32), sample)
    for n_threads in (1, 2):
        with pinned(n_threads), peer(args.peer, args.minilm, n_threads) as other:
            found = timed(args.model, args.backend, n_threads, sample, queries, other)
        if peak is not None:
            done = found["tokens_per_cpu_s"] * MULTIPLY_ADDS / 1e9
            found["of_int8_peak"] = round(done / peak["gmacs"], 3)
        figures[f"{n_threads} threads"] = found
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


class Peer:
    """A worker of encoder_peer.py."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.versions: dict[str, str] = self._answer()

    def ask(self, what: Any) -> Any:
        """Seconds for a list of texts; for {"queries": [...]} a list of them."""
        assert self._process.stdin is not None
        print(json.dumps(what), file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


@contextmanager
def peer(python: Path | None, folder: Path | None, n_threads: int) -> Iterator[Peer | None]:
    """sentence-transformers on so many threads; None where its environment is not given."""
    if python is None:
        yield None
        return
    command = [str(python), str(HERE / "encoder_peer.py"), str(folder), str(n_threads)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        yield Peer(process)


def timed(
    model: str,
    backend: str,
    n_threads: int,
    texts: Sequence[str],
    queries: Sequence[str],
    other: Peer | None,
) -> dict[str, Any]:
    """Tokens that the model reads a second, punctuation included, and latencies: ours and theirs.

    Rounds in turn, of which the best counts: whatever else the machine does only makes them slower.
    A busy machine shows less in processor time, so that is there as well.
    """
    encoder = Encoder.load(model, backend=backend, n_threads=n_threads)
    n_tokens = sum(min(n, encoder.document_length) for n in encoder.count(texts))
    counts = encoder.count(queries)
    short = [q for q, n in zip(queries, counts, strict=True) if n == QUERY_TOKENS]
    encoder.encode_document(texts[:5])
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(seconds(lambda: encoder.encode_document(texts)))
        if other is not None:
            theirs.append(other.ask(list(texts)))
    found = {
        **speed(n_tokens, ours),
        "query": callers(encoder, queries, n_threads),
        f"query_of_{QUERY_TOKENS}": callers(encoder, short, 1),
    }
    if other is not None:
        rounds = [other.ask({"queries": short}) for _ in range(ROUNDS)]
        found["sentence_transformers"] = {
            **other.versions,
            **speed(n_tokens, theirs),
            f"query_of_{QUERY_TOKENS}": spread(np.array(rounds)[:, :, 0]),
        }
    return found


def seconds(call: Callable[[], Any]) -> tuple[float, float]:
    """What a call takes, by the clock and of the processor's time."""
    start = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def speed(n_tokens: int, rounds: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Tokens a second of the best round, by the clock and by the processor's time."""
    clock, processor = np.min(rounds, axis=0)
    return {
        "tokens_per_s": round(n_tokens / clock),
        "tokens_per_cpu_s": round(n_tokens / processor),
    }


def callers(encoder: Encoder, queries: Sequence[str], n_callers: int) -> dict[str, float]:
    """Latency that each of so many callers at once sees; the slowest caller's figures."""

    def caller(_: int) -> dict[str, float]:
        calls = [lambda text=text: encoder.encode_query([text]) for text in queries]
        return spread([[seconds(call)[0] for call in calls] for _ in range(ROUNDS)])

    with ThreadPoolExecutor(n_callers) as pool:
        seen = list(pool.map(caller, range(n_callers)))
    return max(seen, key=lambda figures: figures["p50_ms"])


def spread(rounds: Sequence[Sequence[float]]) -> dict[str, float]:
    """Milliseconds of each query's best round: median and 95th percentile."""
    p50, p95 = np.percentile(np.min(rounds, axis=0), [50, 95]) * 1000
    return {"p50_ms": round(float(p50), 3), "p95_ms": round(float(p95), 3)}


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

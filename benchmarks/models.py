"""Ways to run the same model, in turn: one JSON line.

    python benchmarks/models.py --data ../shared/data --minilm FOLDER --torch PYTHON
                                [--openvino PYTHON] [--collection scifact]

MiniLM-L6 with a projection to 128: `mini` itself (native and onnxruntime, int8); and in float32 and
bfloat16 by onnxruntime, torch, OpenVINO, and by sentence-transformers without interlace. Document
tokens a second and latency of queries of 12 tokens, pinned to one core and to two; every way is a
process of its own, and rounds go in turn. What packages take on disk, and how long it takes to the
first query, with torch and without. `--torch` and `--openvino` are the Pythons of environments with
interlace's requirements and these; this one needs no torch. Four minutes on a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from corpora import load
from encoder import speed
from measure import pinned, record

from interlace.models import Encoder

HERE = Path(__file__).parent
BUILD = HERE.parent / "build" / "models"
WORKER = str(HERE / "models_worker.py")
N_DOCUMENTS = 40
N_QUERIES = 40
QUERY_TOKENS = 12
ROUNDS = 3
STARTS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--collection", default="scifact")
    parser.add_argument("--minilm", type=Path, required=True)
    parser.add_argument("--torch", required=True)
    parser.add_argument("--openvino")
    args = parser.parse_args()
    if not (BUILD / "graph").exists():
        asked(args.torch, "make", str(args.minilm.resolve()), str(BUILD))
    corpus = load(args.data, args.collection)
    documents = corpus.texts[:: len(corpus.texts) // N_DOCUMENTS][:N_DOCUMENTS]
    encoder = Encoder.load("mini")
    counts = encoder.count(corpus.queries)
    queries = [q for q, n in zip(corpus.queries, counts, strict=True) if n == QUERY_TOKENS]
    n_tokens = sum(min(n, encoder.document_length) for n in encoder.count(documents))
    found = {
        f"{n_threads} threads": timed(
            ways(args), n_threads, documents, queries[:N_QUERIES], n_tokens
        )
        for n_threads in (1, 2)
    }
    record(
        "models",
        collection=args.collection,
        documents=len(documents),
        tokens=n_tokens,
        queries=len(queries[:N_QUERIES]),
        bytes=json.loads(asked(args.torch, "sizes", str(HERE.parent / "pyproject.toml"))),
        starts=starts(args),
        **found,
    )


def ways(args: argparse.Namespace) -> dict[str, list[str]]:
    """Name -> the Python that runs it, and the arguments of its worker; threads are put third."""
    checkpoint, graph = str(BUILD / "checkpoint"), str(BUILD / "graph")
    found = {
        "native, int8": [sys.executable, "native", "mini"],
        "onnxruntime, int8": [sys.executable, "onnx", "mini"],
        "onnxruntime, float32": [sys.executable, "onnx", graph],
        "torch, float32": [args.torch, "torch", checkpoint, "float32"],
        "torch, bfloat16": [args.torch, "torch", checkpoint, "bfloat16"],
        "sentence-transformers, float32": [args.torch, "sentence-transformers", checkpoint],
    }
    if args.openvino:
        found |= {
            "OpenVINO, float32": [args.openvino, "openvino", graph, "f32"],
            "OpenVINO, bfloat16": [args.openvino, "openvino", graph, "bf16"],
        }
    return found


def timed(
    ways: dict[str, list[str]],
    n_threads: int,
    documents: list[str],
    queries: list[str],
    n_tokens: int,
) -> dict[str, Any]:
    """Of each way its best round: whatever else the machine does only makes it slower."""
    with ExitStack() as stack, pinned(n_threads):
        peers = {
            name: stack.enter_context(worker(python, kind, model, str(n_threads), *precision))
            for name, (python, kind, model, *precision) in ways.items()
        }
        texts: dict[str, list[tuple[float, float]]] = {name: [] for name in peers}
        asked: dict[str, list[Any]] = {name: [] for name in peers}
        for _ in range(ROUNDS):
            for name, peer in peers.items():
                texts[name].append(peer.ask(documents))
                asked[name].append(peer.ask({"queries": queries}))
        return {
            name: {
                **peer.versions,
                **speed(n_tokens, texts[name]),
                **spread(np.array(asked[name])[:, :, 0]),
            }
            for name, peer in peers.items()
        }


def spread(rounds: Sequence[Sequence[float]]) -> dict[str, float]:
    """Milliseconds of each query's best round: median and 95th percentile."""
    p50, p95 = np.percentile(np.min(rounds, axis=0), [50, 95]) * 1000
    return {"p50_ms": round(float(p50), 3), "p95_ms": round(float(p95), 3)}


def starts(args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Milliseconds to import, and to the first query, of the quickest of some starts."""
    checkpoint, graph = str(BUILD / "checkpoint"), str(BUILD / "graph")
    found = {}
    for name, python, kind, model in (
        ("native", sys.executable, "native", "mini"),
        ("onnxruntime", sys.executable, "onnx", graph),
        ("torch", args.torch, "torch", checkpoint),
        ("sentence-transformers", args.torch, "sentence-transformers", checkpoint),
    ):
        runs = [json.loads(asked(python, "start", kind, model)) for _ in range(STARTS)]
        found[name] = {key: round(min(run[key] for run in runs)) for key in runs[0]}
    return found


def asked(python: str, *arguments: str) -> str:
    """The last line that a worker prints."""
    command = [python, WORKER, *arguments]
    done = subprocess.run(command, env=environment(), stdout=subprocess.PIPE, text=True, check=True)
    return (done.stdout.splitlines() or [""])[-1]


class Peer:
    """A worker of models_worker.py."""

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
def worker(python: str, *arguments: str) -> Iterator[Peer]:
    pipe = subprocess.PIPE
    command = [python, WORKER, *arguments]
    with subprocess.Popen(
        command, env=environment(), stdin=pipe, stdout=pipe, text=True
    ) as process:
        yield Peer(process)
        assert process.stdin is not None
        process.stdin.close()


def environment() -> dict[str, str]:
    """With this interlace in it, and no hub."""
    return os.environ | {"PYTHONPATH": str(HERE.parent / "src"), "HF_HUB_OFFLINE": "1"}


if __name__ == "__main__":
    main()

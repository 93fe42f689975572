"""Indexes of other engines as collections: are the vectors theirs, is the ranking, in what memory?

    python benchmarks/foreign.py [--collection scifact] [--passages 2000]

Stanford ColBERT and fast-plaid make an index each, at 2 and 4 bits, of the same embeddings, in
environments that ``peers.py --install`` makes; they are kept in build/foreign/. Recall@10 is
against exact float32 MaxSim over what the package itself decodes. For memory an index is made
larger: its chunk comes again and again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from corpora import load
from embedded import embedded
from measure import record
from peers import python

from interlace.integrations import convert, open_index

MAKE = Path(__file__).parents[1] / "tests" / "golden" / "indexes" / "make.py"
BUILD = Path(__file__).parents[1] / "build" / "foreign"
ENVIRONMENTS = {"stanford": "colbert", "fast-plaid": "fast-plaid"}

TASK = """
import json, re, sys, time
from pathlib import Path
from interlace.integrations import convert, open_index
def peak():  # getrusage would count what the process that started this one had
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) >> 10
before, start = peak(), time.perf_counter()
if sys.argv[2]:
    convert(sys.argv[1], sys.argv[2]).close()
else:
    for _ in open_index(sys.argv[1]).matrices():
        pass
seconds = round(time.perf_counter() - start, 1)
print(json.dumps({"s": seconds, "before_mb": before, "peak_mb": peak()}))
"""


def measured(index: Path, to: Path | None) -> dict[str, float]:
    """Seconds and memory of reading an index, and of converting it, in a process of its own."""
    command = [sys.executable, "-c", TASK, str(index), str(to or "")]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def exact(queries: list[np.ndarray], rows: np.ndarray, starts: np.ndarray) -> list[set[int]]:
    """The ten best passages of each query."""
    return [
        set(np.argsort(-np.maximum.reduceat(rows @ q.T, starts, axis=0).sum(1), kind="stable")[:10])
        for q in queries
    ]


def recall(found: list[set[int]], best: list[set[int]]) -> float:
    return round(float(np.mean([len(a & b) / 10 for a, b in zip(found, best, strict=True)])), 4)


def larger(index: Path, copy: Path, times: int) -> None:
    """A Stanford index whose only chunk comes again and again."""
    shutil.copytree(index, copy)
    for name in ("doclens.{}.json", "{}.codes.pt", "{}.residuals.pt"):
        for number in range(1, times):
            (copy / name.format(number)).hardlink_to(copy / name.format(0))
    described = json.loads((copy / "metadata.json").read_text())
    (copy / "metadata.json").write_text(json.dumps(described | {"num_chunks": times}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--collection", default="scifact")
    parser.add_argument("--passages", type=int, default=2_000)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--times", default="1,5,10", help="how much larger, for memory")
    args = parser.parse_args()
    corpus = load(args.data, args.collection)
    documents = embedded(args.collection, corpus.texts).head(args.passages)
    queries = list(embedded(args.collection, corpus.queries, as_queries=True))
    lengths, starts = np.diff(documents.offsets), documents.offsets[:-1]
    original = exact(queries, np.asarray(documents.matrix, np.float32), starts)
    figures: dict[str, Any] = {}
    kept = BUILD / f"{args.collection}-{args.passages}"
    kept.mkdir(parents=True, exist_ok=True)
    np.savez(kept / "given.npz", rows=documents.matrix, lengths=lengths)
    with tempfile.TemporaryDirectory(dir=BUILD) as root:
        for package, environment in ENVIRONMENTS.items():
            for bits in (2, 4):
                index = kept / f"{package}-{bits}"
                if not index.with_name(f"{index.name}.npz").exists():
                    shutil.rmtree(index, ignore_errors=True)
                    words = ["given", package, str(index), str(kept / "given.npz"), str(bits)]
                    made = [python(environment), str(MAKE), *words]
                    subprocess.run(made, check=True, stdout=subprocess.DEVNULL)
                theirs = np.load(index.with_name(f"{index.name}.npz"))["rows"].astype(np.float32)
                ours = np.concatenate([matrix for _, matrix in open_index(index).matrices()])
                best = exact(queries, theirs, starts)
                line = {
                    "vectors_off_by": round(float(np.abs(ours - theirs).max()), 6),
                    "theirs_against_original": recall(best, original),
                }
                for settled in (False, True):
                    with convert(index, Path(root) / f"{index.name}-{settled}.lace") as notes:
                        if settled:
                            notes.settle()
                        found = [
                            {hit.id for hit in notes.search(embeddings=q, effort="exhaustive")}
                            for q in queries
                        ]
                    name = "4_bits" if settled else "fresh"
                    line[name] = recall(found, best)
                    line[f"{name}_against_original"] = recall(found, original)
                figures[index.name] = line
        memory = {}
        for times in map(int, args.times.split(",")):
            copy, to = Path(root) / f"times-{times}", Path(root) / "larger.lace"
            larger(kept / "stanford-4", copy, times)
            read, converted = measured(copy, None), measured(copy, to)
            n_tokens = times * int(documents.offsets[-1])
            memory[times] = {"tokens": n_tokens, "read": read, "convert": converted}
            shutil.rmtree(to)
    record(
        "foreign",
        collection=args.collection,
        passages=args.passages,
        tokens=int(documents.offsets[-1]),
        queries=len(queries),
        memory=memory,
        **figures,
    )


if __name__ == "__main__":
    main()

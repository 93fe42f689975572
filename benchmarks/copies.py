"""Backup, restore, export, import: seconds, bytes and peak memory of each.

    python benchmarks/copies.py [--passages 50000]

Each task runs in a process of its own. The passages are those of ``stream.py``; a part of the
collection is settled, the rest fresh.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from measure import record

TASK = """
import json, resource, sys, time
sys.path.insert(0, sys.argv[1])
import interlace, interlace.collection, interlace.store
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
def add(first, last):
    from stream import stream
    def column(at):
        return (one[at] for one in stream(last - first, first=first))
    with interlace.open(path) as notes:
        notes.add(
            column(0),
            embeddings=(encoded[0].matrix for encoded in column(3)),
            token_ids=(encoded[0].token_ids for encoded in column(3)),
        )
def opened():
    return interlace.open(path)
root, n = sys.argv[2], int(sys.argv[3])
path, copy = f"{root}/x.lace", f"{root}/copy.lace"
before, start = peak(), time.perf_counter()
%s
seconds = time.perf_counter() - start
print(json.dumps({"s": round(seconds, 2), "before_mb": round(before), "peak_mb": round(peak())}))
"""

TASKS = {
    "build": "interlace.create(path, None, dim=128).close(); add(0, n)",
    "backup": "opened().backup(copy)",
    "add": "add(n, n + n // 100)",
    "renew": "opened().backup(copy)",
    "verify": "opened().verify()",
    "restore": "interlace.restore(copy, f'{root}/restored.lace')",
    "export_jsonl": "opened().export(f'{root}/x.jsonl')",
    "export_jsonl_embeddings": "opened().export(f'{root}/e.jsonl', embeddings=True)",
    "export_parquet": "opened().export(f'{root}/x.parquet')",
    "export_parquet_embeddings": "opened().export(f'{root}/e.parquet', embeddings=True)",
    "import_jsonl": "interlace.create(f'{root}/j', None, dim=128).import_(f'{root}/e.jsonl')",
    "import_parquet": "interlace.create(f'{root}/p', None, dim=128).import_(f'{root}/e.parquet')",
}


def run(task: str, root: str, n_passages: int) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", TASK % task, str(Path(__file__).parent), root, str(n_passages)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def size_mb(path: Path) -> float:
    files = path.rglob("*") if path.is_dir() else [path]
    return round(sum(file.stat().st_size for file in files if file.is_file()) / 2**20, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=50_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        figures: dict[str, Any] = {
            name: run(task, root, args.passages) for name, task in TASKS.items()
        }
        sizes = {path.name: size_mb(path) for path in sorted(Path(root).iterdir())}
    record("copies", passages=args.passages, sizes_mb=sizes, **figures)


if __name__ == "__main__":
    main()

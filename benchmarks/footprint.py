"""Memory and start-up: the peak of a stream of documents, an opened collection, an import.

    python benchmarks/footprint.py [--documents 20000]

Each figure is taken in a process of its own; documents are random token matrices, so that only the
store is measured and not the encoder.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import record

BUILD = """
import json, resource, sys
import numpy as np
import interlace
folder, n = sys.argv[1], int(sys.argv[2])
notes = interlace.create(folder, model=None, dim=128)
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = peak()
centres = np.random.default_rng(0).normal(size=(5000, 128)).astype(np.float32)
def matrices(what):
    random = np.random.default_rng(1)
    for _ in range(n):
        ids = (random.zipf(1.3, 100) % 5000).astype(np.int32)
        noise = random.normal(size=(100, 128)).astype(np.float32)
        yield ids if what == "ids" else centres[ids] + 0.5 * noise
texts = (f"document {i}" for i in range(n))
notes.add(texts, embeddings=matrices("rows"), token_ids=matrices("ids"))
info = notes.info()
notes.close()
print(json.dumps({"before_mb": before, "peak_mb": peak(), "bytes": info["bytes"]}))
"""

OPEN = """
import json, resource, sys
import numpy as np
import interlace
def resident():
    pages = int(open("/proc/self/statm").read().split()[1])
    return pages * resource.getpagesize() / 2**20
import interlace.collection, interlace.store
before = resident()
notes = interlace.open(sys.argv[1])
queries = np.random.default_rng(2).normal(size=(101, 16, 128)).astype(np.float32)
opened = resident()
notes.search(embeddings=queries[0])
one = resident()
for query in queries[1:]:
    notes.search(embeddings=query)
print(json.dumps({"before_mb": before, "opened_mb": opened, "one_search_mb": one,
                  "hundred_searches_mb": resident()}))
"""


def run(code: str, *args: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", code, *args], check=True, capture_output=True, text=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=20_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "x.lace"))
        built = run(BUILD, path, str(args.documents))
        opened = run(OPEN, path)
        disk = sum(file.stat().st_size for file in Path(path).rglob("*") if file.is_file())
    imports = [
        float(
            subprocess.run(
                [
                    sys.executable,
                    "-c",
                    "import time; t = time.perf_counter(); import interlace; "
                    "print(time.perf_counter() - t)",
                ],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )
        for _ in range(9)
    ]
    record(
        "footprint",
        documents=args.documents,
        tokens=args.documents * 100,
        disk_mb=round(disk / 2**20, 1),
        build=built,
        open=opened,
        import_s=round(statistics.median(imports), 4),
    )


if __name__ == "__main__":
    main()

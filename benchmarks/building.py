"""Building after encoding, what is on the disk, and adding to what is built; one thread.

    python benchmarks/building.py [--collections scifact,debian-100000] [--dry]
    python benchmarks/building.py --collections scifact --engines ours-4,tachiom,fast-plaid-4

Each index is built from nothing, one after another, in a process of its own, from the same float16
embeddings. Ours tells where its bytes are. Without --engines, five commits of a thousand passages
are added to the rest of the last collection too, and recall is held against all built at once.
One JSON line a collection, and one of the adding.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from engines.ours import Engine
from engines.worker import Data
from measure import record
from peers import BUILD, Collection, arithmetic, built, collection, named, pin
from searching import exact

from interlace import store

OURS = "ours-4,ours-2,ours-1"
N_COMMITS, A_COMMIT = 5, 1_000
K = 10
PARTS = {
    "codes": "codes",
    "heads": "leaf ids and scales",
    "list": "lists",
    "offsets": "rows",
    "passages": "rows",
    "documents": "rows",
}
"""Which part of a settled segment an array belongs to, by how its name begins."""


def parts(path: Path) -> dict[str, int]:
    """Bytes by part, from the headers of a collection's array files; of the catalog, its size."""
    found = Counter({"catalog": (path / "catalog.sqlite").stat().st_size})
    for file in path.rglob("*.codec"):
        found["centroids"] += file.stat().st_size
    for file in path.rglob("*.settled"):
        with file.open("rb") as opened:
            header = json.loads(opened.read(int.from_bytes(opened.read(8), "little")))
        header.pop("__metadata__")
        for name, array in header.items():
            begin, end = array["data_offsets"]
            part = next((part for head, part in PARTS.items() if name.startswith(head)), name)
            found[part] += end - begin
    return dict(found)


def adding(of: Collection, bits: int) -> dict[str, Any]:
    """Seconds of each commit, and recall after them, beside that of all built at once.

    The passages that are added are the first, which the queries are about. Of the exact ten best of
    all, those that were there are looked for apart from those that were added.
    """
    n_added = N_COMMITS * A_COMMIT
    data, path = Data.read(of.folder), BUILD / of.name / f"grown-{bits}"
    shutil.rmtree(path, ignore_errors=True)
    engine = Engine(data, path, bits=bits)
    best = exact(of.documents, of.queries, of.name)
    were_there, added = np.where(best < n_added, -1, best), np.where(best < n_added, best, -1)
    added_last = np.roll(np.arange(of.n), -n_added)
    settings = store.Settings(dim=of.documents.matrix.shape[1], codec=f"residual{bits}")
    with store.create(path, settings, n_threads=1) as opened:
        engine.add(opened, n_added, of.n)
        opened.settle()
        opened.compact()
        seconds = []
        for first in range(0, n_added, A_COMMIT):
            start = time.perf_counter()
            engine.add(opened, first, first + A_COMMIT)
            seconds.append(time.perf_counter() - start)
        found = {
            "were there": recall(opened, of, were_there, added_last),
            "added": recall(opened, of, added, added_last),
        }
    with store.open(BUILD / of.name / f"ours-{bits}", n_threads=1) as opened:
        found["were there, all at once"] = recall(opened, of, were_there, np.arange(of.n))
        found["added, all at once"] = recall(opened, of, added, np.arange(of.n))
    shutil.rmtree(path)
    return {
        "bits": bits,
        "passages": of.n,
        "commits": N_COMMITS,
        "a_commit": A_COMMIT,
        "commit_s": round(statistics.median(seconds), 2),
        "commits_s": [round(span, 2) for span in seconds],
        "recall@10": found,
    }


def recall(
    opened: store.Store,
    of: Collection,
    wanted: npt.NDArray[np.int64],
    order: npt.NDArray[np.int64],
) -> dict[str, float]:
    """By effort: what share of the wanted is among the ten first; -1 is not wanted.

    ``order`` has the ordinal of each document in the order in which they came.
    """
    snapshot = opened.snapshot()
    found = {}
    for effort in ("balanced", "thorough"):
        hits = 0
        for query, best in zip(of.queries, wanted, strict=True):
            rows = store.search(snapshot, query, K, effort=effort).rows
            hits += len(np.intersect1d(order[snapshot.document_of_row[rows]], best))
        found[effort] = round(hits / max(1, int((wanted >= 0).sum())), 4)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--collections", default="scifact,debian-100000")
    parser.add_argument("--engines", help="these, and nothing is added")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--dry", action="store_true", help="print, and record nothing")
    args = parser.parse_args()
    pin(args.core)
    for name in args.collections.split(","):
        of = collection(name, args.data)
        engines = {}
        for engine in named(args.engines or OURS):
            engines[engine] = built(engine, of, again=True)
            if engine.startswith("ours"):
                engines[engine]["parts"] = parts(BUILD / of.name / engine)
        if not args.dry:
            record(
                "building",
                arithmetic=arithmetic(),
                collection=name,
                passages=of.n,
                tokens=of.n_tokens,
                engines=engines,
            )
    if not args.engines and of.n > 2 * N_COMMITS * A_COMMIT:
        for bits in (4, 2):
            figures = adding(of, bits)
            print(figures)
            if not args.dry:
                record("adding", collection=of.name, **figures)


if __name__ == "__main__":
    main()

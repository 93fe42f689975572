"""A thousand passages more: what adding them to a hundred thousand takes, and what recall is then.

    python benchmarks/adding.py [--passages 1000] [--bits 4]

Debian's passages as searching.py has built them, and the next of `embedded.enlarged`, encoded
before. They are committed, and settled where the commit has not done it, on one thread and core.
Recall of `balanced` is against exact float32 MaxSim over all passages that are there.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from embedded import Embedded, debian_texts, embedded, enlarged, exact
from measure import pinned, record
from searching import BUILD, K, built, measured

from interlace import store
from interlace.types import Document, Encoded, Passage

REPEATS = 3


def exact_of_both(
    documents: Embedded, added: list[Encoded], queries: list[npt.NDArray[np.float32]]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The ten best of each query among the texts, and among these and what is added."""
    n = len(documents.offsets) - 1
    before = exact(documents, queries, f"debian-{n}")
    after = np.empty_like(before)
    for i, query in enumerate(queries):
        begins, ends = documents.offsets[before[i]], documents.offsets[before[i] + 1]
        matrices = [
            documents.matrix[a:b].astype(np.float32) for a, b in zip(begins, ends, strict=True)
        ]
        matrices += [np.asarray(one.matrix, np.float32) for one in added]
        scores = [float((matrix @ query.T).max(axis=0).sum()) for matrix in matrices]
        which = np.append(before[i], n + np.arange(len(added)))
        after[i] = which[np.argsort(-np.array(scores), kind="stable")[:K]]
    return before, after


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=1000)
    parser.add_argument("--bits", type=int, default=4)
    args = parser.parse_args()
    texts, asked = debian_texts()
    n = len(texts)
    documents = embedded("debian", texts)
    queries = list(embedded("debian", asked, as_queries=True))
    added = list(islice(enlarged(documents, n + args.passages), n, None))
    before, after = exact_of_both(documents, added, queries)
    built(documents, args.bits).close()
    commits, settlings, recalls = [], [], {}
    for _ in range(REPEATS):
        with tempfile.TemporaryDirectory(dir=BUILD) as folder, pinned(1):
            path = Path(folder) / "grown.lace"
            shutil.copytree(BUILD / f"debian-{n}-{args.bits}.lace", path)
            with store.open(path, n_threads=1) as opened:
                if not recalls:
                    recalls["before"] = measured(opened.snapshot(), queries, before, "balanced")
                start = time.perf_counter()
                with opened.write() as writer:
                    for i, encoded in enumerate(added, n):
                        passage = Passage(i, 0, 0, 1, "x")
                        writer.add(Document("x", i), str(i), [passage], [encoded])
                commits.append(time.perf_counter() - start)
                start = time.perf_counter()
                opened.settle()
                settlings.append(time.perf_counter() - start)
                if "after" not in recalls:
                    recalls["after"] = measured(opened.snapshot(), queries, after, "balanced")
    record(
        "adding",
        passages=args.passages,
        to=n,
        bits=args.bits,
        tokens=sum(len(one.matrix) for one in added),
        commit_s=round(statistics.median(commits), 3),
        settle_s=round(statistics.median(settlings), 3),
        **{
            name: {key: found[key] for key in ("recall@10", "p50_ms")}
            for name, found in recalls.items()
        },
    )
    print(
        f"{statistics.median(commits):.2f} s, settled in {statistics.median(settlings):.2f} s",
        recalls,
    )


if __name__ == "__main__":
    main()

"""How long does opening take, and in how much memory, before anything is searched?

    python benchmarks/opening.py [--passages 1000000] [--bits 4] [--commits 1000]

Of a collection of `searching.py`, which is made if it is not there; and of one that has come in
many small commits of 20 passages, with a codec trained on the first few that grows with what
follows: what a write takes there, settling included. Each is opened in processes of its own,
medians of five, files in the page cache. One JSON line.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

from embedded import debian_texts, embedded, enlarged
from measure import pinned, record
from searching import built, opening

from interlace import store
from interlace.types import Document, Passage

A_COMMIT = 20


def in_small_commits(path: Path, n_commits: int, bits: int) -> dict[str, Any]:
    """Make a collection of so many writes; what they took, in milliseconds."""
    documents = embedded("debian", debian_texts()[0])
    settings = store.Settings(
        dim=documents.matrix.shape[1], codec=f"residual{bits}", first_budget_tokens=32_768
    )
    spans, grown = [], []
    with store.create(path, settings, n_threads=1) as opened:
        texts, n_chunks = enumerate(enlarged(documents, n_commits * A_COMMIT)), 0
        for _ in range(n_commits):
            some = list(islice(texts, A_COMMIT))
            start = time.perf_counter()
            with opened.write() as writer:
                for i, encoded in some:
                    writer.add(Document("x", i), str(i), [Passage(i, 0, 0, 1, "x")], [encoded])
            spans.append((time.perf_counter() - start) * 1000)
            before, n_chunks = n_chunks, opened.info()["n_codec_chunks"]
            if n_chunks > before > 0:
                grown.append(spans[-1])
    return {
        "write_p50_ms": round(statistics.median(spans), 1),
        "write_that_grows_the_codec_p50_ms": round(statistics.median(grown), 1),
    }


def opened_as(path: Path) -> dict[str, Any]:
    with store.open(path) as opened:
        info = opened.info()
    kept = ("n_passages", "n_tokens", "n_fresh_segments", "n_settled_segments", "n_codec_chunks")
    return {name: info[name] for name in kept} | {"codec": info["bytes"]["codec"]} | opening(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=1_000_000)
    parser.add_argument("--bits", type=int, default=4)
    parser.add_argument("--commits", type=int, default=1_000)
    args = parser.parse_args()
    with pinned(1):
        documents = embedded("debian", debian_texts()[0])
        with built(documents, args.bits, args.passages) as opened:
            path = opened.path
        folder = Path(tempfile.mkdtemp())
        try:
            writes = in_small_commits(folder / "small.lace", args.commits, args.bits)
            small = opened_as(folder / "small.lace") | writes
        finally:
            shutil.rmtree(folder)
        record("opening", bits=args.bits, large=opened_as(path), small_commits=small)


if __name__ == "__main__":
    main()

"""How fast ``verify`` reads, and what comparing checksums adds to settling and merging.

    python benchmarks/verifying.py [--passages 50000]

The passages are those of ``stream.py``, in two settled segments and a fresh one. Their files are in
the page cache, so this is what the processor allows.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from measure import record
from stream import stream

from interlace import files, store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=50_000)
    n = parser.parse_args().passages
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.lace"
        with store.create(path, store.Settings(dim=128), settle="manual") as opened:
            for first, last in ((0, n // 2), (n // 2, n - n // 50)):
                add(opened, first, last)
                opened.settle()
            add(opened, n - n // 50, n)
            report = opened.verify()
            assert report.ok, report.problems
            verify = seconds(opened.verify)
            checksums = seconds(lambda: compare(opened, path))
            fresh = seconds(lambda: compare(opened, path, "fresh"))
            settle = seconds(opened.settle)
            settled = seconds(lambda: compare(opened, path))
            merge = seconds(opened.compact)
    megabytes = report.n_bytes / 1e6
    record(
        "verifying",
        passages=n,
        mb=round(megabytes, 1),
        verify_s=round(verify, 3),
        verify_mb_s=round(megabytes / verify),
        checksums_mb_s=round(megabytes / checksums),
        share_of_settling=round(fresh / settle, 4),
        share_of_merging=round(settled / merge, 4),
    )


def add(opened: store.Store, first: int, last: int) -> None:
    with opened.write() as writer:
        for one in stream(last - first, first=first):
            writer.add(*one)


def compare(opened: store.Store, path: Path, *kinds: str) -> None:
    """Compare the checksums of all segments, or of those of a kind."""
    for row in opened._catalog.segments(opened.commit):
        if not kinds or row.kind in kinds:
            files.verify_arrays(path / "segments" / row.file_name, row.written)


def seconds(work: Callable[[], object]) -> float:
    started = perf_counter()
    work()
    return perf_counter() - started


if __name__ == "__main__":
    main()

"""Fewer leaves or more: what a codec with so many tokens a leaf takes, and what searches find.

    taskset -c 0 python benchmarks/leaves.py [--passages 100000] [--tokens 50,100,200,400]

Debian's passages at 4 bits, built anew with the rule in codec/clustering.py turned to each number:
bytes a token of codec and segment, recall@10 against exact float32 MaxSim and milliseconds, of
`balanced` with several numbers of leaves a query token and of an exhaustive search. One JSON line
a number.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import searching
from embedded import debian_texts, embedded, exact
from measure import record

from interlace.codec import clustering

EFFORTS = ("leaves=7", "balanced", "leaves=14", "leaves=28", "exhaustive")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--tokens", default="50,100,200,400")
    parser.add_argument("--dry", action="store_true", help="print, and record nothing")
    args = parser.parse_args()
    passages, asked = debian_texts()
    documents = embedded("debian", passages).head(args.passages)
    queries = list(embedded("debian", asked, as_queries=True))
    best = exact(documents, queries, f"debian-{args.passages}")
    for number in map(int, args.tokens.split(",")):
        clustering.TOKENS_PER_CELL = clustering.TOKENS_PER_LEAF = number
        with tempfile.TemporaryDirectory() as folder:
            searching.BUILD = Path(folder)
            with searching.built(documents, 4) as opened:
                figures = {
                    "bytes": {
                        part: round(opened.info()["bytes"][part] / len(documents.token_ids), 2)
                        for part in ("codec", "settled")
                    },
                    "cells": rows_of(opened.path, "cell_types"),
                    "leaves": rows_of(opened.path, "leaf_cells"),
                    "efforts": {
                        effort: searching.measured(
                            opened.snapshot(), queries, best, searching.turned(effort)
                        )
                        for effort in EFFORTS
                    },
                }
        print(number, figures, flush=True)
        if not args.dry:
            record("leaves", passages=args.passages, tokens_a_leaf=number, **figures)


def rows_of(path: Path, name: str) -> int:
    """Of an array of four bytes a row; none of leaves where each cell is its own."""
    return sum(file.stat().st_size // 4 for file in path.glob(f"codec/*/{name}.codec"))


if __name__ == "__main__":
    main()

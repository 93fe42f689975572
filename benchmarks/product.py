"""The whole way, as a user goes it: texts in, hits out, everything at its default.

    python benchmarks/product.py --data ../shared/data [--collections scifact,cranfield]

Unlike quality.py, which cuts every text at the model's length, documents here become passages, and
a document goes by its best. A collection below the first budget is settled as well, so that every
figure is one of compressed vectors.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from corpora import NAMES, load
from measure import as_run, quality, record

import interlace


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--collections", default=",".join(NAMES))
    args = parser.parse_args()
    for name in args.collections.split(","):
        corpus = load(args.data, name)
        with (
            tempfile.TemporaryDirectory() as folder,
            interlace.create(Path(folder, "x.lace")) as notes,
        ):
            start = time.perf_counter()
            report = notes.add(
                {"id": id_, "text": text}
                for id_, text in zip(corpus.ids, corpus.texts, strict=True)
            )
            added = time.perf_counter() - start
            notes.settle()
            found = notes.search_many(corpus.queries, k=100)
            run = as_run(corpus.query_ids, [[str(hit.id) for hit in hits] for hits in found])
            record(
                "product",
                collection=name,
                passages=report.n_passages,
                tokens=report.n_tokens,
                add_s=round(added, 1),
                **quality(corpus.judgements, run),
            )


if __name__ == "__main__":
    main()

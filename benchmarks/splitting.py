"""Cutting passages: how fast, against the splitter's own way of counting; how well they are found.

    python benchmarks/splitting.py [--data ../shared/data] [--only speed|quality]

*speed*: a million characters each of prose (scifact), Markdown (the messy files) and Python (the
standard library), cut for `mini` on one thread: ours, and the same splitter with the tokenizer
given to it. *quality*: scifact and medquad as product.py indexes them, with several overlaps.
"""

from __future__ import annotations

import argparse
import statistics
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from corpora import load
from measure import as_run, quality, record
from semantic_text_splitter import CodeSplitter, MarkdownSplitter, TextSplitter

import interlace
from interlace import text
from interlace.types import Document

N_CHARACTERS = 1_000_000
REPEATS = 3


def texts(data: Path) -> dict[str, Document]:
    """A long text of each kind."""
    abstracts = "\n\n".join(load(data, "scifact").texts[:2_000])
    pages = "\n\n".join(
        file.read_text("utf-8", "replace") for file in sorted((data / "messy").rglob("*.md"))
    )
    library = Path(sysconfig.get_path("stdlib"))
    modules = "\n".join(file.read_text("utf-8") for file in sorted(library.glob("*.py")))
    return {
        "prose": Document(abstracts[:N_CHARACTERS], "d", line=1),
        "markdown": Document((10 * pages)[:N_CHARACTERS], "d", syntax="markdown", line=1),
        "python": Document(modules[:N_CHARACTERS], "d", syntax="python", line=1),
    }


def seconds(call: Callable[[], Any], repeats: int = REPEATS) -> float:
    """The fastest of some calls."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def own_way(document: Document, tokens_max: int) -> Callable[[], Any]:
    """The splitter with the tokenizer given to it: it counts each piece that it tries anew."""
    tokenizer = str(Path(interlace.__file__).parent / "models" / "mini" / "tokenizer.json")
    if document.syntax == "markdown":
        splitter: Any = MarkdownSplitter.from_huggingface_tokenizer_file(tokenizer, tokens_max)
    elif document.syntax == "python":
        import tree_sitter_python

        splitter = CodeSplitter.from_huggingface_tokenizer_file(
            tree_sitter_python.language(), tokenizer, tokens_max
        )
    else:
        splitter = TextSplitter.from_huggingface_tokenizer_file(tokenizer, tokens_max)
    return lambda: splitter.chunk_indices(document.text)


def speed(data: Path) -> None:
    """Tokens a second of one thread."""
    encoder = interlace.Encoder.load("mini")
    splitting = text.Splitting(tokens_max=encoder.document_length)
    for kind, document in texts(data).items():
        n_tokens = len(encoder.spans(document.text))
        passages = text.split(document, splitting, encoder.spans)
        ours = seconds(lambda one=document: text.split(one, splitting, encoder.spans))
        theirs = seconds(own_way(document, encoder.document_length), 1)
        pieces = [passage.text for passage in passages]
        sizes = encoder.count(pieces)
        record(
            "splitting",
            what="speed",
            kind=kind,
            n_tokens=n_tokens,
            n_passages=len(passages),
            tokens_a_passage=round(statistics.fmean(sizes), 1),
            tokens_per_s=round(n_tokens / ours),
            own_way_tokens_per_s=round(n_tokens / theirs),
            tokenize_tokens_per_s=round(
                n_tokens / seconds(lambda some=pieces: encoder.count(some))
            ),
        )


def found(data: Path, collections: list[str], overlaps: list[int]) -> None:
    """What the whole way finds, as in product.py, with each overlap."""
    for name in collections:
        corpus = load(data, name)
        for overlap in overlaps:
            with (
                tempfile.TemporaryDirectory() as folder,
                interlace.create(Path(folder, "x.lace"), passage_overlap=overlap) as notes,
            ):
                report = notes.add(
                    {"id": id_, "text": text}
                    for id_, text in zip(corpus.ids, corpus.texts, strict=True)
                )
                notes.settle()
                hits = notes.search_many(corpus.queries, k=100)
                run = as_run(corpus.query_ids, [[str(hit.id) for hit in some] for some in hits])
                record(
                    "splitting",
                    what="quality",
                    collection=name,
                    overlap=overlap,
                    passages=report.n_passages,
                    tokens=report.n_tokens,
                    **quality(corpus.judgements, run),
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--only", choices=("speed", "quality"))
    parser.add_argument("--collections", default="scifact,medquad")
    parser.add_argument("--overlaps", default="0,32,64")
    args = parser.parse_args()
    if args.only in (None, "speed"):
        speed(args.data)
    if args.only in (None, "quality"):
        overlaps = [int(one) for one in args.overlaps.split(",")]
        found(args.data, args.collections.split(","), overlaps)


if __name__ == "__main__":
    main()

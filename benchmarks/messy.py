"""What becomes of 108 real files of many formats, encodings and languages, some of them broken?

    python benchmarks/messy.py [--data ../shared/data] [--check]

Writes docs/reference/messy.md and one line of results/messy.jsonl. With --check nothing is written;
the exit code is 1 when the page is not up to date.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from interlace import text
from interlace.types import Document, Skipped

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "messy.md"
ABOUT = "SOURCE.md"  # says where the files come from, and is none of them

INTRODUCTION = """# What becomes of messy files

`benchmarks/messy.py` reads the {n} files of the shared data set `messy` as `interlace index` does
and writes this page: {n_read} were read, {n_left} were not. Some are broken on purpose. A file
that was read can have parts that were not; they stand beside it.

| file | read | not read, and why |
|---|---|---|
"""


@dataclass
class Outcome:
    """What became of one file, and of the files in it."""

    documents: list[Document] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    def row(self, name: str) -> str:
        n_characters = sum(len(document.text) for document in self.documents)
        read = "–"
        if self.documents:
            n = len(self.documents)
            documents = "1 document" if n == 1 else f"{n} documents"
            read = f"{title(name)}: {documents}, {n_characters:,} characters"
        why = "; ".join(part_and_why(one, name) for one in self.skipped)
        return f"| `{name}` | {read} | {why} |".replace("|  |", "| |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    started = time.perf_counter()
    outcomes = read(args.data / "messy")
    seconds = time.perf_counter() - started
    written = page(outcomes)
    if args.check:
        sys.exit(written != PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(written, encoding="utf-8")

    from measure import record

    record(
        "messy",
        n_files=len(outcomes),
        n_read=sum(bool(one.documents) for one in outcomes.values()),
        n_documents=sum(len(one.documents) for one in outcomes.values()),
        n_characters=sum(len(document.text) for _, document in documents(outcomes)),
        read_seconds=round(seconds, 2),
        files={name: [len(one.documents), list(map(str, one.skipped))]
               for name, one in outcomes.items()},
    )  # fmt: skip


def read(folder: Path) -> dict[str, Outcome]:
    """Read the folder as ``interlace index`` does: each file by its name, in order."""
    outcomes: dict[str, Outcome] = {}
    for found in text.find(folder, "messy"):
        ones = [found] if isinstance(found, Skipped) else text.read_file(found)
        name = (found.where if isinstance(found, Skipped) else found.name).removeprefix("messy/")
        if name == ABOUT:
            continue
        outcome = outcomes[name] = Outcome()
        for one in ones:
            (outcome.skipped if isinstance(one, Skipped) else outcome.documents).append(one)
    return outcomes


def documents(outcomes: dict[str, Outcome]) -> list[tuple[str, Document]]:
    return [(name, document) for name, one in outcomes.items() for document in one.documents]


def page(outcomes: dict[str, Outcome]) -> str:
    n_read = sum(bool(one.documents) for one in outcomes.values())
    n = len(outcomes)
    head = INTRODUCTION.format(n=n, n_read=n_read, n_left=n - n_read)
    return head + "\n".join(one.row(name) for name, one in outcomes.items()) + "\n"


def title(name: str) -> str:
    return text.FORMATS[text.format_of(name) or "text"].title


def part_and_why(skipped: Skipped, name: str) -> str:
    part = skipped.where.removeprefix(f"messy/{name}").lstrip(",/ ")
    why = f"{part}: {skipped.why}" if part else skipped.why
    return why.replace("|", "\\|").replace("messy/", "")


if __name__ == "__main__":
    main()

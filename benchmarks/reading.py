"""Reading, cutting, encoding, storing: which stage is slow, and how much memory they take.

    python benchmarks/reading.py [--data ../shared/data] [--files 10000] [--gigabytes 1]

*stages*: the messy files, one format after another on one thread, against two threads of encoding.
*folder*: so many files made of medquad's texts, indexed whole, then again unchanged, then with one
file changed. *one file*: one file of text, and one of JSON lines, of that many gigabytes, read and
cut but not encoded (encoding a gigabyte takes hours). Memory is the peak of a process of its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import corpora
from measure import record

import interlace
from interlace import text
from interlace.types import Document, Skipped

REPEATS = 3

INDEX = """
import json, resource, sys, time
import interlace
folder, files = sys.argv[1:3]
def peak():
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
interlace.Encoder.load("mini").encode_document(["warm"])
before = peak()
start = time.perf_counter()
make = interlace.open if sys.argv[3] == "again" else interlace.create
with make(folder) as notes:
    report = notes.index(files)
    print(json.dumps({
        "seconds": round(time.perf_counter() - start, 2), "before_mb": before, "peak_mb": peak(),
        "n_documents": len(notes), "n_tokens": report.n_tokens,
        "files": [report.n_files_new, report.n_files_changed, report.n_files_unchanged],
    }))
"""

CUT = """
import json, resource, sys, time
import interlace
from interlace import text
from dataclasses import replace
encoder = interlace.Encoder.load("mini")
splitting = text.Splitting(tokens_max=encoder.document_length)
def peak():
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
before = peak()
start = time.perf_counter()
n_documents = n_passages = n_characters = 0
for document in interlace.read(sys.argv[1]):
    n_documents += 1
    for passage in text.split(document, splitting, encoder.spans):
        n_passages += 1
        n_characters += len(passage.text)
print(json.dumps({
    "seconds": round(time.perf_counter() - start, 1), "before_mb": before, "peak_mb": peak(),
    "n_documents": n_documents, "n_passages": n_passages, "n_characters": n_characters,
}))
"""


def apart(script: str, *arguments: str) -> dict[str, Any]:
    """Run a script in a process of its own; the JSON that it prints last."""
    ran = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found


def stages(data: Path) -> None:
    """Seconds a stage for each format of the messy files."""
    encoder = interlace.Encoder.load("mini")
    splitting = text.Splitting(tokens_max=encoder.document_length)
    rows: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    passages: list[str] = []
    for found in text.find(data / "messy", "messy", hidden=True):
        if isinstance(found, Skipped):
            continue
        documents: list[Document] = []
        seconds = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            documents = [d for d in text.read_file(found) if isinstance(d, Document)]
            seconds.append(time.perf_counter() - start)
        if not documents:
            continue
        row = rows[found.path.suffix.lower().lstrip(".") or "no suffix"]
        row["n_files"] += 1
        row["n_bytes"] += found.n_bytes
        row["n_characters"] += sum(len(document.text) for document in documents)
        row["read_s"] += statistics.median(seconds)
        start = time.perf_counter()
        pieces = [p.text for d in documents for p in text.split(d, splitting, encoder.spans)]
        row["cut_s"] += time.perf_counter() - start
        row["n_tokens"] += sum(encoder.count(pieces))
        passages += pieces
    start = time.perf_counter()
    for _ in encoder.documents(passages):
        pass
    encode_s = time.perf_counter() - start
    n_tokens = sum(row["n_tokens"] for row in rows.values())
    rate = n_tokens / encode_s
    for row in rows.values():
        spent = row["read_s"] + row["cut_s"]
        row["times_encoding"] = round(row["n_tokens"] / spent / rate, 1)
    record(
        "reading",
        what="stages",
        encode_tokens_per_s=round(rate),
        n_threads=encoder.n_threads,
        times_encoding=round(
            n_tokens / sum(row["read_s"] + row["cut_s"] for row in rows.values()) / rate, 1
        ),
        formats={
            name: {key: round(value, 4) for key, value in row.items()}
            for name, row in sorted(rows.items())
        },
    )


def folder(data: Path, n_files: int) -> None:
    """Index a folder of many files; again, unchanged; again, one changed."""
    texts = corpora.load(data, "medquad").texts
    with tempfile.TemporaryDirectory() as place:
        files, collection = Path(place, "files"), str(Path(place, "notes.lace"))
        for i in range(n_files):
            file = files / f"{i % 100:02}" / f"{i}.{('txt', 'md', 'html')[i % 3]}"
            file.parent.mkdir(parents=True, exist_ok=True)
            words = " ".join(texts[i % len(texts)].split()[:60]) + f" File {i}."
            body = f"<html><body><article><p>{words}</p></article></body></html>"
            file.write_text(body if file.suffix == ".html" else words)
        first = apart(INDEX, collection, str(files), "new")
        unchanged = apart(INDEX, collection, str(files), "again")
        (files / "07" / "7.md").write_text("This file has changed.")
        changed = apart(INDEX, collection, str(files), "again")
    record(
        "reading",
        what="folder",
        n_files=n_files,
        first=first,
        unchanged=unchanged,
        one_changed=changed,
    )


def one_file(data: Path, gigabytes: float) -> None:
    """Read and cut one very large file."""
    texts = corpora.load(data, "medquad").texts
    n_bytes = int(gigabytes * 10**9)
    with tempfile.TemporaryDirectory() as place:
        for kind in ("txt", "jsonl"):
            path = Path(place, f"big.{kind}")
            with path.open("w", encoding="utf-8") as file:
                i = 0
                while file.tell() < n_bytes:
                    some = [texts[(i + j) % len(texts)] for j in range(1_000)]
                    i += 1_000
                    lines = [json.dumps({"text": one}) for one in some] if kind == "jsonl" else some
                    file.write("\n".join(lines) + "\n")
            size = path.stat().st_size
            found = apart(CUT, str(path))
            path.unlink()
            record("reading", what="one file", kind=kind, n_bytes=size, **found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--only", choices=("stages", "folder", "one-file"))
    args = parser.parse_args()
    if args.only in (None, "stages"):
        stages(args.data)
    if args.only in (None, "folder"):
        folder(args.data, args.files)
    if args.only in (None, "one-file"):
        one_file(args.data, args.gigabytes)


if __name__ == "__main__":
    main()

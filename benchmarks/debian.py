"""100,000 passages of English text from Debian's documentation packages, and held-out queries.

    python benchmarks/debian.py [--passages 100000] [--queries 300]

Needs Debian or Ubuntu, for `apt-get download`, and the extra `documents`. Manuals, handbooks and
dictionaries are read by interlace itself, cut every 100 words, shuffled with a seed, so that the
first so many are a fair sample, and written to build/debian/ with the versions of the packages.
Half of the queries are sentences that were taken out of their passage, half are titles, which no
passage holds; the passages that they belong to are among the first 10,000. RFCs are not in Debian
itself, so there are none.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import interlace
from interlace import text
from interlace.types import Document

FOLDER = Path(__file__).parents[1] / "build" / "debian"
PACKAGES = (  # noqa: SIM905 (a column of 24 names is harder to read)
    "apache2-doc aptitude-doc-en bash-doc debian-faq debian-handbook debian-policy"
    " developers-reference dict-foldoc dict-gcide dict-jargon exim4-doc-html git-doc"
    " installation-guide-amd64 linux-doc-6.1 maint-guide maxima-doc octave-doc postgresql-doc-15"
    " python-django-doc python3.11-doc racket-doc sbcl-doc sqlite3-doc valgrind"
).split()
WORDS = 100
A_PACKAGE = 15_000
"""Passages of one package, at most."""

FIRST = 10_000
TOKENS = (10, 32)
_WANTED = re.compile(r"\.(html?|txt|rst|md)(\.gz)?$")
_UNWANTED = re.compile(r"[./](?!en\b)[a-z]{2}(-[A-Za-z]{2})?[./]|_sources/")
"""Other languages, and what is there twice."""

_SENTENCE = re.compile(r"(?<=[.!?] )[A-Z][^.!?]{40,160}[.!?](?= )")


class Piece(NamedTuple):
    """Words of one file in a row, and the heading above them."""

    package: str
    file: str
    heading: str
    text: str


def unpacked(package: str) -> Path:
    """The files of a package, downloaded if they are not here."""
    folder = FOLDER / "files" / package
    if not folder.exists():
        (FOLDER / "packages").mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", package], cwd=FOLDER / "packages", check=True)
        (path,) = (FOLDER / "packages").glob(f"{package}_*.deb")
        folder.mkdir(parents=True)
        subprocess.run(["dpkg-deb", "-x", path, folder], check=True)
    return folder


def documents(folder: Path) -> Iterator[Document]:
    """What interlace reads of a package, and the dictionaries, which are texts in disguise."""
    for path in sorted(folder.rglob("*.dict.dz")):
        found = gzip.decompress(path.read_bytes()).decode("cp1252", "replace")
        yield Document(found, path.name, file=path.name)
    for document in text.read(folder, skipped=lambda _: None):
        name = str(document.file)
        if _WANTED.search(name) and not _UNWANTED.search(name):
            yield replace(document, file=name.removeprefix(f"{folder}/"))


def pieces(package: str, document: Document, seen: set[str]) -> Iterator[Piece]:
    """Runs of 100 words of prose; paragraphs that were met before are left out."""
    heading, words = "", list[str]()
    for paragraph in re.split(r"\n\s*\n", document.text):
        if paragraph.startswith("#"):
            heading = paragraph.lstrip("# ").split("\n")[0]
            continue
        found = paragraph.split()
        if len(found) < 4 or paragraph.startswith(("```", "|")) or paragraph in seen:
            continue
        seen.add(paragraph)
        words += found
        while len(words) >= WORDS:
            piece, words = " ".join(words[:WORDS]), words[WORDS:]
            if is_prose(piece):
                yield Piece(package, str(document.file), heading, piece)


def is_prose(piece: str) -> bool:
    """Whether it is mostly letters, without words that nobody writes."""
    letters = sum(c.isascii() and (c.isalpha() or c == " ") for c in piece)
    return letters > 0.8 * len(piece) and max(map(len, piece.split())) < 60


def held_out(found: list[Piece], n: int, rng: random.Random) -> Iterator[tuple[int, str, str, str]]:
    """Queries: the place of a passage, what is left of it, the query, and its kind."""
    encoder = interlace.Encoder.load("mini")
    headings = Counter(one.heading for one in found)
    order = rng.sample(range(min(FIRST, len(found))), min(FIRST, len(found)))
    titles = [(i, found[i].heading) for i in order if headings[found[i].heading] == 1]
    sentences = [(i, rng.choice(_SENTENCE.findall(found[i].text) or [""])) for i in order]
    n_found, taken = 0, set[int]()
    for kind, candidates, end in (("title", titles, n // 2), ("sentence", sentences, n)):
        for i, query in candidates:
            n_tokens = len(next(encoder.queries([query])).matrix)
            if n_found < end and i not in taken and TOKENS[0] <= n_tokens <= TOKENS[1]:
                n_found += 1
                taken.add(i)
                rest = found[i].text.replace(query, "", 1) if kind == "sentence" else found[i].text
                yield i, rest, query, kind


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=300)
    args = parser.parse_args()
    rng, seen, found = random.Random(0), set[str](), list[Piece]()
    for package in PACKAGES:
        folder = unpacked(package)
        some = [one for document in documents(folder) for one in pieces(package, document, seen)]
        found += rng.sample(some, min(len(some), A_PACKAGE))
        print(f"{package}: {len(some):,} passages", flush=True)
    rng.shuffle(found)
    del found[args.passages :]
    queries = list(held_out(found, args.queries, rng))
    for i, rest, _, _ in queries:
        found[i] = found[i]._replace(text=rest)
    with (FOLDER / "corpus.jsonl").open("w", encoding="utf-8") as file:
        for i, one in enumerate(found):
            line = {"_id": str(i), "text": one.text, "package": one.package, "file": one.file}
            file.write(json.dumps(line) + "\n")
    with (FOLDER / "queries.jsonl").open("w", encoding="utf-8") as file:
        for i, _, query, kind in queries:
            line = {"_id": f"q{i}", "text": query, "kind": kind, "passage": str(i)}
            file.write(json.dumps(line) + "\n")
    versions = sorted(path.stem for path in (FOLDER / "packages").glob("*.deb"))
    (FOLDER / "PACKAGES").write_text("\n".join(versions) + "\n")
    print(f"{len(found):,} passages, {len(queries):,} queries")


if __name__ == "__main__":
    main()

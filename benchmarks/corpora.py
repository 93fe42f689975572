"""The shared collections, as the benchmarks use them: title and text, queries, judgements."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

NAMES = ("scifact", "cranfield", "medquad", "nq-gold", "squad-dev")


@dataclass(frozen=True)
class Corpus:
    name: str
    ids: list[str]
    texts: list[str]
    query_ids: list[str]
    queries: list[str]
    judgements: dict[str, dict[str, int]]


def load(folder: Path, name: str) -> Corpus:
    """One collection; squad-dev with its fixed sample of 1,000 questions."""
    path = folder / name / "corpus.jsonl"
    lines = _lines(path if path.exists() else path.with_suffix(".jsonl.gz"))
    documents = [json.loads(line) for line in lines]
    split = "sample" if name == "squad-dev" else "test"
    judgements: dict[str, dict[str, int]] = {}
    for line in _lines(folder / name / "qrels" / f"{split}.tsv")[1:]:
        query, document, score = line.split("\t")
        judgements.setdefault(query, {})[document] = int(score)
    asked = [json.loads(line) for line in _lines(folder / name / "queries.jsonl")]
    asked = [query for query in asked if query["_id"] in judgements]
    return Corpus(
        name,
        [document["_id"] for document in documents],
        [f"{d.get('title') or ''} {d['text']}".strip() for d in documents],
        [query["_id"] for query in asked],
        [query["text"] for query in asked],
        judgements,
    )


def _lines(path: Path) -> list[str]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        return [line for line in file.read().split("\n") if line]

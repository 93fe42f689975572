"""Words beside tokens: which index of words, how to fuse it with MaxSim, and what it costs.

    python benchmarks/hybrid.py --data ../shared/data [--collections scifact,cranfield]

Collections are made as a user makes them: passages as `add` cuts them, settled at 4 bits, a
document by its best passage; they are kept in --cache. Of each, one JSON line: `lexical` compares
ours (BM25 over runs of words) with FTS5, with BM25 over the word pieces that segments hold, and
with bm25s over whole documents; `fusion` compares ways of joining the scores of words and tokens;
`modes` has what a search takes in each mode, its query encoded before, the modes interleaved. A
fixed sample of --queries is asked.
"""

from __future__ import annotations

import argparse
import math
import re
import sqlite3
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from baselines import bm25
from corpora import NAMES, Corpus, load
from measure import as_run, quality, record

import interlace
from interlace.collection import fusion
from interlace.text import asked_words

RRF = 60
WEIGHTS = (0.5, 0.7, 0.8, 0.85, 0.9, 0.95)
MODES = ("late", "lexical", "hybrid")

Floats = np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--collections", default=",".join(NAMES))
    parser.add_argument("--cache", type=Path, default=Path("build/hybrid"))
    parser.add_argument("--queries", type=int, default=600)
    args = parser.parse_args()
    for name in args.collections.split(","):
        corpus = sampled(load(args.data, name), args.queries)
        with made(corpus, args.cache / f"{name}.lace") as notes:
            at = Passages(notes, corpus)
            lexical, words = lexically(at)
            record(
                "hybrid",
                collection=name,
                documents=len(corpus.ids),
                passages=len(at.texts),
                queries=len(corpus.queries),
                lexical=lexical,
                fusion=fusions(at, words),
                modes=modes(at),
            )


def sampled(corpus: Corpus, n: int) -> Corpus:
    if len(corpus.queries) <= n:
        return corpus
    chosen = np.sort(np.random.default_rng(0).choice(len(corpus.queries), n, replace=False))
    ids = [corpus.query_ids[i] for i in chosen]
    return replace(
        corpus,
        query_ids=ids,
        queries=[corpus.queries[i] for i in chosen],
        judgements={id_: corpus.judgements[id_] for id_ in ids},
    )


def made(corpus: Corpus, path: Path) -> interlace.Collection:
    if path.exists():
        return interlace.open(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    notes = interlace.create(path)
    notes.add({"id": id_, "text": text} for id_, text in zip(corpus.ids, corpus.texts, strict=True))
    notes.settle()
    return notes


class Passages:
    """A collection's passages, and what they are scored by."""

    def __init__(self, notes: interlace.Collection, corpus: Corpus) -> None:
        self.notes, self.corpus = notes, corpus
        self.snapshot = notes._store.snapshot()
        rows = range(self.snapshot.n_rows)
        self.numbers = self.snapshot.passage_of_row[rows]
        passages = self.snapshot.passages(rows)
        self.texts = [passage.text for passage in passages]
        self.ids = [str(passage.id) for passage in passages]
        self.documents = self.snapshot.document_of_row[rows]
        model = notes._models.at(self.snapshot.settings)
        self.encoded = model.encoded_queries(corpus.queries)

    def late(self, i: int) -> Floats:
        kernels, snapshot = self.snapshot.kernels, self.snapshot
        query = kernels.quantise(self.encoded[i].matrix, snapshot.signs)
        return kernels.scan(query, snapshot.segments, None, 2)

    def best(self, scores: Floats, n: int) -> Floats:
        """Rows of the best passages with any score."""
        rows = np.flatnonzero(scores)
        rows = rows[np.argsort(-scores[rows], kind="stable")[: 4 * n]]
        return rows[np.lexsort((self.numbers[rows], -scores[rows]))][:n]

    def ranked(self, rows: Floats, *keys: Floats) -> list[str]:
        """Ids of the documents of some rows, best first by keys, the last one least important."""
        order = rows[np.lexsort((self.numbers[rows], *(-key[rows] for key in reversed(keys))))]
        return list(dict.fromkeys(self.ids[row] for row in order))[:100]

    def quality(self, ranked: list[list[str]]) -> dict[str, float]:
        return quality(self.corpus.judgements, as_run(self.corpus.query_ids, ranked))


# --- which index of words ------------------------------------------------------------------------
def lexically(at: Passages) -> tuple[dict[str, Any], list[Floats]]:
    """Quality, time and bytes of each index of words; and the scores of ours."""
    found = {"runs of words": {}, "FTS5": full_text(at), "word pieces": pieces(at)}
    asked = at.corpus.queries
    at.snapshot.lexical(["word"])  # the first one reads which passages there are
    ours = [timed(lambda q=q: at.snapshot.lexical(asked_words(q))) for q in asked]
    scores = [one.of(np.arange(at.snapshot.n_rows)) for one, _ in ours]
    catalog = at.notes._store._catalog
    of_words = "SELECT sum(length(word) + length(passages) + length(counts)) FROM words"
    of_runs = "SELECT sum(length(passages) + length(lengths)) FROM runs"
    found["runs of words"] = {
        **at.quality([at.ranked(at.best(one, 400), one) for one in scores]),
        **spans([ms for _, ms in ours]),
        "bytes": catalog._value(of_words) + catalog._value(of_runs),
    }
    found["bm25s"] = at.quality(bm25(at.corpus))
    return found, scores


def full_text(at: Passages) -> dict[str, Any]:
    """FTS5, contentless, with Porter's stemmer; every query word quoted, joined by OR."""
    database = sqlite3.connect(":memory:")
    database.execute(
        "CREATE VIRTUAL TABLE t USING fts5"
        "(text, content='', tokenize='porter unicode61 remove_diacritics 2')"
    )
    start = time.perf_counter()
    database.executemany("INSERT INTO t(rowid, text) VALUES (?, ?)", enumerate(at.texts))
    database.commit()
    written = time.perf_counter() - start
    sql = "SELECT rowid, -rank FROM t WHERE t MATCH ? ORDER BY rank LIMIT 400"
    ranked, times = [], []
    for query in at.corpus.queries:
        match = " OR ".join(f'"{word}"' for word in re.findall(r"[^\W_]+", query)) or '""'
        rows, ms = timed(lambda match=match: database.execute(sql, (match,)).fetchall())
        scores = np.zeros(len(at.texts))
        for row, score in rows:
            scores[row] = score
        ranked.append(at.ranked(np.flatnonzero(scores), scores))
        times.append(ms)
    n_bytes = 0
    for column in ("length(block)) FROM t_data", "length(sz)) FROM t_docsize"):
        n_bytes += database.execute(f"SELECT sum({column}").fetchone()[0]
    return {
        **at.quality(ranked),
        **spans(times),
        "bytes": n_bytes,
        "write_us_a_passage": round(written / len(at.texts) * 1e6, 1),
    }


def pieces(at: Passages) -> dict[str, Any]:
    """BM25 over the vocabulary ids of stored tokens: no byte more than segments have already."""
    bags = [Counter(ids) for ids in token_types(at)]
    lengths = np.array([bag.total() for bag in bags])
    norms = 1.2 * (0.25 + 0.75 * lengths / lengths.mean())
    inverted: dict[int, list[tuple[int, int]]] = {}
    for row, bag in enumerate(bags):
        for piece, count in bag.items():
            inverted.setdefault(piece, []).append((row, count))
    lists = {piece: np.array(pairs).T for piece, pairs in inverted.items()}
    ranked = []
    for query in at.encoded:
        scores = np.zeros(len(bags))
        for piece in query.token_ids.tolist():
            if piece in lists:
                rows, counts = lists[piece]
                idf = math.log(1 + (len(bags) - len(rows) + 0.5) / (len(rows) + 0.5))
                scores[rows] += idf * counts * 2.2 / (counts + norms[rows])
        ranked.append(at.ranked(at.best(scores, 400), scores))
    return at.quality(ranked)


def token_types(at: Passages) -> list[list[int]]:
    """The vocabulary ids of each row: a settled token's is that of its leaf's cell."""
    decoder = at.snapshot._decoder
    found = []
    for segment in at.snapshot.opened:
        types = segment.arrays.get("token_ids")
        if types is None:
            types = decoder.rows["cell_types"][segment.arrays["heads"] >> 16]
        found += [part.tolist() for part in np.split(types, segment.offsets[1:-1])]
    return found


# --- how to fuse ---------------------------------------------------------------------------------
def fusions(at: Passages, words: list[Floats]) -> dict[str, Any]:
    """nDCG@10, MRR@10 and R@100 of each way to join two kinds of scores."""
    ranked: dict[str, list[list[str]]] = {}
    for i, lexical in enumerate(words):
        late = at.late(i)
        most = at.snapshot.lexical(asked_words(at.corpus.queries[i])).most
        for name, ids in joined(at, late, lexical, most):
            ranked.setdefault(name, []).append(ids)
    return {name: at.quality(ids) for name, ids in ranked.items()}


def joined(
    at: Passages, late: Floats, words: Floats, most: float
) -> Iterator[tuple[str, list[str]]]:
    """What each way makes of one query, by name."""
    by_tokens, by_words = at.best(late, fusion.DEPTH), at.best(words, fusion.DEPTH)
    yield "late", at.ranked(at.best(late, 400), late)
    yield "lexical", at.ranked(at.best(words, 400), words)
    for n in (100, 1_000):
        yield f"first {n} by words, reranked", at.ranked(at.best(words, n), late)
    both = np.union1d(by_tokens, by_words)
    ranks = np.zeros(len(late))
    for rows in (by_tokens, by_words):
        ranks[rows] += 1 / (RRF + 1 + np.arange(len(rows)))
    yield "reciprocal ranks", at.ranked(both, ranks, late)
    for weight in (0.5, 0.8):
        scores = np.zeros(len(late))
        scores[both] = weight * minmax(late[both]) + (1 - weight) * minmax(words[both])
        yield f"union's least and best, {weight}", at.ranked(both, scores, late)
    spans_of = (
        fusion.span_of_late(late[by_tokens]),
        fusion.span_of_words(words[by_words], most),
    )
    by_late, by_word = fusion.scaled(late, spans_of[0]), fusion.scaled(words, spans_of[1])
    for weight in WEIGHTS:
        yield f"ours, {weight}", at.ranked(both, weight * by_late + (1 - weight) * by_word, late)


def minmax(scores: Floats) -> Floats:
    return (scores - scores.min()) / max(float(np.ptp(scores)), 1e-9)


# --- what it costs -------------------------------------------------------------------------------
def modes(at: Passages, n: int = 200) -> dict[str, Any]:
    """Milliseconds of a search in each mode, and of encoding its query."""
    notes, queries = at.notes, at.corpus.queries[:n]
    model = notes._models.at(at.snapshot.settings)
    times: dict[str, list[float]] = {name: [] for name in (*MODES, "encoding")}
    for query, encoded in zip(queries, at.encoded, strict=False):
        for mode in MODES:
            search = lambda: notes.search(query, embeddings=encoded.matrix, mode=mode)  # noqa: B023, E731
            times[mode].append(min(timed(search)[1] for _ in range(3)))
        times["encoding"].append(min(timed(lambda: model.queries([query]))[1] for _ in range(3)))  # noqa: B023
    found: dict[str, Any] = {name: spans(ms) for name, ms in times.items()}
    for mode in MODES:
        hits = notes.search_many(at.corpus.queries, 100, mode=mode)
        found[mode] |= at.quality([[str(hit.id) for hit in one] for one in hits])
    return found


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = call()
    return result, (time.perf_counter() - start) * 1000


def spans(ms: list[float]) -> dict[str, float]:
    ordered = sorted(ms)
    return {
        "p50_ms": round(statistics.median(ordered), 3),
        "p95_ms": round(ordered[int(0.95 * (len(ordered) - 1))], 3),
    }


if __name__ == "__main__":
    main()

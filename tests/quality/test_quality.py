"""Every effort, at every width of codes, ranks the shared collections as well as exact vectors do.

    make test-slow

nDCG@10 of late search, for at most 500 judged queries a collection, against exact float32 MaxSim on
the same embeddings, which are encoded once and kept in build/embeddings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import corpora
import numpy as np
import pytest
from embedded import Embedded, embedded, exact

import interlace
from interlace.store import EFFORTS

pytestmark = pytest.mark.slow

QUERIES_MAX = 500

TOLERANCE = {4: 0.005, 2: 0.01, 1: 0.015}
"""What nDCG@10 may lose, by bits. Codes of 4 bits lost at most 0.002, of 2 and 1 bit 0.006,
whatever the effort: what the stages miss is seldom relevant. So more than this is no noise."""


class Case(NamedTuple):
    """A collection, encoded, and how well exact vectors rank it."""

    corpus: corpora.Corpus
    documents: Embedded
    queries: list[np.ndarray]
    exact: float


@cache
def case(folder: Path, name: str) -> Case:
    corpus = corpora.load(folder, name)
    documents = embedded(name, corpus.texts)
    assert len(documents.offsets) == len(corpus.texts) + 1, "delete build/embeddings"
    queries = list(embedded(name, corpus.queries, as_queries=True))[:QUERIES_MAX]
    assert len(queries) == min(QUERIES_MAX, len(corpus.queries)), "delete build/embeddings"
    best = exact(documents, queries, f"{name}-{len(queries)}")
    ranked = [[corpus.ids[i] for i in row] for row in best.tolist()]
    return Case(corpus, documents, queries, ndcg(corpus, ranked))


def ndcg(corpus: corpora.Corpus, ranked: Sequence[Sequence[object]]) -> float:
    """Mean nDCG@10 as trec_eval has it: gains as judged, halved by the logarithm of the rank."""

    def gained(gains: Sequence[int]) -> float:
        return sum(gain / math.log2(rank + 2) for rank, gain in enumerate(gains[:10]))

    def of(judged: Mapping[str, int], found: Sequence[object]) -> float:
        best = gained(sorted(judged.values(), reverse=True))
        return gained([judged.get(str(id_), 0) for id_ in found]) / best if best else 0.0

    judged = [corpus.judgements[query] for query in corpus.query_ids]
    return math.fsum(map(of, judged, ranked)) / len(ranked)


@pytest.fixture(scope="module", params=corpora.NAMES)
def judged(request, shared_data):
    return case(shared_data(request.param).parent, request.param)


@pytest.fixture(scope="module", params=TOLERANCE)
def built(request, judged, tmp_path_factory):
    """The collection at one width of codes, settled."""
    documents = judged.documents
    path = tmp_path_factory.mktemp("quality") / "x.lace"
    bits, dim = request.param, documents.matrix.shape[1]
    with interlace.create(path, model=None, dim=dim, bits=bits, settle="manual") as opened:
        opened.add(
            ({"id": id_, "text": ""} for id_ in judged.corpus.ids),
            embeddings=documents,
            token_ids=np.split(documents.token_ids, documents.offsets[1:-1]),
        )
        opened.settle()
        yield opened, bits


@pytest.mark.parametrize("effort", EFFORTS)
def test_no_effort_ranks_worse_than_exact_vectors(judged, built, effort):
    opened, bits = built
    hits = opened.search_many(embeddings=judged.queries, effort=effort)
    found = ndcg(judged.corpus, [[hit.id for hit in one] for one in hits])
    print(f"{judged.corpus.name}, {bits} bits, {effort}: {found:.4f}, exact {judged.exact:.4f}")
    assert found >= judged.exact - TOLERANCE[bits]


def test_the_measure_is_that_of_trec_eval():
    corpus = corpora.Corpus("", [], [], ["q"], [], {"q": {"a": 1, "b": 2, "c": 0}})
    assert ndcg(corpus, [["b", "a"]]) == pytest.approx(1)
    assert ndcg(corpus, [["x", "b"]]) == pytest.approx((2 / math.log2(3)) / (2 + 1 / math.log2(3)))
    assert ndcg(corpus, [["x"] * 10 + ["a"]]) == 0

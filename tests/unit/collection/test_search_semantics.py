"""What every search promises, on a collection with fresh, settled and deleted passages."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import oracle
import pytest
import storing

import interlace
from interlace import kernels

N_SETTLED, N_DOCUMENTS, STEP_OF_DEAD = 560, 700, 7
EFFORTS = ("fast", "balanced", "thorough", "exhaustive")
COLOURS = ("red", "orange", "yellow", "green", "blue", "violet", "brown", "black", "white", "grey")
NOUNS = ("house", "river", "engine", "letter", "planet", "violin", "garden", "window", "bridge")
PLACES = ("the harbour", "an old mill", "the northern coast", "a mountain pass", "the city hall")
QUERIES = (
    "violin",
    "green garden",
    "where does the black engine stand",
    "a letter of number 44 from the northern coast",
    "mitochondrial phosphorylation",
    "the blue bridge near the city hall and the white house by the river, which one is older?",
)


def document(i: int) -> dict[str, object]:
    """About a dozen tokens, so two passages of at most eight; every fiftieth has none."""
    if i % 50 == 3:
        return {"id": i, "text": "?! …"}
    colour, noun, place = COLOURS[i % 10], NOUNS[i // 10 % 9], PLACES[i // 7 % 5]
    return {"id": i, "text": f"The {colour} {noun} near {place}. Somebody called it number {i}."}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory, encoder):
    """Large enough that a balanced search skips passages."""
    path = tmp_path_factory.mktemp("mixed") / "mixed.lace"
    with interlace.create(path, encoder, passage_tokens=8, settle="manual") as collection:
        collection.add(map(document, range(N_SETTLED)))
        collection.settle()
        collection.add(map(document, range(N_SETTLED, N_DOCUMENTS)))
        collection.delete(range(0, N_DOCUMENTS, STEP_OF_DEAD))
        info = collection.info()
        assert info["n_fresh_tokens"]
        assert info["n_settled_tokens"]
        assert info["n_tombstones"]
        assert info["n_passages"] > 1.5 * len(collection)
        yield collection


def plain(hits) -> list[tuple]:
    return [(hit.rank, hit.id, hit.passage, hit.start, hit.end, hit.score) for hit in hits]


# --- the twin ------------------------------------------------------------------------------------
@pytest.fixture
def twin(mixed, encoder, monkeypatch):
    """The same folder, searched by the NumPy specification."""
    if kernels.table().name == "reference":
        pytest.skip("no C++ kernels here to compare with the twin")
    reference = kernels.table("reference")
    with monkeypatch.context() as patch:
        patch.setattr(kernels, "_chosen", lambda: reference)
        opened = interlace.open(mixed.path, encoder)
    with opened:
        assert opened._store.snapshot().kernels.name == "reference"
        assert mixed._store.snapshot().kernels.name != "reference"
        yield opened


@pytest.mark.parametrize("by", ["document", "passage"])
@pytest.mark.parametrize("effort", EFFORTS)
def test_scores_equal_those_of_the_numpy_twin_bit_for_bit(mixed, twin, effort, by):
    for query in QUERIES:
        ours = mixed.search(query, k=15, effort=effort, by=by)
        theirs = twin.search(query, k=15, effort=effort, by=by)
        assert plain(ours) == plain(theirs)
        assert ours.proven == theirs.proven


def test_a_filtered_search_equals_the_twins(mixed, twin):
    few = [i for i in range(N_DOCUMENTS) if i % STEP_OF_DEAD and i % 31 < 2]
    for query in QUERIES:
        for effort in ("fast", "exhaustive"):
            assert plain(mixed.search(query, k=9, ids=few, effort=effort)) == plain(
                twin.search(query, k=9, ids=few, effort=effort)
            )


def test_an_explanation_equals_the_twins(mixed, twin):
    for query in QUERIES:
        for hit in mixed.search(query, k=3, by="passage"):
            assert mixed.explain(query, hit) == twin.explain(query, hit)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_the_twin_builds_the_same_files(tmp_path, monkeypatch, bits):
    given = [storing.matrix(i, 9, 24) for i in range(150)]

    def build(path):
        with interlace.create(path, model=None, dim=24, bits=bits, settle="manual") as made:
            made.add(
                ({"id": i} for i in range(150)),
                embeddings=(rows for rows, _ in given),
                token_ids=(types for _, types in given),
            )
            made.settle()
            return storing.contents(path)

    ours = build(tmp_path / "ours")
    reference = kernels.table("reference")
    monkeypatch.setattr(kernels, "_chosen", lambda: reference)
    assert build(tmp_path / "theirs") == ours


# --- one passage, one score ----------------------------------------------------------------------
@pytest.mark.parametrize("effort", EFFORTS)
def test_a_passage_has_one_score_in_search_search_many_and_explain(mixed, effort):
    together = mixed.search_many(QUERIES, k=20, effort=effort, by="passage")
    for query, many in zip(QUERIES, together, strict=True):
        alone = mixed.search(query, k=20, effort=effort, by="passage")
        assert plain(many) == plain(alone)
        for hit in alone[:8]:
            explanation = mixed.explain(query, hit)
            assert explanation.score == hit.late_score
            assert sum(match.similarity for match in explanation.matches) == pytest.approx(
                hit.late_score, abs=1e-4
            )


def test_a_score_does_not_depend_on_effort_k_or_filter(mixed):
    for query in QUERIES:
        everything = mixed.search(query, k=5_000, effort="exhaustive", by="passage")
        known = {(hit.id, hit.passage): hit.late_score for hit in everything}
        for effort in EFFORTS:
            for k in (1, 30):
                for hit in mixed.search(query, k=k, effort=effort, by="passage"):
                    assert known[hit.id, hit.passage] == hit.late_score
        ids = [hit.id for hit in everything[::97]]
        for hit in mixed.search(query, k=50, ids=ids, by="passage"):
            assert known[hit.id, hit.passage] == hit.late_score


def test_a_document_goes_by_its_best_passage(mixed):
    for query in QUERIES:
        best: dict[int, float] = {}
        for hit in mixed.search(query, k=5_000, effort="exhaustive", by="passage"):
            best[hit.id] = max(best.get(hit.id, -np.inf), hit.score)
        documents = mixed.search(query, k=5_000, effort="exhaustive")
        assert {hit.id: hit.score for hit in documents} == best


def test_proven_is_said_only_of_what_equals_the_exhaustive(mixed):
    seen = set()
    for query in QUERIES:
        exact = mixed.search(query, k=5, effort="exhaustive")
        assert exact.proven
        for effort in EFFORTS[:3]:
            hits = mixed.search(query, k=5, effort=effort)
            seen.add(hits.proven)
            if hits.proven:
                assert plain(hits) == plain(exact)
    assert False in seen, "no effort skipped a passage: the collection is too small for this test"


# --- how many hits -------------------------------------------------------------------------------
@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("k", [1, 10, 64, 255, 599, 600, 601, 10_000])
def test_k_hits_or_all_there_are(mixed, effort, k):
    n_live = len(mixed)
    assert n_live == 600
    for query in QUERIES[1:5:3]:
        hits = mixed.search(query, k=k, effort=effort)
        ids = [hit.id for hit in hits]
        assert len(ids) == len(set(ids)) == min(k, n_live)
        assert not any(i % STEP_OF_DEAD == 0 for i in ids)
        assert [hit.rank for hit in hits] == list(range(1, len(ids) + 1))
        scores = [hit.score for hit in hits]
        assert np.isfinite(scores).all()
        assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("effort", EFFORTS)
def test_k_passages_or_all_there_are(mixed, effort):
    n_live = mixed.info()["n_passages"]
    for k in (1, 100, n_live, n_live + 1):
        hits = mixed.search(QUERIES[2], k=k, effort=effort, by="passage")
        assert len({(hit.id, hit.passage) for hit in hits}) == len(hits) == min(k, n_live)


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("n_allowed", [1, 2, 5, 80, 300])
def test_all_allowed_documents_are_found_however_far_from_the_query(mixed, effort, n_allowed):
    """Also those whose leaves are not probed, and those without a token."""
    live = list(mixed.ids())
    allowed = random.Random(n_allowed).sample(live, n_allowed)
    if n_allowed > 1:
        allowed[:2] = [53, 603]  # without tokens: one settled, one fresh
    for query in QUERIES[::2]:
        hits = mixed.search(query, k=n_allowed, effort=effort, ids=allowed)
        assert {hit.id for hit in hits} == set(allowed)
        fewer = mixed.search(query, k=3, effort=effort, ids=allowed)
        assert len(fewer) == min(3, len(set(allowed)))
        assert {hit.id for hit in fewer} <= set(allowed)


@pytest.mark.parametrize("effort", EFFORTS)
def test_allowed_documents_are_found_where_no_probe_leads_to_them(new_collection, effort):
    """Two worlds of tokens: the query lives in one, all that is allowed in the other."""
    notes = new_collection(model=None, dim=storing.DIM, settle="manual")
    here = [storing.matrix(i, 10)[0] + np.eye(storing.DIM, dtype=np.float32)[0] for i in range(300)]
    notes.add(({"id": i} for i in range(600)), embeddings=[*here, *(-rows for rows in here)])
    notes.settle()
    query = here[7][:2]
    there = list(range(300, 600))
    expected = [hit.id for hit in notes.search(embeddings=query, k=300, ids=there)]
    hits = notes.search(embeddings=query, k=20, ids=there, effort=effort)
    assert len(hits) == 20
    assert {hit.id for hit in hits} <= set(there)
    (many,) = notes.search_many(embeddings=[query], k=20, ids=there, effort=effort)
    assert plain(many) == plain(hits)
    if effort == "exhaustive":
        assert [hit.id for hit in hits] == expected[:20]


def test_a_filter_holds_for_each_of_many_queries(mixed):
    few = [1, 53, 200, 603, 699]
    for by in ("document", "passage"):
        together = mixed.search_many(QUERIES, k=50, ids=few, by=by)
        for query, hits in zip(QUERIES, together, strict=True):
            assert {hit.id for hit in hits} == set(few)
            assert plain(hits) == plain(mixed.search(query, k=50, ids=few, by=by))


@pytest.mark.parametrize("effort", EFFORTS[:3])
def test_an_effort_finds_nearly_what_the_exhaustive_finds(mixed, effort):
    shares = []
    for query in QUERIES:
        exact = {hit.id for hit in mixed.search(query, k=10, effort="exhaustive")}
        shares.append(len(exact & {hit.id for hit in mixed.search(query, k=10, effort=effort)}))
    assert sum(shares) >= 0.9 * 10 * len(QUERIES)


# --- many threads --------------------------------------------------------------------------------
def test_thirty_two_threads_on_one_collection(mixed):
    asked = [
        (query, k, effort, by)
        for query in QUERIES
        for k in (1, 12)
        for effort in EFFORTS
        for by in ("document", "passage")
    ]

    def ask(one):
        query, k, effort, by = one
        return plain(mixed.search(query, k=k, effort=effort, by=by))

    expected = [ask(one) for one in asked]
    again = asked * 4
    random.Random(0).shuffle(again)
    with ThreadPoolExecutor(32) as threads:
        found = list(threads.map(ask, again))
    answers = dict(zip(asked, expected, strict=True))
    assert all(hits == answers[one] for one, hits in zip(again, found, strict=True))


def test_readers_see_one_commit_or_the_next_while_another_writes(new_collection):
    notes = new_collection()
    notes.add([{"id": i, "text": "counted once"} for i in range(4)])
    wrong: list[list[int]] = []

    def read(_: int) -> None:
        ids = sorted(hit.id for hit in notes.search("counted", k=100, effort="exhaustive"))
        if len(ids) % 4 or ids != list(range(len(ids))):
            wrong.append(ids)

    with ThreadPoolExecutor(8) as threads:
        reads = [threads.submit(read, i) for i in range(200)]
        for first in range(4, 40, 4):
            notes.add([{"id": i, "text": "counted once"} for i in range(first, first + 4)])
        for one in reads:
            one.result()
    assert wrong == []
    assert len(notes) == 40


# --- fresh beside settled ------------------------------------------------------------------------
@pytest.fixture(scope="module")
def encoded(encoder):
    """Documents and queries of real text, encoded once."""
    texts = [str(document(i)["text"]) for i in range(300) if i % 50 != 3]
    return list(encoder.documents(texts)), encoder.encode_query(QUERIES)


# What the mean score of a settled document may differ from that of the same document, fresh: on
# average over documents and queries, and for any one of them.
@pytest.mark.parametrize(
    ("bits", "bias", "spread"), [(4, 0.002, 0.03), (2, 0.005, 0.08), (1, 0.012, 0.13)]
)
def test_the_same_document_scores_alike_fresh_and_settled(tmp_path, encoded, bits, bias, spread):
    documents, queries = encoded
    n = len(documents)
    with interlace.create(
        tmp_path / "twice.lace", model=None, dim=documents[0].matrix.shape[1], bits=bits,
        settle="manual",
    ) as notes:  # fmt: skip
        for kind in ("settled", "fresh"):
            notes.add(
                ({"id": f"{kind} {i}"} for i in range(n)),
                embeddings=(one.matrix for one in documents),
                token_ids=(one.token_ids for one in documents),
            )
            if kind == "settled":
                notes.settle()
        info = notes.info()
        assert info["n_settled_tokens"] == info["n_fresh_tokens"]
        differences, n_settled_on_top = [], 0
        for query in queries:
            hits = notes.search(embeddings=query, k=2 * n, effort="exhaustive")
            scores = {hit.id: hit.mean_score for hit in hits}
            differences += [scores[f"settled {i}"] - scores[f"fresh {i}"] for i in range(n)]
            n_settled_on_top += sum(hit.id.startswith("settled") for hit in hits[:100])
    assert abs(np.mean(differences)) < bias
    assert np.abs(differences).max() < spread
    assert 0.4 < n_settled_on_top / (100 * len(queries)) < 0.6


# --- an independent oracle -----------------------------------------------------------------------
def agree(hits, expected: list[tuple[int, float]], tolerance: float) -> None:
    """Scores within the tolerance, and an order that is right but for pairs closer than that."""
    by_oracle = dict(expected)
    assert len(hits) == len(expected)
    for hit in hits:
        assert hit.score == pytest.approx(by_oracle[hit.id], abs=tolerance)
    lowest_so_far = np.inf
    for hit in hits:
        assert by_oracle[hit.id] <= lowest_so_far + 2 * tolerance
        lowest_so_far = min(lowest_so_far, by_oracle[hit.id])


def test_a_fresh_search_of_text_ranks_as_the_oracle(new_collection, encoder):
    notes = new_collection(passage_tokens=8, settle="manual")
    notes.add(map(document, range(120)))
    pieces: list[list[np.ndarray]] = [[] for _ in range(120)]
    for row in notes._store.snapshot().passages(range(notes.info()["n_passages"])):
        pieces[row.id] += encoder.encode_document([row.text])
    for query in QUERIES:
        (matrix,) = encoder.encode_query([query])
        expected = oracle.search(matrix, pieces, 120)
        hits = notes.search(query, k=120, mode="late", effort="exhaustive")
        agree(hits, expected, 0.01 * len(matrix))
        # Where the best stands out by more than int8 can blur, it is the same one.
        if expected[0][1] - expected[1][1] > 0.02 * len(matrix):
            assert hits[0].id == expected[0][0]


@pytest.mark.parametrize("dim", [1, 3, 32, 127])
def test_a_fresh_search_of_embeddings_ranks_as_the_oracle(new_collection, dim):
    rng = np.random.default_rng(dim)
    documents = [rng.standard_normal((rng.integers(0, 30), dim)) * 10 for _ in range(100)]
    notes = new_collection(model=None, dim=dim, settle="manual")
    notes.add(({"id": i} for i in range(100)), embeddings=documents)
    for q_tokens in (1, 2, 31, 200):
        query = rng.standard_normal((q_tokens, dim))
        expected = oracle.search(query, [[one] for one in documents], 100)
        hits = notes.search(embeddings=query, k=100, effort="exhaustive")
        agree(hits, expected, 0.012 * q_tokens)

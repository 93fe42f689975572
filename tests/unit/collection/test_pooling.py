"""Token pooling: fewer rows a passage, wherever it comes from, and the same each time."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import interlace
from interlace.collection.pooling import Pooling
from interlace.errors import Corrupt, MissingExtra, SettingsError
from interlace.types import Encoded

pytest.importorskip("scipy")

GOLDEN = Path(__file__).parents[2] / "golden" / "pooling"

TEXTS = [
    "Rayleigh scattering of sunlight by the molecules of the air makes the daytime sky look blue, "
    "and the sun near the horizon red.",
    "The kettle on the stove whistles when the water in it boils, as the cook in the kitchen knows "
    "well, who takes it off at once.",
    "An anchor of iron keeps the ship where it is, whatever the wind and the waves may want.",
    "blue",
]


def rows(n: int, dim: int = 16, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    made = random.standard_normal((n // 3 + 1, dim))[random.integers(n // 3 + 1, size=n)]
    made += random.standard_normal((n, dim)) / 2
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def told(collection: interlace.Collection, query: str = "why is the sky blue") -> list:
    return [(hit.id, hit.text, hit.score) for hit in collection.search(query, mode="late")]


@pytest.fixture
def pooled(tmp_path, encoder):
    """Four texts, two tokens to one."""
    with interlace.create(tmp_path / "pooled.lace", encoder, pool_factor=2) as made:
        made.add(TEXTS)
        yield made


# --- the clusters --------------------------------------------------------------------------------
@pytest.mark.parametrize("package", ["sentence-transformers", "pylate"])
def test_rows_are_those_of_the_packages(package):
    with np.load(GOLDEN / "matrices.npz") as file:
        matrices = dict(file)
    with np.load(GOLDEN / f"{package}.npz") as file:
        expected = dict(file)
    assert len(expected) == 24
    for name, theirs in expected.items():
        matrix, factor = name.split("/")
        ours = Pooling(factor=int(factor)).pooled(Encoded(matrices[matrix])).matrix
        theirs = theirs / np.linalg.norm(theirs, axis=1, keepdims=True)
        order = (theirs @ ours.T).argmax(axis=1)  # theirs come in the order of the tree
        assert sorted(order) == list(range(len(ours)))
        np.testing.assert_allclose(theirs, ours[order], atol=1e-6)


def test_so_many_become_one_and_the_first_is_kept():
    matrix = rows(61)
    for factor in range(2, 7):
        made = Pooling(factor=factor).pooled(Encoded(matrix, np.arange(61, dtype=np.int32)))
        assert len(made.matrix) == 1 + 60 // factor
        assert made.token_ids is None
        np.testing.assert_allclose(made.matrix[0], matrix[0], atol=1e-7)
        np.testing.assert_allclose(np.linalg.norm(made.matrix, axis=1), 1, atol=1e-6)
    assert len(Pooling(factor=2, protected=0).pooled(Encoded(matrix)).matrix) == 30
    assert len(Pooling(factor=2, protected=11).pooled(Encoded(matrix)).matrix) == 11 + 25
    assert len(Pooling(factor=2, protected=99).pooled(Encoded(matrix)).matrix) == 61


def test_at_most_so_many_however_long():
    for n in (1, 7, 8, 9, 300):
        assert len(Pooling(tokens_max=8).pooled(Encoded(rows(n))).matrix) == min(n, 8)
    assert len(Pooling(tokens_max=8, factor=2).pooled(Encoded(rows(11))).matrix) == 1 + 5
    assert len(Pooling(tokens_max=2).pooled(Encoded(rows(50))).matrix) == 2


def test_what_is_not_pooled_keeps_its_token_types():
    short = Encoded(rows(8), np.arange(8, dtype=np.int32))
    assert Pooling(tokens_max=8).pooled(short) is short
    assert Pooling().pooled(short) is short
    nothing = Encoded(np.empty((0, 16), np.float32))
    assert Pooling(factor=6).pooled(nothing) is nothing


def test_a_long_passage_is_pooled_in_pieces():
    matrix = rows(5_000)
    assert len(Pooling(factor=2).pooled(Encoded(matrix)).matrix) == pytest.approx(2_500, abs=20)
    for most in (2, 3, 4, 5, 33):
        assert len(Pooling(tokens_max=most).pooled(Encoded(matrix)).matrix) == most
    groups = Pooling(factor=3).groups(matrix)
    assert sorted(set(groups.tolist())) == list(range(int(groups.max()) + 1))


def test_rows_against_each_other_leave_the_first():
    one = np.array([[1, 0], [-1, 0], [1, 0], [-1, 0]], np.float32)
    made = Pooling(tokens_max=1, protected=0).pooled(Encoded(one)).matrix
    np.testing.assert_array_equal(made, [[1, 0]])


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"pool_factor": 0}, "pool_factor"),
        ({"pool_factor": 7}, "pool_factor"),
        ({"pool_factor": 2.0}, "pool_factor"),
        ({"pool_factor": True}, "pool_factor"),
        ({"pool_tokens": 1}, "pool_tokens"),
        ({"pool_tokens": "32"}, "pool_tokens"),
        ({"pool_tokens": 4, "protected_tokens": 4}, "pool_tokens"),
        ({"protected_tokens": -1}, "protected_tokens"),
    ],
)
def test_numbers_out_of_range_are_refused(tmp_path, pooled, options, name):
    with pytest.raises(SettingsError, match=f"^{name} is "):
        interlace.create(tmp_path / "x.lace", None, dim=8, **options)
    assert not (tmp_path / "x.lace").exists()
    with pytest.raises(SettingsError, match=f"^{name} is "):
        pooled.rebuild(**options)


def test_without_scipy_the_extra_is_named(tmp_path, encoder, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.cluster.hierarchy", None)
    with pytest.raises(MissingExtra, match=r"interlace\[pool\]"):
        interlace.create(tmp_path / "x.lace", encoder, pool_factor=2)
    assert not (tmp_path / "x.lace").exists()


# --- a collection --------------------------------------------------------------------------------
def test_a_collection_stores_what_is_left(pooled, notes, encoder):
    notes.add(TEXTS)
    pooling = Pooling(factor=2)
    expected = [pooling.pooled(one).matrix for one in encoder.documents(TEXTS)]
    info = pooled.info()
    assert info["n_tokens"] == sum(map(len, expected)) < notes.info()["n_tokens"]
    assert (info["pool_factor"], info["pool_tokens"], info["protected_tokens"]) == (2, None, 1)
    (query,) = encoder.encode_query(["why is the sky blue"])
    scores = interlace.maxsim(query, expected)
    hits = pooled.search("why is the sky blue", mode="late")
    by_text = dict(zip(TEXTS, scores.tolist(), strict=True))
    for hit in hits:
        assert hit.score == pytest.approx(by_text[hit.text], abs=0.01 * len(query))


def test_it_stays_pooled_when_it_is_opened_again(pooled, tmp_path, encoder):
    before = told(pooled)
    pooled.close()
    with interlace.open(tmp_path / "pooled.lace", encoder) as again:
        assert told(again) == before
        assert again.add(TEXTS).unchanged == len(TEXTS)
        again.delete([hit[0] for hit in before])
        again.add(TEXTS)
        assert told(again) == before


def test_files_that_are_followed_are_pooled(tmp_path, encoder):
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.txt").write_text(TEXTS[0])
    with interlace.create(tmp_path / "x.lace", encoder, pool_tokens=8) as made:
        made.index(folder)
        assert made.info()["n_tokens"] == 8
        (folder / "b.txt").write_text(TEXTS[1])
        made.update()
        assert made.info()["n_tokens"] == 16


def test_embeddings_that_are_passed_are_pooled(tmp_path):
    matrices = [rows(40, seed=1), rows(3, seed=2)]
    ids = [np.arange(40), np.arange(3)]
    records = [{"id": "long", "text": ""}, {"id": "short", "text": ""}]
    with interlace.create(tmp_path / "x.lace", None, dim=16, pool_factor=4) as made:
        made.add(records, embeddings=matrices, token_ids=ids)
        assert made.info()["n_tokens"] == (1 + 39 // 4) + (1 + 1)
        assert made.add(records, embeddings=matrices, token_ids=ids).unchanged == 2
        with made.writer() as changes:
            changes.add([{"id": "more", "text": ""}], embeddings=[rows(9, seed=3)])
        assert made.info()["n_tokens"] == 12 + 3
        made.rebuild(embeddings={"long": rows(40), "short": rows(3), "more": rows(9)})
        assert made.info()["n_tokens"] == 15
        made.rebuild(
            pool_factor=1, embeddings={"long": rows(40), "short": rows(3), "more": rows(9)}
        )
        assert made.info()["n_tokens"] == 52


def test_a_rebuild_pools_otherwise_or_not_at_all(pooled, notes):
    notes.add(TEXTS)
    before, whole = told(pooled), notes.info()["n_tokens"]
    pooled.rebuild(bits=2)
    assert pooled.info()["pool_factor"] == 2
    pooled.rebuild(protected_tokens=0)
    assert (pooled.info()["pool_factor"], pooled.info()["protected_tokens"]) == (2, 0)
    pooled.rebuild(pool_tokens=6, protected_tokens=1)
    assert pooled.info()["n_tokens"] <= 24
    assert pooled.info()["pool_factor"] == 1
    pooled.add(["The sea is deep, and blue where the sky is, say those who have been there."])
    assert pooled.info()["n_tokens"] <= 30
    pooled.delete([hit.id for hit in pooled.search("sea", k=1)])
    pooled.rebuild(pool_factor=1)
    pooled.compact()
    assert pooled.info()["n_tokens"] == whole
    notes.rebuild(pool_factor=2)
    assert told(notes) == before
    assert notes.verify().ok


def test_settled_pooled_passages_are_found(tmp_path, encoder):
    many = [f"{TEXTS[i % 3]} That is number {i}." for i in range(300)]
    with interlace.create(tmp_path / "x.lace", encoder, pool_factor=3, settle="manual") as made:
        made.add([{"id": i, "text": text} for i, text in enumerate(many)])
        fresh = {hit.id: hit.score for hit in made.search("number 17", k=300, mode="late")}
        made.settle()
        assert made.info()["n_fresh_tokens"] == 0
        for hit in made.search("number 17", k=5, mode="late", effort="exhaustive"):
            assert hit.mean_score == pytest.approx(
                fresh[hit.id] / (hit.score / hit.mean_score), abs=0.05
            )
        assert made.verify().ok


def test_an_explanation_names_the_nearest_token_of_the_row_that_answers(pooled):
    for hit in pooled.search("Why does the sky look blue?", mode="late"):
        told = pooled.explain("Why does the sky look blue?", hit)
        assert sum(match.similarity for match in told.matches) == pytest.approx(hit.score, abs=1e-4)
        for match in told.matches:
            assert hit.text[match.start : match.end] == match.text
    (best,) = pooled.search("Why does the sky look blue?", k=1, mode="late")
    named = {match.query_text: match.text for match in pooled.explain("sky blue", best).matches}
    assert named["sky"] == "sky"
    assert named["blue"] == "blue"


def test_an_export_says_how_it_was_pooled(pooled, tmp_path, encoder):
    path = tmp_path / "x.jsonl"
    pooled.export(path, embeddings=True)
    with interlace.create(tmp_path / "alike.lace", encoder, pool_factor=2) as alike:
        alike.import_(path)
        assert alike.info()["n_tokens"] == pooled.info()["n_tokens"]
        assert [text for _, text, _ in told(alike)] == [text for _, text, _ in told(pooled)]
    with interlace.create(tmp_path / "whole.lace", encoder) as whole:
        with pytest.warns(UserWarning, match="encoded with the collection's"):
            whole.import_(path)
        assert whole.info()["n_tokens"] > pooled.info()["n_tokens"]


def test_settings_that_make_no_sense_are_corrupt(tmp_path):
    made = interlace.create(tmp_path / "x.lace", None, dim=8)
    made.close()
    import sqlite3

    with sqlite3.connect(tmp_path / "x.lace" / "catalog.sqlite") as catalog:
        catalog.execute(
            "UPDATE settings SET value = replace(value, '\"factor\": 1', '\"factor\": 9')"
        )
        assert catalog.total_changes == 1
    catalog.close()
    with interlace.open(tmp_path / "x.lace") as again, pytest.raises(Corrupt, match="pooled"):
        again.info()

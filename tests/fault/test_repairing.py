"""Damaged files made again from the texts."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import interlace
from interlace import store
from interlace.errors import Corrupt, ModelMismatch, NotACollection
from interlace.types import Hits

DIM = 16


class Words:
    """A model: a direction for each word."""

    def __init__(self, salt: str = "") -> None:
        self.salt, self.n_texts = salt, 0

    def encode_query(self, texts):
        return [np.stack([self.direction(word) for word in text.split()]) for text in texts]

    def encode_document(self, texts):
        self.n_texts += len(texts)
        return self.encode_query(texts)

    def direction(self, word: str) -> np.ndarray:
        seed = int.from_bytes(hashlib.sha256((self.salt + word).encode()).digest()[:4], "little")
        row = np.random.default_rng(seed).normal(size=DIM).astype(np.float32)
        return row / np.linalg.norm(row)


def records(first: int, last: int) -> list[dict]:
    return [
        {
            "id": i,
            "text": f"text number {i} of {last} things {i % 7} {i % 11}",
            "metadata": {"n": i},
        }
        for i in range(first, last)
    ]


def make(path: Path, *, own: tuple[int, ...] = ()) -> None:
    """Documents 0 to 39 and 40 to 79 in a settled segment each, 80 to 99, 100 to 119 fresh."""
    with interlace.create(path, model=Words(), settle="manual") as made:
        for first in (0, 40):
            made.add(records(first, first + 40))
            made.settle()
        for first in (80, 100):
            made.add(records(first, first + 20))
        for id_ in own:
            rows = np.random.default_rng(id_).normal(size=(5, DIM))
            made.add([{"id": id_, "text": "own"}], embeddings=[rows])
        made.delete([7, 85])


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("good") / "notes.lace"
    make(path)
    return path


@pytest.fixture
def folder(good, tmp_path) -> Path:
    return shutil.copytree(good, tmp_path / "notes.lace")


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def all_hits(opened: interlace.Collection) -> dict:
    hits: Hits = opened.search("number 3 of things", mode="late", k=500, effort="exhaustive")
    return {hit.id: (hit.score, hit.text, dict(hit.metadata)) for hit in hits}


def owner(opened: interlace.Collection, id_: int) -> Path:
    snapshot = opened._store.snapshot()
    (row,) = snapshot.rows_of([id_]).tolist()
    at = int(np.searchsorted(snapshot._bases, row, side="right")) - 1
    return snapshot.opened[at].path


def listing(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.glob("*/**/*") if path.is_file()}


@pytest.mark.parametrize("how", ["flipped", "gone", "truncated"])
@pytest.mark.parametrize(("id_", "remade"), [(3, range(40)), (110, range(100, 120))])
def test_a_segment(folder, how, id_, remade):
    with interlace.open(folder, model=Words()) as opened:
        before, path = all_hits(opened), owner(opened, id_)
    if how == "flipped":
        damage(path)
    elif how == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:100])
    model = Words()
    with interlace.open(folder, model=model, damaged="skip", settle="manual") as opened:
        n_before, told = model.n_texts, []
        report = opened.repair(progress=lambda *heard: told.append(heard))
        remade = sorted(set(remade) - {7})
        assert (report.n_files, report.n_passages) == (1, len(remade))
        assert (report.n_lost, report.n_dropped, report.problems) == (0, 0, ())
        assert model.n_texts - n_before == len(remade)
        assert ("encode", len(remade), len(remade)) in told
        assert opened.verify().ok
        after = all_hits(opened)
        assert set(after) == set(before)
        for one, (score, *rest) in before.items():
            assert after[one][1:] == tuple(rest)
            if one not in remade:
                assert after[one][0] == score
            else:
                assert after[one][0] == pytest.approx(score, abs=0.35)
        assert opened.search("number 3", k=500).notes == ()
        assert opened.repair() == store.RepairReport()
    assert path.name not in {Path(name).name for name in listing(folder)}
    with interlace.open(folder, model=Words()) as opened:
        assert all_hits(opened) == after


def test_several_at_once_and_writers_meanwhile(folder):
    with interlace.open(folder, model=Words()) as opened:
        before = all_hits(opened)
        paths = [owner(opened, id_) for id_ in (3, 50, 110)]
    for path in paths:
        damage(path)

    class Busy(Words):
        def encode_document(self, texts):
            if self.n_texts == 1:  # the first is the probe that a model is known by
                with interlace.open(
                    folder, model=Words(), damaged="skip", settle="manual"
                ) as other:
                    other.delete([50, 110])
                    other.add([{"id": "new", "text": "text number 3 of things"}])
            return super().encode_document(texts)

    with interlace.open(folder, model=Busy(), damaged="skip", settle="manual") as opened:
        report = opened.repair()
        assert (report.n_files, report.n_passages, report.problems) == (3, 99, ())
        assert opened.verify().ok
        assert set(all_hits(opened)) == set(before) - {50, 110} | {"new"}
        opened.settle()
        opened.compact()
        assert opened.verify().ok
        assert set(all_hits(opened)) == set(before) - {50, 110} | {"new"}


@pytest.mark.parametrize("reading", [False, True])
def test_the_codec(folder, reading):
    """What is settled is encoded again; the codec that is trained then may be the same."""
    with interlace.open(folder, model=Words()) as opened:
        before = all_hits(opened)
        held = opened._store.snapshot() if reading else None
        (path, *_) = sorted(folder.glob("codec/*/*"))
        damage(path)
        assert not opened.verify().ok
        with interlace.open(folder, model=Words(), damaged="skip", settle="manual") as other:
            report = other.repair()
            assert (report.n_passages, report.problems) == (79, ())
            assert other.verify().ok
            assert other.info()["generation"] is None
            after = all_hits(other)
            assert set(after) == set(before)
            assert {one: after[one] for one in range(86, 120)} == {
                one: before[one] for one in range(86, 120)
            }
            other.settle()
            assert other.verify().ok
            assert set(all_hits(other)) == set(before)
        if held is not None:
            assert len(store.search(held, Words().encode_query(["number 3"])[0], 500).rows) == 118


def test_much_is_written_settled(folder, monkeypatch):
    with interlace.open(folder, model=Words()) as opened:
        before, path = all_hits(opened), owner(opened, 3)
        settings = opened._store.settings
    object.__setattr__(settings, "fresh_budget_tokens", 50)
    with closing(sqlite3.connect(folder / "catalog.sqlite")) as connection, connection:
        connection.execute("UPDATE settings SET value = ?", (settings.to_json(),))
    path.unlink()
    with interlace.open(folder, model=Words(), damaged="skip", settle="manual") as opened:
        n_fresh = opened.info()["n_fresh_tokens"]
        assert opened.repair().ok
        assert opened.info()["n_fresh_tokens"] == n_fresh
        assert opened.verify().ok
        after = all_hits(opened)
        assert set(after) == set(before)
        for id_, (score, *rest) in after.items():  # the codec may have grown for what is coded anew
            assert score == pytest.approx(before[id_][0], abs=0 if id_ >= 80 else 0.04)
            assert tuple(rest) == before[id_][1:]


def test_embeddings_that_came_with_a_document_are_lost(tmp_path):
    folder = tmp_path / "notes.lace"
    make(folder, own=(500, 501))
    with interlace.open(folder, model=Words()) as opened:
        paths = [owner(opened, 500), owner(opened, 3)]
    paths[0].unlink()
    damage(paths[1])
    before = listing(folder)
    with interlace.open(folder, model=Words(), damaged="skip", settle="manual") as opened:
        report = opened.repair()
        assert (report.n_lost, report.lost, report.n_dropped, report.n_files) == (1, (500,), 0, 0)
        assert len(report.problems) == 2
        assert not opened.verify().ok
        assert listing(folder) >= before - {f"readers/{n}" for n in range(20)}
        report = opened.repair(drop_lost=True)
        assert (report.lost, report.n_dropped, report.problems) == ((500,), 1, ())
        assert opened.verify().ok
        assert 500 not in opened
        assert 501 in opened
        assert len(all_hits(opened)) == 119 == len(opened)


def test_without_a_model_all_is_lost(tmp_path):
    folder = tmp_path / "own.lace"
    rows = [np.random.default_rng(i).normal(size=(6, DIM)) for i in range(8)]
    with interlace.create(folder, model=None, dim=DIM) as made:
        for i in range(8):
            made.add([{"id": f"d{i}", "text": "…"}], embeddings=[rows[i]])
        path = owner(made, "d3")
    path.unlink()
    with interlace.open(folder, damaged="skip") as opened:
        assert opened.repair().lost == ("d3",)
        assert len(opened.search(embeddings=rows[0], k=9)) == 7
        assert opened.repair(drop_lost=True).n_dropped == 1
        assert opened.verify().ok
        assert sorted(opened.ids()) == ["d0", "d1", "d2", "d4", "d5", "d6", "d7"]


def change(folder: Path, sql: str) -> None:
    with closing(sqlite3.connect(folder / "catalog.sqlite")) as connection, connection:
        connection.execute(sql)


@pytest.mark.parametrize(
    ("sql", "lost"),
    [
        ("DELETE FROM texts WHERE document = 3", (3,)),
        ("DELETE FROM metadata WHERE document = 3", (3,)),
        ("UPDATE texts SET text = 'short' WHERE document = 3", (3,)),
        ("UPDATE passages SET start = -1 WHERE document = 3", (3,)),
        ('UPDATE passages SET "end" = 1 << 62 WHERE document = 3', (3,)),
        ("DELETE FROM documents WHERE number = 3", ()),
    ],
)
def test_rows_that_are_gone(folder, sql, lost):
    change(folder, sql)
    with interlace.open(folder, model=Words(), damaged="skip") as opened:
        assert not opened.verify().ok
        report = opened.repair()
        assert report.lost == lost
        assert not report.ok
        assert opened.repair(drop_lost=True).ok
        assert opened.verify().ok
        assert len(opened) == 117 == len(all_hits(opened))
        assert opened.add([{"id": 3, "text": "three"}]).added == 1


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE commits SET n_documents = 5",
        "UPDATE commits SET n_passages = 5",
        "UPDATE commits SET next_passage = 5",
        "DELETE FROM words WHERE word > 'n'",
        "UPDATE words SET passages = x'00'",
        "DELETE FROM field_values WHERE document % 3 = 0",
        "UPDATE field_values SET value = 5",
        "DELETE FROM segments WHERE kind = 'fresh'",
        "UPDATE segments SET name = 'a' || char(0) || name WHERE kind = 'settled'",
        "UPDATE segments SET n_passages = n_passages + 1",
    ],
)
def test_what_the_rows_tell_again(folder, sql):
    with interlace.open(folder, model=Words()) as opened:
        before = set(all_hits(opened))
    change(folder, sql)
    with interlace.open(folder, model=Words(), damaged="skip") as opened:
        assert not opened.verify().ok
        report = opened.repair()
        assert (report.problems, report.n_lost) == ((), 0)
        assert opened.verify().ok
        assert set(all_hits(opened)) == before


def test_an_index_that_disagrees_with_its_table(folder):
    path = folder / "catalog.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        (page,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'documents_by_id'"
        ).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    content = bytearray(path.read_bytes())
    begin = (page - 1) * size
    n_cells = int.from_bytes(content[begin + 3 : begin + 5], "big")
    content[begin + 3 : begin + 5] = (n_cells - 1).to_bytes(2, "big")  # as if one were not there
    path.write_bytes(content)
    with interlace.open(folder, model=Words(), damaged="skip") as opened:
        assert not opened.verify().ok
        report = opened.repair()
        assert report.mended
        assert report.ok
        assert opened.verify().ok


def test_interrupted_it_changes_nothing(folder):
    with interlace.open(folder, model=Words()) as opened:
        path = owner(opened, 3)
    damage(path)
    before = listing(folder)

    class Failing(Words):
        def encode_document(self, texts):
            if self.n_texts > 10:
                raise KeyboardInterrupt
            return super().encode_document(texts)

    with interlace.open(folder, model=Failing(), damaged="skip", settle="manual") as opened:
        commit = opened.info()["commit"]
        with pytest.raises(KeyboardInterrupt):
            opened.repair()
        assert opened.info()["commit"] == commit
        assert {n for n in listing(folder) if "seg" in n} == {n for n in before if "seg" in n}
    with interlace.open(folder, model=Words(), damaged="skip") as opened:
        assert opened.repair().ok


def test_another_model_is_refused(folder):
    with interlace.open(folder, model=Words()) as opened:
        path = owner(opened, 3)
    damage(path)
    with (
        interlace.open(folder, model=Words("other"), damaged="skip") as opened,
        pytest.raises(ModelMismatch),
    ):
        opened.repair()


def test_sound_files_are_not_written(folder):
    with interlace.open(folder, model=Words()) as opened:
        path = owner(opened, 110)
    before = {name: (folder / name).stat().st_mtime_ns for name in listing(folder)}
    path.unlink()
    with interlace.open(folder, model=Words(), damaged="skip") as opened:
        assert opened.repair().n_files == 1
    for name in listing(folder) & set(before):
        if name.startswith(("segments", "codec")):
            assert (folder / name).stat().st_mtime_ns == before[name]


def test_a_catalog_that_cannot_be_read(folder):
    (folder / "catalog.sqlite").write_bytes(b"\0" * 9999)
    with pytest.raises((Corrupt, NotACollection)):
        interlace.open(folder, damaged="skip")


@pytest.mark.parametrize("mode", ["late", "lexical", "hybrid"])
def test_every_mode_goes_on_without_a_segment(folder, mode):
    with interlace.open(folder, model=Words()) as opened:
        owner(opened, 3).unlink()
    with interlace.open(folder, model=Words(), damaged="skip") as opened:
        hits = opened.search("number 50 things", k=500, mode=mode, where={"n": {"$lt": 60}})
        assert {hit.id for hit in hits} <= set(range(40, 60))
        assert 50 in {hit.id for hit in hits}
        assert "39 of 118 passages are left out" in hits.notes[-1]
        assert opened.repair().ok
        hits = opened.search("number 30 things", k=500, mode=mode, where={"n": {"$lt": 60}})
        assert hits.notes == ()
        assert 30 in {hit.id for hit in hits}


def test_what_dies_while_a_segment_is_repaired_stays_dead(folder, monkeypatch):
    """A store that goes on without the segment must not forget what is dead in it."""
    monkeypatch.setattr("interlace.store.tombstones._FORGOTTEN_MAX", 0)
    with interlace.open(folder) as opened:
        path = owner(opened, 3)
    path.unlink()

    class Slow(Words):
        """While it encodes for the first time after the opening, others delete."""

        is_repairing = False

        def encode_document(self, texts):
            if self.is_repairing:
                self.is_repairing = False
                opened.delete(range(10))
                all_hits(opened)
            return super().encode_document(texts)

    model = Slow()
    with interlace.open(folder, model=model, damaged="skip") as opened:
        model.is_repairing = True
        opened.repair()
        assert not model.is_repairing
        assert sorted(all_hits(opened)) == [i for i in range(10, 120) if i != 85]
        assert opened.verify().ok
        opened.compact()
        assert sorted(all_hits(opened)) == [i for i in range(10, 120) if i != 85]
    with interlace.open(folder, model=model) as opened:
        assert sorted(all_hits(opened)) == [i for i in range(10, 120) if i != 85]

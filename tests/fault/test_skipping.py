"""A collection with a damaged file, opened to go on without it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import interlace
from interlace.errors import Corrupt, SettingsError

DIM = 16
N = 120


def matrix(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(8, DIM)).astype(np.float32)


def records(first: int, last: int) -> list[dict]:
    return [{"id": i, "text": f"the text of {i}", "metadata": {"n": i}} for i in range(first, last)]


def add(collection: interlace.Collection, first: int, last: int) -> None:
    embeddings = [matrix(i) for i in range(first, last)]
    collection.add(records(first, last), embeddings=embeddings)


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    """Documents 0 to 39 and 40 to 79 in a settled segment each, 80 to 99, 100 to 119 fresh."""
    path = tmp_path_factory.mktemp("good") / "notes.lace"
    with interlace.create(path, model=None, dim=DIM, settle="manual") as made:
        for first in (0, 40):
            add(made, first, first + 40)
            made.settle()
        for first in (80, 100):
            add(made, first, first + 20)
        made.delete([7, 85])
    return path


@pytest.fixture
def folder(good, tmp_path) -> Path:
    return shutil.copytree(good, tmp_path / "notes.lace")


def holding(folder: Path, id_: int) -> Path:
    """The segment file of a document."""
    with interlace.open(folder, damaged="skip") as opened:
        snapshot = opened._store.snapshot()
        (row,) = snapshot.rows_of([id_]).tolist()
        owner = int(np.searchsorted(snapshot._bases, row, side="right")) - 1
        return snapshot.opened[owner].path


def gone(path: Path) -> None:
    path.unlink()


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def other_header(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[30] ^= 4
    path.write_bytes(content)


def overwrite(path: Path, array: str, at: int, value: np.generic) -> None:
    """Put another value into an array of a file."""
    content = bytearray(path.read_bytes())
    begin = 8 + int.from_bytes(content[:8], "little")
    (start, _) = json.loads(content[8:begin])[array]["data_offsets"]
    start += begin + at * value.itemsize
    content[start : start + value.itemsize] = value.tobytes()
    path.write_bytes(content)


def in_an_array(path: Path) -> None:
    """Offsets that lead anywhere: noticed when the file is loaded."""
    overwrite(path, "offsets", 1, np.int64(-1))


DAMAGE = [gone, truncated, other_header, in_an_array]


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize(("id_", "lost"), [(3, range(40)), (110, range(100, 120))])
def test_a_search_goes_on(folder, damage, id_, lost):
    path = holding(folder, id_)
    damage(path)
    with pytest.raises(Corrupt, match=str(path)):
        interlace.open(folder)
    left = sorted(set(range(N)) - {7, 85} - set(lost))
    with interlace.open(folder, damaged="skip") as opened:
        for effort in ("fast", "exhaustive"):
            hits = opened.search(embeddings=matrix(50), k=500, effort=effort)
            assert sorted(hit.id for hit in hits) == left
            assert hits[0].id == 50
            n_lost = N - 2 - len(left)
            assert hits.notes == opened.search_many(embeddings=[matrix(1)])[0].notes
            assert f"{n_lost} of 118 passages are left out" in hits.notes[0]
            assert str(path) in hits.notes[0]
            assert f"`interlace repair {folder}`" in hits.notes[0]
        assert opened.info()["left_out"] == [str(path)]
        assert len(opened) == 118  # they are there, and only their vectors cannot be read
        assert opened.get([id_])[0].metadata == {"n": id_}
        assert len(opened.search(embeddings=matrix(50), k=5)) == 5
        hits = opened.search(embeddings=matrix(1), ids=[id_, 50])
        assert [hit.id for hit in hits] == [50]
        explained = opened.explain("", hits[0], embeddings=matrix(1))
        assert explained.score == hits[0].score


@pytest.mark.parametrize("damage", DAMAGE[:3])
def test_a_damaged_codec_takes_the_settled_with_it(folder, damage):
    (path, *_) = sorted(folder.glob("codec/*/*"))
    damage(path)
    with pytest.raises(Corrupt, match=str(path)):
        interlace.open(folder)
    with interlace.open(folder, damaged="skip") as opened:
        hits = opened.search(embeddings=matrix(90), k=500, effort="fast")
        assert sorted(hit.id for hit in hits) == sorted(set(range(80, N)) - {85})
        assert hits[0].id == 90
        assert "79 of 118" in hits.notes[0]
        assert opened.info()["left_out"] == [str(path.parent)]


def test_damage_that_a_search_meets(folder):
    path = holding(folder, 110)
    overwrite(path, "scales", 3, np.float32(1e6))
    with interlace.open(folder) as opened, pytest.raises(Corrupt, match=str(path)):
        opened.search(embeddings=matrix(50), k=500)
    with interlace.open(folder, damaged="skip") as opened:
        hits = opened.search(embeddings=matrix(50), k=500)
        assert sorted(hit.id for hit in hits) == sorted(set(range(100)) - {7, 85})
        assert str(path) in hits.notes[0]
        (many,) = opened.search_many(embeddings=[matrix(50)], k=500)
        assert many.hits == hits.hits


def test_numbers_that_lead_to_others_rows(folder):
    """Whose segment is to blame is not said by the row that is missing: checksums tell."""
    path = holding(folder, 110)
    overwrite(path, "passages", 19, np.int64(10**6))
    with interlace.open(folder, damaged="skip") as opened:
        hits = opened.search(embeddings=matrix(119), k=500)
        assert sorted(hit.id for hit in hits) == sorted(set(range(100)) - {7, 85})
        assert opened.info()["left_out"] == [str(path)]


def test_writing_goes_on(folder):
    holding(folder, 3).unlink()
    fresh = holding(folder, 110)
    truncated(fresh)
    with interlace.open(folder, damaged="skip", settle="manual") as opened:
        for i in range(200, 230):  # more fresh segments than are kept unmerged
            add(opened, i, i + 1)
        assert opened.delete([110, 3, 50]) == 3
        hits = opened.search(embeddings=matrix(210), k=500)
        assert hits[0].id == 210
        assert {hit.id for hit in hits}.isdisjoint([110, 3, 50])
        assert len(hits) == len(opened) - 38 - 19
        assert opened.info()["n_fresh_segments"] < 20
        with pytest.raises(Corrupt, match=str(fresh)):
            opened.settle()
        with pytest.raises(Corrupt):
            opened.compact()
        assert len(opened.search(embeddings=matrix(210), k=500)) == len(hits)
        assert not opened.verify().ok


def test_a_word_that_is_none(folder):
    with pytest.raises(SettingsError, match=r"damaged is 'ignore'\. Choose one of raise"):
        interlace.open(folder, damaged="ignore")


def test_a_damaged_catalog_is_told(folder):
    (folder / "catalog.sqlite").write_bytes(b"no database, however long it may be" * 40)
    with pytest.raises((Corrupt, interlace.InterlaceError)):
        interlace.open(folder, damaged="skip")


def test_nothing_is_left_out_of_a_sound_collection(folder):
    with interlace.open(folder, damaged="skip") as opened:
        hits = opened.search(embeddings=matrix(50), k=500)
        assert (len(hits), hits.notes) == (118, ())
        assert opened.info()["left_out"] == []

"""Damaged, foreign, locked, read-only and moved folders."""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing, suppress
from pathlib import Path

import pytest
import storing
from storing import fill, found, record

from interlace import files, store
from interlace.errors import (
    CollectionError,
    Corrupt,
    FormatTooNew,
    FormatTooOld,
    InterlaceError,
    Locked,
    NotACollection,
)

TESTS = str(Path(storing.__file__).parent)


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    """A closed collection with a fresh and a settled segment."""
    folder = tmp_path_factory.mktemp("good") / "notes.lace"
    with store.create(folder, storing.settings()) as opened:
        fill(opened, 0, 80)
        fill(opened, 80, 90)
    return folder


@pytest.fixture
def folder(good, tmp_path) -> Path:
    return shutil.copytree(good, tmp_path / "notes.lace")


def parts(folder: Path) -> dict[str, Path]:
    """The largest file of each kind."""
    paths = sorted((folder / name for name in storing.listing(folder)), key=files.size)
    return {path.suffix[1:]: path for path in paths}


@pytest.mark.parametrize("kind", ["fresh", "settled", "codec"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_truncated(folder, kind, share):
    path = parts(folder)[kind]
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(Corrupt, match=rf"{path}: expected .*{len(content)} bytes, found"):
        store.open(folder)


@pytest.mark.parametrize("kind", ["fresh", "settled", "codec"])
def test_missing(folder, kind):
    path = parts(folder)[kind]
    path.unlink()
    with pytest.raises(Corrupt, match=f"{path}: expected a file"):
        store.open(folder)


@pytest.mark.parametrize("kind", ["fresh", "settled", "codec"])
def test_flipped(folder, kind):
    """In a header it is found by opening, else by verify; searching does not crash."""
    path = parts(folder)[kind]
    content = path.read_bytes()
    header = 0 if kind == "codec" else 8 + int.from_bytes(content[:8], "little")
    positions = random.Random(0).sample(range(len(content)), 60)
    for position in [*range(16), *positions]:
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        if position < header:
            with pytest.raises(Corrupt, match=str(path)):
                store.open(folder)
            continue
        report = store.verify_folder(folder)
        assert len(report.problems) == 1, position
        assert str(path) in report.problems[0]
        with suppress(Corrupt), store.open(folder) as opened:
            for effort in ("fast", "exhaustive"):
                found(opened, record(3), k=5, effort=effort)


def test_verify_names_every_damaged_file(folder):
    for path in parts(folder).values():
        content = path.read_bytes()
        path.write_bytes(content[:-1])
    problems = store.verify_folder(folder).problems
    assert len(problems) == 3
    for path in parts(folder).values():
        assert any(str(path) in problem for problem in problems)


def change(folder: Path, sql: str) -> None:
    with closing(sqlite3.connect(folder / "catalog.sqlite")) as connection, connection:
        connection.execute(sql)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("DELETE FROM texts WHERE document = 3", "has no text"),
        ("DELETE FROM metadata WHERE document = 3", "has no metadata"),
        ("DELETE FROM documents WHERE number = 3", "has no document"),
        ("UPDATE commits SET n_documents = 5", "miscounted"),
    ],
)
def test_verify_compares_rows(folder, sql, message):
    change(folder, sql)
    with store.open(folder) as opened:
        assert any(message in problem for problem in opened.verify().problems)


def test_a_passage_that_no_segment_holds(folder):
    change(folder, "UPDATE segments SET died = 1 WHERE kind = 'fresh'")
    with pytest.raises(Corrupt, match=r"expected 90 live passages, found 80"):
        store.open(folder)


def test_a_passage_without_its_row(folder):
    change(folder, "DELETE FROM passages WHERE number = 3")
    with store.open(folder) as opened:
        with pytest.raises(Corrupt, match="expected number 3"):
            found(opened, record(3))
        assert not opened.verify().ok


@pytest.mark.parametrize("content", [b"not a database, but long enough to look" * 9, b"\0" * 999])
def test_a_damaged_catalog(folder, content):
    (folder / "catalog.sqlite").write_bytes(content)
    with pytest.raises((Corrupt, NotACollection), match=r"catalog|collection"):
        store.open(folder)
    with pytest.raises(CollectionError):
        store.create(folder, storing.settings())


def test_flipped_bytes_in_the_catalog(folder):
    """Whatever page is hit: a typed error, or the page was not needed."""
    path = folder / "catalog.sqlite"
    content = path.read_bytes()
    generator = random.Random(1)
    for _ in range(40):
        damaged = bytearray(content)
        for _ in range(200):
            damaged[generator.randrange(len(damaged))] ^= 0xFF
        path.write_bytes(damaged)
        for leftover in folder.glob("catalog.sqlite-*"):
            leftover.unlink()
        try:
            with store.open(folder) as opened:
                opened.verify()
                list(opened.snapshot().ids())
                found(opened, record(3))
        except InterlaceError as error:
            assert str(folder) in str(error)  # noqa: PT017


def test_another_database(tmp_path):
    tmp_path.joinpath("x").mkdir()
    with closing(sqlite3.connect(tmp_path / "x" / "catalog.sqlite")) as connection, connection:
        connection.execute("CREATE TABLE songs (name)")
    with pytest.raises(NotACollection, match=r"interlace\.create"):
        store.open(tmp_path / "x")


READABLE = f"formats {store.FORMAT} to {store.FORMAT}"


def test_a_newer_format(folder):
    change(folder, "PRAGMA user_version = 99")
    with pytest.raises(FormatTooNew, match=rf"format 99: .*reads {READABLE}.*Upgrade"):
        store.open(folder)


def test_an_older_format(folder):
    change(folder, "PRAGMA user_version = 1")
    with pytest.raises(FormatTooOld, match=rf"format 1: .*reads {READABLE}.*again"):
        store.open(folder)


def test_a_second_writer(folder):
    script = (
        "import sys; from interlace import store\n"
        "with store.open(sys.argv[1]) as opened, opened.write():\n"
        "    print('held', flush=True); sys.stdin.readline()\n"
    )
    with (
        store.open(folder, lock_wait_seconds=0.1) as opened,
        subprocess.Popen(
            [sys.executable, "-c", script, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert process.stdout.readline() == "held\n"
        with pytest.raises(Locked, match=rf"{folder}: process {process.pid} on .* since 20"):
            fill(opened, 200, 201)
        assert found(opened, record(3)) == [3]
        process.kill()
        process.wait()
        fill(opened, 200, 201)
        assert opened.snapshot().contains(200)


def test_a_folder_that_cannot_be_written(folder, monkeypatch):
    monkeypatch.setattr(files, "is_writable", lambda path: False)
    before = sorted(folder.rglob("*"))
    with store.open(folder) as opened:
        assert found(opened, record(3)) == [3]
        assert opened.verify().ok
        assert not opened.refresh()
    assert sorted(folder.rglob("*")) == before


READ_ONLY = """
import os, sys
sys.path.insert(0, sys.argv[2])
import storing
from interlace import store
from interlace.errors import CollectionError
with store.create(sys.argv[3], storing.settings()) as opened:  # loads all code that it needs
    storing.fill(opened, 0, 80)
    storing.found(opened, storing.record(3))
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
with store.open(sys.argv[1]) as opened:
    assert storing.found(opened, storing.record(3)) == [3]
    assert opened.snapshot().documents([4])[4].id == 4
    try:
        storing.fill(opened, 100, 101)
    except CollectionError as error:
        assert "cannot write" in str(error) and sys.argv[1] in str(error), error
        print("refused")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="permissions work otherwise here")
def test_a_folder_of_somebody_else(good):
    """As another user where this one is root, whom permissions do not bind."""
    with tempfile.TemporaryDirectory() as outside:
        folder = shutil.copytree(good, Path(outside) / "notes.lace")
        Path(outside).chmod(0o755)
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        run = subprocess.run(
            [sys.executable, "-W", "error", "-c", READ_ONLY, str(folder), TESTS, f"{outside}/warm"],
            capture_output=True,
            text=True,
            check=False,
        )
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755)
    assert (run.stdout, run.stderr) == ("refused\n", "")


def test_moved(folder, tmp_path, monkeypatch):
    moved = tmp_path / "elsewhere" / "other name"
    moved.parent.mkdir()
    folder.rename(moved)
    monkeypatch.chdir(moved.parent)
    with store.open("other name") as opened:
        monkeypatch.chdir("/")
        assert found(opened, record(3)) == [3]
        fill(opened, 300, 400)
        assert opened.verify().ok
        assert found(opened, record(350)) == [350]


def test_copied_while_open(folder, tmp_path):
    """A copy of a closed collection is a collection; neither knows of the other."""
    copy = shutil.copytree(folder, tmp_path / "copy")
    with store.open(folder) as one, store.open(copy) as two:
        fill(one, 500, 501)
        assert not two.snapshot().contains(500)
        fill(two, 600, 601)
        assert two.verify().ok


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("UPDATE settings SET value = 'x'", "a JSON object"),
        ("UPDATE settings SET value = '[]'", "a JSON object"),
        ('UPDATE settings SET value = \'{"dim": 16, "x": 1}\'', "settings"),
        ("UPDATE settings SET value = '{\"dim\": -1}'", "settings"),
        ("UPDATE generations SET description = 'x'", "a JSON object"),
        ("DROP TABLE segments", "a SQLite database"),
        ("DELETE FROM settings", "a JSON object"),
        ("DELETE FROM commits", "a commit"),
    ],
)
def test_nonsense_in_the_catalog(folder, sql, what):
    change(folder, sql)
    with pytest.raises(Corrupt, match=f"expected {what}"):
        store.open(folder)


def test_nonsense_as_metadata(folder):
    change(folder, "UPDATE metadata SET value = 'x' WHERE document = 3")
    with store.open(folder) as opened, pytest.raises(Corrupt, match="expected a JSON object"):
        opened.snapshot().documents([3])

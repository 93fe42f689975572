"""What documents are read from: sources and files, versioned like every row."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest
import storing
from storing import add, fill, record

from interlace import store
from interlace.errors import InputError
from interlace.store import SourceRow

STRANGE = ["a 'b' \"c\"", "new\nline", "ü/\U0001f600", "%_*?[x]", " ", "C:\\x", "a\\xff.md"]


def of_file(id_: str, file: str | None) -> storing.Record:
    """A document that was read from a file."""
    document, *rest = record(id_)
    return replace(document, file=file), *rest


def test_sources_and_files(opened, folder):
    with opened.write() as writer:
        docs = writer.add_source("/home/docs", "docs", {"hidden": False, "fields": ["a"]})
        notes = writer.add_source("/home/notes.md", "notes.md", {})
        writer.set_file("docs/b.md", docs, "1")
        writer.set_file("docs/a.md", docs, "2")
        writer.set_file("notes.md", notes, "3")
        assert writer.files(docs) == {"docs/a.md": "2", "docs/b.md": "1"}
        assert [source.label for source in writer.sources()] == ["docs", "notes.md"]
    assert docs != notes
    opened.close()
    with store.open(folder) as again:
        snapshot = again.snapshot()
        assert snapshot.sources() == [
            SourceRow(docs, "/home/docs", "docs", {"hidden": False, "fields": ["a"]}),
            SourceRow(notes, "/home/notes.md", "notes.md", {}),
        ]
        assert list(snapshot.files(docs).items()) == [("docs/a.md", "2"), ("docs/b.md", "1")]
        assert snapshot.files(notes) == {"notes.md": "3"}
        assert snapshot.files(99) == {}
        assert (again.info()["n_sources"], again.info()["n_files"]) == (2, 3)
        assert again.verify().ok


def test_a_commit_of_files_alone_writes_no_segment(opened, folder):
    with opened.write() as writer:
        writer.set_file("a", writer.add_source("/a", "a", {}), "1")
    assert opened.commit == 1
    assert storing.listing(folder) == []
    assert opened.snapshot().files(1) == {"a": "1"}


def test_the_same_again_is_no_commit(opened):
    for _ in range(2):
        with opened.write() as writer:
            number = writer.add_source("/a", "a", {"x": 1, "y": 2})
            assert writer.add_source("/a", "a", {"y": 2, "x": 1}) == number
            writer.set_file("a", number, "1")
        assert opened.commit == 1
    with opened.write() as writer:
        assert not writer.forget_file("b")
        assert not writer.forget_source(99)
    assert opened.commit == 1


def test_a_snapshot_sees_the_files_of_its_commit(opened):
    with opened.write() as writer:
        one = writer.add_source("/one", "one", {"v": 1})
        two = writer.add_source("/two", "two", {})
        for name in ("one/a", "one/b", "one/c"):
            writer.set_file(name, one, "old")
        writer.set_file("two/a", two, "old")
    before = opened.snapshot()
    with opened.write() as writer:
        assert writer.add_source("/one", "uno", {"v": 2}) == one
        writer.set_file("one/a", one, "new")
        writer.set_file("one/b", two, "old")
        assert writer.forget_file("one/c")
        assert not writer.forget_file("one/c")
        writer.set_file("one/d", one, "new")
    between = opened.snapshot()
    with opened.write() as writer:
        assert writer.forget_source(two)
        assert not writer.forget_source(two)
    after = opened.snapshot()
    assert before.files(one) == {"one/a": "old", "one/b": "old", "one/c": "old"}
    assert before.files(two) == {"two/a": "old"}
    assert before.sources()[0] == SourceRow(one, "/one", "one", {"v": 1})
    assert between.files(one) == {"one/a": "new", "one/d": "new"}
    assert between.files(two) == {"one/b": "old", "two/a": "old"}
    assert between.sources()[0] == SourceRow(one, "/one", "uno", {"v": 2})
    assert after.files(two) == {}
    assert [source.number for source in after.sources()] == [one]
    assert opened.verify().ok


def test_dead_rows_are_purged(opened, folder):
    with opened.write() as writer:
        number = writer.add_source("/a", "a", {})
        for i in range(5):
            writer.set_file(f"a/{i}", number, "1")
    held = opened.snapshot()
    with opened.write() as writer:
        writer.set_file("a/0", number, "2")
        writer.forget_source(number)
    fill(opened, 0, 1)
    assert len(held.files(number)) == 5
    held.close()
    fill(opened, 1, 2)
    with closing(sqlite3.connect(folder / "catalog.sqlite")) as connection:
        for table in ("files", "sources"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_nothing_of_a_failed_commit(opened):
    writer = opened.write()
    writer.set_file("a", writer.add_source("/a", "a", {}), "1")
    writer.abandon()
    assert opened.snapshot().sources() == []


@pytest.mark.parametrize("name", STRANGE)
def test_strange_names(opened, name):
    with opened.write() as writer:
        number = writer.add_source(f"/{name}", name, {name: name})
        writer.set_file(name, number, "1")
        writer.add(*of_file("x", name))
        writer.add(*of_file("y", f"{name}y"))
    snapshot = opened.snapshot()
    assert snapshot.sources() == [SourceRow(number, f"/{name}", name, {name: name})]
    assert snapshot.files(number) == {name: "1"}
    assert snapshot.ids_of_file(name) == ["x"]


def test_a_path_of_any_bytes(opened):
    path = b"/home/caf\xe9".decode(errors="surrogateescape")
    for _ in range(2):
        with opened.write() as writer:
            assert writer.add_source(path, "caf\\xe9", {}) == 1
    assert opened.snapshot().sources() == [SourceRow(1, path, "caf\\xe9", {})]


def test_what_cannot_be_stored_changes_nothing(opened):
    with opened.write() as writer:
        number = writer.add_source("/a", "a", {})
        with pytest.raises(InputError, match="a label"):
            writer.add_source("/b", "\ud800", {})
        with pytest.raises(InputError, match="options of source 'b'"):
            writer.add_source("/b", "b", {"x": object()})
        with pytest.raises(InputError, match="a file's name"):
            writer.set_file("\ud800", number, "1")
    assert opened.snapshot().sources() == [SourceRow(number, "/a", "a", {})]


def test_ids_of_a_file(opened):
    add(opened, of_file("b", "x.md"), of_file("a", "x.md"), of_file("c", None), record("d"))
    before = opened.snapshot()
    with opened.write() as writer:
        writer.delete(["b"])
        writer.add(*of_file("e", "x.md"))
        assert writer.ids_of_file("x.md") == ["a", "e"]
    assert before.ids_of_file("x.md") == ["b", "a"]
    assert opened.snapshot().ids_of_file("x.md") == ["a", "e"]
    assert opened.snapshot().ids_of_file("x") == []


def test_what_lies_in_a_file_is_of_it(opened):
    files = ["a.zip/in.zip/x.md", "a.zip/y.md", "a.zip", "a.zip-old/y.md", "a.zip2", "a.zip0"]
    add(opened, *(of_file(file, file) for file in files))
    assert opened.snapshot().ids_of_file("a.zip") == files[:3]
    assert opened.snapshot().ids_of_file("a.zip/in.zip") == files[:1]


def test_a_folder_that_took_the_name_of_a_file(opened):
    """(1) ``notes`` is a file. (2) It becomes a folder. (3) The file's documents are asked for."""
    inside = ["notes/a.zip/x.md", "notes/b.md", "notes/b.md/gone.md"]
    add(opened, *(of_file(file, file) for file in ["notes", *inside]))
    with opened.write() as writer:
        number = writer.add_source("/notes", "notes", {})
        for name in ("notes", "notes/a.zip", "notes/b.md"):
            writer.set_file(name, number, "1")
    assert opened.snapshot().ids_of_file("notes") == ["notes"]
    assert opened.snapshot().ids_of_file("notes/b.md") == inside[1:]
    with opened.write() as writer:
        writer.forget_file("notes/b.md")
    assert opened.snapshot().ids_of_file("notes") == ["notes", *inside[1:]]


def test_a_source_that_is_gone_is_found(opened, folder):
    with opened.write() as writer:
        writer.set_file("a", writer.add_source("/a", "a", {}), "1")
    opened.close()
    with closing(sqlite3.connect(folder / "catalog.sqlite")) as connection, connection:
        connection.execute("DELETE FROM sources")
    with store.open(folder) as again:
        (problem,) = again.verify().problems
        assert "a file has no source" in problem

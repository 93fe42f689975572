"""Where documents and passages stand: stored, carried along, and changed when a text moves."""

from __future__ import annotations

from dataclasses import replace

import pytest
import storing
from storing import add, fill, record

from interlace import store
from interlace.errors import InputError
from interlace.types import Passage


def placed(id_: str, file: str | None, line: int | None, *, syntax: str | None = None):
    """A document of three lines, each a passage, on two pages."""
    document, content_hash, _, encoded = record(id_, "one\ntwo\n\fthree", n_passages=3)
    lines = [None if line is None else line + i for i in range(3)]
    passages = [
        Passage(id_, 0, 0, 3, "one", lines[0], 1),
        Passage(id_, 1, 4, 7, "two", lines[1], 1, ("Top", 'a "b"\0ü')),
        Passage(id_, 2, 9, 14, "three", lines[2], 2, ("Top",)),
    ]
    return replace(document, syntax=syntax, file=file, line=line), content_hash, passages, encoded


def lines(snapshot: store.Snapshot, id_: str) -> list[int | None]:
    """The lines of a document's passages."""
    return [passage.line for passage in snapshot.passages(snapshot.rows_of([id_]))]


def test_places_are_stored(opened):
    one = placed("x", "docs/ü 'a'.md", 7, syntax="markdown")
    add(opened, one, record("bare"))
    snapshot = opened.snapshot()
    assert snapshot.documents(["x", "bare"]) == {"x": one[0], "bare": record("bare")[0]}
    found = snapshot.passages(snapshot.rows_of(["x", "bare"]))
    assert [(p.file, p.line, p.page, p.headings) for p in found] == [
        ("docs/ü 'a'.md", 7, 1, ()),
        ("docs/ü 'a'.md", 8, 1, ("Top", 'a "b"\0ü')),
        ("docs/ü 'a'.md", 9, 2, ("Top",)),
        (None, None, None, ()),
    ]
    with opened.write() as writer:
        known = writer.known(["x", "bare", "nobody"])
    assert known == {
        "x": store.Known(one[1], "docs/ü 'a'.md", 7),
        "bare": store.Known(record("bare")[1], None, None),
    }


def test_places_outlive_settling_merging_and_reopening(opened, folder):
    one = placed("x", "a.md", 7, syntax="markdown")
    add(opened, one)
    before = opened.snapshot().passages(range(3))
    fill(opened, 0, 100)
    opened.compact()
    opened.close()
    with store.open(folder) as again:
        snapshot = again.snapshot()
        assert snapshot.documents(["x"]) == {"x": one[0]}
        assert snapshot.passages(snapshot.rows_of(["x"])) == before


def test_metadata_leaves_the_place(opened):
    one = placed("x", "a.md", 7)
    add(opened, one)
    with opened.write() as writer:
        writer.update_metadata("x", {"k": 1})
    assert opened.snapshot().documents(["x"])["x"] == replace(one[0], metadata={"k": 1})


def test_attaching_takes_places_and_no_sources(opened, tmp_path):
    one = placed("x", "a.md", 7, syntax="markdown")
    with store.create(tmp_path / "other", storing.settings()) as other:
        fill(other, 0, 3)
        with other.write() as writer:
            writer.set_file("a.md", writer.add_source("/a.md", "a.md", {}), "f")
            writer.add(*one)
        fill(opened, 10, 20)
        store.attach(opened, other)
        snapshot = opened.snapshot()
        assert snapshot.documents(["x"]) == {"x": one[0]}
        assert lines(snapshot, "x") == [7, 8, 9]
        assert [p.headings for p in snapshot.passages(snapshot.rows_of(["x"]))] == [
            passage.headings for passage in one[2]
        ]
    assert snapshot.sources() == []
    assert snapshot.ids_of_file("a.md") == ["x"]
    assert opened.verify().ok


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (7, 3, [3, 4, 5]),
        (7, 7, [7, 8, 9]),
        (7, None, [None, None, None]),
        (None, 4, [4, 5, 6]),
        (None, None, [None, None, None]),
    ],
)
def test_a_text_that_moved(opened, old, new, expected):
    one = placed("x", "a.md", old, syntax="markdown")
    add(opened, one, placed("y", "a.md", 50))
    embeddings = opened.snapshot().embeddings(0)
    with opened.write() as writer:
        assert writer.set_place("x", "b.md", new)
        assert not writer.set_place("nobody", "b.md", new)
        assert writer.known(["x"])["x"] == store.Known(one[1], "b.md", new)
    snapshot = opened.snapshot()
    assert snapshot.documents(["x"])["x"] == replace(one[0], file="b.md", line=new)
    assert lines(snapshot, "x") == expected
    assert lines(snapshot, "y") == [50, 51, 52]
    assert {p.file for p in snapshot.passages(range(3))} == {"b.md"}
    assert (snapshot.embeddings(0) == embeddings).all()
    assert (snapshot.ids_of_file("a.md"), snapshot.ids_of_file("b.md")) == (["y"], ["x"])
    assert opened.verify().ok


def test_the_same_place_again_is_no_commit(opened):
    number = add(opened, placed("x", "a.md", 7), placed("y", None, None))
    with opened.write() as writer:
        writer.set_place("x", "a.md", 7)
        writer.set_place("y", None, None)
    assert opened.commit == number


def test_a_place_that_is_not_committed_is_forgotten(opened):
    add(opened, placed("x", "a.md", 7))
    writer = opened.write()
    assert writer.set_place("x", "b.md", 9)
    writer.abandon()
    assert opened.snapshot().documents(["x"])["x"].file == "a.md"
    assert lines(opened.snapshot(), "x") == [7, 8, 9]


def test_a_document_added_in_the_same_commit_has_its_place_set(opened):
    with opened.write() as writer:
        writer.add(*placed("x", None, None))
        assert writer.set_place("x", "a.md", 2)
        assert writer.ids_of_file("a.md") == ["x"]
    assert lines(opened.snapshot(), "x") == [2, 3, 4]


@pytest.mark.parametrize("field", ["file", "syntax"])
@pytest.mark.parametrize("bad", ["\ud800", 7, b"a.md"])
def test_names_that_cannot_be_stored(opened, field, bad):
    document, *rest = record("x")
    with opened.write() as writer, pytest.raises(InputError, match=rf"{field} of document 'x'"):
        writer.add(replace(document, **{field: bad}), *rest)
    assert opened.commit == 0

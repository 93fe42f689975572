"""Texts in parts: whole documents come back, and a hit reads only the parts that it lies in."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import storing
from storing import add, record

from interlace import store
from interlace.errors import Corrupt
from interlace.store.rows import PART
from interlace.types import Document, Passage

LENGTHS = [0, 1, PART - 1, PART, PART + 1, 2 * PART, 3 * PART + 7]


def cut(text: str, *spans: tuple[int, int]) -> storing.Record:
    """A document with these passages."""
    document, content_hash, _, encoded = record("x", text, n_passages=len(spans))
    passages = [Passage("x", i, a, b, text[a:b]) for i, (a, b) in enumerate(spans)]
    return document, content_hash, passages, encoded


def letters(n: int) -> str:
    """A text in which no two places look alike, with NULs and characters beyond 16 bits."""
    return "".join(f"{i}\0\U0001f600ü" for i in range(n // 4 + 1))[:n]


def parts(folder: Path) -> list[tuple[int, str]]:
    """The stored parts of the first document."""
    with closing(sqlite3.connect(folder / "catalog.sqlite")) as connection:
        rows = connection.execute("SELECT part, text FROM texts WHERE document = 0 ORDER BY part")
        return rows.fetchall()


@pytest.mark.parametrize("n", LENGTHS)
def test_a_text_comes_back_from_its_parts(opened, folder, n):
    text = letters(n)
    add(opened, cut(text, (0, n)))
    assert opened.snapshot().documents(["x"]) == {"x": Document(text, "x")}
    (passage,) = opened.snapshot().passages([0])
    assert passage.text == text
    stored = parts(folder)
    assert [part for part, _ in stored] == list(range(max(1, -(-n // PART))))
    assert {len(part) for _, part in stored[:-1]} <= {PART}
    assert "".join(part for _, part in stored) == text
    assert opened.verify().ok


def test_passages_at_the_borders_of_parts(opened):
    n = 3 * PART
    text = letters(n)
    spans = [
        (0, 0), (0, 5), (PART - 5, PART), (PART - 5, PART + 5), (PART, PART), (PART, PART + 5),
        (5, n - 5), (2 * PART, n), (n - 1, n), (n, n),
    ]  # fmt: skip
    add(opened, cut(text, *spans))
    found = opened.snapshot().passages(opened.snapshot().rows_of(["x"]))
    assert [passage.text for passage in found] == [text[a:b] for a, b in spans]
    assert opened.verify().ok


def test_a_hit_reads_only_its_parts(opened):
    text = letters(40 * PART)
    size = PART // 2
    add(opened, cut(text, *((i * size, (i + 1) * size) for i in range(80))))
    read: list[int] = []
    catalog = opened._catalog
    inner = catalog._parts

    def watching(wanted):
        read.append(len(wanted))
        return inner(wanted)

    catalog._parts = watching
    rows = [7, 6, 33, 34]
    found = opened.snapshot().passages(rows)
    assert [passage.text for passage in found] == [text[i * size : (i + 1) * size] for i in rows]
    assert read == [3]
    read.clear()
    found = opened.snapshot().passages(range(80))
    assert "".join(passage.text for passage in found) == text
    assert read == [40]


def test_many_parts_are_read_some_at_a_time(opened, monkeypatch):
    monkeypatch.setattr("interlace.store.catalog._PARTS_AT_ONCE", 4)
    text = letters(12 * PART)
    spans = [(i * 1_000, i * 1_000 + 2_000) for i in range(780)] + [(0, len(text))]
    add(opened, cut(text, *spans))
    found = opened.snapshot().passages(range(781))
    assert [passage.text for passage in found] == [text[a:b] for a, b in spans]


def test_ten_hits_are_two_statements(opened):
    add(opened, *(record(i) for i in range(20)))
    snapshot, seen = opened.snapshot(), []
    opened._catalog._sqlite.set_trace_callback(seen.append)
    snapshot.passages(range(10))
    opened._catalog._sqlite.set_trace_callback(None)
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("DELETE FROM texts WHERE part = 0", "a document has no text"),
        ("DELETE FROM texts WHERE part = 1", "a text lacks a part"),
        ("UPDATE texts SET text = substr(text, 2) WHERE part = 1", "a text lacks a part"),
        ("UPDATE texts SET text = 'short' WHERE part = 2", "a passage ends beyond its text"),
        ('UPDATE passages SET "end" = "end" + 1', "a passage ends beyond its text"),
    ],
)
def test_verify_measures_texts(opened, folder, sql, message):
    add(opened, cut("x" * (2 * PART + 100), (0, 2 * PART + 100)))
    opened.close()
    with closing(sqlite3.connect(folder / "catalog.sqlite")) as connection, connection:
        connection.execute(sql)
    with store.open(folder) as again:
        assert any(message in problem for problem in again.verify().problems)


def test_a_missing_part_is_named(opened, folder):
    add(opened, cut("x" * (3 * PART), (0, 5), (2 * PART - 5, 2 * PART)))
    opened.close()
    with closing(sqlite3.connect(folder / "catalog.sqlite")) as connection, connection:
        connection.execute("DELETE FROM texts WHERE part = 1")
    with store.open(folder) as again:
        assert again.snapshot().passages([0])[0].text == "xxxxx"
        with pytest.raises(Corrupt, match=r"expected part 1 of document 0, found none"):
            again.snapshot().passages([1])
        with pytest.raises(Corrupt, match=r"expected part 1 of document 'x', found none"):
            again.snapshot().documents(["x"])

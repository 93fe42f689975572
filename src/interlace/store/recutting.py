"""The SQL of a rebuild: what it notes on the way, in tables of its own, and the switch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from interlace.store.database import Database
from interlace.store.rows import CutRow

_ROWS_AT_ONCE = 1_000

_NOTES = """
CREATE TEMP TABLE recut (document INTEGER PRIMARY KEY);
CREATE TEMP TABLE cut (
    number INTEGER PRIMARY KEY, document INTEGER, ordinal INTEGER, start INTEGER, "end" INTEGER,
    lines INTEGER, page INTEGER, headings TEXT
);
CREATE TEMP TABLE hashes (document INTEGER PRIMARY KEY, content_hash TEXT);
CREATE TEMP TABLE runs (
    number INTEGER PRIMARY KEY, n_postings INTEGER, first INTEGER, passages BLOB, lengths BLOB,
    born INTEGER, died INTEGER
);
CREATE TEMP TABLE words (
    run INTEGER, word TEXT, passages BLOB, counts BLOB, PRIMARY KEY (run, word)
);
"""
"""Temporary tables are seen by their connection alone, need no lock, and leave memory for a file of
SQLite's own when they grow. There the runs of words stand before those of the collection, so that
they are written and read as those are."""


class RebuildTables(Database):
    """The rows of a catalog that a rebuild replaces."""

    # --- on the way, in a connection of its own --------------------------------------------------
    def begin_rebuild(self) -> None:
        """Make room for notes; they go with the connection."""
        for statement in _NOTES.split(";\n")[:-1]:
            self._change(statement, {})

    def note_cut(self, document: int, rows: Iterable[CutRow]) -> None:
        """Note a document that is cut anew, and its passages, if any."""
        self._change("INSERT INTO recut VALUES (:document)", {"document": document})
        self._change_many("INSERT INTO cut VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def note_content_hash(self, document: int, content_hash: str) -> None:
        """Note that a document has another content hash."""
        self._change_many("INSERT INTO hashes VALUES (?, ?)", [(document, content_hash)])

    def noted_documents(self) -> Iterator[list[int]]:
        """The noted documents that are cut anew, by number, some at a time."""
        sql = "SELECT document FROM recut WHERE document > :last ORDER BY document LIMIT :n"
        for rows in self._runs(sql):
            yield [document for (document,) in rows]

    def noted_cuts(self) -> Iterator[list[CutRow]]:
        """The noted passages by number, some at a time."""
        for rows in self._runs("SELECT * FROM cut WHERE number > :last ORDER BY number LIMIT :n"):
            yield list(map(CutRow._make, rows))

    def noted_content_hashes(self) -> Iterator[list[tuple[int, str]]]:
        """The noted content hashes, by document number, some at a time."""
        yield from self._runs(
            "SELECT * FROM hashes WHERE document > :last ORDER BY document LIMIT :n"
        )

    def _runs(self, sql: str) -> Iterator[list[Any]]:
        last = -1
        while rows := self._rows(sql, {"last": last, "n": _ROWS_AT_ONCE}):
            yield rows
            last = self._after(last, rows[-1][0])

    # --- the switch, in a transaction ------------------------------------------------------------
    def end_passages(self, documents: Iterable[int], commit: int) -> None:
        """Let the passages of documents die, which no segment holds any more."""
        self._change_many(
            "UPDATE passages SET died = ?, dropped = ? WHERE document = ? AND died IS NULL",
            ((commit, commit, document) for document in documents),
        )

    def add_cuts(self, rows: Sequence[CutRow], commit: int) -> None:
        """Add passages; those of a document that has died are born dead: segments hold them."""
        self._change_many(
            "INSERT INTO passages SELECT ?, number, ?, ?, ?, line + ?, ?, ?, ?,"
            " CASE WHEN died IS NULL THEN NULL ELSE ? END, NULL FROM documents WHERE number = ?",
            (
                (
                    row.number, row.ordinal, row.start, row.end, row.lines, row.page, row.headings,
                    commit, commit, row.document,
                )
                for row in rows
            ),
        )  # fmt: skip

    def set_content_hashes(self, hashes: Iterable[tuple[int, str]]) -> None:
        """Give documents, by number, other content hashes; older snapshots see them too."""
        self._change_many(
            "UPDATE documents SET content_hash = ? WHERE number = ?",
            ((content_hash, number) for number, content_hash in hashes),
        )

    def end_generation(self, died: int) -> None:
        """Let the codec die."""
        self._change("UPDATE generations SET died = :died WHERE died IS NULL", {"died": died})

    def generation_names(self) -> set[str]:
        """Names of all codecs that have a row, the dead ones among them."""
        return {name for (name,) in self._rows("SELECT name FROM generations")}

    def n_live_passages(self) -> int:
        """How many passages are alive, the transaction's own changes seen."""
        n: int = self._value("SELECT count(*) FROM passages WHERE died IS NULL")
        return n

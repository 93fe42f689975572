"""The catalog: the truth on what exists, and every question that is asked of it, in SQL.

Every row carries the commit that made it (``born``) and the one that ended it (``died``); a reader
names its commit in every statement, so it needs no transaction and sees no change. A writer works
in one transaction, which ends by inserting the row of its commit.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from interlace.errors import VERIFY, Corrupt
from interlace.files import Piece, Written
from interlace.store.fields import FieldTables
from interlace.store.mending import MendingRows
from interlace.store.recutting import RebuildTables
from interlace.store.rows import (
    FORMAT,
    PART,
    Chunk,
    Commit,
    DocumentRow,
    GenerationRow,
    Known,
    Origin,
    PassageRow,
    SegmentRow,
    SourceRow,
    StoredDocument,
    StoredPassage,
)
from interlace.store.words import WordTables
from interlace.types import Document, Id, Passage

_LIVE = "{0}.born <= :commit AND ({0}.died IS NULL OR {0}.died > :commit)"

_PARTS_AT_ONCE = 64
"""Parts of texts in memory together, unless one passage alone has more: 16 MiB at most."""

_VERSIONS_AT_ONCE = 4_096
"""Of documents that are compared with those of a backup."""

_ROWS_MUCH = 4_096
_ROWS_A_PART = 5
_POSTINGS_A_ROW = 128
"""What a purge removes in at most a tenth of a second or so, the rows that go as fast as a part of
a text, and the postings that go as fast as a row."""

_PURGED = (
    ("passages", "dropped"),
    ("metadata", "died"),
    ("field_values", "died"),
    ("files", "died"),
)
"""Where there may be much to purge besides texts, and the commit from which on."""

_Numbers = npt.NDArray[np.int64]
_Span: TypeAlias = tuple[int, int, int]
_Version: TypeAlias = tuple[int, Id, int, int]
"""A document's number and id, its birth, and that of its metadata."""

_DOCUMENT = "d.number, d.id, d.content_hash, m.value, d.syntax, d.file, d.line"
"""The columns of a ``DocumentRow`` but its text."""

_ORPHAN_ROWS = {
    "a document has no text": "SELECT count(*) FROM documents AS d LEFT JOIN texts AS t"
    f" ON t.document = d.number AND t.part = 0 WHERE t.document IS NULL AND {_LIVE.format('d')}",
    "a text lacks a part": "SELECT count(*) FROM texts AS t LEFT JOIN texts AS before"
    " ON before.document = t.document AND before.part = t.part - 1"
    f" WHERE t.part > 0 AND coalesce(characters(before.text), 0) <> {PART}",
    "a passage ends beyond its text": "SELECT count(*) FROM (SELECT document,"
    " sum(characters(text)) AS n FROM texts GROUP BY document) AS t"
    f' JOIN passages AS p ON p.document = t.document AND p."end" > t.n WHERE {_LIVE.format("p")}',
    "a passage is no span": "SELECT count(*) FROM passages AS p WHERE (typeof(p.start) <> 'integer'"
    ' OR typeof(p."end") <> \'integer\' OR p.start NOT BETWEEN 0 AND p."end")'
    f" AND {_LIVE.format('p')}",
    "a document has no metadata": "SELECT count(*) FROM documents AS d LEFT JOIN metadata AS m"
    f" ON m.document = d.number AND {_LIVE.format('m')}"
    f" WHERE m.document IS NULL AND {_LIVE.format('d')}",
    "a passage has no document": "SELECT count(*) FROM passages AS p LEFT JOIN documents AS d"
    f" ON d.number = p.document AND {_LIVE.format('d')}"
    f" WHERE d.number IS NULL AND {_LIVE.format('p')}",
    "an insertion number would be used again": "SELECT count(*) FROM passages AS p, commits AS c"
    " WHERE c.number = :commit AND p.born <= :commit AND p.number >= c.next_passage",
    "a codec lacks a chunk": "SELECT count(*) FROM (SELECT max(number) + 1 - count(*) AS n"
    " FROM chunks WHERE born <= :commit GROUP BY generation) WHERE n <> 0",
    "two codecs are alive": "SELECT max(count(*) - 1, 0) FROM generations AS g"
    f" WHERE {_LIVE.format('g')}",
    "a file has no source": "SELECT count(*) FROM files AS f LEFT JOIN sources AS s"
    f" ON s.number = f.source AND {_LIVE.format('s')}"
    f" WHERE s.number IS NULL AND {_LIVE.format('f')}",
}


class Catalog(FieldTables, RebuildTables, WordTables, MendingRows):
    """The rows of a collection."""

    # --- what a reader asks ----------------------------------------------------------------------
    def settings(self, commit: int | None = None) -> dict[str, Any]:
        """The settings that a commit sees, or the newest ones, as JSON values."""
        sees = "s.died IS NULL" if commit is None else _LIVE.format("s")
        return self._parsed(
            self._value(f"SELECT value FROM settings AS s WHERE {sees}", {"commit": commit})
        )

    def tuned(self, commit: int) -> dict[str, Any] | None:
        """What a commit says that the collection was tuned to, as JSON values."""
        value = self._value(
            f"SELECT value FROM tuned AS t WHERE {_LIVE.format('t')}", {"commit": commit}
        )
        return None if value is None else self._parsed(value)

    def newest(self) -> Commit:
        """The last commit."""
        rows = self._rows("SELECT * FROM commits ORDER BY number DESC LIMIT 1")
        if not rows:
            raise Corrupt(
                f"the catalog is damaged: {self.path}: expected a commit, found none. "
                "Restore the folder from a copy, or index the documents again."
            )
        return Commit(*rows[0])

    def at(self, number: int) -> Commit | None:
        """A commit; None when it is purged, or never was."""
        rows = self._rows("SELECT * FROM commits WHERE number = :number", {"number": number})
        return Commit(*rows[0]) if rows else None

    def origin(self) -> Origin:
        """Which collection this is, and what it is a backup of."""
        rows = self._rows("SELECT collection, backup FROM origin")
        if len(rows) != 1:
            raise Corrupt(
                f"the catalog is damaged: {self.path}: expected one origin, found {len(rows)}. "
                "Restore the folder from a copy, or index the documents again."
            )
        return Origin(*rows[0])

    def set_origin(self, origin: Origin) -> None:
        """Note which collection this is, and what it is a backup of."""
        self._change(
            "UPDATE origin SET collection = :collection, backup = :backup", origin._asdict()
        )

    def leave_origin(self) -> None:
        """Give what is a backup a history of its own from here on."""
        self._change(
            "UPDATE origin SET collection = collection || ':' || backup || '/' || :own,"
            " backup = NULL WHERE backup IS NOT NULL",
            {"own": uuid.uuid4().hex},
        )

    def unchanged_since(self, commit: int) -> Iterator[list[_Version]]:
        """The live documents that are as a commit saw them, some at a time."""
        sql = (
            "SELECT d.number, d.id, d.born, m.born FROM documents AS d"
            " JOIN metadata AS m ON m.document = d.number AND m.died IS NULL"
            " WHERE d.number > :last AND d.died IS NULL AND max(d.born, m.born) <= :commit"
            " ORDER BY d.number LIMIT :n"
        )
        last = -1
        while rows := self._rows(sql, {"commit": commit, "last": last, "n": _VERSIONS_AT_ONCE}):
            yield rows
            last = self._after(last, rows[-1][0])

    def has_versions(self, rows: list[_Version]) -> bool:
        """Whether just these versions of documents are alive."""
        found = self._rows(
            "SELECT d.number, d.id, d.born, m.born FROM json_each(:numbers) AS asked"
            " CROSS JOIN documents AS d ON d.number = asked.value AND d.died IS NULL"
            " CROSS JOIN metadata AS m ON m.document = d.number AND m.died IS NULL",
            {"numbers": json.dumps([number for number, *_ in rows])},
        )
        return found == rows

    def segments(self, commit: int) -> list[SegmentRow]:
        """The segments that a commit sees: fresh ones first, then by age."""
        rows = self._rows(
            "SELECT name, kind, generation, n_passages, n_tokens, n_bytes, checksum"
            f" FROM segments AS s WHERE {_LIVE.format('s')} ORDER BY kind, born, s.rowid",
            {"commit": commit},
        )
        return [
            SegmentRow(row[0], row[1], row[2], row[3], row[4], Written(*row[5:])) for row in rows
        ]

    def generation(self, commit: int) -> GenerationRow | None:
        """The codec that a commit sees, with the chunks that it has by then."""
        rows = self._rows(
            f"SELECT name, description FROM generations AS g WHERE {_LIVE.format('g')}",
            {"commit": commit},
        )
        if not rows:
            return None
        (name, description) = rows[0]
        chunks = self._rows(
            "SELECT n_tokens, pieces FROM chunks"
            " WHERE generation = :name AND born <= :commit ORDER BY number",
            {"name": name, "commit": commit},
        )
        return GenerationRow(
            name,
            self._parsed(description),
            tuple(self._chunk(*chunk) for chunk in chunks),
        )

    def _chunk(self, n_tokens: Any, text: object) -> Chunk:
        try:
            pieces = {array: Piece(*piece) for array, piece in self._parsed(text).items()}
            numbers = [n_tokens, *chain.from_iterable(pieces.values())]
            if all(type(n) is int and 0 <= n < 1 << 63 for n in numbers):
                return Chunk(n_tokens, pieces)
        except TypeError:  # no pieces
            pass
        raise Corrupt(
            f"the catalog is damaged: {self.path}: expected a chunk of a codec, found "
            f"{n_tokens!r}, {str(text)[:40]!r}. Restore the folder from a copy, or index the "
            "documents again."
        )

    def dead_passages(self, commit: int, *, after: int = -1) -> _Numbers:
        """Insertion numbers of passages that died by a commit, ascending: the tombstones.

        With ``after``, only of those that died after an earlier one.

        Sorted here: asked for an order, SQLite reads the whole table in it instead of the index.
        """
        rows = self._rows(
            "SELECT number FROM passages INDEXED BY passages_dead"
            " WHERE died > :after AND died <= :commit",
            {"after": after, "commit": commit},
        )
        return np.sort(self._numbers_of(rows).ravel())

    def live_passages(self, commit: int) -> tuple[_Numbers, _Numbers]:
        """Insertion numbers of live passages, ascending, and of their documents."""
        rows = self._rows(
            f"SELECT number, document FROM passages AS p WHERE {_LIVE.format('p')} ORDER BY number",
            {"commit": commit},
        )
        numbers, documents = self._numbers_of(rows).reshape(-1, 2).T.copy()
        return numbers, documents

    def _numbers_of(self, rows: list[Any]) -> _Numbers:
        try:
            return np.array(rows, np.int64)
        except (TypeError, ValueError, OverflowError) as error:
            raise Corrupt(
                f"the catalog is damaged: {self.path}: expected numbers, found: {error}. "
                "Restore the folder from a copy, or index the documents again."
            ) from error

    def problems(self, commit: int) -> Iterator[str]:
        """What is wrong with the catalog itself, a sentence each."""
        for (finding,) in self._rows("PRAGMA integrity_check(10)"):
            if finding != "ok":
                yield f"the catalog is damaged: {self.path}: {finding}."
        values = {"commit": commit}
        counts = self._rows(
            f"SELECT (SELECT count(*) FROM documents AS d WHERE {_LIVE.format('d')}),"
            f" (SELECT count(*) FROM passages AS p WHERE {_LIVE.format('p')}),"
            " (SELECT n_documents FROM commits WHERE number = :commit),"
            " (SELECT n_passages FROM commits WHERE number = :commit)",
            values,
        )[0]
        if counts[:2] != counts[2:]:
            yield (
                f"documents and passages are miscounted: {self.path}: expected {counts[2:]}, "
                f"found {counts[:2]}."
            )
        for what, sql in _ORPHAN_ROWS.items():
            n = self._value(sql, values)
            if n:
                yield f"{what}: {self.path}: {n} such."
        yield from self.word_problems(commit)
        unlike = sum(1 for _ in self.unlike_metadata(commit))
        if unlike:
            yield f"filters would see other metadata: {self.path}: {unlike} documents."

    def passages(self, numbers: Sequence[int], commit: int) -> list[StoredPassage]:
        """Passages by insertion number, in the order asked; of texts, the parts they lie in."""
        rows = self._rows(
            'SELECT p.document, p.start, p."end", p.number, d.id, p.ordinal, m.value, d.file,'
            " p.line, p.page, p.headings"
            " FROM json_each(:numbers) AS asked"
            " CROSS JOIN passages AS p ON p.number = asked.value"
            " JOIN documents AS d ON d.number = p.document"
            f" JOIN metadata AS m ON m.document = p.document AND {_LIVE.format('m')}"
            " WHERE p.born <= :commit",
            {"numbers": json.dumps(list(map(int, numbers))), "commit": commit},
        )
        found: dict[int, StoredPassage] = {}
        spans = sorted({self._span(*row[:3]) for row in rows})
        texts = dict(self._slices(spans))
        for document, start, end, number, id_, ordinal, value, file, line, page, headings in rows:
            found[number] = StoredPassage(
                document,
                id_,
                ordinal,
                start,
                end,
                texts[document, start, end],
                self._parsed(value),
                file,
                line,
                page,
                self._headings(headings),
            )
        missing = [number for number in numbers if number not in found]
        if missing:
            raise Corrupt(
                f"a passage has no row: {self.path}: expected number {missing[0]}, found none. "
                f"Restore the folder from a copy, or index the documents again{VERIFY}"
            )
        return [found[number] for number in numbers]

    def _span(self, document: int, start: Any, end: Any) -> _Span:
        """Where a passage lies, as far as that can be: no span leads to reading without end."""
        if isinstance(start, int) and isinstance(end, int) and 0 <= start <= end:
            if end - start <= _PARTS_AT_ONCE * PART:
                return document, start, end
            last = self._value(
                "SELECT max(part) FROM texts WHERE document = :document", {"document": document}
            )
            if last is not None and end <= (last + 1) * PART:
                return document, start, end
        raise Corrupt(
            f"a passage does not lie in its text: {self.path}: document number {document}, "
            f"expected a span of characters, found {start!r} to {end!r}. Restore the folder from a "
            "copy, or index the documents again."
        )

    def _slices(self, spans: Iterable[_Span]) -> Iterator[tuple[_Span, str]]:
        """Slices of texts, asked for as (document, start, end), ascending.

        Parts are read some at a time, and dropped when the slices in them are cut.
        """
        waiting: list[_Span] = []
        parts: set[tuple[int, int]] = set()
        for span in spans:
            document, start, end = span
            needed = {(document, part) for part in range(start // PART, -(-end // PART))}
            if waiting and len(parts | needed) > _PARTS_AT_ONCE:
                yield from self._cut(waiting, parts)
                waiting, parts = [], set()
            waiting.append(span)
            parts |= needed
        yield from self._cut(waiting, parts)

    def _cut(
        self, spans: Iterable[_Span], parts: Collection[tuple[int, int]]
    ) -> Iterator[tuple[_Span, str]]:
        """Slices that lie in these parts of texts.

        SQLite's own ``substr`` ends a text at its first NUL, so slices are cut in Python.
        """
        read = self._parts(parts)
        for document, start, end in spans:
            first = start // PART
            pieces = [read[document, part] for part in range(first, -(-end // PART))]
            whole = pieces[0] if len(pieces) == 1 else "".join(pieces)
            yield (document, start, end), whole[start - first * PART : end - first * PART]

    def _parts(self, parts: Collection[tuple[int, int]]) -> dict[tuple[int, int], str]:
        """Parts of texts, by document and number."""
        rows = self._rows(
            "SELECT t.document, t.part, t.text FROM json_each(:parts) AS asked"
            " CROSS JOIN texts AS t ON t.document = json_extract(asked.value, '$[0]')"
            " AND t.part = json_extract(asked.value, '$[1]')",
            {"parts": json.dumps(list(parts))},
        )
        read = {(document, part): text for document, part, text in rows}
        for document, part in parts:
            if (document, part) not in read:
                raise self._lacks(part, document)
        return read

    def _joined(self, parts: Mapping[int, str], document: object) -> str:
        """A text from its numbered parts."""
        for part in range(len(parts)):
            if part not in parts:
                raise self._lacks(part, document)
        return parts[0] if len(parts) == 1 else "".join(parts[part] for part in range(len(parts)))

    def _lacks(self, part: int, document: object) -> Corrupt:
        return Corrupt(
            f"a text lacks a part: {self.path}: expected part {part} of document {document!r}, "
            "found none. Restore the folder from a copy, or index the documents again."
        )

    def _rows_by_id(self, sql: str, ids: Iterable[Id], commit: int | None = None) -> list[Any]:
        """Rows of a statement on ``{asked}``, a table whose ``value`` is each of these ids.

        All ids go in one statement, but those with a NUL, where a string in SQLite's JSON ends.
        """
        plain: list[Id] = []
        rows: list[Any] = []
        for id_ in ids:
            if isinstance(id_, str) and "\0" in id_:
                values = {"id": id_, "commit": commit}
                rows += self._rows(sql.format(asked="(SELECT :id AS value)"), values)
            else:
                plain.append(id_)
        if plain:
            values = {"ids": json.dumps(plain), "commit": commit}
            rows += self._rows(sql.format(asked="json_each(:ids)"), values)
        return rows

    def documents(self, ids: Iterable[Id], commit: int) -> dict[Id, Document]:
        """Live documents by id; unknown ids are left out."""
        rows = self._rows_by_id(
            "SELECT d.id, t.part, t.text, m.value, d.syntax, d.file, d.line FROM {asked} AS asked"
            f" CROSS JOIN documents AS d ON d.id = asked.value AND {_LIVE.format('d')}"
            " JOIN texts AS t ON t.document = d.number"
            f" JOIN metadata AS m ON m.document = d.number AND {_LIVE.format('m')}",
            ids,
            commit,
        )
        parts: dict[Id, dict[int, str]] = {}
        others: dict[Id, Any] = {}
        for id_, part, text, *other in rows:
            parts.setdefault(id_, {})[part] = text
            others[id_] = other
        return {
            id_: Document(self._joined(parts[id_], id_), id_, self._parsed(value), *place)
            for id_, (value, *place) in others.items()
        }

    def passage_numbers(self, ids: Iterable[Id], commit: int) -> tuple[set[Id], _Numbers]:
        """Which of these ids are alive, and the insertion numbers of their passages, ascending."""
        rows = self._rows_by_id(
            "SELECT d.id, p.number FROM {asked} AS asked"
            f" CROSS JOIN documents AS d ON d.id = asked.value AND {_LIVE.format('d')}"
            f" LEFT JOIN passages AS p ON p.document = d.number AND {_LIVE.format('p')}",
            ids,
            commit,
        )
        numbers = [number for _, number in rows if number is not None]
        return {id_ for id_, _ in rows}, np.unique(np.array(numbers, np.int64))

    def passage_number(self, id_: Id, ordinal: int, commit: int) -> int | None:
        """The insertion number of one passage of a live document; None when there is none."""
        number: int | None = self._value(
            "SELECT p.number FROM documents AS d"
            " JOIN passages AS p ON p.document = d.number AND p.ordinal = :ordinal"
            f" AND {_LIVE.format('p')}"
            f" WHERE d.id = :id AND {_LIVE.format('d')}",
            {"id": id_, "ordinal": ordinal, "commit": commit},
        )
        return number

    def contains(self, id_: Id, commit: int) -> bool:
        """Whether a document of this id is alive."""
        sql = f"SELECT 1 FROM documents AS d WHERE id = :id AND {_LIVE.format('d')}"
        return self._value(sql, {"id": id_, "commit": commit}) is not None

    def ids(self, commit: int, *, at_once: int = 1_000) -> Iterator[Id]:
        """Ids of live documents in insertion order; fetched in runs, so that nothing is held."""
        last = -1
        while True:
            rows = self._rows(
                f"SELECT number, id FROM documents AS d WHERE number > :last"
                f" AND {_LIVE.format('d')} ORDER BY number LIMIT :n",
                {"last": last, "commit": commit, "n": at_once},
            )
            if not rows:
                return
            yield from (id_ for _, id_ in rows)
            last = self._after(last, rows[-1][0])

    def document_numbers(self, commit: int, first: int = 0, end: int = 2**62) -> _Numbers:
        """Insertion numbers ``[first, end)`` of live documents, ascending."""
        rows = self._rows(
            "SELECT number FROM documents AS d WHERE number >= :first AND number < :end"
            f" AND {_LIVE.format('d')} ORDER BY number",
            {"first": first, "end": end, "commit": commit},
        )
        return np.array([number for (number,) in rows], np.int64)

    def whole_documents(
        self, commit: int, numbers: _Numbers | None = None
    ) -> Iterator[StoredDocument]:
        """Live documents, all or those of some insertion numbers, with all their rows.

        In insertion order, one text in memory at a time.
        """
        if numbers is None:
            numbers = self.document_numbers(commit)
        sql = (
            f"SELECT {_DOCUMENT} FROM json_each(:numbers) AS asked"
            " CROSS JOIN documents AS d ON d.number = asked.value"
            f" JOIN metadata AS m ON m.document = d.number AND {_LIVE.format('m')}"
            f" WHERE {_LIVE.format('d')} ORDER BY d.number"
        )
        for at in range(0, len(numbers), 100):
            some = json.dumps(numbers[at : at + 100].tolist())
            rows = self._rows(sql, {"numbers": some, "commit": commit})
            for number, id_, content_hash, metadata, *place in rows:
                passages = self._rows(
                    'SELECT number, document, ordinal, start, "end", line, page, headings'
                    f" FROM passages AS p WHERE document = :number AND {_LIVE.format('p')}"
                    " ORDER BY number",
                    {"number": number, "commit": commit},
                )
                row = DocumentRow(number, id_, content_hash, self._text(number), metadata, *place)
                yield StoredDocument(row, [PassageRow(*passage) for passage in passages])

    def as_nouns(self, stored: StoredDocument) -> tuple[Document, list[Passage]]:
        """A document and its passages as they travel between rooms."""
        row = stored.row
        metadata = self._parsed(row.metadata)
        passages = [
            Passage(
                row.id,
                part.ordinal,
                part.start,
                part.end,
                row.text[part.start : part.end],
                part.line,
                part.page,
                self._headings(part.headings),
            )
            for part in stored.passages
        ]
        return Document(row.text, row.id, metadata, row.syntax, row.file, row.line), passages

    def _text(self, document: int) -> str:
        """The text of a document by insertion number."""
        sql = "SELECT part, text FROM texts WHERE document = :document"
        return self._joined(dict(self._rows(sql, {"document": document})), document)

    def sources(self, commit: int) -> list[SourceRow]:
        """What documents are read from, in the order it was first added."""
        rows = self._rows(
            "SELECT number, path, label, options FROM sources AS s"
            f" WHERE {_LIVE.format('s')} ORDER BY number",
            {"commit": commit},
        )
        return [
            SourceRow(number, self._json(path, str, "string"), label, self._parsed(options))
            for number, path, label, options in rows
        ]

    def files(self, source: int, commit: int) -> dict[str, str]:
        """Fingerprints of a source's files by name, in the order of names."""
        return dict(
            self._rows(
                "SELECT name, fingerprint FROM files AS f"
                f" WHERE source = :source AND {_LIVE.format('f')} ORDER BY name",
                {"source": source, "commit": commit},
            )
        )

    def n_files(self, commit: int) -> int:
        """How many files documents were read from."""
        n: int = self._value(
            f"SELECT count(*) FROM files AS f WHERE {_LIVE.format('f')}", {"commit": commit}
        )
        return n

    def ids_of_file(self, name: str, commit: int) -> list[Id]:
        """Ids of the live documents of a file, and of what lies in it, in insertion order.

        What lies in it is in ``archive.zip/inner.md``, say. But where a folder has taken the name
        of a file, the files in the folder are files of their own.
        """
        inside = {"name": name, "first": f"{name}/", "end": f"{name}0", "commit": commit}
        rows = self._rows(
            "SELECT id, file FROM documents AS d"
            " WHERE (file = :name OR (file > :first AND file < :end))"
            f" AND {_LIVE.format('d')} ORDER BY number",
            inside,
        )
        others = {
            other
            for (other,) in self._rows(
                "SELECT name FROM files AS f"
                f" WHERE name > :first AND name < :end AND {_LIVE.format('f')}",
                inside,
            )
        }
        return [id_ for id_, file in rows if others.isdisjoint(_with_parents(file, len(name)))]

    # --- what a writer does ----------------------------------------------------------------------
    def replace_settings(self, value: str, commit: int) -> None:
        """Give the collection other settings from this commit on."""
        values = {"value": value, "commit": commit}
        self._change("UPDATE settings SET died = :commit WHERE died IS NULL", values)
        self._change("INSERT INTO settings VALUES (:value, :commit, NULL)", values)

    def replace_tuned(self, value: str | None, commit: int) -> None:
        """Note what the collection is tuned to from this commit on; None ends it."""
        values = {"value": value, "commit": commit}
        self._change("UPDATE tuned SET died = :commit WHERE died IS NULL", values)
        if value is not None:
            self._change("INSERT INTO tuned VALUES (:value, :commit, NULL)", values)

    def begin(self) -> Commit:
        """Begin the transaction of the next commit; the newest one."""
        self._change("BEGIN IMMEDIATE", {})
        return self.newest()

    def commit(self, commit: Commit) -> None:
        """End the transaction: from here on, readers see it."""
        self._change_many("INSERT INTO commits VALUES (?, ?, ?, ?, ?, ?, ?)", [commit])
        self._change("COMMIT", {})

    def end_log(self) -> None:
        """Make a durable commit that changes nothing, so that nothing in the log follows it.

        Rows of a commit that failed may stand there, and would count if the log were read anew.
        Within a transaction that has changed nothing yet, that one is begun again.
        """
        with self._connection() as connection:
            begun = connection.in_transaction
            if begun:
                connection.execute("ROLLBACK")
            connection.execute("BEGIN IMMEDIATE")
            try:
                connection.execute(f"PRAGMA user_version = {FORMAT}")  # writes the first page
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            if begun:
                connection.execute("BEGIN IMMEDIATE")

    def rollback(self) -> None:
        """Forget the transaction."""
        with self._connection() as connection:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    @property
    def n_changes(self) -> int:
        """Rows that this connection has changed."""
        with self._connection() as connection:
            return connection.total_changes

    def known(self, ids: Iterable[Id]) -> dict[Id, Known]:
        """What is known of live documents, the transaction's own changes seen."""
        rows = self._rows_by_id(
            "SELECT d.id, d.content_hash, d.file, d.line FROM {asked} AS asked"
            " CROSS JOIN documents AS d ON d.id = asked.value AND d.died IS NULL",
            ids,
        )
        return {id_: Known(*row) for id_, *row in rows}

    def add_documents(self, rows: Sequence[DocumentRow], born: int) -> None:
        """Add documents whose ids no live ones have."""
        self._change_many(
            "INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
            (
                (row.number, row.id, row.content_hash, row.syntax, row.file, row.line, born)
                for row in rows
            ),
        )
        self._change_many(
            "INSERT INTO texts VALUES (?, ?, ?)",
            (
                (row.number, part, row.text[start : start + PART])
                for row in rows
                for part, start in enumerate(range(0, max(len(row.text), 1), PART))
            ),
        )
        self._change_many(
            "INSERT INTO metadata VALUES (?, ?, ?, NULL)",
            ((row.number, row.metadata, born) for row in rows),
        )
        self.add_values(((row.number, row.metadata) for row in rows), born)

    def add_passages(self, rows: Iterable[PassageRow], born: int) -> None:
        """Add passages of documents that are added."""
        self._change_many(
            "INSERT INTO passages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)",
            ((*row, born) for row in rows),
        )

    def set_place(self, id_: Id, file: str | None, line: int | None) -> bool:
        """Give a live document another file and line; False when it is not there."""
        rows = self._rows(
            "SELECT number, file, line FROM documents WHERE id = :id AND died IS NULL", {"id": id_}
        )
        if not rows:
            return False
        ((number, old_file, old_line),) = rows
        values = {"number": number, "file": file, "line": line}
        if (file, line) != (old_file, old_line):
            self._change(
                "UPDATE documents SET file = :file, line = :line WHERE number = :number", values
            )
        if line is None:
            self._change(
                "UPDATE passages SET line = NULL WHERE document = :number AND line NOT NULL", values
            )
        elif old_line is None:
            text = self._text(number)
            starts = self._rows(
                "SELECT number, start FROM passages WHERE document = :number", values
            )
            self._change_many(
                "UPDATE passages SET line = ? WHERE number = ?",
                ((line + text.count("\n", 0, start), passage) for passage, start in starts),
            )
        elif line != old_line:
            values["n"] = line - old_line
            self._change("UPDATE passages SET line = line + :n WHERE document = :number", values)
        return True

    def add_source(self, path: str, label: str, options: str, born: int) -> int:
        """Add a source, or give the one of the same path this label and these options; its number.

        A path may hold bytes that are no UTF-8, which SQLite refuses and JSON does not.
        """
        values: dict[str, Any] = {
            "path": json.dumps(path), "label": label, "options": options, "commit": born,
        }  # fmt: skip
        rows = self._rows(
            "SELECT number, label, options FROM sources WHERE path = :path AND died IS NULL", values
        )
        if rows:
            values["number"] = rows[0][0]
            if rows[0][1:] == (label, options):
                return int(values["number"])
            self._change(
                "UPDATE sources SET died = :commit WHERE number = :number AND died IS NULL", values
            )
        else:
            values["number"] = self._value("SELECT coalesce(max(number), 0) + 1 FROM sources")
        self._change(
            "INSERT INTO sources VALUES (:number, :path, :label, :options, :commit, NULL)", values
        )
        return int(values["number"])

    def end_source(self, number: int, died: int) -> bool:
        """Let a live source and its files die; False when it is not there."""
        values = {"number": number, "died": died}
        self._change(
            "UPDATE files SET died = :died WHERE source = :number AND died IS NULL", values
        )
        sql = "UPDATE sources SET died = :died WHERE number = :number AND died IS NULL"
        return self._change(sql, values) > 0

    def set_file(self, name: str, source: int, fingerprint: str, commit: int) -> None:
        """Note what a file held when its documents were read."""
        values = {"name": name, "source": source, "fingerprint": fingerprint, "commit": commit}
        known = "SELECT source, fingerprint FROM files WHERE name = :name AND died IS NULL"
        if self._rows(known, values) != [(source, fingerprint)]:
            self.end_file(name, commit)
            self._change(
                "INSERT INTO files VALUES (:name, :source, :fingerprint, :commit, NULL)", values
            )

    def end_file(self, name: str, died: int) -> bool:
        """Let a file's row die; False when it is not there."""
        sql = "UPDATE files SET died = :died WHERE name = :name AND died IS NULL"
        return self._change(sql, {"name": name, "died": died}) > 0

    def end_documents(self, ids: Iterable[Id], died: int) -> tuple[int, int]:
        """Let live documents and their passages die; how many there were of both."""
        rows = self._rows_by_id(
            "SELECT d.number FROM {asked} AS asked"
            " CROSS JOIN documents AS d ON d.id = asked.value AND d.died IS NULL",
            ids,
        )
        numbers = sorted({number for (number,) in rows})
        if not numbers:
            return 0, 0
        values = {"numbers": json.dumps(numbers), "died": died}
        which = "IN (SELECT value FROM json_each(:numbers))"
        self._change(f"UPDATE documents SET died = :died WHERE number {which}", values)
        self._change(
            f"UPDATE metadata SET died = :died WHERE document {which} AND died IS NULL", values
        )
        n_passages = self._change(
            f"UPDATE passages SET died = :died WHERE document {which} AND died IS NULL", values
        )
        return len(numbers), n_passages

    def replace_metadata(self, id_: Id, metadata: str, commit: int) -> bool:
        """Give a live document other metadata; False when it is not there."""
        values = {"id": id_, "commit": commit, "value": metadata}
        number = self._value("SELECT number FROM documents WHERE id = :id AND died IS NULL", values)
        if number is None:
            return False
        values["number"] = number
        self._change(
            "UPDATE metadata SET died = :commit WHERE document = :number AND died IS NULL", values
        )
        self._change("INSERT INTO metadata VALUES (:number, :value, :commit, NULL)", values)
        self.replace_values(number, metadata, commit)
        return True

    def add_segment(self, row: SegmentRow, born: int) -> None:
        """Add a segment whose file is written and synced."""
        values = (*row[:5], *row.written, born)
        self._change_many("INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL)", [values])

    def retire_segments(self, names: Iterable[str], died: int) -> None:
        """Let segments die; their files stay until no reader can need them."""
        self._change_many(
            "UPDATE segments SET died = ? WHERE name = ?", ((died, name) for name in names)
        )

    def drop_passages(self, numbers: _Numbers, commit: int) -> None:
        """Note that no segment holds these dead passages any more."""
        self._change_many(
            "UPDATE passages SET dropped = ? WHERE number = ?",
            ((commit, number) for number in numbers.tolist()),
        )

    def add_generation(self, name: str, description: Mapping[str, Any], born: int) -> None:
        """Add a codec."""
        self._change_many(
            "INSERT INTO generations VALUES (?, ?, ?, NULL)",
            [(name, json.dumps(description, sort_keys=True), born)],
        )

    def add_chunk(self, generation: str, number: int, chunk: Chunk, born: int) -> None:
        """Add a chunk of a codec, whose pieces are written and synced."""
        pieces = json.dumps(chunk.pieces, sort_keys=True)
        self._change_many(
            "INSERT INTO chunks VALUES (?, ?, ?, ?, ?)",
            [(generation, number, chunk.n_tokens, pieces, born)],
        )

    def end_commits(self, oldest: int) -> None:
        """Forget the commits before ``oldest``: from here on nobody can hold one of them."""
        self._change("DELETE FROM commits WHERE number < :oldest", {"oldest": oldest})

    def is_much(self, oldest: int) -> bool:
        """Whether a purge takes longer than somebody who opens the collection should wait."""
        counts = (
            f"(SELECT count(*) FROM (SELECT 1 FROM {table} WHERE {column} <= :oldest LIMIT :n))"
            for table, column in _PURGED
        )
        parts = (
            "(SELECT count(*) FROM (SELECT 1 FROM documents AS d"
            " CROSS JOIN texts AS t ON t.document = d.number WHERE d.died <= :oldest LIMIT :n))"
        )
        postings = "(SELECT coalesce(sum(n_postings), 0) FROM runs WHERE died <= :oldest)"
        sql = f"SELECT {' + '.join(counts)} + {parts} * :a_part + {postings} / :a_row"
        values = {
            "oldest": oldest,
            "n": _ROWS_MUCH + 1,
            "a_part": _ROWS_A_PART,
            "a_row": _POSTINGS_A_ROW,
        }
        return bool(self._value(sql, values) > _ROWS_MUCH)

    def has_retired(self, oldest: int) -> bool:
        """Whether there are segments or codecs that only readers before ``oldest`` could see."""
        died = " UNION ALL ".join(
            f"SELECT 1 FROM {table} WHERE died <= :oldest" for table in ("segments", "generations")
        )
        return bool(self._value(f"SELECT EXISTS ({died})", {"oldest": oldest}))

    def purge_alone(self, oldest: int) -> None:
        """The same as ``purge``, in a transaction of its own."""
        self._change("BEGIN IMMEDIATE", {})
        try:
            self.purge(oldest)
            self._change("COMMIT", {})
        except BaseException:
            self.rollback()
            raise

    def purge(self, oldest: int) -> None:
        """Forget, in this transaction, what only readers before ``oldest`` could see.

        The files of segments and codecs among it are orphans then.
        """
        values = {"oldest": oldest}
        self._change("DELETE FROM segments WHERE died <= :oldest", values)
        n_generations = self._change("DELETE FROM generations WHERE died <= :oldest", values)
        if n_generations:
            self._change(
                "DELETE FROM chunks WHERE generation NOT IN (SELECT name FROM generations)", {}
            )
        for table in ("settings", "tuned", "metadata", "sources", "files"):
            self._change(f"DELETE FROM {table} WHERE died <= :oldest", values)
        self._change("DELETE FROM passages WHERE dropped <= :oldest", values)
        self.purge_runs(oldest)
        self._change(
            "DELETE FROM texts WHERE document IN"
            " (SELECT number FROM documents WHERE died <= :oldest)",
            values,
        )
        self.purge_values(oldest)
        self._change("DELETE FROM documents WHERE died <= :oldest", values)

    def known_files(self) -> tuple[set[str], dict[tuple[str, str], int]]:
        """Every segment file that has a row, and how much counts of each (generation, file)."""
        segments = self._rows("SELECT name || '.' || kind FROM segments")
        grown = self._rows(
            "SELECT generation, key || '.codec', sum(json_extract(value, '$[0]'))"
            " FROM chunks, json_each(pieces) GROUP BY generation, key"
        )
        return {name for (name,) in segments}, {(of, name): n for of, name, n in grown}


def _with_parents(name: str, n: int) -> Iterator[str]:
    """A name, and the longer than ``n`` characters of those that it lies in."""
    while len(name) > n:
        yield name
        name = name.rpartition("/")[0]

"""Metadata as rows that an index can find: one for each value at each path, of a typed kind.

A nested mapping's values have dotted paths (``author.name``); each element of a list is a row of
its own, whose kind says that it is in a list, as is that of all that is reached through one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from interlace.errors import Corrupt
from interlace.store.database import Database
from interlace.types import Id

NULL: Final = 0
BOOL: Final = 1
NUMBER: Final = 2
TEXT: Final = 3
LONG: Final = 4
LIST: Final = 5
OBJECT: Final = 6

IN_LIST: Final = 8
"""Added to the kind of what stands in a list, or is reached through one."""

NAMES: Final = {
    NULL: "null", BOOL: "truth values", NUMBER: "numbers", TEXT: "texts", LONG: "texts",
    LIST: "lists", OBJECT: "objects",
}  # fmt: skip
"""What messages and ``info`` call the values of a kind."""

TEXT_MAX: Final = 1_024
"""Characters of a text that are compared; longer ones are ``LONG``, and kept to this length."""

_INT_BITS = 63
_AT_ONCE = 10_000
_LIVE = "d.born <= :commit AND (d.died IS NULL OR d.died > :commit)"

Documents: TypeAlias = npt.NDArray[np.int64]
"""Insertion numbers of documents."""


class Value(NamedTuple):
    """A value as it is compared: ``True`` and ``1`` are of two kinds."""

    kind: int
    value: Any


def typed(value: Any) -> Value:
    """The value of a scalar that JSON may hold.

    Whole numbers beyond 64 bits count as the nearest float, or as infinite.
    """
    if value is None:
        return Value(NULL, 0)
    if isinstance(value, bool):
        return Value(BOOL, int(value))
    if isinstance(value, int):
        if value.bit_length() > _INT_BITS:
            try:
                return Value(NUMBER, float(value))
            except OverflowError:
                return Value(NUMBER, float("inf") if value > 0 else float("-inf"))
        return Value(NUMBER, value)
    if isinstance(value, float):
        return Value(NUMBER, value)
    return Value(LONG if len(value) > TEXT_MAX else TEXT, value)


def values(metadata: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
    """Every value of a document's metadata with its path; texts are whole."""
    for key, value in metadata.items():
        yield from _values(key, value, within_list=False)


def _values(
    path: str, value: Any, *, within_list: bool, is_element: bool = False
) -> Iterator[tuple[str, Value]]:
    in_list = IN_LIST if within_list else 0
    if isinstance(value, Mapping):
        yield path, Value(OBJECT + in_list, 0)
        for key, inner in value.items():
            yield from _values(f"{path}.{key}", inner, within_list=within_list)
    elif isinstance(value, list) and value and not is_element:
        for element in value:
            yield from _values(path, element, within_list=True, is_element=True)
    elif isinstance(value, list):  # an empty one, or an element, is only known to be there
        yield path, Value(LIST + in_list, 0)
    else:
        kind, comparable = typed(value)
        yield path, Value(kind + in_list, comparable)


def _kept(metadata: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
    """As ``values``, with as much of texts as the index keeps."""
    for path, (kind, value) in values(metadata):
        is_long = kind & ~IN_LIST == LONG
        yield path, Value(kind, value[:TEXT_MAX] if is_long else value)


class FieldTables(Database):
    """The values of metadata that filters look at, in a catalog."""

    _numbers: dict[str, int] | None = None

    # --- what a reader asks ----------------------------------------------------------------------
    def field(self, name: str) -> int | None:
        """The number of a field; None when no document ever had it."""
        number: int | None = self._value(
            "SELECT number FROM fields WHERE name = :name", {"name": name}
        )
        return number

    def field_names(self) -> list[str]:
        """Every field that a document has or had."""
        return [name for (name,) in self._rows("SELECT name FROM fields ORDER BY name")]

    def kinds(self, field: int, commit: int) -> frozenset[int]:
        """The kinds of a field's values, of documents that a commit sees."""
        sql = (
            "SELECT v.kind FROM field_values AS v"
            " CROSS JOIN documents AS d ON d.number = v.document"
            " WHERE v.field = :field AND v.kind > :last AND v.born <= :commit"
            f" AND (v.died IS NULL OR v.died > :commit) AND {_LIVE} ORDER BY v.kind LIMIT 1"
        )
        found: list[int] = []
        last = -1
        while rows := self._rows(sql, {"field": field, "last": last, "commit": commit}):
            last = self._after(last, rows[0][0])
            if last & ~IN_LIST not in NAMES:
                raise Corrupt(
                    f"the catalog is damaged: {self.path}: expected a kind of values, found {last}."
                    " Run `interlace repair`, which makes the values again."
                )
            found.append(last)
        return frozenset(found)

    def field_kinds(self, commit: int) -> dict[str, list[str]]:
        """What each field holds, as ``NAMES`` calls it; those left out that no document has now."""
        found = {}
        for number, name in self._rows("SELECT number, name FROM fields ORDER BY name"):
            kinds = self.kinds(number, commit)
            held = {NAMES[kind & ~IN_LIST] for kind in kinds}
            held |= {NAMES[LIST]} if any(kind >= IN_LIST for kind in kinds) else set()
            if held:
                found[name] = sorted(held)
        return found

    def matching(self, sql: str, values: Mapping[str, Any]) -> Documents:
        """The documents of a statement that gives them as ``document``, in no order.

        As one text, which a million numbers leave SQLite in four times as fast as by rows.
        """
        found = self._value(f"SELECT group_concat(CAST(document AS INTEGER)) FROM ({sql})", values)
        if found is None:
            return np.empty(0, np.int64)
        return np.fromstring(str(found), np.int64, sep=",")

    def metadata_of(self, documents: Documents, commit: int) -> Iterator[tuple[int, Any]]:
        """The metadata of some documents, as a commit sees them."""
        for some in np.array_split(documents, len(documents) // _AT_ONCE + 1):
            rows = self._rows(
                "SELECT m.document, m.value FROM json_each(:numbers) AS asked"
                " CROSS JOIN metadata AS m ON m.document = asked.value"
                " WHERE m.born <= :commit AND (m.died IS NULL OR m.died > :commit)",
                {"numbers": json.dumps(some.tolist()), "commit": commit},
            )
            for document, value in rows:
                yield document, self._parsed(value)

    def live_documents(self, commit: int) -> Documents:
        """Insertion numbers of live documents, in no order."""
        sql = f"SELECT number AS document FROM documents AS d WHERE {_LIVE}"
        return self.matching(sql, {"commit": commit})

    def live_ids(self, documents: Documents, commit: int) -> list[Id]:
        """Ids of those of these documents that are alive, in the order given."""
        sql = (
            "SELECT d.id FROM json_each(:numbers) AS asked"
            f" CROSS JOIN documents AS d ON d.number = asked.value WHERE {_LIVE}"
        )
        return [
            id_
            for some in np.array_split(documents, len(documents) // _AT_ONCE + 1)
            for (id_,) in self._rows(sql, {"numbers": json.dumps(some.tolist()), "commit": commit})
        ]

    def unlike_metadata(self, commit: int) -> Iterator[tuple[int, str]]:
        """Documents, and their metadata as JSON, that the index has other values of."""
        names = {number: name for name, number in self._rows("SELECT name, number FROM fields")}
        last = -1
        while True:
            asked = {"commit": commit, "last": last, "n": _AT_ONCE}
            rows = self._rows(
                "SELECT d.number, m.value FROM documents AS d JOIN metadata AS m"
                " ON m.document = d.number AND m.born <= :commit"
                f" AND (m.died IS NULL OR m.died > :commit) WHERE d.number > :last AND {_LIVE}"
                " ORDER BY d.number LIMIT :n",
                asked,
            )
            if not rows:
                return
            asked["end"] = self._after(last, rows[-1][0])
            held: dict[int, set[tuple[str | None, int, Any]]] = {}
            for document, field, kind, value in self._rows(
                "SELECT document, field, kind, value FROM field_values AS d"
                f" WHERE document > :last AND document <= :end AND {_LIVE}",
                asked,
            ):
                held.setdefault(document, set()).add((names.get(field), kind, value))
            for number, text in rows:
                wanted = {(path, *kept) for path, kept in _kept(self._parsed(text))}
                if wanted != held.get(number, set()):
                    yield number, text
            last = asked["end"]

    # --- what a writer does ----------------------------------------------------------------------
    def add_values(self, metadata: Iterable[tuple[int, str]], born: int) -> None:
        """Add the values of new documents, given as number and JSON."""
        rows = [
            (*row, number, born)
            for number, text in metadata
            if text != "{}"
            for row in self._rows_of(text)
        ]
        rows.sort()  # neighbours in the index together
        self._insert(rows)

    def replace_values(self, document: int, metadata: str, commit: int) -> None:
        """Let those values of a document die that it has no more, and add those that are new."""
        asked = {"document": document, "commit": commit}
        live = set(
            self._rows(
                "SELECT field, kind, value FROM field_values INDEXED BY field_values_by_document"
                " WHERE document = :document AND died IS NULL",
                asked,
            )
        )
        wanted = self._rows_of(metadata)
        gone = [
            {**asked, "field": field, "kind": kind, "value": value}
            for field, kind, value in live - wanted
        ]
        which = " WHERE field = :field AND kind = :kind AND value = :value AND document = :document"
        for row in gone:
            # What this commit has made nobody has seen, and its key may come again.
            self._change("DELETE FROM field_values" + which + " AND born = :commit", row)
            self._change(
                "UPDATE field_values SET died = :commit" + which + " AND died IS NULL", row
            )
        self._insert([(*row, document, commit) for row in sorted(wanted - live)])

    def purge_values(self, oldest: int) -> None:
        """Forget values, and those of documents, that only readers before ``oldest`` could see."""
        self._change("DELETE FROM field_values WHERE died <= :oldest", {"oldest": oldest})
        self._change(
            "DELETE FROM field_values WHERE document IN"
            " (SELECT number FROM documents WHERE died <= :oldest)",
            {"oldest": oldest},
        )

    def _insert(self, rows: Sequence[tuple[Any, ...]]) -> None:
        self._change_many("INSERT INTO field_values VALUES (?, ?, ?, ?, ?, NULL)", rows)

    def _rows_of(self, metadata: str) -> set[tuple[int, int, Any]]:
        """(field, kind, value) of a document's metadata: equal numbers, 1 and 1.0, are one."""
        return {(self._number(path), *kept) for path, kept in _kept(self._parsed(metadata))}

    def _number(self, name: str) -> int:
        if self._numbers is None:
            self._numbers = dict(self._rows("SELECT name, number FROM fields"))
        if name not in self._numbers:
            self._change("INSERT INTO fields (name) VALUES (:name)", {"name": name})
            self._numbers[name] = self._value("SELECT last_insert_rowid()")
        return self._numbers[name]

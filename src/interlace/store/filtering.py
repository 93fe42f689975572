"""From a filter to the documents that it matches: a statement a condition, their marks combined.

A condition becomes one statement on the index of values, or a few, which give insertion numbers;
these are marked in an array of one flag a document, and ``and``, ``or``, ``not`` combine arrays.
Where one side of an ``and`` is small, the others are asked only about its documents, through the
index by document.
"""

from __future__ import annotations

import json
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from interlace.errors import FilterError
from interlace.store.fields import (
    BOOL,
    IN_LIST,
    LONG,
    NAMES,
    NULL,
    NUMBER,
    TEXT,
    Documents,
    FieldTables,
    Value,
    values,
)
from interlace.store.where import (
    All,
    Condition,
    Not,
    Some,
    Test,
    Where,
    parse,
    refuse_unknown_field,
)
from interlace.types import Id

Marks: TypeAlias = npt.NDArray[np.bool_]
Bitmap: TypeAlias = npt.NDArray[np.uint8]

_FEW: Final = 64
"""Asking about one document costs as much as reading so many in the order of their values."""

_FEW_MAX: Final = 20_000
_SPARSE: Final = 16
_SPARSE_MIN: Final = 1 << 16
"""From so many numbers a document on, places are not the numbers themselves."""

_PARAMETERS_MAX: Final = 500
_CACHED_BYTES_MAX: Final = 1 << 26

_SEEN = "v.born <= :commit AND (v.died IS NULL OR v.died > :commit)"
_BY_VALUE = "SELECT v.document FROM field_values AS v WHERE v.field = :field"
_BY_DOCUMENT = (
    "SELECT v.document FROM json_each(:documents) AS asked CROSS JOIN field_values AS v"
    " INDEXED BY field_values_by_document ON v.document = asked.value AND v.field = :field"
)


class Counts(Protocol):
    """What a commit, or a transaction, tells of the documents that it sees."""

    @property
    def number(self) -> int:
        """The commit."""

    @property
    def n_documents(self) -> int:
        """Live ones."""

    @property
    def next_document(self) -> int:
        """How many insertion numbers were given out."""


class Universe:
    """The documents that there are to choose from, each with a place in an array of marks.

    Parameters
    ----------
    commit : Counts
        What there is, and how many numbers were given out.
    numbers : callable
        Gives the insertion numbers of these documents, some perhaps several times; asked only
        where most that were given out are of documents long gone.

    Attributes
    ----------
    size : int
        Places; some may stand for no document.
    """

    def __init__(self, commit: Counts, numbers: Callable[[], Documents]) -> None:
        self.size = max(1, commit.next_document)
        self._numbers: Documents | None = None
        if self.size > _SPARSE * commit.n_documents + _SPARSE_MIN:
            self._numbers = np.unique(numbers())
            self.size = len(self._numbers)

    def _places(self, documents: Documents) -> Documents:
        """The places of those documents that are among these."""
        if self._numbers is None:  # only damage leads beyond
            return documents[(documents >= 0) & (documents < self.size)]
        at = np.searchsorted(self._numbers, documents)
        at[at == self.size] = 0
        return at[self._numbers[at] == documents] if self.size else at[:0]

    def marks(self, documents: Documents) -> Marks:
        """An array with the places of these documents marked."""
        marks = np.zeros(self.size, np.bool_)
        marks[self._places(documents)] = True
        return marks

    def of(self, marks: Marks, documents: Documents) -> Marks:
        """For each of these documents whether it is marked; for others anything."""
        if self._numbers is None:
            return marks.take(documents, mode="clip")
        return marks.take(np.searchsorted(self._numbers, documents), mode="clip")

    def documents(self, marks: Marks) -> Documents:
        """The documents of the marked places, ascending."""
        at = np.flatnonzero(marks)
        return at if self._numbers is None else self._numbers[at]


class _Field(NamedTuple):
    """A field's number, and the kinds of values that it has."""

    number: int
    kinds: frozenset[int]

    @property
    def has_lists(self) -> bool:
        return any(kind >= IN_LIST for kind in self.kinds)

    def holds(self, kind: int) -> bool:
        """Whether a value of a kind may be compared with the field's."""
        kinds = {known & ~IN_LIST for known in self.kinds}
        return kind in kinds or kind == NULL or not kinds or (kind == TEXT and LONG in kinds)


class Filtering:
    """Answers one filter, at one commit.

    Parameters
    ----------
    rows : FieldTables
    commit : int
    universe : Universe
    """

    def __init__(self, rows: FieldTables, commit: int, universe: Universe) -> None:
        self._rows, self._commit, self._universe = rows, commit, universe
        self._few = min(_FEW_MAX, universe.size // _FEW)
        self._fields: dict[str, _Field] = {}

    def marks(self, condition: Condition) -> Marks:
        """The documents that match, as marks.

        Raises
        ------
        FilterError
            For a field that no document has, or a value of a kind that the field does not have.
        """
        self._check(condition)
        return self._marks(condition)

    # --- all documents ---------------------------------------------------------------------------
    def _marks(self, condition: Condition) -> Marks:
        universe = self._universe
        if isinstance(condition, Test):
            marks = universe.marks(self._matching(condition))
            return marks | ~self._marks(_exists(condition)) if _takes_null(condition) else marks
        if isinstance(condition, Not):
            return ~self._marks(condition.inner)
        if isinstance(condition, Some):
            return reduce(np.logical_or, map(self._marks, condition.terms))
        terms = self._with_spans(condition.terms)
        for limit in (self._few // 16, self._few):  # a broad side is soon seen to be broad
            for i, term in enumerate(terms):
                few = self._if_few(term, limit)
                if few is not None:
                    return universe.marks(self._among(All((*terms[:i], *terms[i + 1 :])), few))
        everything = np.ones(universe.size, np.bool_)
        return reduce(np.logical_and, map(self._marks, terms), everything)

    def _if_few(self, condition: Condition, limit: int) -> Documents | None:
        """The documents of a condition, ascending, unless they are more, or it takes long."""
        if not isinstance(condition, Test) or condition.op == "contains" or _takes_null(condition):
            return None
        found = self._matching(condition, limit=limit + 1)
        return np.unique(found) if len(found) <= limit else None

    def _with_spans(self, terms: Sequence[Condition]) -> list[Condition]:
        """The terms, with the two ends of a span in one: one run of the index instead of two.

        Not where a field has lists, of which one element may meet the one and another the other.
        """
        merged: dict[object, Condition] = {}
        for term in terms:
            key: object = term
            if isinstance(term, Test) and term.op[0] in "<>":
                kind = term.values[0].kind
                if not self._field(term.field).has_lists:
                    key = (term.field, kind, term.op[0])
                    other = (term.field, kind, "<" if term.op[0] == ">" else ">")
                    met = merged.get(other)
                    if key not in merged and isinstance(met, Test) and " " not in met.op:
                        merged[other] = replace(
                            met, op=f"{met.op} {term.op}", values=met.values + term.values
                        )
                        continue
                    key = term if key in merged else key
            merged[key] = term
        return list(merged.values())

    # --- some documents --------------------------------------------------------------------------
    def _among(self, condition: Condition, documents: Documents) -> Documents:
        """Those of these documents that match; both ascending."""
        if not len(documents):
            return documents
        if isinstance(condition, Test):
            found = np.unique(self._matching(condition, among=documents))
            if _takes_null(condition):
                with_field = self._among(_exists(condition), documents)
                found = np.union1d(found, np.setdiff1d(documents, with_field, assume_unique=True))
            return found
        if isinstance(condition, Not):
            inner = self._among(condition.inner, documents)
            return np.setdiff1d(documents, inner, assume_unique=True)
        if isinstance(condition, Some):
            return reduce(np.union1d, (self._among(term, documents) for term in condition.terms))
        return reduce(lambda left, term: self._among(term, left), condition.terms, documents)

    # --- one condition ---------------------------------------------------------------------------
    def _matching(
        self, test: Test, *, limit: int | None = None, among: Documents | None = None
    ) -> Documents:
        """The documents with a value that a condition is true of, some perhaps several times."""
        field = self._field(test.field)
        asked: dict[str, Any] = {"field": field.number, "commit": self._commit, "limit": limit}
        if among is not None:
            asked["documents"] = json.dumps(among.tolist())
        start = _BY_VALUE if among is None else _BY_DOCUMENT
        end = " LIMIT :limit" if limit is not None else ""

        def run(where: str, parameters: Mapping[str, Any]) -> Documents:
            return self._rows.matching(
                f"{start} AND {_SEEN}{where and f' AND {where}'}{end}", {**asked, **parameters}
            )

        found = [run(*one) for one in _statements(test, field.kinds)]
        if test.op == "contains" and test.values[0].kind == TEXT and LONG in field.kinds:
            long = np.unique(run("v.kind = :kind", {"kind": LONG}))
            found.append(self._long(test.field, test.values[0].value, long))
        return np.concatenate(found or [np.empty(0, np.int64)])

    def _long(self, field: str, text: str, documents: Documents) -> Documents:
        """Those documents with a long text there that holds this one: only the whole tells."""
        found = [
            document
            for document, metadata in self._rows.metadata_of(documents, self._commit)
            if any(
                path == field and value.kind == LONG and text in value.value
                for path, value in values(metadata)
            )
        ]
        return np.array(found, np.int64)

    # --- fields ----------------------------------------------------------------------------------
    def _field(self, name: str) -> _Field:
        if name not in self._fields:
            number = self._rows.field(name)
            if number is None:
                raise refuse_unknown_field(name, self._rows.field_names())
            self._fields[name] = _Field(number, self._rows.kinds(number, self._commit))
        return self._fields[name]

    def _check(self, condition: Condition) -> None:
        """Refuse unknown fields, and values of a kind that their field does not have."""
        if isinstance(condition, Not):
            self._check(condition.inner)
        elif isinstance(condition, All | Some):
            for term in condition.terms:
                self._check(term)
        else:
            field = self._field(condition.field)
            for value in condition.values:
                if not field.holds(value.kind):
                    raise _ill_typed(condition, value, field.kinds, self._rows.field_names())


def _exists(test: Test) -> Test:
    return Test(test.field, "exists")


def _takes_null(test: Test) -> bool:
    """Whether a condition also matches documents without a value."""
    return test.op == "in" and any(value.kind == NULL for value in test.values)


def _statements(test: Test, known: frozenset[int]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The conditions on ``v``, and their parameters, of which a value must meet any.

    Only kinds that the field is known to have are asked for.
    """
    if test.op == "exists":
        yield "", {}
    elif test.op == "in":
        for kind in known:
            yield from _equal(test, kind)
    elif test.op == "contains":
        (value,) = test.values
        if value.kind + IN_LIST in known:  # a list holds the value
            yield from _equal(test, value.kind + IN_LIST)
        if value.kind == TEXT and TEXT in known:  # a text holds the text
            parameters = {"kind": TEXT, "value": value.value}
            yield "v.kind = :kind AND instr(v.value, :value)", parameters
    else:
        parameters = {f"v{i}": value.value for i, value in enumerate(test.values)}
        condition = " AND ".join(f"v.value {sign} :v{i}" for i, sign in enumerate(test.op.split()))
        # A long text is kept to as many characters as a value may have that it is compared with:
        # where they are equal so far, it is the greater.
        beyond = condition.replace(">=", ">").replace("<=", "<").replace(">", ">=")
        for kind in known:
            if kind & ~IN_LIST == test.values[0].kind:
                yield f"v.kind = :kind AND {condition}", {"kind": kind, **parameters}
            elif kind & ~IN_LIST == LONG and test.values[0].kind == TEXT:
                yield f"v.kind = :kind AND {beyond}", {"kind": kind, **parameters}


def _equal(test: Test, kind: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """As ``_statements``: values of a kind that are one of the condition's."""
    wanted = [value.value for value in test.values if value.kind == kind & ~IN_LIST]
    for at in range(0, len(wanted), _PARAMETERS_MAX):
        parameters = {f"v{i}": value for i, value in enumerate(wanted[at : at + _PARAMETERS_MAX])}
        names = ", ".join(f":{name}" for name in parameters)
        yield f"v.kind = :kind AND v.value IN ({names})", {"kind": kind, **parameters}


def _ill_typed(
    test: Test, value: Value, known: frozenset[int], names: Sequence[str]
) -> FilterError:
    kinds = {kind & ~IN_LIST for kind in known}
    shown = bool(value.value) if value.kind == BOOL else value.value
    held = " and ".join(sorted({NAMES[kind] for kind in kinds - {NULL}})) or "only null"
    remedy = f"Compare it with {held}."
    nested = [name for name in names if name.startswith(f"{test.field}.")]
    if not kinds & {BOOL, NUMBER, TEXT, LONG}:
        remedy = f"Name what is in it: {', '.join(nested[:10])}." if nested else "Use $exists."
    elif value.kind == TEXT and NUMBER in kinds:
        remedy = "Write a number without quotes."
    elif value.kind == NUMBER and TEXT in kinds:
        remedy = f"Write a text: {str(shown)!r}."
    return FilterError(
        f"the field has no {NAMES[value.kind]}, but {held}: where, field {test.field!r}, "
        f"{shown!r:.60}. {remedy}"
    )


def ids_where(rows: FieldTables, commit: Counts, where: Where) -> list[Id]:
    """Ids of the live documents that match a filter, in insertion order."""
    return rows.live_ids(documents_where(rows, commit, where), commit.number)


def documents_where(rows: FieldTables, commit: Counts, where: Where) -> Documents:
    """Insertion numbers of the documents that match a filter, ascending; some may be dead."""
    condition = parse(where)
    if not commit.n_documents:
        return np.empty(0, np.int64)
    universe = Universe(commit, lambda: rows.live_documents(commit.number))
    marks = Filtering(rows, commit.number, universe).marks(condition)
    return universe.documents(marks)


class Cache:
    """The bitmaps of the filters that were used last. For any thread, and children after a fork."""

    def __init__(self) -> None:
        self._bitmaps: OrderedDict[Condition, Bitmap] = OrderedDict()
        self._n_bytes = 0
        self._lock, self._pid = threading.Lock(), os.getpid()

    def get(self, condition: Condition) -> Bitmap | None:
        """The bitmap of a filter, if it is known."""
        with self._mine():
            bitmap = self._bitmaps.get(condition)
            if bitmap is not None:
                self._bitmaps.move_to_end(condition)
            return bitmap

    def put(self, condition: Condition, bitmap: Bitmap) -> None:
        """Keep a bitmap, and let go of the one that was not used for longest."""
        bitmap.flags.writeable = False
        with self._mine():
            self._n_bytes += bitmap.nbytes - getattr(self._bitmaps.get(condition), "nbytes", 0)
            self._bitmaps[condition] = bitmap
            while self._n_bytes > _CACHED_BYTES_MAX and len(self._bitmaps) > 1:
                self._n_bytes -= self._bitmaps.popitem(last=False)[1].nbytes

    def _mine(self) -> threading.Lock:
        """The lock. A thread may hold the parent's for ever in a child, which takes another."""
        if self._pid != os.getpid():
            self._lock, self._pid = threading.Lock(), os.getpid()
        return self._lock

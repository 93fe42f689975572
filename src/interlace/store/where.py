"""What a filter may say: ``where`` mappings and texts into one canonical form that can be a key.

The operators mean what they mean in MongoDB. So a list matches when any of its elements does;
``$ne``, ``$nin`` and ``$not`` match whatever their opposites do not, documents without the field
included; and null is a null or no value at all.
"""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from interlace.errors import FilterError
from interlace.store.fields import BOOL, NULL, TEXT_MAX, Value, typed
from interlace.store.wheretext import mapping_from

Where: TypeAlias = Mapping[str, Any] | str

DEPTH_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class Test:
    """One condition on the values of a field.

    Attributes
    ----------
    field : str
        The dotted path.
    op : str
        ``in`` and ``contains`` (any of the values), ``exists`` (no values), or one or two of
        ``>``, ``>=``, ``<``, ``<=``, each with its value.
    values : tuple of Value
        Ascending, for ``in``.
    """

    field: str
    op: str
    values: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True)
class Not:
    """Whatever the inner condition does not match."""

    inner: Condition


@dataclass(frozen=True, slots=True)
class All:
    """What every term matches; without terms, everything."""

    terms: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """What any of the terms matches."""

    terms: tuple[Condition, ...]


Condition: TypeAlias = Test | Not | All | Some

_ORDERS: Final = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_LOGIC: Final = ("$and", "$or", "$not")
_OPERATORS: Final = ("$eq", "$ne", *_ORDERS, "$in", "$nin", "$exists", "$contains", "$not")


def parse(where: Where) -> Condition:
    """Read a filter.

    Parameters
    ----------
    where : mapping or str
        ``{"year": {"$gte": 2020}, "lang": ["en", "de"]}``, or ``'year >= 2020 and lang in ["en",
        "de"]'``.

    Raises
    ------
    FilterError
        When it cannot be read; the message says where in it.
    """
    if isinstance(where, str):
        where = mapping_from(where)
    if not isinstance(where, Mapping):
        raise FilterError(
            f"a filter must be a mapping or a str, not {type(where).__name__}: where. "
            'Write {"year": {"$gte": 2020}}.'
        )
    return _all(where, "where", 0)


def matches_all(where: Where) -> bool:
    """Whether a filter matches every document, whatever its metadata: it says nothing."""
    return _constant(parse(where)) is True


def _constant(condition: Condition) -> bool | None:
    """True for what every document meets, False for what none does, None where metadata decide."""
    if isinstance(condition, Test):
        return False if condition.op == "in" and not condition.values else None
    if isinstance(condition, Not):
        inner = _constant(condition.inner)
        return None if inner is None else not inner
    decisive = isinstance(condition, Some)
    found = {_constant(term) for term in condition.terms}
    if decisive in found:
        return decisive
    return None if None in found else not decisive


def _all(where: Mapping[Any, Any], at: str, depth: int) -> Condition:
    _check_depth(depth, at)
    return _joined(All, [_term(key, value, at, depth) for key, value in where.items()])


def _joined(kind: type[All] | type[Some], terms: Sequence[Condition]) -> Condition:
    """All or some of the terms; those that are joined in the same way become part of it."""
    flat = [
        inner for term in terms for inner in (term.terms if isinstance(term, kind) else (term,))
    ]
    return flat[0] if len(flat) == 1 else kind(tuple(flat))


def _term(key: object, value: Any, at: str, depth: int) -> Condition:
    if not isinstance(key, str):
        raise FilterError(
            f"a field's name must be a str, not {type(key).__name__}: {at}, {key!r}. "
            f"Write {str(key)!r}."
        )
    _check_text(key, f"{at}, the field {key!r}")
    here = f"{at}, {key}"
    if key in ("$and", "$or"):
        if not isinstance(value, list | tuple) or not value:
            raise FilterError(
                f"{key} takes a list of filters, at least one: {here}, {value!r:.60}. "
                f'Write {{"{key}": [{{…}}, {{…}}]}}.'
            )
        terms = [
            _all(_mapping(one, f"{here}[{i}]"), f"{here}[{i}]", depth + 1)
            for i, one in enumerate(value)
        ]
        return _joined(All if key == "$and" else Some, terms)
    if key == "$not":
        return Not(_all(_mapping(value, here), here, depth + 1))
    if key.startswith("$"):
        raise _unknown(key, at, _LOGIC)
    return _field(key, value, f"{at}, field {key!r}", depth)


def _field(field: str, value: Any, at: str, depth: int) -> Condition:
    """What is said of one field."""
    _check_depth(depth, at)
    if not isinstance(value, Mapping):
        return Test(field, "in", _list(value, at) if _is_list(value) else (_scalar(value, at),))
    plain = [key for key in value if not (isinstance(key, str) and key.startswith("$"))]
    if plain or not value:
        inner = f"{field}.{plain[0]}" if plain else f"{field}.name"
        raise FilterError(
            f"a field is compared with a value or by operators: {at}, {dict(value)!r:.60}. "
            f"For what is nested in it, write {inner!r}."
        )
    return _joined(All, [_operation(field, op, one, at, depth) for op, one in value.items()])


def _operation(field: str, op: str, value: Any, at: str, depth: int) -> Condition:
    here = f"{at}, {op}"
    if op in ("$eq", "$ne"):
        if _is_list(value):
            raise FilterError(f"{op} takes one value: {here}, {value!r:.60}. For several, use $in.")
        test = Test(field, "in", (_scalar(value, here),))
        return Not(test) if op == "$ne" else test
    if op in ("$in", "$nin"):
        if not _is_list(value):
            raise FilterError(f"{op} takes a list: {here}, {value!r:.60}. Write [{value!r:.60}].")
        test = Test(field, "in", _list(value, here))
        return Not(test) if op == "$nin" else test
    if op in _ORDERS:
        one = _scalar(value, here)
        if one.kind in (NULL, BOOL):
            raise FilterError(
                f"only numbers and texts have an order: {here}, {value!r}. Use $eq or $ne."
            )
        return Test(field, _ORDERS[op], (one,))
    if op == "$exists":
        if not isinstance(value, bool | np.bool_):
            raise FilterError(f"$exists takes True or False: {here}, {value!r:.60}. Write True.")
        return Test(field, "exists") if value else Not(Test(field, "exists"))
    if op == "$contains":
        return Test(field, "contains", (_scalar(value, here),))
    if op == "$not":
        return Not(_field(field, _mapping(value, here), here, depth + 1))
    raise _unknown(op, at, _OPERATORS)


def _is_list(value: object) -> bool:
    return isinstance(value, np.ndarray) or (
        isinstance(value, Sequence | Set) and not isinstance(value, str | bytes | bytearray)
    )


def _list(value: Iterable[Any], at: str) -> tuple[Value, ...]:
    return tuple(sorted({_scalar(one, f"{at}[{i}]") for i, one in enumerate(value)}))


def _mapping(value: object, at: str) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise FilterError(
            f"a filter must be a mapping, not {type(value).__name__}: {at}, {value!r:.60}. "
            'Write {"year": {"$gte": 2020}}.'
        )
    return value


def _scalar(value: object, at: str) -> Value:
    """A value that metadata could hold, as it is compared."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        _check_text(value, at)
        if len(value) > TEXT_MAX:
            raise FilterError(
                f"a text is too long to compare: {at}, {len(value):,} characters. "
                f"Allowed are {TEXT_MAX:,}."
            )
        return typed(str.__str__(value))  # of an enumeration's member the text, as JSON has it
    if value is None or isinstance(value, bool):
        return typed(value)
    if isinstance(value, numbers.Integral):
        return typed(int(value))
    if isinstance(value, float):
        if math.isnan(value):
            raise FilterError(f"nothing compares with NaN: {at}. For no value, use None.")
        return typed(float(value))
    kind = type(value).__name__
    if hasattr(value, "isoformat"):
        raise FilterError(
            f"metadata has no {kind}: {at}, {value}. Compare ISO strings, as they are stored: "
            f"{value.isoformat()!r}."
        )
    raise FilterError(
        f"metadata cannot be compared with a {kind}: {at}, {value!r:.60}. "
        "Use a string, a number, True, False or None."
    )


def _check_text(text: str, at: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise FilterError(f"half of a surrogate pair is no character: {at}. Decode it.") from None


def _check_depth(depth: int, at: str) -> None:
    if depth > DEPTH_MAX:
        raise FilterError(
            f"a filter is nested too deep: {at[:60]}…. Allowed are {DEPTH_MAX} levels."
        )


def _unknown(op: object, at: str, allowed: Sequence[str]) -> FilterError:
    close = difflib.get_close_matches(str(op), allowed, n=1)
    hint = f"Did you mean {close[0]}?" if close else f"There are {', '.join(allowed)}."
    return FilterError(f"unknown operator {op!r}: {at}. {hint}")


def refuse_unknown_field(name: str, known: Sequence[str]) -> FilterError:
    """The error for a field that no document has, with the names nearest to it."""
    folded: dict[str, list[str]] = {}
    for one in known:
        folded.setdefault(one.casefold(), []).append(one)
    near = difflib.get_close_matches(name.casefold(), folded, n=3)
    if close := [one for key in near for one in folded[key]]:
        hint = f"Did you mean {' or '.join(map(repr, close[:3]))}?"
    elif known:
        hint = f"There are {', '.join(map(repr, known[:10]))}" + ("." if len(known) < 11 else " ….")
    else:
        hint = "No document has metadata."
    return FilterError(f"no document has this field: where, {name!r}. {hint}")

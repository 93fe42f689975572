"""JSON lines: an object a line, such as ``{"id": …, "text": …}``, or a text in quotes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import IO, NoReturn

from interlace.text.encodings import lines
from interlace.text.records import Fields, Row, read_record
from interlace.types import Document, Skipped


def read(stream: IO[bytes], name: str, fields: Fields) -> Iterator[Document | Skipped]:
    """Yield a document a line; blank lines are passed over, bad ones named.

    The id is in ``id`` or ``_id``, the text in ``text``, or in the fields that are asked for;
    without such a field the text is all fields, a line each. ``metadata`` and all other fields
    become metadata.
    """
    for row in rows(lines(stream, name), name):
        if isinstance(row, Skipped):
            yield row
        else:
            yield read_record(row.record, fields, row.where, row.number)


def rows(numbered: Iterable[tuple[int, str]], name: str) -> Iterator[Row | Skipped]:
    """Yield what stands in each line; blank lines are passed over."""
    for number, line in numbered:
        if line.isspace():
            continue
        where = f"{name}, line {number}"
        try:
            yield Row(where, number, json.loads(line, parse_constant=refuse_constant))
        except (ValueError, RecursionError) as error:
            yield Skipped(where, f"bad JSON ({reason(error)}); each line must be one JSON object")


def reason(error: Exception) -> str:
    """Say what is wrong with a JSON text, and where."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}, column {error.colno}"
    if isinstance(error, RecursionError):
        return "nested too deep"
    return str(error)


def refuse_constant(constant: str) -> NoReturn:
    """Refuse NaN and the infinities, which JSON does not have."""
    raise ValueError(f"{constant} is no JSON number")

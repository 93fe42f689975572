"""JSON lines: a line is ``{"id": …, "text": …, "metadata": {…}}``, or a text in quotes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, NoReturn

from interlace.errors import InputError
from interlace.text.lines import lines
from interlace.text.records import document_from
from interlace.types import Document


def read(stream: IO[bytes], name: str) -> Iterator[Document]:
    """Yield a document a line; blank lines are passed over.

    Raises
    ------
    InputError
        Naming file and line, for what is not JSON or not a document.
    """
    for number, line in lines(stream, name):
        if line.isspace():
            continue
        where = f"{name}, line {number}"
        try:
            record = json.loads(line, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"bad JSON ({_reason(error)}): {where}. Each line must be one JSON object; "
                "for another format pass format='text', 'csv' or 'tsv'."
            ) from None
        yield document_from(record, where)


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}, column {error.colno}"
    return str(error)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")

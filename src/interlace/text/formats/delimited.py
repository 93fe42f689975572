"""Tables: ``.csv`` with a header and RFC 4180 quoting; ``.tsv`` as ``id<TAB>text``, unquoted."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterator, Sequence
from typing import IO, Any, Final

from interlace.errors import InputError
from interlace.text.lines import lines
from interlace.text.records import document_from
from interlace.types import Document

#: The csv module keeps it in a C long, which has 32 bits on Windows.
_FIELD_MAX: Final = 2**31 - 1


def read_csv(stream: IO[bytes], name: str) -> Iterator[Document]:
    """Yield a document a row; ``text`` is required, ``id`` optional, the rest is metadata.

    Quoting follows RFC 4180: a field in double quotes may hold commas, line ends and, doubled,
    quotes. Every row has as many fields as the header.

    Raises
    ------
    InputError
        Naming file and line.
    """
    # The csv module caps a field at 128 KiB for the whole process; a document may be longer.
    csv.field_size_limit(_FIELD_MAX)
    rows = csv.reader((line for _, line in lines(stream, name)), strict=True)
    header = _next_row(rows, name)
    if header is None:
        return
    _check_header(header, name)
    while True:
        line = rows.line_num + 1
        row = _next_row(rows, name)
        if row is None:
            return
        if not row:
            continue
        where = f"{name}, line {line}"
        if len(row) != len(header):
            raise InputError(
                f"{len(row)} fields where the header has {len(header)}: {where}. "
                "Put fields that hold a comma, a quote or a line end in double quotes."
            )
        fields = dict(zip(header, row, strict=True))
        record: dict[str, Any] = {key: fields.pop(key) for key in ("id", "text") if key in fields}
        yield document_from({**record, "metadata": fields}, where)


def read_tsv(stream: IO[bytes], name: str) -> Iterator[Document]:
    """Yield a document a line ``id<TAB>text``; quotes and backslashes stand for themselves.

    Raises
    ------
    InputError
        Naming file and line, when a line has not exactly two columns: a text cannot hold a tab
        or a line end in this format.
    """
    end = None
    for number, line in lines(stream, name):
        where = f"{name}, line {number}"
        ending = "\r\n" if line.endswith("\r\n") else "\n"
        end = end or ending
        # With two kinds of line end nobody can tell whether a carriage return is text.
        if line.endswith("\n") and ending != end:
            raise InputError(
                f"line ends differ ({ending!r}, first line {end!r}): {where}. "
                "Use one kind, or JSONL when texts end in a carriage return."
            )
        columns = line.removesuffix(end).split("\t")
        if len(columns) != 2:
            raise InputError(
                f"{len(columns)} columns where id<TAB>text has 2: {where}. "
                "Texts with tabs or line ends need JSONL or CSV."
            )
        yield document_from({"id": columns[0], "text": columns[1]}, where)


def _next_row(rows: Iterator[list[str]], name: str) -> list[str] | None:
    try:
        return next(rows, None)
    except csv.Error as error:
        line = getattr(rows, "line_num", 0)
        raise InputError(
            f"bad CSV ({error}): {name}, line {line}. Quotes inside a quoted field are doubled."
        ) from None


def _check_header(header: Sequence[str], name: str) -> None:
    if "text" not in header:
        close = difflib.get_close_matches("text", [h.lower() for h in header], n=1, cutoff=0.5)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        raise InputError(
            f"no column 'text' in the header ({', '.join(header)}): {name}, line 1. "
            f"{hint}Name the column with the text 'text'."
        )
    if twice := {column for column in header if header.count(column) > 1}:
        raise InputError(
            f"column {min(twice)!r} stands twice in the header: {name}, line 1. Rename one."
        )

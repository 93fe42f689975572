"""XLSX: a heading a sheet, an item a row, each value after the name of its column."""

from __future__ import annotations

import datetime
import io
import warnings
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import IO, Any, Final

from interlace.errors import InputError
from interlace.extras import need
from interlace.text.markup import heading, joined
from interlace.text.packages import Package
from interlace.text.records import Fields
from interlace.types import Document, Skipped

#: As much text as one document should have.
_CHARACTERS_MAX: Final = 16 * 2**20
_REMEDY: Final = "save it as .csv, which is read whatever its size"
#: Where, below a sheet's title, its header may be.
_HEADER_ROWS: Final = 10


def read(stream: IO[bytes], name: str, fields: Fields) -> Iterator[Document | Skipped]:
    """Yield a workbook as one document, ``- name: value; …`` a row, and a note on what is too much.

    A row tells by itself what its values are, wherever the text is cut into passages. Formulas
    give the values that were last computed. Title, author and the date of the last change are
    metadata.

    Raises
    ------
    InputError
        When the file is no XLSX, encrypted, damaged or has no text.
    MissingExtra
        Without openpyxl.
    """
    openpyxl = need("openpyxl", extra="documents")
    package = Package(stream, name, "XLSX")
    with package.reading(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about styles and checks, which are not read
        text, skipped = _contents(openpyxl, package)
    if not any(map(str.isalnum, text)):
        raise InputError(f"no text in it: {name}.")
    yield Document(text, metadata=package.core_metadata(), syntax="markdown")
    yield from skipped


def _contents(openpyxl: Any, package: Package) -> tuple[str, list[Skipped]]:
    book = openpyxl.load_workbook(io.BytesIO(package.data), read_only=True, data_only=True)
    blocks: list[str] = []
    skipped = []
    n_left = _CHARACTERS_MAX
    try:
        for sheet in book.worksheets:
            sheet.reset_dimensions()  # what a file says of its size may be wrong
            lines, n_cut = _lines(sheet.iter_rows(values_only=True), n_left)
            n_left -= sum(map(len, lines))
            if lines:
                blocks += [heading(sheet.title, 1), "\n".join(lines)]
            if n_cut:
                where = f"{package.name}, sheet {sheet.title}"
                skipped.append(Skipped(where, f"its last {n_cut:,} rows are too much; {_REMEDY}"))
    finally:
        book.close()
    return joined(blocks), skipped


def _lines(values: Iterator[Sequence[Any]], n_characters: int) -> tuple[list[str], int]:
    """Return a line for each row that has values, and how many rows found no room."""
    rows = (row for one in values if any(row := [_shown(value) for value in one]))
    first = list(islice(rows, _HEADER_ROWS))
    n_above, header = _header(first)
    lines = ["; ".join(filter(None, row)) for row in first[:n_above]]
    n_cut = 0
    for row in chain(first[n_above + bool(header) :], rows):
        line = _line(header, row)
        n_characters -= len(line)
        if n_characters < 0:
            n_cut += 1
        else:
            lines.append(line)
    return lines, n_cut


def _header(rows: Sequence[Sequence[str]]) -> tuple[int, Sequence[str]]:
    """Return how many rows stand above the names of the columns, and the names, if any."""
    n_columns = max((sum(map(bool, row)) for row in rows), default=0)
    for i, row in enumerate(rows[:-1]):
        names = list(filter(None, row))
        if len(names) < max(2, 0.6 * n_columns):
            continue
        is_named = len(set(names)) == len(names) and not any(map(_is_number, names))
        return (i, row) if is_named else (0, ())
    return 0, ()


def _line(header: Sequence[str], row: Sequence[str]) -> str:
    names = [*header, *[""] * (len(row) - len(header))]
    pairs = zip(names, row, strict=False)
    return "- " + "; ".join(f"{key}: {value}" if key else value for key, value in pairs if value)


def _shown(value: Any) -> str:
    """Return a cell as a person reads it."""
    if value is None:
        return ""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.12g}"
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ").removesuffix(" 00:00:00")
    return " ".join(str(value).split())


def _is_number(text: str) -> bool:
    return not any(map(str.isalpha, text))

"""Tables of text: CSV with quoting, its delimiter found; TSV, where nothing is quoted."""

from __future__ import annotations

import csv
import sys
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import IO, Final

from interlace.text.encodings import lines
from interlace.text.formats.plain import documents
from interlace.text.records import Fields, read_record
from interlace.types import Document, Skipped

#: The csv module keeps it in a C long, which has 32 bits on Windows.
_FIELD_MAX: Final = min(sys.maxsize, 2**31 - 1)

_DELIMITERS: Final = ",;\t|"

#: Lines that a delimiter is told from, and a table from a text.
_SAMPLE_LINES: Final = 50

#: A quote that is open for so many lines was never meant to be one.
_QUOTED_LINES_MAX: Final = 10_000

_Line = tuple[int, str]


def read_csv(stream: IO[bytes], name: str, fields: Fields) -> Iterator[Document | Skipped]:
    """Yield a document a row; the first row names the columns.

    The delimiter, one of ``, ; |`` and tab, is found. A field in double quotes may hold it, line
    ends and, doubled, quotes. The id is in the column ``id``, the text in ``text``, or in the
    columns that are asked for; without such a column the text is all columns, a line each. The
    other columns are metadata. A row with more or fewer fields than the header is named and left
    out.
    """
    # The csv module caps a field at 128 KiB for the whole process; a document may be longer.
    csv.field_size_limit(_FIELD_MAX)
    source = lines(stream, name)
    sample = list(islice(source, _SAMPLE_LINES))
    delimiter = _delimiter([line for _, line in sample])
    header: list[str] | None = None
    for number, row in _rows(chain(sample, source), delimiter):
        where = f"{name}, line {number}"
        if isinstance(row, str):
            yield Skipped(where, row)
        elif not row:
            continue
        elif header is None:
            header = _named(row)
        else:
            yield _of_row(row, header, fields, where, number)


def read_tsv(stream: IO[bytes], name: str, fields: Fields) -> Iterator[Document | Skipped]:
    """Yield a document a row; quotes and backslashes stand for themselves.

    Rows of two columns are ``id<TAB>text``, unless the first one names a column ``text``. Other
    tables have the names of their columns in the first row, and are read like CSV. Lines at the
    top that begin with ``#`` are comments. What turns out to be no table is one document.
    """
    source = lines(stream, name)
    sample = list(islice(source, _SAMPLE_LINES))
    n_comments = next((i for i, (_, line) in enumerate(sample) if not line.startswith("#")), 0)
    rows = [_columns(line) for _, line in sample[n_comments:] if line.strip()]
    if rows and not _is_table(rows):
        yield from documents((line for _, line in chain(sample, source)), name)
        return
    body = chain(sample[n_comments:], source)
    if rows and len(rows[0]) == 2 and not _has_text(rows[0]) and not (fields.id or fields.text):
        yield from _pairs(body, name)
        return
    header: list[str] | None = None
    for number, line in body:
        where = f"{name}, line {number}"
        if not line.strip():
            continue
        if header is None:
            header = _named(_columns(line))
        else:
            yield _of_row(_columns(line), header, fields, where, number)


def _pairs(body: Iterator[_Line], name: str) -> Iterator[Document | Skipped]:
    """Rows ``id<TAB>text``."""
    end = None
    for number, line in body:
        where = f"{name}, line {number}"
        ending = "\r\n" if line.endswith("\r\n") else "\n"
        end = end or ending
        # With two kinds of line end nobody can tell whether a carriage return is text.
        if line.endswith("\n") and ending != end:
            why = f"line ends differ ({ending!r}, first line {end!r}); use one kind, or JSON lines"
            yield Skipped(where, why)
            continue
        columns = line.removesuffix(end).split("\t")
        if len(columns) != 2:
            why = f"{len(columns)} columns where id<TAB>text has 2; texts with tabs need JSON lines"
            yield Skipped(where, why)
            continue
        yield read_record({"id": columns[0], "text": columns[1]}, Fields(), where, number)


def _of_row(
    row: Sequence[str], header: Sequence[str], fields: Fields, where: str, number: int
) -> Document | Skipped:
    if len(row) != len(header):
        why = f"{len(row)} fields where the header has {len(header)}"
        return Skipped(where, f"{why}; put fields that hold a delimiter in double quotes")
    return read_record(dict(zip(header, row, strict=True)), fields, where, number)


def _rows(source: Iterator[_Line], delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
    """Rows with the line where they begin; a row that cannot be parsed as the reason.

    After a broken row reading goes on with the next line, whatever a stray quote has swallowed.
    """
    waiting: deque[_Line] = deque()
    taken: list[_Line] = []

    def feed() -> Iterator[str]:
        while len(taken) < _QUOTED_LINES_MAX:
            line = waiting.popleft() if waiting else next(source, None)
            if line is None:
                return
            taken.append(line)
            yield line[1]
        raise csv.Error("a quote is not closed")

    reader = csv.reader(feed(), delimiter=delimiter, strict=True)
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            cause = str(error).replace("unexpected end of data", "a quote is not closed")
            yield taken[0][0], f"bad CSV ({cause}); quotes inside a quoted field are doubled"
            waiting.extendleft(reversed(taken[1:]))
            taken.clear()
            reader = csv.reader(feed(), delimiter=delimiter, strict=True)
            continue
        if row is None:
            return
        yield taken[0][0], row
        taken.clear()


def _delimiter(sample: Sequence[str]) -> str:
    """The delimiter by which most rows have as many fields as the first, and more than one."""

    def fit(delimiter: str) -> tuple[float, int]:
        try:
            rows = [row for row in csv.reader(sample, delimiter=delimiter) if row]
        except csv.Error:
            return 0.0, 0
        if not rows or len(rows[0]) < 2:
            return 0.0, 0
        alike = sum(len(row) == len(rows[0]) for row in rows)
        return alike / len(rows), len(rows[0])

    return max(_DELIMITERS, key=fit)


def _named(row: Sequence[str]) -> list[str]:
    """The names of columns: each one once, none empty; ``id`` and ``text`` in whatever case."""
    names: list[str] = []
    times: Counter[str] = Counter()
    for number, cell in enumerate(row, start=1):
        name = cell.strip() or f"column {number}"
        name = name.lower() if name.lower() in ("id", "text") else name
        times[name] += 1
        names.append(name if times[name] == 1 else f"{name} {times[name]}")
    return names


def _columns(line: str) -> list[str]:
    return line.rstrip("\r\n").split("\t")


def _has_text(row: Sequence[str]) -> bool:
    return any(cell.strip().lower() == "text" for cell in row)


def _is_table(rows: Sequence[Sequence[str]]) -> bool:
    """Whether most rows have as many columns as the first."""
    alike = sum(len(row) == len(rows[0]) for row in rows)
    return len(rows[0]) > 1 and 2 * alike >= len(rows)

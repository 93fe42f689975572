"""Parquet: tables of typed columns."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO, Final

from interlace.errors import InputError
from interlace.extras import need
from interlace.text.reasons import EMPTY
from interlace.text.records import Fields, Row, read_record
from interlace.types import Document, Skipped

_ROWS_AT_ONCE: Final = 1_000


def read(stream: IO[bytes], name: str, fields: Fields) -> Iterator[Document | Skipped]:
    """Yield a document a row, as of CSV; metadata keep their types, dates become text.

    Raises
    ------
    InputError
        When the file is no Parquet.
    MissingExtra
        Without pyarrow.
    """
    need("pyarrow", extra="documents")
    data = stream.read()
    if not data:
        yield Skipped(name, EMPTY)
        return
    for row in rows(io.BytesIO(data), name, _ROWS_AT_ONCE):
        yield read_record(row.record, fields, row.where)


def rows(stream: IO[bytes], name: str, at_once: int) -> Iterator[Row]:
    """Yield each row as a mapping, some at a time in memory; the stream must be one that seeks.

    Raises
    ------
    InputError
        When the file is no Parquet, or damaged.
    MissingExtra
        Without pyarrow.
    """
    parquet = need("pyarrow.parquet", extra="documents")
    arrow = need("pyarrow", extra="documents")
    number = 0
    try:
        for batch in parquet.ParquetFile(stream).iter_batches(at_once):
            for record in batch.to_pylist():
                number += 1
                yield Row(f"{name}, row {number}", number, record)
    except (arrow.ArrowInvalid, OSError) as error:
        raise InputError(f"no Parquet, or damaged ({error}): {name}.") from None

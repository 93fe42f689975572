"""Parquet: tables of typed columns."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO, Final

from interlace.errors import InputError
from interlace.extras import need
from interlace.text.reasons import EMPTY
from interlace.text.records import Fields, read_record
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
    parquet = need("pyarrow.parquet", extra="documents")
    arrow = need("pyarrow", extra="documents")
    data = stream.read()
    if not data:
        yield Skipped(name, EMPTY)
        return
    try:
        table = parquet.ParquetFile(io.BytesIO(data))
    except arrow.ArrowInvalid as error:
        raise InputError(f"no Parquet, or damaged ({error}): {name}.") from None
    number = 0
    for batch in table.iter_batches(_ROWS_AT_ONCE):
        for record in batch.to_pylist():
            number += 1
            yield read_record(record, fields, f"{name}, row {number}")

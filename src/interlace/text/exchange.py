"""The rows of a file of records as they stand there, whatever is to be made of them."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final, cast

from interlace.errors import InputError
from interlace.text.encodings import lines
from interlace.text.formats import jsonl, parquet
from interlace.text.reasons import sentence
from interlace.text.records import Row
from interlace.types import Skipped

#: Format -> what names of its files end with.
EXCHANGED: Final = {
    "jsonl": (".jsonl", ".ndjson"),
    "jsonl.gz": (".jsonl.gz", ".ndjson.gz"),
    "parquet": (".parquet",),
}

#: A document may be of any length, and its embeddings are longer still.
_LINE_LENGTH_MAX: Final = 2**31

_PARQUET_ROWS_AT_ONCE: Final = 64


def exchange_format(name: str, given: str | None = None) -> str:
    """The key of ``EXCHANGED`` that a file's name tells, if none is given.

    Raises
    ------
    InputError
        For another one.
    """
    known = ", ".join(EXCHANGED)
    if given is not None:
        if given not in EXCHANGED:
            raise InputError(f"unknown format {given!r}. Allowed are {known}.")
        return given
    for format_, suffixes in EXCHANGED.items():
        if name.lower().endswith(suffixes):
            return format_
    raise InputError(
        f"the name does not tell the format: {name}. Let it end with .jsonl, .jsonl.gz or "
        f".parquet, or give --format (in Python format=), one of {known}."
    )


def rows(path: Path, name: str, format_: str) -> Iterator[Row]:
    """The rows of a file, in order, some at a time in memory.

    Raises
    ------
    InputError
        For the first that cannot be read, naming it.
    MissingExtra
        For Parquet without pyarrow.
    """
    with path.open("rb") as stream:
        try:
            for row in _rows(stream, name, format_):
                if isinstance(row, Skipped):
                    raise InputError(sentence(row))
                yield row
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(f"no gzip, or damaged ({error}): {name}.") from None


def _rows(stream: IO[bytes], name: str, format_: str) -> Iterator[Row | Skipped]:
    if format_ == "parquet":
        yield from parquet.rows(stream, name, _PARQUET_ROWS_AT_ONCE)
        return
    if format_ == "jsonl.gz":
        stream = cast("IO[bytes]", gzip.GzipFile(fileobj=stream))
    yield from jsonl.rows(lines(stream, name, _LINE_LENGTH_MAX), name)

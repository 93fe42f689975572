"""JSON: a list of records, or one text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, Any, Final

from interlace.errors import InputError
from interlace.text.encodings import decode
from interlace.text.formats.jsonl import refuse_constant
from interlace.text.reasons import BLANK, EMPTY
from interlace.text.records import Fields, read_record
from interlace.types import Document, Skipped

#: JSON takes some ten times its size in memory.
BYTES_MAX: Final = 64 * 2**20


def read(stream: IO[bytes], name: str, fields: Fields) -> Iterator[Document | Skipped]:
    """Yield a document a record of a list, or of the only list in an object; as in JSON lines.

    A file that holds something else, settings for instance, is one document as it stands.

    Raises
    ------
    InputError
        For a file over 64 MiB.
    """
    data = stream.read(BYTES_MAX + 1)
    if len(data) > BYTES_MAX:
        raise InputError(f"over 64 MiB of JSON: {name}. Convert it to JSON lines (.jsonl).")
    text = decode(data, name)
    if not text.strip():
        yield Skipped(name, BLANK if text else EMPTY)
        return
    records = _records(text)
    if records is None:
        yield Document(text, syntax="json", line=1)
        return
    for number, record in enumerate(records, start=1):
        yield read_record(record, fields, f"{name}, record {number}")


def _records(text: str) -> list[Any] | None:
    """The list of records in a JSON text, if it is one."""
    try:
        found = json.loads(text, parse_constant=refuse_constant)
    except (ValueError, RecursionError):
        return None
    if isinstance(found, dict) and len(found) == 1:
        (found,) = found.values()
    if not isinstance(found, list) or not found:
        return None
    return found if all(isinstance(one, (dict, str)) for one in found) else None

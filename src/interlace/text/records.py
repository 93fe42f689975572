"""What a user passes in, made a ``Document`` or refused with its place and a remedy."""

from __future__ import annotations

import difflib
import hashlib
import math
import numbers
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from interlace.errors import InputError
from interlace.text.reasons import why_not
from interlace.types import Document, Id, Skipped

_KEYS = ("id", "text", "metadata")
_SURROGATE = re.compile("[\ud800-\udfff]")
_DEPTH_MAX = 64
#: Longer numbers Python refuses to read back, beyond 4,300 digits.
_INT_BITS_MAX = 4_096
_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fields:
    """Which columns of a table, or keys of a record, are what; only such formats look at it.

    Attributes
    ----------
    id : str or None
        The one with the id; None: ``id``, where there is one.
    text : tuple of str
        Those that make up the text, in this order; empty: the reader finds them.
    """

    id: str | None = None
    text: tuple[str, ...] = ()


class Row(NamedTuple):
    """A line or row of a file as it is there.

    ``number`` counts from 1; ``where`` is its place, for messages.
    """

    where: str
    number: int
    record: object


def document_from(record: str | Mapping[str, Any] | Document, where: str) -> Document:
    """Make a checked document of a str, a mapping with ``id``, ``text``, ``metadata``, or one.

    Parameters
    ----------
    record
        A text alone; a mapping with ``text`` and, if wanted, ``id`` and ``metadata``; a document.
    where
        The record's place, for messages: ``"document 3"`` or ``"notes.jsonl, line 7"``.

    Returns
    -------
    Document
        With ``id`` None where none was given.

    Raises
    ------
    InputError
        Naming the place, when something cannot be stored as it is.
    """
    if isinstance(record, Document):
        return checked(record, where)
    if isinstance(record, str):
        return checked(Document(record), where)
    if not isinstance(record, Mapping):
        raise InputError(
            f"a document must be a str, a mapping or a Document, not "
            f"{type(record).__name__}: {where}. Pass {{'id': …, 'text': …}}."
        )
    for key in record:
        if key not in _KEYS:
            raise InputError(
                f"unknown key {key!r}: {where}. {_nearest(key)} "
                "Everything else of a document goes into its metadata."
            )
    if "text" not in record:
        raise InputError(f"no text: {where}. Add the key 'text' (it may be an empty string).")
    metadata = record.get("metadata")
    return checked(
        Document(record["text"], record.get("id"), {} if metadata is None else metadata), where
    )


def checked(document: Document, where: str) -> Document:
    """Return the document with all of it plain and storable, or raise ``InputError``."""
    for name, kind in (("syntax", str), ("file", str), ("line", int)):
        value = getattr(document, name)
        if value is not None and not isinstance(value, kind):
            raise InputError(
                f"{name} must be a {kind.__name__}, not {type(value).__name__}: {where}."
            )
    if not isinstance(document.text, str):
        kind = type(document.text).__name__
        remedy = (
            "Decode it." if kind in ("bytes", "bytearray") else "Put it into quotes, or use str."
        )
        raise InputError(f"text must be a str, not {kind}: {where}. {remedy}")
    return Document(
        _checked_text(document.text, where),
        None if document.id is None else checked_id(document.id, where),
        _checked_metadata(document.metadata, where),
        document.syntax,
        document.file,
        document.line,
    )


def checked_id(value: object, where: str) -> Id:
    """Return an id as a plain str or int.

    Raises
    ------
    InputError
        For anything else, an empty str, or an int that needs more than 64 bits.
    """
    if isinstance(value, str):
        if not value:
            raise InputError(f"the id is empty: {where}. Give it a name, or leave the id out.")
        return str(_checked_text(value, f"the id of {where}"))
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        if int(value) not in _INT64:
            raise InputError(f"the id {value} needs more than 64 bits: {where}. Make it a str.")
        return int(value)
    raise InputError(
        f"an id must be a str or an int, not {type(value).__name__}: {where}. Use str(id)."
    )


def checked_ids(ids: object, name: str = "ids") -> list[Id]:
    """Return a list of plain ids; a lone str is refused, being a sequence of its letters."""
    if isinstance(ids, (str, numbers.Integral)):
        raise InputError(f"{name} must be a list: got {ids!r} alone. Write [{ids!r}].")
    if not hasattr(ids, "__iter__"):
        raise InputError(f"{name} must be a list of ids: got {type(ids).__name__}. Write [id, …].")
    return [checked_id(value, f"item {i} of {name}") for i, value in enumerate(ids)]


def identify(text: str) -> str:
    """Return the id of a text that has none: the first 16 hex digits of its SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _checked_text(text: str, where: str) -> str:
    if not text.isascii() and (found := _SURROGATE.search(text)):
        raise InputError(
            f"the text has a lone surrogate (U+{ord(found[0]):04X}), which is no character: "
            f"{where}, character {found.start()}. Mend it with "
            "text.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace')."
        )
    return str(text)


def _checked_metadata(metadata: object, where: str) -> dict[str, Any]:
    if not isinstance(metadata, Mapping):
        raise InputError(
            f"metadata must be a mapping, not {type(metadata).__name__}: {where}. Pass a dict."
        )
    return {key: _plain(metadata[key], f"metadata.{key}", where) for key in _keys(metadata, where)}


def _plain(value: object, path: str, where: str, depth: int = 1) -> Any:
    """Return a copy made of what JSON has: what the caller changes later, or shares, stays his."""
    if depth > _DEPTH_MAX:
        raise InputError(f"metadata is nested over {_DEPTH_MAX} levels deep: {where}. Flatten it.")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _checked_text(value, f"{path} of {where}")
    if isinstance(value, int):
        if value.bit_length() > _INT_BITS_MAX:
            raise InputError(f"{path} is a number of too many digits: {where}. Make it a str.")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InputError(f"{path} is {value}: {where}. JSON has no such number; use None.")
        return float(value)
    if isinstance(value, Mapping):
        keys = _keys(value, where, path)
        return {key: _plain(value[key], f"{path}.{key}", where, depth + 1) for key in keys}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return [_plain(item, f"{path}[{i}]", where, depth + 1) for i, item in enumerate(value)]
    remedy = "Use .isoformat()." if hasattr(value, "isoformat") else "Convert it first."
    raise InputError(
        f"{path} is a {type(value).__name__}, which JSON cannot hold: {where}. {remedy}"
    )


def _keys(mapping: Mapping[Any, Any], where: str, path: str = "metadata") -> list[str]:
    for key in mapping:
        if not isinstance(key, str):
            raise InputError(f"a key of {path} is {key!r}, not a str: {where}. Write {str(key)!r}.")
        _checked_text(key, f"a key of {path} of {where}")
    return list(map(str, mapping))


def _nearest(key: object) -> str:
    close = difflib.get_close_matches(str(key).lower().strip("_"), _KEYS, n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else "Allowed are id, text and metadata."


def read_record(
    record: object, fields: Fields, where: str, line: int | None = None
) -> Document | Skipped:
    """Make a document of a row of a table or an object of a JSON file; both come as people have it.

    The id is in the field that ``fields`` names, or in ``id`` or ``_id``; without one it follows
    from the text. The text is that of the fields named, or of ``text``; without such a field it is
    all fields, a line each. Whatever is neither id nor text is metadata.

    Parameters
    ----------
    record
        A mapping, or a text alone.
    fields : Fields
    where : str
        Its place, for messages.
    line : int, optional
        The line of its file where it begins.

    Returns
    -------
    Document or Skipped
        Skipped, with its reason, when no document can be made of it.
    """
    try:
        document = document_of_record(record, fields, where)
    except InputError as error:
        return Skipped(where, why_not(error, where, "a record"))
    return replace(document, line=line)


def document_of_record(record: object, fields: Fields, where: str) -> Document:
    """Make a document of a row, as ``read_record`` does, or raise ``InputError``."""
    document = _of_record(record, fields, where)
    if document.id is None:
        document = replace(document, id=identify(document.text))
    return document


def _of_record(record: object, fields: Fields, where: str) -> Document:
    if isinstance(record, str):
        return checked(Document(record), where)
    if not isinstance(record, Mapping):
        kind = type(record).__name__
        raise InputError(f"neither an object nor a text but {kind}: {where}. Write {{'text': …}}.")
    rest = dict(record)
    key = _id_field(rest, fields, where)
    id_ = rest.pop(key) if key is not None else None
    own = rest.pop("metadata") if isinstance(rest.get("metadata"), Mapping) else {}
    names = _text_fields(rest, fields, where)
    if names == ("text",) and not fields.text:
        text = rest.pop("text")
    elif names:
        text = "\n".join(filter(None, (_rendered(rest.pop(name, None)) for name in names)))
    else:
        text = "\n".join(
            f"{name}: {value}"
            for name, value in ((n, _rendered(v)) for n, v in rest.items())
            if value
        )
    if not names and not text:
        raise InputError(f"no text: {where}. Add the key 'text' (it may be an empty string).")
    id_ = None if id_ is None or id_ == "" else id_
    return checked(Document(text, id_, _jsonable({**rest, **own})), where)


def _id_field(record: Mapping[str, Any], fields: Fields, where: str) -> str | None:
    if fields.id is not None:
        if fields.id not in record:
            raise InputError(_no_field(fields.id, record, where))
        return fields.id
    return next((key for key in ("id", "_id") if key in record), None)


def _text_fields(record: Mapping[str, Any], fields: Fields, where: str) -> tuple[str, ...]:
    if fields.text:
        if not any(name in record for name in fields.text):
            raise InputError(_no_field(fields.text[0], record, where))
        return fields.text
    return ("text",) if "text" in record else ()


def _no_field(name: str, record: Mapping[str, Any], where: str) -> str:
    close = difflib.get_close_matches(name, map(str, record), n=1, cutoff=0.6)
    hint = f"Did you mean {close[0]!r}?" if close else f"There are {', '.join(map(str, record))}."
    return f"no field {name!r}: {where}. {hint}"


def _rendered(value: object, depth: int = 0) -> str:
    """A value as a person would write it; nothing for what is empty."""
    if value is None or depth > _DEPTH_MAX:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        inner = ((name, _rendered(one, depth + 1)) for name, one in value.items())
        return "; ".join(f"{name}: {one}" for name, one in inner if one)
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return ", ".join(filter(None, (_rendered(one, depth + 1) for one in value)))
    return str(value)


def _jsonable(record: Mapping[Any, Any], depth: int = 1) -> dict[str, Any]:
    """Values that JSON has no kind for as text, not-a-number as null: those of Parquet, say."""
    return {str(name): _plain_or_text(value, depth) for name, value in record.items()}


def _plain_or_text(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, (str, bool, int)) or depth > _DEPTH_MAX:
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return _jsonable(value, depth + 1)
    if isinstance(value, (list, tuple)):
        return [_plain_or_text(item, depth + 1) for item in value]
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)

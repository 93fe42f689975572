"""What may be stored: ids, texts and metadata that come back as they went in, or are refused."""

from __future__ import annotations

import json
import math
import numbers
from collections.abc import Mapping
from typing import Any

from interlace.errors import InputError
from interlace.types import Id

_DEPTH_MAX = 64
_INT_BITS_MAX = 4_096
"""Longer numbers Python refuses to read back, beyond 4,300 digits."""


def check_id(id_: object) -> Id:
    """Return an id that keeps its type and value.

    Raises
    ------
    InputError
        When it is neither a string that is not empty nor a whole number of 64 bits.
    """
    if isinstance(id_, bool) or not isinstance(id_, str | numbers.Integral):
        raise InputError(
            f"an id must be a string or a whole number: {id_!r} is {_article(id_)}. "
            "Convert it, for example with str()."
        )
    if isinstance(id_, str):
        if not id_:
            raise InputError("an id is empty: ''. Give the document a name.")
        _check_characters(id_, f"id {id_!r}")
        return str(id_)
    if not -(2**63) <= int(id_) < 2**63:
        raise InputError(f"an id is too large: {id_}. Whole numbers have 64 bits; use a string.")
    return int(id_)


def check_text(text: object, id_: Id) -> str:
    """Return a text that can be stored.

    Raises
    ------
    InputError
        When it is no string or holds half of a surrogate pair; the message names id and position.
    """
    if not isinstance(text, str):
        raise InputError(f"a text must be a string: document {id_!r} has {_article(text)}.")
    _check_characters(text, f"document {id_!r}")
    return str(text)


def check_name(name: object, what: str) -> str:
    """Return the name of a file, a label or a syntax, as it can be stored.

    Raises
    ------
    InputError
        When it is no string or holds half of a surrogate pair; the message says of ``what``.
    """
    if not isinstance(name, str):
        raise InputError(f"{what} must be a string: {name!r} is {_article(name)}.")
    _check_characters(name, f"{what} {name!r}")
    return str(name)


def metadata_json(metadata: Mapping[str, Any], id_: Id) -> str:
    """Metadata as JSON.

    Raises
    ------
    InputError
        When JSON cannot hold it and give the same back; the message names id and key path.
    """
    return _json(metadata, f"metadata of document {id_!r}")


def options_json(options: Mapping[str, Any], label: str) -> str:
    """The options of a source as JSON, the same for the same options.

    Raises
    ------
    InputError
        When JSON cannot hold them.
    """
    return _json(options, f"options of source {label!r}", sort_keys=True)


def _json(values: Mapping[str, Any], owner: str, *, sort_keys: bool = False) -> str:
    if not isinstance(values, Mapping):
        raise InputError(
            f"{owner} must be a mapping: {values!r:.40} is {_article(values)}. "
            "Give a dict with string keys."
        )
    value = dict(values)
    _check_value(value, owner, "", 0)
    return json.dumps(value, allow_nan=False, sort_keys=sort_keys)


def _check_value(value: object, owner: str, path: str, depth: int) -> None:
    where = f"{owner}, key {path!r}" if path else owner
    if depth > _DEPTH_MAX:
        raise InputError(f"metadata is nested too deep: {where}. Allowed are {_DEPTH_MAX} levels.")
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise InputError(
                    f"a metadata key must be a string: {where}: {key!r} is {_article(key)}."
                )
            _check_characters(key, where)
            _check_value(inner, owner, f"{path}.{key}" if path else key, depth + 1)
    elif isinstance(value, list | tuple):
        for position, inner in enumerate(value):
            _check_value(inner, owner, f"{path}[{position}]", depth + 1)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InputError(f"JSON has no {value}: {where}. Use null (None) instead.")
    elif isinstance(value, str):
        _check_characters(value, where)
    elif isinstance(value, int):
        if value.bit_length() > _INT_BITS_MAX:
            raise InputError(f"a number has too many digits: {where}. Make it a string.")
    elif value is not None:
        raise InputError(
            f"JSON cannot hold {_article(value)}: {where}. "
            "Use strings, numbers, booleans, None, lists and dicts; dates as ISO strings."
        )


def _check_characters(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"half of a surrogate pair cannot be stored: {where}, character {error.start}. "
            "Decode the text again, or replace it with text.encode(errors='replace').decode()."
        ) from None


def _article(value: object) -> str:
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"

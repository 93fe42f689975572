"""What an ONNX file holds, read without a library: its arrays, and a hash of all the rest.

Source
------
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, of which these few fields are read; what
protocol buffers are made of: https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

#: TensorProto.DataType
_DTYPES: Final = {1: np.float32, 2: np.uint8, 3: np.int8, 6: np.int32, 7: np.int64, 10: np.float16}

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class Graph(NamedTuple):
    """A computation.

    Attributes
    ----------
    structure : str
        SHA-256 (hex) of the graph but for its arrays: nodes, settings, inputs, outputs. Equal
        structures compute the same of equal arrays.
    arrays : mapping
        The constants by name; they read the file's own bytes.
    """

    structure: str
    arrays: dict[str, npt.NDArray[Any]]


def read(content: bytes | memoryview) -> Graph:
    """Read an ONNX model.

    Raises
    ------
    ValueError
        When these bytes are no such model, or it keeps an array in another way than as raw bytes.
    """
    try:
        (graph,) = (value for number, value in _fields(memoryview(content)) if number == 7)
        rest = hashlib.sha256()
        arrays: dict[str, npt.NDArray[Any]] = {}
        for number, value in _fields(graph):
            if number == 5:
                name, array = _array(value)
                arrays[name] = array
            else:
                rest.update(f"{number} {len(value)}\n".encode() + value)
        return Graph(rest.hexdigest(), arrays)
    except (IndexError, KeyError, TypeError, UnicodeDecodeError) as cause:
        raise ValueError(f"not an ONNX model: {cause!r}") from cause


def _array(tensor: memoryview) -> tuple[str, npt.NDArray[Any]]:
    shape: list[int] = []
    found: dict[int, Any] = {}
    for number, value in _fields(tensor):
        if number == 1:
            shape += [value] if isinstance(value, int) else _varints(value)
        else:
            found[number] = value
    return bytes(found[8]).decode(), np.frombuffer(found[9], _DTYPES[found[2]]).reshape(shape)


def _fields(message: memoryview) -> Iterator[tuple[int, Any]]:
    """Each field's number and its value: a whole number, or bytes."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, at = _varint(message, at)
        else:
            size = {_FIXED64: 8, _FIXED32: 4}[kind]
        if at + size > len(message):
            raise IndexError(f"ends within a field of {size} bytes")
        yield key >> 3, message[at : at + size]
        at += size


def _varints(packed: memoryview) -> list[int]:
    values, at = [], 0
    while at < len(packed):
        value, at = _varint(packed, at)
        values.append(value)
    return values


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        shift += 7
        if byte < 0x80:
            return value, at

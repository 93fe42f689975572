"""Bytes to text, whatever their encoding: a byte-order mark, UTF-8, UTF-16, or what they look like.

chardet tells the others apart; of the detectors tried it alone named all fourteen encodings of the
messy files. Bytes that are wrong where the rest is right are read as Windows-1252, as browsers do.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import IO, Final

from interlace.errors import InputError
from interlace.text.reasons import BINARY

#: What an encoding is told from.
_SAMPLE_BYTES: Final = 2**16
_BLOCK_BYTES: Final = 2**20
#: Longer lines would fill the memory.
_LINE_LENGTH_MAX: Final = 2**26

#: Longest marks first: UTF-16's begins UTF-32's.
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

#: No text has many of these: control characters, but those for blanks and for colours.
_CONTROL: Final = re.compile(rb"[\x00-\x07\x0e-\x1a\x1c-\x1f\x7f]")
_CONTROL_SHARE_MAX: Final = 0.02

_STRAY: Final = "interlace-stray"


def _read_stray(error: UnicodeError) -> tuple[str, int]:
    """Read bytes that the encoding has no meaning for."""
    assert isinstance(error, UnicodeDecodeError)
    wrong = error.object[error.start : error.end]
    if "utf-16" in error.encoding or "utf-32" in error.encoding:
        return "�", error.end
    text = "".join(
        bytes([byte]).decode("cp1252") if byte not in _NOT_IN_CP1252 else chr(byte)
        for byte in wrong
    )
    return text, error.end


_NOT_IN_CP1252: Final = frozenset((0x81, 0x8D, 0x8F, 0x90, 0x9D))
codecs.register_error(_STRAY, _read_stray)


def decode(data: bytes, name: str) -> str:
    """Decode a whole file; a byte-order mark at its start is dropped, line ends stay.

    Raises
    ------
    InputError
        When it is no text.
    """
    encoding, n_mark = _encoding(data[:_SAMPLE_BYTES], name, is_whole=len(data) <= _SAMPLE_BYTES)
    return data[n_mark:].decode(encoding, _STRAY)


def blocks(stream: IO[bytes], name: str) -> Iterator[str]:
    """Decode a stream some at a time.

    Raises
    ------
    InputError
        When it is no text.
    """
    sample = _filled(stream, _SAMPLE_BYTES)
    encoding, n_mark = _encoding(sample, name, is_whole=len(sample) < _SAMPLE_BYTES)
    decoder = codecs.getincrementaldecoder(encoding)(_STRAY)
    data = sample[n_mark:]
    while data:
        yield decoder.decode(data)
        data = stream.read(_BLOCK_BYTES)
    yield decoder.decode(b"", final=True)


def lines(
    stream: IO[bytes], name: str, length_max: int = _LINE_LENGTH_MAX
) -> Iterator[tuple[int, str]]:
    """Yield each line with its number from 1, its line end kept, one block at a time in memory.

    Lines end with a line feed; in a file without any, with a carriage return. ``length_max`` is in
    characters.

    Raises
    ------
    InputError
        When it is no text, or a line would fill the memory.
    """
    number, end, n_waiting = 1, "", 0
    waiting: list[str] = []  # parts of a line, joined once: it may be most of the file
    for block in blocks(stream, name):
        if not end:
            if waiting and waiting[-1].endswith("\r"):
                n_waiting -= len(waiting[-1])
                block = waiting.pop() + block
            end = "\n" if "\n" in block else "\r" if "\r" in block[:-1] else ""
        waiting.append(block)
        length = block.find(end) if end else -1
        if n_waiting + (length if length >= 0 else len(block)) > length_max:
            raise InputError(
                f"a line of over {length_max >> 20} MiB: {name}, line {number}. "
                "Break it into several, or name the file's format."
            )
        n_waiting += len(block)
        if length < 0:
            continue
        *whole, rest = "".join(waiting).split(end)
        for line in whole:
            yield number, line + end
            number += 1
        waiting, n_waiting = [rest], len(rest)
    if rest := "".join(waiting):
        yield number, rest


def _filled(stream: IO[bytes], n_bytes: int) -> bytes:
    """Read so many bytes, however few a read gives."""
    parts = []
    while n_bytes and (data := stream.read(n_bytes)):
        parts.append(data)
        n_bytes -= len(data)
    return b"".join(parts)


def _encoding(sample: bytes, name: str, *, is_whole: bool) -> tuple[str, int]:
    """The codec of a text, told from its beginning, and the length of its byte-order mark."""
    for mark, encoding in _MARKS:
        if sample.startswith(mark):
            return encoding, len(mark)
    if wide := _wide(sample):
        return wide, 0
    if len(_CONTROL.findall(sample)) > max(2, _CONTROL_SHARE_MAX * len(sample)):
        raise InputError(f"{BINARY}: {name}. Leave it out, or name its format.")
    if _is_utf8(sample, is_whole=is_whole):
        return "utf-8", 0
    return _detected(sample), 0


def _wide(sample: bytes) -> str | None:
    """UTF-16 without a mark: every other byte of Western text is NUL."""
    half = len(sample) // 2
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if half and max(even, odd) > 0.3 * half and min(even, odd) < 0.05 * half:
        return "utf-16-le" if odd > even else "utf-16-be"
    return None


def _is_utf8(sample: bytes, *, is_whole: bool) -> bool:
    """Whether a text is UTF-8, or would be but for a few bytes."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample, final=is_whole)
    except UnicodeDecodeError:
        text = sample.decode("utf-8", "replace")
        n_wrong = text.count("�")
        n_right = sum(character > "\x7f" for character in text) - n_wrong
        return n_right > n_wrong
    return True


def _detected(sample: bytes) -> str:
    import chardet  # 20 ms, for texts that are no UTF-8

    # Encodings of the web alone: in short texts the others win by a hair, umlauts are Icelandic.
    era = chardet.EncodingEra.MODERN_WEB
    found = chardet.detect(sample, encoding_era=era)["encoding"]
    try:
        name = codecs.lookup(found or "cp1252").name
    except LookupError:
        return "cp1252"
    # What calls itself Latin-1 has the quotes of Windows where Latin-1 has control characters.
    return "cp1252" if name in ("iso8859-1", "ascii", "utf-8") else name

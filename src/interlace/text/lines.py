"""UTF-8 bytes to text, with the file and the byte in the message when they are not UTF-8."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import IO

from interlace.errors import InputError

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def decode(data: bytes, name: str, first_byte: int = 0) -> str:
    """Decode strict UTF-8; ``first_byte`` is where ``data`` begins in the file ``name``.

    A byte-order mark at the start of the file is dropped; line ends stay as they are.

    Raises
    ------
    InputError
        Naming the file and the first byte that is not UTF-8.
    """
    if first_byte == 0:
        if data.startswith(_UTF16):
            raise InputError(f"UTF-16 text: {name}. Save it as UTF-8.")
        if data.startswith(codecs.BOM_UTF8):
            data, first_byte = data[len(codecs.BOM_UTF8) :], len(codecs.BOM_UTF8)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        at = first_byte + error.start
        raise InputError(
            f"not UTF-8: {name}, byte {at} (0x{data[error.start]:02x}). "
            "Save it as UTF-8, for example with: iconv -f latin1 -t utf-8."
        ) from None


def lines(stream: IO[bytes], name: str) -> Iterator[tuple[int, str]]:
    """Yield each line with its number from 1, its line end kept, one at a time in memory."""
    at = 0
    for number, data in enumerate(stream, start=1):
        yield number, decode(data, name, at)
        at += len(data)

"""Plain text: the whole file is one document, named by its path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from interlace.text.lines import decode
from interlace.text.records import document_from
from interlace.types import Document


def read(stream: IO[bytes], name: str) -> Iterator[Document]:
    """Yield the one document of a text file, byte for byte, without a byte-order mark."""
    yield document_from(decode(stream.read(), name), name)

"""One file a format; each has ``read(stream, name, fields)``, named in ``readers.FORMATS``."""

from __future__ import annotations

from typing import IO, NamedTuple


class Member(NamedTuple):
    """A file inside a file: of an archive, of a compressed file, of a mail.

    A reader yields it, and who called the reader reads it before it asks for the next one.
    """

    name: str
    stream: IO[bytes]

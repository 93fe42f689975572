"""Bytes that come to an end: regular files as long as they are now, and bounded unpacking."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from interlace.errors import InputError

_BUFFER_BYTES: Final = 2**16

#: What may be unpacked: so much, and so many bytes for each byte of the file.
UNPACKED_BYTES_FREE: Final = 64 * 2**20
UNPACKED_FACTOR: Final = 200


class UnpacksTooMuch(InputError):
    """A file holds far more than it could if it were meant to be read."""


class Budget:
    """How much may be unpacked; it grows with what was read, so that a stream has one too."""

    def __init__(self) -> None:
        self._n_left = UNPACKED_BYTES_FREE

    def packed(self, stream: IO[bytes]) -> io.BufferedReader:
        """Return the stream, each byte read of which allows for more."""
        return io.BufferedReader(_Metered(stream, self._earn), _BUFFER_BYTES)

    def unpacked(self, stream: IO[bytes]) -> io.BufferedReader:
        """Return the stream, whose reading raises ``UnpacksTooMuch`` when nothing is left."""
        return io.BufferedReader(_Metered(stream, self._spend), _BUFFER_BYTES)

    def _earn(self, n_bytes: int) -> None:
        self._n_left += n_bytes * UNPACKED_FACTOR

    def _spend(self, n_bytes: int) -> None:
        self._n_left -= n_bytes
        if self._n_left < 0:
            raise UnpacksTooMuch(
                f"unpacks to too much, over {UNPACKED_FACTOR} times its size; unpack it yourself"
            )


def open_regular(path: Path) -> io.BufferedReader:
    """Open a regular file, up to its present end: one that grows while it is read still ends.

    Raises
    ------
    OSError
        When it cannot be read, or is no regular file: then it is not waited for either.
    """

    def opener(name: str, flags: int) -> int:
        # A pipe that took the file's place since it was found would block us.
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))

    file = io.FileIO(path, "rb", opener=opener)
    there = os.fstat(file.fileno())
    if not stat.S_ISREG(there.st_mode):
        file.close()
        raise OSError(0, "not a regular file", str(path))
    return io.BufferedReader(_FirstBytes(file, there.st_size), _BUFFER_BYTES)


class _Metered(io.RawIOBase):
    """A stream that tells how many bytes were read of it."""

    def __init__(self, stream: IO[bytes], tell: Callable[[int], None]) -> None:
        self._stream, self._tell = stream, tell

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._tell(len(data))
        return len(data)


class _FirstBytes(io.RawIOBase):
    """The first bytes of a file."""

    def __init__(self, file: io.FileIO, n_bytes: int) -> None:
        self._file, self._n_left = file, n_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        n_bytes = self._file.readinto(buffer[: self._n_left])
        self._n_left -= n_bytes
        return n_bytes

    def close(self) -> None:
        self._file.close()
        super().close()

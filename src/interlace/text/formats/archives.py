"""Files in files: gzip, bzip2, xz, ZIP, tar. What unpacks without end is cut off by the caller."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO, Final

from interlace.errors import InputError
from interlace.text.formats import Member
from interlace.text.records import Fields
from interlace.text.streams import Budget
from interlace.types import Skipped

#: Long names and other headers of a tar, which are read whole.
_HEADER_BYTES_MAX: Final = 2**20

_GZIP: Final = b"\x1f\x8b\x08"
_BZIP2: Final = re.compile(rb"BZh[1-9]1AY&SY")
_XZ: Final = (b"\xfd7zXZ\0", b"\x5d\0\0")
_MAGIC_BYTES: Final = 10


def read_gzip(stream: IO[bytes], name: str, fields: Fields) -> Iterator[Member]:
    """Yield the file in a gzip; ``.gz`` is not part of its name."""
    with gzip.GzipFile(fileobj=stream) as unpacked:
        yield Member(_without_suffix(name), unpacked)  # type: ignore[arg-type]


def read_bzip2(stream: IO[bytes], name: str, fields: Fields) -> Iterator[Member]:
    """Yield the file in a bzip2."""
    with bz2.BZ2File(stream) as unpacked:
        yield Member(_without_suffix(name), unpacked)


def read_xz(stream: IO[bytes], name: str, fields: Fields) -> Iterator[Member]:
    """Yield the file in an xz."""
    with lzma.LZMAFile(stream) as unpacked:
        yield Member(_without_suffix(name), unpacked)


def read_zip(stream: IO[bytes], name: str, fields: Fields) -> Iterator[Member | Skipped]:
    """Yield the files in a ZIP, in its own order; encrypted ones are named.

    Raises
    ------
    InputError
        When it is no ZIP, or damaged.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(stream.read()))
    except zipfile.BadZipFile as error:
        raise InputError(f"damaged, or no ZIP ({error}): {name}.") from None
    with archive:
        for info in archive.infolist():
            if info.is_dir() or _is_clutter(info.filename):
                continue
            if info.flag_bits & 1:
                why = "encrypted; unpack the archive with its password"
                yield Skipped(f"{name}/{info.filename}", why)
                continue
            try:
                member = archive.open(info)
            except (zipfile.BadZipFile, NotImplementedError) as error:
                yield Skipped(f"{name}/{info.filename}", f"cannot be unpacked ({error})")
                continue
            with member:
                yield Member(info.filename, member)


def read_tar(stream: IO[bytes], name: str, fields: Fields) -> Iterator[Member]:
    """Yield the regular files in a tar, packed or not; links are passed over.

    Raises
    ------
    InputError
        When it is no tar, or damaged.
    """
    try:
        with tarfile.open(fileobj=_unpacked(stream), mode="r|", tarinfo=_TarInfo) as archive:
            for info in archive:
                if info.isreg() and not _is_clutter(info.name):
                    member = archive.extractfile(info)
                    assert member is not None
                    yield Member(info.name, member)
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError) as error:
        raise InputError(f"damaged, or no tar ({error}): {name}.") from None


class _TarInfo(tarfile.TarInfo):
    """A header of a tar; one that would fill the memory is damage."""

    def _proc_gnulong(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        self._check_size()
        return super()._proc_gnulong(archive)  # type: ignore[misc,no-any-return]

    def _proc_pax(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        self._check_size()
        return super()._proc_pax(archive)  # type: ignore[misc,no-any-return]

    def _check_size(self) -> None:
        if self.size > _HEADER_BYTES_MAX:
            # A HeaderError behind the first file would pass for the end of the archive.
            raise tarfile.ReadError(f"a header of over {_HEADER_BYTES_MAX >> 20} MiB")


def _unpacked(stream: IO[bytes]) -> IO[bytes]:
    """Return the tar in a stream, packed or not, which cannot unpack without end."""
    budget = Budget()
    packed = budget.packed(stream)
    first = packed.peek(_MAGIC_BYTES)[:_MAGIC_BYTES]
    if first.startswith(_GZIP):
        return budget.unpacked(gzip.GzipFile(fileobj=packed))  # type: ignore[arg-type]
    if _BZIP2.match(first):
        return budget.unpacked(bz2.BZ2File(packed))
    if first.startswith(_XZ):
        return budget.unpacked(lzma.LZMAFile(packed))
    return packed


def _without_suffix(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _is_clutter(name: str) -> bool:
    """What archivers and systems put beside files."""
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or parts[-1:] in ((".DS_Store",), ("Thumbs.db",))

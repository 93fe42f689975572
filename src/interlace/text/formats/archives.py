"""Files in files: gzip, bzip2, xz, ZIP, tar. What unpacks without end is cut off by the caller."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO

from interlace.errors import InputError
from interlace.text.formats import Member
from interlace.text.records import Fields
from interlace.types import Skipped


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
        with tarfile.open(fileobj=stream, mode="r|*") as archive:
            for info in archive:
                if info.isreg() and not _is_clutter(info.name):
                    member = archive.extractfile(info)
                    assert member is not None
                    yield Member(info.name, member)
    except tarfile.TarError as error:
        raise InputError(f"damaged, or no tar ({error}): {name}.") from None


def _without_suffix(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _is_clutter(name: str) -> bool:
    """What archivers and systems put beside files."""
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or parts[-1:] in ((".DS_Store",), ("Thumbs.db",))

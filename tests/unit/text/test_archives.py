"""Files in files are unpacked one by one; what is wrong with one is said."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import pytest

import interlace
from interlace.errors import InputError
from interlace.text.formats import Member, archives
from interlace.text.records import Fields
from interlace.text.streams import UnpacksTooMuch
from interlace.types import Skipped


def unpacked(reader, data: bytes, name: str) -> list[tuple[str, bytes] | Skipped]:
    """What is in it; each file is read before the next one is asked for."""
    return [
        (one.name, one.stream.read()) if isinstance(one, Member) else one
        for one in reader(io.BytesIO(data), name, Fields())
    ]


def zipped(files: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return target.getvalue()


def tarred(files: dict[str, bytes], mode: str) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode=mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return target.getvalue()


@pytest.mark.parametrize(
    ("reader", "pack", "name"),
    [
        (archives.read_gzip, gzip.compress, "notes.txt.gz"),
        (archives.read_bzip2, bz2.compress, "notes.txt.bz2"),
        (archives.read_xz, lzma.compress, "notes.txt.xz"),
    ],
)
def test_a_packed_file_goes_by_its_own_name(reader, pack, name):
    assert unpacked(reader, pack(b"hello"), name) == [("notes.txt", b"hello")]
    with pytest.raises((OSError, EOFError, lzma.LZMAError)):
        unpacked(reader, pack(b"hello" * 999)[:-9], name)


def test_gzip_files_one_after_another_are_one():
    data = gzip.compress(b"one ") + gzip.compress(b"two")
    assert unpacked(archives.read_gzip, data, "a.gz") == [("a", b"one two")]


FILES = {"a.txt": b"hello", "folder/東京 ü.md": b"# deep"}


def test_zip():
    clutter = {"__MACOSX/._a.txt": b"x", "folder/.DS_Store": b"x", "empty/": b""}
    assert unpacked(archives.read_zip, zipped(FILES | clutter), "a.zip") == [*FILES.items()]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_tar_without_its_links(mode):
    assert unpacked(archives.read_tar, tarred(FILES, mode), "a.tar") == [*FILES.items()]


def test_an_encrypted_member_is_named_and_the_others_are_read():
    data = bytearray(zipped(FILES))
    # The flag alone, in the member's own header and in the directory: the bytes do not matter.
    data[data.index(b"PK\3\4") + 6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    first, second = unpacked(archives.read_zip, bytes(data), "a.zip")
    assert first == Skipped("a.zip/a.txt", "encrypted; unpack the archive with its password")
    assert second == ("folder/東京 ü.md", b"# deep")


@pytest.mark.parametrize("reader", [archives.read_zip, archives.read_tar])
@pytest.mark.parametrize("data", [b"", b"no archive at all", zipped(FILES)[:40]])
def test_damaged_ones_say_so(reader, data):
    with pytest.raises(InputError, match=r"damaged, or no (ZIP|tar) .*: a\."):
        unpacked(reader, data, "a.x")


@pytest.mark.parametrize("pack", [zipped, lambda files: tarred(files, "w")], ids=["zip", "tar"])
def test_names_that_lead_out_of_the_archive_lead_nowhere(tmp_path, pack):
    suffix = "zip" if pack is zipped else "tar"
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / f"bad.{suffix}"
    path.write_bytes(pack({"../../out.txt": b"one", "/etc/out.txt": b"two"}))
    documents = list(interlace.read(path))
    assert [one.text for one in documents] == ["one", "two"]
    assert [one.file for one in documents] == [f"{path}/out.txt", f"{path}/etc/out.txt"]
    assert sorted(one.name for one in tmp_path.rglob("*")) == [f"bad.{suffix}", "in"]


def test_a_bomb_in_an_archive_ends_its_reading(tmp_path):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as inner:
        inner.writestr("zeros.txt", bytes(2**27))
    path = tmp_path / "bomb.zip"
    path.write_bytes(zipped({"first.txt": b"read before", "inner.zip": target.getvalue()}))
    skipped: list[Skipped] = []
    documents = list(interlace.read(path, skipped=skipped.append))
    assert [one.text for one in documents] == ["read before"]
    (only,) = skipped
    assert only.why.startswith("unpacks to too much, over 200 times its size")


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
@pytest.mark.parametrize("files", [{}, FILES])
def test_a_tar_header_that_would_fill_the_memory_is_damage(files, kind):
    info = tarfile.TarInfo("long")
    info.type, info.size = kind, 2**20 + 1
    begun = tarred(files, "w").rstrip(b"\0") if files else b""
    begun += bytes(-len(begun) % tarfile.BLOCKSIZE)
    data = begun + info.tobuf(tarfile.GNU_FORMAT) + bytes(2**21)
    with pytest.raises(InputError, match=r"damaged, or no tar \(a header of over 1 MiB\): a\."):
        unpacked(archives.read_tar, gzip.compress(data), "a.tar.gz")


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_packed_tar_unpacks_within_bounds(pack):
    info = tarfile.TarInfo("folder")  # passed over, so that no caller sees its bytes
    info.type, info.size = b"Z", 2**27
    data = info.tobuf(tarfile.GNU_FORMAT) + bytes(2**27)
    with pytest.raises(UnpacksTooMuch):
        unpacked(archives.read_tar, pack(data), "a.tar.gz")


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_packed_tar_that_ends_too_early_is_damaged(mode):
    data = tarred(FILES, mode)
    with pytest.raises(InputError, match="damaged, or no tar"):
        unpacked(archives.read_tar, data[: len(data) // 2], "a.tar")


def test_long_names_are_read():
    files = {"folder/" * 60 + "ü.txt": b"deep"}
    assert unpacked(archives.read_tar, tarred(files, "w:gz"), "a.tar.gz") == [*files.items()]

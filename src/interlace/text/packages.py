"""Office files and e-books: zip files of XML, opened bounded and parsed without the outside."""

from __future__ import annotations

import io
import posixpath
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any, Final
from urllib.parse import unquote

from interlace.errors import InputError
from interlace.extras import need
from interlace.text.about import about
from interlace.text.streams import UNPACKED_BYTES_FREE, UNPACKED_FACTOR

_OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
#: Old office formats, which share a container with the encrypted new ones.
_OLD: Final = {"DOCX": ".doc", "PPTX": ".ppt", "XLSX": ".xls"}

#: What reading a damaged zip file, or XML out of one, ends in.
_DAMAGE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    KeyError,
    NotImplementedError,
    UnicodeDecodeError,
)

_RELATION = "{http://schemas.openxmlformats.org/package/2006/relationships}Relationship"
_CORE: Final = {
    "dc": "http://purl.org/dc/elements/1.1/",
    "dcterms": "http://purl.org/dc/terms/",
}


class Package:
    """The parts of a zip file by name.

    Parameters
    ----------
    stream : binary file
    name : str
        The file's, for messages.
    title : str
        The format's: ``"DOCX"``.

    Raises
    ------
    InputError
        When it is no zip file, damaged, encrypted or unpacks to too much.
    """

    def __init__(self, stream: IO[bytes], name: str, title: str) -> None:
        self.name = name
        self.data = stream.read()
        self._title = title
        if not zipfile.is_zipfile(io.BytesIO(self.data)):
            raise InputError(_no_zip(self.data, name, title))
        with self.reading(), self._opened() as parts:
            self._sizes = {part.filename: part.file_size for part in parts.infolist()}
            is_encrypted = any(part.flag_bits & 1 for part in parts.infolist())
        if is_encrypted:
            raise InputError(f"encrypted: {name}. Save a copy without password.")
        if sum(self._sizes.values()) > UNPACKED_BYTES_FREE + UNPACKED_FACTOR * len(self.data):
            raise InputError(
                f"unpacks to too much, over {UNPACKED_FACTOR} times its size: {name}. "
                "Unpack it yourself."
            )

    def __contains__(self, part: str) -> bool:
        return part in self._sizes

    def __iter__(self) -> Iterator[str]:
        return iter(self._sizes)

    def read(self, part: str) -> bytes:
        """Return the bytes of a part.

        Raises
        ------
        InputError
            When it is missing or damaged.
        """
        if part not in self._sizes:
            raise InputError(f"damaged, no {part} in it, so no {self._title}: {self.name}.")
        with self.reading(), self._opened() as parts:
            return parts.read(part)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Say that the file is damaged when what reads it inside the block says so in its way."""
        try:
            yield
        except _DAMAGE as error:
            cause = "a file inside is missing" if isinstance(error, KeyError) else error
            raise InputError(f"damaged ({cause}): {self.name}. Save it again.") from None

    def xml(self, part: str, renamed: Sequence[tuple[bytes, bytes]] = ()) -> Any:
        """Return the root of a part that is XML; entities and whatever lies outside stay out.

        ``renamed``: bytes to replace first, for name spaces that have two names.
        """
        etree = need("lxml.etree", extra="documents")
        try:
            data = self.read(part)
            for old, new in renamed:
                data = data.replace(old, new)
            return etree.fromstring(data, xml_parser(etree))
        except etree.XMLSyntaxError as error:
            raise InputError(f"damaged, {part} ({error}): {self.name}. Save it again.") from None

    def relations(self, part: str) -> dict[str, tuple[str, str]]:
        """Return for each id that a part of an OOXML file refers by: kind and part."""
        folder, base = posixpath.split(part)
        rels = posixpath.join(folder, "_rels", f"{base}.rels")
        if rels not in self:
            return {}
        return {
            one.get("Id", ""): (
                one.get("Type", "").rsplit("/", 1)[-1],
                resolved(folder, one.get("Target", "")),
            )
            for one in self.xml(rels).iter(_RELATION)
            if one.get("TargetMode") != "External"
        }

    def core_metadata(self) -> dict[str, str]:
        """Return what an OOXML file says of itself; the date is that of its last change."""
        if "docProps/core.xml" not in self:
            return {}
        core = self.xml("docProps/core.xml")

        def text(*paths: str) -> str | None:
            return next((found for path in paths if (found := core.findtext(path, "", _CORE))), "")

        return about(
            text("dc:title"), text("dc:creator"), text("dcterms:modified", "dcterms:created")
        )

    def _opened(self) -> zipfile.ZipFile:
        return zipfile.ZipFile(io.BytesIO(self.data))


def xml_parser(etree: Any) -> Any:
    """Return a parser that reads nothing but what it is given."""
    return etree.XMLParser(
        resolve_entities=False, load_dtd=False, no_network=True, remove_comments=True
    )


def resolved(folder: str, target: str) -> str:
    """Return the part that a reference in a folder means."""
    path = unquote(target.partition("#")[0])
    return posixpath.normpath(posixpath.join("/", folder, path)).lstrip("/")


def _no_zip(data: bytes, name: str, title: str) -> str:
    if data.startswith(_OLE):
        suffix = f".{title.lower()}"
        old = _OLD.get(title)
        kind = f"encrypted or an old {old}" if old else "encrypted"
        return f"{kind}: {name}. Save it as {suffix} without password."
    if data.startswith(b"PK"):
        return f"damaged, its end is missing: {name}. Fetch or save it again."
    what = f"not a zip file, so no {title}"
    if data.startswith(b"{\\rtf"):
        return f"{what}, it is RTF: {name}. Rename it to .rtf."
    if data[:512].lstrip()[:1] == b"<":
        return f"{what}, it is HTML or XML: {name}. Rename it to .html or .xml."
    if b"\0" not in data[:8192]:
        return f"{what}, it is plain text: {name}. Rename it to .txt."
    return f"{what}: {name}."

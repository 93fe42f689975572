"""EPUB: the chapters of an e-book in the order of its spine, as Markdown."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import IO, Any, Final

from interlace.errors import InputError
from interlace.text.about import about
from interlace.text.formats.html import to_markdown
from interlace.text.markup import joined
from interlace.text.packages import Package, resolved
from interlace.text.records import Fields
from interlace.types import Document, Skipped

_CONTAINER: Final = "META-INF/container.xml"
_ENCRYPTION: Final = "META-INF/encryption.xml"
_OCF: Final = "{urn:oasis:names:tc:opendocument:xmlns:container}"
_ENC: Final = "{http://www.w3.org/2001/04/xmlenc#}"
_OPF: Final = "{http://www.idpf.org/2007/opf}"
_DC: Final = "{http://purl.org/dc/elements/1.1/}"
_CHAPTER: Final = ("application/xhtml+xml", "text/html", "application/x-dtbook+xml")
_FONTS: Final = (".ttf", ".otf", ".woff", ".woff2", ".ttc")


def read(stream: IO[bytes], name: str, fields: Fields) -> Iterator[Document | Skipped]:
    """Yield the text of an e-book as Markdown, and a note on each chapter that is missing.

    Title, author, language and date are metadata; the table of contents is left out.

    Raises
    ------
    InputError
        When the file is no EPUB, protected (DRM), damaged or has no text.
    MissingExtra
        Without lxml or what reads HTML.
    """
    package = Package(stream, name, "EPUB")
    if _is_protected(package):
        raise InputError(f"protected (DRM), only its shop's program can read it: {name}.")
    rootfile = package.xml(_CONTAINER).find(f".//{_OCF}rootfile")
    if rootfile is None:
        raise InputError(f"damaged, it names no contents, so no EPUB: {name}.")
    opf = resolved("", rootfile.get("full-path", ""))
    book = package.xml(opf)
    chapters = []
    missing = []
    for part in _spine(book, posixpath.dirname(opf)):
        if part in package:
            chapters.append(to_markdown(package.read(part), main=False))
        else:
            missing.append(Skipped(f"{name}, {part}", "is named in the book, but not in it"))
    text = joined(chapters)
    if not text:
        raise InputError(f"no text in it, only pictures: {name}.")
    yield Document(text, metadata=_metadata(book), syntax="markdown")
    yield from missing


def _is_protected(package: Package) -> bool:
    """Whether anything but fonts is encrypted; those often are, in books that are free."""
    if _ENCRYPTION not in package:
        return False
    references = package.xml(_ENCRYPTION).iter(f"{_ENC}CipherReference")
    return any(not one.get("URI", "").lower().endswith(_FONTS) for one in references)


def _spine(book: Any, folder: str) -> Iterator[str]:
    """Yield the parts of the book in the order of reading, without the table of contents."""
    items = {one.get("id"): one for one in book.iter(f"{_OPF}item")}
    contents = {
        resolved(folder, one.get("href", ""))
        for one in book.iter(f"{_OPF}reference")
        if one.get("type") == "toc"
    }
    for reference in book.iter(f"{_OPF}itemref"):
        item = items.get(reference.get("idref"))
        if item is None or "nav" in item.get("properties", "").split():
            continue
        part = resolved(folder, item.get("href", ""))
        if item.get("media-type", _CHAPTER[0]) in _CHAPTER and part not in contents:
            yield part


def _metadata(book: Any) -> dict[str, str]:
    def values(name: str) -> list[str]:
        return [one.text for one in book.iter(f"{_DC}{name}") if one.text]

    authors = ", ".join(dict.fromkeys(values("creator")))
    title, date, language = ("".join(values(name)[:1]) for name in ("title", "date", "language"))
    return about(title, authors, date, language)

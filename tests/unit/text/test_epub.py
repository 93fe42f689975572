"""EPUB: chapters in the order of the spine; protected and damaged ones say so."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from interlace.errors import InputError
from interlace.text.records import Fields
from interlace.types import Document, Skipped

pytest.importorskip("lxml")
read = pytest.importorskip("interlace.text.formats.epub").read

CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OPS/book.opf"/></rootfiles></container>'
)
OPF = (
    '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/">'
    "<metadata><dc:title>Tales</dc:title><dc:creator>Ada</dc:creator><dc:creator>Bob</dc:creator>"
    "<dc:language>en</dc:language><dc:date>1916</dc:date></metadata><manifest>"
    '<item id="n" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>'
    '<item id="b" href="two%20.xhtml" media-type="application/xhtml+xml"/>'
    '<item id="a" href="one.xhtml" media-type="application/xhtml+xml"/>'
    '<item id="z" href="gone.xhtml" media-type="application/xhtml+xml"/></manifest>'
    '<spine><itemref idref="n"/><itemref idref="a"/><itemref idref="b"/>{}</spine></package>'
)
CHAPTER = (
    '<html xmlns="http://www.w3.org/1999/xhtml"><head><title>t</title></head><body>'
    "<h1>{}</h1><p>{}</p></body></html>"
)


def made(more: str = "", **parts: str) -> io.BytesIO:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("META-INF/container.xml", CONTAINER)
        file.writestr("OPS/book.opf", OPF.format(more))
        file.writestr("OPS/nav.xhtml", CHAPTER.format("Contents", "One, two"))
        file.writestr("OPS/two .xhtml", CHAPTER.format("Second", "Then they left."))
        file.writestr("OPS/one.xhtml", CHAPTER.format("First", "Once there was a cat."))
        for part, content in parts.items():
            file.writestr(f"META-INF/{part}.xml", content)
    buffer.seek(0)
    return buffer


def book(path: Path) -> Document:
    (document,) = read(io.BytesIO(path.read_bytes()), path.name, Fields())
    assert isinstance(document, Document)
    return document


def encryption(uri: str) -> str:
    return (
        '<encryption xmlns:e="http://www.w3.org/2001/04/xmlenc#">'
        f'<e:CipherReference URI="{uri}"/></encryption>'
    )


def test_chapters_come_in_the_order_of_the_spine():
    (book,) = read(made(), "a.epub", Fields())
    assert isinstance(book, Document)
    assert book.text == "# First\n\nOnce there was a cat.\n\n# Second\n\nThen they left."
    assert book.metadata == {"title": "Tales", "author": "Ada, Bob", "language": "en"}
    assert book.syntax == "markdown"


def test_a_missing_chapter_is_named():
    _, note = read(made('<itemref idref="z"/>'), "a.epub", Fields())
    assert note == Skipped("a.epub, OPS/gone.xhtml", "is named in the book, but not in it")


def test_encrypted_chapters_are_protected_but_fonts_are_not():
    with pytest.raises(InputError, match="protected"):
        list(read(made(encryption=encryption("OPS/one.xhtml")), "a.epub", Fields()))
    (book,) = read(made(encryption=encryption("OPS/f.otf")), "a.epub", Fields())
    assert isinstance(book, Document)


def test_a_zip_that_is_no_book_says_so():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a.txt", "text")
    buffer.seek(0)
    with pytest.raises(InputError, match=r"no META-INF/container\.xml in it, so no EPUB"):
        list(read(buffer, "a.epub", Fields()))


def test_real_books(shared_data):
    books = shared_data("messy") / "books"
    alice = book(books / "alice.epub")
    assert alice.metadata["author"] == "Lewis Carroll"
    assert alice.metadata["language"] == "en-US"
    words = " ".join(alice.text.split())
    assert words.index("# Down The Rabbit-Hole") < words.index("a White Rabbit with pink eyes")
    assert words.index("a White Rabbit with pink eyes") < words.index("The Pool Of Tears")
    poems = book(books / "purvis-poetry.epub")
    assert poems.metadata["title"]

"""OpenDocument text as Markdown; what cannot be read says why."""

from __future__ import annotations

import io
import zipfile

import pytest

from interlace.errors import InputError
from interlace.text.formats.odt import read
from interlace.text.records import Fields
from interlace.types import Document

pytest.importorskip("lxml")

OASIS = "urn:oasis:names:tc:opendocument:xmlns"
SPACES = " ".join(
    f'xmlns:{name}="{OASIS}:{name}:1.0"' for name in ("office", "text", "table", "style", "meta")
)
DC = 'xmlns:dc="http://purl.org/dc/elements/1.1/"'


def only(data: bytes, name: str = "a.odt") -> Document:
    (document,) = read(io.BytesIO(data), name, Fields())
    assert document.syntax == "markdown"
    return document


def made(body: str, styles: str = "", **parts: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(
            "content.xml",
            f"<office:document-content {SPACES} {DC}><office:automatic-styles>{styles}"
            f"</office:automatic-styles><office:body><office:text>{body}</office:text>"
            "</office:body></office:document-content>",
        )
        for part, content in parts.items():
            file.writestr(part.replace("__", "/") + ".xml", content)
    return buffer.getvalue()


def test_headings_lists_and_tables():
    styles = (
        '<text:list-style style:name="L"><text:list-level-style-number text:level="1"/>'
        '<text:list-level-style-bullet text:level="2"/></text:list-style>'
    )
    item = "<text:list-item><text:p>{}</text:p>{}</text:list-item>"
    inner = f"<text:list>{item.format('deep', '')}</text:list>"
    cell = "<table:table-cell><text:p>{}</text:p></table:table-cell>"
    row = f"<table:table-row>{cell}{cell}</table:table-row>"
    body = (
        '<text:h text:outline-level="2">Part</text:h><text:p>a<text:s text:c="2"/>b</text:p>'
        f'<text:list text:style-name="L">{item.format("x", inner)}'
        f"{item.format('y', '')}</text:list>"
        f"<table:table>{row.format('k', 'v')}{row.format('1', '2')}</table:table>"
    )
    assert only(made(body, styles)).text == (
        "## Part\n\na  b\n\n1. x\n    - deep\n2. y\n\n| k | v |\n| --- | --- |\n| 1 | 2 |"
    )


def test_a_title_stands_above_the_headings():
    styles = '<style:style style:name="P1" style:parent-style-name="Title"/>'
    body = '<text:p text:style-name="P1">All</text:p><text:h text:outline-level="1">One</text:h>'
    assert only(made(body, styles)).text == "# All\n\n## One"


def test_notes_follow_their_paragraph_and_old_versions_are_gone():
    body = (
        "<text:tracked-changes><text:p>was</text:p></text:tracked-changes><text:p>is"
        "<text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>so"
        "</text:p></text:note-body></text:note>!<office:annotation><dc:creator>Ada</dc:creator>"
        "<text:p>really?</text:p></office:annotation></text:p>"
    )
    assert only(made(body)).text == "is[^1]!\n\n[^1]: so\n\n> Ada: really?"


def test_metadata():
    meta = (
        f"<office:document-meta {SPACES} {DC}><office:meta><dc:title>Plan</dc:title>"
        "<meta:initial-creator>Ada</meta:initial-creator><dc:date>2024-02-29T12:00:00</dc:date>"
        "</office:meta></office:document-meta>"
    )
    document = only(made("<text:p>text</text:p>", meta=meta))
    assert document.metadata == {"title": "Plan", "author": "Ada", "date": "2024-02-29"}


def test_real_files(shared_data):
    office = shared_data("messy") / "office"
    simple = only((office / "simple.odt").read_bytes())
    assert simple.text.startswith("# These are a few of my favorite things:")
    assert "\n- Hockey\n" in simple.text
    assert "Todos los seres humanos" in only((office / "english-spanish.odt").read_bytes()).text


def test_an_encrypted_file_says_so():
    data = made("", **{"META-INF__manifest": "<manifest><encryption-data/></manifest>"})
    with pytest.raises(InputError, match=r"encrypted: a\.odt"):
        only(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"just words", "it is plain text"),
        (b"{\\rtf1 words}", "it is RTF"),
        (b"<html></html>", "it is HTML or XML"),
        (made(""), "no text in it"),
        (made("<text:p>"), "damaged, content.xml"),
    ],
)
def test_what_cannot_be_read_says_why(data, reason):
    with pytest.raises(InputError, match=reason):
        only(data)

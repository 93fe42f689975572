"""RTF: its text, its letters beyond ASCII, what it says of itself."""

from __future__ import annotations

import io

import pytest

from interlace.errors import InputError
from interlace.text.formats.rtf import read
from interlace.text.records import Fields
from interlace.types import Document

pytest.importorskip("striprtf")


def only(data: bytes, name: str = "a.rtf") -> Document:
    (document,) = read(io.BytesIO(data), name, Fields())
    assert document.syntax is None
    return document


def test_paragraphs_and_letters():
    document = only(rb"{\rtf1\ansi\ansicpg1252 Caf\'e9 {\b au} lait\par Stra\u223?e}")
    assert document.text == "Café au lait\nStraße"


def test_metadata():
    info = rb"{\info{\title Plan {}}{\author Ren\'e9}{\creatim\yr2024\mo2\dy9\hr1}}"
    metadata = only(rb"{\rtf1\ansi" + info.replace(b" {}", b"") + rb"text\par}").metadata
    assert metadata == {"title": "Plan", "author": "René", "date": "2024-02-09"}


def test_a_real_file(shared_data):
    text = only((shared_data("messy") / "office" / "small.rtf").read_bytes()).text
    assert text.startswith("My First Heading\nMy first paragraph.")
    assert "Row 2, Cell 1|Row 2, Cell 2" in text


def test_what_cannot_be_read_says_why():
    with pytest.raises(
        InputError, match=r"no RTF, .* it is plain text: a\.rtf. Rename it to \.txt"
    ):
        only(b"just words")
    with pytest.raises(InputError, match=r"no RTF, whatever its name says: a\.rtf\."):
        only(b"\0\1\2")
    with pytest.raises(InputError, match="no text in it"):
        only(rb"{\rtf1\ansi }")

"""Presentations: a page a slide, its title a heading, tables and notes."""

from __future__ import annotations

import io

import pytest

from interlace.errors import InputError
from interlace.text.formats.pptx import read
from interlace.text.records import Fields
from interlace.types import Document

pptx = pytest.importorskip("pptx")


def only(data: bytes, name: str = "a.pptx") -> Document:
    (document,) = read(io.BytesIO(data), name, Fields())
    assert document.syntax == "markdown"
    return document


@pytest.fixture
def deck():
    return pptx.Presentation()


def add(deck, title: str | None, *lines: str, layout: int = 1):
    slide = deck.slides.add_slide(deck.slide_layouts[layout])
    if title is not None:
        slide.shapes.title.text = title
    for line in lines:
        frame = slide.placeholders[1].text_frame
        (frame.paragraphs[0] if frame.text == "" else frame.add_paragraph()).text = line
    return slide


def saved(deck) -> bytes:
    buffer = io.BytesIO()
    deck.save(buffer)
    return buffer.getvalue()


def test_slides_are_pages_with_titles_and_points(deck):
    add(deck, "Why", "one", "two").placeholders[1].text_frame.paragraphs[1].level = 1
    add(deck, None, layout=6)
    add(deck, "End", "Only words.")
    assert only(saved(deck)).text == "## Why\n\n- one\n    - two\f\f## End\n\nOnly words."


def test_tables_groups_and_notes(deck):
    slide = add(deck, "Data", layout=5)
    cells = slide.shapes.add_table(2, 2, 0, 0, 99, 99).table
    for i, text in enumerate(["k", "v", "1", "2"]):
        cells.cell(i // 2, i % 2).text = text
    box = slide.shapes.add_group_shape().shapes.add_textbox(0, 0, 99, 99)
    box.text_frame.text = "inside"
    slide.notes_slide.notes_text_frame.text = "Speak slowly."
    assert only(saved(deck)).text == (
        "## Data\n\n| k | v |\n| --- | --- |\n| 1 | 2 |\n\ninside\n\nNotes: Speak slowly."
    )


def test_metadata_is_what_a_person_wrote(deck):
    add(deck, "Why")
    deck.core_properties.author = "Ada"
    deck.core_properties.title = "PowerPoint Presentation"
    metadata = only(saved(deck)).metadata
    assert metadata["author"] == "Ada"
    assert "title" not in metadata


def test_a_real_file(shared_data):
    data = (shared_data("messy") / "office" / "slides.pptx").read_bytes()
    assert only(data).text == "## Page 1\f## Page 2"


def test_only_pictures_says_so(deck):
    add(deck, None, layout=6)
    with pytest.raises(InputError, match="no text in it, only pictures"):
        only(saved(deck))


def test_an_encrypted_or_old_file_says_so():
    with pytest.raises(InputError, match=r"encrypted or an old \.ppt: .* Save it as \.pptx"):
        only(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512))

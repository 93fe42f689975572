"""DOCX as Markdown: headings by level, lists, tables in place, notes; bad files say why."""

from __future__ import annotations

import io
import zipfile
from datetime import datetime

import pytest

from interlace.errors import InputError
from interlace.text.formats.docx import read
from interlace.text.records import Fields
from interlace.types import Document

pytest.importorskip("lxml")


def only(data: bytes, name: str = "a.docx") -> Document:
    (document,) = read(io.BytesIO(data), name, Fields())
    assert document.syntax == "markdown"
    assert document.line is None
    return document


def saved(word) -> bytes:
    buffer = io.BytesIO()
    word.save(buffer)
    return buffer.getvalue()


def with_body(body: str, **parts: str) -> bytes:
    """The smallest DOCX, its body and further parts given as XML."""
    space = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    relation = '<Relationship Id="{0}" Type="' + kind + '/{0}" Target="{0}.xml"/>'
    package = 'xmlns="http://schemas.openxmlformats.org/package/2006/relationships"'
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(
            "word/document.xml", f"<w:document {space}><w:body>{body}</w:body></w:document>"
        )
        relations = "".join(map(relation.format, parts))
        file.writestr(
            "word/_rels/document.xml.rels", f"<Relationships {package}>{relations}</Relationships>"
        )
        for part, content in parts.items():
            file.writestr(f"word/{part}.xml", f"<w:{part} {space}>{content}</w:{part}>")
    return buffer.getvalue()


@pytest.fixture
def word():
    return pytest.importorskip("docx").Document()


@pytest.fixture
def office(shared_data):
    return shared_data("messy") / "office"


def test_headings_lists_and_tables_come_in_order(word):
    word.add_heading("Plan", 0)
    word.add_heading("Why", 1)
    word.add_paragraph("Because.")
    word.add_paragraph("first", style="List Bullet")
    word.add_paragraph("second", style="List Bullet")
    table = word.add_table(2, 2)
    for cell, text in zip(table._cells, ["a", "b|c", "1", "2"], strict=True):
        cell.text = text
    word.add_paragraph("After.")
    assert only(saved(word)).text == (
        "# Plan\n\n## Why\n\nBecause.\n\n- first\n- second\n\n"
        "| a | b\\|c |\n| --- | --- |\n| 1 | 2 |\n\nAfter."
    )


def test_metadata_is_what_a_person_wrote(word):
    word.core_properties.title = "Untitled"
    word.core_properties.author = "Ada Lovelace"
    word.core_properties.modified = datetime(2024, 2, 29, 12, 0)
    word.add_paragraph("text")
    assert only(saved(word)).metadata == {"author": "Ada Lovelace", "date": "2024-02-29"}


def test_a_heading_is_known_by_its_level_in_any_language():
    styles = (
        '<w:style w:styleId="berschrift2"><w:name w:val="Kapitel"/>'
        '<w:pPr><w:outlineLvl w:val="1"/></w:pPr></w:style>'
        '<w:style w:styleId="Eigene"><w:name w:val="Eigene"/><w:basedOn w:val="berschrift2"/>'
        "</w:style>"
    )
    body = '<w:p><w:pPr><w:pStyle w:val="Eigene"/></w:pPr><w:r><w:t>Über uns</w:t></w:r></w:p>'
    assert only(with_body(body, styles=styles)).text == "## Über uns"


def test_numbered_lists_count_by_depth():
    numbering = (
        '<w:abstractNum w:abstractNumId="7"><w:lvl w:ilvl="0"><w:numFmt w:val="decimal"/></w:lvl>'
        '<w:lvl w:ilvl="1"><w:numFmt w:val="lowerLetter"/></w:lvl></w:abstractNum>'
        '<w:num w:numId="3"><w:abstractNumId w:val="7"/></w:num>'
    )
    one = (
        '<w:p><w:pPr><w:numPr><w:ilvl w:val="{}"/><w:numId w:val="3"/></w:numPr></w:pPr>'
        "<w:r><w:t>{}</w:t></w:r></w:p>"
    )
    body = "".join(one.format(*pair) for pair in [(0, "a"), (1, "b"), (1, "c"), (0, "d"), (1, "e")])
    assert only(with_body(body, numbering=numbering)).text == (
        "1. a\n    1. b\n    2. c\n2. d\n    1. e"
    )


def test_footnotes_follow_their_paragraph():
    footnotes = '<w:footnote w:id="2"><w:p><w:r><w:t>See there.</w:t></w:r></w:p></w:footnote>'
    body = (
        '<w:p><w:r><w:t>Said</w:t><w:footnoteReference w:id="2"/><w:t>.</w:t></w:r></w:p>'
        "<w:p><w:r><w:t>Next.</w:t></w:r></w:p>"
    )
    text = only(with_body(body, footnotes=footnotes)).text
    assert text == "Said[^1].\n\n[^1]: See there.\n\nNext."


def test_deleted_words_are_gone_and_inserted_ones_there():
    body = (
        "<w:p><w:r><w:t>We </w:t></w:r><w:del><w:r><w:delText>never </w:delText></w:r></w:del>"
        "<w:ins><w:r><w:t>always </w:t></w:r></w:ins><w:r><w:t>agree</w:t></w:r></w:p>"
    )
    assert only(with_body(body)).text == "We always agree"


def test_a_paragraph_is_no_heading_by_its_number_sign():
    assert only(with_body("<w:p><w:r><w:t># of cats</w:t></w:r></w:p>")).text == "\\# of cats"


def test_entities_and_files_outside_stay_out(tmp_path):
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    data = with_body("<w:p><w:r><w:t>x&amp;y</w:t></w:r></w:p>")
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        xml = file.read("word/document.xml").decode()
    dtd = f'<!DOCTYPE d [<!ENTITY e SYSTEM "{(tmp_path / "secret").as_uri()}">]>'
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("word/document.xml", dtd + xml.replace("&amp;", "&e;"))
    assert "secret" not in only(buffer.getvalue()).text


def test_headings_of_a_real_file(office):
    text = only((office / "headings.docx").read_bytes()).text
    assert text.startswith("# Test Document\n\n## Section 1\n\nParagraph 1.1")
    assert "#### Section 1.2.3\n\nParagraph 1.2.3.1" in text


def test_lists_and_table_of_a_real_file(office):
    text = only((office / "ducks.docx").read_bytes()).text
    assert "- Paddle about\n- Enjoy summer warmth" in text
    assert "1. Wear sunglasses\n2. Don’t forget to drink water" in text
    assert "| Leaves | Ash, Elm, Maple | 50 |" in text


def test_comments_follow_what_they_are_about(office):
    document = only((office / "with-comment.docx").read_bytes())
    assert (
        "\n\n> Unknown Author: This is a test comment. 12df-321a\n\n## Introduction"
        in document.text
    )
    assert document.metadata == {"author": "Adam Fourney", "date": "2024-12-15"}


def test_formulas_are_one_line(office):
    text = only((office / "equations.docx").read_bytes()).text
    assert "a/λ=m/(sin θ)=1/(sin 45.0^∘)=1.41." in text


def test_heads_and_feet_stand_once(office):
    text = only((office / "header-footer.docx").read_bytes()).text
    assert text.endswith("Header for section-1\n\nFooter for section 1")


def test_a_text_named_docx_says_so(shared_data):
    data = (shared_data("messy") / "broken" / "not-a-zip.docx").read_bytes()
    with pytest.raises(
        InputError, match=r"not a zip file, so no DOCX, it is plain text: b\.docx. Re"
    ):
        only(data, "b.docx")


def test_an_encrypted_or_old_file_says_so():
    with pytest.raises(InputError, match=r"encrypted or an old \.doc: .* Save it as \.docx"):
        only(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512))


def test_a_truncated_file_says_so(office):
    data = (office / "ducks.docx").read_bytes()
    with pytest.raises(InputError, match="damaged, its end is missing"):
        only(data[: len(data) // 2])


def test_another_zip_says_so():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a.txt", "text")
    with pytest.raises(InputError, match=r"no word/document\.xml in it, so no DOCX"):
        only(buffer.getvalue())


def test_a_bomb_is_not_unpacked():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("word/document.xml", bytes(200 * 2**20))
    with pytest.raises(InputError, match="unpacks to too much"):
        only(buffer.getvalue())


def test_nothing_in_it_says_so():
    with pytest.raises(InputError, match="no text in it"):
        only(with_body("<w:p/>"))

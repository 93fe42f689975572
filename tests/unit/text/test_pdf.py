"""PDF: pages, paragraphs, divided words, running heads; what cannot be read says why."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import pytest

from interlace.errors import InputError
from interlace.text.formats.pdf import read
from interlace.text.records import Fields
from interlace.types import Document, Skipped

pdfium = pytest.importorskip("pypdfium2")
raw = pdfium.raw

Line = tuple[float, float, str]


def make(*pages: list[Line], size: float = 10, title: str = "") -> bytes:
    """A PDF with Helvetica texts at (x, y), 300 points wide and 400 high."""
    with pdfium.PdfDocument.new() as pdf:
        font = raw.FPDFText_LoadStandardFont(pdf.raw, b"Helvetica")
        for lines in pages:
            page = pdf.new_page(300, 400)
            for x, y, text in lines:
                shown = raw.FPDFPageObj_CreateTextObj(pdf.raw, font, size)
                encoded = (text + "\0").encode("utf-16-le")
                letters = (raw.FPDF_WCHAR * (len(encoded) // 2)).from_buffer_copy(encoded)
                raw.FPDFText_SetText(shown, letters)
                raw.FPDFPageObj_Transform(shown, 1, 0, 0, 1, x, y)
                raw.FPDFPage_InsertObject(page.raw, shown)
            raw.FPDFPage_GenerateContent(page.raw)
            page.close()
        raw.FPDFFont_Close(font)
        buffer = io.BytesIO()
        pdf.save(buffer)
    return buffer.getvalue()


def only(data: bytes, name: str = "a.pdf") -> Document:
    (document,) = read(io.BytesIO(data), name, Fields())
    assert isinstance(document, Document)
    return document


def pages(data: bytes) -> list[str]:
    return only(data).text.split("\f")


@pytest.fixture
def reports(shared_data):
    return shared_data("messy") / "reports"


PROSE = [
    "The library opens at nine in the morning and",
    "closes at six. On Sundays, when nobody is there",
    "the cats of the neighbourhood take the reading",
    "room for themselves.",
]


def column(lines: list[str], x: float = 20, top: float = 300, lead: float = 12) -> list[Line]:
    return [(x, top - lead * i, line) for i, line in enumerate(lines)]


def test_lines_of_a_paragraph_are_joined():
    assert pages(make(column(PROSE))) == [" ".join(PROSE)]


def test_a_gap_begins_a_paragraph():
    apart = [*column(PROSE[:2]), *column(PROSE[2:], top=260)]
    assert pages(make(apart)) == [f"{' '.join(PROSE[:2])}\n\n{' '.join(PROSE[2:])}"]


def test_short_lines_stay_lines():
    address = ["Ada Lovelace", "12 St James's Square", "London", "England"]
    assert pages(make(column(address))) == ["\n".join(address)]


def test_items_of_a_list_stay_lines():
    items = ["1. The first of the things that we have to do", "2. The second one, which is longer"]
    assert pages(make(column(items))) == ["\n".join(items)]


def test_a_divided_word_is_one_again():
    halves = ["a text about late inter-", "action and other ways"]
    assert pages(make(column(halves))) == ["a text about late interaction and other ways"]


def test_a_compound_keeps_its_hyphen():
    lines = ["the word-by-word way is a way of word-by-", "word reading"]
    assert pages(make(column(lines))) == ["the word-by-word way is a way of word-by-word reading"]
    name = ["a train from here to Baden-", "Baden was late"]
    assert pages(make(column(name))) == ["a train from here to Baden-Baden was late"]


def test_a_blank_page_keeps_its_form_feed():
    data = make(column(["one"]), [], column(["three"]))
    assert pages(data) == ["one", "", "three"]


def test_running_heads_and_page_numbers_go_but_for_the_first_head():
    data = make(
        *(
            [
                (20, 380, "Annual report of the Society"),
                *column([f"Text {'abcde'[n]}"]),
                (140, 15, f"Page {n + 1} of 5"),
            ]
            for n in range(5)
        )
    )
    text = only(data).text
    assert text.count("Annual report of the Society") == 1
    assert text.startswith("Annual report of the Society\n\nText a")
    assert "Page 2" not in text
    assert text.count("\f") == 4
    assert [page.split("\n")[0] for page in text.split("\f")[1:]] == [f"Text {c}" for c in "bcde"]


def test_what_stands_at_the_edge_of_different_pages_stays():
    amounts = ["Total 170", "Total 385", "Total 12", "Total 9944"]
    data = make(*([(20, 380, amount), *column(["Thank you"])] for amount in amounts))
    assert all(amount in page for amount, page in zip(amounts, pages(data), strict=True))


def test_threads_read_the_same():
    data = make(*(column([*PROSE, f"Page {n}"]) for n in range(20)))
    with ThreadPoolExecutor(4) as pool:
        assert len({document.text for document in pool.map(only, [data] * 16)}) == 1


def test_fields_of_a_form_are_read(reports):
    with pdfium.PdfDocument((reports / "form.pdf").read_bytes()) as pdf:
        page = pdf[0]
        annotation = raw.FPDFPage_GetAnnot(page.raw, 0)
        value = "Ada\0".encode("utf-16-le")
        letters = (raw.FPDF_WCHAR * 4).from_buffer_copy(value)
        raw.FPDFAnnot_SetStringValue(annotation, b"V", letters)
        raw.FPDFPage_CloseAnnot(annotation)
        page.close()
        buffer = io.BytesIO()
        pdf.save(buffer)
    assert ": Ada" in only(buffer.getvalue()).text


def test_geotopo(reports):
    document = only((reports / "GeoTopo.pdf").read_bytes())
    text = document.text.split("\f")
    assert len(text) == 117
    assert document.metadata == {
        "title": "Geometrie und Topologie",
        "author": "Martin Thoma",
        "date": "2016-12-31",
    }
    assert document.syntax is None
    assert document.line is None
    assert "die es mir erlaubt haben, ihre Übungsaufgaben und Lösungen zu benutzen." in text[1]
    assert "(Schwarz-Weiß, Ringbindung)" in text[1]
    assert "1.1 Topologische Räume … 2" in text[3]
    assert "Metrische Räume sind hausdorffsch" in text[11]


def test_columns_are_read_one_after_the_other(reports):
    text = only((reports / "multicolumn.pdf").read_bytes()).text
    assert "Lorem ipsum dolor sit amet, consectetuer adipiscing elit. Ut purus elit" in text
    assert text.index("Nulla malesuada porttitor diam.") < text.index("Fusce mauris.")
    assert "\nBelgium 11.5 30,689 Brussels Dutch, French, German\n" in text


def test_no_ligatures(reports):
    text = only((reports / "crc-doc.1.0.pdf").read_bytes()).text
    assert "(CRC) is a well-known technique" in text
    assert "improving state of the art" in text
    assert not set(text) & set("ﬀﬁﬂﬃﬄ\u00ad\x00\x02")


def test_arabic_is_in_the_order_of_reading(reports):
    document = only((reports / "arabic-word.pdf").read_bytes())
    assert "حَبيبي" in document.text
    assert document.metadata["title"] == "habibi"


def test_placeholders_are_no_title(reports):
    assert only((reports / "receipt.pdf").read_bytes()).metadata == {"date": "2025-12-05"}


def test_pictures_are_named(reports):
    data = (reports / "images-only.pdf").read_bytes()
    document, note = read(io.BytesIO(data), "scan.pdf", Fields())
    assert isinstance(document, Document)
    assert document.text.count("\f") == 5
    assert isinstance(note, Skipped)
    assert note.where == "scan.pdf, pages 1-6"
    assert "ocrmypdf" in note.why


def test_a_pdf_without_text_says_so():
    with pytest.raises(InputError, match=r"no text in it: a\.pdf"):
        only(make([]))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("password.pdf", r"encrypted: .* Save a copy without password"),
        ("truncated.pdf", r"damaged, its end is missing: "),
        ("random-bytes.txt", r"not a PDF, whatever its name says: "),
    ],
)
def test_what_cannot_be_read_says_why(shared_data, name, reason):
    with pytest.raises(InputError, match=reason):
        only((shared_data("messy") / "broken" / name).read_bytes(), name)

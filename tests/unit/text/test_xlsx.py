"""Workbooks: a heading a sheet, an item a row, values after the names of their columns."""

from __future__ import annotations

import datetime
import io

import pytest

from interlace.errors import InputError
from interlace.text.formats import xlsx
from interlace.text.records import Fields
from interlace.types import Document, Skipped

openpyxl = pytest.importorskip("openpyxl")


def everything(data: bytes, name: str = "a.xlsx") -> list[Document | Skipped]:
    return list(xlsx.read(io.BytesIO(data), name, Fields()))


def made(**sheets: list[list[object]]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    buffer = io.BytesIO()
    book.save(buffer)
    book.close()
    return buffer.getvalue()


def text(**sheets: list[list[object]]) -> str:
    (document,) = everything(made(**sheets))
    assert isinstance(document, Document)
    assert document.syntax == "markdown"
    return document.text


def test_each_row_tells_what_its_values_are():
    rows = [
        ["Name", "Born", "Paid"],
        ["Ada", datetime.datetime(1815, 12, 10), 2.0],
        ["Bob", None, 0.1],
    ]
    assert text(People=rows, More=[["x", "y"], [True, 3]]) == (
        "# People\n\n- Name: Ada; Born: 1815-12-10; Paid: 2\n- Name: Bob; Paid: 0.1\n\n"
        "# More\n\n- x: True; y: 3"
    )


def test_lines_above_the_header_stay():
    rows = [["Report of 2024"], [], ["Item", "Price"], ["tea", 3]]
    assert text(S=rows) == "# S\n\nReport of 2024\n- Item: tea; Price: 3"


def test_without_a_header_values_stand_alone():
    assert text(S=[[1, 2], [3, "x"]]) == "# S\n\n- 1; 2\n- 3; x"


def test_rows_that_find_no_room_are_counted(monkeypatch):
    monkeypatch.setattr(xlsx, "_CHARACTERS_MAX", 63)
    document, note = everything(made(S=[["Item", "Price"], *(["tea", n] for n in range(9))]))
    assert isinstance(document, Document)
    assert document.text.endswith("- Item: tea; Price: 2")
    assert isinstance(note, Skipped)
    assert note.where == "a.xlsx, sheet S"
    assert note.why.startswith("its last 6 rows are too much; save it as .csv")


def test_a_real_file(shared_data):
    data = (shared_data("messy") / "tables" / "stanley-cups.xlsx").read_bytes()
    (document,) = everything(data)
    assert isinstance(document, Document)
    assert "- Team: Maple Leafs; Location: TOR; Stanley Cups: 13" in document.text
    assert "# Stanley Cups Since 67" in document.text


def test_an_empty_workbook_says_so():
    with pytest.raises(InputError, match="no text in it"):
        everything(made(S=[]))


def test_an_encrypted_or_old_file_says_so():
    with pytest.raises(InputError, match=r"encrypted or an old \.xls: .* Save it as \.xlsx"):
        everything(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512))

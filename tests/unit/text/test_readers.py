"""Files become documents byte for byte, or an error names the file and the line."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from pathlib import Path

import pytest

from interlace import text
from interlace.errors import InputError
from interlace.types import Document

ODD = "tab\there, \"double\" and 'single', a\r\nline end, a\rreturn\n# sharp"


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_plain_text_is_one_document_named_by_its_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "sky.txt", ODD)
    assert list(text.read("sky.txt")) == [Document(ODD, "sky.txt")]


def test_a_byte_order_mark_is_dropped(tmp_path):
    path = write(tmp_path / "a.txt", b"\xef\xbb\xbfgr\xc3\xbcn")
    assert next(text.read(path)).text == "grün"


def test_another_encoding_is_named_with_its_byte(tmp_path):
    path = write(tmp_path / "a.jsonl", b'{"text": "one"}\n{"text": "gr\xfcn"}\n')
    with pytest.raises(InputError, match=r"not UTF-8: .*a\.jsonl, byte 28 \(0xfc\)"):
        list(text.read(path))


def test_utf16_is_named(tmp_path):
    with pytest.raises(InputError, match="UTF-16 text"):
        list(text.read(write(tmp_path / "a.txt", "word".encode("utf-16"))))


def test_a_folder_is_walked_in_order_and_says_what_it_skips(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / ".git").mkdir()
    for name in ("b.txt", "a.md", "sub/c.txt", ".hidden.txt", ".git/d.txt", "photo.png"):
        write(tmp_path / name, name)
    skipped: list[Path] = []
    found = [document.text for document in text.read(tmp_path, skipped=skipped.append)]
    assert found == ["a.md", "b.txt", "sub/c.txt"]
    assert [path.name for path in skipped] == ["photo.png"]


def test_an_unknown_suffix_lists_the_known_ones(tmp_path):
    with pytest.raises(InputError, match=r"no format for \.xyz: .*\.jsonl"):
        list(text.read(write(tmp_path / "a.xyz", "x")))
    assert next(text.read(tmp_path / "a.xyz", format="text")).text == "x"


def test_a_missing_path_and_an_unknown_format_are_refused_at_once(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        text.read(tmp_path / "none.txt")
    with pytest.raises(InputError, match="unknown format 'pdf'"):
        text.read(tmp_path, format="pdf")


def test_jsonl_keeps_ids_metadata_and_text(tmp_path):
    records = [
        {"id": 7, "text": ODD, "metadata": {"year": 2021}},
        {"text": "no id"},
        "a text alone",
    ]
    lines = "\n".join(map(json.dumps, records)) + "\n\n"
    assert list(text.read(write(tmp_path / "a.jsonl", lines))) == [
        Document(ODD, 7, {"year": 2021}),
        Document("no id"),
        Document("a text alone"),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "x"', "bad JSON"),
        ('{"text": NaN}', "NaN is no JSON number"),
        ("[1]", "must be a str, a mapping"),
        ('{"txt": "x"}', "unknown key 'txt'.*Did you mean 'text'"),
        ('{"id": "x"}', "no text"),
        ('{"text": 3}', "a text must be a str, not int"),
        ('{"text": "\\ud800"}', "lone surrogate"),
        ('{"text": "x", "id": 1.5}', "an id must be a str or an int, not float"),
        ('{"text": "x", "id": true}', "not bool"),
        ('{"text": "x", "metadata": [1]}', "metadata must be a mapping"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    path = write(tmp_path / "a.jsonl", '{"text": "fine"}\n' + line + "\n")
    with pytest.raises(InputError, match=message) as caught:
        list(text.read(path))
    assert f"{path}, line 2" in str(caught.value)


def test_c13_csv_keeps_every_byte(tmp_path):
    import csv

    path = tmp_path / "a.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["id", "year", "text"])
        rows.writerow(["x", "2021", ODD])
        rows.writerow(["y", "", "z" * 200_000])
    assert list(text.read(path)) == [
        Document(ODD, "x", {"year": "2021"}),
        Document("z" * 200_000, "y", {"year": ""}),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,body\n1,x\n", r"no column 'text'.*line 1"),
        ("id,Text\n1,x\n", "Did you mean 'text'"),
        ("id,text\n1,x\n2,y,z\n", r"3 fields where the header has 2: .*line 3"),
        ('id,text\n1,"x\n', "bad CSV.*line 2"),
        ('id,text\n1,"x"y\n', "bad CSV.*line 2"),
        ("id,id,text\n1,1,x\n", "stands twice"),
    ],
)
def test_a_bad_table_is_named(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        list(text.read(write(tmp_path / "a.csv", content)))


def test_c13_tsv_keeps_quotes_and_refuses_tabs(tmp_path):
    path = write(tmp_path / "a.tsv", '1\tsaid ""yes"" # \\n\n2\ta\rb\n')
    assert list(text.read(path)) == [
        Document('said ""yes"" # \\n', "1"),
        Document("a\rb", "2"),
    ]
    with pytest.raises(InputError, match=r"3 columns .*line 2"):
        list(text.read(write(tmp_path / "b.tsv", "1\tx\n2\ty\tz\n")))
    with pytest.raises(InputError, match=r"1 columns .*line 2"):
        list(text.read(write(tmp_path / "c.tsv", "1\tx\ny\n")))
    with pytest.raises(InputError, match=r"line ends differ.*line 2"):
        list(text.read(write(tmp_path / "d.tsv", "1\tx\n2\ty\r\n")))


def test_c14_one_text_through_every_format(tmp_path):
    said = 'He said ""stop"" twice'
    quoted = said.replace('"', '""')
    files = [
        write(tmp_path / "a.jsonl", json.dumps({"id": "1", "text": said})),
        write(tmp_path / "a.csv", f'id,text\n1,"{quoted}"\n'),
        write(tmp_path / "a.tsv", f"1\t{said}\n"),
    ]
    assert [document.text for document in text.read(*files)] == [said] * 3


def test_standard_input_is_json_lines_unless_said_otherwise(monkeypatch):
    class Stdin:
        buffer = io.BytesIO(b'{"id": "a", "text": "x"}\n')

    monkeypatch.setattr(sys, "stdin", Stdin)
    assert list(text.read("-")) == [Document("x", "a")]
    Stdin.buffer = io.BytesIO(b"x\ty\n")
    assert list(text.read("-", format="tsv")) == [Document("y", "x")]


def test_a_reader_is_a_stream():
    class Endless(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, buffer):
            line = b'{"text": "again"}\n' * (len(buffer) // 18 + 1)
            buffer[:] = line[: len(buffer)]
            return len(buffer)

    from interlace.text.formats import jsonl

    documents = jsonl.read(io.BufferedReader(Endless(), 18 * 64), "endless")
    assert next(documents).text == next(documents).text == "again"


def test_an_estimate_counts_files_and_lines(tmp_path):
    write(tmp_path / "a.txt", "one\ntwo\n")
    write(tmp_path / "b.jsonl", "\n".join(['{"text": "x"}'] * 3) + "\n")
    write(tmp_path / "c.png", "\n\n")
    assert text.estimate(tmp_path) == 4
    assert text.estimate(tmp_path / "b.jsonl", format="text") == 1
    assert text.estimate(tmp_path, "-") is None


@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="no /dev/fd on this system")
def test_an_estimate_leaves_a_pipe_unread():
    reading, writing = os.pipe()
    os.write(writing, b'{"text": "x"}\n')
    os.close(writing)
    path = f"/dev/fd/{reading}"
    assert text.estimate(path, format="jsonl") is None
    assert [document.text for document in text.read(path, format="jsonl")] == ["x"]
    os.close(reading)


def test_a_field_limit_fits_a_c_long_of_32_bits(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text\nhello\n")
    assert [document.text for document in text.read(path)] == ["hello"]
    assert csv.field_size_limit() == 2**31 - 1

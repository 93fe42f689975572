"""A plain text, Markdown or code is the very text of its file."""

from __future__ import annotations

import io

import pytest

from interlace.errors import InputError
from interlace.text.formats import plain
from interlace.text.records import Fields
from interlace.types import Document, Skipped


def read(data: bytes, name: str = "a.txt", reader=plain.read) -> list[Document | Skipped]:
    return list(reader(io.BytesIO(data), name, Fields()))


class Endless(io.RawIOBase):
    """So many bytes of one letter, which are never all in memory."""

    def __init__(self, n_bytes: int) -> None:
        self._n_left = n_bytes

    def read(self, n_bytes: int = -1) -> bytes:
        assert n_bytes >= 0, "all of it at once"
        n_bytes = min(n_bytes, self._n_left)
        self._n_left -= n_bytes
        return b"x" * n_bytes


@pytest.mark.parametrize(
    ("name", "reader", "syntax"),
    [
        ("manuals/ZLIB-FAQ.TXT", plain.read, None),
        ("books/encodings/verwandlung.utf8-crlf.txt", plain.read, None),
        ("books/encodings/verwandlung.utf8-cr.txt", plain.read, None),
        ("books/encodings/verwandlung.nfd.txt", plain.read, None),
        ("international/udhr-article-1-all-languages.txt", plain.read, None),
        ("notes/mustache-README.md", plain.read_markdown, "markdown"),
        ("international/HOWTO-ar.md", plain.read_markdown, "markdown"),
        ("manuals/demo.rst", plain.read_rst, "rst"),
        ("code/textwrap.py", plain.read_code, "python"),
        ("code/zpipe.c", plain.read_code, "c"),
        ("code/mustache.min.js", plain.read_code, "javascript"),
    ],
)
def test_the_text_is_the_file(shared_data, name, reader, syntax):
    data = (shared_data("messy") / name).read_bytes()
    assert read(data, name, reader) == [Document(data.decode(), syntax=syntax, line=1)]


def test_a_byte_order_mark_goes(shared_data):
    data = (shared_data("messy") / "books/encodings/verwandlung.utf8-bom.txt").read_bytes()
    assert read(data) == [Document(data.decode("utf-8-sig"), line=1)]


def test_nothing_in_it():
    assert read(b"") == [Skipped("a.txt", "empty")]
    assert read(b" \r\n\t\n") == [Skipped("a.txt", "only blanks")]
    with pytest.raises(InputError, match="binary data"):
        read(bytes(range(256)) * 4)


def test_a_huge_text_comes_in_parts_that_begin_at_their_line(monkeypatch):
    monkeypatch.setattr(plain, "PART_CHARACTERS", 3_200)
    text = "".join(f"Line {n} of the paragraph.\r\n" + "\r\n" * (n % 5 == 0) for n in range(1_000))
    parts = read(text.encode())
    assert len(parts) > 5
    assert "".join(part.text for part in parts) == text
    assert max(len(part.text) for part in parts) <= 3_200
    assert all(part.id is None for part in parts)
    begins = [text[: text.index(part.text)].count("\n") + 1 for part in parts]
    assert [part.line for part in parts] == begins
    assert all(part.text.endswith("\n") for part in parts)


def test_one_huge_line_is_never_all_in_memory(monkeypatch):
    monkeypatch.setattr(plain, "PART_CHARACTERS", 2**20)
    n_characters = n_parts = 0
    for part in plain.read(Endless(5_000_000), "a.log", Fields()):
        assert isinstance(part, Document)
        assert len(part.text) <= 2**20
        assert part.line == 1
        n_characters += len(part.text)
        n_parts += 1
    assert (n_characters, n_parts) == (5_000_000, 5)

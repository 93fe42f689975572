"""Bytes become the text that was meant, whatever their encoding."""

from __future__ import annotations

import codecs
import io

import pytest

from interlace.errors import InputError
from interlace.text.encodings import blocks, decode, lines


class Trickle(io.RawIOBase):
    """A stream that gives a few bytes at a time, as pipes do."""

    def __init__(self, data: bytes, n_bytes: int) -> None:
        self._data, self._n_bytes = io.BytesIO(data), n_bytes

    def read(self, n_bytes: int = -1) -> bytes:
        return self._data.read(min(n_bytes, self._n_bytes) if n_bytes >= 0 else self._n_bytes)


#: Each beside the UTF-8 file of the same text.
CONVERTED = [
    ("international/encodings/howto-zh.gb18030.md", "international/HOWTO-zh.md", "gb18030"),
    ("international/encodings/howto-ja.shift_jis.md", "international/HOWTO-ja.md", "cp932"),
    ("international/encodings/howto-ja.euc-jp.md", "international/HOWTO-ja.md", "euc_jp"),
    ("international/encodings/howto-ko.euc-kr.md", "international/HOWTO-ko.md", "cp949"),
    ("international/encodings/howto-ru.koi8-r.md", "international/HOWTO-ru.md", "koi8-r"),
    ("international/encodings/howto-ru.cp1251.md", "international/HOWTO-ru.md", "cp1251"),
    ("international/encodings/howto-he.cp1255.md", "international/HOWTO-he.md", "cp1255"),
    ("international/encodings/howto-ar.utf16le-bom.md", "international/HOWTO-ar.md", "utf-16"),
]


@pytest.mark.parametrize(("name", "same", "encoding"), CONVERTED)
def test_real_files_in_many_encodings(shared_data, name, same, encoding):
    messy = shared_data("messy")
    data = (messy / name).read_bytes()
    text = decode(data, name)
    assert text == data.decode(encoding)
    letters = {letter for letter in (messy / same).read_text(encoding="utf-8") if letter.isalpha()}
    assert {letter for letter in text if letter.isalpha()} <= letters


def test_traditional_chinese(shared_data):
    data = (shared_data("messy") / "international/encodings/howto-zh_TW.big5.md").read_bytes()
    assert decode(data, "a.md") == data.decode("big5")


@pytest.mark.parametrize(
    "name", ["utf8", "utf8-bom", "utf16le-bom", "utf16be-bom", "utf16le-nobom"]
)
def test_one_book_in_every_form_of_unicode(shared_data, name):
    folder = shared_data("messy") / "books/encodings"
    text = (folder / "verwandlung.utf8.txt").read_bytes().decode()
    assert decode((folder / f"verwandlung.{name}.txt").read_bytes(), name) == text


def test_line_ends_stay(shared_data):
    folder = shared_data("messy") / "books/encodings"
    for name in ("utf8-crlf", "utf8-cr", "nfd", "one-line"):
        data = (folder / f"verwandlung.{name}.txt").read_bytes()
        assert decode(data, name) == data.decode()


def test_quotes_of_windows(shared_data):
    messy = shared_data("messy")
    data = (messy / "books/encodings/verwandlung.cp1252.txt").read_bytes()
    assert decode(data, "a.txt") == data.decode("cp1252")
    assert "“" in decode(data, "a.txt")
    whole = (messy / "books/Die Verwandlung.latin1.txt").read_bytes()
    assert decode(whole, "b.txt") == whole.decode("latin-1")


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Müller", "cp1252"),
        ("Grüße aus Köln", "cp1252"),
        ("Straße 5, 10 € – „ja“", "cp1252"),
        ("It’s “quoted” – yes", "cp1252"),
        ("São Paulo, não é", "cp1252"),
        ("Привет, мир", "cp1251"),
        ("日本語のテキスト", "cp932"),
        ("שלום עולם", "cp1255"),
    ],
)
def test_notes_of_a_few_words(text, encoding):
    assert decode(text.encode(encoding), "a.txt") == text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "utf-8"])
def test_a_byte_order_mark_tells_and_goes(encoding):
    data = "\ufeffGrüße 東京 🦆\r\n".encode(encoding)
    assert decode(data, "a.txt") == "Grüße 東京 🦆\r\n"


def test_stray_bytes_are_read_as_windows_does():
    data = "Käse, Brötchen, Grüße. ".encode() * 3 + b"caf\xe9 \x93so\x94 \x81"
    assert decode(data, "a.txt") == "Käse, Brötchen, Grüße. " * 3 + "café “so” \x81"


def test_a_utf16_file_that_ends_in_half_a_character():
    data = codecs.BOM_UTF16_LE + "abc".encode("utf-16-le") + b"d"
    assert decode(data, "a.txt") == "abc\ufffd"


@pytest.mark.parametrize("data", [bytes(range(256)) * 8, b"\x7fELF\x02\x01\x01" + bytes(900)])
def test_binary_data_are_no_text(data):
    with pytest.raises(InputError, match=r"binary data: a\.bin"):
        decode(data, "a.bin")
    with pytest.raises(InputError, match=r"binary data: a\.bin"):
        list(blocks(io.BytesIO(data), "a.bin"))


def test_two_nul_bytes_do_not_make_a_text_binary(shared_data):
    data = (shared_data("messy") / "broken/nul-bytes.txt").read_bytes()
    assert decode(data, "a.txt") == data.decode()
    assert decode(data, "a.txt").count("\0") == 2


def test_what_comes_late_in_a_large_file_is_read_right():
    text = "plain ascii line\n" * 300_000 + "ü 東京 🦆\n"
    assert "".join(blocks(io.BytesIO(text.encode()), "a.txt")) == text
    late = b"plain ascii line\n" * 300_000 + b"caf\xe9\n"
    assert "".join(blocks(io.BytesIO(late), "a.txt"))[-5:] == "café\n"


@pytest.mark.parametrize("n_bytes", [1, 3, 7])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp932"])
def test_however_few_bytes_a_read_gives(n_bytes, encoding):
    text = "日本語のテキストです。\r\n" * 40
    data = text.encode(encoding)
    assert "".join(blocks(Trickle(data, n_bytes), "a.txt")) == text
    assert "".join(line for _, line in lines(Trickle(data, n_bytes), "a.txt")) == text


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (b"a", [(1, "a")]),
        (b"a\nb\n", [(1, "a\n"), (2, "b\n")]),
        (b"a\r\n\r\nb", [(1, "a\r\n"), (2, "\r\n"), (3, "b")]),
        (b"a\rb\r", [(1, "a\r"), (2, "b\r")]),
        (b"a\r", [(1, "a\r")]),
        (b"a\rb\nc", [(1, "a\rb\n"), (2, "c")]),
        ("ä\u2028b\x0bc\n".encode(), [(1, "ä\u2028b\x0bc\n")]),
        ("ä\nb".encode("utf-16"), [(1, "ä\n"), (2, "b")]),
    ],
)
def test_lines_have_numbers_and_keep_their_ends(data, expected):
    assert list(lines(io.BytesIO(data), "a.txt")) == expected


def test_a_carriage_return_and_its_line_feed_in_two_blocks():
    data = b"x" * (2**16 - 1) + b"\r" + b"\nb\r\n"
    first, second = lines(io.BytesIO(data), "a.txt")
    assert first == (1, "x" * (2**16 - 1) + "\r\n")
    assert second == (2, "b\r\n")


def test_a_line_over_many_blocks():
    data = b"a\n" + b"x" * 5_000_000 + b"\nb"
    assert [(number, len(line)) for number, line in lines(io.BytesIO(data), "a.txt")] == [
        (1, 2),
        (2, 5_000_001),
        (3, 1),
    ]


def test_a_line_that_would_fill_the_memory_is_refused():
    n = 3 * 2**20
    data = b"a\n" + b"x" * n + b"\nb\n"
    assert [len(line) for _, line in lines(io.BytesIO(data), "a.txt", n)] == [2, n + 1, 2]
    for end in (b"\n", b"\r", b""):
        data = b"a" + end + b"x" * (n + 1) + end + b"b"
        number = 2 if end else 1
        with pytest.raises(InputError, match=rf"^a line of over 3 MiB: a\.txt, line {number}\. "):
            list(lines(io.BytesIO(data), "a.txt", n))

"""Every file becomes documents or a reason; which function reads it is told by its name."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies

from interlace import text
from interlace.errors import InputError, MissingExtra
from interlace.text import readers
from interlace.text.formats import Member
from interlace.types import Document, Skipped


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    """Work in an empty folder, so that names are short."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def reader(monkeypatch):
    """Make a generator function the reader of a format, or of all."""
    true_reader = readers._reader
    made = {}

    def use(function, format_name: str = "all"):
        made[format_name] = function
        monkeypatch.setattr(
            readers, "_reader", lambda name: made.get(name) or made.get("all") or true_reader(name)
        )

    return use


def write(path: str | Path, content: str | bytes = "words") -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read_all(path: str | Path, **options) -> list[Document | Skipped]:
    (found,) = text.find(path, str(path))
    return list(text.read_file(found, **options))


def outcome(path: str | Path, **options) -> list[str]:
    return [
        str(one.id) if isinstance(one, Document) else f"SKIPPED {one}"
        for one in read_all(path, **options)
    ]


# --- which reader -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "format_name"),
    [
        ("a.txt", "text"),
        ("A.TXT", "text"),
        ("a.b.md", "markdown"),
        ("a.csv", "csv"),
        ("a.tab", "tsv"),
        ("a.csv.gz", "gzip"),
        ("a.tar.gz", "tar"),
        ("v1.2.TAR.GZ", "tar"),
        ("a.tgz", "tar"),
        ("a.py", "code"),
        ("a.HTM", "html"),
        ("a.PDF", "pdf"),
        ("Makefile", "code"),
        ("a.yaml", "code"),
        ("a.svg", None),
        ("LICENSE", None),
        ("a.unknown", None),
        (".md", None),
        ("pdf", None),
    ],
)
def test_a_name_tells_the_format(name, format_name):
    assert readers.format_of(name) == format_name


def test_every_registered_reader_is_there_and_every_reader_is_registered():
    registered = {one.function.partition(":")[0] for one in text.FORMATS.values()}
    folder = Path(readers.__file__).parent / "formats"
    assert registered == {path.stem for path in folder.glob("[!_]*.py")}
    for name in text.FORMATS:
        assert callable(readers._reader(name))


def test_no_suffix_has_two_formats():
    suffixes = [suffix for one in text.FORMATS.values() for suffix in one.suffixes]
    assert len(suffixes) == len(set(suffixes))
    assert all(suffix == suffix.lower() and suffix[0] == "." for suffix in suffixes)


def packages_of(module: Path) -> set[str]:
    """The optional packages that a module of the text room needs, and those that it imports do."""
    source = module.read_text(encoding="utf-8")
    needed = {name.partition(".")[0] for name in re.findall(r'need\(\s*"([\w.]+)"', source)}
    for name in re.findall(r"^from interlace\.text\.([\w.]+) import", source, re.MULTILINE):
        imported = Path(text.__file__).parent.joinpath(*name.split(".")).with_suffix(".py")
        needed |= packages_of(imported) if imported.exists() else set()
    return needed


@pytest.mark.parametrize("name", text.FORMATS)
def test_every_optional_package_that_a_reader_uses_is_registered(name):
    """Else a file that was skipped for want of one would not be read once it is there."""
    one = text.FORMATS[name]
    module = Path(text.__file__).parent / "formats" / f"{one.function.partition(':')[0]}.py"
    assert one.is_folder or one.is_layer or packages_of(module) <= set(one.needs)


def test_reading_imports_nothing_heavy():
    heavy = "pypdfium2 docx odfdo lxml trafilatura pyarrow pptx openpyxl docutils tree_sitter bs4"
    code = (
        "import sys; from interlace import text; list(text.find('.', '.'))\n"
        f"print([name for name in {heavy.split()!r} if name in sys.modules])"
    )
    write("a.pdf")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# --- one file ---------------------------------------------------------------------------------


def test_a_file_that_is_the_document_goes_by_its_name():
    write("docs/sky.txt", "Blue.")
    assert read_all("docs/sky.txt") == [
        Document("Blue.", "docs/sky.txt", file="docs/sky.txt", line=1)
    ]


def test_parts_of_a_file_are_numbered_and_ids_are_kept(reader):
    def parts(stream, name, fields):
        yield Document("a")
        yield Document("b", "own")
        yield Skipped(f"{name}, line 3", "bad row")
        yield Document("c")
        yield Document("d", 0)

    reader(parts)
    write("big.txt")
    assert outcome("big.txt") == [
        "big.txt",
        "own",
        "SKIPPED big.txt, line 3: bad row",
        "big.txt#2",
        "0",
    ]
    assert {one.file for one in read_all("big.txt") if isinstance(one, Document)} == {"big.txt"}


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (InputError("encrypted: a.pdf. Save a copy without password."),
         "encrypted; save a copy without password"),
        (InputError("no text in it, only pictures"), "no text in it, only pictures"),
        (MissingExtra("pypdfium2 is not installed: it reads this."),
         "pypdfium2 is not installed: it reads this"),
        (ValueError("no /Root\nobject."), "cannot be read as PDF (no /Root object)"),
        (ValueError(), "cannot be read as PDF (ValueError)"),
        (ValueError("x" * 1_000), f"cannot be read as PDF ({'x' * 200})"),
        (RecursionError("maximum depth"), "cannot be read as PDF (nested too deep)"),
        (MemoryError(), "cannot be read as PDF (too large for this computer's memory)"),
        (EOFError("end"), "cannot be read as PDF (it ends too early)"),
        (zipfile.BadZipFile("Bad CRC-32"), "cannot be read as PDF (Bad CRC-32)"),
        (OSError(5, "Input/output error"), "cannot be read (Input/output error)"),
        (OSError("Not a gzipped file"), "cannot be read as PDF (Not a gzipped file)"),
        (KeyError("x"), "cannot be read as PDF ('x')"),
        (AssertionError(), "cannot be read as PDF (AssertionError)"),
    ],
)  # fmt: skip
def test_whatever_a_reader_raises_is_a_reason(reader, error, why):
    def broken(stream, name, fields):
        yield Document("before")
        raise error

    reader(broken)
    write("a.pdf")
    assert read_all("a.pdf") == [
        Document("before", "a.pdf", file="a.pdf"),
        Skipped("a.pdf", why, failed=True),
    ]


def test_an_interruption_is_no_reason(reader):
    def interrupted(stream, name, fields):
        raise KeyboardInterrupt
        yield

    reader(interrupted)
    write("a.pdf")
    with pytest.raises(KeyboardInterrupt):
        read_all("a.pdf")


def test_a_reader_that_finds_nothing_says_so(reader):
    reader(lambda stream, name, fields: iter(()))
    write("a.pdf")
    assert outcome("a.pdf") == ["SKIPPED a.pdf: nothing in it"]


def test_a_file_that_went_away_or_may_not_be_opened_is_named(monkeypatch):
    gone = text.Found(Path("gone.txt"), "gone.txt", 1)
    assert list(text.read_file(gone)) == [Skipped("gone.txt", "is not there any more", failed=True)]
    (found,) = text.find(write("a.txt"), "a.txt")

    def refuse(path, *rest, **named):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "open", refuse)
    why = "cannot be read (Permission denied)"
    assert list(text.read_file(found)) == [Skipped("a.txt", why, failed=True)]
    with pytest.raises(PermissionError):
        text.fingerprint(found)


def test_a_file_that_grows_while_it_is_read_ends_where_it_did(reader):
    def endless(stream, name, fields):
        read = b""
        while block := stream.read(3):
            read += block
            with Path(name).open("ab") as file:
                file.write(b"more")
        yield Document(read.decode())

    reader(endless)
    write("a.txt", "0123456789")
    assert read_all("a.txt")[0].text == "0123456789"


def test_a_file_that_shrinks_while_it_is_read_ends_early(reader):
    def shrinking(stream, name, fields):
        Path(name).write_bytes(b"")
        yield Document(stream.read().decode())

    reader(shrinking)
    write("a.txt", "0123456789")
    assert read_all("a.txt")[0].text == ""


def test_an_unknown_name_is_read_if_it_holds_text():
    write("LICENSE", "Permission is granted.")
    write("notes.xyz", "words")
    write("blob.xyz", bytes(range(256)) * 8)
    assert outcome("LICENSE") == ["LICENSE"]
    assert outcome("notes.xyz") == ["notes.xyz"]
    assert read_all("blob.xyz") == [Skipped("blob.xyz", "binary data, no reader for .xyz")]


def test_a_name_that_no_reader_has_is_refused_unless_a_format_is_given():
    write("song.mp3", "a text all the same")
    assert read_all("song.mp3") == [Skipped("song.mp3", "no reader for .mp3 (audio)")]
    assert outcome("song.mp3", format="text") == ["song.mp3"]


# --- files in files ---------------------------------------------------------------------------


def members(*names: str):
    def read(stream, name, fields):
        for member in names:
            yield Member(member, io.BytesIO(b"words"))

    return read


def test_a_file_in_a_file_goes_by_both_names(reader):
    reader(
        members(
            "a.txt",
            "sub/b.txt",
            "../../etc/c.txt",
            "/d.txt",
            "dos\\e.txt",
            "gr\udcfcn.txt",
            "..",
            "f.mp3",
        ),
        "zip",
    )
    write("x.zip")
    assert outcome("x.zip") == [
        "x.zip/a.txt",
        "x.zip/sub/b.txt",
        "x.zip/etc/c.txt",
        "x.zip/d.txt",
        "x.zip/dos/e.txt",
        r"x.zip/gr\xfcn.txt",
        "x.zip/unnamed",
        "SKIPPED x.zip/f.mp3: no reader for .mp3 (audio)",
    ]


def test_files_of_one_name_in_a_file_are_told_apart(reader):
    reader(members("a.txt", "b.txt", "a.txt", "./a.txt"), "zip")
    write("x.zip")
    assert outcome("x.zip") == [
        "x.zip/a.txt", "x.zip/b.txt", "x.zip/a.txt (2)", "x.zip/a.txt (3)",
    ]  # fmt: skip


def test_a_packed_file_keeps_its_name(reader):
    reader(members("a.txt"), "gzip")
    write("a.txt.gz")
    (document,) = read_all("a.txt.gz")
    assert (document.id, document.file) == ("a.txt.gz", "a.txt.gz")


def test_a_given_format_is_that_of_what_is_packed():
    write("a.log.gz", gzip.compress(b'{"id": 7, "text": "seven"}\n'))
    assert [one.text for one in read_all("a.log.gz", format="jsonl")] == ["seven"]


def test_what_is_wrong_with_a_file_in_a_file_stops_nothing(reader):
    def broken(stream, name, fields):
        raise ValueError("bad")
        yield

    reader(members("a.txt", "b.pdf", "c.txt"), "zip")
    reader(broken, "pdf")
    write("x.zip")
    assert read_all("x.zip")[1] == Skipped("x.zip/b.pdf", "cannot be read as PDF (bad)", True)
    assert outcome("x.zip")[::2] == ["x.zip/a.txt", "x.zip/c.txt"]


def nested(depth: int) -> bytes:
    content, name = b"words", "a.txt"
    for number in range(depth):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr(name, content)
        content, name = packed.getvalue(), f"{number}.zip"
    return content


def test_files_in_files_are_read_four_deep():
    write("four.zip", nested(4))
    write("five.zip", nested(5))
    assert outcome("four.zip") == ["four.zip/2.zip/1.zip/0.zip/a.txt"]
    assert outcome("five.zip") == [
        "SKIPPED five.zip/3.zip/2.zip/1.zip/0.zip/a.txt: "
        "lies over 4 files deep; unpack the outer one"
    ]


def test_what_unpacks_to_too_much_is_cut_off(reader):
    class Zeros(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, buffer):
            return len(buffer)

    def bomb(stream, name, fields):
        yield Member("inner.zip", io.BufferedReader(Zeros()))

    def through(stream, name, fields):
        while stream.read(2**20):
            pass
        yield Document("never")

    reader(bomb, "gzip")
    reader(through, "zip")
    write("a.gz")
    assert read_all("a.gz") == [
        Skipped("a.gz", "unpacks to too much, over 200 times its size; unpack it yourself", True)
    ]


# --- cases of the field -----------------------------------------------------------------------

ODD = "tab\there, \"double\" and 'single', a\r\nline end, a\rreturn\n# sharp"


def as_csv(rows: list[tuple[str, str]]) -> bytes:
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows([("id", "text"), *rows])
    return stream.getvalue().encode()


def as_jsonl(rows: list[tuple[str, str]]) -> bytes:
    return b"".join(json.dumps({"id": i, "text": t}).encode() + b"\n" for i, t in rows)


@pytest.mark.parametrize(("suffix", "packed"), [(".jsonl", as_jsonl), (".csv", as_csv)])
def test_c10_a_blank_text_moves_no_id(suffix, packed):
    for blank in (" ", "\t\n", "\u200b", ""):
        rows = [("x", "first"), ("y", blank), ("z", "third")]
        read = read_all(write(f"a{suffix}", packed(rows)))
        texts = {one.id: one.text for one in read if isinstance(one, Document)}
        told = [one for one in read if isinstance(one, Skipped)]
        assert {i: t for i, t in texts.items() if i != "y"} == {"x": "first", "z": "third"}
        assert (texts.get("y") == blank) ^ bool(told)
        assert all("line" in one.where for one in told)


@pytest.mark.parametrize(("suffix", "packed"), [(".jsonl", as_jsonl), (".csv", as_csv)])
def test_c13_records_keep_every_byte(suffix, packed):
    rows = [("1", ODD), ("2", "# sharp first"), ("3", "'"), ("4", "z" * 200_000)]
    read = list(text.read(write(f"a{suffix}", packed(rows))))
    assert [(document.id, document.text) for document in read] == rows


def test_c13_a_plain_text_keeps_every_byte():
    (document,) = text.read(write("a.txt", ODD))
    assert document.text == ODD


def test_c14_one_text_through_every_format():
    said = 'He said ""stop"" twice'
    files = [
        write("a.jsonl", as_jsonl([("1", said)])),
        write("a.csv", as_csv([("1", said)])),
        write("a.tsv", f"id\ttext\n1\t{said}\n"),
        write("a.txt", said),
    ]
    assert [document.text for document in text.read(*files)] == [said] * 4


@pytest.mark.parametrize("format_name", text.FORMATS)
@given(content=strategies.binary(max_size=200))
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_bytes_stop_a_reader(format_name, content):
    write("a.bin", content)
    found = text.Found(Path("a.bin"), "a.bin", len(content))
    for one in text.read_file(found, format=format_name):
        assert isinstance(one, (Document, Skipped))


# --- fingerprints -----------------------------------------------------------------------------


def mark(path: str | Path, **options) -> str:
    (found,) = text.find(path, str(path))
    return text.fingerprint(found, **options)


def test_c83_a_fingerprint_is_of_the_content_and_not_of_its_times():
    path = write("a.txt", "words")
    before = mark(path)
    os.utime(path, (1, 1))
    path.chmod(0o600)
    assert mark(path) == before
    assert mark(write("b.txt", "words")) == before
    assert mark(write("a.txt", "other")) != before
    assert re.fullmatch("[0-9a-f]{32}", before)


def test_a_fingerprint_depends_on_how_the_bytes_are_read(monkeypatch):
    readers._is_there.cache_clear()  # other tests hide packages
    path = write("a.pdf", "words")
    before = mark(path)
    assert mark(path, format="text") != before
    assert mark(write("a.txt", "words")) != before
    other_text = mark("a.txt")
    monkeypatch.setattr(readers, "_is_there", lambda package: package != "pypdfium2")
    assert mark(path) != before
    assert mark("a.txt") == other_text
    zipped = mark(write("a.zip"))
    monkeypatch.setattr(readers, "_is_there", lambda package: True)
    assert mark("a.zip") != zipped
    monkeypatch.setattr(readers, "READERS_VERSION", 99)
    assert mark("a.txt") != other_text


# --- read -------------------------------------------------------------------------------------


def test_a_folder_is_read_in_order():
    for name in ("docs/b.txt", "docs/a/c.md", "docs/.hidden.txt"):
        write(name, name)
    assert [(document.id, document.text) for document in text.read("docs/")] == [
        ("docs/a/c.md", "docs/a/c.md"),
        ("docs/b.txt", "docs/b.txt"),
    ]
    assert len(list(text.read("docs", hidden=True))) == 3
    assert len(list(text.read(Path("docs"), b"docs/b.txt"))) == 3


def test_everything_left_out_is_told_to_who_asks():
    for name in ("docs/a.txt", "docs/song.mp3", "docs/.hidden.txt"):
        write(name)
    write("empty.txt", "")
    told: list[Skipped] = []
    read = list(text.read("docs", "empty.txt", skipped=told.append))
    assert [document.id for document in read] == ["docs/a.txt"]
    assert told == [
        Skipped("docs/.hidden.txt", "hidden; --hidden reads it"),
        Skipped("docs/song.mp3", "no reader for .mp3 (audio)"),
        Skipped("empty.txt", "empty"),
    ]


def test_who_does_not_ask_is_warned_once_of_files_in_folders():
    for name in ("a.txt", ".hidden.txt", "b.mp3", "c.mp3", "d.mp3", "e.mp3"):
        write(f"docs/{name}")
    with pytest.warns(UserWarning, match="not read") as warned:
        assert len(list(text.read("docs"))) == 1
    (warning,) = warned
    assert str(warning.message) == (
        "4 files were not read: docs/b.mp3: no reader for .mp3 (audio); "
        "docs/c.mp3: no reader for .mp3 (audio); docs/d.mp3: no reader for .mp3 (audio); …. "
        "Pass skipped= to see all."
    )
    assert warning.filename == __file__


def test_hidden_and_ignored_files_warn_of_nothing():
    write("docs/.gitignore", "*.log")
    write("docs/a.log")
    write("docs/b.txt")
    assert [document.id for document in text.read("docs")] == ["docs/b.txt"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("song.mp3", "x", r"^no reader for \.mp3 \(audio\): song\.mp3\.$"),
        ("a.doc", "x", r"^no reader for \.doc \(old Word\): a\.doc\. Save it as \.docx\.$"),
        ("a.txt", "", r"^empty: a\.txt\.$"),
        ("a.jsonl", '{"text": "one"}\n{"text": \n', r"a\.jsonl, line 2"),
        ("blob.xyz", bytes(99), r"^binary data, no reader for \.xyz: blob\.xyz\.$"),
    ],
)
def test_a_file_that_is_named_must_be_readable(name, content, message):
    write(name, content)
    with pytest.raises(InputError, match=message):
        list(text.read(name))


def test_a_named_archive_is_like_a_folder(reader):
    reader(members("a.txt", "b.mp3"), "zip")
    write("x.zip")
    with pytest.warns(UserWarning, match=r"1 file was not read: x\.zip/b\.mp3: no reader"):
        assert [document.id for document in text.read("x.zip")] == ["x.zip/a.txt"]


def test_documents_before_the_bad_one_are_read():
    write("a.jsonl", '{"text": "one"}\n{"text": \n')
    reading = text.read("a.jsonl")
    assert next(reading).text == "one"
    with pytest.raises(InputError):
        next(reading)


def test_a_missing_path_a_wrong_format_and_wrong_fields_are_refused_at_once():
    write("a.txt")
    with pytest.raises(InputError, match=r"no such file or folder: b\.txt\. Did you mean a\.txt\?"):
        text.read("a.txt", "b.txt")
    with pytest.raises(InputError, match=r"unknown format 'word'\. Allowed are text, markdown"):
        text.read("a.txt", format="word")
    with pytest.raises(InputError, match=r"text_fields is 'body' alone\. Write \['body'\]"):
        text.read("a.txt", text_fields="body")
    with pytest.raises(InputError, match="nothing to read"):
        text.read()


def test_fields_reach_the_reader():
    write("a.jsonl", '{"key": "k", "title": "T", "body": "B"}\n')
    (document,) = text.read("a.jsonl", id_field="key", text_fields=["title", "body"])
    assert document.id == "k"
    assert document.text.split() == ["T", "B"]


def test_standard_input_is_json_lines_unless_said_otherwise(monkeypatch):
    class Stdin:
        buffer = io.BytesIO(b'{"id": "a", "text": "x"}\n')

    monkeypatch.setattr(sys, "stdin", Stdin)
    (document,) = text.read("-")
    assert (document.id, document.text, document.file) == ("a", "x", None)
    Stdin.buffer = io.BytesIO(b"words")
    (document,) = text.read("-", format="text")
    assert (document.id, document.text, document.file) == (None, "words", None)


@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="no /dev/fd on this system")
def test_a_pipe_that_is_named_is_read_like_standard_input():
    reading, writing = os.pipe()
    os.write(writing, b'{"text": "x"}\n')
    os.close(writing)
    (document,) = text.read(f"/dev/fd/{reading}")
    assert (document.text, document.file) == ("x", None)
    os.close(reading)


def test_a_device_is_not_read():
    if Path("/dev/zero").exists():
        with pytest.raises(InputError, match="not a regular file: a device: /dev/zero"):
            list(text.read("/dev/zero"))


def test_reading_is_lazy_and_closes_what_it_opened(monkeypatch):
    for number in range(3):
        write(f"docs/{number}.txt")
    opened = []
    true_open = os.open
    monkeypatch.setattr(os, "open", lambda *rest: opened.append(rest[0]) or true_open(*rest))
    documents = text.read("docs")
    assert opened == []
    assert next(documents).id == "docs/0.txt"
    assert len(opened) == 1
    documents.close()
    del documents  # a file left open is a warning, and so an error


def test_a_file_packed_twice_is_read():
    path = write("x.txt.gz.gz", gzip.compress(gzip.compress(b"packed twice")))
    (document,) = text.read(path)
    assert (document.text, document.file) == ("packed twice", str(path))

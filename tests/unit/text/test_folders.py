"""A folder is walked in order; what is left out is named once, with its reason."""

from __future__ import annotations

import errno
import os
import re
import socket
import sys
from pathlib import Path

import pytest
from hypothesis import given, strategies

from interlace import text
from interlace.types import Skipped

posix = pytest.mark.skipif(os.name != "posix", reason="needs links, pipes and names as bytes")


@pytest.fixture
def docs(tmp_path, monkeypatch) -> Path:
    """An empty folder ``docs``, named by its relative path."""
    monkeypatch.chdir(tmp_path)
    Path("docs").mkdir()
    return Path("docs")


def write(path: Path, content: str = "words") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def found(path: Path | str = "docs", **options) -> list[str]:
    return [
        one.name for one in text.find(path, str(path), **options) if isinstance(one, text.Found)
    ]


def left_out(path: Path | str = "docs", **options) -> dict[str, str]:
    skipped = [one for one in text.find(path, str(path), **options) if isinstance(one, Skipped)]
    assert len({one.where for one in skipped}) == len(skipped), "something is named twice"
    return {one.where: one.why for one in skipped}


def failed(path: Path | str = "docs") -> list[str]:
    every = text.find(path, str(path))
    return [one.where for one in every if isinstance(one, Skipped) and one.failed]


def test_names_come_in_order_with_their_sizes(docs):
    for name in ("b.txt", "a/z.txt", "a.txt", "c/d/e.txt", "B.txt"):
        write(docs / name, name)
    assert list(text.find(docs, "docs")) == [
        text.Found(docs / name, f"docs/{name}", len(name))
        for name in ("B.txt", "a/z.txt", "a.txt", "b.txt", "c/d/e.txt")
    ]


def test_a_file_that_is_named_is_found_whatever_it_is(docs):
    write(docs / ".gitignore", "*")
    for name in (".hidden.txt", "song.mp3"):
        assert found(write(docs / name)) == [f"docs/{name}"]


def test_the_label_is_what_names_begin_with(docs):
    write(docs / "a.txt")
    assert [one.name for one in text.find(docs.resolve(), "my notes")] == ["my notes/a.txt"]
    assert [one.name for one in text.find(docs.resolve(), "/")] == ["/a.txt"]


def test_hidden_files_and_folders_are_named_once(docs):
    for name in (".a.txt", ".cache/x.txt", ".cache/y.txt", "b.txt", ".git/config"):
        write(docs / name)
    hidden = "hidden; --hidden reads it"
    assert left_out() == {"docs/.a.txt": hidden, "docs/.cache": hidden}
    assert found(hidden=True) == [
        "docs/.a.txt",
        "docs/.cache/x.txt",
        "docs/.cache/y.txt",
        "docs/b.txt",
    ]


def test_ignore_files_are_obeyed_and_named(docs):
    write(docs / ".gitignore", "build/\n*.log\n!keep.log\n\n# a comment\n/top.txt\n")
    write(docs / "sub/.ignore", "*.txt\n!*.log")
    write(docs / "sub/.interlaceignore", "!good.txt")
    for name in (
        "build/a.txt", "a.log", "keep.log", "top.txt", "sub/top.txt", "sub/good.txt", "sub/b.log",
        "sub/deep/build/c.txt", "sub/deep/bad.txt",
    ):  # fmt: skip
        write(docs / name)
    assert found() == ["docs/keep.log", "docs/sub/b.log", "docs/sub/good.txt"]
    ignored = {where: why for where, why in left_out().items() if "hidden" not in why}
    assert ignored == {
        "docs/a.log": "left out by docs/.gitignore",
        "docs/build": "left out by docs/.gitignore",
        "docs/sub/deep/bad.txt": "left out by docs/sub/.ignore",
        "docs/sub/deep/build": "left out by docs/.gitignore",
        "docs/sub/top.txt": "left out by docs/sub/.ignore",
        "docs/top.txt": "left out by docs/.gitignore",
    }
    assert len(found(ignore=False)) == 9


def test_ignore_files_above_count_inside_a_repository_only(docs):
    write(Path(".gitignore"), "*.log\ndocs/drafts\n")
    for name in ("a.log", "a.txt", "drafts/b.txt"):
        write(docs / name)
    assert found() == ["docs/a.log", "docs/a.txt", "docs/drafts/b.txt"]
    Path(".git").mkdir()
    assert found() == ["docs/a.txt"]
    named = Path.cwd() / ".gitignore"
    assert left_out()["docs/a.log"] == f"left out by {named.as_posix()}"
    # What is named itself is read, though a file above it says otherwise.
    assert found("docs/drafts") == ["docs/drafts/b.txt"]


def test_a_bad_pattern_is_passed_over(docs):
    (docs / ".gitignore").write_bytes(b"\xef\xbb\xbf!\nx[z-a]\n\\\n*.log\r\n\xff*.txt\n")
    for name in ("a.log", "b.txt"):
        write(docs / name)
    assert found() == ["docs/b.txt"]


def test_an_ignore_file_that_is_a_folder_says_nothing(docs):
    (docs / ".gitignore").mkdir()
    write(docs / "a.txt")
    assert found() == ["docs/a.txt"]


@posix
def test_links_are_followed_but_not_in_circles(docs):
    write(docs / "sub/a.txt")
    write(Path("elsewhere/b.txt"))
    (docs / "file.txt").symlink_to("sub/a.txt")
    (docs / "other").symlink_to("../elsewhere")
    (docs / "sub/up").symlink_to("..")
    (docs / "sub/itself").symlink_to("../sub")
    (docs / "x").symlink_to("y")
    (docs / "y").symlink_to("x")
    (docs / "nowhere").symlink_to("gone.txt")
    assert found() == ["docs/file.txt", "docs/other/b.txt", "docs/sub/a.txt"]
    being_read = "links to a folder that is being read already"
    assert left_out() == {
        "docs/sub/up": being_read,
        "docs/sub/itself": being_read,
        "docs/x": "a link that leads to itself",
        "docs/y": "a link that leads to itself",
        "docs/nowhere": "a link to what is not there",
    }
    assert failed() == []


@posix
def test_a_link_to_a_folder_above_ends_where_the_walk_began(docs):
    write(docs / "a.txt")
    write(Path("b.txt"))
    (docs / "above").symlink_to("..")
    assert found() == ["docs/a.txt", "docs/above/b.txt"]
    assert list(left_out()) == ["docs/above/docs"]


@posix
def test_folders_full_of_links_to_one_another_end(docs):
    """Thirty folders with two links each to the next: a thousand million ways."""
    for number in range(30):
        folder = Path(f"d{number}")
        folder.mkdir()
        for side in "ab":
            (folder / side).symlink_to(f"../d{number + 1}")
    write(Path("d30/end.txt"))
    (docs / "start").symlink_to("../d0")
    assert len(found()) == 1
    assert set(left_out().values()) == {"links to a folder that another link has led to already"}


@posix
def test_what_is_no_regular_file_is_never_opened(docs, tmp_path, monkeypatch):
    os.mkfifo(docs / "pipe.txt")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("docs/socket.txt")
        (docs / "zero.txt").symlink_to("/dev/zero")
        assert left_out() == {
            "docs/pipe.txt": "not a regular file: a pipe",
            "docs/socket.txt": "not a regular file: a socket",
            "docs/zero.txt": "not a regular file: a device",
        }
    assert left_out("docs/pipe.txt") == {"docs/pipe.txt": "not a regular file: a pipe"}
    # One that took a file's place after it was found does not block.
    pipe = text.Found(docs / "pipe.txt", "docs/pipe.txt", 5)
    assert list(text.read_file(pipe)) == [
        Skipped("docs/pipe.txt", "cannot be read (not a regular file)", failed=True)
    ]


def test_an_unreadable_folder_is_named_and_the_walk_goes_on(docs, monkeypatch):
    for name in ("a/x.txt", "b/y.txt"):
        write(docs / name)
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "a":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert found() == ["docs/b/y.txt"]
    assert left_out() == {"docs/a": "cannot be read (Permission denied)"}
    assert failed() == ["docs/a"]


def test_a_path_that_went_away_is_named(docs):
    assert left_out("docs/none.txt") == {"docs/none.txt": "is not there any more"}
    assert failed("docs/none.txt") == ["docs/none.txt"]


def test_an_empty_folder_says_so(docs):
    assert left_out() == {"docs": "an empty folder"}


@posix
@pytest.mark.skipif(sys.platform == "darwin", reason="names are UTF-8 there")
def test_names_that_are_no_utf8_are_written_out(docs):
    Path(os.fsdecode(b"docs/gr\xfcn.txt")).write_text("words")
    Path("docs/two\nlines\x1b.txt").write_text("words")
    Path("docs/東京 ü.txt").write_text("words")
    assert found() == [r"docs/gr\xfcn.txt", r"docs/two\x0alines\x1b.txt", "docs/東京 ü.txt"]
    read = [document.id for document in text.read("docs")]
    assert read == found()


def test_a_collection_is_left_out(docs):
    write(docs / "a.txt")
    write(docs / "my.lace/catalog.sqlite")
    write(docs / "my.lace/segments/x/y.json")
    write(docs / "mine/catalog.sqlite")
    write(docs / "mine/segments")
    assert left_out()["docs/my.lace"] == "a collection"
    assert found() == ["docs/a.txt", "docs/mine/segments"]
    assert left_out("docs/my.lace") == {"docs/my.lace": "a collection"}


def test_no_depth_is_too_deep(docs):
    deepest = docs.joinpath(*["d"] * 1_500) if os.name == "posix" else docs / "d"
    folder = docs
    try:
        for _ in range(1_500 if os.name == "posix" else 1):
            folder /= "d"
            folder.mkdir()
        write(deepest / "a.txt")
        assert [len(Path(name).parts) for name in found()] == [1_502]
    finally:
        while folder != docs:  # shutil.rmtree is the one that recurses
            for entry in folder.iterdir():
                entry.unlink()
            folder.rmdir()
            folder = folder.parent


def test_a_walk_is_lazy(docs, monkeypatch):
    for name in ("a/x.txt", "b/y.txt"):
        write(docs / name)
    listed = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(str(path)) or scandir(path))
    assert next(iter(text.find(docs, "docs"))).name == "docs/a/x.txt"
    assert listed == ["docs", str(Path("docs/a"))]


def test_what_has_no_reader_is_told_by_name_or_first_bytes(docs):
    write(docs / "song.MP3")
    write(docs / "letter.doc")
    write(docs / "NOTICE")
    write(docs / "notes.weird")
    (docs / "data.weird").write_bytes(b"\x00\x01\x02 words")
    (docs / "wide").write_bytes("words".encode("utf-16"))
    (docs / "blob").write_bytes(bytes(100))
    assert found() == ["docs/NOTICE", "docs/notes.weird", "docs/wide"]
    assert left_out() == {
        "docs/blob": "binary data",
        "docs/data.weird": "binary data, no reader for .weird",
        "docs/letter.doc": "no reader for .doc (old Word); save it as .docx",
        "docs/song.MP3": "no reader for .mp3 (audio)",
    }
    assert failed() == []


def test_a_missing_path_is_told_with_what_is_near(docs):
    write(docs / "readme.md")
    (docs / "chapters").mkdir()
    said = text.no_such_path
    assert said("dcos/") == "no such file or folder: dcos. Did you mean docs/?"
    assert said("docs/README.md") == (
        "no such file or folder: docs/README.md. Did you mean docs/readme.md?"
    )
    assert said(Path("docs/chapter")).endswith("Did you mean docs/chapters/?")
    assert said("docs/*.pdf").endswith("Nothing in docs matches *.pdf.")
    assert said("docs/readme.md/x").endswith("docs/readme.md is a file, not a folder.")
    assert said("docs/zzz/a.txt").endswith("There is no zzz in docs: check the spelling.")
    assert said("qqqq").endswith("There is no qqqq in this folder: check the spelling.")
    assert said("https://example.org/a.html").endswith("save the page, then name the file.")
    assert said("") == "the path is empty. Name a file or a folder."


def test_a_home_folder_in_quotes_is_told(docs, monkeypatch):
    monkeypatch.setenv("HOME", str(docs.resolve()))
    monkeypatch.setenv("USERPROFILE", str(docs.resolve()))
    write(docs / "a.txt")
    assert f"Did you mean {docs.resolve().as_posix()}/a.txt?" in text.no_such_path("~/a.txt")


def test_a_folder_that_may_not_be_read_is_told(docs, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    assert text.no_such_path("docs/a.txt").endswith("docs cannot be read (Permission denied).")


@given(strategies.binary(max_size=20))
def test_every_name_can_be_printed_and_stored(name):
    shown = text.shown(os.fsdecode(name))
    assert shown.encode().decode() == shown
    assert not re.search("[\x00-\x1f\x7f]", shown)


@pytest.mark.parametrize(
    ("path", "name"),
    [("docs/", "docs"), ("/", "/"), (".", "."), ("a//", "a"), (Path("a/b"), "a/b"), ("ü", "ü")],
)
def test_a_path_is_shown_without_its_last_slash(path, name):
    assert text.shown(path) == name

"""A search without a query asks, shows, opens, and survives mistakes."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import sys
import time
from pathlib import Path

import pytest

import interlace
from interlace.cli import hits, interactive, opening
from interlace.types import Hit


@pytest.fixture
def filled(run, tmp_path):
    """A collection of two files with lines, one of records."""
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "sky.md").write_text("# Sky\n\nOn air.\n\nRayleigh scattering makes the sky blue.\n")
    (docs / "bread.txt").write_text("Bread is baked in an oven.\n")
    (docs / "moves.jsonl").write_text(
        '{"id": "rook", "text": "A rook moves straight."}\n'
        '{"id": "knight", "text": "A knight moves\\n\\nin the shape of an L."}\n'
    )
    assert run("index", "docs", "--to", "x.lace").code == 0
    return "x.lace"


@pytest.fixture
def editor(tmp_path, monkeypatch):
    """An editor that notes what it was started with."""
    note = tmp_path / "opened.json"
    script = tmp_path / "noted.py"
    script.write_text(f"import sys, json; open({str(note)!r}, 'w').write(json.dumps(sys.argv[1:]))")
    monkeypatch.setenv("VISUAL", f"{sys.executable} {script}")
    return lambda: json.loads(note.read_text())


def test_queries_of_a_pipe_one_a_line(run, filled):
    ran = run("search", filled, "-k", 1, stdin="why is the sky blue\n\nbaking bread\n")
    assert ran.code == 0
    assert re.search(r"\? why is the sky blue\n.*words\n +1 .*sky\.md", ran.out)
    assert re.search(r"\? baking bread\n.*words\n +1 .*bread\.txt", ran.out)
    assert run("search", filled, stdin="").out == ""


def test_lines_of_json_name_their_query(run, filled):
    records = run("search", filled, "-k", 1, "--json", stdin="sky\nbread\n").records
    assert [(one["query"], one["file"]) for one in records] == [
        ("sky", "docs/sky.md"), ("bread", "docs/bread.txt"),
    ]  # fmt: skip


def test_a_number_opens_the_hit_at_its_line(run, filled, editor, tmp_path):
    run("search", filled, stdin="why is the sky blue\n1\n")
    assert editor() == ["+5", str(tmp_path / "docs" / "sky.md")]
    run("search", filled, stdin="knight\n1\n")
    assert editor() == ["+2", str(tmp_path / "docs" / "moves.jsonl")]


def test_a_hit_without_a_file_is_shown_whole(run, filled, encoder):
    with interlace.open(filled, encoder) as collection:
        collection.add([{"id": "plain", "text": "The moon is made of cheese."}])
    ran = run("search", filled, stdin="moon\n1\n")
    assert "it came from no file" in ran.err
    assert ran.out.count("The moon is made of cheese.") == 2


def test_a_file_that_is_gone_is_said_to_be(run, filled, tmp_path):
    (tmp_path / "docs" / "bread.txt").unlink()
    ran = run("search", filled, stdin="bread\n1\n")
    assert "docs/bread.txt is not there any more" in ran.err


def test_a_file_without_lines_goes_to_its_program(run, filled, monkeypatch, tmp_path):
    pytest.importorskip("trafilatura", reason="the extra documents is not installed")
    launched = []
    monkeypatch.setattr("typer.launch", lambda path: launched.append(path) or 0)
    (tmp_path / "docs" / "page.html").write_text(
        "<html><body><article><h1>Cheese</h1><p>The moon is made of green cheese, say some, and "
        "they have said it for a very long time.</p></article></body></html>"
    )
    assert run("update", filled).code == 0
    ran = run("search", filled, stdin="moon of cheese\n1\n")
    assert launched == [str(tmp_path / "docs" / "page.html")], ran.out


def test_no_program_opens_it(run, filled, monkeypatch, encoder):
    monkeypatch.setattr("typer.launch", lambda path: 3)
    hit = Hit("a.pdf", 0, 0, 5, "Words", 1.0, 1.0, 1, {}, "a.pdf", None, 2)
    monkeypatch.setattr(interlace.Collection, "locate", lambda *_: Path("/far/a.pdf"))
    with interlace.open(filled, encoder) as collection:
        opening.open_hit(collection, hits.Shown(hit))


def test_commands_change_what_follows(run, filled):
    lines = ":k 2\nmoves\n:k 1\nmoves\n:effort thorough\n:by passage\nmoves\n:full\nmoves\n"
    ran = run("search", filled, stdin=lines)
    assert ran.err.endswith("note: by passage.\nnote: whole passages.\n")
    counts = [
        len(re.findall(r"^ +\d+  \d", part, re.MULTILINE)) for part in ran.out.split("? ")[1:]
    ]
    assert counts == [2, 1, 1, 1]
    assert "cosine" in run("search", filled, stdin="moves\n:explain 1\n").out
    assert ":effort" in run("search", filled, stdin=":help\n").out
    lexical = run("search", filled, stdin=":mode lexical\nunheard\nmoves\n").out
    assert "Nothing found." in lexical


def test_bytes_that_are_no_text_end_nothing(run, filled):
    ran = run("search", filled, "-k", 1, stdin=b"\xef\xbb\xbfsky \xff\r\nbread\r\n")
    assert "? sky \ufffd\n" in ran.out
    assert "? bread\n" in ran.out


def test_quit_ends_it(run, filled):
    assert run("search", filled, stdin=":quit\nsky\n").out == ""


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("3", 'no hits yet to choose from. To search for a number: "3"'),
        ("sky\n99", "no hit 99: there are 1 to 4"),
        (":efort fast", "unknown command :efort. Did you mean :effort?"),
        (":zzz", ":help lists what there is"),
        (":effort thorogh", "Did you mean thorough?"),
        (":by word", "Choose one of document, passage."),
        (":k many", "k is many. It is a whole number from 1: :k 20"),
        (":k", "k is not given"),
        (":explain", "no hits yet"),
    ],
)
def test_a_mistake_is_said_and_does_not_end_it(run, filled, typed, message):
    ran = run("search", filled, stdin=f"{typed}\nbaking bread\n")
    assert message in ran.err
    assert "bread.txt" in ran.out
    assert ran.code == 0


def test_a_number_in_quotes_is_searched_for(run, filled):
    assert "? 3\n" in run("search", filled, stdin='"3"\n').out


def test_an_editor_that_is_not_there(run, filled, monkeypatch):
    monkeypatch.setenv("VISUAL", "no-such-editor --wait")
    ran = run("search", filled, stdin="sky\n1\nbread\n")
    assert "cannot start no-such-editor" in ran.err
    assert "Set EDITOR" in ran.err
    assert "? bread" in ran.out


def test_what_others_add_meanwhile_is_found(run, filled, encoder, monkeypatch):
    real = interlace.Collection.refresh

    def refresh(self):
        with interlace.open(filled, encoder) as other:
            other.add([{"id": "new", "text": "Quite new words."}])
        return real(self)

    monkeypatch.setattr(interlace.Collection, "refresh", refresh)
    assert "new" in run("search", filled, "-k", 1, stdin="quite new words\n").out


@pytest.mark.parametrize(
    ("editor", "argv"),
    [
        ("vim", ["vim", "+7", "/a b.txt"]),
        ("emacsclient -t", ["emacsclient", "-t", "+7", "/a b.txt"]),
        ("code --wait", ["code", "--wait", "-g", "/a b.txt:7"]),
        ("/opt/bin/subl", ["/opt/bin/subl", "/a b.txt:7"]),
        ("'/my apps/hx'", ["/my apps/hx", "/a b.txt:7"]),
        ("pycharm", ["pycharm", "--line", "7", "/a b.txt"]),
        ("notepad.exe", ["notepad.exe", "/a b.txt"]),
    ],
)
def test_every_editor_is_told_the_line_in_its_way(monkeypatch, editor, argv):
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", editor)
    assert opening.reader(Path("/a b.txt"), 7) == argv


def test_without_an_editor_the_pager_is_told(monkeypatch):
    for name in ("VISUAL", "EDITOR", "PAGER"):
        monkeypatch.delenv(name, raising=False)
    assert opening.reader(Path("/a.txt"), 7) is None  # no terminal here
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert opening.reader(Path("/a.txt"), 7) == ["less", "+7g", "/a.txt"]
    monkeypatch.setenv("PAGER", "most -c")
    assert opening.reader(Path("/a.txt"), 7) == ["most", "-c", "/a.txt"]
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert opening.reader(Path("/a.txt"), 7) is None


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_on_a_terminal_it_prompts_and_ends_with_an_empty_line(run, filled):
    """The real command, at a terminal of its own."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="dumb", PYTHONPATH=os.pathsep.join(sys.path))
        os.execv(
            sys.executable, [sys.executable, "-m", "interlace.cli", "search", filled, "-k", "1"]
        )
    said = ""

    def until(text):
        nonlocal said
        deadline = time.monotonic() + 60
        while text not in said and time.monotonic() < deadline:
            if select.select([terminal], [], [], 0.2)[0]:
                said += os.read(terminal, 65536).decode(errors="replace")
        assert text in said, said

    until("? ")
    os.write(terminal, b"why is the sky blue\n")
    until("sky.md")
    said = ""
    os.write(terminal, b":bogus\n")
    until("unknown command")
    os.write(terminal, b"\n")
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.parametrize("typed", ["help", "?"])
def test_a_person_who_asks_for_help_gets_it(run, filled, encoder, capsys, typed):
    with interlace.open(filled, encoder) as collection:
        asking = interactive.Asking(collection, k=1, mode="late", effort="balanced", by="document")
        interactive._obey(asking, typed, is_person=True)
    assert ":effort" in capsys.readouterr().out
    assert f"? {typed}\n" in run("search", filled, stdin=f"{typed}\n").out  # a pipe has queries

"""Every mistake of a newcomer is one message that says what to do next; no traceback."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

import interlace
from interlace.errors import InputError


@pytest.fixture
def place(tmp_path, monkeypatch, encoder):
    """A folder with docs, a collection, an empty folder, and one where nothing can be read."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "sky.md").write_text("# Sky\n\nRayleigh scattering makes the sky blue.\n")
    (tmp_path / "docs" / "bread.txt").write_text("Bread is baked in an oven.\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "songs").mkdir()
    (tmp_path / "o2.jsonl").write_text("")
    for name in "abcd":
        (tmp_path / "songs" / f"{name}.mp3").write_bytes(b"ID3\0\1\2\3")
    with interlace.create("notes.lace", model=encoder) as notes:
        notes.add([{"id": "sky", "text": "Rayleigh scattering makes the sky blue."}])
    return tmp_path


CASES = [
    # typos in paths
    (
        ["index", "dosc", "--to", "x.lace"],
        2,
        r"no such file or folder: dosc\. Did you mean docs/\?",
    ),
    (["index", "Docs/SKY.md", "--to", "x.lace"], 2, r"Did you mean docs/\?"),
    (["index", "docs/sky.txt", "--to", "x.lace"], 2, r"Did you mean docs/sky\.md\?"),
    (["index", "docs/sky", "--to", "x.lace"], 2, r"Did you mean docs/sky\.md\?"),
    (["index", "zzz/qqq", "--to", "x.lace"], 2, r"`ls \.` shows what is there"),
    (["rerank", "x", "docs/bred.txt"], 2, r"Did you mean docs/bread\.txt\?"),
    (["encode", "docs/bred.txt", "--json"], 2, r"Did you mean docs/bread\.txt\?"),
    # collections that are none
    (["search", "note.lace", "x"], 3, r"not a collection: note\.lace\. Did you mean notes\.lace\?"),
    (["search", "notes", "x"], 3, r"Did you mean notes\.lace\?"),
    (["search", "far.lace", "x"], 3, r"Make one: interlace index FOLDER --to far\.lace"),
    (["search", "docs", "x"], 3, r"a folder, but no coll.*interlace index docs --to docs\.lace"),
    (["search", "docs/sky.md", "x"], 3, r"a file, no collection: .*interlace index docs/sky\.md"),
    (["info", "empty"], 3, r"interlace index FOLDER --to empty"),
    (["backup", "nothere", "z.lace"], 3, r"not a collection: nothere\. Give .* to copy"),
    (["restore", "nothere", "z.lace"], 3, r"not a collection: nothere\. Give .* a backup"),
    (["restore", "docs", "z.lace"], 3, r"not a collection: docs\. Give .* a backup"),
    (["restore", "note.lace", "z.lace"], 3, r"Did you mean notes\.lace\? Else give"),
    (["backup", "notes.lace", "notes.lace"], 2, r"the target is the collection itself"),
    (["import", "nothere.jsonl", "--to", "x.lace"], 2, r"`ls \.` shows what is there"),
    (["delete", "notes.lace"], 2, r"by ids or by a filter: interlace delete notes\.lace ID, or"),
    (["delete", "notes.lace", "sky", "--where", "a = 1"], 2, r"say which documents, by ids or"),
    (["search", "notes.lace", "x", "--mode", "lat"], 2, r"mode is 'lat'\. Choose one of late"),
    (["search", "notes.lace", "x", "--by", "sentence"], 2, r"by is 'sentence': hits are by doc"),
    (["search", "notes.lace", "x", "--damaged", "ignore"], 2, r"damaged is 'ignore'\. Choose one"),
    (
        ["rebuild", "notes.lace", "--passage-tokens", "10", "--passage-overlap", "20"],
        2,
        r"error: --passage-overlap is 20\. With passages of 10 tokens it must lie between 0 and 4",
    ),
    (["export", "notes.lace", "x.csv"], 2, r"or give --format"),
    (["export", "notes.lace"], 2, r"a FILE, or with --to the folder of a model"),
    (["export", "notes.lace", "x.jsonl", "--to", "m"], 2, r"a FILE, or with --to"),
    (["export", "mini", "--to", "m"], 2, r"no weights for torch"),
    (["import", "o2.jsonl", "--to", "x.lace", "--on-conflict", "x"], 2, r"--on-conflict is 'x'"),
    (["update", "notes.lace"], 3, r"interlace index FOLDER --to .*notes\.lace"),
    (["notes.lace", "sky"], 2, r"no command but a collection: notes\.lace\. Type: search"),
    # where a collection goes
    (["index", "docs"], 2, r"say where .* interlace index docs --to docs\.lace"),
    (["index", "docs", "--to", "songs"], 3, r"holds other things.*--to docs\.lace"),
    (["index", "docs", "--to", "docs/sky.md"], 3, r"a file, so no place.*--to docs\.lace"),
    (["index", "docs", "--to", "x.lace", "--on-conflict", "skip"], 2, r"is for standard input"),
    # nothing to index
    (["index", "empty", "--to", "x.lace"], 2, r"nothing to index in empty: an empty folder\. Name"),
    (["index", "songs", "--to", "x.lace"], 2, r"nothing to index in songs: none of 4"),
    (["index", "songs/a.mp3", "--to", "x.lace"], 2, r"nothing to index in songs/a\.mp3: .*\.mp3"),
    # options and commands
    (["serch", "notes.lace", "x"], 2, r"No such command 'serch'\. Did you mean 'search'"),
    (["search", "notes.lace", "x", "--efort", "fast"], 2, r"--effort"),
    (["index", "docs", "--to", "x.lace", "--bits", "3"], 2, r"bits is 3\. Allowed are 1, 2 and 4"),
    (["index", "docs", "--to", "x.lace", "--bits", "many"], 2, r"valid integer"),
    (["index", "docs", "--to", "x.lace", "--passage-tokens", "9999"], 2, r"Choose at most 254"),
    (["index", "docs", "--to", "x.lace", "--passage-overlap", "254"], 2, r"overlap"),
    (["search", "notes.lace", "x", "-k", "0"], 2, r"k is 0"),
    (["search", "notes.lace", "x", "--effort", "quick"], 2, r"effort is 'quick'.*balanced"),
    (["search", "notes.lace", "x", "--by", "word"], 2, r"document"),
    (["search", "notes.lace", "x", "--ids", "moon"], 2, r"no such document: id 'moon'"),
    # models
    (["index", "docs", "--to", "x.lace", "--model", "nosuch"], 4, r'no model "nosuch".*"mini"'),
    (["index", "docs", "--to", "x.lace", "--model", "docs"], 4, r"Known are the formats"),
    # leaving
    (["forget", "notes.lace", "docs"], 2, r"There are: none"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), CASES, ids=lambda a: str(a)[:60])
def test_a_mistake_says_what_to_do_next(place, run_here, arguments, code, message):
    ran = run_here(*arguments)
    said = " ".join(ran.err.replace("│", " ").split())
    assert re.search(message, said), said
    assert ran.code == code
    assert "Traceback" not in ran.err + ran.out


def test_a_mistake_leaves_nothing_behind(place, run_here):
    run_here("index", "dosc", "--to", "x.lace")
    run_here("index", "docs", "--to", "x.lace", "--bits", "3")
    assert not (place / "x.lace").exists()


def test_nothing_found_says_why(place, run_here, encoder):
    ran = run_here("search", "notes.lace", "")
    assert (ran.code, ran.out.strip()) == (0, "Nothing found.")
    assert "The query is empty" in ran.err
    interlace.create("bare.lace", model=encoder).close()
    ran = run_here("search", "bare.lace", "sky")
    assert "the collection is empty. Fill it: interlace index FOLDER --to" in ran.err


def test_a_query_longer_than_the_model_reads(place, run_here):
    ran = run_here("search", "notes.lace", "sky " * 2_000)
    assert ran.code == 0
    assert re.search(r"The query was cut: its last \d+ of 2000 tokens were not read", ran.err)


def test_a_setting_of_the_file_that_is_unknown(place, run_here):
    (place / "interlace.toml").write_text("pasage_overlap = 3\n")
    ran = run_here("search", "notes.lace", "sky")
    assert ran.code == 2
    assert "interlace.toml. Did you mean 'passage_overlap'?" in ran.err


def test_a_package_that_is_not_there_is_named_with_its_extra(place, run_here, monkeypatch):
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    ran = run_here("index", "docs", "--to", "x.lace", "--watch")
    assert ran.code == 4
    assert "pip install 'interlace[documents]'" in ran.err
    assert "Traceback" not in ran.err


def test_files_that_need_a_package_are_named_with_its_extra(place, run_here, monkeypatch):
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    (place / "docs" / "a.pdf").write_bytes(b"%PDF-1.4\n")
    ran = run_here("index", "docs", "--to", "x.lace")
    assert ran.code == 0
    assert "docs/a.pdf" in ran.err
    assert "pip install 'interlace[documents]'" in " ".join(ran.err.split())


def test_a_full_disk(place, run_here, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "x.lace/segments/1")

    monkeypatch.setattr(interlace.Collection, "index", full)
    ran = run_here("index", "docs", "--to", "x.lace")
    assert ran.code == 3
    assert "No space left on device: x.lace/segments/1" in ran.err
    assert "free some space" in ran.err.lower()


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of this kind")
def test_a_disk_that_fills_up_in_earnest(place):
    """A real limit on the size of files, in a process of its own."""
    code = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000));"
        "from interlace.cli import main; main()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, "index", "docs", "--to", "x.lace"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert ran.returncode == 3, ran.stderr
    assert "Traceback" not in ran.stderr
    assert re.search(r"full|space|limit", ran.stderr)


def test_a_folder_that_may_not_be_written_to(place, run_here, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(13, "Permission denied", "x.lace")

    monkeypatch.setattr(interlace, "create", refused)
    ran = run_here("index", "docs", "--to", "x.lace")
    assert ran.code == 3
    assert "Permission denied: x.lace" in ran.err
    assert "rights" in ran.err or "permission" in ran.err.lower()


def test_a_terminal_that_lacks_letters(place):
    """As on Windows: its encoding has no Chinese and no ›."""
    (place / "docs" / "月.md").write_text("# 月亮\n\n月亮是奶酪做的。\n", encoding="utf-8")

    def ran(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "interlace.cli", *arguments],
            capture_output=True,
            encoding="cp1252",
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "PYTHONIOENCODING": "cp1252",
                "PYTHONUTF8": "0",
            },
            check=False,
        )

    assert ran("index", "docs", "--to", "x.lace").returncode == 0
    found = ran("search", "x.lace", "月亮")
    assert (found.returncode, found.stderr) == (0, "")
    lines = ran("search", "x.lace", "月亮", "--json").stdout.splitlines()
    assert "月亮是奶酪做的。" in json.loads(lines[0])["text"]


def test_the_real_command(place):
    """Once through the very program, not this process."""
    ran = subprocess.run(
        [sys.executable, "-m", "interlace.cli", "index", "dosc", "--to", "x.lace"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.strip() == "error: no such file or folder: dosc. Did you mean docs/?"


def test_nothing_to_index_leaves_no_new_collection_behind(place, run_here):
    for source in ("empty", "songs"):
        assert run_here("index", source, "--to", "x.lace").code == 2
        assert not (place / "x.lace").exists()
    (place / "x.lace").mkdir()
    assert run_here("index", "empty", "--to", "x.lace").code == 2
    assert list((place / "x.lace").iterdir()) == []  # the folder is the user's


def test_nothing_to_index_keeps_a_collection_that_was_there(place, run_here, encoder):
    interlace.create("bare.lace", model=encoder).close()
    for collection, n in (("bare.lace", 0), ("notes.lace", 1)):
        assert run_here("index", "empty", "--to", collection).code == 2
        assert run_here("info", collection, "--json").records[0]["n_documents"] == n


def test_an_error_keeps_what_was_stored_before_it(place, run_here, monkeypatch):
    def stops(self, *_, **__):
        self.add(["one"])
        raise InputError("the second is wrong")

    monkeypatch.setattr(interlace.Collection, "index", stops)
    assert run_here("index", "docs", "--to", "x.lace").code == 2
    assert run_here("info", "x.lace", "--json").records[0]["n_documents"] == 1


def test_an_id_that_is_not_there_says_where_ids_are_shown(place, run_here):
    for words in (["search", "notes.lace", "x", "--ids"], ["explain", "notes.lace", "x", "--id"]):
        for id_ in ("moon", "9", "9" * 19):
            ran = run_here(*words, id_)
            assert ran.code == 2
            assert "`interlace search notes.lace …` shows ids." in ran.err


def test_snippets_need_json(place, run_here):
    ran = run_here("search", "notes.lace", "x", "--snippets")
    assert (ran.code, "it needs --json" in ran.err) == (2, True)

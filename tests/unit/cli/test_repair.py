"""Damage on the command line: found, searched around, repaired."""

from __future__ import annotations

import re
import sys

import pytest

import interlace
from interlace.cli import output
from interlace.errors import NotACollection


@pytest.fixture
def damaged(tmp_path, encoder):
    path = tmp_path / "notes.lace"
    with interlace.create(path, encoder) as notes:
        notes.add([{"id": "sky", "text": "Rayleigh scattering makes the sky blue."}])
        notes.add([{"id": 7, "text": "The sea is salty."}])
        notes.add(
            [{"id": "own", "text": "own"}], embeddings=[encoder.encode_document(["something"])[0]]
        )
    return path


def segments(path):
    return sorted((path / "segments").iterdir(), key=lambda one: one.stat().st_mtime_ns)


def test_verify_and_repair(run, damaged):
    (first, *_) = segments(damaged)
    first.unlink()
    found = run("verify", damaged)
    assert found.code == 1
    assert str(first) in found.out
    assert found.out.count("`") == 0  # the advice is below, once
    assert found.out.startswith("unsound  ")
    assert f"interlace repair {damaged}" in found.err
    assert run("search", damaged, "why is the sky blue").code == 3
    told = run("info", damaged)
    assert told.code == 0
    assert "interlace repair" in told.err
    repaired = run("repair", damaged)
    assert repaired.code == 0
    assert "1 encoded again" in repaired.out
    assert run("verify", damaged).code == 0
    assert "nothing to repair" in run("repair", damaged).out
    assert "Rayleigh" in run("search", damaged, "why is the sky blue").out


def test_a_search_around_damage(run, damaged):
    (first, *_) = segments(damaged)
    first.unlink()
    for command in ("search", "explain"):
        assert run(command, damaged, "salty sea").code == 3
        ran = run(command, damaged, "salty sea", "--damaged", "skip")
        assert ran.code == 0
        assert "The sea is salty." in ran.out
        assert "interlace repair" in ran.err
    assert run("search", damaged, "sea", "--damaged", "ignore").code == 2


def test_writes_past_damage(run, damaged, tmp_path):
    (tmp_path / "facts.jsonl").write_text('{"id": "moon", "text": "The moon is far away."}\n')
    (tmp_path / "more.jsonl").write_text('{"id": "sun", "text": "The sun is hot."}\n')
    run("index", "facts.jsonl", "--to", damaged)
    (tmp_path / "facts.jsonl").write_text('{"id": "moon", "text": "The moon is round."}\n')
    (first, *_) = segments(damaged)
    first.write_bytes(first.read_bytes()[:-10])
    for arguments in (
        ("update", damaged),
        ("index", "facts.jsonl", "--to", damaged),
        ("import", "more.jsonl", "--to", damaged),
        ("delete", damaged, "7"),
        ("forget", damaged, "facts.jsonl"),
    ):
        refused = run(*arguments)
        assert (refused.code, str(first) in refused.err) == (3, True)
        assert run(*arguments, "--damaged", "ignore").code == 2
        ran = run(*arguments, "--damaged", "skip")
        assert ran.code == 0
        assert f"note: damaged: {first}. `interlace repair {damaged}`" in ran.err
    with interlace.open(damaged, damaged="skip") as notes:
        assert list(notes.ids()) == ["sky", "own", "sun"]
    assert run("repair", damaged).code == 0
    assert run("verify", damaged).code == 0
    assert "Rayleigh" in run("search", damaged, "why is the sky blue").out


def test_texts_come_out_of_a_damaged_collection(run, damaged):
    (first, *_) = segments(damaged)
    first.unlink()
    assert run("export", damaged, "all.jsonl", "--json").records[0]["n_documents"] == 3
    refused = run("export", damaged, "vectors.jsonl", "--embeddings")
    assert (refused.code, "interlace repair" in refused.err) == (3, True)


def test_a_catalog_that_is_gone(run, damaged):
    for part in damaged.glob("catalog.sqlite*"):
        part.unlink()
    told = run("search", damaged, "sky")
    assert (told.code, "--to" in told.err) == (3, False)
    assert re.search(r"without its catalog: .*sqlite is gone\. Restore a backup", told.err)
    with pytest.raises(NotACollection, match=r"catalog\.sqlite is gone\. Restore a backup"):
        interlace.open(damaged)


def test_problems_are_broken_under_themselves_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    output.lines("unsound", "", ["what: expected one, found another."])
    first, second = capsys.readouterr().out.splitlines()
    assert (first.rstrip(), second.rstrip()) == (
        "unsound  what: expected one,",
        "         found another.",
    )


def test_a_catalog_that_does_not_open_is_not_said_to_be_repairable(run, damaged):
    (damaged / "catalog.sqlite").write_bytes(b"no database" * 1000)
    found = run("verify", damaged)
    assert (found.code, found.err) == (1, "")
    assert "Restore the folder" in found.out


def test_what_is_lost(run, damaged):
    (*_, last) = segments(damaged)
    last.write_bytes(last.read_bytes()[:-1])
    told = run("repair", damaged)
    assert told.code == 1
    assert "'own'" in told.err
    assert "--drop-lost" in told.err
    found = run("repair", damaged, "--drop-lost", "--json").records[0]
    assert (found["lost"], found["n_dropped"], found["problems"]) == (["own"], 1, [])
    assert run("verify", damaged).code == 0

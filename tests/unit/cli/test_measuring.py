"""``tune``, ``diagnose`` and ``search --profile``: what they print, and what they keep."""

from __future__ import annotations

import json

import pytest

import interlace
from interlace import store
from interlace.cli import measuring
from interlace.cli.output import to_people

COLOURS = ("red", "orange", "yellow", "green", "blue", "violet", "brown", "black", "white", "grey")
NOUNS = ("house", "river", "engine", "letter", "planet", "violin", "garden", "window", "bridge")


@pytest.fixture(scope="module")
def made(tmp_path_factory, encoder):
    """More passages than a quick search looks at."""
    path = tmp_path_factory.mktemp("made") / "notes.lace"
    with interlace.create(path, encoder, settle="manual") as notes:
        notes.add(
            f"The {COLOURS[i % 10]} {NOUNS[i // 10 % 9]} was called number {i}." for i in range(400)
        )
        notes.settle()
    return path


@pytest.fixture
def notes(made, run, tmp_path):
    interlace.restore(_backup(made, tmp_path), tmp_path / "notes.lace")
    return "notes.lace"


def _backup(made, folder):
    with interlace.open(made) as opened:
        opened.backup(folder / "backup.lace")
    return folder / "backup.lace"


def test_tune_shows_what_it_measured_and_keeps_the_best(run, notes):
    ran = run("tune", notes, "--recall", "0.9", "--k", "2", "--n-queries", "40")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0].split() == ["effort", "recall@2", "median", "95th"]
    assert [line.split()[0] for line in lines[1:6]] == [*store.EFFORTS, "tuned"]
    assert lines[-2].startswith("Kept: ")
    assert lines[-1].startswith("Searches now find ")
    assert "measured on 20 queries" in ran.err
    assert "tuned to find " in run("info", notes).out
    (info,) = run("info", notes, "--json").records
    assert info["tuned"]["wanted"] == 0.9


def test_tune_for_machines(run, notes):
    (told,) = run("tune", notes, "--recall", "0.5", "--k", "1", "--json").records
    assert told["tuned"] == told["levels"][-1]
    assert told["recall"] == 0.5
    (info,) = run("info", notes, "--json").records
    assert info["tuned"]["knobs"] == told["tuned"]["knobs"]


def test_reset_forgets_it(run, notes):
    run("tune", notes, "--k", "1", "--n-queries", "20")
    ran = run("tune", notes, "--reset")
    assert ran.out == "Not tuned any more: searches are balanced.\n"
    assert run("info", notes, "--json").records[0]["tuned"] is None
    assert run("tune", notes, "--reset", "--json").records == [{"tuned": None}]
    assert run("tune", notes, "--reset", "--queries", "-").code == 2


def test_a_small_collection_has_nothing_to_tune(run, tmp_path):
    (tmp_path / "a.txt").write_text("Rayleigh scattering makes the sky blue.")
    run("index", "a.txt", "--to", "small.lace")
    ran = run("tune", "small.lace")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("Nothing to tune: ")


def test_an_effort_that_is_not_there_is_told(run, notes):
    ran = run("search", notes, "a red house", "--effort", "tuned")
    assert ran.code == 2
    assert "not tuned" in ran.err


def test_info_says_when_to_tune_again(run, notes, tmp_path):
    run("tune", notes, "--k", "1", "--n-queries", "20")
    assert "tune" not in run("info", notes).err
    with interlace.open(notes) as opened:
        opened.delete(list(opened.ids())[:240])
    assert "tuned when it held 400 passages" in run("info", notes).err


def test_diagnose_shows_where_recall_is_lost(run, notes):
    ran = run("diagnose", notes, "--k", "2", "--n-queries", "20")
    assert ran.code == 0
    assert ran.out.startswith("Of the 2 best by exact vectors")
    rows = [line.split() for line in ran.out.splitlines() if line.endswith(" %")]
    assert [row[0] for row in rows] == list(store.EFFORTS)
    assert "20 queries" in ran.err
    (told,) = run("diagnose", notes, "--k", "2", "--n-queries", "20", "--json").records
    assert [one["name"] for one in told["efforts"]] == list(store.EFFORTS)


def test_search_says_where_the_time_went(run, notes):
    ran = run("search", notes, "a red house", "--k", "1", "--profile")
    assert ran.code == 0
    table = ran.out[ran.out.index("stage") :].splitlines()
    stages = [line.split()[0] for line in table[1:]]
    assert stages[0] == "encode"
    assert stages[-2:] == ["fetch", "together"]
    (hit, told) = run("search", notes, "a red house", "--k", "1", "--profile", "--json").records
    assert hit["rank"] == 1
    assert list(told) == ["profile", "proven"]
    assert told["profile"]["fetch_n"] == 1


def test_a_pipe_of_queries_is_profiled_one_by_one(run, notes):
    ran = run("search", notes, "--k", "1", "--profile", "--json", stdin="a house\na river\n")
    assert [one["query"] for one in ran.records if "profile" in one] == ["a house", "a river"]


# --- queries from a file -------------------------------------------------------------------------
def test_queries_are_lines_or_texts_of_records(tmp_path, run, notes):
    (tmp_path / "asked.txt").write_text("why\n\n  who  \n")
    records = [{"_id": "1", "text": "why"}, {"_id": "2", "text": "who"}]
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    assert measuring.queries_from("asked.txt") == ["why", "who"]
    assert measuring.queries_from("asked.jsonl") == ["why", "who"]
    assert measuring.queries_from(None) is None
    ran = run("diagnose", notes, "--queries", "-", "--json", stdin="a red house\nriver 4\n")
    assert ran.records[0]["n_queries"] == 2


def test_a_file_without_queries_is_told(tmp_path, run, notes):
    (tmp_path / "asked.jsonl").write_text('{"text": "why"}\n{"query": "who"}\n')
    ran = run("tune", notes, "--queries", "asked.jsonl")
    assert (ran.code, "asked.jsonl, line 2" in ran.err) == (2, True)
    ran = run("tune", notes, "--queries", "none.txt")
    assert (ran.code, "no such file: none.txt" in ran.err) == (2, True)
    (tmp_path / "blank.txt").write_text("\n")
    assert "nothing to measure with" in run("tune", notes, "--queries", "blank.txt").err


# --- figures -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("microseconds", "shown"),
    [
        (0.4, "0 µs"),
        (310.4, "310 µs"),
        (4_260, "4.3 ms"),
        (468_000, "468 ms"),
        (1_320_000, "1.3 s"),
    ],
)
def test_times_are_shown_in_a_fitting_unit(microseconds, shown):
    assert measuring.time_shown(microseconds) == shown


def test_a_profile_fits_a_narrow_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    told = {"encode_us": 9_000_000.0, "scan_us": 1.0, "scan_n": 10**9, "scan_tokens": 10**11}
    console = to_people()
    with console.capture() as caught:
        console.print(measuring.profile(told))
    lines = caught.get().splitlines()
    assert "100,000,000,000" in lines[2]
    assert all(len(line.rstrip()) <= 80 for line in lines)

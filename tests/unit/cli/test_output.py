"""What stands on standard error: notes, errors, and what was not read."""

from __future__ import annotations

import io

import pytest

from interlace.cli import output, reports
from interlace.collection import IndexReport
from interlace.errors import InputError
from interlace.types import Skipped

WORDS = "supercalifragilistic words that are longer than a narrow terminal is wide"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def narrow(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")


def said_on(monkeypatch, stream):
    monkeypatch.setattr("sys.stderr", stream)
    output.note(WORDS)
    output.complain(InputError(WORDS))
    return [line.rstrip() for line in stream.getvalue().replace("\x1b[1m", "").splitlines()]


def test_a_terminal_gets_whole_words(narrow, monkeypatch):
    lines = said_on(monkeypatch, Terminal())
    assert len(lines) > 2
    assert all(len(line) <= 40 + len("\x1b[0m") for line in lines)
    plain = " ".join(lines).replace("\x1b[0m", "").split()
    assert plain == f"note: {WORDS} error: {WORDS}".split()


@pytest.mark.parametrize("force", ["", "1"])
def test_a_file_gets_one_line_each(narrow, monkeypatch, force):
    monkeypatch.setenv("FORCE_COLOR", force)
    assert len(said_on(monkeypatch, io.StringIO())) == 2


@pytest.mark.parametrize(
    ("some", "kind"),
    [
        (["its id 'x' came before", "its id 7 came before", 'its id "it\'s: (1" came before'],
         "its id … came before"),
        (["bad JSON (Expecting value: line 1 (char 0)); each line must be one JSON object",
          "bad JSON (Extra data); each line must be one JSON object"],
         "bad JSON; each line must be one JSON object"),
        (["over 64 MiB", "over 1,200 MiB"], "over … MiB"),
        (["cannot be read (Permission denied)", "cannot be read"], "cannot be read"),
        (["no reader for .mp3"], "no reader for .mp3"),
        (["no reader for .mp4"], "no reader for .mp4"),
        (["doesn't open: it's locked"], "doesn't open"),
    ],
)  # fmt: skip
def test_reasons_that_differ_in_details_are_of_one_kind(some, kind):
    assert {reports._kind(why) for why in some} == {kind}


def test_many_ids_do_not_hide_another_reason(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("sys.stderr", io.StringIO())
    report = IndexReport()
    for n in range(30):
        report.skip(Skipped(f"a.jsonl, line {n}", f"its id 'x{n}' came before", failed=True))
    report.skip(Skipped("b.pdf", "cannot be opened (it has a password)", failed=True))
    reports.show_skipped(report)
    said = " ".join(output.sys.stderr.getvalue().split())
    assert "30 its id … came before" in said
    assert "1 cannot be opened (it has a password)" in said
    assert "other reasons" not in said


LONG = "notes/" + "a-long-name-without-blanks" * 3 + ".jsonl"


def skipped_on(monkeypatch, stream: io.StringIO, **options: bool) -> str:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("sys.stderr", stream)
    report = IndexReport()
    report.skip(Skipped(LONG, "a reason " * 40, failed=True))
    report.skip(Skipped("b.mp3", "no reader for .mp3"))
    reports.show_skipped(report, **options)
    return stream.getvalue()


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_the_name_of_a_skipped_file_is_not_broken(monkeypatch, stream):
    said = skipped_on(monkeypatch, stream)
    assert LONG in said
    is_broken = len([line for line in said.splitlines() if "a reason" in line]) > 1
    assert is_broken == stream.isatty()


def test_looking_again_only_counts_what_is_left_out_on_purpose(monkeypatch):
    said = skipped_on(monkeypatch, io.StringIO(), again=True)
    assert LONG in said
    assert "left out: 1\n" in said
    assert "b.mp3" not in said

"""Progress: a bar that never goes back, figures that are right, silence where nobody watches."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from interlace.cli import bars


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    now = [100.0]
    monkeypatch.setattr(bars, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def meter(clock, monkeypatch):
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr(bars.output, "to_side", lambda: console)
    with bars.metering("indexing") as made:
        yield made


def figures(meter):
    (task,) = meter._bar.tasks
    return task.fields["figures"]


def share(meter):
    (task,) = meter._bar.tasks
    return None if task.total is None else task.completed / task.total


def test_it_is_silent_where_nobody_watches(capsys):
    with bars.metering("indexing") as meter:
        meter("read", 1, 2)
        meter("store", 7, None)
    assert meter.stored == 7
    assert capsys.readouterr() == ("", "")


def test_it_is_silent_for_machines(monkeypatch):
    console = Console(file=io.StringIO(), force_terminal=True)
    monkeypatch.setattr(bars.output, "to_side", lambda: console)
    with bars.metering("indexing", silent=True) as meter:
        meter("read", 1, 2)
    assert console.file.getvalue() == ""


def test_an_estimate_that_grows_makes_the_bar_wait(meter):
    seen = []
    for done, total in [(0, 100), (50, 100), (60, 300), (150, 300), (290, 290), (300, 400)]:
        meter("read", done, total)
        seen.append(share(meter))
    assert seen == [None, 0.5, 0.5, 0.5, 1.0, 1.0]


def test_a_large_file_among_small_ones_moves_it(meter):
    """By characters, not by files: one of three files may be nearly all the work."""
    meter("files", 2, 3)
    meter("read", 2_000, 1_000_000)
    assert share(meter) == pytest.approx(0.002)
    meter("read", 500_000, 1_000_000)
    assert share(meter) == pytest.approx(0.5)


def test_the_figures(meter, clock):
    meter("files", 0, 1_200)
    meter("tokens", 0, None)
    meter("read", 0, 40_000_000)
    assert figures(meter) == "0/1,200 files  0.0 MB"
    clock[0] += 10
    meter("files", 300, 1_200)
    meter("tokens", 52_000, None)
    meter("read", 10_000_000, 40_000_000)
    assert figures(meter) == "300/1,200 files  10.0 MB  5,200 tokens/s  0:30 left"
    clock[0] += 3_600
    meter("read", 20_000_000, 40_000_000)
    assert figures(meter).endswith("1:00:10 left")


def test_documents_of_an_add(meter, clock):
    meter("encode", 1, None)
    assert figures(meter) == "1 document"
    clock[0] += 4
    meter("encode", 100, 400)
    assert figures(meter) == "100/400 documents  25 a second  0:12 left"

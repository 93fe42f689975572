"""What commands print: tables for people, a JSON object a line for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from interlace.types import Hit, Hits

#: From weak to strong, for shares of a score: readable on dark and on light terminals.
SHADES = ("#7a7f87", "#5b8c5a", "#4f9d4d", "#d18b1f", "#d9480f")


def to_people() -> Console:
    """Standard output, as wide and as coloured as it can be."""
    return Console(highlight=False)


def to_side() -> Console:
    """Standard error: progress, notes and errors."""
    return Console(stderr=True, highlight=False)


def as_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object on one line."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")


def complain(error: BaseException) -> None:
    """Print an error as one message on standard error."""
    message = str(error)
    if isinstance(error, OSError) and error.strerror and error.filename:
        message = f"{error.strerror}: {error.filename}"
    to_side().print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)


def note(*lines: str) -> None:
    """Print remarks on standard error."""
    for line in lines:
        to_side().print(Text.assemble(("note: ", "yellow"), line), soft_wrap=True)


class Speed(ProgressColumn):
    """Documents a second."""

    def render(self, task: Task) -> Text:
        """Show the speed once it is known."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} documents/s", style="cyan")


class Counter:
    """A listener that knows how many documents are stored; draws a bar if there is one to draw."""

    def __init__(self, bar: Progress | None, label: str, expected: int | None) -> None:
        self.stored = 0
        self._bar = bar
        self._task = bar.add_task(label, total=expected) if bar else None

    def __call__(self, stage: str, done: int, total: int | None, /) -> None:
        """Take note of a stage's progress."""
        if stage == "store":
            self.stored = done
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=done)
            if total is not None:
                self._bar.update(self._task, total=total)


@contextmanager
def counting(
    label: str, *, silent: bool, expected: Callable[[], int | None] = lambda: None
) -> Iterator[Counter]:
    """Count documents, with speed and time left on standard error where a person watches.

    How many are ``expected`` is asked only where it is shown.
    """
    console = to_side()
    if silent or not console.is_terminal:
        yield Counter(None, label, None)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Speed(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        yield Counter(bar, label, expected())


def hit_as_json(hit: Hit) -> dict[str, Any]:
    """Return a hit as JSON, in the order of its fields."""
    return {
        "rank": hit.rank,
        "id": hit.id,
        "passage": hit.passage,
        "start": hit.start,
        "end": hit.end,
        "score": hit.score,
        "mean_score": hit.mean_score,
        "text": hit.text,
        "metadata": dict(hit.metadata),
    }


def show_hits(hits: Hits, is_json: bool) -> None:
    """Print hits, and what a user should know about them."""
    if is_json:
        for hit in hits:
            as_json(hit_as_json(hit))
    elif hits:
        to_people().print(hits_shown(hits))
    else:
        to_people().print("Nothing found.")
    note(*hits.notes)


def hits_shown(hits: Iterable[Hit], n_lines: int = 3) -> Group:
    """Lay hits out for people: rank, mean score a query token, id; below, the passage's start."""
    blocks: list[RenderableType] = []
    for hit in hits:
        head = Text.assemble(
            (f"{hit.rank:>3}  ", "dim"), (f"{hit.mean_score:.3f}  ", "bold green"), name_of(hit)
        )
        blocks += [head, Padding(_Lines(hit.text, n_lines), (0, 0, 1, 5))]
    return Group(*blocks)


def hits_table(hits: Iterable[Hit]) -> Table:
    """Lay hits out a line each, as much of the passage as fits."""
    shown = list(hits)
    widest = max((len(name_of(hit)) for hit in shown), default=0)
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(style="dim", width=3)
    table.add_column(style="bold green", width=5)
    table.add_column(no_wrap=True, overflow="ellipsis", width=min(widest, 36))
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    for hit in shown:
        table.add_row(f"{hit.rank:>3}", f"{hit.mean_score:.3f}", name_of(hit), flat(hit.text, 200))
    return table


def name_of(hit: Hit) -> Text:
    """Return the document's id, and the passage's number where it is not the first."""
    where = f"  passage {hit.passage}" if hit.passage else ""
    return Text.assemble((flat(str(hit.id), 200).plain, "bold cyan"), (where, "dim"))


def flat(text: str, n_characters: int) -> Text:
    """Return the beginning of a text on one line, without characters that steer a terminal."""
    start = " ".join(text[: n_characters * 4].split())[:n_characters]
    return Text("".join(c if c.isprintable() else " " for c in start))


class _Lines:
    """The first lines of a text, as wide as the terminal is, and whether there is more."""

    def __init__(self, text: str, n_lines: int) -> None:
        self._text, self._n_lines = text, n_lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = options.max_width * self._n_lines
        lines = flat(self._text, room * 2).wrap(console, options.max_width)
        shown = list(lines[: self._n_lines])
        if len(lines) > self._n_lines:
            shown[-1].truncate(options.max_width - 1)
            shown[-1].append("…")
        yield Text("\n").join(shown)


def facts(rows: Mapping[str, Any]) -> Table:
    """Lay names and values out in two columns."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name.replace("_", " "), _shown(value))
    return table


def grouped(groups: Mapping[str, Mapping[str, Any]]) -> Table:
    """Lay groups of names and values out, each group under its name."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold cyan")
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for number, (group, rows) in enumerate(groups.items()):
        if number:
            table.add_row()
        for row, (name, value) in enumerate(rows.items()):
            table.add_row("" if row else group, name, Text(_shown(value)))
    return table


def counted(n: int, noun: str) -> str:
    """Return a number of things for people: "1 file", "2,000 files"."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def bytes_shown(n: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("bytes", "KB", "MB"):
        if n < 1000:
            return f"{n:,.0f} {unit}" if unit == "bytes" else f"{n:,.1f} {unit}"
        n /= 1000
    return f"{n:,.1f} GB"


def _shown(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_shown(inner)}" for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_shown, value)) or "–"
    return str(value)


def fields_of(report: Any) -> dict[str, Any]:
    """Return a report's fields, or a mapping as it is."""
    return dict(report) if isinstance(report, Mapping) else asdict(report)

"""What commands that measure a collection share: queries from a file, how figures look."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer
from rich.table import Table
from rich.text import Text

from interlace.cli import output
from interlace.errors import InputError

#: Columns of a bar.
_BAR: Final = 20

#: What a stage hands on, where it is no passages.
_UNITS: Final = {"encode": "", "probe": "leaves"}

Queries: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--queries",
        metavar="FILE",
        help="What people ask, one a line (of .jsonl, its text); - is standard input. "
        "Sentences of its own texts if unsaid.",
    ),
]
NQueries: TypeAlias = Annotated[
    int,
    typer.Option(
        "--n-queries", metavar="N", help="How many of its own; 200 if unsaid.", show_default=False
    ),
]
Seed: TypeAlias = Annotated[
    int,
    typer.Option(
        "--seed", metavar="N", help="Of the draw of those; 0 if unsaid.", show_default=False
    ),
]


def queries_from(name: str | None) -> list[str] | None:
    """The queries of a file; None without a file.

    Raises
    ------
    InputError
        For a file that is not there, or a line of JSON without a text.
    """
    if name is None:
        return None
    if name == "-":
        lines = sys.stdin.read().splitlines()
    elif Path(name).is_file():
        lines = Path(name).read_text(encoding="utf-8", errors="replace").splitlines()
    else:
        raise InputError(f"no such file: {name}. Give a file with a query on each line.")
    filled = [(i, line.strip()) for i, line in enumerate(lines, 1) if line.strip()]
    if not name.endswith(".jsonl"):
        return [line for _, line in filled]
    return [_text_of(line, f"{name}, line {i}") for i, line in filled]


def _text_of(line: str, where: str) -> str:
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict) or not isinstance(record.get("text"), str):
        raise InputError(f'no query: {where}. Write objects with a "text", one a line.')
    return str(record["text"])


def time_shown(microseconds: float) -> str:
    """A time for people: "310 µs", "4.2 ms", "1.3 s"."""
    for unit, size in (("µs", 1.0), ("ms", 1e3)):
        if microseconds < 1000 * size:
            n = microseconds / size
            return f"{n:,.0f} {unit}" if size == 1 or n >= 100 else f"{n:,.1f} {unit}"
    return f"{microseconds / 1e6:,.1f} s"


def columns(*names: str) -> Table:
    """A table of figures, the first column of names."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for i, name in enumerate(names):
        table.add_column(name, justify="right" if i else "left", no_wrap=True)
    return table


def profile(told: Mapping[str, float]) -> Table:
    """Lay out where the time of a search went, a line a stage."""
    table = columns("stage", "time", "handed on")
    table.add_column("")
    table.add_column("tokens", justify="right")
    table.add_column("")
    times = {name[:-3]: us for name, us in told.items() if name.endswith("_us")}
    longest = max(times.values(), default=0.0)
    for stage, us in times.items():
        table.add_row(
            stage,
            time_shown(us),
            _count(told, f"{stage}_n"),
            Text(_UNITS.get(stage, "passages"), "dim"),
            _count(told, f"{stage}_tokens"),
            Text("━" * round(_BAR * us / longest) if longest else "", output.SHADES[3]),
        )
    table.add_row(Text("together", "bold"), Text(time_shown(sum(times.values())), "bold"))
    return table


def _count(told: Mapping[str, float], name: str) -> str:
    return f"{told[name]:,.0f}" if name in told else ""


def percent(share: float) -> str:
    """A share for people."""
    return f"{100 * share:.1f}"


def names_of(some: Iterable[Mapping[str, object]]) -> list[str]:
    """The keys of mappings, each once, in the order they are met."""
    return list(dict.fromkeys(name for one in some for name in one))

"""What commands print: tables for people, a JSON object a line for machines."""

from __future__ import annotations

import errno
import json
import logging
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

#: From weak to strong, for shares of a score: readable on dark and on light terminals.
SHADES = ("#7a7f87", "#5b8c5a", "#4f9d4d", "#d18b1f", "#d9480f")


#: Columns of a table that is read by a program.
_ENDLESS: Final = 10_000

#: What Python calls an option where a message begins with it.
_ARGUMENT: Final = re.compile(
    r"^(passage_tokens|passage_overlap|id_field|text_fields|on_conflict|n_threads)(?= is )"
)


def to_people() -> Console:
    """Standard output, as wide and as coloured as it can be."""
    return Console(highlight=False)


def to_side() -> Console:
    """Standard error: progress, notes and errors."""
    return Console(stderr=True, highlight=False)


def as_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object on one line."""
    is_utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    sys.stdout.write(json.dumps(value, ensure_ascii=not is_utf8, default=str) + "\n")


def complain(error: BaseException) -> None:
    """Print an error as one message on standard error."""
    message = str(error)
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        message = f"{error.strerror}{where}. {_remedy(error)}"
    message = _ARGUMENT.sub(lambda found: f"--{found[0].replace('_', '-')}", message)
    aside(Text.assemble(("error: ", "bold red"), message))


def aside(text: Text) -> None:
    """Print on standard error: broken between words on a terminal, else on one line."""
    to_side().print(text, soft_wrap=not sys.stderr.isatty())


def lines(label: str, style: str, texts: Iterable[str]) -> None:
    """Print each text behind a label: on a terminal broken between words under itself."""
    console = to_people()
    for text in texts:
        if sys.stdout.isatty():
            table = Table.grid(padding=(0, 2, 0, 0))
            table.add_column(style=style, no_wrap=True)
            table.add_column(overflow="fold")
            table.add_row(label, Text(text))
            console.print(table)
        else:
            console.print(Text.assemble((label, style), "  ", text), soft_wrap=True)


def table(console: Console, some: Table) -> None:
    """Print a table: its cells are broken on a terminal alone."""
    if console.file.isatty():
        console.print(some)
        return
    console.width = _ENDLESS
    with console.capture() as caught:
        console.print(some)
    for line in caught.get().splitlines():
        console.file.write(line.rstrip() + "\n")


def _remedy(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "Free some space and run it again; nothing that was stored is lost."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "Change its rights, or choose another place."
    return "Run it again when that is mended; nothing that was stored is lost."


def note(*lines: str) -> None:
    """Print remarks on standard error."""
    for line in lines:
        aside(Text.assemble(("note: ", "yellow"), line))


class _Notes(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        note(record.getMessage())


@contextmanager
def waits_told() -> Iterator[None]:
    """Print what the library logs: whom it waits for."""
    log, notes = logging.getLogger("interlace"), _Notes()
    log.addHandler(notes)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(notes)
        log.setLevel(logging.NOTSET)


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


def short(path: Path) -> str:
    """Return a path as it is typed from here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


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

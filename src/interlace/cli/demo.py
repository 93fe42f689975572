"""``interlace demo``: search the documentation of this Python's standard library."""

from __future__ import annotations

import platform
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, Final

import typer
from rich.console import Group
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

import interlace
from interlace.cli import bars, hits, output
from interlace.cli.explain import explained
from interlace.cli.stdlib import docstrings
from interlace.types import Hits

QUESTIONS: Final = (
    "shuffle a list randomly",
    "temporary file with a name, deleted on close",
    "cache results of a function",
)


def command(
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            metavar="FOLDER",
            help="Keep the collection in this folder; a temporary one if unsaid.",
        ),
    ] = None,
) -> None:
    """Index the docs of this Python and search them."""
    console = output.to_people()
    console.print(
        Rule(f"[bold]interlace[/] reads the standard library of Python {platform.python_version()}")
    )
    with ExitStack() as stack:
        folder = to or Path(stack.enter_context(tempfile.TemporaryDirectory())) / "python.lace"
        collection = stack.enter_context(
            interlace.open(folder) if _is_kept(folder) else interlace.create(folder)
        )
        with console.status("reading the sources"):
            documents = list(docstrings())
        started = perf_counter()
        with bars.metering("indexing") as count:
            report = collection.add(documents, progress=count)
        seconds = perf_counter() - started
        console.print(_figures(collection, report.n_tokens, seconds))
        answered = [_ask(collection, question) for question in QUESTIONS]
        for question, (found, ms) in zip(QUESTIONS, answered, strict=True):
            console.print(_answers(question, found, ms))
        (best, *_) = hits.shown(collection, QUESTIONS[-1], answered[-1][0])
        why = f"Why {best.hit.id}? Each word of the question, and the word that answers it:\n"
        console.print(Text(why))
        console.print(explained(best))
        console.print("")
        console.print(_next_steps(to))


def _is_kept(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _ask(collection: interlace.Collection, question: str) -> tuple[Hits, float]:
    collection.search(question, k=3)  # the first one loads what later ones find loaded
    started = perf_counter()
    found = collection.search(question, k=3)
    return found, (perf_counter() - started) * 1000


def _figures(collection: interlace.Collection, n_tokens: int, seconds: float) -> Text:
    n_bytes = sum(file.stat().st_size for file in collection.path.rglob("*") if file.is_file())
    parts: list[Any] = [(f"{len(collection):,}", "bold"), " docstrings"]
    if n_tokens:
        parts += [
            ", ",
            (f"{n_tokens:,}", "bold"),
            " tokens, indexed in ",
            (f"{seconds:.1f} s", "bold"),
            f" ({n_tokens / seconds:,.0f} tokens/s)",
        ]
    else:
        parts += [" were indexed before; nothing had to be encoded again"]
    return Text.assemble(*parts, ", ", (output.bytes_shown(n_bytes), "bold"), " on disk.\n")


def _answers(question: str, found: Hits, ms: float) -> Group:
    title = Text.assemble(("? ", "bold yellow"), (question, "bold"), (f"   {ms:.1f} ms", "dim"))
    return Group(title, hits.table(found), "")


def _next_steps(kept: Path | None) -> Panel:
    steps = Table.grid(padding=(0, 2))
    activate = Path(sys.prefix, "bin", "activate")
    if shutil.which("interlace") is None and activate.exists():  # as `make demo` runs it
        steps.add_row(
            f"[bold]source[/] {output.short(activate)}", "[dim]so that the command is found[/]"
        )
    steps.add_row("[bold]interlace index[/] docs/ --to notes.lace", "[dim]your own files[/]")
    steps.add_row('[bold]interlace search[/] notes.lace "your question"', "[dim]find[/]")
    steps.add_row('[bold]interlace explain[/] notes.lace "your question"', "[dim]see why[/]")
    if kept:
        steps.add_row(f'[bold]interlace search[/] {kept} "…"', "[dim]ask this collection more[/]")
    else:
        steps.add_row("[bold]interlace demo[/] --to python.lace", "[dim]keep this collection[/]")
    return Panel(steps, title="what to type next", title_align="left", border_style="dim")

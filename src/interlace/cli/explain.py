"""``interlace explain``: which words of a passage answer which words of the query."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

import interlace
from interlace.cli import hits, options, output, settings
from interlace.errors import InputError
from interlace.types import Explanation, Match


def command(
    path: options.CollectionPath,
    query: options.Words,
    rank: Annotated[
        int,
        typer.Option(
            "--rank",
            metavar="N",
            show_default=False,
            help="Explain the hit of this rank; the best if unsaid.",
        ),
    ] = 1,
    id: Annotated[  # noqa: A002
        str | None,
        typer.Option("--id", metavar="ID", help="Explain this document, whatever its rank."),
    ] = None,
    mode: options.Mode = None,
    effort: options.Effort = None,
    by: options.By = "document",
    where: options.Where = None,
    damaged: options.Damaged = "raise",
    json: options.AsJson = False,
) -> None:
    """Show which words of a hit answer which of the query."""
    if rank < 1:
        raise InputError(f"rank is {rank}. The best hit has rank 1.")
    chosen = settings.load(mode=mode, effort=effort)
    asked = " ".join(query)
    with interlace.open(path, damaged=damaged) as collection:
        found = collection.search(
            asked,
            1 if id is not None else rank,
            mode=chosen.mode,
            effort=chosen.effort,
            by=by,
            where=where,
            ids=None if id is None else options.typed_ids(collection, [id]),
        )
        output.note(*found.notes)
        if len(found) < (1 if id is not None else rank):
            raise InputError(f"no hit of rank {rank}: the search found {len(found)}.")
        one = hits.shown(collection, asked, found)[-1]
        explanation = one.explanation
    if json:
        output.as_json(asdict(explanation))
    else:
        output.to_people().print(explained(one))


def explained(one: hits.Shown) -> Group:
    """Lay an explanation out: the passage with its answering words, and a line a query word."""
    explanation = one.explanation
    if one.hit.late_score is None:
        return _by_words(explanation)
    n_tokens = max(1, len(explanation.matches))
    title = Text.assemble(
        (str(explanation.id), "bold cyan"),
        ("  meaning ", "dim"),
        (f"{explanation.score / n_tokens:.3f}", "bold green"),
        (f"  = {explanation.score:.2f} over {output.counted(n_tokens, 'query token')}", "dim"),
    )
    return Group(title, Padding(_painted(explanation), (1, 2)), _matches(explanation))


def _by_words(explanation: Explanation) -> Group:
    """Of a lexical search: each word of the query that the passage has, and how often."""
    title = Text.assemble(
        (str(explanation.id), "bold cyan"),
        ("  words ", "dim"),
        (f"{explanation.score:.1f}", "bold green"),
        ("  BM25 of the query's words", "dim"),
    )
    found: dict[str, list[str]] = {}
    for match in explanation.matches:
        found.setdefault(match.query_text, []).append(match.text)
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("query", justify="right")
    table.add_column("found as")
    table.add_column("times", justify="right")
    for word, written in found.items():
        table.add_row(
            Text(word, "bold"), Text(", ".join(dict.fromkeys(written))), str(len(written))
        )
    return Group(title, Padding(_painted(explanation), (1, 2)), table)


def _matches(explanation: Explanation) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("query", justify="right")
    table.add_column("answered by")
    table.add_column("cosine", justify="right")
    table.add_column("")
    for match in explanation.matches:
        style = _shade(match.similarity)
        table.add_row(
            Text(match.query_text or "(whole query)", "bold" if match.query_text else "dim"),
            Text(match.text or "(whole passage)", style if match.text else "dim"),
            Text(f"{match.similarity:.2f}", style),
            Text("━" * max(0, round(match.similarity * 24)), style),
        )
    return table


def _painted(explanation: Explanation) -> Text:
    """Return the passage, each answering word in the colour of its best similarity."""
    text = Text("".join(c if c.isprintable() or c == "\n" else " " for c in explanation.text))
    offset = explanation.passage_start
    for match in sorted(explanation.matches, key=_strength):
        if match.text:
            text.stylize(
                f"bold {_shade(match.similarity)}", match.start - offset, match.end - offset
            )
    return text


def _strength(match: Match) -> float:
    return match.similarity


def _shade(similarity: float) -> str:
    steps = len(output.SHADES)
    return output.SHADES[min(steps - 1, max(0, int(similarity * steps)))]

"""``interlace rebuild``: encode everything anew, with another model if you like."""

from __future__ import annotations

from time import perf_counter
from typing import Annotated

import typer

import interlace
from interlace.cli import bars, options, output, settings


def command(
    path: options.CollectionPath,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME", help="Model name or folder; its own if unsaid."),
    ] = None,
    dim: options.Dim = None,
    bits: Annotated[
        int | None,
        typer.Option(
            "--bits", metavar="N", help="1, 2 or 4: how finely vectors are kept; as now if unsaid."
        ),
    ] = None,
    passage_tokens: Annotated[
        int | None,
        typer.Option("--passage-tokens", metavar="N", help="Longest passage; as now if unsaid."),
    ] = None,
    passage_overlap: Annotated[
        int | None,
        typer.Option(
            "--passage-overlap",
            metavar="N",
            help="Tokens that a passage repeats of the one before; as now if unsaid.",
        ),
    ] = None,
    pool_factor: Annotated[
        int | None,
        typer.Option(
            "--pool-factor",
            metavar="N",
            help="1 to 6: so many tokens become one; as now if unsaid.",
        ),
    ] = None,
    pool_tokens: Annotated[
        int | None,
        typer.Option(
            "--pool-tokens",
            metavar="N",
            help="Most tokens that are kept of a passage; as now if unsaid.",
        ),
    ] = None,
    protected_tokens: Annotated[
        int | None,
        typer.Option(
            "--protected-tokens",
            metavar="N",
            help="First tokens of a passage, never pooled; as now if unsaid.",
        ),
    ] = None,
    n_threads: options.NThreads = None,
    json: options.AsJson = False,
) -> None:
    """Encode all documents anew, searchable all the while.

    Nothing changes before all is done; then everything does, at once.
    """
    chosen = settings.load(n_threads=n_threads)
    started = perf_counter()
    with (
        interlace.open(
            path, lock_wait_seconds=chosen.lock_wait_seconds, n_threads=chosen.n_threads
        ) as collection,
        bars.metering("rebuilding", silent=json) as meter,
    ):
        report = collection.rebuild(
            model,
            dim=dim,
            bits=bits,
            passage_tokens=passage_tokens,
            passage_overlap=passage_overlap,
            pool_factor=pool_factor,
            pool_tokens=pool_tokens,
            protected_tokens=protected_tokens,
            progress=meter,
        )
    seconds = round(perf_counter() - started, 3)
    if json:
        output.as_json({**output.fields_of(report), "seconds": seconds})
        return
    found = {
        "documents": report.n_documents,
        "passages": report.n_passages,
        "tokens": report.n_tokens,
        "codec": "trained" if report.trained else "none needed yet",
    }
    seldom = {
        "cut anew": report.n_recut,
        "came meanwhile": report.n_meanwhile,
        "without a token": report.n_empty,
    }
    found |= {name: n for name, n in seldom.items() if n}
    output.to_people().print(output.facts(found | {"time": f"{seconds:.1f} s"}))

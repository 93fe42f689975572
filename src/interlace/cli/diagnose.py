"""``interlace diagnose``: which stage of a search loses what it should find."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Final

import typer

import interlace
from interlace.cli import bars, measuring, options, output, settings
from interlace.evaluate import Diagnosis, diagnose

#: What it means that a stage loses a passage.
_MEANINGS: Final = {
    "walk": "in no list that is probed, or not among the candidates",
    "interact": "among the candidates, but ranked too low by centroids",
    "refine": "worth refining, but that ended before",
    "score": "refined, but scoring ended before",
    "codec": "scored on its codes, and ranked lower than exact vectors rank it",
}


def command(
    path: options.CollectionPath,
    k: options.K = None,
    queries: measuring.Queries = None,
    n_queries: measuring.NQueries = 200,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact",
            help="Compare with exact vectors, for which all passages are encoded again; done "
            "unasked where that takes seconds.",
        ),
    ] = False,
    seed: measuring.Seed = 0,
    n_threads: options.NThreads = None,
    json: options.AsJson = False,
) -> None:
    """Show at which stage searches lose what they should find.

    Of the best passages, each column has the per cent that one stage had and did not hand on, at
    each effort; recall is what is left.
    """
    chosen = settings.load(k=k, n_threads=n_threads)
    with (
        interlace.open(path, n_threads=chosen.n_threads) as collection,
        bars.metering("diagnosing", silent=json) as meter,
    ):
        found = diagnose(
            collection,
            k=chosen.k,
            queries=measuring.queries_from(queries),
            n_queries=n_queries,
            exact=exact or None,
            seed=seed,
            progress=meter,
        )
    if json:
        output.as_json(asdict(found))
    else:
        _show(found)


def _show(found: Diagnosis) -> None:
    stages = [
        stage
        for stage in measuring.names_of(one.lost for one in found.efforts)
        if any(one.lost.get(stage) for one in found.efforts)
    ]
    table = measuring.columns("effort", *stages, f"recall@{found.k}")
    for one in found.efforts:
        losses = [one.lost.get(stage, 0.0) for stage in stages]
        table.add_row(
            one.name,
            *(measuring.percent(loss) if loss else "–" for loss in losses),
            f"{measuring.percent(one.recall)} %",
        )
    console = output.to_people()
    by = "exact vectors" if found.is_exact else "exhaustive search"
    console.print(f"Of the {found.k} best by {by}, the per cent that a stage loses:\n")
    output.table(console, table)
    console.print()
    for stage in stages:
        console.print(f"{stage}: {_MEANINGS.get(stage, 'not handed on')}.", style="dim")
    won = [one for one in found.efforts if one.won]
    if won:
        knobs = measuring.names_of(one.won for one in won)
        table = measuring.columns("effort", *knobs)
        for one in won:
            table.add_row(one.name, *(f"{100 * one.won[knob]:+.1f}" for knob in knobs))
        console.print("\nWhat four times as much of one knob alone would win:\n")
        output.table(console, table)
    output.note(f"measured with {f'{found.n_queries:,} queries'}.")
    if not found.is_exact:
        output.note("what the codes lose is not told: --exact encodes all passages again.")

"""``interlace tune``: the quickest knobs that are good enough, measured on the collection."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

import interlace
from interlace.cli import bars, measuring, options, output, settings
from interlace.errors import SettingsError
from interlace.evaluate import TuneReport, tune, untune


def command(
    path: options.CollectionPath,
    recall: Annotated[
        float,
        typer.Option(
            "--recall",
            metavar="SHARE",
            help="Of the best passages, how many are to be found; 0.99 if unsaid.",
            show_default=False,
        ),
    ] = 0.99,
    k: options.K = None,
    queries: measuring.Queries = None,
    n_queries: measuring.NQueries = 200,
    seed: measuring.Seed = 0,
    n_threads: options.NThreads = None,
    reset: Annotated[
        bool, typer.Option("--reset", help="Forget it: searches are balanced again.")
    ] = False,
    json: options.AsJson = False,
) -> None:
    """Find the quickest search that is good enough, and keep it.

    It is measured on the collection: how many of the best passages, by an exhaustive search, are
    found, and how long that takes. From then on all searches are like that, unless an effort is
    named.
    """
    chosen = settings.load(k=k, n_threads=n_threads)
    with interlace.open(
        path, lock_wait_seconds=chosen.lock_wait_seconds, n_threads=chosen.n_threads
    ) as collection:
        if reset:
            if queries is not None:
                raise SettingsError("--reset measures nothing. Leave --queries out.")
            untune(collection)
        else:
            with bars.metering("tuning", silent=json) as meter:
                report = tune(
                    collection,
                    recall,
                    k=chosen.k,
                    queries=measuring.queries_from(queries),
                    n_queries=n_queries,
                    seed=seed,
                    progress=meter,
                )
    if reset:
        if json:
            output.as_json({"tuned": None})
        else:
            output.to_people().print("Not tuned any more: searches are balanced.")
    elif json:
        output.as_json(asdict(report) | {"tuned": report.tuned and asdict(report.tuned)})
    else:
        _show(report)


def _show(report: TuneReport) -> None:
    console = output.to_people()
    best = report.tuned
    if best is None:
        console.print("Nothing to tune: every search looks at every passage, and is exact.")
        return
    table = measuring.columns("effort", f"recall@{report.k}", "median", "95th")
    for level in report.levels:
        table.add_row(
            level.name,
            f"{level.recall:.3f}",
            measuring.time_shown(level.p50_us),
            measuring.time_shown(level.p95_us),
            style="bold green" if level is best else "",
        )
    output.table(console, table)
    knobs = ", ".join(f"{knob} {n:,}" for knob, n in (best.knobs or {}).items())
    console.print(f"\nKept: {knobs or 'everything is looked at'}.")
    console.print(
        f"Searches now find {measuring.percent(best.recall)} % of what an exhaustive one does, in "
        f"{measuring.time_shown(best.p50_us)}."
    )
    output.note(f"measured on {report.n_queries} queries that had no part in choosing the knobs.")
    if best.knobs is None:
        output.note("nothing quicker than an exhaustive search was good enough.")

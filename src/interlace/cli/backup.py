"""``interlace backup``: a copy of a collection, made while others write to it."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

import interlace
from interlace.cli import bars, options, output, places, settings


def command(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="COLLECTION",
            help="The collection's folder.",
            show_default=False,
            callback=places.original,
            autocompletion=places.complete_collection,
        ),
    ],
    target: Annotated[
        Path,
        typer.Argument(
            metavar="TARGET",
            help="A new folder, or that of an earlier backup.",
            show_default=False,
            autocompletion=places.complete_collection,
        ),
    ],
    json: options.AsJson = False,
) -> None:
    """Copy a collection, also while others write to it.

    A folder with an earlier backup of it is brought up to date: only what is new is copied.
    """
    chosen = settings.load()
    started = perf_counter()
    with (
        interlace.open(path, lock_wait_seconds=chosen.lock_wait_seconds) as collection,
        bars.metering("copying", silent=json) as meter,
    ):
        report = collection.backup(target, progress=meter)
    found = output.fields_of(report) | {"seconds": round(perf_counter() - started, 3)}
    if json:
        output.as_json(found)
        return
    kept = f", {report.n_files_kept:,} were there already" if report.n_files_kept else ""
    output.to_people().print(
        output.facts(
            {
                "documents": report.n_documents,
                "files": f"{report.n_files:,} copied{kept}",
                "copied": output.bytes_shown(report.n_bytes),
                "time": f"{found['seconds']:.1f} s",
                "backup": f"{output.short(Path(report.path))}, of commit {report.commit:,}",
            }
        )
    )

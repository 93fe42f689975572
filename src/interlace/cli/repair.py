"""``interlace repair``: damaged files made again from the texts."""

from __future__ import annotations

from typing import Annotated

import typer

import interlace
from interlace.cli import bars, options, output, settings


def command(
    path: options.CollectionPath,
    drop_lost: Annotated[
        bool,
        typer.Option("--drop-lost", help="Delete documents that cannot be made again."),
    ] = False,
    json: options.AsJson = False,
) -> None:
    """Make damaged files again from the texts of their documents.

    What is sound is not touched. What is still wrong is named, and gives exit code 1.
    """
    chosen = settings.load()
    with (
        interlace.open(
            path, damaged="skip", lock_wait_seconds=chosen.lock_wait_seconds
        ) as collection,
        bars.metering("repairing", silent=json) as meter,
    ):
        report = collection.repair(drop_lost=drop_lost, progress=meter)
    if json:
        output.as_json(output.fields_of(report))
    elif report.ok and not (report.n_files or report.mended):
        output.to_people().print("Everything is sound: there was nothing to repair.")
    else:
        output.to_people().print(
            output.facts(
                {
                    "files": f"{report.n_files:,} replaced",
                    "passages": f"{report.n_passages:,} encoded again",
                    "documents": f"{report.n_lost:,} lost, {report.n_dropped:,} dropped",
                    "catalog": f"{len(report.mended):,} faults mended",
                }
            )
        )
        for problem in report.problems:
            output.note(problem)
        if report.n_lost > report.n_dropped:
            named = ", ".join(map(repr, report.lost[:10]))
            output.note(
                f"these cannot be made again: {named}"
                + (", …" if report.n_lost > 10 else "")
                + ". Restore a backup or add them again, or delete them with --drop-lost."
            )
    if not report.ok:
        raise typer.Exit(1)

"""``interlace verify``: read everything and check it."""

from __future__ import annotations

import typer

from interlace.cli import options, output
from interlace.collection import verify_folder


def command(path: options.CollectionPath, json: options.AsJson = False) -> None:
    """Check every file against its checksum.

    Damage is named, and gives exit code 1.
    """
    report = verify_folder(path)
    if json:
        output.as_json(output.fields_of(report))
    elif report.problems:
        output.lines("unsound", "bold red", report.problems)
        if report.n_files:  # else the catalog does not open, and the line above says what to do
            output.note(f"`interlace repair {path}` makes what it can from the texts.")
    else:
        read = f"{output.counted(report.n_files, 'file')}, {output.bytes_shown(report.n_bytes)}"
        output.lines("sound", "bold green", [f"{read}: every checksum is right."])
    if not report.ok:
        raise typer.Exit(1)

"""``interlace verify``: read everything and check it."""

from __future__ import annotations

import typer

import interlace
from interlace.cli import options, output


def command(path: options.CollectionPath, json: options.AsJson = False) -> None:
    """Check every file against its checksum and the catalog; damage gives exit code 1."""
    with interlace.open(path) as collection:
        report = collection.verify()
    found = output.fields_of(report)
    problems = list(found.get("problems", ()))
    if json:
        output.as_json(found)
    elif problems:
        for problem in problems:
            output.to_people().print(f"[bold red]damaged[/] {problem}", soft_wrap=True)
    else:
        output.to_people().print("[bold green]Sound:[/] every checksum and reference is right.")
    if problems:
        raise typer.Exit(1)

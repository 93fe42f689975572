"""``interlace sources``: the files and folders that a collection follows."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

import interlace
from interlace.cli import options, output


def command(path: options.CollectionPath, json: options.AsJson = False) -> None:
    """Show the files and folders that were indexed."""
    with interlace.open(path) as collection:
        found = collection.sources()
    if json:
        for one in found:
            output.as_json({"path": str(one.path), "label": one.label, **asdict(one.reading)})
    elif not found:
        output.to_people().print("None: this collection was filled from no file or folder.")
    else:
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(style="bold cyan", overflow="fold")
        table.add_column(overflow="fold")
        table.add_column(style="dim", overflow="fold")
        for one in found:
            shown = "" if str(one.path) == one.label else str(one.path)
            if not one.path.exists():
                shown = f"{shown or one.path}, not there now"
            table.add_row(Text(one.label), Text(shown), Text(_reading(asdict(one.reading))))
        output.table(output.to_people(), table)


def _reading(reading: dict[str, Any]) -> str:
    """The options it is read with, as they are typed."""
    typed = []
    if reading["format"]:
        typed.append(f"--format {reading['format']}")
    if reading["id_field"]:
        typed.append(f"--id-field {reading['id_field']}")
    typed += [f"--text-field {name}" for name in reading["text_fields"]]
    if reading["hidden"]:
        typed.append("--hidden")
    if not reading["ignore"]:
        typed.append("--no-ignore")
    return " ".join(typed)

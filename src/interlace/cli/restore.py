"""``interlace restore``: a backup, checked and copied to where it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import interlace
from interlace.cli import bars, options, output, places


def command(
    backup: Annotated[
        Path,
        typer.Argument(
            metavar="BACKUP",
            help="The backup's folder.",
            show_default=False,
            callback=places.backup,
            autocompletion=places.complete_collection,
        ),
    ],
    target: Annotated[
        Path, typer.Argument(metavar="TARGET", help="A new folder.", show_default=False)
    ],
    json: options.AsJson = False,
) -> None:
    """Check a backup, and copy it to a new folder.

    Damage is named, and nothing restored then. The backup stays as it is.
    """
    with (
        bars.metering("copying", silent=json) as meter,
        interlace.restore(backup, target, progress=meter) as collection,
    ):
        n_documents = len(collection)
    if json:
        output.as_json({"collection": str(collection.path), "n_documents": n_documents})
    else:
        held = output.counted(n_documents, "document")
        output.to_people().print(
            f"{output.short(collection.path)} has {held}; every checksum is right.", soft_wrap=True
        )

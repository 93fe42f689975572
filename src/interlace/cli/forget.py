"""``interlace forget``: remove an indexed file or folder from a collection."""

from __future__ import annotations

from typing import Annotated

import typer

import interlace
from interlace.cli import options, output, settings, writable


def _complete_source(ctx: typer.Context, incomplete: str) -> list[str]:
    path = ctx.params.get("path")
    if path is None:
        return []
    with interlace.open(path) as collection:
        labels = [source.label for source in collection.sources()]
    return [label for label in labels if label.startswith(incomplete)]


def command(
    path: options.CollectionPath,
    source: Annotated[
        str,
        typer.Argument(
            metavar="PATH",
            help="As `interlace sources` shows it.",
            show_default=False,
            autocompletion=_complete_source,
        ),
    ],
    damaged: options.Damaged = "raise",
    json: options.AsJson = False,
) -> None:
    """Remove an indexed file or folder.

    Its documents go, and `update` looks at it no more; the file itself stays.
    """
    chosen = settings.load()
    with writable.opened(path, chosen, damaged=damaged) as collection:
        n_documents = collection.forget(source)
        left = len(collection)
    if json:
        output.as_json({"removed": n_documents, "n_documents": left})
    else:
        removed = output.counted(n_documents, "document")
        output.to_people().print(
            f"{removed} removed with {source}; the file itself stays. "
            f"{path} has {output.counted(left, 'document')}.",
            soft_wrap=True,
        )

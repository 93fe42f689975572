"""``interlace delete``: remove documents, by id or by what their metadata say."""

from __future__ import annotations

from typing import Annotated

import typer

from interlace import store
from interlace.cli import options, output, settings, writable
from interlace.errors import InputError


def command(
    path: options.CollectionPath,
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[IDS]...", help="Ids of documents.", show_default=False),
    ] = None,
    where: options.Where = None,
    damaged: options.Damaged = "raise",
    json: options.AsJson = False,
) -> None:
    """Remove documents: those with these ids, or all that match a filter.

    Nothing is asked. What was read from a file that is followed comes back when the file changes;
    `forget` removes it for good.
    """
    if where is not None and store.matches_all(where):
        raise InputError(
            f"an empty filter matches every document: --where {where}. "
            f"To be rid of them all, remove the folder {path}."
        )
    if bool(ids) == (where is not None):
        raise InputError(
            f"say which documents, by ids or by a filter: interlace delete {path} ID, or "
            f"interlace delete {path} --where 'year < 2020'"
        )
    chosen = settings.load()
    with writable.opened(path, chosen, damaged=damaged) as collection:
        n_documents = collection.delete(
            options.typed_ids(collection, ids or None), where=where, missing="error"
        )
        left = len(collection)
    if json:
        output.as_json({"deleted": n_documents, "n_documents": left})
    else:
        output.to_people().print(
            f"{output.counted(n_documents, 'document')} deleted. "
            f"{path} has {output.counted(left, 'document')}.",
            soft_wrap=True,
        )

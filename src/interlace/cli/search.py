"""``interlace search``: the passages that best match a query."""

from __future__ import annotations

import re
from typing import Annotated, Final

import typer

import interlace
from interlace.cli import options, output, settings

#: As Python writes an int of at most 64 bits: 007, --5 and twenty digits are names.
_WHOLE_NUMBER: Final = re.compile(r"0|-?[1-9][0-9]{0,18}")


def command(
    path: options.CollectionPath,
    query: options.Query,
    k: options.K = None,
    effort: options.Effort = None,
    by: options.By = "document",
    ids: Annotated[
        list[str] | None, typer.Option("--ids", help="Only this document; may be repeated.")
    ] = None,
    n_threads: options.NThreads = None,
    json: options.AsJson = False,
) -> None:
    """Search a collection. The score is the mean cosine a query token, 1 being a perfect match."""
    chosen = settings.load(k=k, effort=effort, n_threads=n_threads)
    with interlace.open(path, n_threads=chosen.n_threads) as collection:
        hits = collection.search(
            query, chosen.k, effort=chosen.effort, by=by, ids=typed_ids(collection, ids)
        )
    output.show_hits(hits, json)


def typed_ids(collection: interlace.Collection, ids: list[str] | None) -> list[str | int] | None:
    """Take ids from the command line: a whole number means an int unless a str is stored so."""
    if ids is None:
        return None
    return [
        int(id_) if id_ not in collection and _WHOLE_NUMBER.fullmatch(id_) else id_ for id_ in ids
    ]

"""``interlace search``: the passages that best match a query, or one query after another."""

from __future__ import annotations

from typing import Annotated

import typer

import interlace
from interlace.cli import interactive, options, settings
from interlace.errors import SettingsError


def command(
    path: options.CollectionPath,
    query: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="QUERY",
            help="What to search for. Without it you are asked.",
            show_default=False,
        ),
    ] = None,
    k: options.K = None,
    mode: options.Mode = None,
    effort: options.Effort = None,
    by: options.By = "document",
    where: options.Where = None,
    ids: Annotated[
        list[str] | None,
        typer.Option("--ids", metavar="ID", help="Only this document; may be repeated."),
    ] = None,
    damaged: options.Damaged = "raise",
    n_threads: options.NThreads = None,
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="Whole passages, not the piece that answers.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = False,
    snippets: Annotated[
        bool,
        typer.Option(
            "--snippets",
            help="With --json: the piece that answers, and its marks.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = False,
    profile: Annotated[
        bool,
        typer.Option(
            "--profile",
            help="Where the time went, stage by stage.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = False,
    json: options.AsJson = False,
) -> None:
    """Find the passages that answer a query; without one, be asked.

    The hits are in the order of the first number. score: from 0 to 1, made of the two behind it;
    meaning: the mean cosine of the query's tokens, of which 1 is a perfect match; words: how well
    the words match, by BM25.
    """
    if snippets and not json:
        raise SettingsError("--snippets is for machines, so it needs --json. Add it.")
    chosen = settings.load(k=k, mode=mode, effort=effort, n_threads=n_threads)
    with interlace.open(path, damaged=damaged, n_threads=chosen.n_threads) as collection:
        asking = interactive.Asking(
            collection,
            k=chosen.k,
            mode=chosen.mode,
            effort=chosen.effort,
            by=by,
            where=where,
            ids=options.typed_ids(collection, ids),
            full=full,
            json=json,
            snippets=snippets,
            profile=profile,
        )
        if query:
            asking.answer(" ".join(query))
        else:
            interactive.converse(asking)

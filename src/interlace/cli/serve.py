"""``interlace serve``: searches of a collection over HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

import interlace
from interlace.cli import options, output, settings


def command(
    path: options.CollectionPath,
    host: Annotated[
        str, typer.Option("--host", metavar="NAME", help="Where to listen; 0.0.0.0 is everywhere.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="N", help="Where to listen; 0 is any free port.")
    ] = 8000,
    damaged: options.Damaged = "raise",
    n_threads: options.NThreads = None,
) -> None:
    """Answer searches over HTTP, until Ctrl-C.

    GET and POST /api/search take query and k, as ColBERT's own server does, and also mode, effort,
    by and where; /health tells whether searches work. There are no keys: whoever reaches the port
    may read every document. It wants the extra serve.
    """
    from interlace.serve import serve

    def ready(url: str) -> None:
        typer.echo(f"{output.short(path)} at {url}/api/search")

    chosen = settings.load(n_threads=n_threads)
    with interlace.open(path, damaged=damaged, n_threads=chosen.n_threads) as collection:
        serve(collection, host=host, port=port, ready=ready)

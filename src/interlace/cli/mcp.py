"""``interlace mcp``: a collection as tools of an assistant."""

from __future__ import annotations

import interlace
from interlace.cli import options, settings


def command(
    path: options.CollectionPath,
    damaged: options.Damaged = "raise",
    n_threads: options.NThreads = None,
) -> None:
    """Give assistants the tools search and fetch, over the Model Context Protocol.

    It speaks on standard input and output, so an assistant starts it: enter this command, with the
    whole path of the collection, in its settings. It wants the extra mcp.
    """
    from interlace.integrations.mcp import server

    chosen = settings.load(n_threads=n_threads)
    with interlace.open(path, damaged=damaged, n_threads=chosen.n_threads) as collection:
        server(collection).run()

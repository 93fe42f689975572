"""Waiting for files to change."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import Any, Final

from interlace.collection.planning import Source
from interlace.extras import need

#: Changes that come within this time are taken over together.
_TOGETHER_MS: Final = 1_000

#: After this time without a change the iterator gives no paths.
_IDLE_MS: Final = 500


def watch(sources: Sequence[Source], own: Path, stop: Event | None) -> Iterator[set[Path]]:
    """Return an iterator over the paths that have changed, some at a time, none now and then.

    The first that it gives, changes or none, says that it has begun to watch.

    Parameters
    ----------
    sources
        What to watch.
    own
        The collection's folder: what is written there is no change, wherever it lies.
    stop
        Ends it when set.

    Raises
    ------
    MissingExtra
        At once, without the package ``watchfiles``.
    """
    watchfiles = need("watchfiles", extra="documents")
    mine = os.path.abspath(own)  # noqa: PTH100 (as the watcher names them: links not followed)

    def concerns(_: Any, path: str) -> bool:
        return path != mine and not path.startswith(mine + os.sep)

    # Of a file its folder is watched: an editor puts a new file in the place of the old one.
    folders = {one.path if one.path.is_dir() else one.path.parent for one in sources}
    changes = watchfiles.watch(
        *sorted(folder for folder in folders if folder.is_dir()),
        watch_filter=concerns,
        stop_event=stop,
        debounce=_TOGETHER_MS,
        rust_timeout=_IDLE_MS,
        yield_on_timeout=True,
        recursive=any(one.path.is_dir() for one in sources),
    )
    return ({Path(path) for _, path in some} for some in changes)

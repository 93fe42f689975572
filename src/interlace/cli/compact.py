"""``interlace compact``: merge segments and drop what was deleted."""

from __future__ import annotations

import interlace
from interlace.cli import options, output, settings


def command(path: options.CollectionPath, json: options.AsJson = False) -> None:
    """Free the space of what was deleted or replaced."""
    chosen = settings.load()
    with interlace.open(path, lock_wait_seconds=chosen.lock_wait_seconds) as collection:
        found = output.fields_of(collection.compact())
    if json:
        output.as_json(found)
    else:
        output.to_people().print(output.facts(found))

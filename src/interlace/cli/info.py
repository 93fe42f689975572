"""``interlace info``: what a collection is and holds."""

from __future__ import annotations

import interlace
from interlace.cli import options, output


def command(path: options.CollectionPath, json: options.AsJson = False) -> None:
    """Show what a collection holds, how many bytes each part takes, and its model."""
    with interlace.open(path) as collection:
        found = collection.info()
    if json:
        output.as_json(found)
    else:
        output.to_people().print(output.facts(found))

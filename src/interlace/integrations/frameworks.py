"""What every framework is given of a hit, and gives back as an id."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any, Final

from interlace.collection import Collection, create, open  # noqa: A004
from interlace.errors import NotACollection
from interlace.types import Hit, Id

#: The key of a result's metadata under which everything stands that is not the user's own.
PLACE: Final = "interlace"

_NUMBER: Final = re.compile(r"-?(0|[1-9]\d{0,18})")


def place(hit: Hit) -> dict[str, Any]:
    """Where a hit stands, and how good it is: what a citation needs; nothing that is None."""
    told = {
        "score": hit.score,
        "mean_score": hit.mean_score,
        "rank": hit.rank,
        "passage": hit.passage,
        "start": hit.start,
        "end": hit.end,
        "file": hit.file,
        "line": hit.line,
        "page": hit.page,
        "headings": list(hit.headings) or None,
    }
    return {name: value for name, value in told.items() if value is not None}


def with_place(metadata: Mapping[str, Any], hit: Hit) -> dict[str, Any]:
    """The metadata of a document and the place of a hit; changing it changes nothing else."""
    return {**deepcopy(dict(metadata)), PLACE: place(hit)}


def without_place(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What of a result's metadata is the document's own, when a result is added again."""
    return {key: value for key, value in metadata.items() if key != PLACE}


def own_ids(collection: Collection, ids: Iterable[str]) -> list[Id]:
    """The ids as the collection has them: a framework turns the id 7 into ``"7"``."""
    return [
        int(id_)
        if _NUMBER.fullmatch(id_) and id_ not in collection and int(id_) in collection
        else id_
        for id_ in ids
    ]


def collection_at(path: str | os.PathLike[str], model: Any = None) -> Collection:
    """Open the collection at a path, or create it where there is none."""
    try:
        return open(path, model)
    except NotACollection:
        return create(path, "mini" if model is None else model)

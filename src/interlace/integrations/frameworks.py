"""What every framework is given of a hit, and gives back as an id."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from itertools import islice
from typing import Any, Final

from interlace.collection import Collection, create, open  # noqa: A004
from interlace.errors import NotACollection
from interlace.models import Encoder
from interlace.types import Document, Hit, Id

#: The key of a result's metadata under which everything stands that is not the user's own.
PLACE: Final = "interlace"

_NUMBER: Final = re.compile(r"0|-?[1-9][0-9]{0,18}")
_INT64: Final = range(-(2**63), 2**63)

#: Documents that are read at once.
_AT_ONCE: Final = 1_000


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
    named = list(ids)
    numbers = {id_: int(id_) for id_ in named if _NUMBER.fullmatch(id_) and int(id_) in _INT64}
    there = set(collection.ids(among=[*numbers, *numbers.values()]))
    return [
        numbers[id_] if id_ not in there and numbers.get(id_) in there else id_ for id_ in named
    ]


def stored(collection: Collection, ids: Iterable[Id]) -> Iterator[Document]:
    """Those of the documents that are there, some read at a time."""
    rest = iter(ids)
    while some := list(islice(rest, _AT_ONCE)):
        yield from collection.get(some, missing="ignore")


def loaded(model: Any) -> Any:
    """The model of a name or folder, any other as it is: what ranks often loads it once."""
    return Encoder.load(model) if isinstance(model, str | os.PathLike) else model


def collection_at(path: str | os.PathLike[str], model: Any = None, **settings: Any) -> Collection:
    """Open the collection at a path, or create it, with these settings, where there is none."""
    try:
        return open(path, model)
    except NotACollection:
        return create(path, "mini" if model is None else model, **settings)

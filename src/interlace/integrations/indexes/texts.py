"""The texts that an index was made of, which it does not hold itself."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import TypeAlias

from interlace.errors import InputError
from interlace.integrations.indexes.arrays import read_json, refuse
from interlace.types import Id

Texts: TypeAlias = str | os.PathLike[str] | Mapping[Id, str] | Iterable[str] | None

_REMEDY = "Give the texts that the index was made of."


def passages(texts: Texts, ids: Sequence[Id]) -> Iterator[str | None]:
    """The text of each id in order, None where a mapping has none.

    Raises
    ------
    InputError
        For fewer or more texts than ids, and for a file that cannot be read so.
    """
    if texts is None:
        yield from repeat("", len(ids))
        return
    where = str(texts) if isinstance(texts, str | os.PathLike) else "texts"
    if isinstance(texts, str | os.PathLike):
        texts = _read(Path(texts), ids)
    if isinstance(texts, Mapping):
        yield from map(texts.get, ids)
        return
    given = iter(texts)
    for n in range(len(ids)):
        text = next(given, None)
        if text is None:
            raise InputError(f"{n:,} texts for {len(ids):,} passages: {where}. {_REMEDY}")
        yield text
    if next(given, None) is not None:
        raise InputError(f"more texts than {len(ids):,} passages: {where}. {_REMEDY}")


def _read(path: Path, ids: Sequence[Id]) -> Mapping[Id, str] | Iterable[str]:
    """The texts of a file, read as they are wanted where it is in their order."""
    if path.suffix == ".json":  # RAGatouille's collection.json
        listed = read_json(path)
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            refuse(path, "texts must be a list of strings", _REMEDY)
        return listed
    if isinstance(ids, range):
        return (text for _, text in _rows(path, is_numbered=True))
    return dict(_rows(path, is_numbered=False))


def _rows(path: Path, *, is_numbered: bool) -> Iterator[tuple[str, str]]:
    """The rows of a collection.tsv as ColBERT takes them: a title becomes part of the text."""
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file):
                name, tab, rest = line.strip("\n\r ").partition("\t")
                if not tab or (is_numbered and name not in ("id", str(number))):
                    refuse(path, f"line {number + 1} must begin with {number} and a tab", _REMEDY)
                passage, *more = rest.split("\t")
                yield name, f"{more[0]} | {passage}" if more else passage
    except (OSError, UnicodeDecodeError) as error:
        refuse(path, f"texts cannot be read ({error})", "Give a file in UTF-8.")

"""Paths that people type: what is not there gets its nearest neighbour named, and completion."""

from __future__ import annotations

import difflib
import os
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from interlace.errors import CollectionError, InputError, NotACollection

#: What makes a folder a collection.
_CATALOG: Final = "catalog.sqlite"

#: What is left of one whose catalog is gone.
_SEGMENTS: Final = "segments"

#: The path that stands for standard input.
STDIN: Final = "-"


def is_collection(path: Path) -> bool:
    """Whether a folder is a collection, as far as a look at its names tells."""
    return (path / _CATALOG).is_file()


def collection(path: Path) -> Path:
    """Refuse what is no collection, before a command does anything.

    Raises
    ------
    NotACollection
        It says what the path is, and what to type.
    """
    return _checked(path, "")


def original(path: Path) -> Path:
    """Refuse what holds nothing to copy."""
    return _checked(path, "give the folder of the collection to copy.")


def backup(path: Path) -> Path:
    """Refuse what is no backup."""
    return _checked(path, "give the folder of a backup, as `interlace backup` makes them.")


def _checked(path: Path, remedy: str) -> Path:
    """Refuse what is no collection; ``remedy`` is what to do where making one is none."""
    if is_collection(path):
        return path
    if (path / _SEGMENTS).is_dir():
        raise NotACollection(
            f"a collection without its catalog: {path}: {_CATALOG} is gone. "
            "Restore a backup, or index the documents again into a new folder."
        )
    if remedy:
        what = "not a collection"
    elif path.is_file():
        what, remedy = "a file, no collection", f"index it: interlace index {path} --to notes.lace"
    elif path.is_dir() and any(path.iterdir()):
        name = path.resolve().name
        what = "a folder, but no collection"
        remedy = f"to search its files, index them: interlace index {path} --to {name}.lace"
    else:
        what, remedy = "not a collection", f"make one: interlace index FOLDER --to {path}"
    near = _nearest(path, [one for one in _entries(path.parent) if is_collection(one)])
    hint = f"Did you mean {near}? Else {remedy}" if near else f"{remedy[:1].upper()}{remedy[1:]}"
    raise NotACollection(f"{what}: {path}. {hint}")


def target(path: Path | None, files: list[str], command: str = "index") -> Path:
    """Refuse a place where no collection is and none can be made; ``command`` is what was typed.

    Raises
    ------
    InputError
        Without a path.
    CollectionError
        For a file, and for a folder that holds something else.
    """
    example = f"{_stem(files)}.lace"
    if path is None:
        typed = f"interlace {command} {shlex.join(files)} --to {shlex.quote(example)}"
        raise InputError(f"say where the collection goes, such as: {typed}")
    if path.is_file():
        raise CollectionError(
            f"a file, so no place for a collection: {path}. Choose --to {example}"
        )
    if path.is_dir() and not is_collection(path) and any(path.iterdir()):
        raise CollectionError(
            f"a folder that holds other things, so no place for a collection: {path}. "
            f"Choose a new one, such as --to {example}"
        )
    return path


def existing(paths: list[str]) -> None:
    """Refuse a path that is not there.

    Raises
    ------
    InputError
        With the nearest name that is there.
    """
    for given in paths:
        path = Path(given)
        if given == STDIN or os.path.lexists(path):
            continue
        near = _nearest(path, _entries(path.parent))
        hint = f"Did you mean {near}?" if near else _what_is_there(path)
        raise InputError(f"no such file or folder: {given}. {hint}")


def complete_collection(incomplete: str) -> list[str]:
    """Collections, and the folders on the way to them, for shells."""
    folder = Path(incomplete) if incomplete.endswith("/") else Path(incomplete).parent
    found = []
    for path in _entries(folder):
        shown = _as_typed(path, incomplete)
        if shown.startswith(incomplete) and (path.is_dir() and not path.name.startswith(".")):
            found.append(shown if is_collection(path) else f"{shown}/")
    collections = [one for one in found if not one.endswith("/")]
    return collections or found


def _as_typed(path: Path, incomplete: str) -> str:
    return f"./{path}" if incomplete.startswith("./") else str(path)


def _entries(folder: Path) -> Iterator[Path]:
    try:
        yield from sorted(folder.iterdir())
    except OSError:
        return


def _nearest(path: Path, candidates: Iterable[Path]) -> str | None:
    """The candidate whose name is most like that of a path, as the user would type it."""
    by_name = {one.name: one for one in candidates}
    folded = {name.casefold(): name for name in by_name}
    stem = Path(path.name.casefold()).stem
    close = [
        name
        for name in difflib.get_close_matches(path.name.casefold(), folded, n=5)
        if difflib.get_close_matches(stem, [Path(name).stem])  # .jsonl alone is no likeness
    ]
    stems = {Path(name).stem: name for name in reversed(folded)}
    if not close and (same := stems.get(path.name.casefold())):
        close = [same]
    if not close:
        return None
    found = by_name[folded[close[0]]]
    return f"{found}/" if found.is_dir() and not is_collection(found) else str(found)


def _what_is_there(path: Path) -> str:
    """Where a wrong path goes wrong."""
    parent = path.parent
    while not parent.exists():
        parent, path = parent.parent, parent
    near = _nearest(path, _entries(parent)) if not path.exists() else None
    if near:
        return f"Did you mean {near}?"
    return f"`ls {parent}` shows what is there."


def _stem(files: list[str]) -> str:
    """A name for a collection of these files."""
    named = [Path(one).resolve().name for one in files if one != STDIN]
    return Path(named[0]).stem if len(named) == 1 and named[0] else "notes"

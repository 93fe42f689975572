"""Collections that other tools know by a name below a folder, made anew and opened again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from interlace import files
from interlace.collection import Collection, create
from interlace.collection import open as open_collection
from interlace.errors import CollectionError, InputError, NotACollection, SettingsError
from interlace.integrations.indexes import FORMATS

#: What may become of an index that has the name already.
_OVERWRITES: Final = (True, False, "reuse", "resume", "force_silent_overwrite")


def opened(path: Path, model: Any = None) -> Collection:
    """Open what is at a path.

    Raises
    ------
    InputError
        When it is an index of another tool.
    NotACollection
        When there is nothing.
    """
    try:
        return open_collection(path, model)
    except NotACollection:
        if any((path / mark).exists() for mark, _ in FORMATS.values()):
            raise InputError(
                f"an index of another tool, not of interlace: {path}. "
                f"Convert it: interlace import {path} --to NEW --texts TEXTS --model MODEL; "
                "or give another name."
            ) from None
        raise


def is_there(path: Path) -> bool:
    """Whether a collection is at a path, of whatever format, damaged or not.

    Raises
    ------
    InputError
        When it is an index of another tool.
    """
    try:
        opened(path).close()
    except CollectionError as error:
        return not isinstance(error, NotACollection)
    return True


@contextmanager
def filling(path: Path, overwrite: bool | str, model: Any, **settings: Any) -> Iterator[Collection]:
    """A collection to fill, which has its name once it is full, in place of what had the name.

    When filling fails, what was there stays. Only with ``"resume"`` is the collection filled where
    it is, so that what was stored before a crash is not encoded again. The caller looks after
    ``"reuse"``.

    Parameters
    ----------
    path
        Its folder.
    overwrite
        ``True``, ``False`` or a word, as colbert-ai's ``Indexer.index`` has it.
    model, settings
        As for ``create``.

    Raises
    ------
    CollectionError
        When the name is taken and is not to be overwritten.
    """
    if overwrite not in _OVERWRITES:
        allowed = ", ".join(map(repr, _OVERWRITES))
        raise SettingsError(f"overwrite is {overwrite!r}. Choose one of {allowed}.")
    # No index is called so, whatever lies beside it.
    new, old = (path.with_name(f".{path.name}.{word}") for word in ("new", "old"))
    if old.exists() and not path.exists():  # a process ended between two moves
        files.move(old, path)
    is_known = is_there(path)
    if is_known and overwrite is False:
        raise CollectionError(
            f"there is an index of that name: {path}. Let it be replaced, or give another name."
        )
    if overwrite == "resume":
        with open_collection(path, model) if is_known else create(path, model, **settings) as found:
            yield found
        return
    if not is_known and files.names(path):
        raise CollectionError(f"the folder holds something else: {path}. Give another name.")
    files.remove_tree(new)
    try:
        with create(new, model, **settings) as made:
            yield made
        if is_known:
            files.remove_tree(old)
            files.move(path, old)
        files.move(new, path)
    except BaseException:
        if is_known and not path.exists():
            files.move(old, path)
        files.remove_tree(new)
        raise
    files.remove_tree(old)

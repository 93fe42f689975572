"""Files to documents: which function reads which file, and walking folders in a fixed order."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, TypeAlias

from interlace.errors import InputError
from interlace.types import Document

Reader: TypeAlias = Callable[[IO[bytes], str], Iterator[Document]]

#: Format -> the function that reads it. A new format is one file and one line.
FORMATS = {
    "text": "interlace.text.formats.plain:read",
    "jsonl": "interlace.text.formats.jsonl:read",
    "csv": "interlace.text.formats.delimited:read_csv",
    "tsv": "interlace.text.formats.delimited:read_tsv",
}

#: File name suffix -> format.
SUFFIXES = {
    ".txt": "text",
    ".text": "text",
    ".md": "text",
    ".rst": "text",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
}

#: The path that stands for standard input.
STDIN = "-"


def read(
    *paths: str | os.PathLike[str],
    format: str | None = None,  # noqa: A002 (the command's option has this name)
    skipped: Callable[[Path], None] | None = None,
) -> Iterator[Document]:
    """Read documents from files, folders and standard input, one at a time.

    Parameters
    ----------
    paths
        Files; folders, which are walked in sorted order, hidden files left out; ``"-"``,
        standard input, which is JSON lines unless ``format`` says otherwise.
    format
        ``"text"``, ``"jsonl"``, ``"csv"`` or ``"tsv"``; by default each file's suffix decides.
    skipped
        Called with each file of a folder that no format claims.

    Yields
    ------
    Document
        A plain text file is one document whose id is its path as given here.

    Raises
    ------
    InputError
        For a path that is not there, a suffix without a format, and what cannot be read; the
        message names file and line. Paths and format are checked at once, contents as they come.
    """
    if format is not None and format not in FORMATS:
        raise InputError(f"unknown format {format!r}. Allowed are {', '.join(FORMATS)}.")
    if not paths:
        raise InputError("nothing to read: no path was given. Name a file, a folder or '-'.")
    for path in paths:
        if os.fspath(path) != STDIN and not Path(path).exists():
            raise InputError(f"no such file or folder: {os.fspath(path)}. Check the path.")
    return _documents(paths, format, skipped)


def estimate(*paths: str | os.PathLike[str], format: str | None = None) -> int | None:  # noqa: A002
    """How many documents ``read`` will find: exact for text files, else the number of lines.

    None with standard input, a pipe or a device: what is read there is gone.
    """
    total = 0
    for path in paths:
        if os.fspath(path) == STDIN:
            return None
        for file in _walk(Path(path)) if Path(path).is_dir() else [Path(path)]:
            if not file.is_file():
                return None
            name = format or SUFFIXES.get(file.suffix.lower())
            if name == "text":
                total += 1
            elif name is not None:
                with file.open("rb") as stream:
                    while block := stream.read(2**20):
                        total += block.count(b"\n")
    return total


def _documents(
    paths: tuple[str | os.PathLike[str], ...],
    format_name: str | None,
    skipped: Callable[[Path], None] | None,
) -> Iterator[Document]:
    for path in paths:
        if os.fspath(path) == STDIN:
            yield from _reader(format_name or "jsonl")(sys.stdin.buffer, "standard input")
        elif Path(path).is_dir():
            for file in _walk(Path(path)):
                if format_name or file.suffix.lower() in SUFFIXES:
                    yield from _file(file, format_name)
                elif skipped:
                    skipped(file)
        else:
            yield from _file(Path(path), format_name)


def _file(path: Path, format_name: str | None) -> Iterator[Document]:
    name = format_name or SUFFIXES.get(path.suffix.lower())
    if name is None:
        raise InputError(
            f"no format for {path.suffix or 'a file without suffix'}: {path}. Known suffixes are "
            f"{', '.join(SUFFIXES)}; for others pass format='text', 'jsonl', 'csv' or 'tsv'."
        )
    try:
        opened = path.open("rb")
    except OSError as error:
        raise InputError(f"cannot read ({error.strerror}): {path}. Check its rights.") from error
    with opened as stream:
        for document in _reader(name)(stream, str(path)):
            # Only a file that is itself the document goes by its path.
            yield replace(document, id=path.as_posix()) if name == "text" else document


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(parent, name)


def _reader(format_name: str) -> Reader:
    module, _, function = FORMATS[format_name].partition(":")
    reader: Reader = getattr(importlib.import_module(module), function)
    return reader

"""Walking folders in a fixed order: what is read, and what is left out and why."""

from __future__ import annotations

import difflib
import errno
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Final, NamedTuple, TypeAlias

import pathspec

from interlace.types import Skipped

#: Files with patterns of what to leave out; where two disagree the later one wins.
IGNORE_FILES: Final = (".gitignore", ".ignore", ".interlaceignore")

#: Why something is left out; a warning need not repeat what was asked for.
HIDDEN: Final = "hidden; --hidden reads it"
IGNORED: Final = "left out by "

#: Longer ignore files are cut: somebody else's mistake must not fill the memory.
_IGNORE_BYTES_MAX: Final = 2**20
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

#: A link's target is gone, or the link itself.
_LEADS_NOWHERE: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)

_Identity: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Found:
    """A file to read.

    Attributes
    ----------
    path : Path
        Where it lies.
    name : str
        What messages, hits and ids call it: the path that the user typed, then what lies below.
    n_bytes : int
        Its size when it was found.
    """

    path: Path
    name: str
    n_bytes: int


def shown(path: str | PurePath) -> str:
    r"""Return a path as messages show it: with slashes and no last one; other bytes as ``\xNN``.

    Bytes that are no UTF-8 and control characters are written out, so that every name can be
    printed, stored and typed.
    """
    text = path.as_posix() if isinstance(path, PurePath) else path.replace(os.sep, "/")
    if len(text) > 1:
        text = text.rstrip("/") or "/"
    return text if text.isprintable() else _UNPRINTABLE.sub(_written_out, text)


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    # Python decodes the byte NN of a name that is no UTF-8 to U+DCNN.
    return f"\\x{code - 0xDC00 if 0xDC80 <= code <= 0xDCFF else code:02x}"


def no_such_path(path: str | os.PathLike[str]) -> str:
    """Return the message for a path that is not there, with the nearest name that is."""
    given = os.fspath(path)
    if not given:
        return "the path is empty. Name a file or a folder."
    message = f"no such file or folder: {shown(given)}."
    if re.match(r"https?://", given):
        return f"{message} It is a web address: save the page, then name the file."
    if given.startswith("~") and os.path.lexists(given_home := os.path.expanduser(given)):  # noqa: PTH111
        return (
            f"{message} Did you mean {shown(given_home)}? The shell expands ~ outside quotes only."
        )
    missing = Path(given)
    while missing != missing.parent and not os.path.lexists(missing.parent):
        missing = missing.parent
    folder = "this folder" if missing.parent == Path() else shown(missing.parent)
    if not missing.parent.is_dir():
        return f"{message} {folder} is a file, not a folder."
    try:
        there = {entry.name.casefold(): entry for entry in os.scandir(missing.parent)}
    except OSError as error:
        return f"{message} {folder} cannot be read ({error.strerror})."
    if any(letter in missing.name for letter in "*?"):
        return f"{message} Nothing in {folder} matches {shown(missing.name)}."
    if close := difflib.get_close_matches(missing.name.casefold(), there, n=1):
        near = there[close[0]]
        slash = "/" if near.is_dir() else ""
        return f"{message} Did you mean {shown(missing.parent / near.name)}{slash}?"
    return f"{message} There is no {shown(missing.name)} in {folder}: check the spelling."


def walk(
    path: Path, label: str, *, hidden: bool = False, ignore: bool = True
) -> Iterator[Found | Skipped]:
    """Find one file, or all of a folder: name by name in sorted order, a folder at its place.

    Parameters
    ----------
    path : Path
        A file or folder.
    label : str
        What its name is; that of a file below it is ``label/below``.
    hidden : bool
        Whether names with a dot in front are read; ``.git`` never is.
    ignore : bool
        Whether ``.gitignore``, ``.ignore`` and ``.interlaceignore`` are obeyed: those below
        ``path`` and, inside a git repository, those above it. What is named itself is never
        left out.

    Yields
    ------
    Found or Skipped
        Every file is one of the two, or lies in a folder that was skipped. Links are followed,
        except to a folder that is being read, and into no folder twice.
    """
    try:
        there = path.stat()
    except OSError as error:
        yield Skipped(label, _reason(path, error), failed=True)
        return
    if stat.S_ISREG(there.st_mode):
        yield Found(path, label, there.st_size)
    elif stat.S_ISDIR(there.st_mode):
        yield from _Walk(hidden, ignore).folder(path, label, (there.st_dev, there.st_ino))
    else:
        yield Skipped(label, _irregular(there.st_mode))


@dataclass(frozen=True, slots=True)
class _Rules:
    """One ignore file."""

    name: str
    folder: str
    spec: pathspec.GitIgnoreSpec

    def verdict(self, below: str) -> bool | None:
        """Whether the file leaves something out, or takes it in again; None says nothing."""
        return self.spec.check_file(below[len(self.folder) :]).include


class _Open(NamedTuple):
    """A folder that is being read."""

    path: Path
    name: str
    below: str
    identity: _Identity
    rules: tuple[_Rules, ...]
    entries: Iterator[os.DirEntry[str]]


class _Walk:
    """One walk: a stack of open folders, so that no depth of them is too deep."""

    def __init__(self, hidden: bool, ignore: bool) -> None:
        self._hidden, self._ignore = hidden, ignore
        self._open: list[_Open] = []
        self._linked: set[_Identity] = set()

    def folder(self, path: Path, label: str, identity: _Identity) -> Iterator[Found | Skipped]:
        """Walk a folder that was named."""
        below, rules = _rules_above(path) if self._ignore else ("", ())
        yield from self._enter(path, label, below, identity, rules)
        is_empty = bool(self._open)
        while self._open:
            folder = self._open[-1]
            entry = next(folder.entries, None)
            if entry is None:
                self._open.pop()
                continue
            is_empty = False
            yield from self._entry(folder, entry)
        if is_empty:
            yield Skipped(label, "an empty folder")

    def _entry(self, folder: _Open, entry: os.DirEntry[str]) -> Iterator[Found | Skipped]:
        if entry.name == ".git":
            return
        name = str(PurePosixPath(folder.name, shown(entry.name)))
        if entry.name.startswith(".") and not self._hidden:
            yield Skipped(name, HIDDEN)
            return
        path = folder.path / entry.name
        try:
            there = entry.stat()
        except OSError as error:
            yield Skipped(name, _reason(path, error), failed=error.errno not in _LEADS_NOWHERE)
            return
        is_folder = stat.S_ISDIR(there.st_mode)
        below = f"{folder.below}{entry.name}{'/' if is_folder else ''}"
        if by := _left_out_by(folder.rules, below):
            yield Skipped(name, f"{IGNORED}{by}")
        elif is_folder:
            # On Windows the entry itself knows neither device nor number.
            known = there if there.st_ino else path.stat()
            yield from self._subfolder(folder, entry, name, below, (known.st_dev, known.st_ino))
        elif stat.S_ISREG(there.st_mode):
            yield Found(path, name, there.st_size)
        else:
            yield Skipped(name, _irregular(there.st_mode))

    def _subfolder(
        self, folder: _Open, entry: os.DirEntry[str], name: str, below: str, identity: _Identity
    ) -> Iterator[Skipped]:
        _, number = identity  # file systems without such numbers say 0
        if number and any(identity == one.identity for one in self._open):
            yield Skipped(name, "links to a folder that is being read already")
            return
        if entry.is_symlink():
            # Folders full of links to one another would otherwise be read without end.
            if number and identity in self._linked:
                yield Skipped(name, "links to a folder that another link has led to already")
                return
            self._linked.add(identity)
        yield from self._enter(folder.path / entry.name, name, below, identity, folder.rules)

    def _enter(
        self, path: Path, name: str, below: str, identity: _Identity, rules: tuple[_Rules, ...]
    ) -> Iterator[Skipped]:
        try:
            with os.scandir(path) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError as error:
            yield Skipped(name, _reason(path, error), failed=True)
            return
        if _is_collection(path, {entry.name for entry in entries}):
            yield Skipped(name, "a collection")
            return
        if self._ignore:
            there = {entry.name for entry in entries if entry.name in IGNORE_FILES}
            for ignore_file in filter(there.__contains__, IGNORE_FILES):
                shown_as = f"{name.rstrip('/')}/{ignore_file}"
                try:
                    rules += (_rules(path / ignore_file, shown_as, below),)
                except OSError as error:
                    yield Skipped(shown_as, _reason(path / ignore_file, error), failed=True)
        self._open.append(_Open(path, name, below, identity, rules, iter(entries)))


def _left_out_by(rules: tuple[_Rules, ...], below: str) -> str | None:
    for one in reversed(rules):
        verdict = one.verdict(below)
        if verdict is not None:
            return one.name if verdict else None
    return None


def _rules_above(path: Path) -> tuple[str, tuple[_Rules, ...]]:
    """Return the ignore files above a folder in its git repository, and its place below that.

    Those that leave out the folder itself do not count: it was named.
    """
    path = Path(os.path.abspath(path))  # noqa: PTH100 (resolve would follow links)
    top = next((one for one in (path, *path.parents) if os.path.lexists(one / ".git")), path)
    below = "" if path == top else f"{path.relative_to(top).as_posix()}/"
    rules = []
    for parent in (one for one in reversed(path.parents) if one == top or top in one.parents):
        folder = "" if parent == top else f"{parent.relative_to(top).as_posix()}/"
        for ignore_file in IGNORE_FILES:
            try:
                one = _rules(parent / ignore_file, shown(parent / ignore_file), folder)
            except OSError:
                continue
            if not one.verdict(below):
                rules.append(one)
    return below, tuple(rules)


def _rules(path: Path, name: str, folder: str) -> _Rules:
    if not path.is_file():
        return _Rules(name, folder, pathspec.GitIgnoreSpec.from_lines([]))
    with path.open("rb") as stream:
        text = os.fsdecode(stream.read(_IGNORE_BYTES_MAX).removeprefix(b"\xef\xbb\xbf"))
    return _Rules(name, folder, _spec(text.splitlines()))


def _spec(lines: list[str]) -> pathspec.GitIgnoreSpec:
    """Return the patterns; one that is none is passed over, as git does."""
    try:
        return pathspec.GitIgnoreSpec.from_lines(lines)
    except (ValueError, re.error):
        return pathspec.GitIgnoreSpec.from_lines(filter(_is_pattern, lines))


def _is_pattern(line: str) -> bool:
    try:
        pathspec.GitIgnoreSpec.from_lines([line])
    except (ValueError, re.error):
        return False
    return True


def _is_collection(path: Path, names: set[str]) -> bool:
    return {"catalog.sqlite", "segments"} <= names and (path / "segments").is_dir()


def _irregular(mode: int) -> str:
    kind = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}.get(stat.S_IFMT(mode), "a device")
    return f"not a regular file: {kind}"


def _reason(path: Path, error: OSError) -> str:
    if path.is_symlink() and error.errno in _LEADS_NOWHERE:
        is_circle = error.errno == errno.ELOOP
        return "a link that leads to itself" if is_circle else "a link to what is not there"
    if isinstance(error, FileNotFoundError):
        return "is not there any more"
    return f"cannot be read ({error.strerror})"

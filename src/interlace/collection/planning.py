"""What has changed in the files that a collection follows: found by content, before any is read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

from interlace import text
from interlace.errors import CollectionError, InputError, SettingsError
from interlace.store import Snapshot
from interlace.types import Skipped

_GONE: Final = (
    "is not there any more; its documents are kept until it is back, or until `interlace forget`"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """How the files of a source are read; stored with it.

    Attributes
    ----------
    format : str or None
        Of every file, whatever its name says; None: each file's suffix decides.
    id_field, text_fields : str or None, tuple of str
        The columns of tables and keys of records that are id and text.
    hidden, ignore : bool
        Whether hidden files are read; whether ignore files are obeyed.
    """

    format: str | None = None
    id_field: str | None = None
    text_fields: tuple[str, ...] = ()
    hidden: bool = False
    ignore: bool = True

    def __post_init__(self) -> None:
        if self.format is not None and self.format not in text.FORMATS:
            raise SettingsError(
                f"unknown format {self.format!r}. Allowed are {', '.join(text.FORMATS)}."
            )
        object.__setattr__(self, "text_fields", tuple(self.text_fields))

    @property
    def fields(self) -> text.Fields:
        """Which fields of a record are what."""
        return text.Fields(id=self.id_field, text=self.text_fields)

    @property
    def mark(self) -> str:
        """Tells readings apart that make other documents of the same bytes."""
        made_by = (self.format, self.id_field, *self.text_fields)
        return json.dumps(made_by) if any(made_by) else ""


@dataclass(frozen=True, slots=True)
class Source:
    """A file or folder that a collection follows.

    Attributes
    ----------
    path : Path
        Where it lies.
    label : str
        What the names of its files begin with: the path as it was first given.
    reading : Reading
    number : int or None
        The store's; None before it is stored.
    """

    path: Path
    label: str
    reading: Reading
    number: int | None = None


#: Stands for the fingerprint of a file that has not been read to its end.
UNFINISHED: Final = "unfinished"

#: Ends the fingerprint of a file of which something was skipped: it is looked at each time, so that
#: it is named each time, and taken in when what was in its way is gone.
PARTLY: Final = " partly"


@dataclass(frozen=True, slots=True)
class Task:
    """A file to read.

    Attributes
    ----------
    source : Source
    found : Found
    fingerprint : str
    before : str or None
        The fingerprint that is stored; None for a file that is not known.
    """

    source: Source
    found: text.Found
    fingerprint: str
    before: str | None

    @property
    def is_new(self) -> bool:
        """Whether nothing or only a part was read of it."""
        return self.before in (None, UNFINISHED)

    @property
    def is_same(self) -> bool:
        """Whether it is as it was, and only looked at again."""
        return self.before == self.fingerprint + PARTLY


@dataclass(slots=True)
class Plan:
    """What there is to do.

    Attributes
    ----------
    sources : list of Source
        Those that this plan is of.
    tasks : list of Task
        Files to read, in the order they are found in.
    unchanged : set of str
        Names of files that are as they were read.
    kept : set of str
        Names of files that nobody could look at, or that are not there with all of their source.
    gone : list of str
        Names of files that were read once and are there no more.
    absorbed : list of Source
        Sources that lie inside one of these, and end.
    """

    sources: list[Source] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    unchanged: set[str] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)
    gone: list[str] = field(default_factory=list)
    absorbed: list[Source] = field(default_factory=list)


def stored_sources(snapshot: Snapshot) -> list[Source]:
    """The sources that a collection follows."""
    return [
        Source(Path(row.path), row.label, Reading(**row.options), row.number)
        for row in snapshot.sources()
    ]


def options_of(reading: Reading) -> dict[str, Any]:
    """A reading as the store keeps it."""
    return asdict(reading)


def plan_paths(
    snapshot: Snapshot,
    paths: Sequence[str | os.PathLike[str]],
    reading: Reading,
    skipped: Callable[[Skipped], None],
) -> Plan:
    """Plan for paths that a user names: each becomes a source, or is part of one.

    Raises
    ------
    InputError
        For a path that is not there.
    """
    if not paths:
        raise InputError("nothing to index: no path was given. Name a file or a folder.")
    known = stored_sources(snapshot)
    plan = Plan()
    for path, label in _outermost(paths):
        source = _source_of(path, label, known + plan.sources, reading)
        if source not in plan.sources:
            plan.sources.append(source)
        # Sources inside that are read the same way end; others keep what is theirs.
        inside = [one for one in known if path in one.path.parents and one.reading == reading]
        plan.absorbed += inside
        others = [one for one in known if one not in inside]
        _look(plan, snapshot, source, path, inside, others, skipped, None)
    return plan


def plan_update(
    snapshot: Snapshot,
    skipped: Callable[[Skipped], None],
    changed: Iterable[Path] | None = None,
) -> Plan:
    """Plan for all sources; with ``changed``, files elsewhere count as unchanged unread."""
    plan = Plan(sources=stored_sources(snapshot))
    touched = None if changed is None else {Path(os.path.abspath(path)) for path in changed}  # noqa: PTH100
    for source in plan.sources:
        if os.path.lexists(source.path):
            _look(plan, snapshot, source, source.path, [], plan.sources, skipped, touched)
        else:
            plan.kept |= set(_files(snapshot, [source]))
            skipped(Skipped(source.label, _GONE, failed=True))
    return plan


def _outermost(paths: Sequence[str | os.PathLike[str]]) -> list[tuple[Path, str]]:
    """Absolute paths and labels, each once, without those that lie in another one."""
    given: dict[Path, str] = {}
    for one in paths:
        path = Path(os.path.abspath(one))  # noqa: PTH100 (resolve would follow links)
        if not os.path.lexists(path):
            raise InputError(text.no_such_path(one))
        given.setdefault(path, _label(one))
    return [(path, label) for path, label in given.items() if given.keys().isdisjoint(path.parents)]


def source_at(snapshot: Snapshot, path: str | os.PathLike[str]) -> Source:
    """The source of a path, or of a label as ``sources`` shows it.

    Raises
    ------
    InputError
        When there is none.
    """
    known = stored_sources(snapshot)
    absolute = Path(os.path.abspath(path))  # noqa: PTH100
    for one in known:
        if one.path == absolute:
            return one
    for one in known:
        if one.label == _label(path):
            return one
    there = ", ".join(one.label for one in known) or "none"
    raise InputError(f"not indexed as a file or folder of its own: {path}. There are: {there}.")


def refuse_no_sources(snapshot: Snapshot, path: Path) -> None:
    """Raise when there is nothing to update from.

    Raises
    ------
    CollectionError
    """
    if not snapshot.sources():
        raise CollectionError(
            f"nothing to update from: {path} was filled from no file or folder. "
            f"Index one first: interlace index FOLDER --to {path}"
        )


def locate(sources: Iterable[Source], name: str) -> Path | None:
    """Where a file lies whose name is ``name``; of something in an archive, the archive."""
    for source in sorted(sources, key=lambda source: -len(source.label)):
        if _is_in(name, source.label):
            path = source.path / PurePosixPath(name).relative_to(source.label)
            for one in (path, *path.parents):
                if one.is_file():
                    return one
                if one == source.path:
                    break
    return None


def _is_in(name: str, label: str) -> bool:
    """Whether a file of this name is, or lies in, what has this label."""
    return label == "." or name == label or name.startswith(f"{label}/")


def _source_of(path: Path, label: str, known: Sequence[Source], reading: Reading) -> Source:
    """The source that a path is, or lies in if that one is read the same way; else a new one.

    No two files may have one name. So a source inside another one is named after it, and one whose
    label would say that it lies in another one, or the other way round, goes by its whole path.
    """
    for one in known:
        if one.path == path:
            return Source(one.path, one.label, reading, one.number)
    around = [one for one in known if one.path in path.parents]
    if around:
        outer = max(around, key=lambda one: len(one.path.parts))
        if outer.reading == reading:
            return outer
        return Source(path, _named_in(outer, path), reading)
    if any(_is_in(label, one.label) or _is_in(one.label, label) for one in known
           if path not in one.path.parents):  # fmt: skip
        label = path.as_posix()
    return Source(path, label, reading)


def _named_in(source: Source, path: Path) -> str:
    """The name of what lies in a source."""
    return str(PurePosixPath(source.label, text.shown(path.relative_to(source.path))))


def _look(
    plan: Plan,
    snapshot: Snapshot,
    source: Source,
    path: Path,
    inside: Sequence[Source],
    others: Sequence[Source],
    skipped: Callable[[Skipped], None],
    touched: set[Path] | None,
) -> None:
    """Compare the files under a path with those that were read.

    What sources ``inside`` have read counts as the source's own; what lies in one of the ``others``
    below the path is that one's.
    """
    label = source.label if path == source.path else _named_in(source, path)
    reading = source.reading
    apart = {one.path for one in others if path in one.path.parents}
    stored = _files(snapshot, inside)
    for name, fingerprint in _files(snapshot, [source]).items():
        if path == source.path or _is_in(name, label):
            stored[name] = fingerprint
    seen: set[str] = set()
    failed: set[str] = set()
    for found in text.find(path, label, hidden=reading.hidden, ignore=reading.ignore):
        if isinstance(found, Skipped):
            skipped(found)
            if found.failed:
                failed.add(found.where)
            continue
        if found.path in apart or not apart.isdisjoint(found.path.parents):
            continue
        if found.name in seen:
            skipped(Skipped(found.name, "its name is shown like that of another file; rename it"))
            continue
        seen.add(found.name)
        before = stored.get(found.name)
        if before is not None and touched is not None and not _is_touched(found.path, touched):
            plan.unchanged.add(found.name)
            continue
        try:
            fingerprint = text.fingerprint(found, format=reading.format) + reading.mark
        except OSError as error:
            skipped(Skipped(found.name, f"cannot be read ({error.strerror})", failed=True))
            plan.kept.add(found.name)
            continue
        if fingerprint == before:
            plan.unchanged.add(found.name)
        else:
            plan.tasks.append(Task(source, found, fingerprint, before))
    for name in stored:
        if name in seen:
            continue
        if failed.isdisjoint(with_parents(name)):
            plan.gone.append(name)
        else:  # nobody could look
            plan.kept.add(name)


def _files(snapshot: Snapshot, sources: Iterable[Source]) -> dict[str, str]:
    stored: dict[str, str] = {}
    for source in sources:
        if source.number is not None:
            stored |= snapshot.files(source.number)
    return stored


def with_parents(name: str) -> list[str]:
    """A file's name, and those of the archives and folders that it lies in."""
    return [name, *map(str, PurePosixPath(name).parents)]


def _is_touched(path: Path, touched: set[Path]) -> bool:
    return path in touched or not touched.isdisjoint(path.parents)


def _label(given: str | os.PathLike[str]) -> str:
    return text.shown(Path(given)) or "."

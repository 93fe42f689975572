"""What a disk may hold when power is cut: a log of calls, made again up to any point.

A file's bytes are safe when the file is synced, a name when its folder is. Of what is not synced,
any part may have reached the disk: all of it, none, or any writes, in sectors of 512 bytes.
"""

from __future__ import annotations

import itertools
import os
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias

import disk

_SECTOR = 512
_ENTRY = struct.Struct("iiiii4xqq")

Change: TypeAlias = tuple[int, bytes | None]
"""Bytes at an offset, or, without bytes, a new length."""


class Call(NamedTuple):
    """One call of the log."""

    op: int
    fd: int
    flags: int
    path: str
    other: str
    offset: int
    data: bytes


def calls(log: Path) -> Iterator[Call]:
    """All calls of a log."""
    content, at = log.read_bytes(), 0
    while at < len(content):
        op, fd, flags, n_path, n_other, offset, n_data = _ENTRY.unpack_from(content, at)
        at += _ENTRY.size
        parts = []
        for n in (n_path, n_other, n_data):
            parts.append(content[at : at + n])
            at += n
        yield Call(op, fd, flags, parts[0].decode(), parts[1].decode(), offset, parts[2])


class Node:
    """A file or folder: what is safe of it, and what has been done to it since."""

    def __init__(self, is_folder: bool) -> None:
        self.safe = bytearray()
        self.changes: list[Change] = []
        self.names: dict[str, Node] | None = {} if is_folder else None
        self.renamed: list[tuple[str, Node | None]] = []

    def sync(self) -> None:
        """Make all of it safe."""
        for change in self.changes:
            _apply(self.safe, change)
        for name, node in self.renamed:
            _name(self.names, name, node)
        self.changes, self.renamed = [], []


def _apply(content: bytearray, change: Change) -> None:
    offset, data = change
    if data is None:
        del content[offset:]
    end = offset + len(data or b"")
    content.extend(bytes(max(0, end - len(content))))
    if data is not None:
        content[offset:end] = data


def _name(names: dict[str, Node] | None, name: str, node: Node | None) -> None:
    assert names is not None
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node


Choice: TypeAlias = Callable[[list], list]


def everything(changes: list) -> list:
    """All of it reached the disk."""
    return changes


def nothing(changes: list) -> list:
    """None of it did."""
    return []


def some(rng: random.Random) -> Choice:
    """Any of it did; writes may be torn between sectors."""
    share = rng.choice([0.1, 0.5, 0.9])

    def chosen(changes: list) -> list:
        kept = []
        for change in changes:
            first, second = change
            if isinstance(second, bytes) and rng.random() < 0.3:
                last = first + len(second)
                cuts = [first, *range(first // _SECTOR * _SECTOR + _SECTOR, last, _SECTOR), last]
                for start, end in itertools.pairwise(cuts):
                    if rng.random() < share:
                        kept.append((start, second[start - first : end - first]))
            elif rng.random() < share:
                kept.append(change)
        return kept

    return chosen


class Machine:
    """Makes the calls of a log again, one after another."""

    def __init__(self, root: str) -> None:
        self._prefix = root.rstrip("/")
        self.root = Node(True)
        self._open: dict[int, Node] = {}

    def _find(self, path: str) -> tuple[Node, str]:
        """The folder of a path, and the name in it."""
        node, parts = self.root, path.removeprefix(self._prefix).strip("/").split("/")
        for part in parts[:-1]:
            node = _now(node)[part]
        return node, parts[-1]

    def _node(self, path: str) -> Node:
        folder, name = self._find(path)
        return _now(folder)[name] if name else folder

    def make(self, call: Call) -> bool:
        """Make a call; whether it changes what any cut would leave."""
        if call.op == disk.OPEN:
            if call.flags & os.O_CREAT:
                folder, name = self._find(call.path)
                folder.renamed.append((name, Node(False)))
            node = self._open[call.fd] = self._node(call.path)
            if call.flags & os.O_TRUNC:
                node.changes.append((0, None))
            return bool(call.flags & (os.O_CREAT | os.O_TRUNC))
        if call.op == disk.CLOSE:
            self._open.pop(call.fd, None)
            return False
        if call.op == disk.WRITE:
            self._open[call.fd].changes.append((call.offset, call.data))
        elif call.op == disk.TRUNCATE:
            self._open[call.fd].changes.append((call.offset, None))
        elif call.op == disk.SYNC:
            self._open[call.fd].sync()
        elif call.op in (disk.MKDIR, disk.UNLINK, disk.RMDIR):
            folder, name = self._find(call.path)
            folder.renamed.append((name, Node(True) if call.op == disk.MKDIR else None))
        elif call.op in (disk.RENAME, disk.LINK):
            folder, name = self._find(call.path)
            other, new = self._find(call.other)
            other.renamed.append((new, _now(folder)[name]))
            if call.op == disk.RENAME:
                folder.renamed.append((name, None))
        else:
            assert call.op == disk.MARK, call
            return False
        return True

    def write(self, folder: Path, choice: Choice) -> None:
        """Write what a cut leaves into a new folder."""
        _write(self.root, folder, choice)


def _now(node: Node) -> dict[str, Node]:
    """The names of a folder as a running process sees them."""
    assert node.names is not None
    names = dict(node.names)
    for name, one in node.renamed:
        _name(names, name, one)
    return names


def _write(node: Node, path: Path, choice: Choice) -> None:
    if node.names is None:
        content = bytearray(node.safe)
        for change in choice(node.changes):
            _apply(content, change)
        path.write_bytes(content)
        return
    path.mkdir()
    names = dict(node.names)
    for name, one in choice(node.renamed):
        _name(names, name, one)
    for name, one in names.items():
        if not name.endswith("-shm"):  # shared memory, which nobody keeps
            _write(one, path / name, choice)

"""The disk of disk.c, for this process and for victims that are started with it."""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

OPEN, WRITE, TRUNCATE, SYNC, RENAME, UNLINK, MKDIR, RMDIR, LINK, CLOSE, MARK, REOPEN = range(12)
NOTHING, KILL, TEAR, FAIL, SHORTEN = range(5)

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where folders lie that need not outlive a power cut."""

NEEDS_SPACE = 1 << OPEN | 1 << WRITE | 1 << TRUNCATE | 1 << SYNC | 1 << RENAME | 1 << MKDIR
ALL = ~0 & 0xFFFFFFFF


@functools.cache
def library() -> Path:
    """The compiled disk. Raises ``LookupError`` where it cannot be."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if sys.platform != "linux":
        raise LookupError("the faulty disk is preloaded on Linux only")
    if compiler is None:
        raise LookupError("no C compiler for the faulty disk")
    path = Path(tempfile.mkdtemp(prefix="interlace-disk-")) / "disk.so"
    source = Path(__file__).with_name("disk.c")
    command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(path)]
    subprocess.run([*command, str(source), "-ldl", "-lpthread"], check=True)
    return path


@functools.cache
def reason() -> str:
    """Why there is no faulty disk here; empty when there is one."""
    try:
        library()
    except LookupError as error:
        return str(error)
    return ""


def environment() -> dict[str, str]:
    """For a process that is to run on this disk."""
    return {**os.environ, "LD_PRELOAD": str(library()), "INTERLACE_DISK": str(library())}


class Disk:
    """The disk under this process, which was started with ``environment``."""

    def __init__(self, folder: Path) -> None:
        self._c = ctypes.CDLL(os.environ["INTERLACE_DISK"])
        self._c.disk_calls.restype = self._c.disk_fired.restype = ctypes.c_long
        self._c.disk_watch(os.fsencode(folder))

    def arm(
        self, action: int, n: int = 0, error: int = 0, lasting: bool = False, ops: int = ALL
    ) -> None:
        """Let the ``n``-th call from now, and those after it when ``lasting``, meet its fate."""
        self._c.disk_arm(action, ctypes.c_long(n), error, lasting, ctypes.c_uint(ops))

    def disarm(self) -> None:
        """Let every call through."""
        self.arm(NOTHING)

    @property
    def calls(self) -> int:
        """Calls of the kinds it was armed for, since then."""
        return int(self._c.disk_calls())

    @property
    def fired(self) -> int:
        """How many of them met their fate."""
        return int(self._c.disk_fired())

    def record(self, fd: int) -> None:
        """Log every call there."""
        self._c.disk_record(fd)

    def mark(self, text: str) -> None:
        """Put a mark into that log."""
        self._c.disk_mark(text.encode())

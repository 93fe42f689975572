"""The only place that writes, copies, syncs, unlinks, locks, maps and checksums files.

Array files are written once and never changed, in the safetensors format, so that anything can read
them: eight bytes of header length, a JSON header, then raw little-endian arrays without gaps. The
header's ``__metadata__`` is the manifest; it holds a CRC-32 for each array. Data begins at a
multiple of 64, and arrays stand in the order of the largest power of two, up to 64, that divides
their rows' bytes: so rows of 64 bytes are a cache line each, and every number is aligned.

Growing files are the rows of one array each, from the first byte on, raw and little-endian. Pieces
are only ever appended; how many bytes count, and their checksums, the catalog says. What lies
beyond is of no commit, and nobody maps it.

The catalog's own reading and writing is SQLite's; everything else goes through here.
"""

from __future__ import annotations

import errno
import io
import json
import math
import mmap
import os
import shutil
import socket
import sys
import threading
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, TypeAlias
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from interlace.errors import CollectionError, Corrupt

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

Array: TypeAlias = npt.NDArray[Any]
Arrays: TypeAlias = dict[str, Array]
Manifest: TypeAlias = Mapping[str, str]

_ALIGNMENT = 64
_HEADER_BYTES_MAX = 100_000_000
_READ_AT_ONCE = 1 << 24
_DTYPES: dict[str, np.dtype[Any]] = {
    "I64": np.dtype("<i8"),
    "F64": np.dtype("<f8"),
    "I32": np.dtype("<i4"),
    "U32": np.dtype("<u4"),
    "F32": np.dtype("<f4"),
    "I16": np.dtype("<i2"),
    "U16": np.dtype("<u2"),
    "F16": np.dtype("<f2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


# --- array files ---------------------------------------------------------------------------------
class Shape(NamedTuple):
    """What an array file must know of an array before its first byte."""

    dtype: npt.DTypeLike
    shape: tuple[int, ...]


class Written(NamedTuple):
    """What the catalog keeps of a file: its size, and the CRC-32 of its header."""

    n_bytes: int
    checksum: int


class ArrayWriter:
    """Writes one array file, each array by and by, in memory that does not grow with the file.

    Use it as a context manager; the file is whole and synced when the block ends, and removed when
    the block raises. ``written`` then says what the catalog keeps.

    Parameters
    ----------
    path : Path
        A file that does not exist yet.
    shapes : mapping of name to Shape
        Every array of the file.
    manifest : mapping of str to str
        What else the header tells; the checksums are added here.

    Raises
    ------
    CollectionError
        When the disk is full or refuses the write.
    """

    written: Written

    def __init__(self, path: Path, shapes: Mapping[str, Shape], manifest: Manifest) -> None:
        self._path, self._manifest = path, manifest
        dtypes = {name: np.dtype(spec.dtype).newbyteorder("<") for name, spec in shapes.items()}
        strides = {
            name: dtypes[name].itemsize * math.prod(spec.shape[1:]) for name, spec in shapes.items()
        }
        order = sorted(shapes, key=lambda name: (-math.gcd(strides[name], _ALIGNMENT), name))
        self._layout: dict[str, dict[str, Any]] = {}
        self._at: dict[str, int] = {}
        end = 0
        for name in order:
            start, shape = end, shapes[name].shape
            end += dtypes[name].itemsize * math.prod(shape)
            dtype = _NAMES[dtypes[name]]
            offsets = [start, end]
            self._layout[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": offsets}
            self._at[name] = start
        self._crcs = dict.fromkeys(order, 0)
        self._data = len(self._header())
        self._n_bytes = self._data + end
        with _writing(path, self._n_bytes):
            self._file = path.open("xb")

    def append(self, name: str, rows: Array) -> None:
        """Write the next rows of an array."""
        dtype = _DTYPES[self._layout[name]["dtype"]]
        content = np.ascontiguousarray(rows, dtype).reshape(-1).view(np.uint8).data
        with _writing(self._path, self._n_bytes):
            self._file.seek(self._data + self._at[name])
            self._file.write(content)
        self._at[name] += len(content)
        self._crcs[name] = zlib.crc32(content, self._crcs[name])

    def _header(self) -> bytes:
        """The header has one length whatever the checksums, so it can be written last."""
        crcs = json.dumps({name: f"{crc:08x}" for name, crc in self._crcs.items()})
        header = {"__metadata__": {**self._manifest, "crc32": crcs}, **self._layout}
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-(len(text) + 8) % _ALIGNMENT)
        return len(text).to_bytes(8, "little") + text

    def _finish(self) -> None:
        ends = {name: layout["data_offsets"][1] for name, layout in self._layout.items()}
        assert self._at == ends, (self._at, ends)
        header = self._header()
        with _writing(self._path, self._n_bytes):
            self._file.seek(0)
            self._file.write(header)
            self._file.flush()
            sync_file(self._file.fileno())
            self._file.close()
        self.written = Written(self._n_bytes, zlib.crc32(header))

    def __enter__(self) -> ArrayWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            if not hasattr(self, "written"):
                with suppress(OSError):  # closing flushes, and that may be what failed
                    self._file.close()
                remove(self._path)


def write_arrays(path: Path, arrays: Mapping[str, Array], manifest: Manifest) -> Written:
    """Write an array file at once and sync it; the folder is the caller's to sync.

    Raises
    ------
    CollectionError
        When the disk is full or refuses the write; nothing is left of the file.
    """
    shapes = {name: Shape(array.dtype, array.shape) for name, array in arrays.items()}
    with ArrayWriter(path, shapes, manifest) as writer:
        for name, array in arrays.items():
            writer.append(name, array)
    return writer.written


def open_arrays(path: Path, expected: Written | None = None) -> tuple[Arrays, dict[str, str]]:
    """Map an array file: its arrays, read-only and lazily read, and its manifest.

    Parameters
    ----------
    path : Path
    expected : Written, optional
        What the catalog knows of it.

    Raises
    ------
    Corrupt
        When size or header are not what they must be. Contents are checked by ``verify_arrays``.
    FileNotFoundError
        When there is no such file: the caller knows whether that is damage.
    """
    whole, header, data = _map(path, expected)
    arrays: Arrays = {}
    try:
        manifest = {str(key): str(value) for key, value in header.pop("__metadata__").items()}
        for name, layout in header.items():
            dtype, shape = _DTYPES[layout["dtype"]], tuple(map(int, layout["shape"]))
            start, end = map(int, layout["data_offsets"])
            if min(shape, default=0) < 0 or end - start != dtype.itemsize * math.prod(shape):
                raise _corrupt(path, f"{name} of shape {shape}", f"{end - start} bytes")
            if start < 0 or data + end > len(whole):
                raise _corrupt(path, f"{name} to end by byte {len(whole) - data}", str(end))
            flat = np.frombuffer(whole, dtype, math.prod(shape), data + start)
            arrays[name] = flat.reshape(shape)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _corrupt(path, "a safetensors header with a manifest", repr(error)) from error
    if data + sum(array.nbytes for array in arrays.values()) != len(whole):
        raise _corrupt(path, "arrays without gaps", f"{len(whole)} bytes in the file")
    return arrays, manifest


def verify_arrays(path: Path, expected: Written) -> None:
    """Read all of an array file and compare every checksum.

    Raises
    ------
    Corrupt
        With the header or the first array whose bytes are not those that were written.
    """
    arrays, manifest = open_arrays(path, expected)
    try:
        crcs = dict(json.loads(manifest["crc32"]))
    except (KeyError, TypeError, ValueError) as error:
        raise _corrupt(path, "a checksum for each array", repr(error)) from error
    for name, array in arrays.items():
        crc = _crc(array.reshape(-1).view(np.uint8))
        if f"{crc:08x}" != crcs.get(name):
            raise _corrupt(path, f"{name} with checksum {crcs.get(name)}", f"{crc:08x}")


def _map(path: Path, expected: Written | None) -> tuple[mmap.mmap, dict[str, Any], int]:
    """The mapped file, its header and where its data begins."""
    if "\0" in str(path):  # a name from a damaged catalog
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    with _reading(path), path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if expected is not None and size != expected.n_bytes:
            raise _corrupt(path, f"{expected.n_bytes} bytes", f"{size} bytes")
        prefix = file.read(8)
        length = int.from_bytes(prefix, "little")
        if size < 8 or length > min(size - 8, _HEADER_BYTES_MAX):
            raise _corrupt(path, "a safetensors header", f"{size} bytes")
        text = file.read(length)
        whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    found = zlib.crc32(prefix + text)
    if expected is not None and found != expected.checksum:
        raise _corrupt(path, f"header checksum {expected.checksum:08x}", f"{found:08x}")
    try:
        header = json.loads(text)
    except ValueError as error:
        raise _corrupt(path, "a header in JSON", repr(text[:20])) from error
    if not isinstance(header, dict):
        raise _corrupt(path, "a header in JSON", type(header).__name__)
    return whole, header, 8 + length


def _corrupt(path: Path, expected: str, found: str) -> Corrupt:
    return Corrupt.at(path, expected, found)


# --- growing files -------------------------------------------------------------------------------
class Piece(NamedTuple):
    """What the catalog keeps of bytes that were appended at once: how many, and their CRC-32."""

    n_bytes: int
    checksum: int


def append(path: Path, at: int, rows: Array) -> Piece:
    """Write rows behind the first ``at`` bytes of a growing file, and sync it.

    What lies there is replaced. Where ``at`` is 0 the file is made anew, and its name is the
    caller's to sync.

    Nothing before ``at`` is touched, so whoever has mapped that much sees no change. As SQLite
    does, this relies on a disk that, losing power in the middle of a sector, keeps those bytes of
    it that were not to change.

    Raises
    ------
    Corrupt
        When the file is shorter than that.
    CollectionError
        When the disk is full or refuses the write; what counts of the file is as it was.
    """
    dtype = _DTYPES[_NAMES[rows.dtype.newbyteorder("<")]]
    content = np.ascontiguousarray(rows, dtype).reshape(-1).view(np.uint8).data
    if not at:
        remove(path)  # what a crash left may be mapped by whoever reads without a lock
    with _writing(path, len(content)), path.open("r+b" if at else "xb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if size < at:
            raise _corrupt(path, f"at least {at} bytes", f"{size} bytes")
        file.seek(at)
        _write_all(file, content)
        file.truncate()
        sync_file(file.fileno())
    return Piece(len(content), zlib.crc32(content))


def open_rows(path: Path, n_bytes: int) -> npt.NDArray[np.uint8]:
    """Map so many bytes of a growing file, read-only and lazily read.

    Raises
    ------
    Corrupt
        When it is shorter. Contents are checked by ``verify_rows``.
    FileNotFoundError
        When there is no such file: the caller knows whether that is damage.
    """
    if "\0" in str(path):  # a name from a damaged catalog
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    with _reading(path), path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < n_bytes:
            raise _corrupt(path, f"at least {n_bytes} bytes", f"{size} bytes")
        if not n_bytes:
            return np.empty(0, np.uint8)
        return np.frombuffer(mmap.mmap(file.fileno(), n_bytes, access=mmap.ACCESS_READ), np.uint8)


def verify_rows(path: Path, pieces: Sequence[Piece], n_known: int = 0) -> None:
    """Read a growing file and compare the checksum of each piece, but for the first ``n_known``.

    Raises
    ------
    Corrupt
        With the first piece whose bytes are not those that were written.
    """
    content, start = open_rows(path, sum(piece.n_bytes for piece in pieces)), 0
    for number, piece in enumerate(pieces):
        end = start + piece.n_bytes
        if number >= n_known and (found := _crc(content[start:end])) != piece.checksum:
            expected = f"bytes {start} to {end} with checksum {piece.checksum:08x}"
            raise _corrupt(path, expected, f"{found:08x}")
        start = end


def cut(path: Path, n_bytes: int) -> None:
    """Give back what lies beyond the bytes of a growing file that count.

    A failure is let go: nobody reads it, the next piece is written over it, and the next writer
    sweeps again.
    """
    with suppress(OSError), path.open("r+b", buffering=0) as file:
        file.truncate(n_bytes)


def _crc(content: npt.NDArray[np.uint8]) -> int:
    crc = 0
    for start in range(0, len(content), _READ_AT_ONCE):
        crc = zlib.crc32(content[start : start + _READ_AT_ONCE].data, crc)
    return crc


# --- whole files ---------------------------------------------------------------------------------
def copy(source: Path, target: Path) -> None:
    """Copy a file's bytes into a new file and sync it; the folder is the caller's to sync.

    The file system copies by itself where it can. Never a link: damage would be in both.

    Raises
    ------
    CollectionError
        When one cannot be read or the other not be written; nothing is left of the copy.
    FileNotFoundError
        When there is no such source.
    """
    with _reading(source), source.open("rb", buffering=0) as old:
        n_bytes = os.fstat(old.fileno()).st_size
        with _writing(target, n_bytes):
            new = target.open("xb", buffering=0)
        try:
            with new:
                n_copied = _copied_by_system(old.fileno(), new.fileno(), n_bytes)
                old.seek(n_copied)
                new.seek(n_copied)
                while content := old.read(_READ_AT_ONCE):
                    with _writing(target, n_bytes):
                        _write_all(new, content)
                with _writing(target, n_bytes):
                    sync_file(new.fileno())
        except BaseException:
            remove(target)
            raise


def _copied_by_system(old: int, new: int, n_bytes: int) -> int:
    """Bytes that the system has copied; the caller copies the rest, and hears why if it cannot."""
    done = 0
    if hasattr(os, "copy_file_range"):
        with suppress(OSError):  # not between these two file systems, or not on this kernel
            while n := os.copy_file_range(old, new, n_bytes - done, done, done):
                done += n
    return done


def _write_all(file: io.FileIO, content: bytes | memoryview) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


@contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write, under another name until the block ends and all of it is synced.

    When the block raises, nothing is left. Whatever had the name is replaced.

    Raises
    ------
    CollectionError
        When the disk is full or refuses the write.
    """
    partial = path.with_name(path.name + ".partial")
    with _writing(path):
        try:
            with partial.open("wb") as file:
                yield file
                file.flush()
                sync_file(file.fileno())
            move(partial, path)
        except BaseException:
            remove(partial)
            raise
        sync_folder(path.absolute().parent)


def move(source: Path, target: Path) -> None:
    """Give a file or folder another name in its file system; a file of that name is replaced.

    Raises
    ------
    CollectionError
        When it cannot be done, a folder that is not empty having the name, say.
    """
    with _writing(target):
        source.replace(target)


# --- folders -------------------------------------------------------------------------------------
def make_folder(path: Path) -> None:
    """Make a folder and its parents, and sync their names; one that is there is welcome."""
    new = [one for one in (path, *path.parents) if not one.exists()]
    with _writing(path):
        path.mkdir(parents=True, exist_ok=True)
    for one in new:
        sync_folder(one.parent)


def names(folder: Path) -> list[str]:
    """What a folder holds, sorted; nothing when it is not there."""
    with _reading(folder):
        try:
            return sorted(os.listdir(folder))  # noqa: PTH208 (Path.iterdir would build paths)
        except FileNotFoundError:
            return []


def remove(path: Path) -> None:
    """Remove a file that nothing refers to any more.

    A failure is let go: the file stays as an orphan, and the next writer sweeps again. (Windows
    refuses to remove a file that somebody has mapped.)
    """
    with suppress(OSError):
        path.unlink()


def remove_folder(path: Path) -> None:
    """Remove an empty folder; one that is not empty stays."""
    with suppress(OSError):
        path.rmdir()


def remove_tree(path: Path) -> None:
    """Remove a folder with all that is in it, as far as that can be done."""
    with suppress(CollectionError, NotADirectoryError):
        for name in names(path):
            inside = path / name
            if inside.is_dir() and not inside.is_symlink():
                remove_tree(inside)
            else:
                remove(inside)
    remove_folder(path)


def size(path: Path) -> int:
    """A file's bytes, 0 when it is not there."""
    try:
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return 0


def is_writable(path: Path) -> bool:
    """Whether this process may change a file or folder."""
    return os.access(path, os.W_OK)


def sync_file(fd: int) -> None:
    """Wait until a file's bytes are on the disk itself."""
    if sys.platform == "darwin":
        try:
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)  # fsync stops at the drive's cache there
        except OSError:  # a file system without it
            os.fsync(fd)
    else:
        os.fsync(fd)


def sync_folder(path: Path) -> None:
    """Wait until a folder's names are on the disk: a synced file may lack its name without it."""
    if sys.platform == "win32":
        return
    with _writing(path):
        fd = os.open(path, os.O_RDONLY)
        try:
            sync_file(fd)
        finally:
            os.close(fd)


@contextmanager
def _writing(path: Path, n_bytes: int = 0) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _failed_write(path, error, n_bytes) from error


def _failed_write(path: Path, error: OSError, n_bytes: int = 0) -> CollectionError:
    """What a write that the system refused means to the user."""
    if error.errno in {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}:
        free = shutil.disk_usage(path.parent).free if path.parent.exists() else 0
        need = f"{n_bytes:,} bytes needed, {free:,} free" if n_bytes else f"{free:,} bytes free"
        return CollectionError(
            f"the disk is full or a size limit is reached: {path}: {need} ({error.strerror}). "
            "Free some space and repeat; nothing that was committed is lost."
        )
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return CollectionError(
            f"cannot write: {path}: {error.strerror}. Change its permissions, or copy the "
            "collection to where you may write; reading needs no such right."
        )
    return CollectionError(
        f"cannot write: {path}: {error.strerror or error}. "
        "Repeat when that is mended; nothing that was committed is lost."
    )


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in {errno.EMFILE, errno.ENFILE}:
            remedy = "Close other collections, or raise the limit on open files (ulimit -n)."
        else:
            remedy = "Check the path and its permissions."
        raise CollectionError(f"cannot read: {path}: {error.strerror}. {remedy}") from error


# --- locks ---------------------------------------------------------------------------------------
_NOTE_BYTES = 512


class Lock:
    """A held lock on a file. The system gives it back when the process ends, however it ends."""

    def __init__(self, fd: int) -> None:
        self._fd: int | None = fd
        self._pid, self._thread = os.getpid(), threading.get_ident()

    @property
    def is_own(self) -> bool:
        """Whether this very thread has taken it, and not given it back."""
        me = os.getpid(), threading.get_ident()
        return self._fd is not None and (self._pid, self._thread) == me

    def release(self) -> None:
        """Give the lock back; again is harmless.

        (1) A process that holds a lock forks. (2) The child drops its copy of this object. (3) An
        unlock there would free the lock of the parent, because both share one open file. So only
        the process that took the lock unlocks; a child merely closes its descriptor.
        """
        fd, self._fd = self._fd, None
        if fd is None:
            return
        if self._pid == os.getpid():
            _unlock(fd)
        os.close(fd)

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def __del__(self) -> None:
        if _unlock is not None:  # when a program ends, names go first, and the system unlocks
            self.release()


_signed: WeakValueDictionary[Path, Lock] = WeakValueDictionary()


def lock(
    path: Path, *, shared: bool = False, wait_seconds: float = 0.0, doing: str | None = None
) -> Lock | None:
    """Take the lock of a file, which is made when missing; None when others keep it too long.

    Whoever says what it is doing leaves a note of it in the file, for ``holder``.
    """
    deadline, pause = time.monotonic() + wait_seconds, 0.001
    with _writing(path):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
        try:
            while not (taken := _try_lock(fd, shared)) and time.monotonic() < deadline:
                time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
                pause = min(pause * 2, 0.05)
        except BaseException:
            os.close(fd)
            raise
    if not taken:
        os.close(fd)
        return None
    held = Lock(fd)
    if doing is not None:
        _signed[path] = held
        since = datetime.now(UTC).isoformat(timespec="seconds")
        who = {"pid": os.getpid(), "host": socket.gethostname()}
        note = json.dumps({**who, "doing": doing, "since": since})
        with suppress(OSError):  # a full disk must not stop a delete that would empty it
            os.write(fd, note.encode().ljust(_NOTE_BYTES))  # covers any older note
    return held


def holder(path: Path) -> str:
    """Who holds an exclusive lock, for what, since when, as far as the note in the file tells."""
    try:
        note = json.loads(path.read_bytes())
        return f"process {note['pid']} on {note['host']}, {note['doing']} since {note['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def is_own(path: Path) -> bool:
    """Whether this very thread holds a lock that it has signed: it would wait for itself."""
    held = _signed.get(path)
    return held is not None and held.is_own


if sys.platform == "win32":
    # Windows locks byte ranges, exclusively and against readers too: so beyond the note, and a
    # shared lock is one byte of the range, taken at random, that an exclusive lock needs whole.
    _FIRST, _N = 1 << 20, 1 << 24

    def _try_lock(fd: int, shared: bool) -> bool:
        start = _FIRST + (int.from_bytes(os.urandom(3), "little") if shared else 0)
        os.lseek(fd, start, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1 if shared else _N)
        except OSError:
            return False
        return True

    def _unlock(fd: int) -> None:
        """Closing gives a range back."""

else:

    def _try_lock(fd: int, shared: bool) -> bool:
        try:
            fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)

"""Arrays in other tools' files, read row by row: what .npy and torch's zip files say of them."""

from __future__ import annotations

import json
import re
import struct
import zipfile
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import IO, Any, Final, NoReturn

import numpy as np
import numpy.typing as npt

from interlace.errors import InputError
from interlace.integrations.indexes.pickles import Call, Name, Persistent, parse

AGAIN: Final = "Copy the index again, or make it anew."

#: What torch calls the storage of a type.
_STORAGES: Final[dict[str, np.dtype[Any]]] = {
    "ByteStorage": np.dtype("u1"),
    "IntStorage": np.dtype("<i4"),
    "LongStorage": np.dtype("<i8"),
    "HalfStorage": np.dtype("<f2"),
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
}

#: What .npy files call the same types, and how their headers read.
_KINDS: Final = {dtype.str: dtype for dtype in _STORAGES.values()} | {"<u1": np.dtype("u1")}
_NPY: Final = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '([<>|=]?\w+)', 'fortran_order': (False|True), "
    rb"'shape': \(((?:\d{1,18}, ?)*(?:\d{1,18})?)\),? *\}\s*",
    re.DOTALL,
)

#: A program for a handful of tensors takes some hundred bytes.
_PICKLE_BYTES_MAX: Final = 2**16
_JSON_BYTES_MAX: Final = 2**28
_LOCAL_HEADER: Final = struct.Struct("<4s22xHH")


def refuse(path: Path, what: str, remedy: str = AGAIN) -> NoReturn:
    """Say what is wrong with a file."""
    raise InputError(f"{what}: {path}. {remedy}")


@dataclass(frozen=True, slots=True)
class Stored:
    """An array in a file, in C order.

    Attributes
    ----------
    path : Path
    offset : int
        Its first byte.
    dtype : dtype
    shape : tuple of int
    """

    path: Path
    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def _row_bytes(self) -> int:
        return self.dtype.itemsize * prod(self.shape[1:])

    @property
    def n_bytes(self) -> int:
        """Of all rows."""
        return self.dtype.itemsize * prod(self.shape)

    def rows(self, start: int, stop: int) -> Stored:
        """Some of the rows."""
        return replace(
            self,
            offset=self.offset + start * self._row_bytes,
            shape=(stop - start, *self.shape[1:]),
        )

    def read(self) -> npt.NDArray[Any]:
        """The array itself.

        Raises
        ------
        InputError
            When the file has become shorter meanwhile.
        """
        with opened(self.path) as file:
            file.seek(self.offset)
            content = file.read(self.n_bytes)
        if len(content) != self.n_bytes:
            refuse(self.path, "a file of the index is cut off")
        return np.frombuffer(content, self.dtype).reshape(self.shape)


def opened(path: Path) -> IO[bytes]:
    """A file of an index, to be read."""
    try:
        return path.open("rb")
    except FileNotFoundError:
        refuse(path, "a file of the index is missing")
    except OSError as error:
        refuse(path, f"a file of the index cannot be read ({error.strerror})")


def read_json(path: Path) -> Any:
    """What a JSON file says."""
    with opened(path) as file:
        content = file.read(_JSON_BYTES_MAX + 1)
    if len(content) > _JSON_BYTES_MAX:
        refuse(path, f"a file of the index is longer than {_JSON_BYTES_MAX:,} bytes")
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        refuse(path, f"a file of the index is no JSON ({str(error) or 'nested too deeply'})")


def npy(path: Path) -> Stored:
    """Say where the array of a .npy file is; one of Python objects, which are pickled, is refused.

    Raises
    ------
    InputError
        For any other file, and for one that is too short.
    """
    with opened(path) as file:
        head = file.read(10)
        offset = len(head) + int.from_bytes(head[8:], "little")
        found = _NPY.fullmatch(head + file.read(offset - len(head)))
    if found is None:
        refuse(path, "a file of the index is no NumPy array")
    kind, is_fortran, axes = (part.decode("latin-1") for part in found.groups())
    if kind not in _KINDS:
        what = "Python objects" if kind.endswith("O") else f"numbers of type {kind!r}"
        refuse(path, f"a file of the index holds {what}, which no index is read from")
    shape = tuple(int(axis) for axis in axes.split(",") if axis.strip())
    if is_fortran == "True" and len(shape) > 1:
        refuse(path, "a file of the index has its array in Fortran's order")
    return _checked(Stored(path, offset, _KINDS[kind], shape), path.stat().st_size - offset)


def torch_tensors(path: Path) -> list[Stored]:
    """Say where the tensors are that ``torch.save`` has written: one, or those of a tuple.

    Raises
    ------
    InputError
        For any other file, for tensors that are not contiguous, and for a file that is too short.
    """
    with opened(path) as file:
        archive = _Archive(path, file)
        if archive.has("byteorder") and archive.content("byteorder", 16) != b"little":
            refuse(path, "a file of the index is in another byte order than little endian")
        try:
            value = parse(archive.content("data.pkl", _PICKLE_BYTES_MAX))
            found = [_tensor(path, one) for one in (value if type(value) is tuple else (value,))]
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            refuse(path, f"a file of the index holds something else than tensors ({error})")
        return [
            _checked(replace(one, offset=part.offset + one.offset), part.n_bytes - one.offset)
            for key, one in found
            for part in [archive.part(f"data/{key}")]
        ]


class _Archive:
    """The zip file of torch, whose parts are not packed and lie in a folder."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path, self._file = path, file
        try:
            listed = zipfile.ZipFile(file).infolist()
        except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as error:
            refuse(
                path,
                f"a file of the index is not as torch has written them since 1.6 ({error})",
                f"{AGAIN} With an older torch's, load and save it with a newer one.",
            )
        self._n_bytes = path.stat().st_size
        self._parts = {info.filename: info for info in listed}
        programs = [name for name in self._parts if name.endswith("data.pkl")]
        self._folder = programs[0].removesuffix("data.pkl") if programs else ""

    def has(self, name: str) -> bool:
        return self._folder + name in self._parts

    def part(self, name: str) -> Stored:
        """Where a part's bytes are."""
        path = self._path
        if not self.has(name):
            refuse(path, f"a file of the index lacks torch's {name!r:.60}")
        info = self._parts[self._folder + name]
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            refuse(path, f"a file of the index has {name!r:.60} packed, as torch never has")
        header = b""
        if 0 <= info.header_offset < self._n_bytes:
            self._file.seek(info.header_offset)
            header = self._file.read(_LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
            refuse(path, f"a file of the index is damaged at torch's {name!r:.60}")
        _, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(header)
        offset = info.header_offset + _LOCAL_HEADER.size + name_bytes + extra_bytes
        found = Stored(path, offset, np.dtype("u1"), (info.file_size,))
        return _checked(found, self._n_bytes - offset)

    def content(self, name: str, n_bytes_max: int) -> bytes:
        """The bytes of a short part."""
        part = self.part(name)
        if part.n_bytes > n_bytes_max:
            refuse(
                self._path, f"a file of the index has a {name} longer than {n_bytes_max:,} bytes"
            )
        return part.read().tobytes()


def _tensor(path: Path, value: object) -> tuple[str, Stored]:
    """The key of a tensor's storage, and where in it the tensor is."""
    match value:
        case Call(
            Name("torch._utils", "_rebuild_tensor_v2"),
            (
                Persistent(("storage", Name("torch", kind), str(key), str(), int())),
                int(first),
                tuple(shape),
                tuple(strides),
                *_,
            ),
        ) if isinstance(kind, str) and kind in _STORAGES:
            dtype: np.dtype[Any] = _STORAGES[kind]
        case _:
            raise ValueError("no tensor, or of a type that no index has")
    if first < 0 or not all(type(n) is int and n >= 0 for n in (*shape, *strides)):
        raise ValueError("a tensor with a negative size")
    expected = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
    if any(n > 1 and a != b for n, a, b in zip(shape, strides, expected, strict=False)) or (
        len(shape) != len(strides)
    ):
        raise ValueError("a tensor that is not contiguous")
    return key, Stored(path, first * dtype.itemsize, dtype, tuple(shape))


def _checked(stored: Stored, n_bytes: int) -> Stored:
    """Refuse an array that is longer than its place in the file."""
    if stored.n_bytes > n_bytes:
        refuse(
            stored.path,
            f"a file of the index is cut off: it has {max(0, n_bytes):,} of {stored.n_bytes:,} "
            "bytes of an array",
        )
    return stored

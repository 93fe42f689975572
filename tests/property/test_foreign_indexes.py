"""Damaged and hostile indexes of other tools: a result, or an error that names the file."""

from __future__ import annotations

import io
import pickle
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from interlace.errors import InputError
from interlace.integrations import open_index
from interlace.integrations.indexes.arrays import npy, torch_tensors
from interlace.integrations.indexes.pickles import parse

GOLDEN = Path(__file__).parents[1] / "golden" / "indexes"

#: Every kind of file that is read, in an index of each format.
READ = [
    *(GOLDEN / "stanford-2" / name for name in (
        "metadata.json", "buckets.pt", "centroids.pt",
        "doclens.1.json", "1.codes.pt", "1.residuals.pt",
    )),
    *(GOLDEN / "fast-plaid-2" / name for name in (
        "metadata.json", "metadata.db", "bucket_weights.npy", "centroids.npy",
        "doclens.2.json", "2.codes.npy", "2.residuals.npy",
    )),
    *(GOLDEN / "fast-plaid-4" / name for name in ("merged_codes.npy", "merged_residuals.npy")),
    GOLDEN / "pylate-4" / "plaid_ids_to_documents_ids.pkl",
]  # fmt: skip
files = pytest.mark.parametrize("path", READ, ids=lambda path: f"{path.parent.name}/{path.name}")


anytime = settings(deadline=None)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Nothing but an InputError may come, and it names the path."""
    try:
        yield
    except InputError as error:
        if str(path) not in str(error):
            raise AssertionError(str(error)) from error


def read_with(path: Path, content: bytes) -> None:
    """Read all of an index in which a file has other bytes."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.parent.name
        shutil.copytree(path.parent, copy)
        (copy / path.name).write_bytes(content)
        with naming(copy):  # a length that is wrong may be noticed in the file of codes
            index = open_index(copy)
            for _, matrix in index.matrices():
                assert matrix.shape[1] == index.dim
            list(index.metadata())


@files
@anytime
@given(data=st.data())
def test_a_truncated_file_is_named(path, data):
    whole = path.read_bytes()
    length = data.draw(st.integers(0, len(whole) - 1))
    if path.suffix == ".db":  # SQLite may have its rows in the pages that are left
        read_with(path, whole[:length])
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.parent.name
        shutil.copytree(path.parent, copy)
        (copy / path.name).write_bytes(whole[:length])
        if path.suffix == ".json" and not whole[length:].strip():
            return  # only its last line feed
        with pytest.raises(InputError) as error:
            open_index(copy)
        assert str(copy / path.name) in str(error.value)


@files
@anytime
@given(data=st.data())
def test_flipped_bytes_give_a_result_or_an_error_that_names_the_index(path, data):
    content = bytearray(path.read_bytes())
    # Headers are where the harm is done, and most bytes are no headers.
    near = st.integers(0, min(300, len(content) - 1))
    far = st.integers(max(0, len(content) - 600), len(content) - 1)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(near | far | st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    read_with(path, bytes(content))


def zipped(program: bytes, storage: bytes = b"\0" * 64) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("x/data.pkl", program)
        archive.writestr("x/data/0", storage)
    return made.getvalue()


with zipfile.ZipFile(GOLDEN / "stanford-2" / "buckets.pt") as archive:
    PROGRAM = archive.read("buckets/data.pkl")


@anytime
@given(
    program=st.binary(max_size=200)
    | st.builds(
        lambda at, some: PROGRAM[:at] + some + PROGRAM[at + len(some) :],
        st.integers(0, len(PROGRAM)),
        st.binary(max_size=8),
    )
)
@example(program=PROGRAM)
def test_any_program_in_a_torch_file_is_tensors_or_refused(program):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.pt"
        path.write_bytes(zipped(program))
        with naming(path):
            for one in torch_tensors(path):
                assert one.read().shape == one.shape


@anytime
@given(st.binary(max_size=400))
def test_any_bytes_are_values_or_a_value_error(content):
    with suppress(ValueError):
        parse(content)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.tuples(inner, inner) | st.dictionaries(st.integers() | st.text(), inner, max_size=5)
    ),
)


@anytime
@given(value=VALUES, protocol=st.integers(2, 5))
def test_plain_values_come_back(value, protocol):
    assert parse(pickle.dumps(value, protocol)) == value


@anytime
@given(header=st.binary(max_size=128) | st.text(max_size=128).map(str.encode))
@example(header=b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 5), }")
@example(header=b"{'descr': '<f4', 'fortran_order': True, 'shape': (2, 5), }")
@example(header=b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"9" * 99 + b",), }")
@example(header=b"(" * 128)
def test_any_header_is_an_array_or_refused(header):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.npy"
        path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
        with naming(path):
            assert isinstance(npy(path).read(), np.ndarray)

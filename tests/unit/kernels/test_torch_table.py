"""Collections searched on a device of PyTorch: the hits of the C++ kernels."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from storing import matrix

import interlace
from interlace import kernels
from interlace.errors import MissingExtra, SettingsError
from interlace.kernels import FreshArrays, Quantised

DIM = 32

#: PyTorch's own CPU device; ``"cpu"`` is the C++ kernels.
DEVICE = "cpu:0"

HALF, FEW = {"year": {"$gte": 2013}}, {"year": 2007}

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is not installed"
)


def grow(notes: interlace.Collection, first: int, last: int) -> None:
    rows, types = zip(*(matrix(i, 3 + i % 40, DIM, 60) for i in range(first, last)), strict=True)
    records = [
        {"id": i, "text": f"note {i}", "metadata": {"year": 2000 + i % 25}}
        for i in range(first, last)
    ]
    notes.add(records, embeddings=list(rows), token_ids=list(types))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection of which half is settled and half is fresh, with some documents deleted."""
    path = tmp_path_factory.mktemp("torch") / "mixed.lace"
    with interlace.create(path, model=None, dim=DIM, settle="manual") as notes:
        grow(notes, 0, 3_000)
        notes.settle()
        grow(notes, 3_000, 6_000)
        notes.delete(range(0, 6_000, 17))
    return path


@needs_torch
@pytest.mark.parametrize(
    ("effort", "n_bytes"),
    [*((one, 1 << 28) for one in ("fast", "balanced", "thorough", "exhaustive")), ("fast", 10**6)],
    ids=["fast", "balanced", "thorough", "exhaustive", "fast in parts"],
)
@pytest.mark.parametrize("where", [None, HALF, FEW], ids=["all", "half", "few"])
def test_the_same_hits_as_the_cpp_kernels(
    mixed: Path, effort: str, where: Any, n_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from interlace.kernels import torch

    monkeypatch.setattr(torch, "_BYTES", n_bytes)
    with interlace.open(mixed) as here, interlace.open(mixed, device=DEVICE) as there:
        for query in (matrix(9_000 + i, 1 + 15 * i, DIM, 60)[0] for i in range(4)):
            expected = here.search(embeddings=query, k=20, effort=effort, where=where)
            hits = there.search(embeddings=query, k=20, effort=effort, where=where)
            assert [hit.id for hit in hits] == [hit.id for hit in expected]
            np.testing.assert_allclose(
                [hit.score for hit in hits], [hit.score for hit in expected], atol=1e-4
            )
            assert len(hits) == 20
            assert hits.proven == expected.proven
            assert hits.proven == (effort == "exhaustive" or where == FEW)


@needs_torch
def test_what_is_written_is_searched(tmp_path: Path) -> None:
    path, query = tmp_path / "notes.lace", matrix(7, 10, DIM, 60)[0]
    with interlace.create(path, model=None, dim=DIM, device=DEVICE, settle="manual") as notes:
        grow(notes, 0, 800)
        for act in (notes.settle, lambda: grow(notes, 800, 900), lambda: notes.delete([7])):
            act()
            hits = notes.search(embeddings=query)
            with interlace.open(path) as other:
                expected = other.search(embeddings=query)
            assert [hit.id for hit in hits] == [hit.id for hit in expected]


@needs_torch
def test_builds_are_the_same_to_the_byte(tmp_path: Path) -> None:
    codes = []
    for device in ("cpu", DEVICE):
        path = tmp_path / device
        with interlace.create(path, model=None, dim=DIM, device=device, settle="manual") as notes:
            grow(notes, 0, 800)
            notes.settle()
        files = sorted(path.glob("codec/*/*"))
        assert files
        codes.append([file.read_bytes() for file in files])
    assert codes[0] == codes[1]


@needs_torch
def test_many_parts_give_what_one_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for a few tokens only, also where one passage has more."""
    from interlace.kernels import torch

    rng = np.random.default_rng(4)
    lengths = [0, 0, 300, 1, 0, 5, 90, 0]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    codes = rng.integers(-127, 128, (sum(lengths), 48), dtype=np.int8)
    fresh = FreshArrays(offsets, codes, rng.random(len(codes), np.float32))
    query = Quantised(codes[:9].copy(), fresh.scales[:9].copy())
    twin, table = kernels.table("reference"), kernels.table("torch:cpu")
    expected = twin.scan(query, [twin.load_fresh(fresh, "fresh")], None)
    floats = codes.astype(np.float32)
    similar = twin.maxsim(floats[:9], floats, offsets)
    for n_bytes in (1, 20_000, 1 << 30):
        monkeypatch.setattr(torch, "_BYTES", n_bytes)
        found = table.scan(query, [table.load_fresh(fresh, "fresh")], None)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_allclose(table.maxsim(floats[:9], floats, offsets), similar, rtol=1e-5)


@needs_torch
def test_sums_beyond_what_float32_holds_are_exact() -> None:
    """Full levels in more dimensions than one float32 sum of products may have."""
    codes = np.full((3, 3_000), 127, np.int8)
    codes[1, 1] = 126
    codes[2] = -127
    ones = np.ones(3, np.float32)
    fresh, query = FreshArrays(np.arange(4), codes, ones), Quantised(codes, ones)
    twin, table = kernels.table("reference"), kernels.table("torch:cpu")
    found = table.similarities(query, [table.load_fresh(fresh, "fresh")], 1)
    expected = twin.similarities(query, [twin.load_fresh(fresh, "fresh")], 1)
    np.testing.assert_array_equal(found, expected)


@needs_torch
def test_arrays_go_to_the_device_once_and_when_they_are_asked_for() -> None:
    table = kernels.table("torch:cpu")
    fresh = FreshArrays(np.array([0, 2]), np.ones((2, 16), np.int8), np.ones(2, np.float32))
    segment = table.load_fresh(fresh, "fresh")
    assert not segment
    query = Quantised(fresh.codes, fresh.scales)
    table.scan(query, [segment], None)
    held = dict(segment)
    assert set(held) == {"codes", "scales"}
    table.scan(query, [segment], None)
    assert all(segment[name] is held[name] for name in held)


@needs_torch
def test_without_a_device_the_best_is_taken() -> None:
    assert kernels.table("torch").name in ("torch:cuda", "torch:mps", "torch:cpu")


@needs_torch
@pytest.mark.parametrize("device", ["cuda:99", "gpu", "meta"])
def test_a_device_that_is_not_here(tmp_path: Path, device: str) -> None:
    path = tmp_path / "notes.lace"
    with pytest.raises(SettingsError, match=f"cannot use the device: '{device}'.*Choose from"):
        interlace.create(path, model=None, dim=DIM, device=device)
    assert not path.exists()


def test_without_torch_the_extra_is_named(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"interlace\[torch\]"):
        interlace.create(tmp_path / "notes.lace", model=None, dim=DIM, device="cuda:98")
    assert not (tmp_path / "notes.lace").exists()

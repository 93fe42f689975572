"""Collections searched on devices of PyTorch and MLX: the hits of the C++ kernels."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from storing import matrix

import interlace
from interlace import kernels
from interlace.errors import MissingExtra, SettingsError
from interlace.kernels import FreshArrays, Kernels, Quantised

DIM = 32

#: Library -> its own CPU device, and the name of its table; ``"cpu"`` is the C++ kernels.
DEVICES = {"torch": ("cpu:0", "torch:cpu"), "mlx": ("mlx:cpu", "mlx:cpu")}

HALF, FEW = {"year": {"$gte": 2050}}, {"year": 2007}


@pytest.fixture(params=DEVICES)
def library(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


@pytest.fixture
def device(library: str) -> str:
    return DEVICES[library][0]


@pytest.fixture
def table(library: str) -> Kernels:
    return kernels.table(DEVICES[library][1])


def grow(notes: interlace.Collection, first: int, last: int) -> None:
    rows, types = zip(*(matrix(i, 3 + i % 40, DIM, 60) for i in range(first, last)), strict=True)
    records = [
        {"id": i, "text": f"note {i}", "metadata": {"year": 2000 + i % 100}}
        for i in range(first, last)
    ]
    notes.add(records, embeddings=list(rows), token_ids=list(types))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection of which half is settled and half is fresh, with some documents deleted."""
    path = tmp_path_factory.mktemp("device") / "mixed.lace"
    with interlace.create(path, model=None, dim=DIM, settle="manual") as notes:
        grow(notes, 0, 3_000)
        notes.settle()
        grow(notes, 3_000, 6_000)
        notes.delete(range(0, 6_000, 17))
    return path


@pytest.mark.parametrize(
    ("effort", "n_bytes"),
    [*((one, 1 << 28) for one in ("fast", "balanced", "thorough", "exhaustive")), ("fast", 10**6)],
    ids=["fast", "balanced", "thorough", "exhaustive", "fast in parts"],
)
@pytest.mark.parametrize("where", [None, HALF, FEW], ids=["all", "half", "few"])
def test_the_same_hits_as_the_cpp_kernels(
    mixed: Path,
    device: str,
    effort: str,
    where: Any,
    n_bytes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from interlace.kernels import device as seam

    monkeypatch.setattr(seam, "_BYTES", n_bytes)
    with interlace.open(mixed) as here, interlace.open(mixed, device=device) as there:
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


def test_what_is_written_is_searched(tmp_path: Path, device: str) -> None:
    path, query = tmp_path / "notes.lace", matrix(7, 10, DIM, 60)[0]
    with interlace.create(path, model=None, dim=DIM, device=device, settle="manual") as notes:
        grow(notes, 0, 800)
        for act in (notes.settle, lambda: grow(notes, 800, 900), lambda: notes.delete([7])):
            act()
            hits = notes.search(embeddings=query)
            with interlace.open(path) as other:
                expected = other.search(embeddings=query)
            assert [hit.id for hit in hits] == [hit.id for hit in expected]


def test_builds_are_the_same_to_the_byte(tmp_path: Path, device: str) -> None:
    codes = []
    for one in ("cpu", device):
        path = tmp_path / one.replace(":", "-")
        with interlace.create(path, model=None, dim=DIM, device=one, settle="manual") as notes:
            grow(notes, 0, 800)
            notes.settle()
        files = sorted(path.glob("codec/*/*"))
        assert files
        codes.append([file.read_bytes() for file in files])
    assert codes[0] == codes[1]


def test_many_parts_give_what_one_gives(table: Kernels, monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for a few tokens only, also where one passage has more."""
    from interlace.kernels import device as seam

    rng = np.random.default_rng(4)
    lengths = [0, 0, 300, 1, 0, 5, 90, 0]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    codes = rng.integers(-127, 128, (sum(lengths), 48), dtype=np.int8)
    fresh = FreshArrays(offsets, codes, rng.random(len(codes), np.float32))
    query = Quantised(codes[:9].copy(), fresh.scales[:9].copy())
    twin = kernels.table("reference")
    expected = twin.scan(query, [twin.load_fresh(fresh, "fresh")], None)
    floats = codes.astype(np.float32)
    similar = twin.maxsim(floats[:9], floats, offsets)
    for n_bytes in (1, 20_000, 1 << 30):
        monkeypatch.setattr(seam, "_BYTES", n_bytes)
        found = table.scan(query, [table.load_fresh(fresh, "fresh")], None)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_allclose(table.maxsim(floats[:9], floats, offsets), similar, rtol=1e-5)


def test_sums_beyond_what_float32_holds_are_exact(table: Kernels) -> None:
    """Full levels in more dimensions than one float32 sum of products may have."""
    codes = np.full((3, 3_000), 127, np.int8)
    codes[1, 1] = 126
    codes[2] = -127
    ones = np.ones(3, np.float32)
    fresh, query = FreshArrays(np.arange(4), codes, ones), Quantised(codes, ones)
    twin = kernels.table("reference")
    found = table.similarities(query, [table.load_fresh(fresh, "fresh")], 1)
    expected = twin.similarities(query, [twin.load_fresh(fresh, "fresh")], 1)
    np.testing.assert_array_equal(found, expected)


def test_arrays_go_to_the_device_once_and_when_they_are_asked_for(table: Kernels) -> None:
    fresh = FreshArrays(np.array([0, 2]), np.ones((2, 16), np.int8), np.ones(2, np.float32))
    segment = table.load_fresh(fresh, "fresh")
    assert not segment
    query = Quantised(fresh.codes, fresh.scales)
    table.scan(query, [segment], None)
    held = dict(segment)
    assert set(held) == {"codes", "scales"}
    table.scan(query, [segment], None)
    assert all(segment[name] is held[name] for name in held)


def test_without_a_device_the_best_is_taken(library: str) -> None:
    assert kernels.table(library).name in [
        f"{library}:{device}" for device in ("cuda", "mps", "gpu", "cpu")
    ]


@pytest.mark.parametrize(
    ("library", "device"),
    [("torch", "cuda:99"), ("torch", "gpu"), ("torch", "meta"), ("mlx", "mlx:cuda")],
)
def test_a_device_that_is_not_here(tmp_path: Path, library: str, device: str) -> None:
    pytest.importorskip(library)
    path, told = tmp_path / "notes.lace", device.removeprefix("mlx:")
    with pytest.raises(SettingsError, match=f"cannot use the device: '{told}'.*Choose from"):
        interlace.create(path, model=None, dim=DIM, device=device)
    assert not path.exists()


@pytest.mark.parametrize(
    ("module", "device"), [("torch", "cuda:98"), ("mlx.core", "mlx:")], ids=["torch", "mlx"]
)
def test_without_the_library_the_extra_is_named(
    tmp_path: Path, module: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=rf"interlace\[{module.partition('.')[0]}\]"):
        interlace.create(tmp_path / "notes.lace", model=None, dim=DIM, device=device)
    assert not (tmp_path / "notes.lace").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork")
def test_mlx_in_a_forked_process_is_refused(mixed: Path) -> None:
    pytest.importorskip("mlx.core")
    query = matrix(1, 3, DIM, 60)[0]
    with interlace.open(mixed, device="mlx") as notes:
        assert notes.search(embeddings=query)
        child = os.fork()
        if child == 0:
            try:
                notes.search(embeddings=query)
            except SettingsError as refused:
                os._exit(7 if "fork" in str(refused) else 1)
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7

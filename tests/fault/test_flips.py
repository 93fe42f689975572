"""Random damage in every array of every kind of file: nothing crashes, and nothing is overlooked.

``INTERLACE_SEED`` repeats a run, ``INTERLACE_FLIPS`` says how much damage is done to each file.
``make fault-asan`` runs this file with kernels that the address sanitizer watches.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import storing
from storing import add, fill, record

from interlace import codec, files, kernels, store
from interlace.errors import Corrupt
from interlace.store.search import Effort

SEED = int(os.environ.get("INTERLACE_SEED") or random.randrange(2**31))
N_FLIPS = int(os.environ.get("INTERLACE_FLIPS") or 2)
N_SEARCHES = 20

EXTREMES: dict[str, list[Any]] = {
    "i": [0, 1, -1, -(2**62), 2**62, 2**31, 2**32, 65_535, 65_536],
    "u": [0, 1, 255, 65_535, 2**31, 2**32 - 1],
    "f": [np.nan, np.inf, -np.inf, -1.0, 0.0, 3e38, -3e38, 1e-42, 1e6],
}

EFFORTS = {  # so that a few dozen passages go through all five stages
    "fast": Effort(groups=1, cells=1, leaves=1, candidates=4, scored=1, spread=10),
    "balanced": Effort(groups=2, cells=3, leaves=7, candidates=16, scored=4, spread=20),
    "thorough": Effort(groups=9, cells=50, leaves=90, candidates=40, scored=10, spread=40),
    "exhaustive": None,
}


# --- collections to damage -----------------------------------------------------------------------
def typed(path: Path) -> None:
    """Two settled segments, a codec that has grown, fresh segments, tombstones in all."""
    with store.create(path, storing.settings(), settle="manual") as opened:
        fill(opened, 0, 40, n_passages=2)
        opened.settle()
        fill(opened, 40, 90)
        fill(opened, 90, 95, typed=False, n_tokens=0)
        opened.settle()
        fill(opened, 100, 110, n_passages=3)
        fill(opened, 110, 120, typed=False)
        with opened.write() as writer:
            writer.delete([3, 44, 104])


def untyped(path: Path) -> None:
    """Embeddings without token ids, of an odd width, at one bit."""
    settings = storing.settings(dim=13, codec="residual1")
    with store.create(path, settings, settle="manual") as opened:
        fill(opened, 0, 60, typed=False, dim=13, n_tokens=17)
        opened.settle()
        fill(opened, 60, 70, typed=False, dim=13)


def large(path: Path) -> None:
    """More passages than a walk has accumulators, so that lists are read in parts, and lead far."""
    with store.create(path, storing.settings(codec="residual2"), settle="manual") as opened:
        big = record("big", text="x" * 66_000, n_passages=66_000, n_tokens=1)
        add(opened, big, *(record(i) for i in range(50)))
        opened.settle()


@pytest.fixture(scope="module")
def good(tmp_path_factory, request) -> Path:
    path = tmp_path_factory.mktemp("good") / "notes.lace"
    request.param(path)
    return path


@pytest.fixture(params=["native", "reference"])
def table(request, monkeypatch) -> str:
    """The kernel table that stores use here."""
    name = kernels.available()[0] if request.param == "native" else "reference"
    if request.param == "native" and name == "reference":
        pytest.skip("the C++ kernels are not built")
    chosen = kernels.table(name)
    monkeypatch.setattr(kernels, "table", lambda name=None: chosen)
    monkeypatch.setattr(sys.modules["interlace.store.search"], "EFFORTS", EFFORTS)
    return name


# --- damage --------------------------------------------------------------------------------------
def spans(name: str, content: bytes) -> dict[str, tuple[int, int, np.dtype]]:
    """Where each array of a file lies, and its dtype; ``header`` is what comes before them."""
    array, _, kind = Path(name).name.partition(".")
    if kind == "codec":
        return {array: (0, len(content), np.dtype(codec.DTYPES[array]))}
    length = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:length])
    header.pop("__metadata__")
    found = {"header": (0, length, np.dtype("u1"))}
    for name, layout in header.items():
        start, end = layout["data_offsets"]
        if start < end:
            found[name] = (length + start, length + end, files._DTYPES[layout["dtype"]])
    return found


def damaged(file: str, content: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Other bytes for a file, and what was done to it."""
    name, (start, end, dtype) = rng.choice(sorted(spans(file, content).items()))
    flat = np.frombuffer(bytearray(content[start:end]), dtype).copy()
    at = rng.randrange(len(flat))
    kind = rng.choice(["flip", "flip", "extreme", "run", "swap"])
    if kind == "flip":
        raw = flat.view(np.uint8)
        raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
    elif kind == "extreme":
        value = rng.choice(EXTREMES[dtype.kind])
        with np.errstate(over="ignore"):
            flat[at] = np.array(value).astype(dtype)
    elif kind == "run":
        raw = flat.view(np.uint8)
        first = rng.randrange(len(raw))
        raw[first : first + 64] = list(rng.randbytes(len(raw[first : first + 64])))
    else:
        other = rng.randrange(len(flat))
        flat[[at, other]] = flat[[other, at]]
    return content[:start] + flat.tobytes() + content[end:], f"{kind} in {name} at {at}"


def damages(good: Path, tmp_path: Path, salt: str) -> Iterator[tuple[Path, Path, str]]:
    """Copies of a collection, each with one damaged file: folder, file, what was done."""
    for kind in storing.listing(good):
        content = (good / kind).read_bytes()
        for i in range(N_FLIPS):
            rng = random.Random(f"{SEED} {salt} {Path(kind).suffix} {i}")
            other, what = damaged(kind, content, rng)
            if other == content:
                continue
            folder = tmp_path / "damaged.lace"
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(good, folder)
            (folder / kind).write_bytes(other)
            yield folder, folder / kind, f"INTERLACE_SEED={SEED}: {Path(kind).suffix} {i}: {what}"


@contextmanager
def corrupt_or_fine(what: str) -> Iterator[None]:
    """Damage may be met, and then is ``Corrupt``; anything else is a fault of ours."""
    try:
        yield
    except Corrupt:
        pass
    except BaseException as error:
        error.add_note(what)
        raise


# --- what is done with it ------------------------------------------------------------------------
def search_all(opened: store.Store, rng: np.random.Generator, what: str) -> None:
    snapshot = opened.snapshot()
    n_rows, dim = snapshot.n_rows, opened.settings.dim
    thin = np.zeros(n_rows, bool)
    thin[rng.integers(0, n_rows, 4)] = True
    half = rng.random(n_rows) < 0.5
    alive = np.ones(n_rows, bool)
    if snapshot.alive is not None:
        alive = np.unpackbits(snapshot.alive, count=n_rows, bitorder="little").astype(bool)
    every = list(
        itertools.product((1, 5, 37), EFFORTS, ("document", "passage"), (None, thin, half))
    )
    for at in rng.permutation(len(every))[:N_SEARCHES].tolist():
        n_tokens, effort, by, rows = every[at]
        matrix = storing.matrix(at, n_tokens, dim)[0]
        bitmap = None if rows is None else np.packbits(rows, bitorder="little")
        allowed = alive if rows is None else alive & rows
        owners = np.asarray(snapshot.document_of_row)[allowed]
        for k in (1, 6, n_rows):
            with corrupt_or_fine(f"{what}: {effort} {by} {k} {n_tokens}"):
                found = store.search(
                    snapshot, matrix, k, effort=effort, by=by, allowed=bitmap, n_threads=2
                )
                n = len(owners)
                # Damaged owners may be more than there are documents; where a document is one
                # passage, they are not read.
                if by == "document" and snapshot.n_documents < n_rows:
                    n = min(len(np.unique(owners)), snapshot.n_documents)
                assert len(set(found.rows.tolist())) == len(found.rows) == min(k, n)
                assert allowed[found.rows].all()
                assert np.isfinite(found.scores).all()
                snapshot.passages(found.rows)


def read_all(opened: store.Store, rng: np.random.Generator, what: str) -> None:
    snapshot = opened.snapshot()
    rows = rng.integers(0, snapshot.n_rows, 100) if snapshot.n_rows > 200 else None
    matrix = storing.matrix(1, 9, opened.settings.dim)[0]
    query = snapshot.kernels.quantise(matrix, snapshot.signs)
    for row in range(snapshot.n_rows) if rows is None else rows.tolist():
        with corrupt_or_fine(f"{what}: row {row}"):
            embeddings = snapshot.embeddings(row)
            assert np.isfinite(embeddings).all()
            snapshot.kernels.similarities(query, snapshot.segments, row)
    with corrupt_or_fine(what):
        snapshot.find(list(range(0, 120, 7)))
        snapshot.row_of(5, 0)


def exercise(folder: Path, file: Path, what: str) -> None:
    """Open, search, read, merge; and ``verify`` names the file before and after."""
    rng = np.random.default_rng(1)
    with corrupt_or_fine(what), store.open(folder, settle="manual") as opened:
        search_all(opened, rng, what)
        read_all(opened, rng, what)
        for change in (opened.settle, opened.compact):
            with corrupt_or_fine(what):
                change()
        with corrupt_or_fine(what), opened.write() as writer:
            writer.delete([5, 50, 61, 105])
            writer.add(*record(999, dim=opened.settings.dim))
        with corrupt_or_fine(what):
            search_all(opened, rng, what)
    report = store.verify_folder(folder)
    assert str(file) in report.damaged, (what, report)
    assert any(str(file) in problem for problem in report.problems), (what, report)


# --- tests ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("good", [typed, untyped], indirect=True)
def test_verify_finds_every_flip(good, tmp_path):
    assert store.verify_folder(good).ok
    for folder, file, what in damages(good, tmp_path, "verify"):
        report = store.verify_folder(folder)
        assert report.damaged == (str(file),), (what, report)
        assert all(str(file) in problem for problem in report.problems), (what, report)


@pytest.mark.parametrize("good", [typed, untyped], indirect=True)
def test_damage_is_never_more_than_corrupt(good, tmp_path, table):
    for folder, file, what in damages(good, tmp_path, "use"):
        exercise(folder, file, f"{what}, {table}")


@pytest.mark.slow
@pytest.mark.parametrize("good", [large], indirect=True)
def test_damage_where_lists_are_read_in_parts(good, tmp_path, table):
    if table == "reference":
        pytest.skip("takes minutes")
    for folder, file, what in damages(good, tmp_path, "large"):
        exercise(folder, file, f"{what}, {table}")

"""Memory: faults that users met elsewhere (cases.md, kind "mem")."""

from __future__ import annotations

import gc
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import interlace
from interlace.collection import collection


def small(n: int, dim: int = 16):
    """Matrices of two tokens, one at a time."""
    rng = np.random.default_rng(5)
    return (rng.standard_normal((2, dim)).astype(np.float32) for _ in range(n))


def test_c67_a_generator_is_never_turned_into_a_list(tmp_path, monkeypatch):
    """What was taken from the stream and is not stored yet stays within a batch."""
    batch_bytes = 4_096
    real = collection.batches
    monkeypatch.setattr(collection, "batches", lambda stream: real(stream, n_bytes_max=batch_bytes))
    taken, stored, most = 0, 0, 0

    def records():
        nonlocal taken, most
        for i in range(2_000):
            taken += 1
            most = max(most, taken - stored)
            yield {"id": i}

    def progress(stage, done, total):
        nonlocal stored
        if stage == "store":
            stored = done
            assert total is None

    with interlace.create(tmp_path / "x.lace", model=None, dim=16) as notes:
        report = notes.add(records(), embeddings=small(2_000), progress=progress)
        assert report.added == stored == len(notes) == 2_000
    assert most <= batch_bytes // (2 * 16 * 4) + 1


@pytest.mark.slow
def test_c67_a_hundred_thousand_documents_in_two_gigabytes(tmp_path):
    code = f"""if True:
        import resource, numpy, interlace
        rng = numpy.random.default_rng(0)
        n = 100_000
        matrices = (rng.standard_normal((20, 64)).astype("f4") for _ in range(n))
        with interlace.create({str(tmp_path / "x.lace")!r}, model=None, dim=64) as notes:
            notes.add(({{"id": i, "text": "x" * 200}} for i in range(n)), embeddings=matrices)
            assert len(notes) == n
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        assert peak < 2 * 2**30, peak
    """
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_c68_a_sample_of_more_than_seventeen_million_values(tmp_path):
    rng = np.random.default_rng(0)
    given = [rng.standard_normal((320, 128)).astype(np.float32) for _ in range(420)]
    with interlace.create(tmp_path / "x.lace", model=None, dim=128) as notes:
        notes.add([{"id": i} for i in range(420)], embeddings=given)
        notes.settle()
        assert notes.search(embeddings=given[7][:32], k=1)[0].id == 7


def test_c71_many_small_adds_keep_memory_level(tmp_path):
    with interlace.create(tmp_path / "x.lace", model=None, dim=16) as notes:

        def add(first: int) -> None:
            records = [{"id": i, "text": "x" * 100} for i in range(first, first + 50)]
            notes.add(records, embeddings=list(small(50)))

        for i in range(10):
            add(i * 50)
        tracemalloc.start()
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        for i in range(10, 40):
            add(i * 50)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(notes) == 2_000
    # 1,500 documents of 300 bytes of vectors and rows; a leak of a commit's buffers would be more.
    assert after - before < 1_000_000


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
def test_c70_memory_after_opening_is_far_below_the_size_on_disk(tmp_path):
    """300 MB of codes: mapped, not read; searches hold on to nothing."""
    path = tmp_path / "x.lace"
    code = f"""if True:
        import numpy, interlace
        rng = numpy.random.default_rng(0)
        with interlace.create({str(path)!r}, model=None, dim=128, settle="manual") as notes:
            for part in range(4):
                given = (rng.standard_normal((200, 128)).astype("f4") for _ in range(2_800))
                notes.add(({{"id": 2_800 * part + i}} for i in range(2_800)), embeddings=given)
    """
    subprocess.run([sys.executable, "-c", code], check=True)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    assert size > 280_000_000
    code = f"""if True:
        import numpy, interlace, interlace.collection
        def own():
            lines = open("/proc/self/status").read().splitlines()
            return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))
        before = own()
        notes = interlace.open({str(path)!r})
        print(own() - before)
        query = numpy.random.default_rng(1).standard_normal((8, 128))
        for n in range(20):
            notes.search(embeddings=query)
            if n in (4, 19):
                print(own() - before)
    """
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    opened, early, late = map(int, ran.stdout.split())
    assert opened < size / 10
    assert late < size / 4
    assert late - early < 5_000_000


def test_c70_searching_does_not_grow_memory(tmp_path):
    with interlace.create(tmp_path / "x.lace", model=None, dim=16) as notes:
        notes.add([{"id": i} for i in range(500)], embeddings=small(500))
        query = np.eye(16, dtype=np.float32)[:4]
        notes.search(embeddings=query)
        tracemalloc.start()
        for _ in range(5):
            notes.search(embeddings=query)
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(100):
            notes.search(embeddings=query)
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert after - before < 50_000

"""Readers and a writer for minutes: no wrong result, and nothing that grows without end."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "fault")]

import checking  # noqa: E402 (found there)
import steps  # noqa: E402
import storing  # noqa: E402

from interlace import store  # noqa: E402
from interlace.store.database import FILE_NAME  # noqa: E402

N_DOCUMENTS = 400
N_THREADS, N_PROCESSES = 2, 2


def version_of(id_: int, number: int) -> steps.Version:
    """A document that says which it is: the pair that a commit changes has one number."""
    return steps.Version(number, 1 + id_ % 2, 7, {"number": number})


def write(opened: store.Store, rng: random.Random, number: int) -> None:
    """Replace a document and its pair in one commit, and now and then all else there is."""
    with opened.write() as writer:
        for id_ in {rng.randrange(N_DOCUMENTS // 2) for _ in range(3)}:
            for one in (2 * id_, 2 * id_ + 1):
                writer.add(*version_of(one, number).record(one))
        if number % 3 == 0:
            writer.update_metadata(0, {"number": number})
            writer.update_metadata(1, {"number": number})
    if number % 97 == 0:
        opened.settle()
    if number % 211 == 0:
        opened.compact()


def read(opened: store.Store, rng: random.Random) -> None:
    """Look at the newest commit: pairs agree, every search finds what is there, k means k."""
    opened.refresh()
    snapshot = opened.snapshot()
    assert snapshot.n_documents == N_DOCUMENTS, snapshot.n_documents
    pair = 2 * rng.randrange(N_DOCUMENTS // 2)
    for first in (0, pair):
        documents = snapshot.documents([first, first + 1])
        numbers = {one.metadata["number"] for one in documents.values()}
        assert len(documents) == 2, (snapshot.number, list(documents))
        assert len(numbers) == 1, (snapshot.number, numbers)
    row = int(snapshot.rows_of([pair])[0])
    matrix = snapshot.embeddings(row)
    for effort in ("balanced", "exhaustive"):
        found = store.search(snapshot, matrix, 5, effort=effort)
        assert len(found.rows) == 5
        passages = snapshot.passages(found.rows)
        assert len({one.id for one in passages}) == 5
        assert passages[0].id == pair, (effort, [one.id for one in passages], pair)


class Held(NamedTuple):
    """What a process and a folder hold."""

    rss: int
    files: int
    log: int
    disk: int


def held(folder: Path) -> Held:
    """Of this process, and of the folder."""
    rss = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    log = folder / (FILE_NAME + "-wal")
    n_files = sum(1 for _ in Path("/proc/self/fd").iterdir())
    return Held(rss, n_files, log.stat().st_size if log.exists() else 0, checking.size_of(folder))


def bounds(first: Held) -> Held:
    """What may be held in the end: not more than once after warming up, with room for moments."""
    return Held(
        first.rss + 48 * 2**20,
        first.files + 60,
        max(2 * first.log, 24 * 2**20),
        3 * first.disk + 32 * 2**20,
    )


def refuse_growth(who: str, first: Held, last: Held) -> None:
    """Refuse what has grown beyond its bound."""
    for name, limit, value in zip(Held._fields, bounds(first), last, strict=True):
        assert value <= limit, f"{who}: {name} grew from {getattr(first, name):,} to {value:,}"


def reader(folder: str, seed: int, seconds: float) -> None:
    """Read until the time is over, in this process; what was held goes out."""
    rng, deadline, n = random.Random(seed), time.monotonic() + seconds, 0
    warm = time.monotonic() + seconds / 4
    first = None
    with store.open(folder, n_threads=1) as opened:
        while time.monotonic() < deadline:
            read(opened, rng)
            n += 1
            if first is None and time.monotonic() > warm:
                first = held(Path(folder))
        refuse_growth("a reading process", first or held(Path(folder)), held(Path(folder)))
    print(json.dumps(n), flush=True)


def run(seed: int, *, seconds: float) -> Counter[str]:
    """Write in this thread while threads and processes read; how often each was done."""
    rng, outcomes, problems = random.Random(seed), Counter(), []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "notes.lace"
        settings = storing.settings(first_budget_tokens=3_000, fresh_budget_tokens=800)
        opened = store.create(folder, settings, n_threads=1)
        with opened.write() as writer:
            for id_ in range(N_DOCUMENTS):
                writer.add(*version_of(id_, 0).record(id_))
        over = threading.Event()

        def keep_reading(number: int, of: store.Store) -> None:
            mine = random.Random(seed + number)
            try:
                while not over.is_set():
                    read(of, mine)
                    outcomes["reads of threads"] += 1
            except BaseException as error:
                problems.append(error)

        other = store.open(folder, n_threads=1)
        threads: list[Any] = [
            threading.Thread(target=keep_reading, args=(i, of))
            for i, of in enumerate([opened, other][:N_THREADS])
        ]
        command = [sys.executable, __file__, str(folder)]
        processes = [
            subprocess.Popen(
                [*command, str(seed + 100 + i), str(seconds)], stdout=subprocess.PIPE, text=True
            )
            for i in range(N_PROCESSES)
        ]
        for thread in threads:
            thread.start()
        deadline, warm, first = time.monotonic() + seconds, time.monotonic() + seconds / 4, None
        try:
            while time.monotonic() < deadline and not problems:
                outcomes["commits"] += 1
                write(opened, rng, outcomes["commits"])
                if first is None and time.monotonic() > warm:
                    first = held(folder)
        finally:
            over.set()
            for thread in threads:
                thread.join()
            said = [process.communicate()[0] for process in processes]
        if problems:
            raise problems[0]
        refuse_growth("the writing process", first or held(folder), held(folder))
        assert all(process.returncode == 0 for process in processes), f"seed {seed}"
        outcomes["reads of processes"] = sum(map(json.loads, said))
        assert opened.verify().ok
        other.close()
        for number in (1, 2):
            write(opened, rng, outcomes["commits"] + number)
        opened._catalog._rows("SELECT 1")
        checking.nothing_left_over(opened)
        opened.close()
        assert not (folder / (FILE_NAME + "-wal")).exists()
    return outcomes


if __name__ == "__main__":
    reader(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))

"""One collection and many that use it: threads, forks, pools of processes, event loops."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

import interlace
from interlace.errors import InputError, SettingsError
from interlace.store import Snapshot

ANIMALS = ["otter", "heron", "badger", "lynx", "viper", "salmon", "beetle", "falcon"]

METHODS = [
    pytest.param(
        method,
        marks=[
            pytest.mark.skipif(
                method not in multiprocessing.get_all_start_methods(), reason="not on this system"
            ),
            # Python warns of forks in processes with threads; servers fork all the same.
            pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),
        ],
    )
    for method in ("fork", "spawn", "forkserver")
]


def documents(name: str, n: int) -> list[dict[str, str]]:
    return [
        {"id": f"{name}{i}", "text": f"The {ANIMALS[i % 8]} of {name} sleeps in house {i}."}
        for i in range(n)
    ]


@pytest.fixture
def filled(notes) -> interlace.Collection:
    notes.add(documents("north", 40))
    return notes


@pytest.fixture
def other(filled, encoder) -> Iterator[interlace.Collection]:
    """A second handle on the same folder."""
    with interlace.open(filled.path, encoder) as opened:
        yield opened


# --- one handle, several processes ---------------------------------------------------------------
shared: interlace.Collection
"""What a worker of a pool uses: of its parent after a fork, opened by itself otherwise."""


def start_worker(path: Path | None) -> None:
    global shared
    if path is not None:
        shared = interlace.open(path, lock_wait_seconds=120)


def work(number: int) -> list[str]:
    """Search, add, search for what was added: as a request does in a server's worker."""
    shared.search("where does the otter sleep", k=3)
    name = f"worker{number}x"
    shared.add(documents(name, 3))
    shared.delete([f"{name}2"])
    (hit,) = shared.search(f"The heron of {name} sleeps in house 1.", k=1, ids=[f"{name}1"])
    assert shared.get([f"{name}2"], missing="ignore") == []
    return [str(hit.id), hit.text]


@pytest.mark.parametrize("method", METHODS)
def test_a_pool_of_processes_reads_and_writes(filled, method):
    """With fork, workers go on with the parent's collection, its loaded model included."""
    global shared
    shared = filled
    filled.search_many(["an otter", "a lynx"])  # the model is loaded, its threads have run
    path = None if method == "fork" else filled.path
    with ProcessPoolExecutor(
        2, multiprocessing.get_context(method), start_worker, (path,)
    ) as workers:
        found = list(workers.map(work, range(6)))
    assert found == [
        [f"worker{i}x1", f"The heron of worker{i}x sleeps in house 1."] for i in range(6)
    ]
    assert len(filled) == 40 + 6 * 2
    assert filled.verify().ok


# --- one handle, several threads -----------------------------------------------------------------
def run_all(work: list[Callable[[], None]]) -> None:
    """Run functions at once; raise what one of them raises."""
    raised: list[BaseException] = []

    def guarded(one: Callable[[], None]) -> None:
        try:
            one()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=guarded, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]


def test_threads_search_while_threads_write(filled, other):
    """Each search sees one commit whole: a pair that is always replaced together is equal."""
    with filled.writer() as changes:
        changes.add([{"id": "left", "text": "round 0"}, {"id": "right", "text": "round 0"}])
    done = threading.Event()

    def write() -> None:
        try:
            for i in range(1, 25):
                with filled.writer() as changes:
                    changes.delete(["left"])
                    changes.add([{"id": "right", "text": f"round {i}"}])
                    changes.add([{"id": "left", "text": f"round {i}"}])
        finally:
            done.set()

    def read(notes: interlace.Collection) -> Callable[[], None]:
        def go() -> None:
            seen = 0
            while not done.is_set() or not seen:
                hits = notes.search("round", k=2, ids=["left", "right"])
                assert len(hits) == 2
                assert hits[0].text == hits[1].text
                left, right = notes.get(["left", "right"])
                assert left.text == right.text
                seen += 1

        return go

    def add(name: str) -> Callable[[], None]:
        return lambda: [filled.add([one]) for one in documents(name, 12)] and None

    run_all([write, read(filled), read(filled), read(other), add("east"), add("west")])
    assert len(filled) == len(other) == 40 + 2 + 24
    assert filled.verify().ok


def test_threads_that_add_the_same_ids_leave_one_of_each(filled):
    run_all([lambda: filled.add(documents("south", 20)) and None] * 6)
    assert len(filled) == 60


# --- encoding needs no lock ----------------------------------------------------------------------
class Meeting:
    """Lets something happen in the middle of the encoding of a first document."""

    def __init__(self, monkeypatch, happens: Callable[[], object]) -> None:
        prepare, self.happened = Snapshot.prepare, False

        def meets(snapshot, id_, encoded):
            if not self.happened:
                self.happened = True
                happens()
            return prepare(snapshot, id_, encoded)

        monkeypatch.setattr(Snapshot, "prepare", meets)


def test_others_write_while_this_one_encodes(filled, other, tmp_path, monkeypatch):
    with interlace.open(filled.path, lock_wait_seconds=0) as impatient:
        meeting = Meeting(monkeypatch, lambda: impatient.delete(["north0"]))
        other.add(documents("south", 5))
        assert meeting.happened
        folder = tmp_path / "docs"
        folder.mkdir()
        (folder / "a.txt").write_text("A walrus rests on the ice.")
        meeting = Meeting(monkeypatch, lambda: impatient.delete(["north1"]))
        other.index(folder)
        assert meeting.happened
        assert len(other) == 40 - 2 + 5 + 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interruption_leaves_no_thread(tmp_path, error):
    def progress(stage, done, total):
        raise error

    folder = tmp_path / "docs"
    folder.mkdir()
    for i in range(8):
        (folder / f"{i}.txt").write_text(f"Ship {i} sails to the harbour.")
    two = interlace.Encoder.load("mini", n_threads=2)
    with interlace.create(tmp_path / "x.lace", model=two) as notes:
        # Tracebacks are kept, as a notebook keeps them.
        with pytest.raises(error) as by_index:
            notes.index(folder, progress=progress)
        with pytest.raises(error) as by_add:
            notes.add([f"ship {i}" for i in range(8)], progress=progress)
        assert by_index.tb is not by_add.tb
        assert not [one for one in threading.enumerate() if one.name.startswith("interlace")]
        assert len(notes) == 0


@pytest.mark.parametrize("on_conflict", ["replace", "skip", "error"])
def test_the_same_id_added_by_another_meanwhile(filled, other, monkeypatch, on_conflict):
    mine, theirs = "An eel hides in the reeds.", "A heron waits by the water."
    Meeting(monkeypatch, lambda: filled.add([{"id": "new", "text": theirs}]))
    if on_conflict == "error":
        with pytest.raises(InputError, match="'new' is in the collection already: document 0"):
            other.add([{"id": "new", "text": mine}], on_conflict=on_conflict)
    else:
        report = other.add([{"id": "new", "text": mine}], on_conflict=on_conflict)
        assert (report.replaced, report.left_out) == (
            on_conflict == "replace",
            on_conflict != "replace",
        )
    kept = mine if on_conflict == "replace" else theirs
    assert other.get(["new"])[0].text == kept
    assert filled.search(kept, k=1)[0].text == kept


def test_the_same_text_added_by_another_meanwhile_is_not_stored_twice(filled, other, monkeypatch):
    one = {"id": "new", "text": "An eel hides in the reeds."}
    Meeting(monkeypatch, lambda: filled.add([one]))
    report = other.add([one])
    assert (report.added, report.replaced, report.unchanged) == (0, 0, 1)
    assert other.info()["n_passages"] == 41


def test_a_document_deleted_by_another_meanwhile_comes_back(filled, other, monkeypatch):
    """It was unchanged, so nothing was encoded ahead; now it has to be."""
    same = documents("north", 2)
    Meeting(monkeypatch, lambda: filled.delete(["north1"]))
    report = other.add([{"id": "new", "text": "An eel hides in the reeds."}, *same])
    assert (report.added, report.unchanged) == (2, 1)
    assert other.search(same[1]["text"], k=1)[0].id == "north1"


def test_a_rebuild_by_another_meanwhile(filled, other, monkeypatch):
    """What was cut and encoded for the collection as it was does not fit any more."""
    Meeting(monkeypatch, lambda: filled.rebuild(passage_tokens=20))
    long = " ".join(f"House {i} is where the otter sleeps." for i in range(20))
    report = other.add([{"id": "long", "text": long}])
    assert report.n_passages > 5
    assert other.info()["passage_tokens"] == 20
    assert other.verify().ok


# --- seeing what others commit -------------------------------------------------------------------
def test_reads_see_the_commits_of_others(filled, other):
    assert len(other) == 40
    filled.add([{"id": "new", "text": "A walrus rests on the ice.", "metadata": {"a": 1}}])
    assert len(other) == 41
    (hit,) = other.search("walrus on ice", k=1)
    assert hit.id == "new"
    assert "new" in other
    filled.update_metadata("new", {"a": 2})
    assert other.get(["new"])[0].metadata == {"a": 2}
    filled.delete(["new"])
    assert "new" not in list(other.ids())
    assert not other.refresh()


def test_a_manual_reader_stays_where_it_is(filled, encoder):
    with interlace.open(filled.path, encoder, refresh="manual") as other:
        before = [(hit.id, hit.score) for hit in other.search("walrus on ice")]
        filled.add([{"id": "new", "text": "A walrus rests on the ice."}])
        filled.delete(["north3"])
        assert len(other) == 40
        assert [(hit.id, hit.score) for hit in other.search("walrus on ice")] == before
        assert "north3" in other
        assert other.refresh()
        assert not other.refresh()
        assert len(other) == 40
        assert other.search("walrus on ice", k=1)[0].id == "new"
        other.add(["its own commit it sees at once"])
        assert len(other) == 41


@pytest.mark.parametrize("refresh", ["never", None, True])
def test_an_unknown_refresh_is_refused(filled, tmp_path, refresh):
    with pytest.raises(SettingsError, match=r"refresh is .*auto, manual"):
        interlace.open(filled.path, refresh=refresh)
    with pytest.raises(SettingsError, match="refresh is"):
        interlace.create(tmp_path / "x.lace", refresh=refresh)
    assert not (tmp_path / "x.lace").exists()


# --- event loops ---------------------------------------------------------------------------------
def test_inside_a_running_event_loop(filled):
    """Plain calls work as they are, and calls in threads leave the loop to others."""

    async def serve() -> tuple[list[str], int]:
        filled.add([{"id": "new", "text": "A walrus rests on the ice."}])
        ticks, going = 0, True

        async def tick() -> None:
            nonlocal ticks
            while going:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        searches = [asyncio.to_thread(filled.search, f"a {one}", k=1) for one in ANIMALS]
        adding = asyncio.to_thread(filled.add, documents("loop", 10))
        *hits, _ = await asyncio.gather(*searches, adding)
        going = False
        await ticking
        return [found[0].text.split()[1] for found in hits], ticks

    found, ticks = asyncio.run(serve())
    assert found == ANIMALS
    assert ticks > 1
    assert len(filled) == 51


# --- a long life ---------------------------------------------------------------------------------
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="this system tells no open files")
def test_hundreds_of_commits_leave_no_file_open(tmp_path):
    """A reader that always goes on to the newest commit holds on to nothing older."""
    made = interlace.create(tmp_path / "x.lace", model=None, dim=4)
    with made, interlace.open(made.path) as other:
        row = [[1.0, 0.0, 0.0, 0.0]]

        def turn(i: int) -> None:
            made.add([{"id": i % 7, "text": str(i)}], embeddings=[row])
            assert other.search(embeddings=row, k=1)[0].id in range(7)

        def n_open() -> int:
            return len(list(Path("/proc/self/fd").iterdir()))

        for i in range(50):
            turn(i)
        before = n_open()
        for i in range(50, 400):
            turn(i)
        assert n_open() <= before + 2
        assert len(list((made.path / "segments").iterdir())) <= 20
        assert len(list((made.path / "readers").iterdir())) <= 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_server_that_forks_its_workers_is_quiet(filled, tmp_path):
    """No warning, in a server that opens, forks workers and closes: warnings are errors there."""
    script = tmp_path / "server.py"
    script.write_text(
        "import json, os, sys, interlace\n"
        "notes = interlace.open(sys.argv[1])\n"
        "notes.search('an otter')\n"
        "children = []\n"
        "for i in range(2):\n"
        "    pid = os.fork()\n"
        "    if not pid:\n"
        "        hits = notes.search('where does the otter sleep', k=1)\n"
        "        notes.close()\n"
        "        os._exit(0 if 'otter' in hits[0].text else 1)\n"
        "    children.append(pid)\n"
        "status = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]\n"
        "notes.add(['after the fork'])\n"
        "print(json.dumps([status, len(notes)]))\n"
        "notes.close()\n"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", str(script), str(filled.path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert json.loads(run.stdout) == [[0, 0], 41]

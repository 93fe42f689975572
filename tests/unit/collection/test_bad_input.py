"""Bad input of every kind, through the front door and with the real encoder.

Each case is one typed error that names the place and the remedy, and leaves the collection as its
last commit made it: same documents, same hits, whole files.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

import interlace
from interlace import store
from interlace.errors import (
    CollectionError,
    Corrupt,
    FormatTooNew,
    InputError,
    InterlaceError,
    Locked,
    NotACollection,
    SettingsError,
)

NAMES = ("anchor", "basket", "candle", "drum", "engine", "feather", "guitar", "hammer", "island")


def text(i: int) -> str:
    return f"The {NAMES[i % 9]} of house {i} was made in the year {1500 + 7 * i}."


def records(first: int, last: int) -> list[dict]:
    return [{"id": i, "text": text(i), "metadata": {"n": i}} for i in range(first, last)]


@pytest.fixture(scope="module")
def good(tmp_path_factory, encoder) -> Path:
    """A closed collection with a settled and a fresh segment, and a tombstone in each."""
    path = tmp_path_factory.mktemp("good") / "notes.lace"
    with interlace.create(path, encoder, settle="manual") as notes:
        notes.add(records(0, 60))
        notes.settle()
        notes.add(records(60, 70))
        notes.delete([5, 65])
    return path


@pytest.fixture
def kept(good, tmp_path) -> Path:
    return shutil.copytree(good, tmp_path / "notes.lace")


def state(path: Path, encoder) -> tuple:
    """All that a reader can see; the files must be whole."""
    with interlace.open(path, encoder) as notes:
        report = notes.verify()
        assert report.ok, report.problems
        ids = list(notes.ids())
        hits = notes.search_many(["a drum in house 3", "guitar"], k=100, effort="exhaustive")
        found = [(hit.id, hit.text, hit.score) for one in hits for hit in one]
        return notes.info()["commit"], notes.get(ids), found


@pytest.fixture
def unchanged(kept, encoder):
    """Opens the collection for the test; afterwards it equals its last commit."""
    before = state(kept, encoder)
    with interlace.open(kept, encoder, settle="manual", lock_wait_seconds=0.1) as notes:
        yield notes
        assert [hit.id for hit in notes.search(text(3), k=1)] == [3]
    assert state(kept, encoder) == before


def remedy(error: pytest.ExceptionInfo) -> str:
    """The message, which must end in a sentence that says what to do."""
    message = str(error.value)
    assert re.search(r"[.] [A-Z][^.]+.*\.$", message, re.DOTALL), message
    return message


# --- files ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('{"id": "x", "text": "cut off', "bad JSON"),
        ("{'id': 'x', 'text': 'single quotes'}", "bad JSON"),
        ('{"id": "x", "text": "a", "metadata": {"n": NaN}}', "NaN is no JSON number"),
        ('["a", "list"]', "neither an object nor a text but list"),
        ('{"id": "x"}', "no text"),
        ('{"id": "x", "text": 7}', "text must be a str, not int"),
        ('{"id": 1.5, "text": "a"}', "an id must be a str or an int"),
        ('{"id": "x", "text": "\\ud800"}', "lone surrogate"),
        ('{"n": ' + "9" * 5_000 + "}", "bad JSON"),
        ("[" * 100_000, "bad JSON"),
    ],
)
def test_bad_json_names_file_and_line(unchanged, tmp_path, line, what):
    path = tmp_path / "bad.jsonl"
    lines = [json.dumps({"id": f"new {i}", "text": f"A new text {i}."}) for i in range(6)]
    path.write_text("\n".join([*lines[:3], line, *lines[3:]]))
    with pytest.raises(InputError, match=re.escape(what)) as caught:
        unchanged.add(interlace.read(path))
    assert f"{path}, line 4" in remedy(caught)
    assert caught.value.committed == 0


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("a.csv", b'id,text\n1,"fine"\n2,"never closed\n', "a.csv"),
        ("a.csv", b"id,text\n1,fine,not\n", "a.csv, line 2"),
        ("a.tsv", b"1\tfine\n2\ttoo\tmany\n", "a.tsv, line 2"),
        ("a.jsonl", b'{"text": "fine"}\n\0\1\2\3\4\5\n', "a.jsonl"),
        ("a.txt", bytes(range(256)), "a.txt"),
    ],
)
def test_bad_tables_and_bytes_name_the_place(unchanged, tmp_path, name, content, place):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        unchanged.add(interlace.read(tmp_path / name))
    assert place in remedy(caught)


# --- documents -----------------------------------------------------------------------------------
@pytest.mark.parametrize("id_", ["twice", 999, 3])
def test_the_same_id_twice_in_one_call_names_both_places(unchanged, id_):
    """Also where it is in the collection, and so would be replaced twice."""
    with pytest.raises(InputError, match=r"documents 1 and 3") as caught:
        unchanged.add([{"id": i, "text": f"text {n}"} for n, i in enumerate(["a", id_, "b", id_])])
    assert repr(id_) in remedy(caught)


@pytest.mark.parametrize("id_", [1.5, True, b"x", ("a",), "", "\ud800", 2**63, -(2**63) - 1, []])
def test_an_id_of_the_wrong_type_names_the_document(unchanged, id_):
    with pytest.raises(InputError, match="document 1") as caught:
        unchanged.add([{"id": "fine", "text": "fine"}, {"id": id_, "text": "x"}])
    remedy(caught)


@pytest.mark.parametrize("bad", [None, 7, b"bytes", ["a", "b"], float("nan"), "half a \udfff"])
def test_a_text_that_is_no_text_names_the_document(unchanged, bad):
    for record in ({"id": 3, "text": bad}, interlace.Document(bad, 3)):
        with pytest.raises(InputError, match="document 1") as caught:
            unchanged.add(["fine", record])
        remedy(caught)


@pytest.mark.parametrize("bad", [None, 5, 1.5, object()])
def test_what_is_no_list_of_documents(unchanged, bad):
    for call in (unchanged.add, unchanged.search_many, unchanged.delete, unchanged.get):
        with pytest.raises(InputError):
            call(bad)
    if bad is not None:
        for name in ("embeddings", "token_ids"):
            with pytest.raises(InputError, match=f"{name} must be a list"):
                unchanged.add([], **{"embeddings": [], name: bad})


HUGE, ENDLESS = 10**5_000, []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (float("nan"), "metadata.k.deep[1]"),
        (float("-inf"), "metadata.k.deep[1]"),
        (b"bytes", "metadata.k.deep[1]"),
        ({1, 2}, "metadata.k.deep[1]"),
        (np.int64(3), "metadata.k.deep[1]"),
        (np.ones(2), "metadata.k.deep[1]"),
        (object(), "metadata.k.deep[1]"),
        ("\ud800", "metadata.k.deep[1]"),
        ({"a": {2: "b"}}, "a key of metadata.k.deep[1].a"),
        (HUGE, "metadata.k.deep[1]"),
        (ENDLESS, "nested over 64 levels"),
    ],
    ids=lambda value: str(type(value).__name__),
)
def test_metadata_that_json_cannot_hold_names_the_key(unchanged, value, place):
    metadata = {"k": {"deep": ["fine", value]}}
    with pytest.raises(InputError, match="document 1") as caught:
        unchanged.add([{"id": "new", "text": "fine"}, {"id": 3, "text": "x", "metadata": metadata}])
    assert place in remedy(caught)
    with pytest.raises(InputError, match="3"):
        unchanged.update_metadata(3, metadata)


def test_metadata_of_unusual_but_plain_kinds_is_kept(kept, encoder):
    """Read-only mappings, tuples, ranges: what they hold, JSON has."""
    with interlace.open(kept, encoder) as notes:
        notes.update_metadata(
            3,
            MappingProxyType({"a": MappingProxyType({"b": (1, None)}), "c": range(2), "d": 2**70}),
        )
    with interlace.open(kept, encoder) as notes:
        assert notes.get([3])[0].metadata == {"a": {"b": [1, None]}, "c": [0, 1], "d": 2**70}


ROW = [1.0] * 128


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (np.ones((2, 64)), "64 dims where 128 are expected"),
        (np.ones((2, 129)), "129 dims where 128 are expected"),
        (np.ones(128), "two axes"),
        (np.ones((1, 2, 128)), "two axes"),
        ([ROW, [np.nan] * 128], "NaN: passage 3, token 1"),
        ([ROW, [np.inf, *ROW[1:]]], "an infinite value: passage 3, token 1"),
        ([ROW, [1e300] * 128], "an infinite value: passage 3, token 1"),
        ([ROW, [0.0] * 128], "only zeros: passage 3, token 1"),
        ([ROW, ROW[:5]], "must be a matrix of numbers"),
        (np.ones((2, 128)) * 1j, "complex"),
        ("words", "must be a matrix of numbers"),
        (None, "two axes"),
    ],
)
def test_embeddings_that_cannot_be_stored_or_asked_for(unchanged, bad, what):
    records = [{"id": "new", "text": "fine"}, {"id": 3, "text": "replaced"}]
    with pytest.raises(InputError, match=what) as caught:
        unchanged.add(records, embeddings=[np.ones((1, 128)), bad])
    assert "passage 3" in remedy(caught)
    if bad is not None:
        with pytest.raises(InputError, match="query 0"):
            unchanged.search(embeddings=bad)


def test_lengths_that_differ(unchanged):
    records = [{"id": i, "text": "x"} for i in range(8)]
    with pytest.raises(InputError, match="8 documents but 7 embeddings"):
        unchanged.add(records, embeddings=[[ROW]] * 7)
    with pytest.raises(InputError, match="embeddings end after 7"):
        unchanged.add(iter(records), embeddings=iter([[ROW]] * 7))


class Careless:
    """A model that gives back too few matrices, NaN, or another width."""

    def __init__(self, fault: str) -> None:
        self.fault = fault

    def encode_query(self, texts):
        return self.encode_document(texts)

    def encode_document(self, texts):
        made = [np.eye(4, dtype=np.float32) for _ in texts]
        if any("boom" in text for text in texts):
            made[-1] = {"nan": np.full((1, 4), np.nan), "wide": np.ones((1, 5))}.get(self.fault)
            if made[-1] is None:
                made.pop()
        return made


@pytest.mark.parametrize(
    ("fault", "what"),
    [("nan", "NaN: .*boom"), ("wide", r"\(1, 5\)"), ("few", "2 matrices of 3 texts: Careless")],
)
def test_a_model_that_misbehaves(tmp_path, fault, what):
    with interlace.create(tmp_path / "x.lace", Careless(fault)) as notes:
        notes.add(["first", "second"])
        with pytest.raises(InputError, match=what):
            notes.add(["third", "fourth", "boom"])
        assert len(notes) == 2
        assert notes.verify().ok


def test_an_error_of_the_source_passes_through_and_changes_nothing(unchanged):
    def source():
        yield {"id": 3, "text": "replaced"}
        raise KeyError("the source's own")

    with pytest.raises(KeyError, match="the source's own"):
        unchanged.add(source())


# --- searches ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"query": 7}, InputError),
        ({"query": b"bytes"}, InputError),
        ({"query": ["a", "b"]}, InputError),
        ({"query": "half \ud800"}, InputError),
        ({"query": "x", "k": 0}, InputError),
        ({"query": "x", "k": True}, InputError),
        ({"query": "x", "k": 2.0}, InputError),
        ({"query": "x", "effort": "most"}, SettingsError),
        ({"query": "x", "effort": ["fast"]}, SettingsError),
        ({"query": "x", "by": "page"}, SettingsError),
        ({"query": "x", "ids": [3, 12345]}, InputError),
        ({"query": "x", "ids": ["3"]}, InputError),
        ({"query": "x", "ids": [5]}, InputError),  # deleted
        ({"query": "x", "ids": "3"}, InputError),
        ({}, InputError),
    ],
)
def test_a_search_that_cannot_be_done(unchanged, arguments, error):
    with pytest.raises(error):
        unchanged.search(**arguments)


@pytest.mark.parametrize("verb", ["get", "delete"])
def test_an_unknown_policy_is_no_silent_default(unchanged, verb):
    with pytest.raises(InputError, match=r"missing is 'raise'\..* ignore, error"):
        getattr(unchanged, verb)([12345], missing="raise")


# --- folders -------------------------------------------------------------------------------------
def test_a_path_that_is_no_collection(tmp_path, encoder):
    (tmp_path / "file").write_text("a letter")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("years of work")
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.rglob("*"))
    for name in ("file", "folder", "empty", "nothing", "file/below"):
        with pytest.raises(NotACollection, match=r"interlace\.create") as caught:
            interlace.open(tmp_path / name, encoder)
        assert str(tmp_path / name) in str(caught.value)
    for name in ("file", "folder", "file/below"):
        with pytest.raises(CollectionError, match=str(tmp_path)):
            interlace.create(tmp_path / name, encoder)
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "folder" / "thesis.tex").read_text() == "years of work"


def test_a_folder_in_which_a_file_of_the_catalogs_name_is_no_database(tmp_path, encoder):
    (tmp_path / "catalog.sqlite").write_text("not a database, but a long enough text" * 20)
    with pytest.raises(CollectionError, match=r"catalog\.sqlite|not a collection"):
        interlace.open(tmp_path, encoder)


@pytest.mark.parametrize(
    "options",
    [
        {"n_threads": 0},
        {"n_threads": "4"},
        {"n_threads": 2.5},
        {"settle": "never"},
        {"lock_wait_seconds": -1},
        {"lock_wait_seconds": "soon"},
        {"lock_wait_seconds": float("nan")},
        {"seed": -1},
        {"bits": 3},
        {"dim": 64},
        {"passage_tokens": 0},
    ],
)
def test_a_setting_out_of_range_leaves_no_folder(tmp_path, encoder, options):
    (name,) = options
    with pytest.raises(SettingsError, match=name):
        interlace.create(tmp_path / "x.lace", encoder, **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "options", [{"n_threads": 0}, {"n_threads": "4"}, {"settle": 1}, {"lock_wait_seconds": None}]
)
def test_an_option_out_of_range_when_opening(unchanged, encoder, options):
    (name,) = options
    with pytest.raises(SettingsError, match=name):
        interlace.open(unchanged.path, encoder, **options)


def test_a_newer_format_is_left_alone(kept, encoder):
    before = state(kept, encoder)
    catalog = kept / "catalog.sqlite"

    def set_format(number: int) -> None:
        with closing(sqlite3.connect(catalog)) as database, database:
            database.execute(f"PRAGMA user_version = {number}")

    set_format(99)
    readable = f"formats {store.FORMAT} to {store.FORMAT}"
    with pytest.raises(FormatTooNew, match=f"format 99.*reads {readable}.*Upgrade"):
        interlace.open(kept, encoder)
    with pytest.raises(CollectionError):
        interlace.create(kept, encoder)
    set_format(store.FORMAT)
    assert state(kept, encoder) == before


# --- damage --------------------------------------------------------------------------------------
def part(path: Path, kind: str) -> Path:
    return max(path.rglob(f"*.{kind}"), key=lambda file: file.stat().st_size)


@pytest.mark.parametrize("kind", ["fresh", "settled", "codec"])
@pytest.mark.parametrize("n_bytes_lost", [1, 100, None])
def test_a_truncated_segment_is_named_and_the_rest_is_untouched(kept, encoder, kind, n_bytes_lost):
    before = state(kept, encoder)
    file = part(kept, kind)
    content = file.read_bytes()
    file.write_bytes(content[: -n_bytes_lost if n_bytes_lost else 0])
    with pytest.raises(Corrupt, match=f"expected .*{len(content)} bytes") as caught:
        interlace.open(kept, encoder)
    assert str(file) in remedy(caught)
    file.write_bytes(content)
    assert state(kept, encoder) == before


@pytest.mark.parametrize("kind", ["fresh", "settled", "codec"])
def test_a_flipped_bit_is_found_by_verify_and_never_crashes_a_search(kept, encoder, kind):
    before = state(kept, encoder)
    file = part(kept, kind)
    content = file.read_bytes()
    for share in (0.2, 0.5, 0.8, 0.999):
        damaged = bytearray(content)
        damaged[int(len(content) * share)] ^= 16
        file.write_bytes(damaged)
        try:
            with interlace.open(kept, encoder) as notes:
                (problem,) = notes.verify().problems
                for effort in ("fast", "exhaustive"):
                    notes.search("guitar", k=100, effort=effort)
        except Corrupt as error:
            problem = str(error)
        assert str(file) in problem
    file.write_bytes(content)
    assert state(kept, encoder) == before


# --- a full disk ---------------------------------------------------------------------------------
FULL = """
import json, resource, signal, sys
import interlace
path, limit = sys.argv[1], int(sys.argv[2])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
notes = interlace.open(path)
notes.search("loads the model")
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
try:
    if sys.argv[3] == "settle":
        notes.settle()
    elif sys.argv[3] == "delete":
        notes.delete(range(60))
    else:
        notes.add([{"id": f"n{i}", "text": f"word {i} " * 90} for i in range(60)])
except interlace.InterlaceError as error:
    print(json.dumps([type(error).__name__, str(error)]))
assert notes.search("guitar", k=3, effort="exhaustive"), "reading goes on"
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no file-size limits here")
@pytest.mark.parametrize(
    ("work", "limit"),
    [("add", 1_000), ("add", 8_192), ("add", 60_000), ("settle", 1_000), ("delete", 1_000)],
)
def test_a_full_disk(kept, encoder, work, limit):
    """At the catalog's log, at a segment; then with space again."""
    before = state(kept, encoder)
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", FULL, str(kept), str(limit), work],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")
    name, message = json.loads(ran.stdout)
    assert name == "CollectionError"
    assert str(kept) in message
    assert "nothing that was committed is lost" in message
    assert state(kept, encoder) == before
    with interlace.open(kept, encoder) as notes:
        assert notes.add(records(100, 110)).added == 10
        notes.settle()
        assert notes.search(text(105))[0].id == 105
        assert notes.verify().ok


# --- writers -------------------------------------------------------------------------------------
SLOW = """
import sys, time
import interlace
from interlace.collection import collection
real = collection.batches
collection.batches = lambda stream: real(stream, n_bytes_max=1)
def records():
    for i in range(200, 400):
        yield {"id": i, "text": f"The lighthouse number {i} stands at mile {i * 3}."}
def progress(stage, done, total):
    if stage == "store":
        print(done, flush=True)
with interlace.open(sys.argv[1]) as notes:
    notes.add(records(), progress=progress)
    print("end", flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 here")
@pytest.mark.parametrize("after", [1, 7])
def test_a_killed_writer_leaves_what_it_has_committed(kept, encoder, after):
    _, documents, _ = state(kept, encoder)
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, str(kept)], stdout=subprocess.PIPE, text=True
    ) as process:
        for _ in range(after):
            committed = int(process.stdout.readline())
        process.kill()
        rest = process.stdout.read().split()
    assert "end" not in rest
    _, left, _ = state(kept, encoder)
    assert left[: len(documents)] == documents
    n_new = len(left) - len(documents)
    assert [document.id for document in left[len(documents) :]] == list(range(200, 200 + n_new))
    assert max([committed, *map(int, rest)]) <= n_new <= max([committed, *map(int, rest)]) + 1
    with interlace.open(kept, encoder) as notes:
        report = notes.add(
            {"id": i, "text": f"The lighthouse number {i} stands at mile {i * 3}."}
            for i in range(200, 400)
        )
        assert (report.unchanged, report.added) == (n_new, 200 - n_new)
        assert notes.search("lighthouse number 311", k=1)[0].text.startswith("The lighthouse")
        assert notes.verify().ok


HOLDS = """
import sys
import interlace
with interlace.open(sys.argv[1]) as notes, notes.writer() as changes:
    changes.delete([3])
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_second_writer_is_told_who_writes_and_can_write_once_the_first_is_killed(
    unchanged, encoder
):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(unchanged.path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "held\n"
        started = time.monotonic()
        for write in (
            lambda: unchanged.add(["a new text"]),
            lambda: unchanged.delete([4]),
            lambda: unchanged.update_metadata(4, {}),
        ):
            with pytest.raises(Locked, match=rf"process {process.pid} .*since") as caught:
                write()
            assert str(unchanged.path) in remedy(caught)
        assert time.monotonic() - started >= 0.3
        assert unchanged.search(text(3))[0].id == 3  # reading goes on, at the last commit
        process.kill()
        process.wait()
    assert 3 in unchanged  # the killed writer's delete never happened
    assert unchanged.delete([12345]) == 0  # and the lock fell with it


def test_every_error_here_is_one_type(unchanged):
    """So that ``except interlace.InterlaceError`` is enough."""
    for work in (
        lambda: unchanged.add([7]),
        lambda: unchanged.search("x", k=0),
        lambda: unchanged.search("x", effort="?"),
        lambda: interlace.open(os.devnull),
    ):
        with pytest.raises(InterlaceError):
            work()

"""A rebuild: everything encoded anew, beside what is there, and switched to in one commit."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pytest
import storing
from storing import add, contents, fill, found, listing, record

from interlace import files, store
from interlace.errors import CollectionError, InputError, Locked
from interlace.types import Document, Encoded, Passage

Answer = tuple[str, list[Passage], Iterable[Encoded]]


def encoding(
    *, n_passages: int = 1, heard: Callable[[Document], None] = lambda _: None, **options
) -> Callable[[Iterator[Document]], Iterator[Answer]]:
    """Encodes as ``storing.record`` would; ``heard`` is told of each document before."""

    def encode(documents: Iterator[Document]) -> Iterator[Answer]:
        for document in documents:
            heard(document)
            assert document.id is not None
            one = record(document.id, document.text, n_passages=n_passages, **options)
            yield one[1], one[2], one[3]

    return encode


def changed(opened: store.Store, **settings) -> store.Settings:
    return dataclasses.replace(opened.settings, **settings)


def hits(snapshot: store.Snapshot, one: storing.Record, effort: str = "balanced"):
    found = store.search(snapshot, one[3][0].matrix, 10, effort=effort)
    texts = [passage.text for passage in snapshot.passages(found.rows)]
    return texts, found.scores.tolist()


def orphans(opened: store.Store) -> set[str]:
    """Files that no live row names."""
    snapshot = opened.snapshot()
    named = {f"segments/{segment.row.file_name}" for segment in snapshot.opened}
    if snapshot.generation is not None:
        name, arrays = snapshot.generation.name, snapshot.generation.arrays
        named |= {f"codec/{name}/{array}.codec" for array in arrays}
    return set(listing(opened.path)) ^ named


# --- what comes out ------------------------------------------------------------------------------
@pytest.mark.parametrize("settled", [False, True])
def test_the_same_again_gives_the_same_arrays(opened, settled):
    first = 200 if settled else 20
    fill(opened, 0, first, n_passages=2)
    if settled:
        opened.settle()
        opened.compact()
    before = {row.row.kind: row.arrays for row in opened.snapshot().opened}
    names = {row.row.name for row in opened.snapshot().opened}
    generation = opened.snapshot().generation
    report = opened.rebuild(opened.settings, encoding(n_passages=2))
    assert report == store.RebuildReport(first, 2 * first, 20 * first, trained=settled)
    after = opened.snapshot()
    assert names.isdisjoint(segment.row.name for segment in after.opened)
    assert before.keys() == {segment.row.kind for segment in after.opened}
    for segment in after.opened:
        for name, array in segment.arrays.items():
            np.testing.assert_array_equal(array, before[segment.row.kind][name])
    if settled:
        assert after.generation.name == generation.name + "-2"
        assert after.generation.chunks == generation.chunks
    assert opened.verify().ok
    assert not orphans(opened)


def test_again_and_again(opened):
    fill(opened, 0, 200)
    names = []
    for _ in range(3):
        opened.rebuild(opened.settings, encoding())
        names.append(opened.snapshot().generation.name)
        assert opened.verify().ok
        assert not orphans(opened)
    assert names[0] == names[2] != names[1]  # what was purged is free again


@pytest.mark.parametrize("codec", ["residual1", "residual2", "residual4"])
@pytest.mark.parametrize("dim", [storing.DIM, 24])
def test_it_equals_a_collection_made_with_these_settings(opened, tmp_path, dim, codec):
    fill(opened, 0, 200)
    opened.rebuild(changed(opened, dim=dim, codec=codec), encoding(dim=dim))
    with store.create(tmp_path / "new", opened.settings, settle="manual") as made:
        fill(made, 0, 200, dim=dim)
        made.settle()
        for i in (3, 77, 150):
            asked = record(i, dim=dim)
            for effort in ("fast", "exhaustive"):
                assert hits(opened.snapshot(), asked, effort) == hits(
                    made.snapshot(), asked, effort
                )
        if (dim, codec) != (storing.DIM, "residual4"):  # else the codec has another name
            assert contents(opened.path) == contents(made.path)
    assert opened.info()["codec"] == codec
    assert opened.verify().ok


def test_documents_that_are_cut_anew(opened):
    fill(opened, 0, 100, n_passages=2)
    numbers = opened.snapshot().find([5])[0]
    report = opened.rebuild(opened.settings, encoding(n_passages=3))
    assert (report.n_recut, report.n_passages) == (100, 300)
    snapshot = opened.snapshot()
    assert snapshot.n_passages == snapshot.n_rows == 300
    assert len(numbers) == 2
    for i in (5, 99):
        one = record(i, n_passages=3)
        texts = [passage.text for passage in snapshot.passages(snapshot.find([i])[0])]
        assert texts == [passage.text for passage in one[2]]
        assert snapshot.row_of(i, 2) is not None
        assert found(opened, one) == [i]
    assert opened.verify().ok
    with opened.write() as writer:
        assert writer.delete([5, 6]) == 2
    assert opened.snapshot().n_passages == 294
    assert opened.verify().ok


def test_words_of_documents_that_are_cut_anew(opened, tmp_path):
    fill(opened, 0, 30, n_passages=2)
    opened.rebuild(opened.settings, encoding(n_passages=3))
    with store.create(tmp_path / "new", opened.settings) as made:
        fill(made, 0, 30, n_passages=3)
        for asked in (["text"], ["long", "enough"], ["cut", "17"]):
            of_both = [one.snapshot().lexical(asked) for one in (opened, made)]
            np.testing.assert_array_equal(of_both[0].rows, of_both[1].rows)
            np.testing.assert_array_equal(of_both[0].scores, of_both[1].scores)
            assert of_both[0].scores.any()
    opened.compact()
    assert opened.verify().ok


def test_lines_move_while_documents_are_cut_anew(opened):
    text = "one\ntwo\nthree\nfour\n"

    def at(id_: str, line: int | None, n_passages: int) -> storing.Record:
        document, *rest, passages, encoded = record(id_, text + id_, n_passages=n_passages)
        document = dataclasses.replace(document, file=f"{id_}.txt", line=line)
        passages = [
            dataclasses.replace(one, line=line and line + text.count("\n", 0, one.start))
            for one in passages
        ]
        return document, *rest, passages, encoded

    add(opened, at("a", 1, 1), at("b", 7, 1), at("c", None, 1), at("d", 3, 2))

    def encode(documents):
        for document in documents:
            one = at(document.id, document.line, 2)
            yield one[1], one[2], one[3]
            if document.id == "d":
                with opened.write() as writer:
                    writer.set_place("a", "a.txt", 11)
                    writer.set_place("b", "b.txt", None)
                    writer.set_place("c", "c.txt", 5)
                    writer.set_place("d", "d.txt", 4)

    assert opened.rebuild(opened.settings, encode).n_recut == 3
    snapshot = opened.snapshot()
    lines = {
        id_: [passage.line for passage in snapshot.passages(snapshot.find([id_])[0])]
        for id_ in "abcd"
    }
    assert lines == {"a": [11, 13], "b": [None, None], "c": [5, 7], "d": [4, 6]}


def test_a_large_collection_trains_on_a_sample_and_keeps_few_segments(folder):
    small = storing.settings(memory_bytes_max=2**20, first_budget_tokens=10_000)
    with store.create(folder, small, settle="manual") as opened:
        n = 6_000
        fill(opened, 0, n)
        fresh = record(17)
        opened.settle()
        report = opened.rebuild(opened.settings, encoding())
        assert report == store.RebuildReport(n, n, 10 * n, trained=True)
        info = opened.info()
        assert info["n_settled_segments"] <= 8
        assert info["n_fresh_tokens"] < 10 * n // 10
        assert found(opened, fresh) == [17]
        assert opened.verify().ok
        assert not orphans(opened)


def test_an_empty_collection(opened):
    assert opened.rebuild(changed(opened, dim=8), encoding(dim=8)) == store.RebuildReport()
    add(opened, record("a", dim=8))
    assert found(opened, record("a", dim=8)) == ["a"]
    with opened.write() as writer:
        writer.delete(["a"])
    opened.rebuild(changed(opened, dim=16), encoding())
    assert opened.snapshot().n_rows == 0
    assert opened.verify().ok


def test_documents_without_passages_or_tokens(opened):
    add(opened, record("none", n_passages=0), record("empty", n_tokens=0), record("a"))

    def encode(documents):
        for document in documents:
            n = {"none": 0}.get(document.id, 1)
            one = record(document.id, n_passages=n, n_tokens=10 * (document.id == "a"))
            yield one[1], one[2], one[3]

    report = opened.rebuild(changed(opened, codec="residual2"), encode)
    assert (report.n_documents, report.n_passages, report.n_empty) == (3, 2, 2)
    assert list(opened.snapshot().ids()) == ["none", "empty", "a"]
    assert opened.verify().ok


def test_documents_that_lose_their_passages(opened):
    add(opened, record("a", n_passages=2), record("b"))
    assert opened.rebuild(opened.settings, encoding(n_passages=0)).n_recut == 2
    assert opened.snapshot().n_passages == 0
    assert opened.rebuild(opened.settings, encoding()).n_recut == 2
    assert opened.snapshot().n_passages == 2
    assert opened.verify().ok


def test_a_manual_store_trains_only_where_there_was_a_codec(folder):
    with store.create(folder, storing.settings(), settle="manual") as opened:
        fill(opened, 0, 200)
        assert not opened.rebuild(opened.settings, encoding()).trained
        opened.settle()
        assert opened.rebuild(opened.settings, encoding()).trained


def test_a_new_content_hash_is_kept(opened):
    add(opened, record("a"), record("b"))

    def encode(documents):
        for document in documents:
            one = record(document.id, document.text)
            yield ("other" if document.id == "b" else one[1]), one[2], one[3]

    opened.rebuild(opened.settings, encode)
    with opened.write() as writer:
        known = writer.known(["a", "b"])
    assert (known["a"].content_hash, known["b"].content_hash) == (record("a")[1], "other")


def test_a_backup_from_before_is_brought_up_to_date(opened, tmp_path):
    """Also where each document has another content hash, as with embeddings of one's own."""
    fill(opened, 0, 50)
    opened.backup(tmp_path / "backup")

    def encode(documents):
        for document in documents:
            yield (f"of {document.id}", *record(document.id, document.text)[2:])

    opened.rebuild(opened.settings, encode)
    opened.backup(tmp_path / "backup")
    with store.open(tmp_path / "backup") as copy, copy.write() as writer:
        assert writer.known([7])[7].content_hash == "of 7"


# --- meanwhile -----------------------------------------------------------------------------------
def busy(opened: store.Store, at: int) -> Callable[[Document], None]:
    """Adds, replaces, deletes and changes, when a document is about to be encoded."""

    def heard(document: Document) -> None:
        if document.id != at:
            return
        with opened.write() as writer:
            writer.delete([at - 2, at - 1, at, at + 1, 199])
            writer.add(*record("new"))
            writer.add(*record(3, "another text of three"))
            writer.update_metadata(8, {"seen": True})
        fill(opened, 1_000, 1_060)
        with opened.write() as writer:
            writer.delete([1_007])

    return heard


@pytest.mark.parametrize("n_passages", [1, 2])
@pytest.mark.parametrize("dim", [storing.DIM, 24])
def test_what_others_change_meanwhile_is_there(opened, dim, n_passages):
    """Also when documents are cut anew, and what has died has rows that are born dead."""
    fill(opened, 0, 200)
    new = changed(opened, dim=dim, codec="residual2")

    def encode(documents):
        waiting = []
        for document in documents:
            heard(document)
            waiting.append(document)
            if len(waiting) == 3:  # a model reads ahead
                yield from map(answer, waiting)
                waiting = []
        yield from map(answer, waiting)

    def answer(document):
        one = record(document.id, document.text, dim=dim, n_passages=n_passages)
        return one[1], one[2], one[3]

    heard = busy(opened, 50)
    report = opened.rebuild(new, encode)
    assert report.n_meanwhile == 62 - 1
    snapshot = opened.snapshot()
    gone = {48, 49, 50, 51, 199, 1_007}
    assert set(snapshot.ids()) == {*range(200), *range(1_000, 1_060), "new"} - gone
    assert list(snapshot.ids())[-61:] == ["new", 3, *(i for i in range(1_000, 1_060) if i != 1_007)]
    assert snapshot.documents([8])[8].metadata == {"seen": True}
    assert snapshot.documents([3])[3].text == "another text of three"
    for i in ("new", 0, 47, 1_000, 1_059):
        assert found(opened, record(i, dim=dim, n_passages=n_passages)) == [i]
    assert found(opened, record(3, "another text of three", dim=dim, n_passages=n_passages)) == [3]
    assert opened.verify().ok
    opened.settle()
    opened.compact()
    assert opened.snapshot().n_rows == snapshot.n_passages
    assert opened.verify().ok


def test_a_held_snapshot_stays_as_it_was(opened):
    fill(opened, 0, 200)
    held = opened.snapshot()
    before = [hits(held, record(i)) for i in range(0, 200, 20)]
    rows = [held.embeddings(i) for i in range(5)]
    opened.rebuild(changed(opened, dim=24, codec="residual1"), encoding(dim=24, n_passages=2))
    opened.compact()
    fill(opened, 300, 320, dim=24)
    assert (held.settings.dim, opened.settings.dim, opened.snapshot().settings.dim) == (16, 24, 24)
    assert [hits(held, record(i)) for i in range(0, 200, 20)] == before
    for i in range(5):
        np.testing.assert_array_equal(held.embeddings(i), rows[i])
    assert held.row_of(7, 0) is not None
    assert held.row_of(7, 1) is None
    names = {f"segments/{segment.row.file_name}" for segment in held.opened}
    assert names < set(listing(opened.path))
    held.close()
    del held
    add(opened, record("last", dim=24))
    assert not orphans(opened)


def test_searches_go_on(opened):
    fill(opened, 0, 300)
    asked = {dim: [record(i, dim=dim) for i in range(0, 300, 37)] for dim in (16, 24)}
    wrong, seen, over = [], set(), threading.Event()

    def search() -> None:
        while not over.is_set():
            snapshot = opened.snapshot()
            dim = snapshot.settings.dim
            seen.add(dim)
            for one in asked[dim]:
                texts, _ = hits(snapshot, one)
                if texts[0] != one[2][0].text:
                    wrong.append((dim, texts))

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for dim in (24, 16, 24, 16, 24):
            opened.rebuild(changed(opened, dim=dim), encoding(dim=dim))
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not wrong
    assert seen == {16, 24}


def test_another_process_follows(opened, folder):
    fill(opened, 0, 200)
    program = (
        "import sys, storing\n"
        "from interlace import store\n"
        "with store.open(sys.argv[1]) as opened:\n"
        "    def ask(dim):\n"
        "        print(opened.snapshot().settings.dim, opened.snapshot().number,\n"
        "            storing.found(opened, storing.record(7, dim=dim)), flush=True)\n"
        "    ask(16)\n"
        "    sys.stdin.readline()\n"
        "    ask(16)\n"
        "    opened.refresh()\n"
        "    ask(24)\n"
        "    storing.add(opened, storing.record('theirs', dim=24))\n"
        "    opened.settle()\n"
        "    opened.compact()\n"
        "    assert opened.verify().ok\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, "tests"])}
    argv = [sys.executable, "-c", program, str(folder)]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        first = process.stdout.readline()
        opened.rebuild(changed(opened, dim=24), encoding(dim=24))
        process.stdin.write("\n")
        process.stdin.flush()
        second, third = process.stdout.readline(), process.stdout.readline()
        assert first == second
        assert first.startswith("16 ")
        assert third.startswith("24 ")
        assert third.endswith("[7]\n")
        assert process.wait() == 0
    opened.refresh()
    assert found(opened, record("theirs", dim=24)) == ["theirs"]


def test_one_shapes_at_a_time(folder, opened):
    fill(opened, 0, 200)
    with store.open(folder, lock_wait_seconds=0.1) as other:

        def heard(document: Document) -> None:
            if document.id == 10:
                for work in (
                    other.settle,
                    other.compact,
                    lambda: other.rebuild(other.settings, encoding()),
                ):
                    with pytest.raises(Locked):
                        work()
                add(other, record("small"))

        opened.rebuild(opened.settings, encoding(heard=heard))
        assert found(opened, record("small")) == ["small"]


def test_a_backup_made_meanwhile_is_of_the_old_and_restores(opened, tmp_path):
    fill(opened, 0, 200)

    def heard(document: Document) -> None:
        if document.id == 150:
            opened.backup(tmp_path / "backup")

    opened.rebuild(changed(opened, dim=24), encoding(dim=24, heard=heard))
    opened.backup(tmp_path / "backup of the new")
    for name, dim in (("backup", 16), ("backup of the new", 24)):
        store.restore(tmp_path / name, tmp_path / f"from {name}")
        with store.open(tmp_path / f"from {name}") as copy:
            assert found(copy, record(9, dim=dim)) == [9]
            assert copy.verify().ok


# --- failures ------------------------------------------------------------------------------------
def test_an_error_leaves_the_old_collection(opened):
    fill(opened, 0, 200)
    before, files_before = hits(opened.snapshot(), record(7)), listing(opened.path)

    def heard(document: Document) -> None:
        if document.id == 190:
            raise OSError("no such host")

    for broken in (
        encoding(dim=24, heard=heard),
        encoding(dim=25),
    ):
        with pytest.raises((OSError, InputError)):
            opened.rebuild(changed(opened, dim=24), broken)
        assert hits(opened.snapshot(), record(7)) == before
        assert opened.settings.dim == 16
        assert listing(opened.path) == files_before
        assert opened.verify().ok
    opened.rebuild(changed(opened, dim=24), encoding(dim=24))
    assert opened.verify().ok


def test_every_failing_write_leaves_the_old_collection(opened, monkeypatch):
    fill(opened, 0, 120)
    before = hits(opened.snapshot(), record(7))
    write, sync = files.ArrayWriter.append, files.sync_folder
    state = {"left": 0}

    def counted(function):
        def call(*arguments):
            state["left"] -= 1
            if state["left"] == 0:
                raise CollectionError("the disk is full")
            return function(*arguments)

        return call

    monkeypatch.setattr(files.ArrayWriter, "append", counted(write))
    monkeypatch.setattr(files, "sync_folder", counted(sync))
    n_failed = 0
    while True:
        state["left"] = 1 + 3 * n_failed
        try:
            opened.rebuild(changed(opened, dim=24), encoding(dim=24, n_passages=2))
        except CollectionError:
            n_failed += 1
            assert hits(opened.snapshot(), record(7)) == before
            assert not orphans(opened)
        else:
            break
    state["left"] = 0
    assert n_failed > 5
    assert found(opened, record(7, dim=24, n_passages=2)) == [7]
    assert opened.verify().ok


_KILLED = """
import os, signal, sys, storing
from interlace import store

def encode(documents):
    for document in documents:
        if document.id == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        one = storing.record(document.id, document.text, dim=24, n_passages=2)
        yield one[1], one[2], one[3]

with store.open(sys.argv[1]) as opened:
    new = dict(opened.settings.__class__.__dataclass_fields__)
    values = {name: getattr(opened.settings, name) for name in new}
    opened.rebuild(store.Settings(**{**values, "dim": 24}), encode)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize("at", [0, 150, 399])
def test_killed_in_the_middle_and_writes_go_on(opened, folder, at):
    fill(opened, 0, 400)
    before = hits(opened.snapshot(), record(7))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, "tests"])}
    argv = [sys.executable, "-c", _KILLED, str(folder), str(at)]
    assert subprocess.run(argv, env=env, check=False).returncode == -signal.SIGKILL
    assert hits(opened.snapshot(), record(7)) == before
    fill(opened, 400, 410)
    assert not orphans(opened)
    assert found(opened, record(405)) == [405]
    assert opened.verify().ok
    opened.rebuild(changed(opened, dim=24), encoding(dim=24))
    assert opened.snapshot().n_documents == 410
    assert opened.verify().ok

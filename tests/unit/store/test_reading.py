"""What a snapshot answers from the catalog, and how much of the catalog it reads for it."""

from __future__ import annotations

import contextlib
import gc
import tracemalloc

import numpy as np
import pytest
from storing import add, fill, record

from interlace import store
from interlace.errors import CollectionError
from interlace.store.catalog import Catalog
from interlace.store.folder import Folder


def statements(opened, work) -> list[str]:
    """The SQL that some work runs on the store's own connection."""
    seen: list[str] = []
    opened._catalog._sqlite.set_trace_callback(seen.append)
    work()
    opened._catalog._sqlite.set_trace_callback(None)
    return seen


def steps(opened, work) -> int:
    """How many hundreds of steps SQLite's machine takes for some work."""
    n = 0

    def count() -> None:
        nonlocal n
        n += 1

    opened._catalog._sqlite.set_progress_handler(count, 100)
    work()
    opened._catalog._sqlite.set_progress_handler(None, 0)
    return n


def test_each_passage_by_its_number(opened):
    add(opened, record("x"), record("a\0b", "one\0two «\U0001f600» three", n_passages=4))
    fill(opened, 0, 70, n_passages=2)
    snapshot = opened.snapshot()
    for id_, n in (("a\0b", 4), (3, 2), (69, 2)):
        rows = [snapshot.row_of(id_, number) for number in range(n)]
        assert rows == snapshot.rows_of([id_]).tolist()
        assert [passage.number for passage in snapshot.passages(rows)] == list(range(n))
    assert snapshot.row_of("x", 1) is None
    assert snapshot.row_of("nobody", 0) is None
    texts = [passage.text for passage in snapshot.passages(snapshot.rows_of(["a\0b"]))]
    assert "".join(texts) == "one\0two «\U0001f600» three"


def test_a_dead_passage_has_no_row(opened):
    fill(opened, 0, 3)
    before = opened.snapshot()
    with opened.write() as writer:
        writer.delete([1])
    assert before.row_of(1, 0) is not None
    assert opened.snapshot().row_of(1, 0) is None


def test_a_text_is_in_memory_once_whatever_its_passages(opened):
    text = "word " * 40_000
    add(opened, record("long", text, n_passages=100, n_tokens=1))
    snapshot = opened.snapshot()
    rows = snapshot.rows_of(["long"])
    tracemalloc.start()
    found = snapshot.passages(rows)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "".join(passage.text for passage in found) == text
    assert peak < 10 * len(text)


def test_many_ids_are_one_statement(opened):
    fill(opened, 0, 50)
    add(opened, record("7"), record("none", n_passages=0))
    snapshot = opened.snapshot()
    ids = [*range(40), "7", "none", "nobody", 99]
    found = []
    assert len(statements(opened, lambda: found.append(snapshot.find(ids)))) == 1
    rows, unknown = found[0]
    assert unknown == ["nobody", 99]
    assert [passage.id for passage in snapshot.passages(rows)] == [*range(40), "7"]
    assert snapshot.rows_of([3, 3]).tolist() == snapshot.rows_of([3]).tolist()
    assert len(statements(opened, lambda: snapshot.rows_of(ids))) == 1
    assert len(statements(opened, lambda: snapshot.documents(ids))) == 1
    with opened.write() as writer:
        assert set(writer.known(ids)) == {*range(40), "7", "none"}


def test_a_snapshot_reads_no_row_a_passage(opened, folder):
    fill(opened, 0, 2_000, n_tokens=1, n_passages=2)
    with opened.write() as writer:
        writer.delete([5])
    with store.open(folder) as other:
        other.snapshot()
        fill(opened, 2_000, 2_001)

        def refresh() -> None:
            assert other.refresh()
            assert other.snapshot().n_documents == 2_000

        assert steps(other, refresh) < 20


def test_ids_hold_their_snapshot(opened):
    fill(opened, 0, 2_500, n_tokens=1)
    ids = opened.snapshot().ids()
    first = next(ids)
    gc.collect()
    with opened.write() as writer:
        writer.delete(range(2_500))
    opened.compact()
    fill(opened, 5_000, 5_001)
    assert [first, *ids] == list(range(2_500))


def test_dead_passages_ascend(opened):
    fill(opened, 0, 30)
    for id_ in (20, 3, 11):
        with opened.write() as writer:
            writer.delete([id_])
    catalog: Catalog = opened._catalog
    np.testing.assert_array_equal(catalog.dead_passages(opened.commit), [3, 11, 20])


def test_a_snapshot_that_no_lock_keeps_says_when_it_is_purged(folder, opened, monkeypatch):
    """Else a filter, or words, would quietly find less: where a folder cannot be written."""
    fill(opened, 0, 3, metadata={"n": 1})
    monkeypatch.setattr(Folder, "inside_gate", lambda _: contextlib.nullcontext(False))
    reader = store.open(folder)
    held = reader.snapshot()
    assert held.ids_where({"n": 1}) == [0, 1, 2]
    monkeypatch.undo()
    with opened.write() as writer:
        writer.delete([1])
    add(opened, record("x"))
    for read in (
        lambda: held.ids_where({"n": 1}),
        lambda: held.where({"n": 1}),
        lambda: held.lexical(["x"]),
        lambda: held.documents([1]),
    ):
        with pytest.raises(CollectionError, match=r"is gone.*cannot be written"):
            read()
    assert reader.refresh()
    assert reader.snapshot().ids_where({"n": 1}) == [0, 2]
    reader.close()

"""Creating, opening, writing, reading: what a store does on a good day."""

from __future__ import annotations

import math
import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import storing
from storing import add, fill, found, record

from interlace import files, store
from interlace.errors import CollectionError, InputError, Locked, NotACollection, SettingsError
from interlace.types import Document, Encoded


def test_an_empty_store(opened):
    snapshot = opened.snapshot()
    assert (snapshot.n_rows, snapshot.n_documents, snapshot.n_tokens) == (0, 0, 0)
    assert list(snapshot.ids()) == []
    assert snapshot.documents(["x"]) == {}
    assert found(opened, record("x"), k=3) == []
    assert opened.settle().n_segments == 0
    assert opened.compact().n_written == 0
    assert opened.verify().ok


def test_one_document(opened):
    one = record("sky", metadata={"year": 2021, "tags": ["a", None, 1.5, True]}, n_passages=3)
    add(opened, one)
    snapshot = opened.snapshot()
    assert snapshot.documents(["sky", "sea"]) == {"sky": one[0]}
    assert snapshot.contains("sky")
    assert not snapshot.contains("sea")
    assert snapshot.n_passages == snapshot.n_alive == 3
    assert snapshot.n_tokens == 30
    rows = snapshot.rows_of(["sky"])
    for passage, stored in zip(one[2], snapshot.passages(rows), strict=True):
        assert (stored.id, stored.number, stored.text) == ("sky", passage.number, passage.text)
        assert (stored.start, stored.end) == (passage.start, passage.end)
        assert stored.metadata == {"year": 2021, "tags": ["a", None, 1.5, True]}


def test_ids_keep_their_type_and_order(opened):
    ids = ["b-2", 10, "10", 7, "a/ü", "x\0y", -(2**63), 2**63 - 1]
    add(opened, *(record(id_) for id_ in ids))
    snapshot = opened.snapshot()
    assert list(snapshot.ids()) == ids
    assert [type(id_) for id_ in snapshot.ids()] == [type(id_) for id_ in ids]
    for id_ in ids:
        assert snapshot.documents([id_])[id_].id == id_
        assert found(opened, record(id_)) == [id_]


@pytest.mark.parametrize("text", ["", " ", "\0", "\r\n\t", "«\U0001f600»", "e\u0301", "\u202eabc"])
def test_text_comes_back_byte_for_byte(opened, folder, text):
    add(opened, record("t", text))
    opened.close()
    with store.open(folder) as again:
        assert again.snapshot().documents(["t"])["t"].text == text


def test_replace_is_one_live_version(opened):
    add(opened, record("a", "old", metadata={"v": 1}), record("b"))
    add(opened, record("a", "new", metadata={"v": 2}))
    snapshot = opened.snapshot()
    assert snapshot.n_documents == 2
    assert snapshot.documents(["a"])["a"] == Document("new", "a", {"v": 2})
    assert found(opened, record("a", "old"), k=5) != ["a", "a", "b"]
    assert sorted(found(opened, record("a", "old"), k=5)) == ["a", "b"]


def test_replace_and_delete_within_one_writer(opened):
    with opened.write() as writer:
        writer.add(*record("a", "one"))
        writer.add(*record("a", "two"))
        writer.add(*record("b"))
        assert writer.delete(["b", "nobody"]) == 1
        assert writer.known(["a", "b", "c"]) == {
            "a": store.Known(record("a", "two")[1], None, None)
        }
        assert (writer.n_documents, writer.n_tokens) == (3, 30)
    assert list(opened.snapshot().ids()) == ["a"]
    assert opened.snapshot().documents(["a"])["a"].text == "two"
    assert opened.verify().ok


def test_delete_all_then_add(opened):
    fill(opened, 0, 2)
    with opened.write() as writer:
        assert writer.delete([0, 1]) == 2
    assert found(opened, record(0), k=3) == []
    fill(opened, 5, 6)
    assert found(opened, record(5), k=3) == [5]


def test_update_metadata(opened):
    add(opened, record("a", metadata={"v": 1}))
    before = opened.snapshot()
    with opened.write() as writer:
        assert writer.update_metadata("a", {"v": 2})
        assert not writer.update_metadata("b", {"v": 2})
    assert opened.snapshot().documents(["a"])["a"].metadata == {"v": 2}
    assert before.documents(["a"])["a"].metadata == {"v": 1}
    assert opened.snapshot().n_tokens == 10


def test_a_block_that_raises_changes_nothing(opened, folder):
    fill(opened, 0, 3)
    before = storing.listing(folder)

    def change() -> None:
        with opened.write() as writer:
            writer.add(*record("x"))
            writer.delete([0])
            raise KeyError

    with pytest.raises(KeyError):
        change()
    assert list(opened.snapshot().ids()) == [0, 1, 2]
    assert storing.listing(folder) == before


def test_nothing_changed_is_no_commit(opened):
    fill(opened, 0, 1)
    number = opened.commit
    with opened.write() as writer:
        assert writer.delete(["nobody"]) == 0
        assert writer.commit() == number
    assert opened.commit == number


def test_an_explicit_commit(opened):
    with opened.write() as writer:
        writer.add(*record(1))
        number = writer.commit()
        assert writer.commit() == number
        with pytest.raises(CollectionError, match="over"):
            writer.add(*record(2))
    assert opened.commit == number
    assert list(opened.snapshot().ids()) == [1]


def test_a_snapshot_does_not_change(opened, folder):
    fill(opened, 0, 50)
    before = opened.snapshot()
    texts = before.documents([3, 4])
    with opened.write() as writer:
        writer.delete([3])
        writer.add(*record(4, "changed"))
    opened.settle()
    fill(opened, 100, 200)
    opened.compact()
    assert before.documents([3, 4]) == texts
    assert list(before.ids()) == list(range(50))
    rows = store.search(before, record(3)[3][0].matrix, 1, effort="exhaustive").rows
    assert before.passages(rows)[0].id == 3
    assert opened.snapshot().documents([3]) == {}
    assert opened.verify().ok


def test_refresh(opened, folder):
    with store.open(folder) as other:
        fill(opened, 0, 1)
        assert list(other.snapshot().ids()) == []
        assert other.refresh()
        assert not other.refresh()
        assert list(other.snapshot().ids()) == [0]


def test_reopen_gives_the_same(opened, folder):
    fill(opened, 0, 100, n_passages=2)
    with opened.write() as writer:
        writer.delete(range(10, 20))
    matrix = record(50)[3][0].matrix
    before, made_with = store.search(opened.snapshot(), matrix, 20), opened.settings
    opened.close()
    with store.open(folder) as again:
        after = store.search(again.snapshot(), matrix, 20)
        np.testing.assert_array_equal(before.rows, after.rows)
        np.testing.assert_array_equal(before.scores, after.scores)
        assert again.snapshot().n_documents == 90
        assert again.settings == again.snapshot().settings == made_with


def test_fresh_embeddings_are_nearly_exact(opened):
    one = record("a", n_tokens=40)
    add(opened, one)
    stored = opened.snapshot().embeddings(0)
    cosines = (stored * one[3][0].matrix).sum(axis=1)
    assert stored.shape == (40, storing.DIM)
    assert cosines.min() > 0.999
    with pytest.raises(IndexError):
        opened.snapshot().embeddings(1)


def test_a_passage_without_tokens(opened):
    document, content_hash, passages, _ = record("dots", "…", seed=1)
    empty = Encoded(np.empty((0, storing.DIM), np.float32), np.empty(0, np.int32))
    add(opened, (document, content_hash, passages, [empty]), *(record(i) for i in range(10)))
    assert found(opened, record(3), k=11)[-1] == "dots"
    assert opened.snapshot().embeddings(0).shape == (0, storing.DIM)
    opened.settle()
    assert found(opened, record(3), k=11)[-1] == "dots"
    with opened.write() as writer:
        assert writer.delete(["dots"]) == 1
    assert len(found(opened, record(3), k=11)) == 10
    assert opened.verify().ok


def test_a_document_without_passages(opened):
    add(opened, (Document("", "empty"), "hash", [], []))
    assert list(opened.snapshot().ids()) == ["empty"]
    assert opened.verify().ok


def test_with_and_without_token_ids(opened):
    add(opened, *(record(i, typed=i % 2 == 0) for i in range(60)))
    add(opened, *(record(i, typed=False) for i in range(60, 70)))
    opened.settle()
    assert opened.info()["n_settled_segments"] > 0
    assert [found(opened, record(i)) for i in (3, 4, 65)] == [[3], [4], [65]]


@pytest.mark.parametrize("id_", [None, True, 1.5, b"x", 2**63, -(2**63) - 1, ("a",)])
def test_an_id_of_the_wrong_type(opened, id_):
    with opened.write() as writer:
        with pytest.raises(InputError, match="id"):
            writer.add(Document("text", id_), "hash", [], [])
        with pytest.raises(InputError, match="id"):
            writer.delete([id_])
        with pytest.raises(InputError, match="id"):
            opened.snapshot().documents([id_])
        writer.add(*record("good"))
    assert list(opened.snapshot().ids()) == ["good"]


def test_half_a_surrogate_pair_is_refused_by_name(opened):
    with opened.write() as writer:
        with pytest.raises(InputError, match=r"document 'x'.*character 2"):
            writer.add(*record("x", "ab\ud800"))
        with pytest.raises(InputError, match="id"):
            writer.add(*record("\udfff", "text"))
    assert opened.commit == 0


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (math.nan, "a.b"),
        (math.inf, "a.b"),
        (b"x", "a.b"),
        ({1: 2}, "a.b"),
        ({"c": [0, object()]}, r"a\.b\.c\[1\]"),
        ("\ud800", "a.b"),
        (np.float32(1), "a.b"),
        ({1, 2}, "a.b"),
    ],
)
def test_metadata_that_json_cannot_hold(opened, value, path):
    with opened.write() as writer, pytest.raises(InputError, match=f"document 'x'.*{path}"):
        writer.add(*record("x", metadata={"a": {"b": value}}))
    assert opened.commit == 0


def test_metadata_nested_without_end(opened):
    endless: dict[str, object] = {}
    endless["again"] = endless
    with opened.write() as writer, pytest.raises(InputError, match="nested too deep"):
        writer.add(*record("x", metadata=endless))


def test_metadata_that_is_no_mapping(opened):
    with opened.write() as writer, pytest.raises(InputError, match="must be a mapping"):
        writer.add(*record("x", metadata=[1]))


def test_a_matrix_that_cannot_be_stored(opened):
    document, content_hash, passages, encoded = record("x", n_passages=2)

    def with_second(matrix, token_ids=None):
        return document, content_hash, passages, [encoded[0], Encoded(matrix, token_ids)]

    good = encoded[1].matrix
    bad_nan, bad_zero = good.copy(), good.copy()
    bad_nan[4, 2], bad_zero[3] = np.nan, 0
    with opened.write() as writer:
        with pytest.raises(InputError, match=r"NaN.*document 'x', passage 1, token 4"):
            writer.add(*with_second(bad_nan))
        with pytest.raises(InputError, match=r"zero.*document 'x', passage 1, token 3"):
            writer.add(*with_second(bad_zero))
        with pytest.raises(InputError, match=r"shape \(10, 15\).*\(n_tokens, 16\)"):
            writer.add(*with_second(good[:, :15]))
        with pytest.raises(InputError, match="3 token ids for 10 embeddings"):
            writer.add(*with_second(good, np.zeros(3, np.int32)))
    assert opened.commit == 0


def test_rows_of_any_length_are_normalised(opened):
    document, content_hash, passages, (encoded,) = record("x")
    scaled = Encoded(encoded.matrix * 1e-6, encoded.token_ids)
    add(opened, (document, content_hash, passages, [scaled]))
    stored = opened.snapshot().embeddings(0)
    assert (stored * encoded.matrix).sum(axis=1).min() > 0.999


@pytest.mark.parametrize(
    "changed",
    [
        {"dim": 0},
        {"dim": True},
        {"dim": 8.0},
        {"dim": 10_000},
        {"seed": -1},
        {"codec": "residual3"},
        {"memory_bytes_max": 5},
        {"fresh_budget_tokens": -1},
    ],
)
def test_settings_out_of_range(changed):
    with pytest.raises(SettingsError, match=next(iter(changed))):
        storing.settings(**changed)


def test_settings_come_back(tmp_path):
    made = storing.settings(model={"name": "m", "length": 300}, passages={"size": 7}, seed=9)
    store.create(tmp_path / "a", made).close()
    with store.open(tmp_path / "a") as opened:
        assert opened.settings == made


def test_create_refuses_what_is_there(folder, opened, tmp_path):
    with pytest.raises(CollectionError, match=r"a collection already.*interlace.open"):
        store.create(folder, storing.settings())
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    with pytest.raises(CollectionError, match=r"not empty.*letter\.txt"):
        store.create(tmp_path / "full", storing.settings())
    with pytest.raises(CollectionError, match="not a folder"):
        store.create(tmp_path / "full" / "letter.txt", storing.settings())
    assert list((tmp_path / "full").iterdir()) == [tmp_path / "full" / "letter.txt"]


def test_create_in_an_empty_or_deep_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    store.create(tmp_path / "empty", storing.settings()).close()
    store.create(tmp_path / "a" / "b" / "ü c?#%", storing.settings()).close()
    store.open(tmp_path / "a" / "b" / "ü c?#%").close()


def test_open_what_is_no_collection(tmp_path):
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(NotACollection, match=rf"{path}.*interlace\.create"):
            store.open(path)
    assert not (tmp_path / "nothing").exists()


def test_open_with_options_out_of_range(opened, folder):
    with pytest.raises(SettingsError, match="settle"):
        store.open(folder, settle="sometimes")
    with pytest.raises(SettingsError, match="n_threads"):
        store.open(folder, n_threads=0)


def test_a_closed_store_says_so(opened):
    fill(opened, 0, 1)
    snapshot = opened.snapshot()
    opened.close()
    opened.close()
    with pytest.raises(CollectionError, match="closed"):
        snapshot.documents([0])
    with pytest.raises(CollectionError, match="closed"):
        opened.snapshot()


def test_a_second_writer_in_another_thread_is_told_who_writes(opened):
    with (
        opened.write(),
        ThreadPoolExecutor(1) as another,
        pytest.raises(Locked, match=rf"process {os.getpid()} on .*, writing since 20"),
    ):
        another.submit(opened.write, wait_seconds=0.05).result()
    opened.write().abandon()


def test_a_thread_does_not_wait_for_itself(opened, folder, monkeypatch):
    def refuse(_: float) -> None:
        raise AssertionError("it waits")

    monkeypatch.setattr(files.time, "sleep", refuse)
    with store.open(folder, lock_wait_seconds=60) as other, opened.write() as writer:
        for work in (opened.write, opened.settle, opened.compact, other.write, other.compact):
            with pytest.raises(Locked, match=r"itself at work.* Use the writer that is open"):
                work()
        writer.add(*record(1))
    with other.write() as writer:
        writer.add(*record(2))
    assert opened.snapshot().n_documents == 2


def test_a_wait_is_logged_with_what_it_is_for(opened, caplog, monkeypatch):
    monkeypatch.setattr("interlace.store.folder._SILENT_SECONDS", 0.01)
    with ThreadPoolExecutor(1) as another, caplog.at_level("INFO", "interlace"):
        with (
            another.submit(opened._folder.shape_lock, "rebuilding").result(),
            pytest.raises(Locked, match=rf"{opened.path}: .*, rebuilding since"),
        ):
            opened._folder.shape_lock("compacting", 0.02)
        opened.compact()
    (told,) = [one.getMessage() for one in caplog.records if one.name.startswith("interlace")]
    assert re.fullmatch(rf"waiting for process .*, rebuilding since .*: {opened.path}\.", told)


def test_many_threads_on_one_snapshot(opened):
    fill(opened, 0, 120, metadata={"n": 1})
    expected = {i: found(opened, record(i), k=3) for i in range(32)}
    problems: list[object] = []

    def work(i: int) -> None:
        for _ in range(5):
            if found(opened, record(i), k=3) != expected[i]:
                problems.append(i)
            if opened.snapshot().documents([i])[i].id != i:
                problems.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems


def test_readers_while_a_writer_writes(opened):
    fill(opened, 0, 30)
    done = threading.Event()
    problems: list[BaseException | object] = []

    def read() -> None:
        try:
            while not done.is_set():
                opened.refresh()
                snapshot = opened.snapshot()
                n = snapshot.n_documents
                if len(list(snapshot.ids())) != n or n % 10:
                    problems.append(n)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for first in range(100, 300, 20):
        fill(opened, first, first + 20)
        with opened.write() as writer:
            writer.delete(range(first, first + 10))
    done.set()
    for thread in threads:
        thread.join()
    assert not problems
    assert opened.verify().ok


def test_info(opened):
    fill(opened, 0, 10)
    info = opened.info()
    assert (info["n_documents"], info["n_fresh_tokens"], info["generation"]) == (10, 100, None)
    fill(opened, 10, 100)
    info = opened.info()
    assert info["n_settled_tokens"] == 1000
    assert info["generation"]
    assert all(n > 0 for part, n in info["bytes"].items() if part != "fresh")

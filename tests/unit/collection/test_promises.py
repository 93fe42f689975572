"""Promises of the collection that were once broken, each with the smallest steps that showed it."""

from __future__ import annotations

import hashlib
import threading

import numpy as np
import pytest

import interlace
from interlace import kernels
from interlace.errors import InputError, SettingsError
from interlace.store import Settings, Snapshot, Writer


@pytest.fixture
def notes(tmp_path, encoder):
    with interlace.create(tmp_path / "notes.lace", encoder) as collection:
        yield collection


def test_a_long_document_is_explained_without_reading_it_for_each_passage(notes, monkeypatch):
    words = " ".join(f"word{i} stands here." for i in range(2_000))
    notes.add([{"id": "long", "text": words}])
    (hit,) = notes.search("word1500 stands here", k=1)
    read = []
    snapshot = type(notes._store.snapshot())
    passages = snapshot.passages
    monkeypatch.setattr(
        snapshot, "passages", lambda self, rows: read.extend(rows) or passages(self, rows)
    )
    explanation = notes.explain("word1500 stands here", hit)
    assert len(read) == 1
    assert explanation.score == hit.late_score


def test_a_hit_of_a_document_that_was_replaced_is_not_explained_by_the_new_text(notes):
    notes.add([{"id": "a", "text": "The sky is blue."}])
    (hit,) = notes.search("sky")
    notes.add([{"id": "a", "text": "The sea is salty."}])
    with pytest.raises(InputError, match="Search again"):
        notes.explain("sky", hit)


def test_every_add_is_seen_by_its_own_process_while_others_search(notes):
    notes.add(["The first text."])
    stop = threading.Event()

    def search():
        while not stop.is_set():
            notes.search("text", k=1)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for i in range(60):
            notes.add([{"id": i, "text": f"Text number {i}."}])
            assert i in notes
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def files(path) -> dict[str, str]:
    return {
        file.suffix + str(file.stat().st_size): hashlib.sha256(file.read_bytes()).hexdigest()
        for folder in ("segments", "codec")
        for file in sorted((path / folder).rglob("*.*"))
    }


def test_the_same_records_give_the_same_files_on_any_number_of_threads(tmp_path):
    found = []
    for n_threads in (1, 3):
        random = np.random.default_rng(0)
        path = tmp_path / f"{n_threads}.lace"
        with interlace.create(path, model=None, dim=16, n_threads=n_threads) as made:
            made.add(
                (f"document {i}" for i in range(400)),
                embeddings=(random.normal(size=(20, 16)) for _ in range(400)),
                token_ids=(np.arange(20) % 7 for _ in range(400)),
            )
            made.settle()
        found.append(files(path))
    assert found[0] == found[1]
    assert any(name.startswith(".settled") for name in found[0])


def test_threads_reach_the_encoder(tmp_path):
    with interlace.create(tmp_path / "x.lace", n_threads=1) as made:
        made.add(["A text."])
        assert made._model._speaker().encoder.n_threads == 1
    with interlace.open(tmp_path / "x.lace", n_threads=1) as opened:
        opened.search("text")
        assert opened._model._speaker().encoder.n_threads == 1


def test_a_document_is_never_in_memory_as_floats(notes, monkeypatch):
    """Its matrices are made integers one after another, in `add` and inside a `writer` block."""
    held = []
    prepare, add = Snapshot.prepare, Writer.add

    def watched_prepare(self, id_, encoded):
        held.append(isinstance(encoded, (list, tuple)))
        return prepare(self, id_, encoded)

    def watched_add(self, document, content_hash, passages, encoded):
        held.append(isinstance(encoded, list))
        return add(self, document, content_hash, passages, encoded)

    monkeypatch.setattr(Snapshot, "prepare", watched_prepare)
    monkeypatch.setattr(Writer, "add", watched_add)
    notes.add(["word " * 3_000])
    with notes.writer() as changes:
        changes.add(["a word " * 3_000])
    assert held == [False] * 3


def test_titles_count_in_a_batch():
    from interlace.collection import batches as rooms

    stream = rooms.entries((f"title {i}" for i in range(10_000)), None, None, Settings(dim=8))
    sizes = [len(batch.entries) for batch in rooms.batches(stream, n_bytes_max=1_000_000)]
    assert max(sizes) < 2_000
    heavy = ({"id": i, "text": "x", "metadata": {"m": "y" * 5_000}} for i in range(1_000))
    stream = rooms.entries(heavy, None, None, Settings(dim=8))
    sizes = [len(batch.entries) for batch in rooms.batches(stream, n_bytes_max=1_000_000)]
    assert max(sizes) < 200


@pytest.mark.parametrize(("one", "other"), [(1, True), (1, 1.0), (0, False)])
def test_metadata_of_another_type_are_other_metadata(notes, one, other):
    for value in (one, other):
        notes.add([{"id": "a", "text": "The same.", "metadata": {"f": value}}])
    (document,) = notes.get(["a"])
    assert type(document.metadata["f"]) is type(other)


def test_adding_a_text_again_keeps_its_metadata(notes):
    notes.add(["The same."])
    (id_,) = notes.ids()
    notes.update_metadata(id_, {"year": 2021})
    notes.add(["The same."])
    assert notes.get([id_])[0].metadata == {"year": 2021}


@pytest.mark.parametrize("id_", [None, 1.5, True, [1]])
def test_metadata_of_no_id_are_refused(notes, id_):
    with pytest.raises(InputError, match="id"):
        notes.update_metadata(id_, {})


def test_membership_takes_what_get_takes(notes):
    notes.add([{"id": 5, "text": "five"}])
    assert np.int64(5) in notes
    assert 10**30 not in notes
    assert None not in notes
    assert "5" not in notes


@pytest.mark.parametrize("wrong", [{"effort": "bogus"}, {"by": "bogus"}])
def test_wrong_words_are_refused_without_queries_too(notes, wrong):
    with pytest.raises(SettingsError, match="bogus"):
        notes.search_many([], **wrong)


def test_rerank_counts_as_search_does():
    texts = [{"id": 7, "text": "Ice floats."}, "The sky is blue."]
    hits = interlace.rerank("sky", texts, k=np.int64(1))
    assert [hit.id for hit in hits] == [1]
    with pytest.raises(InputError, match="Give both an id"):
        interlace.rerank("sky", [{"id": 1, "text": "Ice floats."}, "The sky is blue."])


def test_a_failing_source_says_what_is_stored(notes, monkeypatch):
    from interlace.collection import collection

    real = collection.batches
    monkeypatch.setattr(collection, "batches", lambda stream: real(stream, n_bytes_max=1))

    def source():
        yield "one"
        raise OSError("the disk of the source")

    with pytest.raises(OSError, match="the disk of the source") as caught:
        notes.add(source())
    assert caught.value.__notes__ == ["1 documents of this call are stored."]
    assert len(notes) == 1


def test_a_report_names_the_first_hundred(notes):
    report = notes.add([{"id": i, "text": "?!"} for i in range(150)])
    assert report.n_empty == 150
    assert report.empty == list(range(100))


def test_a_refresh_that_fails_gives_the_lock_back(notes, monkeypatch):
    def fail():
        raise InputError("no")

    with monkeypatch.context() as patch:
        patch.setattr(notes._store, "refresh", fail)
        with pytest.raises(InputError), notes.writer():
            pass
    with interlace.open(notes.path, lock_wait_seconds=0) as other:
        other.delete(["nobody"])


def test_odd_lengths_of_rows_are_brought_to_one(tmp_path):
    rows = np.eye(4, dtype=np.float32) * np.array([[1e-30], [1e30], [1], [3e38]], np.float32)
    with interlace.create(tmp_path / "x.lace", model=None, dim=4) as made:
        made.add(["x"], embeddings=[rows])
        (hit,) = made.search(embeddings=np.eye(4))
        assert hit.mean_score == pytest.approx(1, abs=1e-3)


def test_batches_are_cut_by_their_tokens():
    from interlace.collection import batches as rooms

    records = (f"{i:04}" * 100 for i in range(100))  # some hundred tokens each
    stream = rooms.entries(records, None, None, Settings(dim=8))
    sizes = [len(batch.entries) for batch in rooms.batches(stream, n_tokens_max=1_000)]
    assert sizes == [10] * 10


def test_info_tells_why_settling_failed(notes):
    assert notes.info()["last_settle_error"] is None
    notes._store.last_settle_error = OSError("the disk is full")
    assert notes.info()["last_settle_error"] == "the disk is full"


def test_info_tells_what_runs_the_model(notes, encoder):
    assert notes.info()["kernels"] == kernels.table().name
    assert notes.info()["encoder"] is None
    notes.search("sky")
    names = ("backend", "precision", "device", "n_threads")
    assert notes.info()["encoder"] == {name: getattr(encoder, name) for name in names}
    with interlace.open(notes.path) as opened:
        told = opened.info(load=True)
        assert (told["encoder"]["backend"], told["encoder_error"]) == (encoder.backend, None)


def test_info_tells_why_the_model_cannot_be_loaded(tmp_path):
    with interlace.create(tmp_path / "x.lace", lambda texts: [np.eye(4)] * len(texts)) as made:
        made.add(["x"])
        told = made.info(load=True)
        assert (told["encoder"], told["encoder_error"]) == (None, None)  # it is whose it is
    with interlace.open(tmp_path / "x.lace") as opened:
        assert opened.info()["encoder_error"] is None
        told = opened.info(load=True)
        assert told["encoder"] is None
        assert "Pass the object" in told["encoder_error"]
    with interlace.create(tmp_path / "none.lace", model=None, dim=4) as made:
        told = made.info(load=True)
        assert (told["encoder"], told["encoder_error"]) == (None, None)


def test_an_empty_id_is_refused_wherever_it_comes(notes):
    with pytest.raises(InputError, match="id is empty"):
        notes.add([{"id": "", "text": "x"}])
    for ask in (notes.delete, notes.get, lambda ids: notes.search("x", ids=ids)):
        with pytest.raises(InputError, match="id is empty: item 0 of ids"):
            ask([""])
    assert "" not in notes
    assert len(notes) == 0


def test_many_ids_are_asked_for_in_one_statement(notes, monkeypatch):
    notes.add({"id": i, "text": f"Text number {i}."} for i in range(50))
    snapshot = notes._store.snapshot()
    asked = []
    find = type(snapshot).find
    monkeypatch.setattr(
        type(snapshot), "find", lambda self, ids: asked.append(list(ids)) or find(self, ids)
    )
    monkeypatch.setattr(type(snapshot), "contains", lambda *_: pytest.fail("one at a time"))
    assert {hit.id for hit in notes.search("text", 50, ids=range(40))} == set(range(40))
    assert asked == [list(range(40))]
    with pytest.raises(InputError, match="id 77 and 1 more"):
        notes.search("text", ids=[3, 77, 78])


def test_a_passage_may_be_one_token(tmp_path, encoder):
    with interlace.create(tmp_path / "x.lace", encoder, passage_tokens=1) as made:
        assert made.add(["sky sea ice"]).n_passages == 3

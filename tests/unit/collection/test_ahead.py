"""A batch is encoded while the one before is stored: nobody may notice but by the clock."""

from __future__ import annotations

import threading
from contextlib import closing

import numpy as np
import pytest

import interlace
from interlace.collection import folders
from interlace.collection.ahead import one_ahead
from interlace.errors import InterlaceError
from interlace.store import Writer

N_FILES = 12


def ours():
    return [one.name for one in threading.enumerate() if one.name.startswith("interlace")]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert not ours()


@pytest.fixture
def docs(tmp_path, monkeypatch):
    """A folder that is indexed in six commits."""
    monkeypatch.setattr(folders, "BATCH_TOKENS", 300)
    folder = tmp_path / "docs"
    folder.mkdir()
    for i in range(N_FILES):
        (folder / f"{i:02}.txt").write_text(f"Ship {i} sails to harbour {i * i}. " * 25)
    return folder


@pytest.fixture
def on_two(encoder, tmp_path):
    """Makes collections that may encode ahead, whatever the machine has."""
    made = []

    def create(name="two.lace", n_threads=2, model=encoder):
        made.append(interlace.create(tmp_path / name, model=model, n_threads=n_threads))
        return made[-1]

    yield create
    for one in made:
        one.close()


# --- things in general ---------------------------------------------------------------------------


def nothing(*_: object) -> None:
    pass


def test_the_next_is_worked_on_while_the_present_one_is_held():
    going = threading.Event()

    def work(thing, tell):
        if thing == 1:
            going.set()

    with closing(one_ahead(range(3), work, nothing)) as stream:
        assert next(stream) == 0
        assert going.wait(60)
        assert list(stream) == [1, 2]


def test_only_the_work_leaves_the_callers_thread():
    here, workers = threading.get_ident(), []

    def things():
        for i in range(4):
            assert threading.get_ident() == here
            yield i

    def work(thing, tell):
        workers.append(threading.get_ident())
        tell(thing, "begun")

    heard = []

    def told(thing, what):
        assert threading.get_ident() == here
        heard.append((thing, what))

    assert list(one_ahead(things(), work, told)) == [0, 1, 2, 3]
    assert heard == [(i, "begun") for i in range(4)]
    assert workers[0] == here
    assert here not in workers[1:]


def test_one_thing_needs_no_thread(monkeypatch):
    monkeypatch.setattr(threading.Thread, "start", lambda _: pytest.fail("a thread"))
    assert list(one_ahead([], nothing, nothing)) == []
    assert list(one_ahead([7], nothing, nothing)) == [7]


def test_no_more_than_two_are_held():
    n_taken = n_done = 0

    def things():
        nonlocal n_taken
        for i in range(6):
            n_taken += 1
            assert n_taken - n_done <= 2
            yield i

    for _ in one_ahead(things(), nothing, nothing):
        n_done += 1
    assert n_done == 6


@pytest.mark.parametrize("at", [0, 1, 3])
def test_an_error_of_the_things_comes_after_those_before(at):
    def things():
        yield from range(at)
        raise ValueError("the reader")

    found = []
    with pytest.raises(ValueError, match="the reader"):
        found.extend(one_ahead(things(), nothing, nothing))
    assert found == list(range(at))


@pytest.mark.parametrize("at", [0, 1, 3])
def test_an_error_of_the_work_comes_after_those_before(at):
    def work(thing, tell):
        if thing == at:
            raise ValueError("the encoder")

    found = []
    with pytest.raises(ValueError, match="the encoder"):
        found.extend(one_ahead(range(5), work, nothing))
    assert found == list(range(at))


@pytest.mark.parametrize("ends", [GeneratorExit, KeyboardInterrupt, ValueError])
def test_work_that_nobody_waits_for_ends(ends):
    began, ended = threading.Event(), threading.Event()

    def work(thing, tell):
        try:
            while thing == 1:
                began.set()
                tell()
        finally:
            if thing == 1:
                ended.set()

    stream = one_ahead(range(3), work, nothing)
    assert next(stream) == 0
    assert began.wait(60)
    if ends is GeneratorExit:
        stream.close()
    else:
        with pytest.raises(ends):
            stream.throw(ends)
    assert ended.is_set()


def test_who_is_told_may_interrupt():
    def told(thing):
        if thing == 2:
            raise KeyboardInterrupt

    found = []
    with pytest.raises(KeyboardInterrupt):
        found.extend(one_ahead(range(5), lambda thing, tell: tell(thing), told))
    assert found == [0, 1]


# --- folders -------------------------------------------------------------------------------------


def test_the_next_batch_is_encoded_while_one_is_stored(on_two, docs, monkeypatch):
    encode, commit, begun, met = interlace.Encoder._encode, Writer.commit, threading.Event(), []

    def encoding(self, index, text, role):
        if "Ship 2 " in text:
            begun.set()
        return encode(self, index, text, role)

    def committing(self):
        if self.n_documents and not met:
            met.append(begun.wait(60))
        return commit(self)

    monkeypatch.setattr(interlace.Encoder, "_encode", encoding)
    monkeypatch.setattr(Writer, "commit", committing)
    on_two().index(docs)
    assert met == [True]


def test_the_same_is_stored_as_without(on_two, docs):
    def contents(notes):
        segments = sorted(file.read_bytes() for file in notes.path.rglob("*.fresh"))
        return segments, notes.get(notes.ids())

    one, two = on_two("1.lace", 1), on_two("2.lace", 2)
    reports = [notes.index(docs) for notes in (one, two)]
    assert reports[0] == reports[1]
    assert reports[0].n_files_new == N_FILES
    assert contents(one) == contents(two)


def test_progress_is_told_on_the_callers_thread_and_adds_up(on_two, docs):
    here, told = threading.get_ident(), []

    def progress(stage, done, total):
        assert threading.get_ident() == here
        told.append((stage, done, total))

    report = on_two().index(docs, progress=progress)
    last = {stage: (done, total) for stage, done, total in told}
    n_characters = sum(len(file.read_text()) for file in docs.iterdir())
    assert last["files"] == (N_FILES, N_FILES)
    assert last["tokens"] == (report.n_tokens, None)
    assert last["read"][0] == last["read"][1] <= n_characters
    for stage in last:
        done = [n for one, n, _ in told if one == stage]
        assert done == sorted(done)


def failing(monkeypatch, error, word):
    original = interlace.Encoder._encode

    def encode(self, index, text, role):
        if word in text:
            raise error
        return original(self, index, text, role)

    monkeypatch.setattr(interlace.Encoder, "_encode", encode)


def test_an_error_of_the_encoder_leaves_what_came_before(on_two, docs, monkeypatch):
    notes = on_two()
    failing(monkeypatch, InterlaceError("broken: the encoder."), "Ship 7 ")
    with pytest.raises(InterlaceError, match=r"^broken: the encoder\.$") as caught:
        notes.index(docs)
    assert caught.value.committed == len(notes) > 0
    assert not any(id_.endswith("07.txt") for id_ in notes.ids())
    monkeypatch.undo()
    assert notes.index(docs).n_documents <= N_FILES
    assert len(notes) == N_FILES


def test_an_error_of_the_store_ends_the_encoding(on_two, docs, monkeypatch):
    notes, store, n_left = on_two(), Writer.commit, [3]

    def commit(self):
        n_left[0] -= 1
        if not n_left[0]:
            raise InterlaceError("full: the disk.")
        return store(self)

    monkeypatch.setattr(Writer, "commit", commit)
    with pytest.raises(InterlaceError, match=r"^full: the disk\.$") as caught:
        notes.index(docs)
    assert not ours()
    assert caught.value.committed >= len(notes) > 0


def test_an_interrupted_index_goes_on_where_it_was(on_two, docs):
    notes = on_two()

    def progress(stage, done, total):
        if stage == "files" and done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        notes.index(docs, progress=progress)
    assert not ours()
    assert 0 < len(notes) < N_FILES
    notes.index(docs)
    assert len(notes) == N_FILES


def test_a_model_of_the_users_is_called_on_the_callers_thread(on_two, docs):
    here = threading.get_ident()

    class Model:
        def encode_document(self, texts):
            assert threading.get_ident() == here
            return [np.eye(4, dtype=np.float32) for _ in texts]

        encode_query = encode_document

    notes = on_two(model=Model())
    assert notes.index(docs).n_files_new == N_FILES

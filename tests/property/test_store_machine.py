"""A store against a dict: any order of writes, settling, merging, reopening and held snapshots."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
import storing
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from interlace import files, store
from interlace.types import Document, Id

IDS = st.one_of(st.integers(0, 12), st.integers(0, 12).map(str), st.sampled_from(["ü", " ", "a\0"]))
METADATA = st.dictionaries(
    st.text(max_size=3).filter(lambda text: text.isprintable()),
    st.one_of(st.none(), st.booleans(), st.integers(), st.text("aé\0", max_size=3)),
    max_size=2,
)


@dataclass
class Held:
    """A snapshot, and what it must show for ever."""

    snapshot: store.Snapshot
    documents: dict[Id, Document]


class StoreMachine(RuleBasedStateMachine):
    """``self.documents`` is the model: live documents in insertion order."""

    @initialize(codec=st.sampled_from(["residual1", "residual2", "residual4"]))
    def start(self, codec: str) -> None:
        self.root = Path(tempfile.mkdtemp())
        self.folder = self.root / "notes.lace"
        made = storing.settings(codec=codec, first_budget_tokens=60, fresh_budget_tokens=30)
        self.opened = store.create(self.folder, made, n_threads=1)
        self.documents: dict[Id, Document] = {}
        self.held: list[Held] = []
        self.n_versions = 0

    def new(self, id_: Id, n_passages: int, n_tokens: int, metadata: dict) -> storing.Record:
        self.n_versions += 1
        text = f"version {self.n_versions} of {id_!r}"
        return storing.record(
            id_, text, n_passages=n_passages, n_tokens=n_tokens, metadata=metadata
        )

    @rule(
        ids=st.lists(IDS, min_size=1, max_size=5),
        gone=st.lists(IDS, max_size=2),
        n_passages=st.integers(0, 3),
        n_tokens=st.sampled_from([0, 1, 7, 12]),
        metadata=METADATA,
    )
    def write(self, ids, gone, n_passages, n_tokens, metadata) -> None:
        with self.opened.write() as writer:
            assert writer.delete(gone) == len({id_ for id_ in gone if id_ in self.documents})
            for id_ in gone:
                self.documents.pop(id_, None)
            for id_ in ids:
                one = self.new(id_, n_passages, n_tokens, metadata)
                writer.add(*one)
                self.documents.pop(id_, None)
                self.documents[id_] = one[0]
                assert writer.known([id_])[id_].content_hash == one[1]

    @rule(id_=IDS, metadata=METADATA)
    def update_metadata(self, id_, metadata) -> None:
        with self.opened.write() as writer:
            assert writer.update_metadata(id_, metadata) == (id_ in self.documents)
        if id_ in self.documents:
            self.documents[id_] = Document(self.documents[id_].text, id_, metadata)

    @rule(ids=st.lists(IDS, min_size=1, max_size=3))
    def write_that_fails(self, ids) -> None:
        def change() -> None:
            with self.opened.write() as writer:
                writer.delete(list(self.documents)[:2])
                for id_ in ids:
                    writer.add(*self.new(id_, 1, 12, {}))
                raise KeyError

        with pytest.raises(KeyError):
            change()

    @rule()
    def settle(self) -> None:
        self.opened.settle()

    @rule()
    def compact(self) -> None:
        self.opened.compact()

    @rule()
    def hold(self) -> None:
        self.held.append(Held(self.opened.snapshot(), dict(self.documents)))
        del self.held[:-3]

    @rule()
    def reopen(self) -> None:
        self.held.clear()
        self.opened.close()
        self.opened = store.open(self.folder, n_threads=1)

    @rule()
    def verify(self) -> None:
        report = self.opened.verify()
        assert report.ok, report.problems

    @invariant()
    def reads_the_same(self) -> None:
        self.check(Held(self.opened.snapshot(), self.documents))
        for held in self.held:
            self.check(held)

    def check(self, held: Held) -> None:
        snapshot, documents = held.snapshot, held.documents
        assert list(snapshot.ids()) == list(documents)
        assert snapshot.documents(list(documents)) == documents
        assert snapshot.n_documents == len(documents)
        rows = snapshot.rows_of(list(documents))
        assert len(rows) == snapshot.n_passages
        stored = snapshot.passages(rows)
        assert {p.id for p in stored} <= set(documents)
        assert all(p.text == documents[p.id].text[p.start : p.end] for p in stored)
        matrix, _ = storing.matrix(1, 3)
        for by, n in (("passage", snapshot.n_passages), ("document", len({p.id for p in stored}))):
            found = store.search(snapshot, matrix, 7, effort="fast", by=by)
            assert len(found.rows) == min(7, n)
            assert (found.scores[:-1] >= found.scores[1:]).all()
            assert {p.id for p in snapshot.passages(found.rows)} <= set(documents)

    def teardown(self) -> None:
        if hasattr(self, "opened"):
            report = self.opened.verify()
            self.opened.close()
            shutil.rmtree(self.root)
            assert report.ok, report.problems


@pytest.fixture(autouse=True)
def _without_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(files, "sync_file", lambda fd: None)


StoreMachine.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
TestStore = pytest.mark.usefixtures("_without_waiting_for_the_disk")(StoreMachine.TestCase)

"""A store against dicts: any order of writes, settling, merging, reopening and held snapshots."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
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
NAMES = st.sampled_from(["a", "a/b", "a/b/c", "a!", "a0", "ü", " "])
LINES = st.one_of(st.none(), st.integers(1, 9))


@dataclass
class Held:
    """A snapshot, and what it must show for ever; a document's place apart, which has no versions.

    ``sources`` are options by path, ``files`` paths of sources and fingerprints by name.
    """

    snapshot: store.Snapshot
    documents: dict[Id, Document]
    sources: dict[str, int]
    files: dict[str, tuple[str, str]]


def line_of(text: str, line: int | None, start: int) -> int | None:
    """The line of a passage that starts there, in a text that begins in a line."""
    return None if line is None else line + text.count("\n", 0, start)


def owner(file: str | None, names: set[str], above: str) -> str | None:
    """The nearest of these names that a file is or lies in, from ``above`` on."""
    while file is not None and len(file) >= len(above):
        if file in names:
            return file
        file = file.rpartition("/")[0]
    return None


class StoreMachine(RuleBasedStateMachine):
    """``self.documents`` is the model: live documents in insertion order."""

    @initialize(codec=st.sampled_from(["residual1", "residual2", "residual4"]))
    def start(self, codec: str) -> None:
        self.root = Path(tempfile.mkdtemp())
        self.folder = self.root / "notes.lace"
        made = storing.settings(codec=codec, first_budget_tokens=60, fresh_budget_tokens=30)
        self.opened = store.create(self.folder, made, n_threads=1)
        self.documents: dict[Id, Document] = {}
        self.sources: dict[str, int] = {}
        self.files: dict[str, tuple[str, str]] = {}
        self.held: list[Held] = []
        self.n_versions = 0

    def new(
        self, id_: Id, n_passages: int, n_tokens: int, metadata: dict, file=None, line=None
    ) -> storing.Record:
        self.n_versions += 1
        text = f"version\n{self.n_versions} of\n{id_!r}"
        document, content_hash, passages, encoded = storing.record(
            id_,
            text,
            n_passages=n_passages,
            n_tokens=n_tokens,
            metadata=metadata,
            dim=self.opened.settings.dim,
        )
        passages = [replace(one, line=line_of(text, line, one.start)) for one in passages]
        return replace(document, file=file, line=line), content_hash, passages, encoded

    @rule(
        ids=st.lists(IDS, min_size=1, max_size=5),
        gone=st.lists(IDS, max_size=2),
        n_passages=st.integers(0, 3),
        n_tokens=st.sampled_from([0, 1, 7, 12]),
        metadata=METADATA,
        file=st.one_of(st.none(), NAMES),
        line=LINES,
    )
    def write(self, ids, gone, n_passages, n_tokens, metadata, file, line) -> None:
        with self.opened.write() as writer:
            assert writer.delete(gone) == len({id_ for id_ in gone if id_ in self.documents})
            for id_ in gone:
                self.documents.pop(id_, None)
            for id_ in ids:
                one = self.new(id_, n_passages, n_tokens, metadata, file, line)
                writer.add(*one)
                self.documents.pop(id_, None)
                self.documents[id_] = one[0]
                assert writer.known([id_]) == {id_: store.Known(one[1], file, line)}

    @rule(id_=IDS, metadata=METADATA)
    def update_metadata(self, id_, metadata) -> None:
        with self.opened.write() as writer:
            assert writer.update_metadata(id_, metadata) == (id_ in self.documents)
        if id_ in self.documents:
            self.documents[id_] = replace(self.documents[id_], metadata=metadata)

    @rule(id_=IDS, file=st.one_of(st.none(), NAMES), line=LINES)
    def set_place(self, id_, file, line) -> None:
        with self.opened.write() as writer:
            assert writer.set_place(id_, file, line) == (id_ in self.documents)
        if id_ not in self.documents:
            return
        text = self.documents[id_].text
        for documents in [self.documents, *(held.documents for held in self.held)]:
            if id_ in documents and documents[id_].text == text:
                documents[id_] = replace(documents[id_], file=file, line=line)

    @rule(path=st.sampled_from("pqr"), options=st.integers(0, 1), names=st.sets(NAMES, max_size=3))
    def follow(self, path, options, names) -> None:
        """Every other name with the same fingerprint as ever, the others with a new one."""
        with self.opened.write() as writer:
            number = writer.add_source(path, path, {"options": options})
            assert writer.add_source(path, path, {"options": options}) == number
            self.sources[path] = options
            for i, name in enumerate(sorted(names)):
                fingerprint = "same" if i % 2 else str(self.n_versions)
                writer.set_file(name, number, fingerprint)
                self.files[name] = (path, fingerprint)

    @rule(path=st.sampled_from("pqr"))
    def forget_source(self, path) -> None:
        with self.opened.write() as writer:
            number = {one.path: one.number for one in writer.sources()}.get(path, 99)
            assert writer.forget_source(number) == (path in self.sources)
            self.sources.pop(path, None)
            self.files = {name: one for name, one in self.files.items() if one[0] != path}
            assert sorted(one.path for one in writer.sources()) == sorted(self.sources)

    @rule(name=NAMES)
    def forget_file(self, name) -> None:
        with self.opened.write() as writer:
            assert writer.forget_file(name) == (name in self.files)
        self.files.pop(name, None)

    @rule(ids=st.lists(IDS, min_size=1, max_size=3))
    def write_that_fails(self, ids) -> None:
        def change() -> None:
            with self.opened.write() as writer:
                writer.delete(list(self.documents)[:2])
                for id_ in ids:
                    writer.add(*self.new(id_, 1, 12, {}))
                    writer.set_file(str(id_), writer.add_source("s", "s", {}), "lost")
                for source in writer.sources():
                    writer.forget_source(source.number)
                raise KeyError

        with pytest.raises(KeyError):
            change()

    @rule()
    def settle(self) -> None:
        self.opened.settle()

    @rule()
    def compact(self) -> None:
        self.opened.compact()

    @rule(
        codec=st.sampled_from(["residual1", "residual2", "residual4"]),
        dim=st.sampled_from([storing.DIM, storing.DIM, 24]),
        n_passages=st.integers(0, 3),
        ids=st.lists(IDS, max_size=3),
        gone=st.lists(IDS, max_size=3),
        file=st.one_of(st.none(), NAMES),
        line=LINES,
    )
    def rebuild(self, codec, dim, n_passages, ids, gone, file, line) -> None:
        """Some documents are cut anew, and some written, moved and deleted meanwhile."""

        def meanwhile() -> None:
            if ids:
                self.write(ids, gone, 2, 7, {"while": True}, file, line)
            for id_ in list(self.documents)[:2]:
                self.set_place(id_, file, line)

        def encode(documents):
            for document in documents:
                n = n_passages if "1" in document.text else 1
                made = storing.record(document.id, document.text, n_passages=n, dim=dim)
                passages = [
                    replace(one, line=line_of(document.text, document.line, one.start))
                    for one in made[2]
                ]
                while todo:
                    todo.pop()()
                yield made[1], passages, made[3]

        todo = [meanwhile]
        settings = replace(self.opened.settings, codec=codec, dim=dim)
        report = self.opened.rebuild(settings, encode)
        assert report.n_documents >= len(self.documents)
        assert self.opened.settings == settings

    @rule()
    def hold(self) -> None:
        self.held.append(self.now())
        del self.held[:-3]

    def now(self) -> Held:
        snapshot = self.opened.snapshot()
        return Held(snapshot, dict(self.documents), dict(self.sources), dict(self.files))

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
        for held in [self.now(), *self.held]:
            self.check(held)
            self.check_files(held)
            self.check_filter(held)

    def check_files(self, held: Held) -> None:
        snapshot = held.snapshot
        sources = snapshot.sources()
        assert {one.path: one.options["options"] for one in sources} == held.sources
        files = {
            name: (one.path, fingerprint)
            for one in sources
            for name, fingerprint in snapshot.files(one.number).items()
        }
        assert files == held.files
        for name in {document.file for document in held.documents.values()} - {None}:
            expected = [
                id_
                for id_, document in held.documents.items()
                if owner(document.file, {*files, name}, name) == name
            ]
            assert snapshot.ids_of_file(name) == expected

    def check_filter(self, held: Held) -> None:
        """Every value of every document finds just the documents that have it."""
        having: dict[tuple[str, bool | str], list[Id]] = {}
        for id_, document in held.documents.items():
            for name, value in document.metadata.items():
                if isinstance(value, bool | str) and not name.startswith("$"):
                    having.setdefault((name, value), []).append(id_)
        for (name, value), ids in having.items():
            assert held.snapshot.ids_where({name: value}) == ids
            rows = np.flatnonzero(
                np.unpackbits(held.snapshot.where({name: value}), bitorder="little")
            )
            assert set(held.snapshot.rows_of(ids)) == set(rows)

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
        assert all(p.file == documents[p.id].file for p in stored)
        for p in stored:
            assert p.line == line_of(documents[p.id].text, documents[p.id].line, p.start)
        matrix, _ = storing.matrix(1, 3, snapshot.settings.dim)
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

"""A collection against a dict and an oracle: any order of all that a user can do to it.

The ordinary run does some hundred operations, ``python tests/fault "random operations"`` thousands.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import oracle
import pytest
import storing
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import interlace
from interlace import files, store
from interlace.errors import InputError
from interlace.types import Id

DIM = 8
K = 5
IDS = st.one_of(st.integers(0, 9), st.integers(0, 9).map(str), st.just("ü ' \" %"))
NUMBERS = st.integers(0, 4)
METADATA = st.one_of(st.just({}), NUMBERS.map(lambda n: {"n": n}))
TOLERANCE = 0.06
"""How far a score may be from the oracle's on the stored embeddings, a query token."""


class Doc(NamedTuple):
    """What was added."""

    text: str
    metadata: Mapping[str, Any]

    @property
    def matrix(self) -> np.ndarray:
        """A matrix that the text alone decides; some have no token."""
        digest = hashlib.sha256(self.text.encode()).digest()
        return storing.matrix(digest[0] + 256 * digest[1], (0, 1, 3, 8)[digest[2] % 4], DIM)[0]


Model = dict[Id, Doc]


def maxsim(query: np.ndarray, stored: np.ndarray) -> float:
    """As the oracle's, of what is stored: a token far from what the codec knows is no unit row."""
    if not len(stored):
        return float(-len(query))
    return float((oracle.unit(query) @ stored.T).max(axis=1).sum())


class Broken(Exception):
    """What a user's block raises."""


class CollectionMachine(RuleBasedStateMachine):
    """``self.model`` is what must be there, in insertion order."""

    @initialize(codec=st.sampled_from(["residual1", "residual2", "residual4"]))
    def start(self, codec: str) -> None:
        self.root = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        self.folder = self.root / "notes.lace"
        made = store.Settings(dim=DIM, codec=codec, first_budget_tokens=60, fresh_budget_tokens=30)
        store.create(self.folder, made).close()
        self.notes = interlace.open(self.folder, n_threads=1)
        self.other = interlace.open(self.folder, n_threads=1)
        self.manual = interlace.open(self.folder, n_threads=1, refresh="manual")
        self.model: Model = {}
        self.seen_by_manual: Model = {}
        self.iterators: list[tuple[Iterator[Id], list[Id]]] = []
        self.n_texts = self.n_folders = 0

    # --- changes -----------------------------------------------------------------------------
    def doc(self, metadata: Mapping[str, Any], old: Doc | None = None) -> Doc:
        if old is not None:
            return old._replace(metadata=metadata)
        self.n_texts += 1
        return Doc(f"text {self.n_texts}", metadata)

    @staticmethod
    def records(docs: Model) -> dict[str, Any]:
        """What ``add`` takes."""
        return {
            "records": [
                {"id": id_, "text": doc.text, "metadata": dict(doc.metadata)}
                for id_, doc in docs.items()
            ],
            "embeddings": [doc.matrix for doc in docs.values()],
        }

    def put(self, model: Model, docs: Model) -> None:
        """A text that is the same stays where it is, without metadata as it is."""
        for id_, doc in docs.items():
            if id_ in model and model[id_].text == doc.text:
                model[id_] = doc if doc.metadata else model[id_]
            else:
                model.pop(id_, None)
                model[id_] = doc

    def draw(self, ids: list[Id], metadata: Mapping[str, Any], same: bool) -> Model:
        return {id_: self.doc(metadata, self.model.get(id_) if same else None) for id_ in ids}

    @rule(ids=st.lists(IDS, max_size=6, unique=True), metadata=METADATA, same=st.booleans())
    def add(self, ids, metadata, same) -> None:
        docs = self.draw(ids, metadata, same)
        report = self.notes.add(**self.records(docs))
        unchanged = [i for i in ids if i in self.model and self.model[i].text == docs[i].text]
        assert report.unchanged == len(unchanged)
        assert report.replaced == len([i for i in ids if i in self.model]) - len(unchanged)
        assert report.n_documents == len(ids)
        self.put(self.model, docs)

    @rule(ids=st.lists(IDS, min_size=1, max_size=4, unique=True), metadata=METADATA)
    def skip(self, ids, metadata) -> None:
        docs = self.draw(ids, metadata, same=False)
        report = self.other.add(**self.records(docs), on_conflict="skip")
        new = {id_: doc for id_, doc in docs.items() if id_ not in self.model}
        assert (report.added, report.left_out) == (len(new), len(docs) - len(new))
        self.put(self.model, new)

    @rule(ids=st.lists(IDS, min_size=1, max_size=4, unique=True), metadata=METADATA)
    def add_only_new(self, ids, metadata) -> None:
        docs = self.draw(ids, metadata, same=False)
        if self.model.keys() & docs:
            with pytest.raises(InputError, match="in the collection already"):
                self.notes.add(**self.records(docs), on_conflict="error")
        else:
            self.notes.add(**self.records(docs), on_conflict="error")
            self.put(self.model, docs)

    @rule(
        gone=st.lists(IDS, max_size=3),
        ids=st.lists(IDS, max_size=3, unique=True),
        metadata=METADATA,
        breaks=st.booleans(),
    )
    def several(self, gone, ids, metadata, breaks) -> None:
        """One commit, or none."""
        model, docs = dict(self.model), self.draw(ids, metadata, same=False)
        try:
            with self.notes.writer() as changes:
                assert changes.delete(gone) == len(set(gone) & set(model))
                for id_ in gone:
                    model.pop(id_, None)
                changes.add(**self.records(docs))
                self.put(model, docs)
                for id_ in list(model)[:2]:
                    changes.update_metadata(id_, {"n": 9})
                    model[id_] = model[id_]._replace(metadata={"n": 9})
                self.reads(self.other, self.model)
                if breaks:
                    raise Broken
        except Broken:
            return
        self.model = model

    @rule(ids=st.lists(IDS, max_size=4), insists=st.booleans())
    def delete(self, ids, insists) -> None:
        known = [id_ for id_ in dict.fromkeys(ids) if id_ in self.model]
        if insists and len(known) < len(set(ids)):
            with pytest.raises(InputError):
                self.notes.delete(ids, missing="error")
            return
        assert self.notes.delete(ids) == len(known)
        for id_ in known:
            del self.model[id_]

    @precondition(lambda self: any("n" in doc.metadata for doc in self.model.values()))
    @rule(n=NUMBERS)
    def delete_where(self, n) -> None:
        gone = [id_ for id_, doc in self.model.items() if doc.metadata.get("n", -1) > n]
        assert self.other.delete(where={"n": {"$gt": n}}) == len(gone)
        for id_ in gone:
            del self.model[id_]

    @rule(id_=IDS, metadata=METADATA)
    def update_metadata(self, id_, metadata) -> None:
        if id_ not in self.model:
            with pytest.raises(InputError):
                self.notes.update_metadata(id_, metadata)
            return
        self.notes.update_metadata(id_, metadata)
        self.model[id_] = self.model[id_]._replace(metadata=metadata)

    # --- what changes nothing that can be seen -------------------------------------------------
    @rule()
    def settle(self) -> None:
        self.notes.settle()

    @rule()
    def compact(self) -> None:
        self.other.compact()

    @precondition(lambda self: self.model)
    @rule(bits=st.sampled_from([None, 1, 2, 4]))
    def rebuild(self, bits) -> None:
        self.notes.rebuild(
            bits=bits, embeddings={id_: doc.matrix for id_, doc in self.model.items()}
        )

    @rule()
    def reopen(self) -> None:
        self.iterators.clear()
        self.notes.close()
        self.notes = interlace.open(self.folder, n_threads=1)

    @rule()
    def refresh(self) -> None:
        self.manual.refresh()
        self.seen_by_manual = dict(self.model)

    @rule()
    def begin_to_read(self) -> None:
        """An iterator shows the commit at which it began, whatever comes."""
        iterator, expected = self.notes.ids(), list(self.model)
        if expected:
            assert next(iterator) == expected.pop(0)
        self.iterators.append((iterator, expected))

    @rule()
    def read_on(self) -> None:
        for iterator, expected in self.iterators:
            assert list(iterator) == expected
        self.iterators.clear()

    @rule()
    def copies(self) -> None:
        """A backup that is restored, and an export that is imported, have the same documents."""
        self.n_folders += 1
        self.notes.backup(self.root / "backup")
        restored = interlace.restore(self.root / "backup", self.root / f"restored {self.n_folders}")
        with restored:
            self.reads(restored, self.model)
            assert restored.verify().ok
        exported = self.root / f"{self.n_folders}.jsonl"
        self.notes.export(exported, embeddings=True)
        imported = interlace.create(
            self.root / f"imported {self.n_folders}", model=None, dim=DIM, n_threads=1
        )
        with imported:
            imported.import_(exported)
            self.reads(imported, self.model)

    @rule()
    def verify(self) -> None:
        report = self.other.verify()
        assert report.ok, report.problems

    # --- what must hold --------------------------------------------------------------------------
    @invariant()
    def reads_the_same(self) -> None:
        for notes, model in (
            (self.notes, self.model),
            (self.other, self.model),
            (self.manual, self.seen_by_manual),
        ):
            self.reads(notes, model)
        self.finds()

    def reads(self, notes: interlace.Collection, model: Model) -> None:
        ids = list(model)
        assert len(notes) == len(ids)
        assert list(notes.ids()) == ids
        documents = notes.get(ids)
        assert [(one.id, one.text, one.metadata) for one in documents] == [
            (id_, doc.text, doc.metadata) for id_, doc in model.items()
        ]

    def finds(self) -> None:
        """k means k, filters are exact, and every score is close to the oracle's."""
        query = storing.matrix(1 + self.n_texts % 7, 3, DIM)[0]
        snapshot = self.notes._store.snapshot()
        factor = self.notes.info()["fairness"] or 1.0
        truth = {}
        for id_ in self.model:
            (row,) = snapshot.rows_of([id_]).tolist()
            score = maxsim(query, snapshot.embeddings(row))
            is_plain = row < snapshot.n_fresh_rows or not len(self.model[id_].matrix)
            truth[id_] = score if is_plain else score * factor
        slack = len(query) * TOLERANCE
        self.compare(self.notes.search(embeddings=query, k=K, effort="exhaustive"), truth, slack)
        self.compare(self.other.search(embeddings=query, k=K, effort="fast"), truth, slack, False)
        if any("n" in doc.metadata for doc in self.model.values()):
            allowed = {i: truth[i] for i, one in self.model.items() if one.metadata.get("n") == 1}
            hits = self.other.search(embeddings=query, k=K, effort="exhaustive", where={"n": 1})
            self.compare(hits, allowed, slack)

        self.finds_words(query)

    def finds_words(self, query: np.ndarray) -> None:
        """Whoever has a word is found by it, and by nothing else; mixed searches find k."""
        for number in (self.n_texts, self.n_texts // 2):
            found = {hit.id for hit in self.other.search(str(number), 2 * K, mode="lexical")}
            wanted = {i for i, doc in self.model.items() if doc.text == f"text {number}"}
            assert found == wanted
        n = min(K, len(self.model))
        assert len(self.notes.search("text", K, mode="lexical")) == n
        hits = self.notes.search("text", K, mode="hybrid", embeddings=query)
        assert len(hits) == n
        assert {hit.id for hit in hits} <= set(self.model)

    @staticmethod
    def compare(hits: Any, truth: dict[Id, float], slack: float, is_exact: bool = True) -> None:
        ids = [hit.id for hit in hits]
        assert len(ids) == len(set(ids)) == min(K, len(truth)), (ids, truth)
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True)
        best = sorted(truth.values(), reverse=True)
        for rank, hit in enumerate(hits):
            assert abs(hit.score - truth[hit.id]) <= slack, (hit.id, hit.score, truth[hit.id])
            assert not is_exact or truth[hit.id] >= best[rank] - 2 * slack

    def teardown(self) -> None:
        if hasattr(self, "notes"):
            report = self.notes.verify()
            for one in (self.notes, self.other, self.manual):
                one.close()
            shutil.rmtree(self.root)
            assert report.ok, report.problems


@pytest.fixture(autouse=True)
def _without_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(files, "sync_file", lambda fd: None)


def options(examples: int, steps: int) -> settings:
    """Settings of a run."""
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


CollectionMachine.TestCase.settings = options(
    int(os.environ.get("INTERLACE_EXAMPLES", "8")), int(os.environ.get("INTERLACE_STEPS", "25"))
)
TestCollection = pytest.mark.usefixtures("_without_waiting_for_the_disk")(
    CollectionMachine.TestCase
)

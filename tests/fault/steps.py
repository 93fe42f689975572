"""What is done to a store, step by step, and what must be in it then.

A step is a JSON list: the name of an operation and its arguments. The model is a dict of what is
alive; ``after`` says what a step makes of it, ``perform`` does the step. Another operation is one
entry in ``OPERATIONS``.
"""

from __future__ import annotations

import dataclasses
import os
import random
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import storing

from interlace import store
from interlace.types import Document, Id

Step = list[Any]


class Version(NamedTuple):
    """A document at one time; ``number`` tells its text from that of others of the same id.

    ``n_first`` is how many passages it had when it was added, where that has changed.
    """

    number: int
    n_passages: int
    n_tokens: int
    metadata: Mapping[str, Any]
    n_first: int | None = None

    def record(self, id_: Id) -> storing.Record:
        """As a writer takes it."""
        n_first = self.n_passages if self.n_first is None else self.n_first
        text = f"version {self.number} of {id_!r}, {n_first} passages, {self.n_tokens} tokens each"
        return storing.record(
            id_,
            text,
            metadata=self.metadata,
            n_passages=self.n_passages,
            n_tokens=self.n_tokens,
        )

    def document(self, id_: Id) -> Document:
        """As a reader gets it."""
        return self.record(id_)[0]


Model = dict[Id, Version]


class Plan:
    """Draws steps that fit a model, and keeps the model."""

    def __init__(
        self,
        rng: random.Random,
        model: Model | None = None,
        first: int = 0,
        ids: range = range(150),
        recuts: bool = True,
    ) -> None:
        self.rng, self.model = rng, dict(model or {})
        self.n_versions, self._ids, self.recuts = first, ids, recuts

    def version(self) -> Version:
        self.n_versions += 1
        metadata = {"n": self.n_versions, "even": self.n_versions % 2 == 0}
        n_passages = self.rng.choice([0, 1, 1, 1, 2, 3])
        return Version(self.n_versions, n_passages, self.rng.choice([1, 7, 12]), metadata)

    def documents(self, n: int) -> list[list[Any]]:
        """New and replaced documents."""
        ids = {self.rng.choice(self._ids) for _ in range(n)}
        return [[id_, *self.version()] for id_ in sorted(ids)]

    def some(self, n: int) -> list[Id]:
        """Ids that are alive, as far as there are any."""
        return self.rng.sample(list(self.model), min(n, len(self.model)))

    def draw(self, name: str | None = None) -> Step:
        """The next step, of a name or of any."""
        names = [key for key, one in OPERATIONS.items() for _ in range(one.weight)]
        name = name or self.rng.choice(names)
        if len(self.model) > 120:
            name = "delete"
        step = [name, *OPERATIONS[name].arguments(self)]
        self.model = after(self.model, step)
        return step


class Operation(NamedTuple):
    """One row of the table: what it takes, does, and makes of the model."""

    weight: int
    arguments: Callable[[Plan], list[Any]]
    perform: Callable[..., store.Store | None]
    after: Callable[..., Model] = lambda model, *_: model


def perform(opened: store.Store, step: Step) -> store.Store:
    """Do a step; the store to go on with."""
    name, *arguments = step
    return OPERATIONS[name].perform(opened, *arguments) or opened


def after(model: Model, step: Step) -> Model:
    """What is alive after a step."""
    name, *arguments = step
    return OPERATIONS[name].after(model, *arguments)


# --- the operations ------------------------------------------------------------------------------
def _write(
    opened: store.Store, deleted: list[Id], added: list[list[Any]], metadata: list[list[Any]]
) -> None:
    with opened.write() as writer:
        writer.delete(deleted)
        for id_, *version in added:
            writer.add(*Version(*version).record(id_))
        for id_, value in metadata:
            writer.update_metadata(id_, value)


def _written(
    model: Model, deleted: list[Id], added: list[list[Any]], metadata: list[list[Any]]
) -> Model:
    model = {id_: version for id_, version in model.items() if id_ not in set(deleted)}
    for id_, *version in added:
        model.pop(id_, None)
        model[id_] = Version(*version)
    for id_, value in metadata:
        if id_ in model:
            model[id_] = model[id_]._replace(metadata=value)
    return model


def _new_metadata(plan: Plan) -> list[list[Any]]:
    return [[id_, {"changed": plan.rng.random()}] for id_ in plan.some(2)]


def _reopen(opened: store.Store) -> store.Store:
    opened.close()
    return store.open(opened.path, settle="auto" if opened._auto else "manual", n_threads=1)


def _attach(opened: store.Store, added: list[list[Any]]) -> None:
    """Build a collection beside this one, with its codec when it has one, and take it over."""
    path = opened.path.with_name(opened.path.name + ".other")
    shutil.rmtree(path, ignore_errors=True)
    with store.create(path, opened.settings, settle="manual", n_threads=1) as other:
        trained = opened.snapshot().generation is not None
        if trained:
            other.train_like(opened)
        _write(other, [], added, [])
        if trained:
            other.settle()
        opened.attach(other)
    shutil.rmtree(path, ignore_errors=True)


def _attached(model: Model, added: list[list[Any]]) -> Model:
    return _written(model, [], added, [])


def _rebuild(opened: store.Store, codec: str, cuts: list[list[int]] | None) -> None:
    """Encode all documents anew, with so many passages each; else with as many as at first."""
    n_passages = dict(map(tuple, cuts or ()))

    def encode(documents: Iterator[Document]) -> Iterator[tuple[str, Any, Any]]:
        for document in documents:
            number, n_first, n_tokens = map(int, _numbers(document.text))
            n = n_first if cuts is None else n_passages.get(document.id, 1)
            version = Version(number, n, n_tokens, {}, n_first)
            yield version.record(document.id)[1:]

    opened.rebuild(dataclasses.replace(opened.settings, codec=codec), encode)


def _numbers(text: str) -> list[str]:
    """The number of a version, its passages when it was added, and its tokens a passage."""
    return re.match(r"version (\d+) of .*, (\d) passages, (\d+) tokens", text).groups()


def _rebuilt(model: Model, codec: str, cuts: list[list[int]] | None) -> Model:
    if cuts is None:  # and all are as they were added
        return model
    n_passages = dict(map(tuple, cuts))
    return {
        id_: version._replace(
            n_passages=n_passages.get(id_, 1),
            n_first=version.n_passages if version.n_first is None else version.n_first,
        )
        for id_, version in model.items()
    }


def _settings(plan: Plan) -> list[Any]:
    """A codec, and cuts: as they are for most documents, others for some."""
    cuts = [
        [id_, plan.rng.choice([version.n_passages] * 3 + [1, 2])]
        for id_, version in plan.model.items()
    ]
    codec = plan.rng.choice(["residual1", "residual2", "residual4"])
    return [codec, cuts if plan.recuts else None]


def _repair(opened: store.Store, at: float) -> None:
    """Flip a bit of a file, and let it be made again."""
    names = storing.listing(opened.path)
    if names:
        path = opened.path / names[int(at * len(names))]
        with suppress(OSError), path.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            last = file.read(1)[0]
            file.seek(-1, os.SEEK_END)
            file.write(bytes([last ^ 1]))
    mend(opened)


def mend(opened: store.Store) -> None:
    """Make what is damaged again."""

    def encode(documents: Iterator[Any]) -> Iterator[tuple[Any, list[Any]]]:
        for document in documents:
            number, n_first, n_tokens = map(int, _numbers(document.text))
            encoded = {}
            for n in (1, 2, 3):
                _, _, passages, matrices = Version(number, n, n_tokens, {}, n_first).record(
                    document.id
                )
                for passage, matrix in zip(passages, matrices, strict=True):
                    encoded[passage.start, passage.end] = matrix
            yield document, [encoded[start, end] for _, start, end in document.passages]

    report = opened.repair(lambda document: True, encode)
    assert report.ok, report


def _apart(plan: Plan) -> list[Any]:
    free = [id_ for id_ in range(150) if id_ not in plan.model]
    return [[[id_, *plan.version()] for id_ in sorted(plan.rng.sample(free, 8))]]


def backup_folder(folder: Path) -> Path:
    """Where ``backup`` puts it."""
    return folder.with_name(folder.name + ".backup")


def _backup(opened: store.Store) -> None:
    """Make a backup, or bring the last one up to date; then it is the commit that is read."""
    path = backup_folder(opened.path)
    opened.backup(path)
    opened.refresh()
    with store.open(path, settle="manual", n_threads=1) as copy:
        mine, theirs = opened.snapshot(), copy.snapshot()
        assert theirs.number == mine.number
        ids = list(mine.ids())
        assert list(theirs.ids()) == ids
        assert theirs.documents(ids) == mine.documents(ids)
        assert copy.verify().problems == ()


OPERATIONS: dict[str, Operation] = {
    "add": Operation(
        4,
        lambda plan: [[], plan.documents(plan.rng.choice([1, 2, 5])), []],
        _write,
        _written,
    ),
    "bulk": Operation(1, lambda plan: [[], plan.documents(50), []], _write, _written),
    "delete": Operation(2, lambda plan: [plan.some(30), [], []], _write, _written),
    "update_metadata": Operation(1, lambda plan: [[], [], _new_metadata(plan)], _write, _written),
    "write": Operation(
        3,
        lambda plan: [plan.some(3), plan.documents(3), _new_metadata(plan)],
        _write,
        _written,
    ),
    "settle": Operation(2, lambda plan: [], lambda opened: opened.settle() and None),
    "compact": Operation(2, lambda plan: [], lambda opened: opened.compact() and None),
    "reopen": Operation(1, lambda plan: [], _reopen),
    "rebuild": Operation(1, _settings, _rebuild, _rebuilt),
    "repair": Operation(1, lambda plan: [plan.rng.random()], _repair),
    "backup": Operation(1, lambda plan: [], _backup),
    "attach": Operation(1, _apart, _attach, _attached),
}


def others_folder(folder: Path) -> Path:
    """Where ``attach`` builds its other collection."""
    return folder.with_name(folder.name + ".other")

"""What tests of every room share: the shared data, the built-in encoder, small collections."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

import interlace

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """The folder of a shared data set, or a skip that says which one is not there."""

    def folder(name: str) -> Path:
        path = SHARED / name
        if not path.is_dir():
            pytest.skip(f"../shared/data/{name} is not here")
        return path

    return folder


@pytest.fixture(scope="session")
def questions(shared_data) -> tuple[list[str], dict[str, int]]:
    """Four hundred passages of Wikipedia, and questions with the place of the one that answers."""
    folder = shared_data("nq-gold")
    texts = [one["text"] for one in jsonl(folder / "corpus.jsonl")[:400]]
    asked = {one["_id"]: one["text"] for one in jsonl(folder / "queries.jsonl")}
    lines = (folder / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()[1:]
    judged = [line.split("\t")[:2] for line in lines]
    answers = {asked[query]: int(document[1:]) for query, document in judged}
    return texts, {query: place for query, place in answers.items() if place < len(texts)}


@pytest.fixture(scope="session")
def mini_folder() -> Path:
    """Where the built-in model's files are."""
    with resources.as_file(resources.files("interlace.models") / "mini") as folder:
        return folder


@pytest.fixture
def copy_of_mini(mini_folder, tmp_path) -> Callable[..., Path]:
    """A copy of the built-in model; keywords replace settings, ``...`` removes one."""

    def copy(**changes: Any) -> Path:
        folder = tmp_path / "model"
        shutil.copytree(mini_folder, folder)
        if not changes:
            return folder
        path = folder / "interlace.json"
        settings = json.loads(path.read_text(encoding="utf-8")) | changes
        kept = {name: value for name, value in settings.items() if value is not ...}
        path.write_text(json.dumps(kept), encoding="utf-8")
        return folder

    return copy


@pytest.fixture(scope="session")
def encoder() -> interlace.Encoder:
    """The built-in encoder, loaded once."""
    return interlace.Encoder.load("mini")


@pytest.fixture
def new_collection(tmp_path, encoder) -> Iterator[Callable[..., interlace.Collection]]:
    """Makes empty collections with the built-in encoder in a folder of their own; closes them."""
    made: list[interlace.Collection] = []

    def create(name: str = "notes.lace", **settings: Any) -> interlace.Collection:
        if settings.get("model", "mini") == "mini":
            settings["model"] = encoder
        collection = interlace.create(tmp_path / name, **settings)
        made.append(collection)
        return collection

    yield create
    for collection in made:
        collection.close()


@pytest.fixture
def notes(new_collection) -> interlace.Collection:
    """An empty collection with the built-in encoder."""
    return new_collection()


@pytest.fixture
def reopen(encoder) -> Iterator[Callable[[interlace.Collection], interlace.Collection]]:
    """Closes a collection and opens it anew from disk, with the same encoder object."""
    opened: list[interlace.Collection] = []

    def again(collection: interlace.Collection) -> interlace.Collection:
        path = collection.path
        collection.close()
        opened.append(interlace.open(path, model=encoder))
        return opened[-1]

    yield again
    for collection in opened:
        collection.close()


def jsonl(path: Path) -> list[dict[str, Any]]:
    """The records of a JSON lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

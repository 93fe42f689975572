"""Collections large enough that a search skips passages, made once and copied for each test."""

from __future__ import annotations

import shutil

import pytest
import storing

import interlace

N_DOCUMENTS = 900
COLOURS = ("red", "orange", "yellow", "green", "blue", "violet", "brown", "black", "white", "grey")
NOUNS = ("house", "river", "engine", "letter", "planet", "violin", "garden", "window", "bridge")
PLACES = ("the harbour", "an old mill", "the northern coast", "a mountain pass", "the city hall")


def document(i: int) -> dict[str, object]:
    colour, noun, place = COLOURS[i % 10], NOUNS[i // 10 % 9], PLACES[i // 7 % 5]
    return {"id": i, "text": f"The {colour} {noun} near {place}. Somebody called it number {i}."}


@pytest.fixture(scope="session")
def made(tmp_path_factory, encoder):
    """A collection with a model, and one of vectors that come from elsewhere; both settled."""
    folder = tmp_path_factory.mktemp("evaluate")
    with interlace.create(folder / "texts.lace", encoder, settle="manual") as texts:
        texts.add(map(document, range(400)))
        texts.settle()
    with interlace.create(
        folder / "vectors.lace", model=None, dim=storing.DIM, settle="manual"
    ) as vectors:
        matrices = [storing.matrix(i, 12) for i in range(N_DOCUMENTS)]
        vectors.add(
            ({"id": i, "text": f"vectors {i}"} for i in range(N_DOCUMENTS)),
            embeddings=[matrix for matrix, _ in matrices],
            token_ids=[types for _, types in matrices],
        )
        vectors.settle()
    return folder


@pytest.fixture
def texts(made, tmp_path, encoder):
    """Documents of two sentences, encoded by the built-in model."""
    shutil.copytree(made / "texts.lace", tmp_path / "texts.lace")
    with interlace.open(tmp_path / "texts.lace", encoder) as opened:
        yield opened


@pytest.fixture
def vectors(made, tmp_path):
    """Embeddings that came without a model."""
    shutil.copytree(made / "vectors.lace", tmp_path / "vectors.lace")
    with interlace.open(tmp_path / "vectors.lace") as opened:
        yield opened

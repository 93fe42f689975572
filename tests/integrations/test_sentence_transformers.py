"""A ``MultiVectorEncoder`` in, a collection out: the package itself, a checkpoint in its format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sentence_transformers")

from sentence_transformers import MultiVectorEncoder

import interlace
from interlace.errors import ModelMismatch

pytestmark = pytest.mark.filterwarnings("default")

CHECKPOINTS = Path(__file__).parents[1] / "golden" / "models" / "checkpoints"
TEXTS = {
    "sky": "Rayleigh scattering makes the sky blue.",
    "sea": "Rivers carry minerals into the sea and leave it salty.",
    "ice": "Ice is less dense than water, so it floats.",
    "lava": "Basalt is lava that cooled quickly.",
}
QUERY = "why is the sea salty"


def model_of(name):
    return MultiVectorEncoder(str(CHECKPOINTS / name), device="cpu", local_files_only=True)


@pytest.fixture(scope="module")
def model():
    return model_of("native-bert")


@pytest.fixture
def facts(model, tmp_path):
    with interlace.create(tmp_path / "facts.lace", model) as collection:
        collection.add(
            [
                {"id": id_, "text": text, "metadata": {"n": number}}
                for number, (id_, text) in enumerate(TEXTS.items())
            ]
        )
        yield collection


def test_scores_are_those_of_the_package(facts, model):
    found = facts.search(QUERY, mode="late", effort="exhaustive")
    documents = model.encode_document(list(TEXTS.values()))
    theirs = model.similarity(model.encode_query([QUERY]), documents)[0].tolist()
    expected = dict(zip(TEXTS, theirs, strict=True))
    for hit in found:
        assert hit.score == pytest.approx(expected[hit.id], rel=0.01)
    assert found[0].score == max(hit.score for hit in found)
    assert len(found) == 4


def test_a_hit_says_id_place_and_metadata(facts):
    hit = facts.search(QUERY, k=1, where={"n": 1})[0]
    assert (hit.id, hit.text, hit.metadata) == ("sea", TEXTS["sea"], {"n": 1})
    assert (hit.start, hit.end) == (0, len(TEXTS["sea"]))


def test_what_changes_is_found_at_once(facts):
    facts.add([{"id": "sky", "text": QUERY}])
    facts.delete(["sea"])
    assert {hit.id for hit in facts.search(QUERY)} == {"sky", "ice", "lava"}
    assert facts.get(["sky"])[0].text == QUERY


def test_it_opens_again_with_the_same_model_alone(facts, model):
    before = [(hit.id, hit.score) for hit in facts.search(QUERY)]
    facts.close()
    with interlace.open(facts.path, model_of("native-bert")) as again:
        assert [(hit.id, hit.score) for hit in again.search(QUERY)] == before
        assert again.add([{"id": "sky", "text": TEXTS["sky"], "metadata": {"n": 0}}]).unchanged == 1
    with (
        interlace.open(facts.path, model_of("native-lowered")) as other,
        pytest.raises(ModelMismatch),
    ):
        other.search(QUERY)


def test_its_tensors_go_in_as_embeddings(model, tmp_path):
    width = model.encode_query(QUERY).shape[-1]
    with interlace.create(tmp_path / "own.lace", None, dim=width) as own:
        matrices = model.encode_document(list(TEXTS.values()))
        own.add([{"id": id_, "text": text} for id_, text in TEXTS.items()], embeddings=matrices)
        hits = own.search(embeddings=model.encode_query(QUERY))
        scores = interlace.maxsim(model.encode_query(QUERY), matrices)
        assert hits[0].id == list(TEXTS)[int(np.argmax(scores))]

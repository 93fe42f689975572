"""DSPy: the retriever module, and ``dspy.ColBERTv2`` against a real server."""

from __future__ import annotations

import asyncio
import os
import tempfile

import pytest

# DSPy keeps what servers answered, on disk, by URL and query: not in the user's folder.
os.environ.setdefault("DSPY_CACHEDIR", tempfile.mkdtemp())
pytest.importorskip("dspy")

import dspy
import requests
from dspy.utils import DummyLM
from serving import serving

from interlace.errors import InputError
from interlace.integrations.dspy import InterlaceRetriever, InterlaceRM

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

RECORDS = [
    {"id": "sky", "text": "Rayleigh scattering makes the sky blue.", "metadata": {"year": 1871}},
    {"id": "sea", "text": "Rivers leave the sea salty.", "metadata": {"tags": ["salt"]}},
    {"id": 7, "text": "Ice is less dense than water, so it floats."},
]


@pytest.fixture(autouse=True)
def _facts(notes):
    notes.add(RECORDS)
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)


@pytest.fixture
def url(notes):
    pytest.importorskip("fastapi")
    with serving(notes.path) as address:
        yield f"{address}/api/search"


def test_a_prediction_says_what_and_where(notes):
    found = InterlaceRetriever(notes, k=2)("why is the sea salty")
    assert found.passages[0] == "Rivers leave the sea salty."
    assert found.ids[0] == "sea"
    assert len(found.passages) == len(found.scores) == len(found.metadata) == 2
    assert found.metadata[0]["tags"] == ["salt"]
    place = found.metadata[0]["interlace"]
    assert (place["start"], place["end"], place["rank"]) == (0, 27, 1)
    assert place["score"] == found.scores[0] == notes.search("why is the sea salty")[0].score
    assert InterlaceRetriever(notes)("what floats", k=1).ids == [7]


def test_c79_two_queries_give_two_predictions_that_share_nothing(notes):
    asked = ["salty sea", "sea salt"]
    first, second = InterlaceRetriever(notes, k=1)(asked)
    assert first.ids == second.ids == ["sea"]
    runs = notes.search_many(asked, 1)
    assert [first.scores, second.scores] == [[hit.score for hit in hits] for hits in runs]
    first.metadata[0]["tags"].append("changed")
    assert second.metadata[0]["tags"] == ["salt"]
    assert InterlaceRetriever(notes, k=1)("salt").metadata[0]["tags"] == ["salt"]
    assert InterlaceRetriever(notes)([]) == []


def test_settings_go_to_the_search(notes):
    found = InterlaceRetriever(notes, where="year < 2000", mode="late")("sea")
    assert found.ids == ["sky"]
    with pytest.raises(InputError, match="k"):
        InterlaceRetriever(notes)("sea", k=0)


def test_in_a_program_that_is_copied_saved_and_awaited(notes, tmp_path):
    class Asking(dspy.Module):
        def __init__(self):
            self.retrieve = InterlaceRetriever(notes, k=1)
            self.answer = dspy.ChainOfThought("context, question -> answer")

        def forward(self, question):
            context = self.retrieve(question).passages
            return self.answer(context=context, question=question)

    program = Asking().deepcopy()
    program.save(tmp_path / "program.json")
    program.load(tmp_path / "program.json")
    model = DummyLM([{"reasoning": "The passage says so.", "answer": "rivers"}])
    with dspy.context(lm=model):
        assert program("why is the sea salty").answer == "rivers"
    assert "Rivers leave the sea salty." in str(model.history[0]["messages"])
    assert asyncio.run(InterlaceRetriever(notes).acall("salty sea")).ids[0] == "sea"


def test_as_the_retrieval_model_of_retrieve(notes):
    with dspy.context(rm=InterlaceRM(notes)):
        assert dspy.Retrieve(k=1)("salty sea").passages == ["Rivers leave the sea salty."]


@pytest.mark.parametrize("posts", [False, True])
def test_colbertv2_against_the_server_answers_as_the_module_does(notes, url, posts):
    there = dspy.ColBERTv2(url=url, post_requests=posts)
    got, here = there("salty sea", k=2), InterlaceRM(notes)("salty sea", k=2)
    for name in ("pid", "rank", "score", "text", "long_text"):
        assert [one[name] for one in got] == [one[name] for one in here]
    assert got[0].pid == "sea"
    assert got[0].metadata == {"tags": ["salt"]}
    assert 0 < got[1].prob < got[0].prob < 1
    texts = [one.text for one in got]
    assert there("salty sea", k=2, simplify=True) == texts
    assert InterlaceRM(notes)("salty sea", k=2, simplify=True) == texts
    with dspy.context(rm=there):
        assert dspy.Retrieve(k=2)("salty sea").passages == texts


@pytest.mark.parametrize("posts", [False, True])
def test_colbertv2_hears_of_an_error(url, posts):
    with pytest.raises(requests.HTTPError, match="422"):
        dspy.ColBERTv2(url=url, post_requests=posts)("sea", k=0)

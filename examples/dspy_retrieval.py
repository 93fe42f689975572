"""DSPy with interlace: a program that looks up twice, the second time for what the first left open.

pip install 'interlace[dspy]'
python examples/dspy_retrieval.py
DSPY_MODEL=openai/gpt-4o-mini python examples/dspy_retrieval.py     # with a model of yours
"""

import os
from tempfile import TemporaryDirectory

import dspy
from dspy.utils import DummyLM

import interlace
from interlace.integrations.dspy import InterlaceRetriever

RECORDS = [
    {"id": "salt", "text": "Rivers carry minerals into the sea, and the salt stays there."},
    {"id": "minerals", "text": "Rain dissolves minerals out of rock; rivers take them along."},
    {"id": "ice", "text": "Ice is lighter than water, so it floats."},
]

#: What stands in for a model where there is none: an answer for each of the two calls.
CANNED = [
    {
        "reasoning": "And the minerals?",
        "query": "what rain takes out of rock",
    },
    {"reasoning": "Both passages together.", "answer": "Rivers bring what rain takes from rock."},
]


class TwoHops(dspy.Module):
    """A question, a first look, a query for what is missing, a second look, an answer."""

    def __init__(self, retrieve):
        self.retrieve = retrieve
        self.ask_again = dspy.ChainOfThought("context, question -> query")
        self.answer = dspy.ChainOfThought("context, question -> answer")

    def forward(self, question):
        first = self.retrieve(question)
        query = self.ask_again(context=first.passages, question=question).query
        second = self.retrieve(query)
        found = dict(zip(first.ids + second.ids, first.passages + second.passages, strict=True))
        told = self.answer(context=list(found.values()), question=question)
        return dspy.Prediction(answer=told.answer, ids=list(found))


with TemporaryDirectory() as folder, interlace.create(f"{folder}/facts.lace") as facts:
    facts.add(RECORDS)
    model = os.environ.get("DSPY_MODEL")
    dspy.configure(lm=dspy.LM(model) if model else DummyLM(CANNED))
    told = TwoHops(InterlaceRetriever(facts, k=1))("why is the sea salty")
    print("the sea is salty because:", told.answer, told.ids)

"""Haystack with interlace: a pipeline that indexes, one that answers, and one from a file.

pip install 'interlace[haystack]'
python examples/haystack_retrieval.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from haystack import Document, Pipeline
from haystack.components.builders import PromptBuilder
from haystack.components.writers import DocumentWriter

from interlace.integrations.haystack import (
    InterlaceDocumentStore,
    InterlaceRanker,
    InterlaceRetriever,
)

DOCUMENTS = [
    Document(id="ice", content="Ice is lighter than water.", meta={"topic": "water"}),
    Document(id="basalt", content="Basalt is cooled lava.", meta={"topic": "rock"}),
    Document(
        id="pumice", content="Pumice is so full of air that it floats.", meta={"topic": "rock"}
    ),
]

PROMPT = """\
Answer from this, and name the source:
{% for one in documents %}[{{ one.id }}, {{ one.meta.interlace.start }}] {{ one.content }}
{% endfor %}
{{ question }}"""

with TemporaryDirectory() as folder:
    store = InterlaceDocumentStore(Path(folder, "facts.lace"))
    indexing = Pipeline()
    indexing.add_component("writer", DocumentWriter(store))
    indexing.run({"writer": {"documents": DOCUMENTS}})

    # Retrieve, rerank, prompt. At the end of this pipeline comes your generator.
    answering = Pipeline()
    answering.add_component("retriever", InterlaceRetriever(store, top_k=10))
    answering.add_component("ranker", InterlaceRanker(top_k=1))
    answering.add_component("prompt", PromptBuilder(PROMPT, required_variables="*"))
    answering.connect("retriever", "ranker")
    answering.connect("ranker", "prompt.documents")

    question = "which stone floats"
    rock = {"field": "meta.topic", "operator": "==", "value": "rock"}
    asked = {
        "retriever": {"query": question, "filters": rock},
        "ranker": {"query": question},
        "prompt": {"question": question},
    }
    print(answering.run(asked)["prompt"]["prompt"])

    # A pipeline is a file; loaded, it opens the same folder, and sees what changes there.
    again = Pipeline.loads(answering.dumps(), allowed_modules=["interlace.integrations.haystack"])
    store.delete_documents(["pumice"])
    print(again.run(asked)["prompt"]["prompt"].splitlines()[1])
    again.get_component("retriever").document_store.collection.close()
    store.collection.close()

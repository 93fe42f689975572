"""LangChain with interlace: a retriever whose results can be cited, and a chain around it.

pip install 'interlace[langchain]'
python examples/langchain_retrieval.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough

import interlace
from interlace.integrations.langchain import (
    InterlaceCompressor,
    InterlaceRetriever,
    InterlaceVectorStore,
)

NOTES = """\
# The sky

Small particles scatter blue light more than red: that is why the sky is blue.

# The sea

Rivers carry minerals into the sea, water evaporates, and the salt stays.
"""


def cited(documents):
    """What a model is shown: each passage with the place that it can name."""
    places = [document.metadata["interlace"] for document in documents]
    return "\n\n".join(
        f"[{Path(place['file']).name}, line {place['line']}] {document.page_content}"
        for document, place in zip(documents, places, strict=True)
    )


with TemporaryDirectory() as folder:
    page = Path(folder, "notes.md")
    page.write_text(NOTES, encoding="utf-8")
    notes = interlace.create(Path(folder, "notes.lace"))
    notes.index(page)

    # A retriever on a folder that was indexed. At the end of this chain comes your model.
    retriever = InterlaceRetriever(collection=notes, k=2)
    prompt = ChatPromptTemplate.from_template("Answer from this:\n{context}\n\n{question}")
    chain = {"context": retriever | cited, "question": RunnablePassthrough()} | prompt
    print(chain.invoke("why is the sea salty").messages[0].content)

    # A vector store: texts in, filtered searches, deletes.
    store = InterlaceVectorStore(interlace.create(Path(folder, "facts.lace")))
    store.add_texts(
        ["Ice is lighter than water.", "Basalt is cooled lava.", "Salt water freezes late."],
        [{"topic": "water"}, {"topic": "rock"}, {"topic": "water"}],
        ids=["ice", "basalt", "brine"],
    )
    for found, score in store.similarity_search_with_score(
        "what swims on water", k=2, filter={"topic": "water"}
    ):
        print(f"{score:.2f}", found.id, found.page_content)
    store.delete(["brine"])

    # Whatever another retriever has found, in a better order.
    compressor = InterlaceCompressor(top_n=1)
    documents = store.get_by_ids(["basalt", "ice"])
    (best,) = compressor.compress_documents(documents, "what swims on water")
    print("best:", best.id, round(best.metadata["relevance_score"], 2))

    store.collection.close()
    notes.close()

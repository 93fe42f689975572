"""LlamaIndex with interlace: insert, filter, delete, rerank, and cite.

pip install 'interlace[llama-index]'
python examples/llama_index_retrieval.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from llama_index.core import Document, MockEmbedding, StorageContext, VectorStoreIndex
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.vector_stores import MetadataFilter, MetadataFilters

import interlace
from interlace.integrations.llama_index import (
    InterlaceRerank,
    InterlaceRetriever,
    InterlaceVectorStore,
)

BOOKS = [
    Document(
        doc_id="the book of water",
        text="Ice is lighter than water, so it floats. Salt water freezes late.",
        metadata={"year": 2021},
    ),
    Document(
        doc_id="the book of stone",
        text="Basalt is cooled lava. Pumice is so full of air that it floats.",
        metadata={"year": 1999},
    ),
]

with TemporaryDirectory() as folder:
    collection = interlace.create(Path(folder, "books.lace"))
    context = StorageContext.from_defaults(vector_store=InterlaceVectorStore(collection))

    # The collection encodes texts itself: LlamaIndex's embedding model has nothing to do.
    index = VectorStoreIndex.from_documents(
        BOOKS[:1], storage_context=context, embed_model=MockEmbedding(embed_dim=1)
    )
    index.insert(BOOKS[1])

    # With filters of LlamaIndex's; every result says where it stands in its book.
    recent = MetadataFilters(filters=[MetadataFilter(key="year", value=2000, operator=">")])
    (found,) = index.as_retriever(similarity_top_k=1, filters=recent).retrieve("what floats")
    node = found.node
    print(f"{found.score:.2f} {node.ref_doc_id}, {node.start_char_idx} to {node.end_char_idx}")

    # A query engine: retrieve, rerank, answer. MockLLM repeats what it reads; put in your own.
    engine = RetrieverQueryEngine.from_args(
        InterlaceRetriever(collection, similarity_top_k=10),
        llm=MockLLM(),
        node_postprocessors=[InterlaceRerank(top_n=1)],
    )
    answer = engine.query("which stone is so light that it floats")
    print("cited:", answer.source_nodes[0].node.ref_doc_id)

    index.delete_ref_doc("the book of stone")
    left = {node.ref_doc_id for node in index.vector_store.get_nodes()}
    print("left:", *left)
    collection.close()

"""Code written for PyLate: the index, the retriever and the reranker, without PyTorch.

    python examples/from_pylate.py

A model that PyLate itself has loaded does as well.
"""

import tempfile

from interlace.integrations.pylate import indexes, models, rank, retrieve

documents = {
    "sky": "The sky is blue, since air scatters blue light more than red.",
    "sea": "Rivers carry minerals into the sea and leave it salty.",
    "ice": "Ice is less dense than water, so it floats.",
}

model = models.ColBERT(model_name_or_path="mini")  # or "lightonai/GTE-ModernColBERT-v1"
index = indexes.PLAID(index_folder=tempfile.mkdtemp(), index_name="facts", override=True)
index.add_documents(
    documents_ids=list(documents),
    documents_embeddings=model.encode(list(documents.values()), is_query=False),
)
index.add_documents(["raven"], model.encode(["Ravens solve puzzles."], is_query=False))
index.remove_documents(["sky"])

queries_embeddings = model.encode(["why is the sea salty", "clever birds"], is_query=True)
for hits in retrieve.ColBERT(index=index).retrieve(queries_embeddings, k=2):
    print(hits)

print(
    rank.rerank(
        documents_ids=[["sea", "ice"]],
        queries_embeddings=model.encode(["what floats"]),
        documents_embeddings=model.encode([[documents["sea"], documents["ice"]]], is_query=False),
    )
)

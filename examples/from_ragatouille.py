"""Code written for RAGatouille: the import line is another, and the model may be the built-in one.

python examples/from_ragatouille.py
"""

import tempfile

from interlace.integrations.ragatouille import RAGPretrainedModel

pages = {
    "sky": "The sky is blue, since air scatters blue light more than red. Rayleigh explained it.",
    "sea": "Rivers carry minerals into the sea and leave it salty.",
    "ice": "Ice is less dense than water, so it floats, and lakes freeze from above.",
}

model = "mini"  # or "colbert-ir/colbertv2.0", or a folder
RAG = RAGPretrainedModel.from_pretrained(model, index_root=tempfile.mkdtemp())
index_path = RAG.index(
    index_name="facts",
    collection=list(pages.values()),
    document_ids=list(pages),
    document_metadatas=[{"about": "air"}, {"about": "water"}, {"about": "water"}],
)

RAG = RAGPretrainedModel.from_index(index_path)
RAG.add_to_index(["Ravens solve puzzles."], ["raven"])
RAG.add_to_index(["Foxes hunt mice under snow."], ["fox"])
RAG.delete_from_index(["fox"])
for hit in RAG.search("why is the sea salty", k=2):
    print(hit["rank"], hit["document_id"], round(hit["score"], 2), hit.get("document_metadata"))
queries = ["blue sky", "clever birds"]
for query, hits in zip(queries, RAG.search(queries, k=1), strict=True):
    print(query, "->", hits[0]["content"])

for hit in RAG.rerank("what floats", list(pages.values()), k=1):
    print(hit["result_index"], hit["content"])

"""Code written for Stanford ColBERT: all imports come from one place.

python examples/from_stanford.py
"""

import tempfile
from pathlib import Path

from interlace.integrations.stanford import (
    ColBERTConfig,
    Indexer,
    Queries,
    Run,
    RunConfig,
    Searcher,
)

passages = [
    "The sky is blue, since air scatters blue light more than red.",
    "Rivers carry minerals into the sea and leave it salty.",
    "Ice is less dense than water, so it floats.",
]

with Run().context(RunConfig(nranks=1, root=tempfile.mkdtemp(), experiment="facts")):
    indexer = Indexer(checkpoint="mini", config=ColBERTConfig(nbits=2, doc_maxlen=220))
    indexer.index(name="facts.nbits=2", collection=passages, overwrite=True)

    searcher = Searcher(index="facts.nbits=2")
    for pid, rank, score in zip(*searcher.search("why is the sea salty", k=2)):
        print(rank, pid, round(score, 2), searcher.collection[pid])
    print(searcher.search("salt", k=2, filter_fn=lambda pids: pids[pids != 1])[0])

    queries = Queries(data={7: "what floats", 8: "what colours the heavens"})
    ranking = searcher.search_all(queries, k=2)
    print(Path(ranking.save("facts.ranking.tsv")).read_text())

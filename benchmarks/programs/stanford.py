"""Written for Stanford ColBERT, as its README has it: CHECKPOINT FOLDER."""

import json
import sys
from pathlib import Path

from colbert import Indexer, Searcher
from colbert.data import Queries
from colbert.infra import ColBERTConfig, Run, RunConfig


def main(checkpoint: str, folder: str) -> None:
    with Run().context(RunConfig(nranks=1, root=folder, experiment="stanford")):
        config = ColBERTConfig(nbits=4, root=folder)
        indexer = Indexer(checkpoint=checkpoint, config=config)
        indexer.index(name="x", collection=f"{folder}/collection.tsv", overwrite=True)

        searcher = Searcher(index="x", config=config)
        queries = Queries(f"{folder}/queries.tsv")
        ranking = searcher.search_all(queries, k=10)

    hits = [[(pid, score) for pid, _, score in one] for one in ranking.todict().values()]
    Path(folder, "hits.json").write_text(json.dumps(hits))


if __name__ == "__main__":
    main(*sys.argv[1:])

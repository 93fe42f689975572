"""Written for RAGatouille: CHECKPOINT FOLDER."""

import json
import sys
from pathlib import Path

from ragatouille import RAGPretrainedModel


def lines(path: Path) -> list[str]:
    return [line.partition("\t")[2] for line in path.read_text("utf-8").splitlines()]


def main(checkpoint: str, folder: str) -> None:
    texts = lines(Path(folder, "collection.tsv"))
    RAG = RAGPretrainedModel.from_pretrained(checkpoint, index_root=folder)  # noqa: N806 (theirs)
    path = RAG.index(
        index_name="x",
        collection=texts,
        document_ids=[str(i) for i in range(len(texts))],
        split_documents=False,
    )
    RAG = RAGPretrainedModel.from_index(path)  # noqa: N806
    runs = RAG.search(lines(Path(folder, "queries.tsv")), k=10)

    hits = [[(int(one["document_id"]), one["score"]) for one in run] for run in runs]
    Path(folder, "hits.json").write_text(json.dumps(hits))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Written for PyLate: CHECKPOINT FOLDER."""

import json
import sys
from pathlib import Path

from pylate import indexes, models, retrieve


def lines(path: Path) -> list[str]:
    return [line.partition("\t")[2] for line in path.read_text("utf-8").splitlines()]


def main(checkpoint: str, folder: str) -> None:
    texts = lines(Path(folder, "collection.tsv"))
    model = models.ColBERT(model_name_or_path=checkpoint, device="cpu")
    index = indexes.PLAID(index_folder=folder, index_name="x", override=True, nbits=4)
    index.add_documents(
        documents_ids=[str(i) for i in range(len(texts))],
        documents_embeddings=model.encode(texts, batch_size=32, is_query=False),
    )
    retriever = retrieve.ColBERT(index=index)
    queries = model.encode(lines(Path(folder, "queries.tsv")), batch_size=32, is_query=True)
    runs = retriever.retrieve(queries_embeddings=queries, k=10)

    hits = [[(int(one["id"]), float(one["score"])) for one in run] for run in runs]
    Path(folder, "hits.json").write_text(json.dumps(hits))


if __name__ == "__main__":
    main(*sys.argv[1:])

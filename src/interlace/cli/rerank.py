"""``interlace rerank``: order documents for a query without a collection."""

from __future__ import annotations

import interlace
from interlace.cli import hits, options, output, places, settings


def command(
    query: options.Query,
    files: options.Files,
    k: options.K = None,
    model: options.ModelName = None,
    dim: options.Dim = None,
    format: options.Format = None,  # noqa: A002
    n_threads: options.NThreads = None,
    json: options.AsJson = False,
) -> None:
    """Order documents by how well they match.

    Nothing is stored.
    """
    places.existing(files)
    chosen = settings.load(model=model, k=k, n_threads=n_threads)
    documents = interlace.read(*files, format=format)
    encoder = interlace.Encoder.load(chosen.model, n_threads=chosen.n_threads, dim=dim)
    found = [hits.Shown(hit) for hit in interlace.rerank(query, documents, chosen.k, encoder)]
    if json:
        for one in found:
            output.as_json(hits.as_json(one))
    elif found:
        output.to_people().print(hits.for_people(found))
    else:
        output.to_people().print("Nothing found.")

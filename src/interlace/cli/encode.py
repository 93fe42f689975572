"""``interlace encode``: documents or queries as matrices, for use elsewhere."""

from __future__ import annotations

import json as json_
from collections.abc import Iterable, Iterator
from itertools import tee
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

import interlace
from interlace import files as on_disk
from interlace.cli import bars, options, output, places, settings
from interlace.errors import InputError
from interlace.types import Document, Encoded


def command(
    files: options.Files,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            metavar="FILE",
            help="A new .safetensors file: embeddings, token_ids, offsets; ids in its metadata.",
        ),
    ] = None,
    query: Annotated[
        bool, typer.Option("--query", help="Encode the texts as queries, not as documents.")
    ] = False,
    model: options.ModelName = None,
    dim: options.Dim = None,
    format: options.Format = None,  # noqa: A002
    n_threads: options.NThreads = None,
    json: options.AsJson = False,
) -> None:
    """Encode texts: one unit vector a token.

    A text longer than the model reads is cut.
    """
    places.existing(files)
    if (to is None) != json:
        raise InputError("say where the matrices go: --to FILE, or --json for standard output.")
    if to is not None and to.exists():
        raise InputError(f"exists already: {to}. Choose another name, or remove it.")
    chosen = settings.load(model=model, n_threads=n_threads)
    encoder = interlace.Encoder.load(chosen.model, n_threads=chosen.n_threads, dim=dim)
    documents, again = tee(interlace.read(*files, format=format))
    texts = (document.text for document in documents)
    encoded = encoder.queries(texts) if query else encoder.documents(texts)
    with bars.metering("encoding", silent=json) as meter:
        stream = _counted(zip(again, encoded, strict=True), meter)
        if to is None:
            for document, one in stream:
                output.as_json(_as_json(document, one))
        else:
            _write(to, stream)


def _counted(
    stream: Iterable[tuple[Document, Encoded]], meter: bars.Meter
) -> Iterator[tuple[Document, Encoded]]:
    cut: list[str] = []
    for n, (document, one) in enumerate(stream, start=1):
        if one.n_cut:
            cut.append(str(document.id if document.id is not None else n - 1))
        meter("encode", n, None)
        yield document, one
    if cut:
        n_cut = output.counted(len(cut), "text")
        output.note(f"longer than the model reads, so cut: {n_cut}, first {cut[0]}.")


def _as_json(document: Document, one: Encoded) -> dict[str, object]:
    return {
        "id": document.id,
        "token_ids": None if one.token_ids is None else one.token_ids.tolist(),
        "matrix": [[round(x, 6) for x in row] for row in one.matrix.tolist()],
    }


def _write(path: Path, stream: Iterator[tuple[Document, Encoded]]) -> None:
    ids, matrices, token_ids = [], [], []
    for position, (document, one) in enumerate(stream):
        assert one.token_ids is not None
        ids.append(position if document.id is None else document.id)
        matrices.append(one.matrix)
        token_ids.append(one.token_ids)
    if not ids:
        raise InputError("nothing to encode: no text was found.")
    offsets = np.zeros(len(ids) + 1, np.int64)
    np.cumsum([len(matrix) for matrix in matrices], out=offsets[1:])
    on_disk.write_arrays(
        path,
        {
            "embeddings": np.concatenate(matrices),
            "token_ids": np.concatenate(token_ids),
            "offsets": offsets,
        },
        {"ids": json_.dumps(ids, ensure_ascii=False)},
    )
    output.to_people().print(
        output.facts({"texts": len(ids), "tokens": int(offsets[-1]), "file": path})
    )

"""``interlace export``: every document into a file that other programs read."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

import interlace
from interlace.cli import bars, options, output


def command(
    path: options.CollectionPath,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A new file: .jsonl, .jsonl.gz or .parquet.",
            show_default=False,
        ),
    ],
    embeddings: Annotated[
        bool, typer.Option("--embeddings", help="Write passages and token embeddings too.")
    ] = False,
    where: options.Where = None,
    format: options.Exchanged = None,  # noqa: A002
    json: options.AsJson = False,
) -> None:
    """Write all documents to JSON lines or Parquet.

    `interlace import` reads the file again, with every id, text and metadata as they were.
    """
    started = perf_counter()
    with (
        # Texts and metadata are in the catalog: they come out of damaged segments' collections too.
        interlace.open(path, damaged="raise" if embeddings else "skip") as collection,
        bars.metering("exporting", silent=json) as meter,
    ):
        report = collection.export(
            file, format=format, embeddings=embeddings, where=where, progress=meter
        )
    found = output.fields_of(report) | {"seconds": round(perf_counter() - started, 3)}
    if json:
        output.as_json(found)
        return
    held = output.counted(report.n_documents, "document")
    if embeddings:
        held += f" in {output.counted(report.n_passages, 'passage')}"
    size = output.bytes_shown(report.n_bytes)
    output.to_people().print(f"{held} written to {file}, {size}.", soft_wrap=True)

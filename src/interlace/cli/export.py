"""``interlace export``: documents into a file that other programs read, or a model for use here."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import typer

import interlace
from interlace.cli import bars, options, output, places
from interlace.errors import InputError

MODEL = "A model, with --to"


def command(
    what: Annotated[
        str,
        typer.Argument(
            metavar="COLLECTION",
            help="The collection's folder; with --to, a model: a folder or a name on the hub.",
            show_default=False,
            autocompletion=places.complete_collection,
        ),
    ],
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="A new file: .jsonl, .jsonl.gz or .parquet.",
            show_default=False,
        ),
    ] = None,
    embeddings: Annotated[
        bool, typer.Option("--embeddings", help="Write passages and token embeddings too.")
    ] = False,
    where: options.Where = None,
    format: options.Exchanged = None,  # noqa: A002
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            metavar="FOLDER",
            help="A new folder, in which the model runs without PyTorch.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    int8: Annotated[
        bool,
        typer.Option("--int8", help="Round weights to 8 bits.", rich_help_panel=MODEL),
    ] = False,
    on: Annotated[
        Path | None,
        typer.Option(
            "--on",
            metavar="SET",
            help="Measure nDCG@10 on a set of judged queries in BEIR's format.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    revision: Annotated[
        str | None,
        typer.Option(
            "--revision",
            metavar="NAME",
            help="Of a model on the hub: a branch, a tag or a commit.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    trust_remote_code: Annotated[
        bool,
        typer.Option(
            "--trust-remote-code",
            help="Run Python code that comes with the model.",
            rich_help_panel=MODEL,
        ),
    ] = False,
    n_threads: options.NThreads = None,
    json: options.AsJson = False,
) -> None:
    """Write all documents to JSON lines or Parquet; or make a model run without PyTorch.

    `interlace import` reads the file again, with every id, text and metadata as they were. The
    folder of a model goes wherever a model's name goes.
    """
    if (to is None) == (file is None):
        raise InputError("say what is to be written: a FILE, or with --to the folder of a model.")
    if to is not None:
        with bars.metering("exporting", silent=json) as meter:
            report = interlace.Encoder.export(
                what,
                to,
                int8=int8,
                on=on,
                revision=revision,
                trust_remote_code=trust_remote_code,
                n_threads=n_threads,
                progress=meter,
            )
        _tell_model(output.fields_of(report), json)
        return
    _export_documents(places.collection(Path(what)), file, embeddings, where, format, json)


def _tell_model(found: dict[str, Any], json: bool) -> None:
    if json:
        output.as_json(found)
        return
    say = output.to_people()
    size = output.bytes_shown(found["n_bytes"])
    say.print(f"{found['folder']}: {found['precision']}, {size}.", soft_wrap=True)
    say.print(f"The graph differs from PyTorch by at most {found['difference']:.1e}.")
    if found["mean_cosine"] is not None:
        say.print(
            f"Rows of int8 have a mean cosine of {found['mean_cosine']:.4f} to those of float32, "
            f"and at least {found['least_cosine']:.4f}.",
            soft_wrap=True,
        )
    if found["ndcg"] is not None:
        say.print(
            f"nDCG@10: {found['ndcg']:.4f}; in float32 {found['ndcg_float32']:.4f}.", soft_wrap=True
        )


def _export_documents(
    path: Path,
    file: Path | None,
    embeddings: bool,
    where: str | None,
    format_: str | None,
    json: bool,
) -> None:
    assert file is not None
    started = perf_counter()
    with (
        # Texts and metadata are in the catalog: they come out of damaged segments' collections too.
        interlace.open(path, damaged="raise" if embeddings else "skip") as collection,
        bars.metering("exporting", silent=json) as meter,
    ):
        report = collection.export(
            file, format=format_, embeddings=embeddings, where=where, progress=meter
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

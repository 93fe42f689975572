"""``interlace import``: what ``export`` wrote, records, or another tool's index."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

import interlace
from interlace.cli import bars, index, options, output, places, settings, update, writable
from interlace.collection import Vectors, vectors_in
from interlace.errors import InputError

if TYPE_CHECKING:
    from interlace.integrations import Index


def command(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help=".jsonl, .jsonl.gz, .parquet; or an index's folder: ColBERT, fast-plaid, PyLate.",
            show_default=False,
        ),
    ],
    to: options.Destination = None,
    format: options.Exchanged = None,  # noqa: A002
    id_field: options.IdField = None,
    text_field: options.TextFields = None,
    texts: Annotated[
        Path | None,
        typer.Option(
            "--texts",
            metavar="FILE",
            help="What an index was made of: ColBERT's collection.tsv, or a list in a .json.",
            rich_help_panel=options.READING,
        ),
    ] = None,
    on_conflict: Annotated[
        str,
        typer.Option(
            "--on-conflict",
            metavar="WORD",
            help="For known ids: replace, error or skip; replace if unsaid.",
            show_default=False,
        ),
    ] = "replace",
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help="For a new collection; the file's, or mini, if unsaid.",
            rich_help_panel=options.CUTTING,
        ),
    ] = None,
    damaged: options.Damaged = "raise",
    n_threads: options.NThreads = None,
    json: options.AsJson = False,
) -> None:
    """Add the documents of an exported file, of other records, or of another tool's index.

    Embeddings in the file are taken when the collection's model made them; else texts are encoded.
    Those of an index are taken as they are.
    """
    places.existing([str(file)] if texts is None else [str(file), str(texts)])
    foreign = None
    if file.is_dir():
        _refuse_options({"--format": format, "--id-field": id_field, "--text-field": text_field})
        from interlace.integrations import open_index  # most imports need no more than a file

        foreign = open_index(file)
    else:
        _refuse_options({"--texts": texts})
        _refuse_other_files(file, format, to)
    place = places.target(to, [str(file)], "import")
    chosen = settings.load(model=model, n_threads=n_threads)
    started = perf_counter()
    with (
        index.kept_if_filled(place),
        _collection(place, file, format, foreign, model, chosen, damaged) as collection,
        update.interruptible(collection),
        warnings.catch_warnings(record=True) as told,
        bars.metering("importing", silent=json) as meter,
    ):
        warnings.simplefilter("always", UserWarning)
        if foreign:
            report = foreign.into(
                collection,
                texts=texts,
                on_conflict=on_conflict,  # type: ignore[arg-type]
                progress=meter,
            )
        else:
            report = collection.import_(
                file,
                format=format,
                id_field=id_field,
                text_fields=text_field or (),
                on_conflict=on_conflict,  # type: ignore[arg-type]
                progress=meter,
            )
        has_model = collection.info()["model"] is not None
        n_documents = len(collection)
    seconds = round(perf_counter() - started, 3)
    found = output.fields_of(report)
    if json:
        now = {"collection": str(place), "n_documents": n_documents, "seconds": seconds}
        output.as_json(found | now)
    else:
        did = [f"{found[name]:,} {name}" for name in ("added", "replaced", "unchanged")]
        rows = {
            "documents": ", ".join(one for one in did if not one.startswith("0 ")) or "none",
            "time": f"{seconds:.1f} s",
            "collection": f"{place}, {output.counted(n_documents, 'document')}",
        }
        output.to_people().print(output.facts(rows))
    output.note(*(str(one.message) for one in told))
    if foreign and foreign.model and not has_model:
        output.note(f"{file} was made with {foreign.model}: --model makes texts searchable.")


def _refuse_options(given: Mapping[str, object]) -> None:
    """Refuse options that say nothing of what is imported."""
    for name, value in given.items():
        if value:
            kind = "an index" if name == "--texts" else "a file"
            raise InputError(f"{name} is for {kind}: it says nothing here. Leave it out.")


def _refuse_other_files(file: Path, format_: str | None, to: Path | None) -> None:
    """Name the command for a file that is no export, by its name."""
    from interlace.text import exchange_format

    try:
        exchange_format(str(file), format_)
    except InputError as error:
        if format_ is not None:
            raise
        example = to or f"{file.resolve().stem}.lace"
        typed = shlex.join(["interlace", "index", str(file), "--to", str(example)])
        raise InputError(f"{error} To read its text: {typed}.") from None


def _collection(
    place: Path,
    file: Path,
    format_: str | None,
    foreign: Index | None,
    model: str | None,
    chosen: settings.Settings,
    damaged: str,
) -> interlace.Collection:
    """The collection to fill; a new one has the model that made the file's embeddings, or none."""
    if places.is_collection(place):
        return writable.opened(place, chosen, model, damaged=damaged)
    more = {"lock_wait_seconds": chosen.lock_wait_seconds, "n_threads": chosen.n_threads}
    vectors = Vectors(foreign.dim, None) if foreign else vectors_in(file, format=format_)
    if vectors is not None and model is None:
        if vectors.model is None:
            return interlace.create(
                place,
                None,
                dim=vectors.dim,
                bits=chosen.bits,
                **more,  # type: ignore[arg-type]
            )
        model, more["dim"] = vectors.model, vectors.dim
    if vectors is None:  # embeddings in a file are taken as they are
        more["pool_factor"], more["pool_tokens"] = chosen.pool_factor, chosen.pool_tokens
        more["protected_tokens"] = chosen.protected_tokens
    return interlace.create(
        place,
        model or chosen.model,
        bits=chosen.bits,
        passage_tokens=chosen.passage_tokens,
        passage_overlap=chosen.passage_overlap,
        **more,  # type: ignore[arg-type]
    )

"""``interlace index``: files and folders into a collection, made if it is not there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import typer

import interlace
from interlace import files as disk
from interlace.cli import bars, options, places, reports, settings, update, writable
from interlace.collection import IndexReport
from interlace.errors import InputError, InterlaceError, SettingsError
from interlace.extras import need


def command(
    files: options.Files,
    to: options.Destination = None,
    watch: options.Watch = False,
    format: options.Format = None,  # noqa: A002
    id_field: options.IdField = None,
    text_field: options.TextFields = None,
    hidden: options.Hidden = False,
    no_ignore: options.NoIgnore = False,
    on_conflict: Annotated[
        str,
        typer.Option(
            "--on-conflict",
            metavar="WORD",
            help="For known ids on standard input: replace, error or skip; replace if unsaid.",
            show_default=False,
            rich_help_panel=options.READING,
        ),
    ] = "replace",
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help="Model name or folder; mini if unsaid.",
            rich_help_panel=options.CUTTING,
        ),
    ] = None,
    dim: Annotated[
        int | None,
        typer.Option(
            "--dim",
            metavar="N",
            help="Width of vectors, of those that the model was trained to be cut to; all if "
            "unsaid.",
            rich_help_panel=options.CUTTING,
        ),
    ] = None,
    bits: Annotated[
        int | None,
        typer.Option(
            "--bits",
            metavar="N",
            help="1, 2 or 4: how finely vectors are kept; 4 if unsaid.",
            rich_help_panel=options.CUTTING,
        ),
    ] = None,
    passage_tokens: Annotated[
        int | None,
        typer.Option(
            "--passage-tokens",
            metavar="N",
            help="Longest passage; what the model reads if unsaid.",
            rich_help_panel=options.CUTTING,
        ),
    ] = None,
    passage_overlap: Annotated[
        int | None,
        typer.Option(
            "--passage-overlap",
            metavar="N",
            help="Tokens that a passage repeats of the one before; 0 if unsaid.",
            rich_help_panel=options.CUTTING,
        ),
    ] = None,
    pool_factor: Annotated[
        int | None,
        typer.Option(
            "--pool-factor",
            metavar="N",
            help="2 to 6: so many tokens become one; 1, which keeps all, if unsaid.",
            rich_help_panel=options.CUTTING,
        ),
    ] = None,
    pool_tokens: Annotated[
        int | None,
        typer.Option(
            "--pool-tokens",
            metavar="N",
            help="Most tokens that are kept of a passage; all if unsaid.",
            rich_help_panel=options.CUTTING,
        ),
    ] = None,
    protected_tokens: Annotated[
        int | None,
        typer.Option(
            "--protected-tokens",
            metavar="N",
            help="First tokens of a passage, never pooled; 1 if unsaid.",
            rich_help_panel=options.CUTTING,
        ),
    ] = None,
    damaged: options.Damaged = "raise",
    n_threads: options.NThreads = None,
    list_skipped: options.ListSkipped = False,
    json: options.AsJson = False,
) -> None:
    """Index files and folders.

    Only what has changed is read again, so run it as often as you like; what is not read is named.
    """
    places.existing(files)
    place = places.target(to, files)
    if watch:
        need("watchfiles", extra="documents")  # before hours of indexing, not after
    chosen = settings.load(
        model=model,
        bits=bits,
        passage_tokens=passage_tokens,
        passage_overlap=passage_overlap,
        pool_factor=pool_factor,
        pool_tokens=pool_tokens,
        protected_tokens=protected_tokens,
        n_threads=n_threads,
    )
    asked = {
        "model": model, "dim": dim, "bits": bits,
        "passage_tokens": passage_tokens, "passage_overlap": passage_overlap,
        "pool_factor": pool_factor, "pool_tokens": pool_tokens,
        "protected_tokens": protected_tokens,
    }  # fmt: skip
    streams = [file for file in files if _is_stream(file)]
    paths = [file for file in files if not _is_stream(file)]
    if paths and on_conflict != "replace":
        raise InputError(
            f"--on-conflict {on_conflict} is for standard input; of a file that has changed, what "
            f"it holds now is taken over. Pipe it: interlace index - --to {place} < {paths[0]}"
        )
    started = perf_counter()
    report = IndexReport()
    with kept_if_filled(place), _collection(place, chosen, asked, damaged) as collection:
        with update.interruptible(collection), bars.metering("indexing", silent=json) as meter:
            if paths:
                report = collection.index(
                    *paths,
                    format=format,
                    id_field=id_field,
                    text_fields=text_field or (),
                    hidden=hidden,
                    ignore=not no_ignore,
                    progress=meter,
                )
            if streams:
                documents = interlace.read(
                    *streams,
                    format=format,
                    id_field=id_field,
                    text_fields=text_field or (),
                    skipped=report.skip,
                )
                _add(report, collection.add(documents, on_conflict=on_conflict, progress=meter))  # type: ignore[arg-type]
        seconds = perf_counter() - started
        _finish(report, collection, files, seconds, json=json, list_skipped=list_skipped)
        if watch:
            update.follow(collection, report, json=json)


def _finish(
    report: IndexReport,
    collection: interlace.Collection,
    files: Sequence[str],
    seconds: float,
    *,
    json: bool,
    list_skipped: bool,
) -> None:
    try:
        reports.refuse_nothing(report, files)
    except InputError:
        if json:
            reports.show(report, collection, seconds, json=True)
        elif report.n_skipped > 1:
            reports.show_skipped(report, everything=list_skipped)
        raise
    reports.show(report, collection, seconds, json=json, list_skipped=list_skipped)


def _is_stream(file: str) -> bool:
    """Whether a path can be read but once: standard input, a pipe."""
    path = Path(file)
    return file == places.STDIN or path.is_fifo() or path.is_char_device()


def _add(report: IndexReport, added: Any) -> None:
    """Count what came through a pipe into the report on files."""
    for field in fields(added):
        have, more = getattr(report, field.name), getattr(added, field.name)
        if type(have) is type(more):
            setattr(report, field.name, have + more)


@contextmanager
def kept_if_filled(path: Path) -> Iterator[None]:
    """Remove a collection again that was made in here, when an error left it empty."""
    was_there, was_folder = places.is_collection(path), path.is_dir()
    try:
        yield
    except InterlaceError:
        if not was_there and places.is_collection(path) and _is_empty(path):
            _remove_inside(path)
            if not was_folder:
                disk.remove_folder(path)
        raise


def _is_empty(path: Path) -> bool:
    try:
        with interlace.open(path) as collection:
            return not len(collection)
    except InterlaceError:
        return False  # what cannot be read may hold something


def _remove_inside(folder: Path) -> None:
    for name in disk.names(folder):
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            _remove_inside(path)
            disk.remove_folder(path)
        else:
            disk.remove(path)


def _collection(
    path: Path, chosen: settings.Settings, asked: dict[str, Any], damaged: str
) -> interlace.Collection:
    if not places.is_collection(path):
        return interlace.create(
            path,
            chosen.model,
            dim=asked["dim"],
            bits=chosen.bits,
            passage_tokens=chosen.passage_tokens,
            passage_overlap=chosen.passage_overlap,
            pool_factor=chosen.pool_factor,
            pool_tokens=chosen.pool_tokens,
            protected_tokens=chosen.protected_tokens,
            lock_wait_seconds=chosen.lock_wait_seconds,
            n_threads=chosen.n_threads,
        )
    model, dim = asked["model"], asked["dim"]
    given = None
    if model is not None:
        given = interlace.Encoder.load(model, n_threads=chosen.n_threads, dim=dim)
    collection = writable.opened(path, chosen, given, damaged=damaged)
    made = collection.info()
    has_model = made["model"] or {"name": "none"}
    is_its_model = given is not None and has_model.get("fingerprint") == given.fingerprint
    made_with = {
        **made,
        # Another name may load the same weights.
        "model": model if is_its_model else has_model["name"],
        "bits": int(str(made["codec"])[-1]),
    }
    for name, wanted in asked.items():
        has = made_with[name]
        if wanted is not None and wanted != has:
            collection.close()
            raise SettingsError(
                f"{name} is {wanted}, but the collection was made with {has}: {path}. "
                "Leave the option out, index into a new folder, or see: interlace rebuild --help."
            )
    return collection

"""``interlace index``: documents into a collection, made if it is not there."""

from __future__ import annotations

from collections import Counter as Tally
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import typer

import interlace
from interlace import text
from interlace.cli import options, output, settings
from interlace.collection import AddReport
from interlace.errors import SettingsError


def command(
    files: options.Files,
    to: Annotated[
        Path,
        typer.Option("--to", help="The collection's folder; made if new.", show_default=False),
    ],
    model: options.ModelName = None,
    bits: Annotated[
        int | None, typer.Option("--bits", help="1, 2 or 4, for a new collection; 4 if unsaid.")
    ] = None,
    passage_tokens: Annotated[
        int | None,
        typer.Option(
            "--passage-tokens",
            help="Longest passage of a new collection; what the model reads if unsaid.",
        ),
    ] = None,
    format: options.Format = None,  # noqa: A002
    on_conflict: Annotated[
        str, typer.Option("--on-conflict", help="For known ids: replace, error or skip.")
    ] = "replace",
    n_threads: options.NThreads = None,
    json: options.AsJson = False,
) -> None:
    """Index documents. Unchanged texts are not encoded again, so run it as often as you like."""
    chosen = settings.load(
        model=model, bits=bits, passage_tokens=passage_tokens, n_threads=n_threads
    )
    skipped: Tally[str] = Tally()
    documents = interlace.read(
        *files, format=format, skipped=lambda path: skipped.update([path.suffix or path.name])
    )
    started = perf_counter()
    with (
        _collection(to, chosen, model, bits, passage_tokens) as collection,
        output.counting(
            "indexing", silent=json, expected=lambda: text.estimate(*files, format=format)
        ) as count,
    ):
        try:
            report = collection.add(documents, on_conflict=on_conflict, progress=count)  # type: ignore[arg-type]
        except KeyboardInterrupt:
            stored = count.stored
            _say_interrupted(to, stored)
            raise typer.Exit(130) from None
        n_documents = len(collection)
    _show(to, report, n_documents, perf_counter() - started, skipped, json)


def _collection(
    path: Path,
    chosen: settings.Settings,
    model: str | None,
    bits: int | None,
    passage_tokens: int | None,
) -> interlace.Collection:
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return interlace.create(
            path,
            chosen.model,
            bits=chosen.bits,
            passage_tokens=chosen.passage_tokens,
            lock_wait_seconds=chosen.lock_wait_seconds,
            n_threads=chosen.n_threads,
        )
    given = None if model is None else interlace.Encoder.load(model, n_threads=chosen.n_threads)
    collection = interlace.open(
        path, given, lock_wait_seconds=chosen.lock_wait_seconds, n_threads=chosen.n_threads
    )
    made = collection.info()
    has_model = made["model"] or {"name": "none"}
    is_its_model = given is not None and has_model.get("fingerprint") == given.fingerprint
    made_with = {
        # Another name may load the same weights.
        "model": (model, model if is_its_model else has_model["name"]),
        "bits": (bits, int(str(made["codec"])[-1])),
        "passage_tokens": (passage_tokens, made["passage_tokens"]),
    }
    for name, (wanted, has) in made_with.items():
        if wanted is not None and wanted != has:
            collection.close()
            raise SettingsError(
                f"{name} is {wanted}, but the collection was made with {has}: {path}. "
                "Leave the option out, or index into a new folder."
            )
    return collection


def _say_interrupted(path: Path, n_stored: int) -> None:
    output.note(
        f"interrupted; of this run, {path} has {output.counted(n_stored, 'document')}. "
        "Run the same command again to go on: what is stored is not encoded again."
    )


def _show(
    path: Path,
    report: AddReport,
    n_documents: int,
    seconds: float,
    skipped: Tally[str],
    is_json: bool,
) -> None:
    if is_json:
        output.as_json({**asdict(report), "n_documents": n_documents, "seconds": round(seconds, 3)})
    else:
        rows: dict[str, Any] = {
            name: getattr(report, name)
            for name in ("added", "replaced", "unchanged", "skipped")
            if getattr(report, name) or name == "added"
        }
        rows |= {"passages": report.n_passages, "tokens": report.n_tokens}
        rows["time"] = f"{seconds:.1f} s"
        rows["collection"] = f"{path}, {output.counted(n_documents, 'document')}"
        output.to_people().print(output.facts(rows))
    if report.n_empty:
        output.note(f"without a word to match: {_some(report.empty, report.n_empty)}.")
    if report.n_cut:
        output.note(f"longer than the model reads, so cut: {_some(report.cut, report.n_cut)}.")
    if skipped:
        kinds = ", ".join(f"{kind} ({n})" for kind, n in skipped.most_common())
        output.note(f"files of other formats were passed over: {kinds}.")


def _some(ids: list[Any], n: int) -> str:
    shown = ", ".join(map(str, ids[:5]))
    return shown if n <= 5 else f"{shown} and {n - 5:,} more"

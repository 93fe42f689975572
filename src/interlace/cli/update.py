"""``interlace update``: take over what has changed in the files that were indexed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

import typer

import interlace
from interlace.cli import bars, options, output, reports, settings, writable
from interlace.collection import IndexReport
from interlace.extras import need


def command(
    path: options.CollectionPath,
    watch: options.Watch = False,
    damaged: options.Damaged = "raise",
    n_threads: options.NThreads = None,
    list_skipped: options.ListSkipped = False,
    json: options.AsJson = False,
) -> None:
    """Take over what has changed in indexed files.

    A file that is not there any more is removed, a file that cannot be read kept as it was.
    """
    if watch:
        need("watchfiles", extra="documents")
    chosen = settings.load(n_threads=n_threads)
    started = perf_counter()
    with writable.opened(path, chosen, damaged=damaged) as collection:
        with interruptible(collection), bars.metering("updating", silent=json) as meter:
            report = collection.update(progress=meter)
        seconds = perf_counter() - started
        reports.show(report, collection, seconds, json=json, list_skipped=list_skipped, again=True)
        if watch:
            follow(collection, report, json=json)


def follow(collection: interlace.Collection, first: IndexReport, *, json: bool) -> None:
    """Take over changes as they happen, a line for each, until Ctrl-C.

    What was skipped is named when it is new: ``first`` has been shown.
    """
    if not json:
        n = output.counted(len(collection.sources()), "source")
        output.note(f"watching {n}; Ctrl-C ends it.")
    known = set(map(str, first.skipped))
    started = perf_counter()
    try:
        sys.stdout.flush()
        for report in collection.watch():
            seconds, started = perf_counter() - started, perf_counter()
            skipped = [one for one in report.skipped if str(one) not in known]
            known.update(map(str, skipped))
            if not report.has_changed and not skipped:
                continue
            if json:
                output.as_json(reports.as_json(report, collection, seconds))
            else:
                reports.show_change(report, skipped)
            sys.stdout.flush()  # a program that reads along waits for it
    except KeyboardInterrupt:
        if not json:
            output.note("watching no more.")


@contextmanager
def interruptible(collection: interlace.Collection) -> Iterator[None]:
    """Say after Ctrl-C what is stored, and end with code 130."""
    try:
        yield
    except KeyboardInterrupt:
        collection.refresh()
        held = output.counted(len(collection), "document")
        output.note(
            f"interrupted; {output.short(collection.path)} has {held}. "
            "Run the same command again to go on: what is stored is not encoded again."
        )
        raise typer.Exit(130) from None

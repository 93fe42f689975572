"""What became of files and documents, for people and for machines."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from time import strftime
from typing import Any, Final

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

import interlace
from interlace.cli import output
from interlace.collection import IndexReport
from interlace.errors import InputError
from interlace.types import Skipped

#: Names shown for one reason, and reasons shown.
_N_NAMES: Final = 3
_N_REASONS: Final = 8

#: What differs between reasons of one kind.
_QUOTED: Final = re.compile(r"""(?<!\w)(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")(?!\w)""")
_BRACKETS: Final = re.compile(r" ?\([^()]*\)")
_NUMBER: Final = re.compile(r"(?<![\w.])-?\d+(?:[.,]\d+)*\b")


def as_json(
    report: IndexReport, collection: interlace.Collection, seconds: float
) -> dict[str, Any]:
    """A report as one object, with what holds for the collection now."""
    told = collection.info()
    return asdict(report) | {
        "collection": str(collection.path),
        "n_documents": len(collection),
        "passage_tokens": told["passage_tokens"],
        "passage_overlap": told["passage_overlap"],
        "seconds": round(seconds, 3),
    }


def show(
    report: IndexReport,
    collection: interlace.Collection,
    seconds: float,
    *,
    json: bool = False,
    list_skipped: bool = False,
    again: bool = False,
) -> None:
    """Print a report: what was done on standard output, what was not read on standard error.

    Looking ``again``, what is left out on purpose is only counted.
    """
    if json:
        output.as_json(as_json(report, collection, seconds))
        return
    output.to_people().print(output.facts(_done(report, collection, seconds)))
    show_skipped(report, everything=list_skipped, again=again)
    if report.n_empty:
        output.note(f"without a word to match: {_some(report.empty, report.n_empty)}.")
    if report.n_cut:
        output.note(f"longer than the model reads, so cut: {_some(report.cut, report.n_cut)}.")
    if report.n_files_as_prose:
        output.note(
            f"cut like prose, as their grammars are not installed: "
            f"{output.counted(report.n_files_as_prose, 'source file')}. "
            "Install them with: pip install 'interlace[documents]'"
        )


def show_change(report: IndexReport, skipped: Iterable[Skipped]) -> None:
    """Print one line about files that have just changed, and what of them was not read."""
    labelled = {"files": ", ".join(_files(report)), "documents": ", ".join(_documents(report))}
    parts = [f"{label} {figures}" for label, figures in labelled.items() if figures]
    line = Text.assemble((strftime("%H:%M:%S  "), "dim"), "; ".join(parts) or "nothing to do")
    output.to_people().print(line, soft_wrap=True)
    for one in skipped:
        output.note(f"{'not read' if one.failed else 'left out'}: {one}")


def refuse_nothing(report: IndexReport, paths: Sequence[str]) -> None:
    """Raise when not a single file or record of what was named could be read.

    Raises
    ------
    InputError
        It says why.
    """
    n_files = report.n_files_new + report.n_files_changed + report.n_files_unchanged
    n_files += report.n_files_kept
    if n_files or report.n_files_removed or report.n_documents or report.removed:
        return
    named = ", ".join(paths)
    if not report.n_skipped:
        raise InputError(f"nothing to index in {named}: no files. Name another folder.")
    if report.n_skipped == 1:
        (only,) = report.skipped
        where = "" if only.where in paths else f" ({only.where})"
        why = only.why.rstrip(".")
        remedy = "" if set(why) & set(".;") else " Name another."
        raise InputError(f"nothing to index in {named}{where}: {why}.{remedy}")
    raise InputError(
        f"nothing to index in {named}: none of {report.n_skipped:,} could be read, as said above. "
        "Name others, or mend what is said."
    )


# --- what was done -------------------------------------------------------------------------------
def _done(
    report: IndexReport, collection: interlace.Collection, seconds: float
) -> Mapping[str, Any]:
    told = collection.info()
    rows: dict[str, Any] = {}
    if files := list(_files(report)):
        rows["files"] = ", ".join(files)
    rows["documents"] = ", ".join(_documents(report)) or ("none changed" if files else "none")
    if report.n_passages:
        rows["passages"] = f"{report.n_passages:,}{_cutting(told)}"
        rows["tokens"] = (
            f"{report.n_tokens:,}, {report.n_tokens / max(seconds, 1e-3):,.0f} a second"
        )
    rows["time"] = f"{seconds:.1f} s"
    rows["collection"] = (
        f"{output.short(collection.path)}, {output.counted(len(collection), 'document')}"
    )
    return rows


def _files(report: IndexReport) -> Iterator[str]:
    for name in ("new", "changed", "unchanged", "kept", "removed"):
        if n := getattr(report, f"n_files_{name}"):
            yield f"{n:,} {name}"


def _documents(report: IndexReport) -> Iterator[str]:
    """What became of documents; of the files that were not read again nobody counts them."""
    unchanged = () if any(_files(report)) else ("unchanged",)
    for name in ("added", "replaced", *unchanged, "removed"):
        if n := getattr(report, name):
            yield f"{n:,} {name}"


def _cutting(told: Mapping[str, Any]) -> str:
    if not told["passage_tokens"]:
        return ""
    return f", each of at most {told['passage_tokens']} tokens, overlap {told['passage_overlap']}"


def _some(ids: list[Any], n: int) -> str:
    shown = ", ".join(map(str, ids[:5]))
    return shown if n <= 5 else f"{shown} and {n - 5:,} more"


# --- what was not read ---------------------------------------------------------------------------
def show_skipped(report: IndexReport, *, everything: bool = False, again: bool = False) -> None:
    """Print what was not read on standard error, by reason, or one by one.

    Looking ``again``, what is left out on purpose is only counted.
    """
    if not report.n_skipped:
        return
    side = output.to_side()
    if everything:
        for one in report.skipped:
            line = Text.assemble(("not read: ", "yellow"), one.where, (f": {one.why}", "dim"))
            output.aside(line)
        if report.n_skipped > len(report.skipped):
            output.note(f"and {report.n_skipped - len(report.skipped):,} more.")
        return
    failed = [one for one in report.skipped if one.failed]
    rest = [one for one in report.skipped if not one.failed]
    side.print()
    for title, some, style in (("not read", failed, "yellow"), ("left out", rest, "dim")):
        if some:
            side.print(Text(f"  {title}: {len(some):,}", style))
            if not again or some is failed:
                output.table(side, _by_reason(some, side.width))
    hint = "--list-skipped names all."
    if any("interlace[" in one.why for one in failed):
        hint = "Install what is missing: pip install 'interlace[documents]'. " + hint
    side.print(Text(f"  {hint}", "dim"))


def _by_reason(some: Sequence[Skipped], width: int) -> Table:
    """A row a reason; the longest name is not broken where half the width holds it."""
    groups: dict[str, list[Skipped]] = defaultdict(list)
    for one in some:
        groups[_kind(one.why)].append(one)
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(justify="right", min_width=8, no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(style="dim", overflow="fold", min_width=_longest(some, width // 2))
    ordered = sorted(groups.items(), key=lambda item: -len(item[1]))
    for kind, members in ordered[:_N_REASONS]:
        why = members[0].why if len({one.why for one in members}) == 1 else kind
        names = ", ".join(one.where for one in members[:_N_NAMES])
        more = ", …" if len(members) > _N_NAMES else ""
        table.add_row(f"{len(members):,}", why, names + more)
    if n := sum(len(members) for _, members in ordered[_N_REASONS:]):
        table.add_row(f"{n:,}", "other reasons", "")
    return table


def _longest(some: Iterable[Skipped], most: int) -> int:
    return min(most, max(cell_len(one.where) for one in some) + len(", "))


def _kind(why: str) -> str:
    """A reason without what is special to one file.

    That is what is in quotes or brackets, numbers, and what stands after a colon.
    """
    if "no reader" in why:
        return why
    kind = _QUOTED.sub("…", why)
    while (shorter := _BRACKETS.sub("", kind)) != kind:  # from the innermost
        kind = shorter
    return _NUMBER.sub("…", kind.partition(": ")[0].partition(" (")[0])

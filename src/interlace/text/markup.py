"""Markdown, written: what readers of rich formats make of headings, lists and tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import zip_longest

_LOOKS_LIKE_HEADING = re.compile(r"^(\s*)(#{1,6}(?:\s|$)|```|~~~)", re.MULTILINE)
_BLANK_LINES = re.compile(r"\n{3,}")


def heading(text: str, level: int) -> str:
    """Return a heading of a level from 1; empty without a text."""
    line = " ".join(text.split())
    return f"{'#' * min(max(level, 1), 6)} {line}" if line else ""


def paragraph(text: str) -> str:
    """Return a text that Markdown takes for no heading."""
    return _LOOKS_LIKE_HEADING.sub(r"\1\\\2", text.strip())


def item(text: str, depth: int, marker: str = "-") -> str:
    """Return an item of a list, its further lines indented under it."""
    indent = " " * 4 * depth
    further = f"\n{indent}{' ' * (len(marker) + 1)}"
    return f"{indent}{marker} {paragraph(text).replace(chr(10), further)}"


def table(rows: Iterable[Sequence[str]]) -> str:
    """Return a table, its first row the header; of a single column, a paragraph a row."""
    cells = [[" ".join(cell.split()) for cell in row] for row in rows]
    cells = [row for row in cells if any(row)]
    # Columns that are empty throughout tell nothing.
    columns = [column for column in zip_longest(*cells, fillvalue="") if any(column)]
    if len(columns) < 2:
        return "\n\n".join(paragraph(cell) for column in columns for cell in column)
    lines = [
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
        for row in zip(*columns, strict=True)
    ]
    return "\n".join([lines[0], "|" + " --- |" * len(columns), *lines[1:]])


def joined(blocks: Iterable[str]) -> str:
    """Return blocks as one text: a blank line between two, none between items of a list."""
    text = ""
    for block in blocks:
        if block.strip():
            is_list = _is_item(block) and _is_item(text[text.rfind("\n\n") + 1 :].lstrip("\n"))
            text += ("\n" if is_list else "\n\n") * bool(text) + block.rstrip()
    return _BLANK_LINES.sub("\n\n", text)


def _is_item(block: str) -> bool:
    return re.match(r"\s*(?:-|\d+\.) ", block) is not None

"""What a file says of itself, made metadata: only what a person wrote there."""

from __future__ import annotations

import re
from typing import Final

_PRINTED = re.compile(r"^Microsoft (?:Word|PowerPoint|Excel) - ")
_DATE = re.compile(r"(?:D:)?(\d{4})-?(\d\d)-?(\d\d)")

#: What programs fill in when nobody does.
_FILLED_IN: Final = re.compile(
    r"\W*(?:untitled(?: document)?|anonymous|unspecified|unknown|none|null|title|author|user|admin"
    r"|powerpoint presentation|word document|presentation|document|workbook"
    r"|python-docx|openpyxl|apache poi)?\W*\d*",
    re.IGNORECASE,
)


def about(
    title: str | None = None,
    author: str | None = None,
    date: str | None = None,
    language: str | None = None,
) -> dict[str, str]:
    """Return metadata of what is known; a date as ``YYYY-MM-DD``, no ``Untitled``."""
    metadata = {}
    for key, value in (("title", title), ("author", author), ("language", language)):
        words = _PRINTED.sub("", " ".join((value or "").replace("\0", "").split()))
        if not _FILLED_IN.fullmatch(words):
            metadata[key] = words
    if found := _DATE.match((date or "").strip()):
        metadata["date"] = "-".join(found.groups())
    return metadata

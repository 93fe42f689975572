"""From files to documents, and from documents to the passages that are encoded.

No model is known here: whoever splits passes in a function that says where a text's tokens are.
"""

from __future__ import annotations

from interlace.text.exchange import EXCHANGED, exchange_format, rows
from interlace.text.folders import Found, no_such_path, shown
from interlace.text.passages import Splitting, TokenSpans, split
from interlace.text.readers import (
    FORMATS,
    STDIN,
    SUFFIXES,
    Format,
    find,
    fingerprint,
    format_of,
    read,
    read_file,
)
from interlace.text.records import (
    Fields,
    Row,
    checked,
    checked_ids,
    document_from,
    document_of_record,
    identify,
)
from interlace.text.syntaxes import lacks_grammar
from interlace.text.wording import asked_words, places, words

__all__ = [
    "EXCHANGED",
    "FORMATS",
    "STDIN",
    "SUFFIXES",
    "Fields",
    "Format",
    "Found",
    "Row",
    "Splitting",
    "TokenSpans",
    "asked_words",
    "checked",
    "checked_ids",
    "document_from",
    "document_of_record",
    "exchange_format",
    "find",
    "fingerprint",
    "format_of",
    "identify",
    "lacks_grammar",
    "no_such_path",
    "places",
    "read",
    "read_file",
    "rows",
    "shown",
    "split",
    "words",
]

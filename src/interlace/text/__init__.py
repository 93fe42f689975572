"""From files to documents, and from documents to the passages that are encoded.

No model is known here: whoever splits passes in a function that says where a text's tokens are.
"""

from __future__ import annotations

from interlace.text.passages import Splitting, TokenSpans, split
from interlace.text.readers import FORMATS, STDIN, SUFFIXES, estimate, read
from interlace.text.records import checked, checked_ids, document_from, identify

__all__ = [
    "FORMATS",
    "STDIN",
    "SUFFIXES",
    "Splitting",
    "TokenSpans",
    "checked",
    "checked_ids",
    "document_from",
    "estimate",
    "identify",
    "read",
    "split",
]

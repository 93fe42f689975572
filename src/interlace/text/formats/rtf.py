"""RTF: its text, paragraph by paragraph."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO

from interlace.errors import InputError
from interlace.extras import need
from interlace.text.about import about
from interlace.text.records import Fields
from interlace.types import Document

_INFO = r"{\\%s\s*((?:[^{}\\]|\\.)*)}"
_DATE = re.compile(r"{\\(?:revtim|creatim)\\yr(\d+)\\mo(\d+)\\dy(\d+)")


def read(stream: IO[bytes], name: str, fields: Fields) -> Iterator[Document]:
    """Yield the text of a rich text file; title, author and date are metadata.

    Raises
    ------
    InputError
        When the file is no RTF or has no text.
    MissingExtra
        Without striprtf.
    """
    striprtf = need("striprtf.striprtf", extra="documents")
    data = stream.read()
    if not data.lstrip().startswith(b"{\\rtf"):
        what = "" if b"\0" in data[:8192] else ", it is plain text"
        remedy = " Rename it to .txt." if what else ""
        raise InputError(f"no RTF, whatever its name says{what}: {name}.{remedy}")
    # Beyond ASCII, RTF writes \'e9 and \u233, whatever the code page; cp1252 is for those who err.
    source = data.decode("cp1252", "replace")

    def plain(rtf: str) -> str:
        return str(striprtf.rtf_to_text(rtf, errors="replace"))

    def said(key: str) -> str:
        found = re.search(_INFO % key, source[:65_536])
        return plain(f"{{\\rtf1 {found[1]}}}") if found else ""

    text = re.sub(r"\n{3,}", "\n\n", plain(source).replace("\0", "")).strip()
    if not text:
        raise InputError(f"no text in it: {name}.")
    date = _DATE.search(source[:65_536])
    day = f"{date[1]:0>4}-{date[2]:0>2}-{date[3]:0>2}" if date else None
    yield Document(text, metadata=about(said("title"), said("author"), day))

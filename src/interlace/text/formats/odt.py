"""ODT: OpenDocument text as Markdown, from its ``content.xml``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any, Final

from interlace.errors import InputError
from interlace.text.about import about
from interlace.text.markup import heading, item, joined, paragraph, table
from interlace.text.packages import Package
from interlace.text.records import Fields
from interlace.types import Document

_OASIS: Final = "{urn:oasis:names:tc:opendocument:xmlns:"
_TEXT: Final = f"{_OASIS}text:1.0}}"
_TABLE: Final = f"{_OASIS}table:1.0}}"
_OFFICE: Final = f"{_OASIS}office:1.0}}"
_DRAW: Final = f"{_OASIS}drawing:1.0}}"
_STYLE: Final = f"{_OASIS}style:1.0}}"
_META: Final = f"{_OASIS}meta:1.0}}"
_DC: Final = "{http://purl.org/dc/elements/1.1/}"

#: What is no text of the document as it stands: former versions, contents, what stands beside.
_LEFT_OUT: Final = frozenset(
    (
        f"{_TEXT}tracked-changes",
        f"{_TEXT}table-of-content",
        f"{_TEXT}sequence-decls",
        f"{_OFFICE}forms",
        f"{_TEXT}note-citation",
        f"{_OFFICE}annotation-end",
        f"{_OASIS}svg-compatible:1.0}}title",
        f"{_OASIS}svg-compatible:1.0}}desc",
    )
)
#: A style may repeat a cell or a row for the rest of the sheet.
_REPEATED_MAX: Final = 64


def read(stream: IO[bytes], name: str, fields: Fields) -> Iterator[Document]:
    """Yield the text of an OpenDocument text as Markdown.

    Footnotes and comments follow their paragraph; the table of contents is left out. Title,
    author and the date of the last change are metadata.

    Raises
    ------
    InputError
        When the file is no ODT, encrypted, damaged or has no text.
    MissingExtra
        Without lxml.
    """
    package = Package(stream, name, "ODT")
    manifest = "META-INF/manifest.xml"
    if manifest in package and b"encryption-data" in package.read(manifest):
        raise InputError(f"encrypted: {name}. Save a copy without password.")
    body = package.xml("content.xml")
    text = _Text(body).text()
    if not text:
        raise InputError(f"no text in it: {name}.")
    yield Document(text, metadata=_metadata(package), syntax="markdown")


class _Text:
    def __init__(self, root: Any) -> None:
        self._body = root.find(f"{_OFFICE}body/{_OFFICE}text")
        self._numbered = {
            (style.get(f"{_STYLE}name"), int(level.get(f"{_TEXT}level", "1")) - 1)
            for style in root.iter(f"{_TEXT}list-style")
            for level in style.iter(f"{_TEXT}list-level-style-number")
        }
        #: Paragraph style -> what it is based on: an automatic style hides the "Title" behind it.
        self._parents = {
            style.get(f"{_STYLE}name"): style.get(f"{_STYLE}parent-style-name")
            for style in root.iter(f"{_STYLE}style")
        }
        self._n_notes = 0
        self._shift = 0

    def text(self) -> str:
        if self._body is None:
            return ""
        # Under a title, the headings of the first level are of the second.
        self._shift = int(any(map(self._is_title, self._body.iter(f"{_TEXT}p"))))
        return joined(self._blocks(self._body))

    def _blocks(self, parent: Any) -> Iterator[str]:
        for element in parent:
            if element.tag in (f"{_TEXT}p", f"{_TEXT}h"):
                yield from self._paragraph(element)
            elif element.tag == f"{_TEXT}list":
                yield from self._list(element, element.get(f"{_TEXT}style-name"), 0)
            elif element.tag == f"{_TABLE}table":
                yield table(self._rows(element))
            elif element.tag not in _LEFT_OUT:
                yield from self._blocks(element)

    def _paragraph(self, element: Any) -> Iterator[str]:
        aside: list[str] = []
        text = self._inline(element, aside).strip()
        if self._is_title(element):
            yield heading(text, 1)
        elif element.tag == f"{_TEXT}h":
            level = element.get(f"{_TEXT}outline-level", "1")
            yield heading(text, (int(level) if level.isdecimal() else 1) + self._shift)
        else:
            yield paragraph(text)
        yield from aside

    def _is_title(self, element: Any) -> bool:
        name = element.get(f"{_TEXT}style-name")
        return "Title" in (name, self._parents.get(name))

    def _list(self, element: Any, style: str | None, depth: int) -> Iterator[str]:
        number = 0
        for one in element:
            if one.tag not in (f"{_TEXT}list-item", f"{_TEXT}list-header"):
                continue
            number += 1
            marker = f"{number}." if (style, depth) in self._numbered else "-"
            for part in one:
                if part.tag == f"{_TEXT}list":
                    own = part.get(f"{_TEXT}style-name") or style
                    yield from self._list(part, own, depth + 1)
                elif part.tag == f"{_TEXT}h":
                    yield from self._paragraph(part)
                else:
                    aside: list[str] = []
                    text = self._inline(part, aside).strip()
                    yield item(text, depth, marker) if text else ""
                    yield from aside

    def _rows(self, element: Any) -> Iterator[list[str]]:
        for row in element.iter(f"{_TABLE}table-row"):
            cells = []
            for cell in row:
                if cell.tag in (f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell"):
                    repeated = cell.get(f"{_TABLE}number-columns-repeated", "1")
                    text = " ".join(filter(None, self._blocks(cell)))
                    cells += [text] * min(int(repeated), _REPEATED_MAX)
            yield cells

    def _inline(self, element: Any, aside: list[str]) -> str:
        parts = [element.text or ""]
        for one in element:
            if one.tag == f"{_TEXT}s":
                parts.append(" " * min(int(one.get(f"{_TEXT}c", "1")), 80))
            elif one.tag == f"{_TEXT}tab":
                parts.append("\t")
            elif one.tag == f"{_TEXT}line-break":
                parts.append("\n")
            elif one.tag == f"{_TEXT}note":
                self._n_notes += 1
                mark = f"[^{self._n_notes}]"
                aside.append(f"{mark}: {' '.join(self._blocks(one))}")
                parts.append(mark)
            elif one.tag == f"{_OFFICE}annotation":
                author = one.findtext(f"{_DC}creator")
                text = " ".join(map(self._whole, one.iter(f"{_TEXT}p")))
                aside.append(f"> {author}: {text}" if author else f"> {text}")
            elif one.tag in (f"{_DRAW}text-box", f"{_DRAW}frame"):
                aside += self._blocks(one)
            elif one.tag not in _LEFT_OUT and isinstance(one.tag, str):
                parts.append(self._inline(one, aside))
            parts.append(one.tail or "")
        return "".join(parts)

    def _whole(self, element: Any) -> str:
        return self._inline(element, [])


def _metadata(package: Package) -> dict[str, str]:
    if "meta.xml" not in package:
        return {}
    meta = package.xml("meta.xml").find(f"{_OFFICE}meta")
    if meta is None:
        return {}
    return about(
        meta.findtext(f"{_DC}title"),
        meta.findtext(f"{_META}initial-creator") or meta.findtext(f"{_DC}creator"),
        meta.findtext(f"{_DC}date") or meta.findtext(f"{_META}creation-date"),
    )

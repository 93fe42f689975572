"""DOCX: headings, lists, tables, notes and comments as Markdown, in the order of the text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import IO, Any, Final

from interlace.errors import InputError
from interlace.text.markup import heading, item, joined, paragraph, table
from interlace.text.packages import Package
from interlace.text.records import Fields
from interlace.types import Document

_W: Final = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_M: Final = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_R: Final = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_MC: Final = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
#: Files saved as "strict" name the same things otherwise.
_STRICT: Final = (
    (b"http://purl.oclc.org/ooxml/wordprocessingml/main", _W[1:-1].encode()),
    (b"http://purl.oclc.org/ooxml/officeDocument/math", _M[1:-1].encode()),
    (b"http://purl.oclc.org/ooxml/officeDocument/relationships", _R[1:-1].encode()),
)

_HEADING_NAME = re.compile(r"heading (\d)", re.IGNORECASE)
_CHARACTERS: Final = {
    f"{_W}tab": "\t",
    f"{_W}br": "\n",
    f"{_W}cr": "\n",
    f"{_W}noBreakHyphen": "-",
}
#: What is no text of the document as it stands: deleted, moved away, instructions to Word.
_LEFT_OUT: Final = frozenset(
    f"{_W}{tag}"
    for tag in ("del", "moveFrom", "instrText", "pPr", "rPr", "sdtPr", "ruby", "txbxContent")
) | {f"{_MC}Fallback"}


def read(stream: IO[bytes], name: str, fields: Fields) -> Iterator[Document]:
    """Yield the text of a Word document as Markdown.

    Headings are known by their outline level, whatever their style's name or language. Footnotes
    and comments follow their paragraph, heads and feet stand once at the end; the table of
    contents is left out. Title, author and the date of the last change are metadata.

    Raises
    ------
    InputError
        When the file is no DOCX, encrypted, damaged or has no text.
    MissingExtra
        Without lxml.
    """
    package = Package(stream, name, "DOCX")
    text = _Word(package).text()
    if not text:
        raise InputError(f"no text in it: {name}.")
    yield Document(text, metadata=package.core_metadata(), syntax="markdown")


class _Style:
    """What a paragraph's style says, what it is based on included."""

    def __init__(self, element: Any) -> None:
        self.name = _value(element, "name") or ""
        self.based_on = _value(element, "basedOn")
        self.level = _level(element.find(f"{_W}pPr"))
        self.number = _number(element.find(f"{_W}pPr"))


class _Word:
    def __init__(self, package: Package) -> None:
        self._package = package
        kinds = package.relations("")
        main = next((part for kind, part in kinds.values() if kind == "officeDocument"), "")
        self._main = main or "word/document.xml"
        self._parts = package.relations(self._main)
        self._styles = {
            style.get(f"{_W}styleId"): _Style(style) for style in self._all("styles", "style")
        }
        self._lists = self._list_formats()
        self._counts: Counter[tuple[str, int]] = Counter()
        self._footnotes = self._notes("footnotes", "footnote") | {
            f"e{key}": note for key, note in self._notes("endnotes", "endnote").items()
        }
        self._comments = self._notes("comments", "comment")
        self._n_footnotes = 0
        self._shift = 0

    def text(self) -> str:
        body = self._root(self._main).find(f"{_W}body")
        if body is None:
            return ""
        # Under a title, the headings of the first level are of the second.
        self._shift = int(any(self._style_name(p) == "title" for p in body.iter(f"{_W}p")))
        blocks = list(self._blocks(body))
        for kind in ("header", "footer"):
            parts = sorted({part for what, part in self._parts.values() if what == kind})
            texts = [joined(self._blocks(self._root(part))) for part in parts]
            blocks += [text for text in dict.fromkeys(texts) if any(map(str.isalpha, text))]
        return joined(blocks)

    # ── blocks ───────────────────────────────────────────────────────────────────────────────

    def _blocks(self, parent: Any) -> Iterator[str]:
        for element in parent:
            if element.tag == f"{_W}p":
                yield from self._paragraph(element)
            elif element.tag == f"{_W}tbl":
                yield self._table(element)
            elif element.tag == f"{_W}sdt":
                gallery = element.find(f"{_W}sdtPr/{_W}docPartObj/{_W}docPartGallery")
                content = element.find(f"{_W}sdtContent")
                is_contents = gallery is not None and gallery.get(f"{_W}val") == "Table of Contents"
                if content is not None and not is_contents:
                    yield from self._blocks(content)
            elif element.tag in (f"{_W}ins", f"{_W}moveTo", f"{_W}smartTag", f"{_W}customXml"):
                yield from self._blocks(element)

    def _paragraph(self, element: Any) -> Iterator[str]:
        notes: list[str] = []
        text = self._inline(element, notes).strip()
        style = self._style_name(element)
        if text and not style.startswith("toc "):
            level = 1 if style == "title" else self._heading_level(element)
            number = self._list_number(element)
            if level is not None:
                yield heading(text, level + (self._shift if style != "title" else 0))
            elif number is not None:
                yield self._item(text, *number)
            else:
                yield paragraph(text)
        yield from notes
        for box in element.iter(f"{_W}txbxContent"):
            if not any(up.tag == f"{_MC}Fallback" for up in box.iterancestors()):
                yield from self._blocks(box)

    def _item(self, text: str, list_id: str, depth: int) -> str:
        if self._lists.get((list_id, depth)) == "bullet":
            return item(text, depth)
        self._counts[list_id, depth] += 1
        for deeper in [key for key in self._counts if key[0] == list_id and key[1] > depth]:
            del self._counts[deeper]
        return item(text, depth, f"{self._counts[list_id, depth]}.")

    def _table(self, element: Any) -> str:
        rows = [
            [cell for one in _through(row, "tc") for cell in self._cells(one)]
            for row in _through(element, "tr")
        ]
        if len(rows) == 1 or max(map(len, rows), default=0) == 1:  # a frame rather than a table
            return joined(
                joined(self._blocks(cell))
                for row in _through(element, "tr")
                for cell in _through(row, "tc")
            )
        return table(rows)

    def _cells(self, element: Any) -> list[str]:
        """Return the text of a cell, and an empty one for each further column that it spans."""
        properties = element.find(f"{_W}tcPr")
        merged = None if properties is None else properties.find(f"{_W}vMerge")
        goes_on = merged is not None and merged.get(f"{_W}val") != "restart"
        text = "" if goes_on else " ".join(filter(None, self._blocks(element)))
        span = "1" if properties is None else _value(properties, "gridSpan") or "1"
        return [text] + [""] * (min(int(span), 64) - 1 if span.isdecimal() else 0)

    # ── inside a paragraph ───────────────────────────────────────────────────────────────────

    def _inline(self, parent: Any, notes: list[str]) -> str:
        parts = []
        for element in parent:
            tag = element.tag
            if tag == f"{_W}t":
                parts.append(element.text or "")
            elif tag in _CHARACTERS:
                parts.append(_CHARACTERS[tag])
            elif tag == f"{_M}oMath":
                parts.append(_formula(element))
            elif tag in (f"{_W}footnoteReference", f"{_W}endnoteReference"):
                parts.append(self._footnote(element, notes))
            elif tag == f"{_W}commentReference":
                note = self._comments.get(element.get(f"{_W}id"))
                if note is not None:
                    author = note.get(f"{_W}author")
                    text = " ".join(self._blocks(note))
                    notes.append(f"> {author}: {text}" if author else f"> {text}")
            elif tag not in _LEFT_OUT and isinstance(tag, str):
                parts.append(self._inline(element, notes))
        return "".join(parts)

    def _footnote(self, reference: Any, notes: list[str]) -> str:
        prefix = "e" if reference.tag == f"{_W}endnoteReference" else ""
        note = self._footnotes.get(f"{prefix}{reference.get(f'{_W}id')}")
        if note is None:
            return ""
        self._n_footnotes += 1
        mark = f"[^{self._n_footnotes}]"
        notes.append(f"{mark}: {' '.join(self._blocks(note))}")
        return mark

    # ── what the other parts say ─────────────────────────────────────────────────────────────

    def _style_name(self, element: Any) -> str:
        style = self._styles.get(_value(element.find(f"{_W}pPr"), "pStyle"))
        return style.name.lower() if style else ""

    def _chain(self, element: Any) -> Iterator[_Style]:
        name, seen = _value(element.find(f"{_W}pPr"), "pStyle"), set()
        while name in self._styles and name not in seen:
            seen.add(name)
            yield self._styles[name]
            name = self._styles[name].based_on

    def _heading_level(self, element: Any) -> int | None:
        level = _level(element.find(f"{_W}pPr"))
        for style in self._chain(element):
            if level is None:
                named = _HEADING_NAME.fullmatch(style.name)
                level = int(named[1]) if named else style.level
        return level if level is not None and 1 <= level <= 9 else None

    def _list_number(self, element: Any) -> tuple[str, int] | None:
        found = _number(element.find(f"{_W}pPr"))
        for style in self._chain(element):
            found = found or style.number
        return None if found is None or found[0] == "0" else found

    def _list_formats(self) -> dict[tuple[str, int], str]:
        """Return how the items of each list and depth are numbered: ``"bullet"``, ``"decimal"``."""
        abstract = {
            (one.get(f"{_W}abstractNumId"), level.get(f"{_W}ilvl")): _value(level, "numFmt")
            for one in self._all("numbering", "abstractNum")
            for level in one.iter(f"{_W}lvl")
        }
        numbers = {
            one.get(f"{_W}numId"): _value(one, "abstractNumId")
            for one in self._all("numbering", "num")
        }
        return {
            (number, int(depth)): kind
            for number, refers_to in numbers.items()
            for (of, depth), kind in abstract.items()
            if of == refers_to and kind and depth
        }

    def _notes(self, kind: str, tag: str) -> dict[str, Any]:
        return {
            note.get(f"{_W}id", ""): note
            for note in self._all(kind, tag)
            if note.get(f"{_W}type", "normal") == "normal"
        }

    def _all(self, kind: str, tag: str) -> list[Any]:
        part = next((part for what, part in self._parts.values() if what == kind), None)
        if part is None or part not in self._package:
            return []
        return list(self._root(part).iter(f"{_W}{tag}"))

    def _root(self, part: str) -> Any:
        return self._package.xml(part, _STRICT)


def _through(parent: Any, tag: str) -> Iterator[Any]:
    """Yield the rows of a table, or the cells of a row, content controls looked through."""
    for element in parent:
        if element.tag == f"{_W}{tag}":
            yield element
        elif element.tag in (f"{_W}sdt", f"{_W}sdtContent", f"{_W}ins", f"{_W}customXml"):
            yield from _through(element, tag)


def _value(parent: Any, tag: str) -> str | None:
    element = None if parent is None else parent.find(f"{_W}{tag}")
    value: str | None = None if element is None else element.get(f"{_W}val")
    return value


def _level(properties: Any) -> int | None:
    """Return the outline level, from 1; 10 is Word's word for none."""
    value = _value(properties, "outlineLvl")
    return int(value) + 1 if value and value.isdecimal() else None


def _number(properties: Any) -> tuple[str, int] | None:
    numbering = None if properties is None else properties.find(f"{_W}numPr")
    number, depth = _value(numbering, "numId"), _value(numbering, "ilvl") or "0"
    return (number, min(int(depth), 8)) if number and depth.isdecimal() else None


def _formula(element: Any) -> str:
    """Return a formula in one line: ``a^2``, ``(a)/(b)``, ``√(x)``."""
    tag = element.tag.removeprefix(_M) if isinstance(element.tag, str) else ""
    if tag == "t":
        return (element.text or "").replace("\u2061", " ")  # "function application", unseen
    if tag.endswith("Pr") or element.tag in _LEFT_OUT:
        return ""

    def part(name: str) -> str:
        return "".join(_formula(one) for one in element.findall(f"{_M}{name}"))

    if tag == "f":
        return f"{_grouped(part('num'))}/{_grouped(part('den'))}"
    if tag == "rad":
        return f"{part('deg')}√({part('e')})"
    if tag in ("sSup", "sSub", "sSubSup", "nary"):
        sign = ""
        if tag == "nary":
            sign_element = element.find(f"{_M}naryPr/{_M}chr")
            sign = "∫" if sign_element is None else sign_element.get(f"{_M}val", "∫")
        sub, sup = part("sub"), part("sup")
        bounds = (f"_{_grouped(sub)}" if sub else "") + (f"^{_grouped(sup)}" if sup else "")
        return f"{sign}{bounds} {part('e')}" if tag == "nary" else f"{part('e')}{bounds}"
    if tag == "d":
        return f"({part('e')})"
    return "".join(map(_formula, element))


def _grouped(text: str) -> str:
    return text if len(text) == 1 else f"({text})"

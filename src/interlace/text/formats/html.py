"""HTML: headings, paragraphs, lists, tables and code as Markdown; of a page its main text."""

from __future__ import annotations

import codecs
import logging
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import IO, Any, Final

from interlace.errors import InputError
from interlace.extras import need
from interlace.text.about import about
from interlace.text.markup import heading, item, paragraph, table
from interlace.text.reasons import BLANK, EMPTY
from interlace.text.records import Fields
from interlace.types import Document, Skipped

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CHARSET: Final = re.compile(
    rb"<meta[^>]{0,400}?charset\s*=\s*[\"']?\s*([\w.:-]+)"
    rb"|^\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([\w.:-]+)",
    re.IGNORECASE,
)
#: Where browsers look for a declared encoding, and a bit more: some pages begin with comments.
_DECLARED_IN: Final = 4096
#: What is declared and what is meant by it, as browsers have it.
_MEANT: Final = {"iso8859-1": "cp1252", "ascii": "cp1252", "gb2312": "gb18030", "gbk": "gb18030"}

#: Larger pages are data: finding the main text in them takes minutes.
_MAIN_CHARACTERS_MAX: Final = 3_000_000
_MAIN_ELEMENTS_MAX: Final = 15_000
#: Main text that is less than this share of the page without its menus is the wrong one.
_MAIN_SHARE_MIN: Final = 0.5
#: Deeper lists and quotations are shown as this deep.
_DEPTH_MAX: Final = 6

# fmt: off
_UNSEEN: Final = frozenset((
    "head", "script", "style", "noscript", "template", "svg", "iframe", "object", "embed",
    "applet", "audio", "video", "canvas", "map", "select", "option", "textarea", "button",
    "input", "img", "graphic", "rt", "rp", "annotation", "annotation-xml",
))
# fmt: on
_MENU_TAGS: Final = frozenset(("nav", "menu", "dialog"))
_MENU_ROLES: Final = frozenset(("navigation", "banner", "contentinfo", "search", "menu", "menubar"))
_MENU_NAMES: Final = re.compile(
    r"(?:^|[\s_-])(?:nav|navbar|navigation|navigational|navlinks|menu|menubar|sidebar|toolbar"
    r"|breadcrumbs?|cookies?|navbox|noprint|editsection)(?:$|[\s_-])",
    re.IGNORECASE,
)
_MENU_NAMED: Final = frozenset(("div", "ul", "ol", "section", "aside", "table", "p", "span", "td"))
_HIDDEN: Final = re.compile(r"(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.IGNORECASE)

# Trafilatura's names stand beside those of HTML: its "list", "item", "row", "cell", "quote".
_HEADINGS: Final = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
_LISTS: Final = frozenset(("ul", "ol", "list", "dir"))
_ITEMS: Final = frozenset(("li", "item"))
_ROWS: Final = frozenset(("tr", "row"))
_CELLS: Final = frozenset(("td", "th", "cell"))
_QUOTES: Final = frozenset(("blockquote", "quote"))
_BREAKS: Final = frozenset(("br", "lb"))
_VERBATIM: Final = frozenset(("pre", "listing", "xmp", "plaintext"))
# fmt: off
_FLOW: Final = frozenset((
    "address", "article", "aside", "body", "caption", "center", "dd", "details", "div",
    "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "header", "hgroup",
    "hr", "html", "legend", "main", "p", "section", "summary", "table", "tbody", "tfoot",
    "thead", "nav", "menu", "dialog",
))
# fmt: on
_BLOCKS: Final = _FLOW | _LISTS | _ITEMS | _QUOTES | _HEADINGS | _VERBATIM
_CONTROLS: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BLANKS: Final = re.compile(r"[ \t\r\n\f\v]+")
_AROUND_BREAK: Final = re.compile(r" *\x01[ \x01]*")
_ITEM: Final = re.compile(r" *(?:-|\d+\.) ")
_FENCES: Final = re.compile(r"`{3,}")


def read(stream: IO[bytes], name: str, fields: Fields) -> Iterator[Document | Skipped]:
    """Yield the main text of a page as Markdown, without its menus.

    A page without menus, which a person wrote rather than a program, is kept whole. Title,
    author, date and language are metadata where the page declares them.

    Raises
    ------
    InputError
        When it is no text or there is none in it.
    MissingExtra
        Without lxml or trafilatura.
    """
    data = stream.read()
    if not data.strip():
        yield Skipped(name, BLANK if data else EMPTY)
        return
    root = _parsed(_decoded(data, name))
    metadata = {} if root is None else _metadata(root)
    text = "" if root is None else _main(root)
    if not text:
        raise InputError(f"no text in it: {name}.")
    yield Document(text, metadata=metadata, syntax="markdown")


def to_markdown(html: bytes | str, main: bool = False) -> str:
    """Return the text of a page as Markdown: headings, lists, tables, code; no addresses.

    Parameters
    ----------
    html : bytes or str
        Bytes are decoded as the page declares.
    main : bool
        Whether menus, and what else is not the main text, are left out.

    Raises
    ------
    MissingExtra
        Without lxml, and with ``main`` without trafilatura.
    """
    root = _parsed(_decoded(html, "a page") if isinstance(html, bytes) else html)
    if root is None:
        return ""
    return _main(root) if main else _Markdown(root).text()


# ── bytes to a tree ──────────────────────────────────────────────────────────────────────────


def _decoded(data: bytes, name: str) -> str:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    try:
        return data.decode(_declared(data) or "utf-8")
    except (UnicodeError, LookupError):
        from interlace.text.encodings import decode

        return decode(data, name)


def _declared(data: bytes) -> str | None:
    """Return the encoding that a page declares, as browsers understand it."""
    found = _CHARSET.search(data[:_DECLARED_IN])
    if found is None:
        return None
    try:
        encoding = codecs.lookup((found[1] or found[2]).decode("ascii")).name
        b"".decode(encoding)  # some codecs are not of text
    except (LookupError, UnicodeError):
        return None
    # A declaration that can be read is no UTF-16, whatever it says.
    return "utf-8" if encoding.startswith(("utf-16", "utf-32")) else _MEANT.get(encoding, encoding)


def _parsed(text: str) -> Any:
    """Return the root of a page, or None of one without any element or text."""
    etree = need("lxml.etree", extra="documents")
    data = text.replace("\0", "").encode("utf-8", "replace")
    options = {
        "remove_comments": True,
        "remove_pis": True,
        "no_network": True,
        "huge_tree": True,
        "encoding": "utf-8",
    }
    start = data[:1024]
    if start.lstrip().startswith(b"<?xml") or b"http://www.w3.org/1999/xhtml" in start:
        # In XHTML an empty element may stand for itself, <title/>: HTML would read on to its end.
        parser = etree.XMLParser(resolve_entities=False, load_dtd=False, **options)
        try:
            root = etree.fromstring(data, parser)
        except etree.XMLSyntaxError:
            root = None
        if root is not None and _has_plain_names(root):
            return root
    parser = etree.HTMLParser(**options)
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError:  # "document is empty"
        return None
    if any(error.message.startswith("Excessive depth") for error in parser.error_log):
        return _Flat(text).root  # what is deeper than that the parser drops
    return root


class _Flat(HTMLParser):
    """The paragraphs of a page that is nested too deep, side by side."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._etree = need("lxml.etree", extra="documents")
        self.root = self._etree.Element("body")
        self._parts: list[str] = []
        self._unseen = ""
        self.feed(text)
        self.close()
        self._flush("p")

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in _BLOCKS or tag in _CELLS:
            self._flush("p")
        elif tag in ("head", "script", "style", "title"):
            self._unseen = self._unseen or tag

    def handle_endtag(self, tag: str) -> None:
        if tag in _BLOCKS or tag in _CELLS:
            self._flush(tag if tag in _HEADINGS else "p")
        if tag == self._unseen:
            self._unseen = ""

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self._parts.append(data)

    def _flush(self, tag: str) -> None:
        text = _CONTROLS.sub("", "".join(self._parts))
        self._parts.clear()
        if text.strip():
            self._etree.SubElement(self.root, tag).text = text


def _has_plain_names(root: Any) -> bool:
    """Drop the name spaces of elements; say no where there are entities that a DTD explains."""
    for element in root.iter():
        if not isinstance(element.tag, str):
            return False
        element.tag = element.tag.rpartition("}")[2].lower()
    return True


def _metadata(root: Any) -> dict[str, str]:
    declared: dict[str, str] = {}
    for meta in root.iter("meta"):
        key = (meta.get("name") or meta.get("property") or "").lower()
        declared.setdefault(key, meta.get("content") or "")

    def first(*keys: str) -> str:
        return next((declared[key] for key in keys if declared.get(key)), "")

    title = next((one for one in root.iter("title") if one.getparent().tag != "svg"), None)
    return about(
        "".join(title.itertext()) if title is not None else first("og:title", "dc.title"),
        first("author", "dc.creator", "dcterms.creator"),
        first("date", "dc.date", "dcterms.date", "dcterms.created", "article:published_time"),
        root.get("lang") or root.get("{http://www.w3.org/XML/1998/namespace}lang"),
    )


# ── the main text ────────────────────────────────────────────────────────────────────────────


def _main(root: Any) -> str:
    """Return the main text: trafilatura's, or all but the menus where that found too little."""
    whole = _Markdown(root)
    menus = _menus(root)
    if not menus:
        return whole.text()
    rest = _Markdown(root, menus).text()
    found = _found(root) if rest else None
    if found is not None:
        text = _Markdown(found).text()
        if _n_letters(text) >= _MAIN_SHARE_MIN * _n_letters(rest):
            return text
    return rest or whole.text()


def _menus(root: Any) -> set[Any]:
    return {element for element in root.iter() if _is_menu(element)}


def _is_menu(element: Any) -> bool:
    tag = element.tag
    if tag in ("html", "body", "main", "article"):
        return False
    if tag in _MENU_TAGS or element.get("role") in _MENU_ROLES or "hidden" in element.attrib:
        return True
    if tag in ("header", "footer"):
        parent = element.getparent()
        is_of_page = parent is not None and parent.tag in ("body", "div")
        return is_of_page and next(element.iter("h1"), None) is None
    if _HIDDEN.search(element.get("style") or ""):
        return True
    names = f"{element.get('class') or ''} {element.get('id') or ''}"
    return tag in _MENU_NAMED and _MENU_NAMES.search(names) is not None


def _found(root: Any) -> Any:
    """Return what trafilatura takes for the main text, as its own kind of tree, or None."""
    etree = need("lxml.etree", extra="documents")
    trafilatura = need("trafilatura", extra="documents")
    if sum(1 for _ in root.iter()) > _MAIN_ELEMENTS_MAX:
        return None
    html = etree.tostring(root, encoding="unicode", method="html")
    if len(html) > _MAIN_CHARACTERS_MAX:
        return None
    logger = logging.getLogger("trafilatura")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        found = trafilatura.bare_extraction(
            html,
            include_comments=False,
            include_formatting=True,
            include_images=False,
            include_links=False,
            include_tables=True,
            favor_recall=True,
            with_metadata=False,
        )
    except Exception:  # noqa: BLE001 (it raises what it likes on broken pages)
        return None
    finally:
        logger.setLevel(level)
    return None if found is None else found.body


def _n_letters(text: str) -> int:
    return sum(map(str.isalnum, text))


# ── a tree to Markdown ───────────────────────────────────────────────────────────────────────


class _Markdown:
    """Writes a tree as Markdown, without recursion: pages are nested as deep as they like."""

    def __init__(self, root: Any, left_out: set[Any] | None = None) -> None:
        self._root = root
        self._left_out = left_out or set()
        self._blocks: list[str] = []
        self._inline: list[str] = []
        self._lists: list[int | None] = []  # the number of the last item, None in bullets
        self._marker = ""
        self._n_quotes = 0
        self._n_verbatim = 0
        self._frames: set[Any] = set()
        self._rows: list[list[str]] | None = None
        self._spans: list[int] = []

    def text(self) -> str:
        etree = need("lxml.etree", extra="documents")
        self._frames = _frames(etree, self._root)
        walk = etree.iterwalk(self._root, events=("start", "end"))
        for event, element in walk:
            tag = element.tag
            if event == "start":
                if self._is_unseen(element):
                    walk.skip_subtree()
                    continue
                self._start(element, tag)
                self._add(element.text)
            else:
                if not self._is_unseen(element):
                    self._end(element, tag)
                if element is not self._root:
                    self._add(element.tail)
        self._flush()
        return "".join(self._joined())

    def _joined(self) -> Iterator[str]:
        """Yield blocks with a blank line between two, none between items of a list."""
        was_item = True
        for n, block in enumerate(filter(None, self._blocks)):
            is_item = _ITEM.match(block) is not None
            if n:
                yield "\n" if is_item and was_item else "\n\n"
            yield block
            was_item = is_item

    def _is_unseen(self, element: Any) -> bool:
        tag = element.tag
        # Trafilatura's headings have the name that in HTML has no text.
        is_unseen = tag in _UNSEEN and not (tag == "head" and element.get("rend"))
        return is_unseen or element in self._left_out

    def _start(self, element: Any, tag: str) -> None:
        if tag in _BREAKS:
            self._inline.append("\n" if self._n_verbatim else "\x01")
        elif self._rows is not None:
            self._start_in_table(tag)
        elif tag == "table" and element not in self._frames:
            self._flush()
            self._rows = []
        elif tag in _LISTS:
            self._flush()
            is_numbered = tag == "ol" or element.get("rend") == "ol"
            start = element.get("start") or "1"
            first = int(start) if start.isdecimal() and len(start) < 9 else 1
            self._lists.append(first - 1 if is_numbered else None)
        elif tag in _ITEMS:
            self._flush()
            number = self._lists[-1] if self._lists else None
            if number is not None:
                self._lists[-1] = number + 1
            self._marker = "-" if number is None else f"{number + 1}."
        elif tag in _QUOTES:
            self._flush()
            self._n_quotes += 1
        elif _is_verbatim(element):
            self._flush()
            self._n_verbatim += 1
        elif _is_block(element) or tag in _CELLS or tag in _ROWS:
            self._flush()

    def _start_in_table(self, tag: str) -> None:
        assert self._rows is not None
        if tag in _ROWS:
            self._cell_ends()
            self._rows.append([])
        elif tag in _CELLS:
            self._cell_ends()
        elif tag in _BLOCKS:
            self._inline.append(" ")

    def _end(self, element: Any, tag: str) -> None:
        if self._rows is not None:
            self._end_in_table(element, tag)
        elif tag in _HEADINGS or tag == "head":
            level = (element.get("rend") if tag == "head" else tag) or "h2"
            self._flush(level=int(level[-1]) if level[-1:].isdecimal() else 2)
        elif tag in _LISTS:
            self._flush()
            if self._lists:
                self._lists.pop()
        elif tag in _QUOTES:
            self._flush()
            self._n_quotes -= 1
        elif _is_verbatim(element):
            self._flush_verbatim()
        elif tag in _ITEMS:
            self._flush()
            self._marker = ""
        elif _is_block(element) or tag in _CELLS or tag in _ROWS:
            self._flush()

    def _end_in_table(self, element: Any, tag: str) -> None:
        assert self._rows is not None
        if tag == "table":
            self._cell_ends()
            self._blocks.append(table(self._rows))
            self._rows = None
        elif tag in _CELLS:
            if not self._rows:
                self._rows.append([])
            span = element.get("colspan") or element.get("span") or "1"
            n = min(int(span), 64) if span.isdecimal() and len(span) < 4 else 1
            self._rows[-1] += [self._line(), *[""] * (n - 1)]
        elif tag == "caption":
            self._blocks.append(paragraph(self._line()))
        elif tag in _BLOCKS:
            self._inline.append(" ")

    def _cell_ends(self) -> None:
        """Keep text that stands in a table, but in no cell."""
        if (text := self._line()) and self._rows is not None:
            self._blocks.append(paragraph(text))

    def _add(self, text: str | None) -> None:
        if text:
            self._inline.append(text.replace("\x01", "") if "\x01" in text else text)

    def _line(self) -> str:
        """Return the text gathered, in lines where it has breaks; the next begins."""
        text = "".join(self._inline)
        self._inline.clear()
        if not self._n_verbatim:
            text = _AROUND_BREAK.sub("\n", _BLANKS.sub(" ", text))
        return text.strip().replace("\xa0", " ")

    def _flush(self, level: int | None = None) -> None:
        if self._n_verbatim:
            return
        text = self._line()
        if not text:
            return
        depth = min(len(self._lists), _DEPTH_MAX)
        if level is not None:
            self._blocks.append(heading(text, level))
        elif self._marker:
            self._blocks.append(item(text, max(depth - 1, 0), self._marker))
            self._marker = ""
        elif depth:
            indent = " " * (4 * (depth - 1) + 3)
            self._blocks.append(indent + paragraph(text).replace("\n", f"\n{indent}"))
        else:
            quote = "> " * min(self._n_quotes, _DEPTH_MAX)
            self._blocks.append(quote + paragraph(text).replace("\n", f"\n{quote}"))

    def _flush_verbatim(self) -> None:
        self._n_verbatim -= 1
        if self._n_verbatim:
            return
        text = "".join(self._inline).replace("\r\n", "\n").strip("\n").rstrip()
        self._inline.clear()
        if text.strip():
            longest = max(map(len, _FENCES.findall(text)), default=2)
            fence = "`" * (longest + 1)
            self._blocks.append(f"{fence}\n{text}\n{fence}")


def _is_verbatim(element: Any) -> bool:
    # Trafilatura calls code in lines as it calls code in a line; only the former has several.
    tag = element.tag
    return tag in _VERBATIM or (tag == "code" and "\n" in (element.text or "").strip())


def _is_block(element: Any) -> bool:
    return element.tag in _BLOCKS or (element.tag == "head" and element.get("rend") is not None)


def _frames(etree: Any, root: Any) -> set[Any]:
    """Return the tables that only lay out a page: they hold tables, headings, code."""
    frames = set()
    tables: list[Any] = []
    for event, element in etree.iterwalk(root, events=("start", "end")):
        tag = element.tag
        if event == "end":
            if tag == "table":
                tables.pop()
            continue
        if tables and (tag == "table" or tag in _HEADINGS or _is_verbatim(element)):
            frames.add(tables[-1])
        if tag == "table":
            tables.append(element)
    return frames

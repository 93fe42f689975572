"""The headings of a text: of Markdown, reStructuredText, and the definitions of source code."""

from __future__ import annotations

import functools
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from interlace.extras import need
from interlace.text.syntaxes import grammar

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.token import Token

#: A trail has so many headings, the outermost, each of so many characters.
_DEPTH_MAX: Final = 8
_HEADING_CHARS_MAX: Final = 200

#: Longer texts have no outline: a parser needs a hundred bytes a character, docutils more.
_MARKUP_CHARS_MAX: Final = 2**25
_CODE_CHARS_MAX: Final = 2**22
_RST_CHARS_MAX: Final = 2**21

#: The time to cut code along its syntax grows with the depth of its tree. People write tens.
_NESTING_MAX: Final = 1_000

#: No code, and tree-sitter takes minutes for a few thousand of such characters.
_SOUP: Final = re.compile(r"(?:[-+*/|&<>=~^!%?:.,;@$\\]\s{0,8}){256}")


class _Section(NamedTuple):
    """A stretch of the text under a heading; it lies within another or beside it."""

    start: int
    end: int
    heading: str


class Outline:
    """The headings of a text, by place.

    Parameters
    ----------
    sections : iterable of (start, end, heading)
        In the order of their starts; each lies within an earlier one or after it.
    is_tangled : bool
        True when the text is code too long or too deeply nested to be cut along its syntax.
    """

    def __init__(self, sections: Iterable[_Section] = (), *, is_tangled: bool = False) -> None:
        self.is_tangled = is_tangled
        self._places = [0]
        self._trails: list[tuple[str, ...]] = [()]
        open_: list[_Section] = []
        for section in sections:
            self._close(open_, section.start)
            if len(open_) < _DEPTH_MAX:
                open_.append(section)
                self._turn(section.start, open_)
        self._close(open_, None)

    def trail(self, start: int) -> tuple[str, ...]:
        """Return the headings that a place stands under, outermost first.

        A heading stands under itself, from the start of its line on. A passage that covers several
        sections has the trail of the place where it begins, like its line and its page.
        """
        return self._trails[bisect_right(self._places, start) - 1]

    def _close(self, open_: list[_Section], until: int | None) -> None:
        while open_ and (until is None or open_[-1].end <= until):
            end = open_.pop().end
            self._turn(end, open_)

    def _turn(self, place: int, open_: list[_Section]) -> None:
        trail = tuple(section.heading for section in open_)
        if self._places[-1] == place:
            self._trails[-1] = trail
        else:
            self._places.append(place)
            self._trails.append(trail)


def outline(text: str, syntax: str | None) -> Outline:
    """Return the headings of a text.

    Parameters
    ----------
    text : str
    syntax : str or None
        ``"markdown"``: ATX and setext headings, not those in quotes, lists and code. ``"rst"``:
        section titles, where docutils is installed. A programming language: the definitions around
        a place, where its grammar is installed. Anything else has no headings.

    Notes
    -----
    Headings are cut at 200 characters and eight levels. Some texts have none: Markdown of more
    than 32 Mi characters, reStructuredText of more than 2 Mi; code of more than 4 Mi, with more
    than a thousand levels of syntax, or with hundreds of operators in a row.
    """
    if syntax == "markdown":
        return Outline(_nested(_markdown(text), len(text)))
    if syntax == "rst":
        return Outline(_nested(_rst(text), len(text)))
    if (language := grammar(syntax)) is not None:
        definitions = _definitions(text, language)
        return Outline(definitions or (), is_tangled=definitions is None)
    return Outline()


def _nested(headings: Iterable[tuple[int, int, str]], end: int) -> list[_Section]:
    """Sections from headings, each (start, level, words): up to the next of its level or above."""
    sections: list[_Section] = []
    open_: list[tuple[int, int]] = []  # place in sections, level
    for start, level, words in headings:
        while open_ and open_[-1][1] >= level:
            place, _ = open_.pop()
            sections[place] = sections[place]._replace(end=start)
        open_.append((len(sections), level))
        sections.append(_Section(start, end, words))
    return sections


def _shortened(words: str) -> str:
    words = " ".join(words[: 4 * _HEADING_CHARS_MAX].split())
    return words if len(words) <= _HEADING_CHARS_MAX else words[: _HEADING_CHARS_MAX - 1] + "…"


# --- Markdown ------------------------------------------------------------------------------------
_MAY_HAVE_HEADING: Final = re.compile(
    r"^ {0,3}(?:#{1,6}(?:\s|$)|=+[ \t]*$|-+[ \t]*$)", re.MULTILINE
)
_FRONT_MATTER: Final = re.compile(r"\A---[ \t]*\n(?:.*\n){0,200}?(?:---|\.\.\.)[ \t]*(?:\n|\Z)")


def _markdown(text: str) -> Iterator[tuple[int, int, str]]:
    if len(text) > _MARKUP_CHARS_MAX:
        return
    # CommonMark's line ends. Each becomes one character, so places are mapped by lines.
    plain = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")
    if not _MAY_HAVE_HEADING.search(plain):
        return
    if front := _FRONT_MATTER.match(plain):  # its lines stay, empty, so that the others keep theirs
        plain = "\n" * front[0].count("\n") + plain[front.end() :]
    found: list[tuple[int, int, str]] = []
    parser = _markdown_parser()
    tokens: list[Token] = []
    parser.block.parse(plain, parser, {"headings": found}, tokens)
    _keep_headings(parser, tokens, found)
    starts = _line_starts(text)
    for line, level, words in found:
        yield starts[line], level, words


@functools.cache
def _markdown_parser() -> MarkdownIt:
    from markdown_it import MarkdownIt  # a fifth of what a search takes to start

    parser = MarkdownIt("commonmark")
    parser.block.ruler.before("code", "keep_headings", _before_block)
    return parser


def _before_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A rule that makes no block: between two of the outermost it keeps what is to be kept."""
    if state.level == 0 and not silent:
        _keep_headings(state.md, state.tokens, state.env["headings"])
    return False


def _keep_headings(
    parser: MarkdownIt, tokens: list[Token], found: list[tuple[int, int, str]]
) -> None:
    """Take the headings, each (line, level, words), and drop the tokens: a million take a GB."""
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open" and opening.level == 0 and opening.map:
            words = _shortened(_rendered(parser, inline.content[: 4 * _HEADING_CHARS_MAX]))
            if words:
                found.append((opening.map[0], int(opening.tag[1]), words))
    tokens.clear()


def _rendered(parser: MarkdownIt, content: str) -> str:
    """The words of a heading, as a reader sees them."""
    if content.replace(" ", "").isalnum():
        return content
    (token,) = parser.parseInline(content)
    return "".join(
        " " if child.type in ("softbreak", "hardbreak") else _words_of(child)
        for child in token.children or ()
    )


def _words_of(token: Token) -> str:
    if token.type == "image":
        return "".join(_words_of(child) for child in token.children or ())
    return "" if token.type == "html_inline" else token.content


def _line_starts(text: str) -> list[int]:
    return [0, *(match.end() for match in re.finditer(r"\r\n|\n|\r", text))]


# --- reStructuredText ----------------------------------------------------------------------------
#: Ends a line to docutils and to nobody else.
_NO_LINE_END: Final = re.compile("[\v\f\x1c-\x1e\x85\u2028\u2029]")

#: It is told never to give up, and fails within all the same on the odd text, or one nested too
#: deeply. Such a text is indexed without headings rather than not at all.
_DOCUTILS_ERRORS: Final = (
    AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError,
)  # fmt: skip


def _rst(text: str) -> Iterator[tuple[int, int, str]]:
    if len(text) > _RST_CHARS_MAX or find_spec("docutils") is None:
        return
    nodes, core = (
        need("docutils.nodes", extra="documents"),
        need("docutils.core", extra="documents"),
    )

    try:
        tree = core.publish_doctree(
            _NO_LINE_END.sub(" ", re.sub(r"\r\n|\r", "\n", text)),
            settings_overrides={
                "report_level": 5,  # tells nothing
                "halt_level": 6,  # and never gives up
                "warning_stream": False,
                "file_insertion_enabled": False,
                "raw_enabled": False,
                "syntax_highlight": "none",
                "doctitle_xform": False,
                "_disable_config": True,
            },
        )
    except _DOCUTILS_ERRORS:
        return
    starts = _line_starts(text)
    for section in tree.findall(nodes.section):
        level, parent = 1, section.parent
        while isinstance(parent, nodes.section):
            level, parent = level + 1, parent.parent
        # docutils gives the line of the underline, from 1: the title is above it, and above that
        # there may be an overline.
        title = (section.line or 2) - 2
        over = text[starts[title - 1] : starts[title]].strip() if title > 0 else ""
        has_over = len(over) > 1 and not over[0].isalnum() and over == over[0] * len(over)
        yield starts[title - has_over], level, _shortened(section[0].astext())


# --- Source code ---------------------------------------------------------------------------------
#: Nodes of tree-sitter grammars that define something where they have a body, by their names.
_DEFINES: Final = re.compile(
    r"(_definition|_declaration|_item|_specifier)$|^(class|module|method|singleton_method)$"
)
#: What a definition may be wrapped in, on the lines before it.
_WRAPS: Final = frozenset({"decorated_definition", "export_statement", "template_declaration"})


def _definitions(text: str, language: Any) -> list[_Section] | None:
    """The definitions that have a body, by their place, each with its name; None: too much."""
    if len(text) > _CODE_CHARS_MAX or _SOUP.search(text):
        return None
    tree_sitter = need("tree_sitter", extra="documents")
    data = text.encode("utf-8", "surrogatepass")
    tree = tree_sitter.Parser(tree_sitter.Language(language)).parse(data)
    character = _characters(text, data)
    found: list[_Section] = []
    wrapped: int | None = None
    for node, depth in _nodes(tree):
        if depth > _NESTING_MAX:
            return None
        kind = node.type
        if kind in _WRAPS:
            wrapped = node.start_byte
        elif _DEFINES.search(kind) and node.child_by_field_name("body") is not None:
            start = node.start_byte if wrapped is None else wrapped
            wrapped = None
            if (name := _name(node)) is not None:
                start = character(_line_indent(data, start))
                found.append(_Section(start, character(node.end_byte), name))
    return found


def _nodes(tree: Any) -> Iterator[tuple[Any, int]]:
    """All nodes with children and their depths, in order: on broken code queries take forever."""
    cursor = tree.walk()
    depth = 0
    while True:
        node = cursor.node
        if cursor.goto_first_child():
            yield node, depth
            depth += 1
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return
            depth -= 1


def _name(node: Any) -> str | None:
    """What a definition defines; C hides it in its declarators, Rust names types for an impl."""
    found = node.child_by_field_name("name")
    inner = node
    while found is None and (inner := inner.child_by_field_name("declarator")) is not None:
        if inner.child_by_field_name("declarator") is None:
            found = inner
    if found is None and node.type == "impl_item":
        found = node.child_by_field_name("type")
    return _shortened(found.text.decode("utf-8", "replace")) if found is not None else None


def _line_indent(data: bytes, start: int) -> int:
    """Where a line begins, when only its indentation comes before the place; else the place."""
    at = start
    while at > 0 and data[at - 1] in b" \t":
        at -= 1
    return at if at == 0 or data[at - 1] in b"\r\n" else start


def _characters(text: str, data: bytes) -> Callable[[int], int]:
    """A function from bytes to characters."""
    if len(data) == len(text):
        return int
    begins = (np.frombuffer(data, np.uint8) & 0xC0) != 0x80
    before = np.concatenate(([0], np.cumsum(begins)))
    return lambda place: int(before[place])

"""How hits look: for people a place and the piece that answers, for machines a JSON object a line.

A line of JSON has these fields:

================  ==================================================================================
query             the query; only where several are read from standard input
rank              from 1
id                the document's, a string or a whole number, as it was added
file              the file it was read from; null where it came from none
line, page        where in the file the passage begins, from 1; null where there are no lines, pages
headings          the headings that the passage stands under, outermost first
passage           the passage's number in its document, from 0
start, end        where it lies in the document's text, in characters
score             what orders the list: of the mode that was asked for
late_score        the sum over query tokens of the best cosine in the passage; null in mode lexical
mean_score        the same, divided by the number of query tokens: at most 1
lexical_score     BM25 of the query's words; null in mode late
text              the passage
metadata          the document's
snippet           with --snippets: text, start and end (in the document's text, in characters) of
                  the piece that answers, and marks: [start, end] in it of each word that does
================  ==================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

import interlace
from interlace.cli import output
from interlace.collection import Snippet, explain_words, snippet
from interlace.types import Explanation, Hit, Hits

#: Characters of a snippet for machines.
WIDTH: Final = 240

_N_LINES: Final = 3
#: Columns of the place in a table.
_PLACE_WIDTH: Final = 36
#: In fewer columns a heading says nothing.
_HEADING_LEAST: Final = 8
_MARKED: Final = "bold"

Cut = Callable[[int], Snippet]


@dataclass(frozen=True)
class Shown:
    """A hit on its way to a reader.

    Attributes
    ----------
    hit : Hit
    explain : callable, optional
        Makes the hit's explanation; without it no words are marked.
    """

    hit: Hit
    explain: Callable[[], Explanation] | None = None

    @cached_property
    def explanation(self) -> Explanation:
        """Why it is a hit; empty if nobody can say."""
        hit = self.hit
        if self.explain is not None:
            return self.explain()
        return Explanation("", hit.id, hit.passage, hit.start, hit.text, hit.score, ())

    def cut(self, width: int) -> Snippet:
        """The piece that answers."""
        return snippet(self.explanation, width)

    @property
    def line(self) -> int | None:
        """The line to open the file at: with most marked words, where lines can be counted.

        A record's text is not written in its file as it is; there the line is the record's.
        """
        hit = self.hit
        if hit.line is None or not _is_whole_file(hit):
            return hit.line
        cut = self.cut(WIDTH)
        before = hit.text.count("\n", 0, cut.start - hit.start)
        lines = [cut.text.count("\n", 0, start) for start, _ in cut.marks] or [0]
        return hit.line + before + max(lines, key=lines.count)


def shown(collection: interlace.Collection, query: str, hits: Hits) -> list[Shown]:
    """Hits of a query, with what explains them at hand."""

    def explainer(hit: Hit) -> Callable[[], Explanation]:
        if hit.late_score is None:
            return lambda: explain_words(query, hit)
        return lambda: collection.explain(query, hit)

    return [Shown(hit, explainer(hit)) for hit in hits]


# --- for machines --------------------------------------------------------------------------------
def as_json(one: Shown, *, snippets: bool = False) -> dict[str, Any]:
    """A hit's fields, as the table above names them."""
    hit = one.hit
    fields = {
        "rank": hit.rank,
        "id": hit.id,
        "file": hit.file,
        "line": hit.line,
        "page": hit.page,
        "headings": list(hit.headings),
        "passage": hit.passage,
        "start": hit.start,
        "end": hit.end,
        "score": hit.score,
        "mean_score": hit.mean_score,
        "late_score": hit.late_score,
        "lexical_score": hit.lexical_score,
        "text": hit.text,
        "metadata": dict(hit.metadata),
    }
    return fields | {"snippet": asdict(one.cut(WIDTH))} if snippets else fields


# --- for people ----------------------------------------------------------------------------------
def for_people(some: Iterable[Shown], *, full: bool = False) -> Group:
    """Lay hits out: rank, scores under their names, place; below, what answers."""
    shown = list(some)
    return Group(*map(_names, shown[:1]), *(_block(one, full) for one in shown))


def _block(one: Shown, full: bool) -> Group:
    return Group(_Head(one), Padding(_Whole(one) if full else _Piece(one), (0, 0, 1, 5)))


class _Head:
    """The line above a hit's text: rank, score and as much of the place as there is room for."""

    def __init__(self, one: Shown) -> None:
        self._one = one

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        hit = self._one.hit
        head = Text(f"{hit.rank:>3}", "dim")
        for i, (name, shown) in enumerate(_scores(hit).items()):
            head.append(f"  {shown:>{len(name)}}", "dim" if i else "bold green")
        head.append("  ")
        head.append_text(_place(self._one, max(1, options.max_width - head.cell_len)))
        head.no_wrap, head.overflow = True, "ellipsis"
        yield head


def _names(one: Shown) -> Text:
    """The line above a list: what its numbers are."""
    return Text(f"{'':3}  {'  '.join(_scores(one.hit))}", "dim", no_wrap=True, overflow="ellipsis")


def _scores(hit: Hit) -> dict[str, str]:
    """By what people call it, the score that orders the list, and then what it was made of.

    Of tokens the mean, which can be compared between queries.
    """
    by_tokens = {} if hit.mean_score is None else {"meaning": f"{hit.mean_score:.3f}"}
    by_words = {} if hit.lexical_score is None else {"words": f"{hit.lexical_score:.1f}"}
    both = {"score": f"{hit.score:.3f}"} if by_tokens and by_words else {}
    return both | by_tokens | by_words


def _place(one: Shown, room: int) -> Text:
    """Where it is: file and line or page, or the document's id; and the headings above.

    Where there is no room for all, the end of the path and the last headings stay.
    """
    hit = one.hit
    path = _clean(str(hit.id) if hit.file is None else _from_here(hit.file))
    after: list[tuple[str, str]] = []
    if hit.file is None:
        if hit.passage:
            after.append((f"  passage {hit.passage}", "dim"))
    else:
        if one.line is not None:
            after.append((f":{one.line}", "cyan"))
        if hit.page is not None:
            after.append((f" p. {hit.page}", "cyan"))
        if not _is_whole_file(hit):
            after.append((f"  {_clean(str(hit.id))}", "bold"))
    headings = [_clean(heading) for heading in hit.headings]
    rest = Text.assemble(*after)
    least = min(cell_len(f"  … › {headings[-1]}"), room // 3) if headings else 0
    path = _end_of(path, max(1, room - least - rest.cell_len))
    place = Text.assemble((path, "bold cyan"), rest)
    return place.append(_last_of(headings, room - place.cell_len), "dim")


def _from_here(file: str) -> str:
    return output.short(Path(file)) if Path(file).is_absolute() else file


def _end_of(path: str, room: int) -> str:
    """A path, cut on the left to fit: at a slash if one is near."""
    if cell_len(path) <= room:
        return path
    while path and cell_len(path) >= room:
        path = path[1:]
    _, slash, name = path.partition("/")
    return f"…/{name}" if slash and name else f"…{path}"


def _last_of(headings: list[str], room: int) -> str:
    """Headings behind a place, without the first ones where there is no room for them."""
    for first in range(len(headings)):
        shown = "  " + " › ".join(["…"] * bool(first) + headings[first:])
        if cell_len(shown) <= room:
            return shown
    if not headings or room < _HEADING_LEAST:
        return ""
    return f"  {set_cell_size(headings[-1], room - 3).rstrip()}…"


def table(hits: Iterable[Hit]) -> Table:
    """Lay hits out a line each, as much of the passage as fits."""
    some = list(hits)
    places = [_place(Shown(hit), _PLACE_WIDTH) for hit in some]
    grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
    grid.add_column(style="dim", width=3)
    grid.add_column(style="bold green", width=5)
    widest = max((place.cell_len for place in places), default=0)
    grid.add_column(no_wrap=True, overflow="ellipsis", width=widest)
    grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    for hit, place in zip(some, places, strict=True):
        text = " ".join(_clean(hit.text[:800]).split())
        grid.add_row(f"{hit.rank:>3}", next(iter(_scores(hit).values())), place, text)
    return grid


class _Piece:
    """The snippet, on as many lines as the terminal is wide for."""

    def __init__(self, one: Shown) -> None:
        self._one = one

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        hit, room = self._one.hit, options.max_width * _N_LINES - options.max_width // 6
        # A Chinese character takes two columns, an accent none.
        columns = cell_len(_clean(hit.text)) / max(1, len(hit.text))
        cut = self._one.cut(max(20, int(room / max(columns, 0.5))))
        whole = hit.text.strip()
        text = _on_one_line(cut)
        if cut.text != whole[: len(cut.text)]:
            text = Text.assemble(("… ", "dim"), text)
        if cut.text != whole[-len(cut.text) :]:
            text.append(" …", "dim")
        lines = text.wrap(console, options.max_width)
        yield Text("\n").join(lines[: _N_LINES + 1])


class _Whole:
    """The whole passage as it is written, marked."""

    def __init__(self, one: Shown) -> None:
        self._one = one

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        cut = self._one.cut(max(1, len(self._one.hit.text)))
        text = Text(_clean(cut.text, keep="\n"))
        for start, end in cut.marks:
            text.stylize(_MARKED, start, end)
        yield text


def _on_one_line(cut: Snippet) -> Text:
    """A snippet with every run of blanks as one, and its marks bold."""
    text = Text(_clean(cut.text))
    for start, end in cut.marks:
        text.stylize(_MARKED, start, end)
    words = [text[start:end] for start, end in _words(text.plain)]
    return Text(" ").join(words)


def _words(text: str) -> Iterator[tuple[int, int]]:
    at = 0
    for word in text.split():
        start = text.index(word, at)
        at = start + len(word)
        yield start, at


def _clean(text: str, keep: str = "") -> str:
    """A text without characters that steer a terminal, each replaced by a blank."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep or _is_joiner(c) else " " for c in text)


def _is_joiner(c: str) -> bool:
    return c in "\u200c\u200d"  # without them Persian and emoji fall apart


def _is_whole_file(hit: Hit) -> bool:
    """Whether the document is its file, not a record in it: ``big.txt``, also ``big.txt#2``."""
    return hit.file is not None and (hit.id == hit.file or str(hit.id).startswith(f"{hit.file}#"))

"""One query after another: hits are numbered, and a number opens one."""

from __future__ import annotations

import difflib
import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from textwrap import shorten
from typing import Final

from rich.table import Table
from rich.text import Text

import interlace
from interlace.cli import hits, measuring, opening, output
from interlace.cli.explain import explained
from interlace.errors import InputError, InterlaceError
from interlace.types import Hits, Id

_HELP: Final = {
    "a few words": "search for them",
    "3": "open hit 3: text in your editor at the line, other files in their own program",
    ":explain 3": "show which words of hit 3 answer which of the query",
    ":k 20": "how many hits",
    ":mode lexical": "late: by tokens; lexical: by words; hybrid: by both",
    ":effort thorough": "fast, balanced, thorough, exhaustive or tuned",
    ":by passage": "document: best passage of each; passage: every passage",
    ":where year >= 2020": "only documents whose metadata match; :where alone ends it",
    ":profile": "show where the time goes, or no more",
    ":full": "whole passages, or again the piece that answers",
    ":help": "this",
    ":quit": "end, as an empty line and Ctrl-D do",
}


#: What nobody asks, to be asked first.
_OTHER: Final = "something else"


@dataclass
class Asking:
    """What is searched and how, and the hits that were found last.

    Attributes
    ----------
    collection : Collection
    k, mode, effort, by, where, ids
        As for ``Collection.search``.
    full, json, snippets, profile : bool
        How hits are shown, and whether where the time went is.
    found : list of Shown
        The hits of the last query.
    """

    collection: interlace.Collection
    k: int
    mode: str
    effort: str | None
    by: str
    where: str | None = None
    ids: list[Id] | None = None
    full: bool = False
    json: bool = False
    snippets: bool = False
    profile: bool = False
    found: list[hits.Shown] = field(default_factory=list)

    def answer(self, query: str, *, named: bool = False) -> None:
        """Search and print the hits; ``named`` says with each line of JSON what was asked."""
        if self.profile and not self.found:  # model and files are loaded once, not for each query
            self._search(_OTHER)
        found = self._search(query)
        self.found = hits.shown(self.collection, query, found)
        if self.json:
            for one in self.found:
                fields = hits.as_json(one, snippets=self.snippets)
                output.as_json({"query": query, **fields} if named else fields)
            if self.profile:
                told = {"profile": dict(found.profile), "proven": found.proven}
                output.as_json({"query": query, **told} if named else told)
        elif found:
            output.to_people().print(hits.for_people(self.found, full=self.full))
        else:
            output.to_people().print("Nothing found.")
            if not len(self.collection):
                path = output.short(self.collection.path)
                output.note(f"the collection is empty. Fill it: interlace index FOLDER --to {path}")
            elif self.where is not None and not self.narrow(self.where):
                output.note(f"no document matches the filter: {self.where}")
            elif self.mode == "lexical" and not found.notes and self.where is None and not self.ids:
                output.note("no passage has a word of the query. Mode hybrid looks at meaning too.")
        if self.profile and not self.json:
            output.table(output.to_people(), measuring.profile(found.profile))
        output.note(*found.notes)

    def _search(self, query: str) -> Hits:
        return self.collection.search(
            query,
            self.k,
            mode=self.mode,
            effort=self.effort,
            by=self.by,
            where=self.where,
            ids=self.ids,
        )

    def narrow(self, where: str | None) -> int:
        """From now on only documents that match a filter; a wrong one is refused right here.

        Returns how many there are.
        """
        found = self.collection.ids(where)
        self.where = where
        return sum(1 for _ in found)

    def hit(self, number: str) -> hits.Shown:
        """The hit of a number that was typed."""
        if not self.found:
            raise InputError(f'no hits yet to choose from. To search for a number: "{number or 7}"')
        if not number.isdecimal() or not 1 <= int(number) <= len(self.found):
            raise InputError(
                f"no hit {number or 'without a number'}: there are 1 to {len(self.found)}. "
                f'To search for a number, type it in quotes: "{number or 7}"'
            )
        return self.found[int(number) - 1]


def converse(asking: Asking) -> None:
    """Ask until an empty line or the end. An error is shown and does not end it."""
    asking.narrow(asking.where)
    is_person = sys.stdin.isatty()
    if is_person:
        n = output.counted(len(asking.collection), "document")
        output.note(f"{n}. Type what you look for, or a hit's number to open it; :help tells more.")
    for line in _lines(asking, is_person):
        if line in (":quit", ":q", ":exit"):
            break
        try:
            _obey(asking, line, is_person)
        except (InterlaceError, OSError) as error:
            if isinstance(error, BrokenPipeError):
                raise
            output.complain(error)
        except KeyboardInterrupt:
            if not is_person:
                raise
            output.note("interrupted.")


def _lines(asking: Asking, is_person: bool) -> Iterator[str]:
    """What is typed, line by line; a pipe's blank lines are passed over."""
    if not is_person:
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="replace")
        yield from filter(None, (line.strip("\ufeff \t\r\n") for line in sys.stdin))
        return
    while True:
        try:
            line = input(_prompt(asking.where)).strip()
        except EOFError:
            print()  # noqa: T201 (the shell's prompt begins a line)
            return
        except KeyboardInterrupt:  # as in a shell: a new line, not the end
            print()  # noqa: T201
            continue
        if not line:
            return
        yield line


def _prompt(where: str | None) -> str:
    """The prompt, the filter in it, with arrow keys and history where Python has them."""
    before = "" if where is None else f"[{shorten(where, 40, placeholder=' …')}] "
    try:
        import readline  # noqa: F401 (importing it is what changes input)
    except ImportError:
        return f"{before}? "
    if output.to_people().color_system is None:
        return f"{before}? "
    return f"{before}\001\033[1;33m\002?\001\033[0m\002 "  # \1 and \2 keep colours out of the width


def _obey(asking: Asking, line: str, is_person: bool) -> None:
    if is_person and line in ("help", "?"):
        _help()
    elif line.startswith(":"):
        word, _, argument = line[1:].partition(" ")
        _command(asking, word, argument.strip())
    elif line.isdecimal() and line.isascii():
        opening.open_hit(asking.collection, asking.hit(line))
    else:
        asking.collection.refresh()
        query = line.strip('"') if line.strip('"').isdecimal() else line
        if not is_person and not asking.json:
            output.to_people().print(Text.assemble(("? ", "bold yellow"), (query, "bold")))
        asking.answer(query, named=not is_person)


def _command(asking: Asking, word: str, argument: str) -> None:
    commands: dict[str, Callable[[], None]] = {
        "k": lambda: _set_k(asking, argument),
        "mode": lambda: _set_word(asking, "mode", argument),
        "effort": lambda: _set_word(asking, "effort", argument),
        "by": lambda: _set_word(asking, "by", argument),
        "where": lambda: _set_where(asking, argument),
        "full": lambda: _set_full(asking),
        "profile": lambda: _set_profile(asking),
        "explain": lambda: output.to_people().print(explained(asking.hit(argument))),
        "help": _help,
    }
    if word not in commands:
        close = difflib.get_close_matches(word, commands, n=1, cutoff=0.5)
        hint = f"Did you mean :{close[0]}?" if close else ":help lists what there is."
        raise InputError(f"unknown command :{word}. {hint}")
    commands[word]()


def _set_k(asking: Asking, argument: str) -> None:
    if not argument.isdecimal() or int(argument) < 1:
        raise InputError(f"k is {argument or 'not given'}. It is a whole number from 1: :k 20")
    asking.k = int(argument)
    _confirm(asking, output.counted(asking.k, "hit") + " at most")


_WORDS: Final = {
    "mode": ("late", "lexical", "hybrid"),
    "effort": ("fast", "balanced", "thorough", "exhaustive", "tuned"),
    "by": ("document", "passage"),
}


def _set_word(asking: Asking, name: str, argument: str) -> None:
    if argument not in _WORDS[name]:
        close = difflib.get_close_matches(argument, _WORDS[name], n=1)
        hint = f"Did you mean {close[0]}?" if close else f"Choose one of {', '.join(_WORDS[name])}."
        raise InputError(f":{name} is {argument!r}. {hint}")
    setattr(asking, name, argument)
    _confirm(asking, f"{name} {argument}")


def _set_where(asking: Asking, argument: str) -> None:
    n_matching, n_all = asking.narrow(argument or None), len(asking.collection)
    held = output.counted(n_all, "document")
    _confirm(asking, f"{n_matching:,} of {held} match" if argument else f"no filter: {held}")


def _set_full(asking: Asking) -> None:
    asking.full = not asking.full
    _confirm(asking, "whole passages" if asking.full else "the piece that answers")


def _set_profile(asking: Asking) -> None:
    asking.profile = not asking.profile
    _confirm(asking, "where the time goes is shown" if asking.profile else "hits alone")


def _confirm(asking: Asking, what: str) -> None:
    if not asking.json:
        output.note(f"{what}.")


def _help() -> None:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(style="dim")
    for typed, meaning in _HELP.items():
        table.add_row(typed, meaning)
    output.to_people().print(table)

"""The text form of a filter: ``year >= 2020 and not (title contains "x" or draft exists)``.

    filter     = both ("or" both)*
    both       = term ("and" term)*
    term       = "not" term | "(" filter ")" | field test
    test       = ("=" | "==" | "!=" | "<" | "<=" | ">" | ">=" | "contains") value
               | ["not"] "in" "[" [value ("," value)*] "]" | ["not"] "exists"
    field      = a name, dotted where it is nested: author.name, "two words".name
    value      = a number, "text", 'text', true, false, null

A mapping comes out, the other form of a filter; what it means is said there. As JSON that form may
be given as a text, too: ``{"year": {"$gte": 2020}}``.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, NamedTuple

from interlace.errors import FilterError

_DEPTH_MAX = 64
_TOKENS: Final = re.compile(
    r"""(?P<space>\s+)
    |(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    |(?P<sign><=|>=|==|!=|<>|[<>=()\[\],.])
    |(?P<word>[^\W\d]\w*(?:-\w+)*)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\(u[0-9a-fA-F]{4}(?:\\u[0-9a-fA-F]{4})*|.)", re.DOTALL)
_COMPARE: Final = {
    "=": "$eq", "==": "$eq", "!=": "$ne", "<>": "$ne", "<": "$lt", "<=": "$lte", ">": "$gt",
    ">=": "$gte", "contains": "$contains",
}  # fmt: skip
_WORDS: Final = ("and", "or", "not", "in", "contains", "exists", "true", "false", "null", "none")
#: What other languages write for it.
_MEANT: Final = {
    "&&": "and", "&": "and", "||": "or", "|": "or", "!": "not", "≥": ">=", "≤": "<=", "≠": "!=",
    "“": '"', "”": '"', "„": '"', "‘": "'", "’": "'",
}  # fmt: skip
#: Words that may be the rest of a name with spaces.
_NAME: Final = re.compile(rf"\w+(?:\s+(?!(?:{'|'.join(_WORDS)})\b)\w+)*", re.IGNORECASE)
_CONSTANTS: Final = {"true": True, "false": False, "null": None, "none": None}


def mapping_from(text: str) -> dict[str, Any]:
    """The mapping that a text form of a filter stands for.

    Raises
    ------
    FilterError
        With the text and a mark below the place that cannot be read.
    """
    if text.lstrip().startswith("{"):
        return _from_json(text)
    return _Reader(text).whole()


def _from_json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise FilterError(
            f"a filter that begins like JSON is none: {error.msg}: character {error.pos}. "
            'Write, for example, {"year": {"$gte": 2020}}, or year >= 2020.'
        ) from None
    except ValueError:  # Python reads no longer ones
        raise FilterError(
            "a filter has a number of too many digits: where. Write it as a text, in quotes."
        ) from None
    except RecursionError:
        raise FilterError(
            f"a filter is nested too deep: where. Allowed are {_DEPTH_MAX} levels."
        ) from None
    assert isinstance(value, dict)  # it begins with a brace
    return value


class _Token(NamedTuple):
    kind: str
    text: str
    at: int

    @property
    def word(self) -> str:
        """A word of the language, whatever its case; empty for everything else."""
        lower = self.text.lower()
        return lower if self.kind == "sign" or (self.kind == "word" and lower in _WORDS) else ""


class _Reader:
    """Reads from left to right, one token ahead."""

    def __init__(self, text: str) -> None:
        self._text, self._at, self._depth = text, 0, 0
        self._next = self._token()

    def whole(self) -> dict[str, Any]:
        if self._next.kind == "end":
            raise FilterError("a filter is empty: where. Write, for example, year >= 2020.")
        found = self._either()
        if self._next.kind != "end":
            raise self._error("a filter goes on where it should end", "Join parts by and, or.")
        return found

    def _either(self) -> dict[str, Any]:
        terms = [self._both()]
        while self._take("or"):
            terms.append(self._both())
        return terms[0] if len(terms) == 1 else {"$or": terms}

    def _both(self) -> dict[str, Any]:
        terms = [self._term()]
        while self._take("and"):
            terms.append(self._term())
        return terms[0] if len(terms) == 1 else {"$and": terms}

    def _term(self) -> dict[str, Any]:
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise self._error("a filter is nested too deep", f"Allowed are {_DEPTH_MAX} levels.")
        if self._take("not"):
            found = {"$not": self._term()}
        elif self._take("("):
            found = self._either()
            self._expect(")")
        else:
            name = self._field()
            found = {name: self._test(name)}
        self._depth -= 1
        return found

    def _field(self) -> str:
        name = self._name()
        while self._take("."):
            name += "." + self._name()
        return name

    def _name(self) -> str:
        token = self._next
        if token.kind == "text":
            self._advance()
            return self._quoted(token)
        if token.kind != "word" or token.word:
            raise self._error(
                "a field's name is missing", 'Names with spaces or of words like "in" are quoted.'
            )
        self._advance()
        return token.text

    def _test(self, name: str) -> Any:
        for sign, operator in _COMPARE.items():
            if self._take(sign):
                return {operator: self._value()}
        if self._take("exists"):
            return {"$exists": True}
        if self._take("in"):
            return {"$in": self._list()}
        if self._take("not"):
            if self._take("exists"):
                return {"$exists": False}
            self._expect("in")
            return {"$nin": self._list()}
        there = "There are = != < <= > >= in, not in, contains, exists"
        if self._next.kind == "word" and (more := _NAME.match(self._text, self._next.at)):
            there += f'; a name with spaces is quoted: "{name} {" ".join(more[0].split())}"'
        raise self._error("a comparison is missing", f"{there}.")

    def _list(self) -> list[Any]:
        self._expect("[")
        found: list[Any] = []
        while not self._take("]"):
            if found:
                self._expect(",")
            found.append(self._value())
        return found

    def _value(self) -> Any:
        token = self._next
        if token.kind == "text":
            value: Any = self._quoted(token)
        elif token.kind == "number":
            value = self._number(token.text)
        elif token.word in _CONSTANTS:
            value = _CONSTANTS[token.word]
        else:
            raise self._error(
                "a value is missing", 'It is a number, true, false, null or a text in quotes: "en".'
            )
        self._advance()
        return value

    def _number(self, text: str) -> int | float:
        try:
            return int(text)
        except ValueError:  # no whole number, or one of more digits than Python reads
            return float(text)

    def _quoted(self, token: _Token) -> str:
        r"""A text without its quotes; \' and \" and \\ \n \t \u00e9 as in JSON, others stay."""
        return _ESCAPE.sub(_unescaped, token.text[1:-1])

    # --- tokens ----------------------------------------------------------------------------------
    def _token(self) -> _Token:
        while self._at < len(self._text):
            found = _TOKENS.match(self._text, self._at)
            if found is None:
                self._next = _Token("none", self._text[self._at], self._at)
                if self._text[self._at] in "\"'":
                    raise self._error("a text has no end", "Close it with its quote.")
                raise self._error("this is no part of a filter", self._instead())
            start, self._at = self._at, found.end()
            if found.lastgroup != "space":
                return _Token(str(found.lastgroup), found[0], start)
        return _Token("end", "", len(self._text))

    def _instead(self) -> str:
        """What to write in place of what is here."""
        for length in (2, 1):
            if meant := _MEANT.get(self._text[self._at : self._at + length]):
                return f"Write {meant} instead."
        return "Put texts and names in quotes."

    def _advance(self) -> None:
        self._next = self._token()

    def _take(self, word: str) -> bool:
        if self._next.word != word:
            return False
        self._advance()
        return True

    def _expect(self, word: str) -> None:
        if not self._take(word):
            raise self._error(f"{word} is missing", f"Write {word} here.")

    def _error(self, what: str, remedy: str) -> FilterError:
        at = self._next.at
        start = max(0, at - 50)
        line = re.sub(r"\s", " ", self._text[start : at + 30])
        return FilterError(
            f"{what}: where, character {at + 1}. {remedy}\n  {line}\n  {' ' * (at - start)}^"
        )


def _unescaped(found: re.Match[str]) -> str:
    escape = found[1]
    if escape in "\"'\\":
        return escape
    if escape[0] == "u" or escape in "bfnrt/":
        return str(json.loads(f'"\\{escape}"'))
    return found[0]

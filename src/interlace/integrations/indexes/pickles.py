"""Pickled plain values, read without unpickling: nothing that a file names is ever looked up.

A pickle is a program. ``pickle.Unpickler`` runs it; a subclass that admits only some names still
allocates whatever it asks for, and is as safe as the least harmless callable that it admits. Here
the opcodes are only told apart (``pickletools``), and those that plain values take build tuples,
dicts, numbers and texts; a call is kept as what would have been called with what.
"""

from __future__ import annotations

import pickletools
import warnings
from typing import Any, Final, NamedTuple


class Name(NamedTuple):
    """What would have been imported."""

    module: str
    name: str


class Call(NamedTuple):
    """What would have been called."""

    function: object
    arguments: object


class Persistent(NamedTuple):
    """What is kept outside the pickle, and how that is known."""

    key: object


class _Mark:
    """Where a tuple or the items of a dict begin."""


_VALUES: Final = {
    "BININT", "BININT1", "BININT2", "LONG1",
    "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
}  # fmt: skip
_CONSTANTS: Final[dict[str, Any]] = {
    "NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": (),
}  # fmt: skip
_TUPLES: Final = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def parse(content: bytes) -> Any:
    """What a pickle of plain values holds.

    Returns
    -------
    object
        None, bool, int, str, tuple, dict with keys that are int or str, ``Name``, ``Call`` or
        ``Persistent``.

    Raises
    ------
    ValueError
        When it is cut off, malformed, or holds anything else.
    """
    machine = _Machine()
    try:
        with warnings.catch_warnings(action="ignore"):  # of odd escapes in names
            for opcode, argument, _ in pickletools.genops(content):
                machine.do(opcode.name, argument)
        (value,) = machine.stack
    except (IndexError, KeyError) as error:
        raise ValueError("it takes what was never put there") from error
    return value


class _Machine:
    """The part of a pickle's machine that builds plain values."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def do(self, opcode: str, argument: Any) -> None:
        """Do one step."""
        stack = self.stack
        if opcode in _VALUES:
            stack.append(argument)
        elif opcode in _CONSTANTS:
            stack.append(_CONSTANTS[opcode])
        elif opcode == "EMPTY_DICT":
            stack.append({})
        elif opcode == "MARK":
            stack.append(_Mark)
        elif opcode in _TUPLES:
            n = _TUPLES[opcode]
            self._replace(n, tuple(self._last(n)))
        elif opcode == "TUPLE":
            stack.append(tuple(self._since_mark()))
        elif opcode in ("SETITEM", "SETITEMS"):
            items = self._since_mark() if opcode == "SETITEMS" else [stack.pop(-2), stack.pop()]
            self._set(items)
        elif opcode in ("MEMOIZE", "BINPUT", "LONG_BINPUT"):
            self._memo[len(self._memo) if argument is None else argument] = stack[-1]
        elif opcode in ("BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif opcode == "GLOBAL":
            module, _, name = argument.partition(" ")
            stack.append(Name(module, name))
        elif opcode == "STACK_GLOBAL":
            self._replace(2, Name(*self._last(2)))
        elif opcode == "REDUCE":
            self._replace(2, Call(*self._last(2)))
        elif opcode == "BINPERSID":
            stack.append(Persistent(stack.pop()))
        elif opcode not in ("PROTO", "FRAME", "STOP"):
            raise ValueError(f"it holds more than plain values (opcode {opcode})")

    def _last(self, n: int) -> list[Any]:
        if len(self.stack) < n:
            raise IndexError
        return self.stack[-n:]

    def _replace(self, n: int, value: object) -> None:
        self.stack[-n:] = [value]

    def _since_mark(self) -> list[Any]:
        items = []
        while (item := self.stack.pop()) is not _Mark:
            items.append(item)
        return items[::-1]

    def _set(self, items: list[Any]) -> None:
        target, keys = self.stack[-1], items[::2]
        if not isinstance(target, dict) or not all(isinstance(key, int | str) for key in keys):
            raise ValueError("it has a dict with keys of another kind than int and str")
        target.update(zip(keys, items[1::2], strict=True))

"""What the commands take from a file, the environment and the options, in this order."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from interlace.errors import SettingsError

FILE: Final = "interlace.toml"
PREFIX: Final = "INTERLACE_"

#: Variables with our prefix that are no settings of commands.
_OTHERS: Final = ("CONFIG", "KERNELS")


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The settings of all commands.

    Attributes
    ----------
    model : str
        Name or folder of the model for a new collection, ``rerank`` and ``encode``.
    bits : int
        1, 2 or 4, for a new collection.
    passage_tokens : int or None
        Longest passage of a new collection; as long as the model reads when not given.
    passage_overlap : int
        Tokens that a passage repeats of the one before it, in a new collection.
    pool_factor : int
        How many tokens of a passage become one, in a new collection; 1 keeps all.
    pool_tokens : int or None
        How many tokens of a passage are kept at most, in a new collection.
    protected_tokens : int
        How many at its beginning are never pooled.
    k : int
        How many hits.
    mode : str
        ``late``, ``lexical`` or ``hybrid``.
    effort : str or None
        ``fast``, ``balanced``, ``thorough``, ``exhaustive`` or ``tuned``; when not given, tuned
        where the collection is, else balanced.
    n_threads : int or None
        One a core when not given.
    lock_wait_seconds : float
        How long a write waits for another writer.
    """

    model: str = "mini"
    bits: int = 4
    passage_tokens: int | None = None
    passage_overlap: int = 0
    pool_factor: int = 1
    pool_tokens: int | None = None
    protected_tokens: int = 1
    k: int = 10
    mode: str = "hybrid"
    effort: str | None = None
    n_threads: int | None = None
    lock_wait_seconds: float = 10.0


def load(environment: Mapping[str, str] = os.environ, **options: Any) -> Settings:
    """Merge file, environment and options; an option that is None was not given.

    Raises
    ------
    SettingsError
        For an unknown key, with the nearest known one, or a value of the wrong type.
    """
    values = {**_from_file(environment), **_from_environment(environment)}
    values.update({key: value for key, value in options.items() if value is not None})
    return Settings(**values)


def _from_file(environment: Mapping[str, str]) -> dict[str, Any]:
    named = environment.get(f"{PREFIX}CONFIG")
    path = Path(named or FILE)
    if not named and not path.is_file():
        return {}
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"cannot read settings: {path} ({error}). Mend the file.") from None
    return {key: _typed(key, value, str(path)) for key, value in values.items()}


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    found = {}
    for name, value in environment.items():
        key = name.removeprefix(PREFIX)
        if key != name and key not in _OTHERS:
            found[key.lower()] = _typed(key.lower(), value, f"variable {name}")
    return found


def _typed(key: str, value: Any, where: str) -> Any:
    kinds = {field.name: str(field.type) for field in fields(Settings)}
    if key not in kinds:
        close = difflib.get_close_matches(key, kinds, n=1, cutoff=0.5)
        hint = f"Did you mean {close[0]!r}?" if close else f"Known are {', '.join(kinds)}."
        raise SettingsError(f"unknown setting {key!r}: {where}. {hint}")
    kind = {"int": int, "float": float, "str": str}[kinds[key].partition(" ")[0]]
    if kind is str and not isinstance(value, str):
        raise SettingsError(f"{key} must be text, not {value!r}: {where}.")
    try:
        return kind(value)
    except (TypeError, ValueError):
        article = "a whole number" if kind is int else "a number"
        raise SettingsError(f"{key} must be {article}, not {value!r}: {where}.") from None

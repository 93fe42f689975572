"""A JSON file of a model folder, whose fields are taken one by one, each with its type."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any, Final

from interlace.errors import CheckpointError
from interlace.models.checkpoint import fault

#: A settings file of more bytes is not one.
_MOST_BYTES: Final = 8 << 20

_REQUIRED: Final[Any] = object()


def content(path: Path) -> Any:
    """What a JSON file holds.

    Raises
    ------
    CheckpointError
        When it cannot be read as JSON.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise CheckpointError(
                f"larger than {_MOST_BYTES >> 20} MiB, which no settings are: {path}. "
                "Fetch the model again."
            )
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as cause:
        raise CheckpointError(
            f"cannot be read as JSON: {path} ({cause}). Fetch the model again."
        ) from cause


def inside(folder: Path, name: str, source: Path, field: str) -> Path:
    """A path that a file names, which must lie in the model's folder.

    It is told by the name alone: the hub's cache keeps files as links to elsewhere.

    Raises
    ------
    CheckpointError
    """
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name or ":" in name or "\0" in name:
        raise fault(source, field, f"must be a path inside the model's folder, not {name!r}")
    return folder / pure


class Fields:
    """The fields of one JSON object; ``null`` counts as not given.

    Raises
    ------
    CheckpointError
        From every method: when the field is missing or of another type, naming file and field.
    """

    def __init__(self, path: Path, values: dict[str, Any], within: str = "") -> None:
        self.path = path
        self.values = values
        self._within = within

    @classmethod
    def read(cls, path: Path) -> Fields:
        """The object in a file."""
        values = content(path)
        if not isinstance(values, dict):
            raise CheckpointError(f"not a JSON object: {path}. Fetch the model again.")
        return cls(path, values)

    @classmethod
    def read_if_there(cls, path: Path) -> Fields:
        """The object in a file, or one without fields."""
        return cls.read(path) if path.is_file() else cls(path, {})

    def fault(self, field: str, what: str) -> CheckpointError:
        """The error of one field."""
        return fault(self.path, self._within + field, what)

    def has(self, field: str) -> bool:
        """Whether the field is given."""
        return self.values.get(field) is not None

    def count(self, field: str, default: Any = _REQUIRED) -> Any:
        """A whole number from 1."""
        value = self._typed(field, int, "a whole number", default)
        if value is not default and value < 1:
            raise self.fault(field, f"must be at least 1, not {value}")
        return value

    def id(self, field: str) -> int:
        """A whole number from 0."""
        value: int = self._typed(field, int, "a whole number", _REQUIRED)
        if value < 0:
            raise self.fault(field, f"must be at least 0, not {value}")
        return value

    def number(self, field: str, default: float) -> float:
        """A number above 0."""
        value = self.values.get(field)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise self.fault(field, f"must be a number above 0, not {_shown(value)}")
        return float(value)

    def text(self, field: str, default: Any = _REQUIRED) -> Any:
        """A string."""
        return self._typed(field, str, "a string", default)

    def flag(self, field: str, default: bool) -> bool:
        """True or false."""
        value: bool = self._typed(field, bool, "true or false", default)
        return value

    def texts(self, field: str, default: Any = _REQUIRED) -> Any:
        """A list of strings, as a tuple."""
        value = self._typed(field, list, "a list of strings", default)
        if value is default:
            return default
        if not all(isinstance(item, str) for item in value):
            raise self.fault(field, f"must be a list of strings, not {_shown(value)}")
        return tuple(value)

    def counts(self, field: str) -> tuple[int, ...]:
        """A list of whole numbers, as a tuple; empty when not given."""
        value = self._typed(field, list, "a list of whole numbers", [])
        if not all(type(item) is int for item in value):
            raise self.fault(field, f"must be a list of whole numbers, not {_shown(value)}")
        return tuple(value)

    def group(self, field: str) -> Fields:
        """The fields of an object inside; none when it is not given."""
        value = self._typed(field, dict, "an object", {})
        return Fields(self.path, value, f"{self._within}{field}.")

    def choice(self, field: str, allowed: tuple[str, ...], default: Any = _REQUIRED) -> Any:
        """One of a few strings."""
        value = self.text(field, default)
        if value is not default and value not in allowed:
            shown = ", ".join(f'"{one}"' for one in allowed)
            raise self.fault(field, f"must be one of {shown}, not {_shown(value)}")
        return value

    def _typed(self, field: str, kind: type, shown: str, default: Any) -> Any:
        value = self.values.get(field)
        if value is None:
            if field in self.values and default is _REQUIRED:
                raise self.fault(field, f"must be {shown}, not null")
            if default is _REQUIRED:
                raise self.fault(field, "is missing")
            return default
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.fault(field, f"must be {shown}, not {_shown(value)}")
        return value


def _shown(value: Any) -> str:
    """A value as JSON, cut where it is long."""
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."

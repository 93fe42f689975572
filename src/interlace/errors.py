"""Every error that interlace raises on purpose.

    InterlaceError
    ├── InputError            also a ValueError: something that was passed in cannot be used
    │   └── FilterError       a filter cannot be read, or asks for what no document has
    ├── SettingsError         also a ValueError: a setting is unknown or out of range
    ├── MissingExtra          also an ImportError: a feature needs packages that are not installed
    ├── CheckpointError       a model's files are missing, unreadable or contradict each other
    ├── RemoteError           something over the network failed
    └── CollectionError       a collection on disk cannot be used as asked
        ├── NotACollection    the path holds no collection
        ├── Locked            somebody else is at work on the collection
        ├── FormatTooNew      written by a newer interlace
        ├── FormatTooOld      written by an older interlace than this one reads
        ├── ModelMismatch     the encoder at hand is not the one the collection was made with
        └── Corrupt           a file is damaged

A message reads *what: where. remedy.* User mistakes raise one of these; ``assert`` is for ours.
"""

from __future__ import annotations

from typing import Final

#: The advice where a file is damaged, and its end where there may be more damage than was met.
REPAIR: Final = " Run `interlace repair`, which makes it again from the texts"
VERIFY: Final = "; `interlace verify` lists all damage."


class InterlaceError(Exception):
    """Base of every error that interlace raises on purpose.

    Attributes
    ----------
    committed : int or None
        For an error that stops an ``add``: how many documents of that call are durably stored.
    """

    committed: int | None = None


class InputError(InterlaceError, ValueError):
    """Something that was passed in cannot be used; the message names the item and the remedy."""


class FilterError(InputError):
    """A filter cannot be read, or asks for what no document has; the message says where in it."""


class SettingsError(InterlaceError, ValueError):
    """A setting is unknown or out of range; the message lists what is allowed."""


class MissingExtra(InterlaceError, ImportError):
    """A feature needs packages that are not installed; the message says what to install."""


class CheckpointError(InterlaceError):
    """A model's files are missing, unreadable or contradict each other."""


class RemoteError(InterlaceError):
    """Something over the network failed."""


class CollectionError(InterlaceError):
    """A collection on disk cannot be used as asked."""


class NotACollection(CollectionError):
    """The path holds no collection."""


class Locked(CollectionError):
    """Somebody else is at work on the collection; the message says who, at what, since when."""


class FormatTooNew(CollectionError):
    """The collection was written by a newer interlace; the message states the readable range."""


class FormatTooOld(CollectionError):
    """The collection was written by an older interlace; the message states the readable range."""


class ModelMismatch(CollectionError):
    """The encoder at hand is not the one whose vectors the collection holds."""


class Corrupt(CollectionError):
    """A file of the collection is damaged; the message names it, what was expected and found.

    Attributes
    ----------
    file : str or None
        The file of a segment or codec that is to blame, which ``repair`` can make again.
    """

    file: str | None = None

    @classmethod
    def at(
        cls, file: object, expected: str, found: str, what: str = "a file is damaged"
    ) -> Corrupt:
        """Word the damage of a file, with its remedy."""
        error = cls(f"{what}: {file}: expected {expected}, found {found}.{REPAIR}{VERIFY}")
        error.file = str(file)
        return error

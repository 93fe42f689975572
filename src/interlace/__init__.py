"""Late-interaction retrieval: encode, index, search, explain. Live, crash-safe, fast on a CPU."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from interlace import errors as errors
from interlace.errors import InterlaceError
from interlace.types import Document, Hit, Hits
from interlace.version import VERSION

if TYPE_CHECKING:
    from interlace import evaluate as evaluate
    from interlace import integrations as integrations
    from interlace.collection import (
        Collection,
        create,
        maxsim,
        open,  # noqa: A004
        rerank,
        restore,
    )
    from interlace.models import Encoder
    from interlace.text import read

__version__ = VERSION

__all__ = [
    "Collection",
    "Document",
    "Encoder",
    "Hit",
    "Hits",
    "InterlaceError",
    "create",
    "maxsim",
    "open",
    "read",
    "rerank",
    "restore",
]

#: Public name -> the room it lives in, entered on first use: importing interlace loads no more.
_ROOMS = {
    "Collection": "interlace.collection",
    "Encoder": "interlace.models",
    "create": "interlace.collection",
    "maxsim": "interlace.collection",
    "open": "interlace.collection",
    "read": "interlace.text",
    "rerank": "interlace.collection",
    "restore": "interlace.collection",
}


def __getattr__(name: str) -> Any:
    if name in ("evaluate", "integrations"):
        return importlib.import_module(f"interlace.{name}")
    if name not in _ROOMS:
        raise AttributeError(f"module 'interlace' has no attribute {name!r}")
    value = getattr(importlib.import_module(_ROOMS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__", "errors", "evaluate", "integrations"])

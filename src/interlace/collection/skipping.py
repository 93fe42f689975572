"""Going on without damaged files, where a collection was opened with ``damaged="skip"``."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from interlace.errors import Corrupt
from interlace.store import Store

_P = ParamSpec("_P")
_R = TypeVar("_R")


class _Reader(Protocol):
    _store: Store


_C = TypeVar("_C", bound=_Reader)


def skipping(read: Callable[Concatenate[_C, _P], _R]) -> Callable[Concatenate[_C, _P], _R]:
    """Read again without what was found damaged, until nothing more is, or it must be told.

    The reading must take its snapshot itself.
    """

    @wraps(read)
    def again(self: _C, /, *args: _P.args, **options: _P.kwargs) -> _R:
        while True:
            try:
                return read(self, *args, **options)
            except Corrupt as error:
                if not self._store.leave_out(error):
                    raise

    return again

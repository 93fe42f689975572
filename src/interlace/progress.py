"""How long-running work tells its caller how far it is, without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives how far a piece of work is; called from the thread that does the work."""

    def __call__(self, stage: str, done: int, total: int | None, /) -> None:
        """Take note that ``done`` of ``total`` (None: unknown) units of ``stage`` are finished."""


def silent(stage: str, done: int, total: int | None, /) -> None:
    """The default listener: nothing is printed unless somebody asks."""

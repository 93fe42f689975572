"""How many threads there should be, and a thread that stays."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar

from interlace.errors import SettingsError

_Made = TypeVar("_Made")
_Call: TypeAlias = tuple[Future[Any], Callable[[], Any]]


def n_cores() -> int:
    """Cores that this process may use.

    A container or ``taskset`` may allow fewer than the machine has, which ``os.cpu_count`` does
    not know: threads beyond them would only take turns.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Resident:
    """A thread that calls what others ask it to call, one after the other, and never ends.

    For a library that keeps threads of its own for every thread that meets it: they stay when that
    one ends, and abort the process when it ends with that one.
    """

    def __init__(self, library: str) -> None:
        self._library, self._process = library, os.getpid()
        self._calls: SimpleQueue[_Call] = SimpleQueue()
        threading.Thread(target=self._serve, name=f"interlace-{library}", daemon=True).start()

    def __call__(self, call: Callable[[], _Made]) -> _Made:
        """What a call returns there.

        Raises
        ------
        SettingsError
            When this process was forked from the one that the thread is in.
        """
        if os.getpid() != self._process:
            raise SettingsError(
                f"{self._library} does not outlive a fork, and was used before this one. "
                'Start processes afresh: multiprocessing\'s "spawn".'
            )
        made: Future[_Made] = Future()
        self._calls.put((made, call))
        return made.result()

    def _serve(self) -> None:
        while True:
            made, call = self._calls.get()
            try:
                made.set_result(call())
            except BaseException as cause:  # noqa: BLE001  (it is raised where it is waited for)
                made.set_exception(cause)
            del made, call  # what nobody holds any more goes


_residents: dict[str, Resident] = {}
_one_at_a_time = threading.Lock()


def resident(library: str) -> Resident:
    """The one thread that meets a library."""
    with _one_at_a_time:
        if library not in _residents:
            _residents[library] = Resident(library)
        return _residents[library]

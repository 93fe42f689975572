"""Work on the next thing, on a thread of its own, while the caller finishes the present one."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from queue import SimpleQueue
from threading import Thread
from typing import Any, Generic, TypeVar

T = TypeVar("T")


def one_ahead(
    things: Iterable[T],
    work: Callable[[T, Callable[..., None]], None],
    told: Callable[..., None],
) -> Generator[T]:
    """Yield each thing once it is worked on, while the next one is worked on already.

    Only ``work`` leaves the caller's thread: things are taken there, and ``told`` is called there.
    The first one is worked on there as well, so that a single one needs no thread. None outlives
    the iterator, which is to be closed: see ``contextlib.closing``.

    Two things are held at most: (1) One is taken while the one before is worked on. (2) When that
    is done, work on the new one begins. (3) The one before is yielded, and forgotten.

    Parameters
    ----------
    things : iterable
        When it raises an ``Exception``, what came before is yielded first.
    work : callable
        Gets a thing, and whom to tell how far it is; telling ends it when nobody waits any more.
    told : callable
        Hears it.

    Raises
    ------
    BaseException
        What ``things``, ``work`` and ``told`` raise, in the order of the things.
    """
    failures: list[Exception] = []
    present: _Working[T] | None = None
    try:
        for thing in _taken(things, failures):
            before, following = present, _Working(thing, work)
            if before is None:
                work(thing, told)
                present = following
                continue
            before.wait(told)
            present = following
            present.start()
            yield before.thing
        if present is not None:
            present.wait(told)
            yield present.thing
    finally:
        if present is not None:
            present.stop()
    if failures:
        raise failures[0]


def one_by_one(
    things: Iterable[T],
    work: Callable[[T, Callable[..., None]], None],
    told: Callable[..., None],
) -> Generator[T]:
    """The same without a thread, and without looking ahead."""
    for thing in things:
        work(thing, told)
        yield thing


def _taken(things: Iterable[T], failures: list[Exception]) -> Iterator[T]:
    try:
        yield from things
    except Exception as error:  # noqa: BLE001 (raised when its turn comes)
        failures.append(error)


class _NobodyWaits(BaseException):
    """Ends work whose result is not wanted any more."""


class _Working(Generic[T]):
    """A thing, and the thread that works on it, if it was started."""

    def __init__(self, thing: T, work: Callable[[T, Callable[..., None]], None]) -> None:
        self.thing = thing
        self._work = work
        self._said: SimpleQueue[tuple[Any, ...] | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._error: BaseException | None = None
        self._is_wanted = True

    def start(self) -> None:
        self._thread = Thread(target=self._run, name="interlace-ahead")
        self._thread.start()

    def _run(self) -> None:
        try:
            self._work(self.thing, self._tell)
        except _NobodyWaits:
            pass
        except BaseException as error:  # noqa: BLE001 (the caller's thread raises it)
            self._error = error
        finally:
            self._said.put(None)

    def _tell(self, *said: Any) -> None:
        if not self._is_wanted:
            raise _NobodyWaits
        self._said.put(said)

    def wait(self, told: Callable[..., None]) -> None:
        if self._thread is None:
            return
        while (said := self._said.get()) is not None:
            told(*said)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        self._is_wanted = False
        if self._thread is not None:
            self._thread.join()

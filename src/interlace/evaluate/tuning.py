"""Tuning: the knobs of a search that are quickest on a collection, at the recall that is wanted.

Half of the queries choose, the other half judges what was chosen. From the quickest level that is
good enough, knobs are turned down one at a time, or one down and another up, as long as that is
quicker and still good enough. All that is compared is timed in turns, so that a busy machine is
busy for all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import permutations, product
from time import get_clock_info, perf_counter, thread_time
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from interlace import store
from interlace.collection import Collection, Inside
from interlace.errors import SettingsError
from interlace.evaluate.questions import Question, answer, questions
from interlace.progress import Progress, silent

_DOWN: Final = (0.5, 0.75)
_QUICKER: Final = 0.97
"""Of the time of what is best so far: less than that is noise."""

_SLOWER: Final = 1.1
_LAP: Final = 10
"""Who takes so many times as long as the best so far has lost; looked at after so many queries."""

_CLOCK: Final = thread_time if get_clock_info("thread_time").resolution < 1e-6 else perf_counter
"""Of races: what a thread computes, not how long it waits for others."""

_ROUNDS_MAX: Final = 12
_WIDER_MAX: Final = 3
_REPEATS: Final = 3
_EXHAUSTIVE_TIMED: Final = 10
"""Queries: an exhaustive search takes as long for each."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What an effort reaches, on queries that had no part in choosing it.

    Attributes
    ----------
    name : str
        ``"fast"`` … ``"exhaustive"``, ``"tuned"``.
    knobs : mapping or None
        What it looks at; None for everything.
    recall : float
        The share of the ``k`` best of an exhaustive search that it finds.
    p50_us, p95_us : float
        Microseconds of a search, from matrix to rows, on one thread.
    """

    name: str
    knobs: dict[str, int] | None
    recall: float
    p50_us: float
    p95_us: float


@dataclass(frozen=True, slots=True)
class TuneReport:
    """What tuning measured.

    Attributes
    ----------
    recall : float
        As asked for.
    k : int
    n_queries : int
        That judged; about as many chose.
    n_tried : int
        Settings of knobs that were measured.
    levels : tuple of Measured
        The named efforts, and what is tuned as the last. Empty when there is nothing to tune,
        because every search looks at everything anyway.
    """

    recall: float
    k: int
    n_queries: int = 0
    n_tried: int = 0
    levels: tuple[Measured, ...] = ()

    @property
    def tuned(self) -> Measured | None:
        """What was stored."""
        return self.levels[-1] if self.levels else None


def tune(
    collection: Collection,
    recall: float = 0.99,
    *,
    k: int = 10,
    queries: Sequence[str] | None = None,
    embeddings: Iterable[Any] | None = None,
    n_queries: int = 200,
    seed: int = 0,
    progress: Progress = silent,
) -> TuneReport:
    """Find the quickest knobs that reach a recall on a collection, and keep them there.

    From then on they are what its searches do, unless an effort is named; ``effort="tuned"`` names
    them. They stay until ``untune`` or a rebuild, and travel with backups.

    Parameters
    ----------
    recall
        The share of the ``k`` best passages that a search is to find, of those that an exhaustive
        search on the stored codes does; what the codes themselves lose, ``diagnose`` tells.
    k
        How many hits a search is tuned for. One for more hits looks wider by itself.
    queries, embeddings
        What people ask, as for ``search_many``. Without them sentences and headings of stored
        passages are asked, or runs of stored embeddings where the collection has no model; the
        passage that one was taken from does not count.
    n_queries
        How many of those.
    seed
        Of the draw.
    progress
        Told ``("exact", queries, of how many)``, then ``("try", settings of knobs, None)``.

    Returns
    -------
    TuneReport

    Raises
    ------
    SettingsError
        For a recall that is not above 0 and at most 1, and numbers below 1.
    InputError
        When no query has a token.
    Locked, CollectionError
        When the collection cannot be written; it is as it was.
    """
    if not 0 < recall <= 1:
        raise SettingsError(f"recall is {recall!r}. Give a number above 0 and at most 1: 0.99")
    for name, value, least in (("k", k, 1), ("n_queries", n_queries, 2)):
        if value < least:
            raise SettingsError(f"{name} is {value!r}. Give a whole number from {least}.")
    inside = Inside(collection)
    if inside.snapshot.codec is None:
        return TuneReport(recall, k)
    asked = questions(
        inside, k, n_queries, texts=queries, embeddings=embeddings, seed=seed, progress=progress
    )
    choosing, judging = asked[::2], asked[1::2] or asked
    trial = _Trial(inside.snapshot, k, progress)
    if trial.is_everything(next(iter(store.EFFORTS)), asked):
        return TuneReport(recall, k)
    chosen = _chosen(trial, choosing, judging, recall)
    levels = _levels(trial, judging, chosen, recall)
    tuned = levels[-1]
    inside.tune(
        store.Tuned(
            knobs=tuned.knobs,
            wanted=recall,
            recall=round(tuned.recall, 5),
            k=k,
            p50_us=round(tuned.p50_us, 1),
            n_queries=len(judging),
            n_passages=inside.snapshot.n_passages,
        )
    )
    return TuneReport(recall, k, len(judging), trial.n_tried, levels)


def untune(collection: Collection) -> None:
    """Forget what a collection was tuned to: its searches are balanced again.

    Raises
    ------
    Locked, CollectionError
    """
    Inside(collection).tune(None)


class _Reached(NamedTuple):
    """What an effort reached on some queries: recall, and microseconds of each.

    Where a race was lost on the way, of the rest of the queries nothing was found, for ever.
    """

    recall: float
    times: npt.NDArray[np.float64]

    @property
    def p50_us(self) -> float:
        return float(np.median(self.times))


class _Trial:
    """Measures efforts on a collection, and counts how many."""

    def __init__(self, snapshot: store.Snapshot, k: int, progress: Progress) -> None:
        self.k, self.n_tried = k, 0
        self._snapshot, self._progress = snapshot, progress

    def __call__(
        self,
        efforts: Sequence[store.Effort],
        asked: Sequence[Question],
        *,
        repeats: int = 1,
        race: float | None = None,
    ) -> list[_Reached]:
        """Ask every question of each effort in turn; of its repeats the quickest counts.

        In a ``race`` to a recall, who cannot reach it any more is asked no more, nor who is clearly
        slower than the first.
        """
        clock = perf_counter if race is None else _CLOCK
        times = np.full((len(efforts), len(asked)), np.inf)
        hits, running = np.zeros(len(efforts), np.int64), list(range(len(efforts)))
        sizes = np.cumsum([len(question.best) for question in asked])
        for i, question in enumerate(asked):
            first = i % len(running)  # who comes first finds nothing in the cache
            for repeat, at in product(range(repeats), running[first:] + running[:first]):
                start = clock()
                rows = answer(self._snapshot, question, self.k, efforts[at]).rows
                times[at, i] = min(times[at, i], (clock() - start) * 1e6)
                if not repeat:
                    hits[at] += len(np.intersect1d(rows, question.best))
            if race is not None and i % _LAP == _LAP - 1:
                lost = sizes[i] - hits > (1 - race) * sizes[-1]
                p50 = np.median(times[:, : i + 1], axis=1)
                lost |= p50 > p50[0] * _SLOWER
                running = [at for at in running if at == 0 or not lost[at]]
        self.n_tried += len(efforts)
        self._progress("try", self.n_tried, None)
        return [
            _Reached(hit / int(sizes[-1]), own)
            for hit, own in zip(hits.tolist(), times, strict=True)
        ]

    def is_everything(self, effort: str, asked: Iterable[Question]) -> bool:
        """Whether an effort looks at every passage all the same."""
        return all(
            answer(self._snapshot, question, self.k, effort).found.proven for question in asked
        )

    def exhaustive(self, asked: Sequence[Question]) -> npt.NDArray[np.float64]:
        """Microseconds of exhaustive searches, of some questions."""
        times = []
        for question in asked[:_EXHAUSTIVE_TIMED]:
            start = perf_counter()
            answer(self._snapshot, question, self.k, "exhaustive")
            times.append((perf_counter() - start) * 1e6)
        return np.array(times)


def _chosen(
    trial: _Trial, choosing: Sequence[Question], judging: Sequence[Question], recall: float
) -> store.Effort | None:
    """The quickest effort that is good enough for both halves; None when only everything is."""
    ladder = [effort for effort in store.EFFORTS.values() if effort is not None]
    good: list[tuple[float, store.Effort]] = []
    for _ in range(_WIDER_MAX):
        reached = trial(ladder, choosing)
        good = [
            (one.p50_us, effort)
            for one, effort in zip(reached, ladder, strict=True)
            if one.recall >= recall
        ]
        if good:
            break
        ladder = [ladder[-1].wider()]
    good.sort(key=lambda one: one[0])
    safe = [effort for _, effort in good]
    safe[:1] = reversed(list(_quicker(trial, choosing, recall, safe[0]))) if safe else []
    for effort in safe:
        if trial([effort], judging)[0].recall >= recall:
            return effort
    return None


def _quicker(
    trial: _Trial, asked: Sequence[Question], recall: float, start: store.Effort
) -> Iterator[store.Effort]:
    """Efforts that are quicker and quicker, and good enough; the first is where to start.

    Turns that were good are tried again before all are, since they seldom get in each other's way.
    """
    best, lost = start.at_least(trial.k), set[store.Effort]()
    yield start
    turns = every = _turns(best)
    for _ in range(_ROUNDS_MAX):
        near = {_turned(best, turn, trial.k): turn for turn in turns}
        near = {one: turn for one, turn in near.items() if one != best and one not in lost}
        before, *reached = trial([best, *near], asked, race=recall)
        pairs = list(zip(reached, near, strict=True))
        lost |= {effort for one, effort in pairs if one.recall < recall}
        good = [
            (one.p50_us, effort)
            for one, effort in pairs
            if one.recall >= recall and one.p50_us < before.p50_us * _QUICKER
        ]
        if good:
            best = min(good, key=lambda one: one[0])[1]
            yield best
        elif turns is every:
            return
        turns = [near[effort] for _, effort in good] or every


def _turns(effort: store.Effort) -> list[dict[str, float]]:
    """What to multiply knobs by: one turned down, alone or for another that is turned up."""
    knobs = [knob.name for knob in fields(effort)]
    alone = [{name: by} for name in knobs for by in _DOWN]
    return alone + [{down: 0.5, up: 2.0} for down, up in permutations(knobs, 2)]


def _turned(effort: store.Effort, turn: dict[str, float], k: int) -> store.Effort:
    knobs = {name: max(1, round(getattr(effort, name) * by)) for name, by in turn.items()}
    return replace(effort, **knobs).at_least(k)


def _levels(
    trial: _Trial, judging: Sequence[Question], chosen: store.Effort | None, recall: float
) -> tuple[Measured, ...]:
    """All named efforts, and as the last what is best, measured side by side.

    That is what was chosen, unless a named one turns out to be as good and quicker.
    """
    named = {name: effort for name, effort in store.EFFORTS.items() if effort is not None}
    if chosen is not None:
        named[store.TUNED] = chosen
    reached = dict(zip(named, trial(list(named.values()), judging, repeats=_REPEATS), strict=True))
    measured = {
        name: _measured(name, named[name], one.recall, one.times) for name, one in reached.items()
    }
    everything = trial.exhaustive(judging)
    levels = [
        measured.get(name) or _measured(name, None, 1.0, everything) for name in store.EFFORTS
    ]
    good = [level for level in levels if level.recall >= recall]
    best = min([measured.get(store.TUNED, levels[-1]), *good], key=lambda level: level.p50_us)
    return (*levels, replace(best, name=store.TUNED))


def _measured(
    name: str, effort: store.Effort | None, recall: float, times: npt.NDArray[np.float64]
) -> Measured:
    p50, p95 = np.percentile(times, [50, 95]).tolist()
    return Measured(name, None if effort is None else asdict(effort), recall, p50, p95)

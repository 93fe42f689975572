"""The words of passages, in SQL: inverted runs, written with documents and merged like segments.

A *run* is the words of some passages: for each word the ordinals of the passages that have it, and
how often. Runs are never changed. A commit adds one, and merging puts one in place of several, so
a reader sees those of its commit, as it does segments; what is dead in them a snapshot leaves out.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from interlace.errors import VERIFY, Corrupt
from interlace.store.database import Database

Numbers = npt.NDArray[np.int64]

_WORDS_AT_ONCE = 4_096
"""Words of a run that are read together at most."""

_POSTINGS_AT_ONCE = 1 << 20
"""What is read, merged and written together, beside the last word: some 50 MiB in memory."""

_POSTINGS_A_WORD = 16
"""The postings that fill as much memory as a word without any."""

_Row = TypeVar("_Row", bound=tuple[Any, ...])

_PASSAGES_AT_ONCE = 65_536
"""Passages that are looked up together: of all of a large run the numbers fill a gigabyte."""


class RunRow(NamedTuple):
    """What the catalog knows of a run.

    Attributes
    ----------
    number, born : int
        Together no two runs ever share them.
    n_postings : int
        Pairs of word and passage.
    passages : (n,) int64
        Insertion numbers; the ordinal is the position.
    lengths : (n,) uint32
        Words of each.
    """

    number: int
    born: int
    n_postings: int
    passages: Numbers
    lengths: npt.NDArray[np.uint32]


class WordRow(NamedTuple):
    """A word of a run: ordinals of the passages that have it, uint32, and how often, uint8."""

    word: str
    passages: bytes
    counts: bytes


class Postings(NamedTuple):
    """Where some words are, a row for each word of each run."""

    words: list[str]
    runs: list[int]
    passages: list[bytes]
    counts: list[bytes]


def in_parts(rows: Iterable[_Row]) -> Iterator[list[_Row]]:
    """Rows that begin with a word and end with its counts, as many together as memory allows.

    Those of one word stand together: they are merged.
    """
    part: list[_Row] = []
    n = 0
    for row in rows:
        if n >= _POSTINGS_AT_ONCE and row[0] != part[-1][0]:
            yield part
            part, n = [], 0
        part.append(row)
        n += len(row[-1]) + _POSTINGS_A_WORD
    if part:
        yield part


class WordTables(Database):
    """The runs of words of a catalog."""

    # --- what a reader asks ----------------------------------------------------------------------
    def run_sizes(self, commit: int) -> dict[int, int]:
        """Postings of the runs that a commit sees, by their numbers; without reading passages."""
        rows = self._rows(
            "SELECT number, n_postings FROM runs"
            " WHERE born <= :commit AND (died IS NULL OR died > :commit) ORDER BY number",
            {"commit": commit},
        )
        return dict(rows)

    def run_keys(self, commit: int) -> list[tuple[int, int]]:
        """The runs that a commit sees: number and birth, which no two runs ever share."""
        return self._rows(
            "SELECT number, born FROM runs"
            " WHERE born <= :commit AND (died IS NULL OR died > :commit) ORDER BY number",
            {"commit": commit},
        )

    def runs(self, commit: int, numbers: Iterable[int] | None = None) -> list[RunRow]:
        """The runs that a commit sees, or some of them, in the order they were written."""
        asked = self.run_sizes(commit) if numbers is None else numbers
        rows = self._rows(
            "SELECT number, born, n_postings, first, passages, lengths FROM runs"
            " WHERE number IN (SELECT value FROM json_each(:numbers)) ORDER BY number",
            {"numbers": json.dumps(list(asked))},
        )
        found = []
        for number, born, n_postings, first, passages, lengths in rows:
            is_right = isinstance(passages, bytes) and isinstance(lengths, bytes)
            if not is_right or len(passages) % 4 or len(passages) != len(lengths):
                raise self.corrupt_run(number)
            held = first + np.frombuffer(passages, "<u4").astype(np.int64)
            found.append(RunRow(number, born, n_postings, held, np.frombuffer(lengths, "<u4")))
        return found

    def word_sizes(self, words: Iterable[str], runs: Iterable[int]) -> dict[str, int]:
        """In how many passages each word is, the dead ones among them; without reading which."""
        rows = self._rows(
            "SELECT w.word, sum(length(w.counts)) FROM json_each(:words) AS asked"
            " CROSS JOIN json_each(:runs) AS run"
            " JOIN words AS w ON w.run = run.value AND w.word = asked.value GROUP BY w.word",
            {"words": json.dumps(list(words)), "runs": json.dumps(list(runs))},
        )
        return dict(rows)

    def postings(self, words: Iterable[str], runs: Iterable[int]) -> Postings:
        """Where words are, run by run."""
        rows = self._rows(
            "SELECT w.word, w.run, w.passages, w.counts FROM json_each(:runs) AS run"
            " CROSS JOIN json_each(:words) AS asked"
            " CROSS JOIN words AS w ON w.run = run.value AND w.word = asked.value",
            {"words": json.dumps(list(words)), "runs": json.dumps(list(runs))},
        )
        return Postings(*map(list, zip(*rows, strict=True))) if rows else Postings([], [], [], [])

    def word_problems(self, commit: int) -> Iterator[str]:
        """What is wrong with the runs that a commit sees, a sentence each."""
        seen: list[Numbers] = [np.empty(0, np.int64)]
        try:
            for run in self.runs(commit):
                if self._count(run) != run.n_postings:
                    yield str(self.corrupt_run(run.number))
                seen.append(run.passages[self.live_among(run.passages)])
        except Corrupt as error:
            yield str(error)
        numbers, times = np.unique(np.concatenate(seen), return_counts=True)
        for number in numbers[times > 1][:1].tolist():
            yield f"the words of passage {number} are there twice: {self.path}."

    def _count(self, run: RunRow) -> int:
        """Postings of a run as they are found."""
        n = 0
        for some in in_parts(self.words_of(run.number)):
            _, passages, counts = map(list, zip(*some, strict=True))
            of_run = [run.number] * len(some), [len(run.passages)] * len(some)
            n += len(self.ordinals(*of_run, passages, counts)[0])
        return n

    def corrupt_run(self, number: int) -> Corrupt:
        """The error for a run that cannot be."""
        return Corrupt(
            f"words are damaged: {self.path}: run {number}. Restore the folder from a copy, or "
            f"index the documents again{VERIFY}"
        )

    def words_of(self, run: int) -> Iterator[WordRow]:
        """All words of a run, ascending.

        Raises
        ------
        Corrupt
        """
        some = "FROM words WHERE run = :run AND word > :last ORDER BY word LIMIT :n"
        n_max, last = _WORDS_AT_ONCE, ""
        while True:
            values = {"run": run, "last": last, "n": n_max}
            size = f"SELECT coalesce(sum(length(counts)), 0) FROM (SELECT counts {some})"
            if n_max > 1 and self._value(size, values) > _POSTINGS_AT_ONCE:
                n_max //= 2
                continue
            rows = self._rows(f"SELECT word, passages, counts {some}", values)
            if not rows:
                return
            for row in map(WordRow._make, rows):
                if not isinstance(row.passages, bytes) or not isinstance(row.counts, bytes):
                    raise self.corrupt_run(run)
                yield row
            n_max = min(2 * n_max, _WORDS_AT_ONCE)
            last = self._after(last, rows[-1][0])

    def ordinals(
        self,
        runs: Sequence[int],
        n_passages: Sequence[int],
        passages: Sequence[bytes],
        counts: Sequence[bytes],
    ) -> tuple[Numbers, list[int]]:
        """The passages that have a word, a word of a run after another, and how many each.

        Parameters
        ----------
        runs, n_passages
            Of each word: the run that it is of, and how many passages that has.
        passages, counts
            As ``WordRow`` has them.

        Raises
        ------
        Corrupt
            When a run has no such passages.
        """
        for run, ordinals, times in zip(runs, passages, counts, strict=True):
            is_right = isinstance(ordinals, bytes) and isinstance(times, bytes)
            if not is_right or len(ordinals) != 4 * len(times):
                raise self.corrupt_run(run)
        sizes = list(map(len, counts))
        found = np.frombuffer(b"".join(passages), "<u4").astype(np.int64)
        bad = np.flatnonzero(found >= np.repeat(n_passages, sizes))
        if len(bad):
            raise self.corrupt_run(int(np.repeat(runs, sizes)[bad[0]]))
        return found, sizes

    # --- what a writer does ----------------------------------------------------------------------
    def add_run(
        self,
        passages: Numbers,
        lengths: npt.NDArray[np.uint32],
        words: Iterable[WordRow],
        born: int,
    ) -> None:
        """Add the words of some passages, at least one; ``words`` ascend."""
        number = self._value("SELECT coalesce(max(number), 0) + 1 FROM runs")
        n_postings = 0
        for some in in_parts(words):
            n_postings += sum(len(row.counts) for row in some)
            self._change_many(
                "INSERT INTO words VALUES (?, ?, ?, ?)", ((number, *row) for row in some)
            )
        first = int(passages.min())
        offsets = (passages - first).astype("<u4").tobytes()
        values = (number, n_postings, first, born, offsets, lengths.astype("<u4").tobytes())
        self._change_many(
            "INSERT INTO runs (number, n_postings, first, born, passages, lengths)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            [values],
        )

    def retire_runs(self, numbers: Collection[int], died: int) -> None:
        """Let runs die that others replace."""
        self._change_many(
            "UPDATE runs SET died = ? WHERE number = ?", ((died, number) for number in numbers)
        )

    def live_among(self, numbers: Numbers) -> npt.NDArray[np.bool_]:
        """Which passages of these insertion numbers are alive now."""
        found = np.zeros(len(numbers), np.bool_)
        for at in range(0, len(numbers), _PASSAGES_AT_ONCE):
            some = numbers[at : at + _PASSAGES_AT_ONCE]
            rows = self._rows(
                "SELECT p.number FROM json_each(:numbers) AS asked"
                " CROSS JOIN passages AS p ON p.number = asked.value AND p.died IS NULL",
                {"numbers": json.dumps(some.tolist())},
            )
            alive = np.array([number for (number,) in rows], np.int64)
            found[at : at + len(some)] = np.isin(some, alive)
        return found

    def purge_runs(self, oldest: int) -> None:
        """Forget runs that only readers before ``oldest`` could see."""
        values = {"oldest": oldest}
        self._change(
            "DELETE FROM words WHERE run IN (SELECT number FROM runs WHERE died <= :oldest)", values
        )
        self._change("DELETE FROM runs WHERE died <= :oldest", values)

"""The main path of a search, one screen: a query matrix in, rows and scores out.

Fresh segments are scanned. Settled ones pass five stages, each on fewer passages with finer
vectors (PLAID, arXiv 2205.09707): *probe* finds each query token's best leaves, *walk* reads their
posting lists, *interact* compares what they name by centroids, *refine* by the stored codes of the
tokens that *probe* has seen, *score* by all, each until the next would hardly be among the best.
Then one list, folded to documents. Where a filter leaves little, its rows skip the stages that
would only choose among others: benchmarks/filters.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from time import perf_counter
from typing import Final

import numpy as np
import numpy.typing as npt

from interlace.errors import SettingsError
from interlace.kernels import NO_LEAF, SEEN, Quantised, Ranked
from interlace.store.lexical import WordScores
from interlace.store.snapshot import Snapshot
from interlace.store.tuned import Tuned

Rows = npt.NDArray[np.uint32]
Scores = npt.NDArray[np.float32]
Bitmap = npt.NDArray[np.uint8]
Observe = Callable[[str, Rows], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much a search looks at; docs/reference/knobs.md has what each buys.

    Attributes
    ----------
    groups, cells, leaves : int
        Probed for each query token; more leaves, up to 16 times as many, where they are nearly as
        good as its best.
    candidates : int
        Passages that the walk hands on.
    scored : int
        Passages that are refined, at most, and then scored.
    spread : int
        How far above what the stage before lets expect the next passage's score is thought
        possible, in tenths of a standard deviation: where even that would not be among the best,
        refining and scoring stop.
    """

    groups: int
    cells: int
    leaves: int
    candidates: int
    scored: int
    spread: int

    def at_least(self, k: int) -> Effort:
        """Enough for ``k`` hits: some documents have several passages among the best."""
        scored = max(self.scored, 4 * k)
        if scored == self.scored and 16 * k <= self.candidates:
            return self
        return replace(self, scored=scored, candidates=max(self.candidates, 16 * k))

    def wider(self) -> Effort:
        """Four times as much."""
        return replace(
            self,
            groups=self.groups * 4,
            cells=self.cells * 4,
            leaves=self.leaves * 4,
            candidates=self.candidates * 4,
            scored=self.scored * 4,
        )


EFFORTS: Final[Mapping[str, Effort | None]] = {
    "fast": Effort(groups=10, cells=12, leaves=7, candidates=400, scored=200, spread=24),
    "balanced": Effort(groups=14, cells=16, leaves=10, candidates=800, scored=512, spread=30),
    "thorough": Effort(groups=20, cells=24, leaves=20, candidates=2_000, scored=1_200, spread=42),
    "exhaustive": None,
}
"""The one knob for people. ``exhaustive`` scores every passage."""


DEFAULT: Final = "balanced"
"""Of collections that are not tuned."""

TUNED: Final = "tuned"
"""As the collection was tuned, by measuring on its own queries: ``interlace.evaluate.tune``."""

_COSINE_MAX: Final = 4.0
"""Beyond what any codes and sound scales can give."""

_CANDIDATES_A_SCORE: Final = 3
_WALKED_A_SCORE: Final = 40_000
_WALKED_A_CELLS: Final = 4_000
"""What takes as long as scoring a passage: candidates that pass through the stages, and passages in
the collection for each leaf that a query token probes, with those near it; and passages for each of
these, as long as comparing one by cells."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found.

    Attributes
    ----------
    rows : (n,) uint32
        Best first; equal scores in insertion order.
    scores : (n,) float32
    proven : bool
        True when every allowed passage was scored.
    profile : mapping
        Of each stage microseconds (``…_us``), what it handed on (``…_n``: passages, of *probe*
        leaves), and of *scan* and *score* the tokens that were compared (``…_tokens``).
    """

    rows: Rows
    scores: Scores
    proven: bool = True
    profile: Mapping[str, float] = field(default_factory=dict)


def search(
    snapshot: Snapshot,
    matrix: npt.NDArray[np.float32],
    k: int,
    *,
    effort: str | Effort | None = None,
    by: str = "document",
    allowed: Bitmap | None = None,
    n_threads: int = 1,
    observe: Observe | None = None,
) -> Found:
    """The ``k`` best passages, or the best passage of each of the ``k`` best documents.

    Parameters
    ----------
    matrix : (q_tokens, dim) float32
        Unit rows.
    effort : one of ``EFFORTS``, "tuned", or an Effort
        By default tuned, if the collection is, else balanced.
    by : "document" or "passage"
    allowed : bitmap over rows, or None
        Dead passages are excluded whatever it says.
    observe : callable, optional
        Told after each stage its name and the rows that it left; again where it looks wider.

    Returns
    -------
    Found
        ``min(k, allowed live documents)`` rows, whatever the effort: a search that finds fewer
        looks wider, in the end at everything.

    Raises
    ------
    SettingsError
        When ``effort`` or ``by`` is unknown.
    """
    plan = plan_for(effort, by, snapshot.tuned)
    if not len(matrix) or not snapshot.n_rows:
        return Found(np.empty(0, np.uint32), np.empty(0, np.float32))
    watch = _Watch(snapshot, observe)
    query = snapshot.kernels.quantise(matrix, snapshot.signs)
    allowed = _both(snapshot.alive, allowed)
    n_allowed = (
        snapshot.n_rows if allowed is None else int(np.bitwise_count(allowed).sum(dtype=np.uint32))
    )
    k = min(k, n_allowed, snapshot.n_documents if by == "document" else n_allowed)
    plan = None if plan is None else plan.at_least(k)
    walks = plan is not None and _is_walk_quicker(plan, n_allowed, snapshot.n_rows)
    n_documents: int | None = None
    while plan is not None and not _is_scoring_all_quicker(plan, n_allowed, snapshot.n_rows):
        rows, scores, n_candidates = _staged(
            snapshot, query, plan, k, by, allowed, n_threads, watch, walks=walks
        )
        best = _best(snapshot, rows, scores, k, by)
        watch("rank", n=len(best))
        if len(best) < k and by == "document" and allowed is not None and n_documents is None:
            n_documents = _count_documents(snapshot, allowed)
            k = min(k, n_documents)
        if len(best) == k:
            return Found(rows[best], scores[best], len(rows) == n_allowed, watch.profile)
        # Lists that name fewer than were asked for hold little of what is allowed, and more lists
        # would hardly hold more.
        walks = walks and n_candidates == plan.candidates
        plan = plan.wider()
    rows, scores = _everything(snapshot, query, allowed, n_allowed, n_threads, watch)
    best = _best(snapshot, rows, scores, k, by)
    watch("rank", n=len(best))
    return Found(rows[best], scores[best], True, watch.profile)


def matching(
    snapshot: Snapshot,
    words: WordScores,
    k: int,
    *,
    by: str = "document",
    allowed: Bitmap | None = None,
) -> tuple[Rows, Scores]:
    """The ``k`` best rows by their words, or the best of the ``k`` best documents.

    Parameters
    ----------
    words : WordScores
        As ``Snapshot.lexical`` gives them.
    by, allowed
        As for ``search``.

    Returns
    -------
    (at most k,) uint32 and float32
        Best first, equal scores in insertion order.
    """
    rows, scores, *_ = words
    if allowed is not None:
        kept = np.flatnonzero((allowed[rows >> 3] >> (rows & 7).astype(np.uint8)) & 1)
        rows, scores = rows[kept], scores[kept]
    best = _best(snapshot, rows, scores, k, by)
    return rows[best], scores[best]


def score(
    snapshot: Snapshot, matrix: npt.NDArray[np.float32], rows: Rows, n_threads: int = 1
) -> Scores:
    """MaxSim of some rows on their stored codes: ``(n,)`` float32."""
    if not len(matrix) or not len(rows):
        return np.zeros(len(rows), np.float32)
    query = snapshot.kernels.quantise(matrix, snapshot.signs)
    scores = snapshot.kernels.score(query, snapshot.segments, rows, n_threads)
    _check(snapshot, query, rows, scores)
    return scores


def plan_for(effort: str | Effort | None, by: str, tuned: Tuned | None) -> Effort | None:
    """What an effort looks at; None for everything.

    Raises
    ------
    SettingsError
        When ``effort`` or ``by`` is unknown, or the collection not tuned.
    """
    if by not in ("document", "passage"):
        raise SettingsError(
            f"by is {by!r}: hits are by document or by passage. Choose document or passage."
        )
    if isinstance(effort, Effort):
        return effort
    if effort is None:
        effort = TUNED if tuned is not None and _fits(tuned) else DEFAULT
    if isinstance(effort, str) and effort in EFFORTS:
        return EFFORTS[effort]
    if effort != TUNED:
        raise SettingsError(f"effort is {effort!r}. Choose one of {', '.join([*EFFORTS, TUNED])}.")
    if tuned is None or not _fits(tuned):
        raise SettingsError(
            f"effort is {TUNED!r}, but the collection is not tuned. Tune it (interlace tune), or "
            f"choose one of {', '.join(EFFORTS)}."
        )
    return None if tuned.knobs is None else Effort(**tuned.knobs)


def _fits(tuned: Tuned) -> bool:
    """Whether its knobs are those that there are."""
    return tuned.knobs is None or set(tuned.knobs) == {knob.name for knob in fields(Effort)}


def _is_scoring_all_quicker(plan: Effort, n_allowed: int, n_rows: int) -> bool:
    """Whether scoring every allowed passage takes no longer than the stages would; it is proven."""
    walked = n_rows * plan.leaves // _WALKED_A_SCORE
    return n_allowed <= plan.candidates // _CANDIDATES_A_SCORE + walked


def _is_walk_quicker(plan: Effort, n_allowed: int, n_rows: int) -> bool:
    """Whether walking takes less long than comparing every allowed passage by cells."""
    return n_allowed > plan.candidates + n_rows * plan.leaves // _WALKED_A_CELLS


def _staged(
    snapshot: Snapshot,
    query: Quantised,
    plan: Effort,
    k: int,
    by: str,
    allowed: Bitmap | None,
    n_threads: int,
    watch: _Watch,
    *,
    walks: bool,
) -> tuple[Rows, Scores, int]:
    """Scan the fresh; probe, walk, interact, refine, score the settled; how many were candidates.

    Where few rows are allowed, all of them are candidates instead of those that a walk finds.
    """
    kernels, segments = snapshot.kernels, snapshot.segments
    fresh_rows, fresh_scores = _fresh(snapshot, query, allowed, n_threads)
    watch("scan", fresh_rows, reads_tokens=True)
    if snapshot.codec is None:
        return fresh_rows, fresh_scores, 0
    probe = kernels.probe(query, snapshot.codec, plan.groups, plan.cells, plan.leaves)
    watch("probe", n=int(np.count_nonzero(probe.leaves != NO_LEAF)))
    if walks:
        rows = kernels.walk(probe, segments, allowed, plan.candidates)
    else:
        rows = _rows(allowed, snapshot.n_rows)
        rows = rows[np.searchsorted(rows, snapshot.n_fresh_rows) :]
    n_candidates = len(rows)
    watch("walk", rows)
    rows, sums = kernels.interact(probe, segments, rows, plan.scored)
    watch("interact", rows)
    expected = sums.astype(np.float32) / np.float32(SEEN)
    owners = rows if _is_by_passage(snapshot, by) else snapshot.document_of_row[rows]
    ranked = Ranked(rows, expected, owners.astype(np.int64), k, plan.spread)
    near = kernels.refine(query, probe, segments, ranked, n_threads)
    _check(snapshot, query, rows[: len(near)], near)
    order = np.argsort(-near, kind="stable")
    ranked = Ranked(rows[order], near[order], ranked.owners[order], k, plan.spread)
    watch("refine", ranked.rows)
    scores = kernels.score_best(query, segments, ranked, n_threads)
    rows = ranked.rows[: len(scores)]
    _check(snapshot, query, rows, scores)
    watch("score", rows, reads_tokens=True)
    if len(fresh_rows):
        rows = np.concatenate([fresh_rows, rows])
        scores = np.concatenate([fresh_scores, scores])
    return rows, scores, n_candidates


def _fresh(
    snapshot: Snapshot, query: Quantised, allowed: Bitmap | None, n_threads: int
) -> tuple[Rows, Scores]:
    """Every allowed row of the fresh segments, and its score."""
    n = snapshot.n_fresh_rows
    if not n:
        return np.empty(0, np.uint32), np.empty(0, np.float32)
    fresh, allowed = snapshot.segments[: snapshot.n_fresh_segments], _head(allowed, n)
    scores, rows = snapshot.kernels.scan(query, fresh, allowed, n_threads), _rows(allowed, n)
    scores = scores if allowed is None else scores[rows]
    _check(snapshot, query, rows, scores)
    return rows, scores


def _everything(
    snapshot: Snapshot,
    query: Quantised,
    allowed: Bitmap | None,
    n_allowed: int,
    n_threads: int,
    watch: _Watch,
) -> tuple[Rows, Scores]:
    """Score every allowed passage on its stored codes; few among many are not looked for twice."""
    kernels, segments = snapshot.kernels, snapshot.segments
    if allowed is not None and n_allowed * 8 < snapshot.n_rows:
        rows = _rows(allowed, snapshot.n_rows)
        scores = kernels.score(query, segments, rows, n_threads)
    else:
        scores = kernels.scan(query, segments, allowed, n_threads)
        rows = _rows(allowed, snapshot.n_rows)
        scores = scores if allowed is None else scores[rows]
    _check(snapshot, query, rows, scores)
    watch("scan", rows, reads_tokens=True)
    return rows, scores


def _best(snapshot: Snapshot, rows: Rows, scores: Scores, k: int, by: str) -> npt.NDArray[np.intp]:
    """Positions of the ``k`` best, best first, equal scores by insertion number.

    A handful of the best is sorted first; only where many passages share few documents does it
    have to be more.
    """
    n = len(scores)
    size = min(n, 4 * k)
    while True:
        if size < n:
            threshold = np.partition(scores, n - size)[n - size]
            best = np.flatnonzero(scores >= threshold)
        else:
            best = np.arange(n)
        best = best[np.lexsort((snapshot.passage_of_row[rows[best]], -scores[best]))]
        if not _is_by_passage(snapshot, by):
            _, first = np.unique(snapshot.document_of_row[rows[best]], return_index=True)
            best = best[np.sort(first)]
        if len(best) >= k or size == n:
            return best[:k]
        size = min(n, size * 4)


def _is_by_passage(snapshot: Snapshot, by: str) -> bool:
    """Whether each passage stands for itself, be it the only one of its document."""
    return by == "passage" or snapshot.n_documents == snapshot.n_rows


def _count(bitmap: Bitmap) -> int:
    return int(np.bitwise_count(bitmap).sum(dtype=np.uint32))


def _count_documents(snapshot: Snapshot, allowed: Bitmap) -> int:
    rows = _rows(allowed, snapshot.n_rows)
    return len(np.unique(snapshot.document_of_row[rows]))


def _both(alive: Bitmap | None, allowed: Bitmap | None) -> Bitmap | None:
    if alive is None or allowed is None:
        return allowed if alive is None else alive
    return alive & allowed


def _check(snapshot: Snapshot, query: Quantised, rows: Rows, scores: Scores) -> None:
    """Whatever the codes, a sum of cosines is near their number; only damage leads beyond it."""
    bad = np.flatnonzero(~(np.abs(scores) <= _COSINE_MAX * len(query.scales)))
    if len(bad):
        raise snapshot.damage(int(rows[bad[0]]), "cosines", f"a score of {scores[bad[0]]}")


def _rows(bitmap: Bitmap | None, n_rows: int) -> Rows:
    """The rows of a bitmap over at least so many."""
    if bitmap is None:
        return np.arange(n_rows, dtype=np.uint32)
    if int(np.count_nonzero(bitmap)) * 8 < len(bitmap):  # thin: most of its bytes are zero
        full = np.flatnonzero(bitmap)
        at, bit = np.nonzero(np.unpackbits(bitmap[full, None], axis=1, bitorder="little"))
        rows = full[at] * 8 + bit
        return rows[rows < n_rows].astype(np.uint32)
    return np.flatnonzero(np.unpackbits(bitmap, count=n_rows, bitorder="little")).astype(np.uint32)


def _head(bitmap: Bitmap | None, n_rows: int) -> Bitmap | None:
    """The part of a bitmap that covers the first rows; bits beyond them do not matter."""
    return None if bitmap is None else bitmap[: -(-n_rows // 8)]


class _Watch:
    """Adds up microseconds by stage, and counts what each handed on."""

    def __init__(self, snapshot: Snapshot, observe: Observe | None) -> None:
        self.profile: dict[str, float] = {}
        self._snapshot, self._observe = snapshot, observe
        self._last = perf_counter()

    def __call__(
        self, stage: str, rows: Rows | None = None, *, n: int = 0, reads_tokens: bool = False
    ) -> None:
        profile, taken = self.profile, (perf_counter() - self._last) * 1e6
        profile[f"{stage}_us"] = profile.get(f"{stage}_us", 0.0) + taken
        profile[f"{stage}_n"] = n if rows is None else len(rows)
        if rows is not None and reads_tokens:
            n_tokens = self._snapshot.n_tokens_of(rows)
            profile[f"{stage}_tokens"] = profile.get(f"{stage}_tokens", 0) + n_tokens
        if rows is not None and self._observe is not None:
            self._observe(stage, rows)
        self._last = perf_counter()

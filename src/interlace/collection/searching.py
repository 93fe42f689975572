"""The three ways to search: by tokens, by words, and by both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from interlace import store
from interlace.collection.fusion import (
    DEPTH,
    Scores,
    Span,
    fused,
    span_of_late,
    span_of_words,
)
from interlace.collection.model import check_queries
from interlace.errors import InputError, SettingsError
from interlace.text import asked_words
from interlace.types import FloatMatrix, Hit, Hits

Mode: TypeAlias = Literal["late", "lexical", "hybrid"]

MODES: Final = ("late", "lexical", "hybrid")

DEFAULT: Final[Mode] = "hybrid"
"""Where there is a text; measured: docs/explanation/hybrid.md."""


NO_TEXT: Final = "The query is embeddings without a text, so it was searched by tokens alone."
NO_WORDS: Final = "The query has no word, so nothing was searched."


class Query(NamedTuple):
    """What is asked.

    Attributes
    ----------
    matrix : (q_tokens, dim) float32, or None
        None where only words count.
    text : str or None
        None where only embeddings came.
    notes : tuple of str
        What its user should know.
    encode_us : float or None
        What encoding it took; None where it came encoded, or needs no encoding.
    """

    matrix: FloatMatrix | None
    text: str | None
    notes: tuple[str, ...] = ()
    encode_us: float | None = None


class _Ranked(NamedTuple):
    """What was found, best first: rows, what orders them, and both scores where computed."""

    rows: store.Rows
    scores: Scores
    late: Scores | None
    lexical: Scores | None
    proven: bool
    profile: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """How to search: the words of ``Collection.search``.

    Attributes
    ----------
    k : int
    mode : "late", "lexical" or "hybrid"
    effort : str, Effort or None
    by : str
    allowed : bitmap over rows, or None
    n_threads : int
    """

    k: int
    mode: Mode
    effort: str | store.Effort | None
    by: str
    allowed: npt.NDArray[np.uint8] | None
    n_threads: int

    def hits(self, snapshot: store.Snapshot, query: Query) -> Hits:
        """What a snapshot has for a query.

        A search without a text is one by tokens, whatever its mode.
        """
        if query.text is None or self.mode == "late":
            ranked = self._late(snapshot, query)
        elif self.mode == "lexical":
            ranked = self._lexical(snapshot, query.text)
        else:
            ranked = self._hybrid(snapshot, query)
        return _hits(snapshot, query, ranked)

    def _late(self, snapshot: store.Snapshot, query: Query) -> _Ranked:
        found = self._found(snapshot, query, self.k, self.by)
        scores = found.scores
        return _Ranked(found.rows, scores, scores, None, found.proven, dict(found.profile))

    def _lexical(self, snapshot: store.Snapshot, text: str) -> _Ranked:
        start = perf_counter()
        words = snapshot.lexical(asked_words(text))
        rows, scores = store.matching(snapshot, words, self.k, by=self.by, allowed=self.allowed)
        profile = {"words_us": _since(start), "words_n": len(rows)}
        return _Ranked(rows, scores, None, scores, words.is_whole, profile)

    def _hybrid(self, snapshot: store.Snapshot, query: Query) -> _Ranked:
        """Fuse the best passages of both kinds.

        Where those are of fewer than ``k`` documents, the next best by tokens follow.
        """
        assert query.text is not None
        assert query.matrix is not None
        depth = max(DEPTH, self.k)
        found = self._found(snapshot, query, depth, "passage")
        start = perf_counter()
        words = snapshot.lexical(asked_words(query.text))
        matching, head = store.matching(snapshot, words, DEPTH, by="passage", allowed=self.allowed)
        spans = span_of_late(found.scores[:DEPTH]), span_of_words(head, words.most)
        profile = {**found.profile, "words_us": _since(start), "words_n": len(matching)}
        start = perf_counter()
        extra = np.setdiff1d(matching, found.rows)
        rows = np.concatenate([found.rows, extra])
        of_extra = store.score(snapshot, query.matrix, extra, self.n_threads)
        late = np.concatenate([found.scores, of_extra])
        ranked = self._fused(snapshot, rows, late, words.of(rows), spans)
        if self.by == "document" and len(ranked.rows) < self.k and len(found.rows) == depth:
            again = perf_counter()
            found = self._found(snapshot, query, self.k, "document")
            start += perf_counter() - again
            for name, n in found.profile.items():
                profile[name] = profile.get(name, 0) + n
            is_new = ~np.isin(found.rows, rows)
            rows = np.concatenate([rows, found.rows[is_new]])
            late = np.concatenate([late, found.scores[is_new]])
            ranked = self._fused(snapshot, rows, late, words.of(rows), spans)
        profile |= {"fuse_us": _since(start), "fuse_n": len(rows)}
        proven = found.proven and words.is_whole
        return ranked._replace(proven=proven, profile=profile)

    def _found(self, snapshot: store.Snapshot, query: Query, k: int, by: str) -> store.Found:
        assert query.matrix is not None
        return store.search(
            snapshot,
            query.matrix,
            k,
            effort=self.effort,
            by=by,
            allowed=self.allowed,
            n_threads=self.n_threads,
        )

    def _fused(
        self,
        snapshot: store.Snapshot,
        rows: store.Rows,
        late: Scores,
        lexical: Scores,
        spans: tuple[Span, Span],
    ) -> _Ranked:
        """The best of some rows by both scores; equal ones by tokens, then in insertion order."""
        scores = fused(late, lexical, spans)
        best = np.lexsort((snapshot.passage_of_row[rows], -late, -scores))
        if self.by == "document":
            _, first = np.unique(snapshot.document_of_row[rows[best]], return_index=True)
            best = best[np.sort(first)]
        best = best[: self.k]
        return _Ranked(rows[best], scores[best], late[best], lexical[best], True, {})


def mode_for(mode: str | None, *, has_text: bool) -> Mode:
    """The mode that was asked for; without a word, the one that is best for what came.

    Raises
    ------
    SettingsError
        When there is no such mode.
    InputError
        When a lexical search has no text.
    """
    if mode is not None and mode not in MODES:
        raise SettingsError(f"mode is {mode!r}. Choose one of {', '.join(MODES)}.")
    if mode == "lexical" and not has_text:
        raise InputError(
            "a lexical search needs a query text: only embeddings came. "
            "Pass the text as well, or leave mode out."
        )
    if not has_text:
        return "late"
    found: Mode = next((one for one in MODES if one == mode), DEFAULT)
    return found


def word_queries(texts: Sequence[str]) -> list[Query]:
    """Queries of which only the words count: no model is needed."""
    check_queries(texts)
    notes = [() if asked_words(text) else (NO_WORDS,) for text in texts]
    return [Query(None, text, note) for text, note in zip(texts, notes, strict=True)]


def _since(start: float) -> float:
    """Microseconds."""
    return (perf_counter() - start) * 1e6


def _hits(snapshot: store.Snapshot, query: Query, ranked: _Ranked) -> Hits:
    start, n = perf_counter(), len(ranked.rows)
    q_tokens = 1 if query.matrix is None else max(1, len(query.matrix))
    nothing = [None] * n
    late = nothing if ranked.late is None else ranked.late.tolist()
    lexical = nothing if ranked.lexical is None else ranked.lexical.tolist()
    hits = tuple(
        Hit(
            id=passage.id,
            passage=passage.number,
            start=passage.start,
            end=passage.end,
            text=passage.text,
            score=score,
            mean_score=None if late_score is None else late_score / q_tokens,
            rank=rank,
            metadata=passage.metadata,
            file=passage.file,
            line=passage.line,
            page=passage.page,
            headings=passage.headings,
            late_score=late_score,
            lexical_score=lexical_score,
        )
        for rank, passage, score, late_score, lexical_score in zip(
            range(1, n + 1),
            snapshot.passages(ranked.rows.tolist()),
            ranked.scores.tolist(),
            late,
            lexical,
            strict=True,
        )
    )
    encoding = {} if query.encode_us is None else {"encode_us": query.encode_us}
    profile = {**encoding, **ranked.profile, "fetch_us": _since(start), "fetch_n": n}
    return Hits(hits, ranked.proven, profile, (*query.notes, *snapshot.notes))

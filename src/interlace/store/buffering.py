"""Matrices on their way into a segment: checked, made int8, and gathered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from interlace.errors import InputError
from interlace.kernels import Quantised
from interlace.store.folder import Folder
from interlace.store.parts import joined, with_ids
from interlace.store.segment import Numbers, Part
from interlace.store.settings import Settings
from interlace.types import Encoded, Id

_TOKENS_AT_ONCE = 1 << 13
"""Tokens quantised in one call: short passages together, a long one alone."""


class Matrices(NamedTuple):
    """A document's embeddings, checked, that wait to be made int8 with those of others."""

    rows: npt.NDArray[np.float32]
    token_ids: npt.NDArray[np.int32] | None


class Prepared(NamedTuple):
    """A document's embeddings as a fresh segment keeps them, before any lock is taken.

    Attributes
    ----------
    settings : Settings
        That they fit.
    lengths : (n_passages,) int64
        Tokens of each passage.
    tokens : mapping of name to (n_tokens, …) array
    """

    settings: Settings
    lengths: Numbers
    tokens: Mapping[str, npt.NDArray[Any]]


class Buffer:
    """Passages whose tokens are not in a file yet.

    Parameters
    ----------
    folder : Folder
        Its kernels make int8 of ``Matrices``, many short documents at once.
    """

    def __init__(self, folder: Folder) -> None:
        self.n_tokens = 0
        self._folder = folder
        self._parts: list[Part] = []
        self._waiting: list[tuple[int, int, Numbers, Matrices]] = []
        self._n_waiting = 0

    def add(
        self,
        document: int,
        first: int,
        lengths: Numbers,
        tokens: Mapping[str, npt.NDArray[Any]] | Matrices,
    ) -> None:
        """Take the passages of a document, numbered from ``first``."""
        self.n_tokens += int(lengths.sum())
        if isinstance(tokens, Matrices):
            self._waiting.append((document, first, lengths, tokens))
            self._n_waiting += len(tokens.rows)
            if self._n_waiting >= _TOKENS_AT_ONCE:
                self._quantise()
            return
        self._quantise()
        passages = np.arange(first, first + len(lengths), dtype=np.int64)
        self._parts.append(Part(passages, np.full_like(passages, document), lengths, tokens))

    def _quantise(self) -> None:
        waiting, self._waiting, self._n_waiting = self._waiting, [], 0
        if not waiting:
            return
        documents, firsts, lengths, matrices = zip(*waiting, strict=True)
        folder, counts = self._folder, [len(one) for one in lengths]
        rows = np.concatenate([one.rows for one in matrices])
        made = folder.kernels.quantise(rows, folder.signs, folder.n_threads)
        tokens: dict[str, npt.NDArray[Any]] = {"codes": made.codes, "scales": made.scales}
        token_ids = with_ids([(len(one.rows), one.token_ids) for one in matrices])
        if token_ids is not None:
            tokens["token_ids"] = token_ids
        ends = np.cumsum(counts)
        passages = np.arange(ends[-1]) + np.repeat(np.array(firsts) - (ends - counts), counts)
        part = Part(
            passages.astype(np.int64),
            np.repeat(np.array(documents, np.int64), counts),
            np.concatenate(lengths),
            tokens,
        )
        self._parts.append(part)

    def take(self) -> Part | None:
        """All of it, as one part; the buffer is empty then."""
        self._quantise()
        parts, self._parts, self.n_tokens = self._parts, [], 0
        return joined(parts) if parts else None


def quantised(
    folder: Folder, id_: Id, encoded: Iterable[Encoded]
) -> tuple[Numbers, dict[str, npt.NDArray[Any]]]:
    """Lengths of a document's passages, and their token arrays.

    Raises
    ------
    InputError
        For a matrix that cannot be stored, naming document, passage and token.
    """
    lengths, tokens = gathered(folder, id_, encoded, at_once=True)
    assert not isinstance(tokens, Matrices)
    return lengths, tokens


def gathered(
    folder: Folder, id_: Id, encoded: Iterable[Encoded], *, at_once: bool = False
) -> tuple[Numbers, dict[str, npt.NDArray[Any]] | Matrices]:
    """The same, but a short document's tokens as they are: a ``Buffer`` makes many int8 at once."""
    dim = folder.settings.dim
    lengths: list[int] = []
    typed: list[tuple[int, npt.NDArray[np.int32] | None]] = []
    found: list[Quantised] = []
    waiting: list[npt.NDArray[np.float32]] = []
    n_waiting = 0
    for number, one in enumerate(encoded):
        n = len(one.matrix)
        if one.matrix.ndim != 2 or one.matrix.shape[1] != dim:
            raise InputError(
                f"embeddings have shape {one.matrix.shape}: document {id_!r}, passage "
                f"{number}. This collection takes (n_tokens, {dim})."
            )
        if one.token_ids is not None and len(one.token_ids) != n:
            raise InputError(
                f"{len(one.token_ids)} token ids for {n} embeddings: document "
                f"{id_!r}, passage {number}. Give one a row."
            )
        ids = None if one.token_ids is None else np.array(one.token_ids, np.int32)
        typed.append((n, ids))
        lengths.append(n)
        waiting.append(one.matrix)
        n_waiting += n
        if n_waiting >= _TOKENS_AT_ONCE:
            found.append(_quantise(folder, id_, number, waiting))
            waiting, n_waiting = [], 0
    if waiting and not found and not at_once:
        rows = np.concatenate(waiting, dtype=np.float32)
        if _are_sound(rows):
            return np.array(lengths, np.int64), Matrices(rows, with_ids(typed))
    if n_waiting or not found:
        waiting = waiting or [np.empty((0, dim), np.float32)]
        found.append(_quantise(folder, id_, len(lengths) - 1, waiting))
    tokens: dict[str, npt.NDArray[Any]] = {
        "codes": np.concatenate([part.codes for part in found]),
        "scales": np.concatenate([part.scales for part in found]),
    }
    token_ids = with_ids(typed)
    if token_ids is not None:
        tokens["token_ids"] = token_ids
    return np.array(lengths, np.int64), tokens


def _quantise(
    folder: Folder, id_: Id, last: int, matrices: Sequence[npt.NDArray[np.float32]]
) -> Quantised:
    """Quantise the matrices of passages up to ``last``; one pass finds whether any is bad."""
    matrix = np.ascontiguousarray(np.concatenate(matrices), np.float32)
    suspect = not _are_sound(matrix)
    counts = [len(one) for one in matrices]
    if suspect:
        finite = np.asarray(np.isfinite(matrix).all(axis=1))
        _refuse_rows(id_, last, counts, finite, "has NaN or infinity")
    found: Quantised = folder.kernels.quantise(matrix, folder.signs, folder.n_threads)
    if suspect:
        _refuse_rows(id_, last, counts, found.scales > 0, "is zero")
    return found


def _are_sound(matrix: npt.NDArray[np.float32]) -> bool:
    """Whether every row certainly has a direction; those that are too long or short may."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", matrix, matrix)
    return not len(squares) or bool(squares.min() > 0 and squares.max() < np.inf)


def _refuse_rows(
    id_: Id, last: int, counts: Sequence[int], good: npt.NDArray[np.bool_], what: str
) -> None:
    """Refuse a bad row of the passages up to ``last``, which have so many rows each."""
    if good.all():
        return
    token = int(np.argmin(good))
    ends = np.cumsum(counts)
    at = int(np.searchsorted(ends, token, side="right"))
    passage, token = last + 1 - len(counts) + at, token - int(ends[at]) + counts[at]
    raise InputError(
        f"an embedding {what}: document {id_!r}, passage {passage}, token {token}. "
        "Encode it again or drop it."
    )

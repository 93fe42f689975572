"""Token pooling: the token embeddings of a passage made fewer, near ones into one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from interlace import store
from interlace.errors import Corrupt, SettingsError
from interlace.extras import need
from interlace.types import Encoded, FloatMatrix, IntArray

_FACTOR_MAX: Final = 6

#: Rows that are clustered at once: all pairs of them take some 60 MB. Longer passages go in pieces.
_AT_ONCE: Final = 2_048

#: A mean shorter than this is of rows that point against each other: it has no direction.
_LEAST: Final = 1e-6


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pooling:
    """How the token embeddings of a passage are made fewer before they are stored.

    Attributes
    ----------
    factor : int
        1 leaves them as they are; 2 to 6 make so many into one, on average.
    tokens_max : int or None
        At most so many are left of a passage, however long it is.
    protected : int
        The first so many stay as they are: 1 for the special token at the beginning.

    Source
    ------
    Token pooling, arXiv 2409.14683; clusters are those of sentence-transformers'
    ``HierarchicalTokenPooling`` and PyLate's ``pool_embeddings_hierarchical``.
    """

    factor: int = 1
    tokens_max: int | None = None
    protected: int = 1

    def __post_init__(self) -> None:
        if not _is_whole(self.factor) or not 1 <= self.factor <= _FACTOR_MAX:
            raise SettingsError(
                f"pool_factor is {self.factor!r}. Choose a whole number from 1, which pools "
                f"nothing, to {_FACTOR_MAX}."
            )
        if not _is_whole(self.protected) or self.protected < 0:
            raise SettingsError(
                f"protected_tokens is {self.protected!r}. It must be a whole number from 0."
            )
        if self.tokens_max is not None and (
            not _is_whole(self.tokens_max) or self.tokens_max <= self.protected
        ):
            raise SettingsError(
                f"pool_tokens is {self.tokens_max!r}. It must be a whole number above "
                f"protected_tokens, {self.protected}."
            )

    @property
    def is_on(self) -> bool:
        """Whether anything is pooled."""
        return self.factor > 1 or self.tokens_max is not None

    def groups(self, matrix: FloatMatrix) -> IntArray:
        """Which row of the pooled matrix each row goes into, in the order of their first ones.

        Parameters
        ----------
        matrix : (n_tokens, dim) float32
            Unit rows.

        Returns
        -------
        (n_tokens,) int32

        Raises
        ------
        MissingExtra
            When SciPy is not installed.
        """
        n_tokens = len(matrix)
        first = min(self.protected, n_tokens)
        n_rest = n_tokens - first
        n_groups = max(n_rest // self.factor, 1)
        if self.tokens_max is not None:
            n_groups = min(n_groups, self.tokens_max - self.protected)
        groups = np.arange(n_tokens, dtype=np.int32)
        if n_groups >= n_rest:
            return groups
        n_pieces = min(-(-n_rest // _AT_ONCE), n_groups)
        steps = np.arange(n_pieces + 1)
        ends = first + steps * n_rest // n_pieces
        shares = np.diff(steps * n_groups // n_pieces)
        for begin, end, share in zip(ends[:-1], ends[1:], shares, strict=True):
            labels = _clusters(matrix[begin:end], int(share))
            groups[begin:end] = first + labels
            first += int(labels.max()) + 1
        return groups

    def pooled(self, encoded: Encoded) -> Encoded:
        """A passage with a row for each group: the mean of its rows, of unit length.

        A pooled passage has neither token ids nor offsets, for its rows are no tokens. One of which
        nothing is pooled stays as it is.
        """
        matrix = encoded.matrix
        groups = self.groups(matrix)
        n_rows = int(groups.max(initial=-1)) + 1
        if n_rows == len(matrix):
            return encoded
        order = np.argsort(groups, kind="stable")
        begins = np.searchsorted(groups[order], np.arange(n_rows))
        rows = matrix[order].astype(np.float64)
        sums = np.add.reduceat(rows, begins, axis=0)
        means = sums / np.diff(begins, append=len(rows))[:, None]
        lengths = np.linalg.norm(means, axis=1)
        lost = lengths < _LEAST
        means[lost], lengths[lost] = rows[begins[lost]], 1
        return Encoded((means / lengths[:, None]).astype(np.float32), n_cut=encoded.n_cut)


#: All rows as they are.
NO_POOLING: Final = Pooling()


def pooling_of(settings: store.Settings) -> Pooling:
    """How a collection pools.

    Raises
    ------
    Corrupt
        When its settings tell nothing that can be.
    """
    try:
        return Pooling(**settings.pooling)
    except (TypeError, SettingsError) as error:
        raise Corrupt(
            "the catalog is damaged: its settings: expected how tokens are pooled, found: "
            f"{error} Restore a backup, or index the documents again."
        ) from error


def wanted_pooling(
    factor: int | None,
    tokens_max: int | None,
    protected: int | None,
    before: Pooling = NO_POOLING,
) -> Pooling:
    """What a user wants, where this machine can do it.

    Parameters
    ----------
    factor, tokens_max, protected
        None: not said. One of the first two without the other stands alone.
    before
        What holds where nothing is said.

    Raises
    ------
    SettingsError
        For a number out of range.
    MissingExtra
        When SciPy is needed, and not installed.
    """
    if factor is None and tokens_max is None:
        factor, tokens_max = before.factor, before.tokens_max
    pooling = Pooling(
        factor=1 if factor is None else factor,
        tokens_max=tokens_max,
        protected=before.protected if protected is None else protected,
    )
    if pooling.is_on:
        _hierarchy()
    return pooling


def _clusters(rows: FloatMatrix, n_clusters: int) -> npt.NDArray[np.int64]:
    """Ward's clusters on cosine distances, numbered by their first rows.

    Products are summed in float64 and rounded, so that it does not show in which order a machine
    sums them; not by BLAS, whose threads would get in the way of those that encode.
    """
    hierarchy = _hierarchy()
    squareform = need("scipy.spatial.distance", extra="pool").squareform
    wide = rows.astype(np.float64)
    cosines = np.einsum("id,jd->ij", wide, wide).astype(np.float32)
    distances = squareform(np.clip(1 - cosines, 0, 2), checks=False)
    tree = hierarchy.linkage(distances, method="ward")
    labels = hierarchy.fcluster(tree, n_clusters, criterion="maxclust")
    _, begins, numbered = np.unique(labels, return_index=True, return_inverse=True)
    renumbered: npt.NDArray[np.int64] = np.argsort(np.argsort(begins))[numbered]
    return renumbered


def _hierarchy() -> Any:
    return need("scipy.cluster.hierarchy", extra="pool")

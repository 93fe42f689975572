"""Token embeddings that a user brings: checked, and made unit rows of float32."""

from __future__ import annotations

from typing import Any

import numpy as np

from interlace.errors import InputError
from interlace.types import Encoded, FloatMatrix, IntArray

#: Rows this short, or as long as its inverse, lose precision when they are squared in float32.
_LEAST = np.float32(1e-15)


def matrix_from(value: Any, dim: int | None, where: str) -> FloatMatrix:
    """Return token embeddings as a ``(n_tokens, dim)`` float32 matrix of unit rows.

    Parameters
    ----------
    value
        Any array of two axes: NumPy, torch on any device, nested lists.
    dim
        The width it must have; None accepts any.
    where
        What it belongs to, for messages: ``"passage 'b17'"``.

    Raises
    ------
    InputError
        For another shape or width, NaN, infinity, or a row of zeros, naming the token.
    """
    matrix = _array(value, where)
    if matrix.ndim != 2:
        raise InputError(
            f"token embeddings need two axes (n_tokens, dim), not shape {matrix.shape}: {where}. "
            "Pass one matrix a text, unpooled."
        )
    if dim is not None and matrix.shape[1] != dim:
        raise InputError(
            f"embedding has {matrix.shape[1]} dims where {dim} are expected: {where}. "
            "Encode it with the collection's model, or create a collection with this dim."
        )
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.sqrt(np.einsum("ij,ij->i", matrix, matrix))
        if not len(norms) or (norms.min() > _LEAST and norms.max() < 1 / _LEAST):
            return np.ascontiguousarray(matrix / norms[:, None], np.float32)
    return _odd_matrix(matrix, where)


def _odd_matrix(matrix: FloatMatrix, where: str) -> FloatMatrix:
    """Make unit rows of what is out of the ordinary, or say what is wrong with it."""
    wide = matrix.astype(np.float64)
    norms = np.linalg.norm(wide, axis=1)
    for name, bad in (
        ("NaN", np.isnan(matrix).any(axis=1)),
        ("an infinite value", np.isinf(matrix).any(axis=1)),
        ("only zeros", norms == 0),
    ):
        if bad.any():
            token = int(np.flatnonzero(bad)[0])
            raise InputError(
                f"embedding has {name}: {where}, token {token}. Encode it again or drop it."
            )
    return np.ascontiguousarray(wide / norms[:, None], np.float32)


def encoded_from(value: Any, token_ids: Any, dim: int, where: str) -> Encoded:
    """Return a user's matrix and token ids as what a model would have made of the text."""
    matrix = matrix_from(value, dim, where)
    if token_ids is None:
        return Encoded(matrix)
    ids = np.asarray(token_ids)
    if ids.shape != (len(matrix),) or (ids.size and ids.dtype.kind not in "iu"):
        raise InputError(
            f"token_ids must be {len(matrix)} integers, one a row of the embedding, "
            f"not {ids.dtype} of shape {ids.shape}: {where}. Pass the tokenizer's input ids."
        )
    if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < 2**31:
        raise InputError(
            f"token id out of range: {where}. Ids are 0 to {2**31 - 1}; drop padding tokens."
        )
    kept: IntArray = ids.astype(np.int32)
    return Encoded(matrix, kept)


def _array(value: Any, where: str) -> Any:
    if hasattr(value, "detach"):  # a torch tensor, on whatever device and in whatever precision
        value = value.detach().float().cpu()
    try:
        array = np.asarray(value)
        if array.dtype == np.float32:
            return array
        if array.dtype.kind == "c":
            raise TypeError("its numbers are complex")
        with np.errstate(over="ignore"):  # infinity is refused by name
            return array.astype(np.float32, copy=False)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"token embeddings must be a matrix of numbers ({error}): {where}. "
            "Pass an array of shape (n_tokens, dim)."
        ) from None

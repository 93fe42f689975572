"""PLAID's compression, which Stanford ColBERT and fast-plaid share, undone a piece at a time.

A token embedding is the number of a centroid, and for each dimension the number of a bucket, in 1,
2, 4 or 8 bits, whose weight is added to it (ColBERTv2, arXiv 2112.01488, section 3.3); the sum is
made unit length.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from interlace.collection import AddReport, Collection, Inside, OnConflict
from interlace.errors import InputError
from interlace.integrations.indexes.arrays import Stored, read_json, refuse
from interlace.integrations.indexes.texts import Texts, passages
from interlace.progress import Progress, silent
from interlace.types import FloatMatrix, Id

#: Tokens that are decoded at once: 32 MiB at 128 dims, besides the documents that are being added.
_TOKENS_AT_ONCE: Final = 65_536

#: The weights' number says the bits.
_BITS: Final = {2: 1, 4: 2, 16: 4, 256: 8}

_LENGTH_MAX: Final = 2**31 - 1

#: At one bit the own model reaches .94 and more, with another text .62 at most, another model .41.
_ALIKE_MIN: Final = 0.75

#: What comes after the last metadata.
_NOTHING: Final[tuple[float, dict[str, Any]]] = inf, {}


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of an index.

    Attributes
    ----------
    lengths : (n_documents,) int32
        Tokens of each document.
    codes : Stored
        ``(n_tokens,)``: which centroid.
    residuals : Stored
        ``(n_tokens, dim * bits / 8)``: which buckets, packed.
    """

    lengths: npt.NDArray[np.int32]
    codes: Stored
    residuals: Stored


def lengths(path: Path) -> npt.NDArray[np.int32]:
    """How many tokens each document of a chunk has, as ``doclens.N.json`` says.

    Raises
    ------
    InputError
        When it is anything else than a list of whole numbers.
    """
    values = read_json(path)
    if not isinstance(values, list) or not all(
        type(value) is int and 0 <= value <= _LENGTH_MAX for value in values
    ):
        refuse(path, "a file of the index is no list of documents' lengths")
    return np.array(values, np.int32)


def described(path: Path) -> tuple[dict[str, Any], int]:
    """What ``metadata.json`` says of an index, and of how many chunks it is.

    Raises
    ------
    InputError
        When it says neither.
    """
    said = read_json(path)
    n_chunks = said.get("num_chunks") if isinstance(said, dict) else None
    if type(n_chunks) is not int or n_chunks < 0:
        refuse(path, f"num_chunks must be a whole number, not {n_chunks!r:.40}")
    return said, n_chunks


@dataclass(frozen=True, slots=True)
class Codec:
    """What codes stand for.

    Attributes
    ----------
    centroids : (n_centroids, dim) float16 or float32
    weights : (256, 8 / bits) float32
        For each byte of a residual what is added to so many dimensions.
    """

    centroids: npt.NDArray[Any]
    weights: npt.NDArray[np.float32]

    @property
    def dim(self) -> int:
        """Width of the embeddings."""
        return int(self.centroids.shape[1])

    @property
    def bits(self) -> int:
        """What a dimension takes."""
        return 8 // int(self.weights.shape[1])

    @classmethod
    def of(cls, centroids: Stored, weights: Stored) -> Codec:
        """Read centroids and the weights of the buckets.

        Raises
        ------
        InputError
            For shapes that no index has, and numbers that are not finite.
        """
        if len(centroids.shape) != 2 or not all(centroids.shape):
            refuse(centroids.path, f"centroids need two axes, not shape {centroids.shape}")
        bits = _BITS.get(weights.shape[0]) if len(weights.shape) == 1 else None
        if bits is None:
            refuse(weights.path, f"there must be 2, 4, 16 or 256 weights, not {weights.shape}")
        centroid_rows, bucket_weights = centroids.read(), weights.read().astype(np.float32)
        for stored, values in ((centroids, centroid_rows), (weights, bucket_weights)):
            if stored.dtype.kind != "f" or not np.isfinite(values).all():
                refuse(stored.path, "a file of the index has numbers that are not finite")
        # A bucket's number stands in its bits with the lowest first, in the highest bits of a byte.
        by_bit = np.unpackbits(np.arange(256, dtype=np.uint8)).reshape(256, 8 // bits, bits)
        return cls(centroid_rows, bucket_weights[by_bit @ (1 << np.arange(bits))])

    def check(self, chunk: Chunk) -> None:
        """Refuse a chunk that is not of this codec, by its shapes.

        Raises
        ------
        InputError
            Naming the file.
        """
        n_tokens, width = int(chunk.lengths.sum(dtype=np.int64)), self.dim * self.bits / 8
        for stored, shape, kinds in (
            (chunk.codes, (n_tokens,), "i"),
            (chunk.residuals, (n_tokens, width), "u"),
        ):
            if stored.shape != shape or stored.dtype.kind not in kinds:
                refuse(
                    stored.path,
                    f"a file of the index has {stored.dtype} of shape {stored.shape} where its "
                    f"documents' lengths and {self.bits} bits of {self.dim} dims want "
                    f"({', '.join(f'{n:g}' for n in shape)})",
                )

    def decode(self, codes: Stored, residuals: Stored) -> FloatMatrix:
        """Undo the compression.

        Returns
        -------
        (n_tokens, dim) float32
            Unit rows.

        Raises
        ------
        InputError
            For a code without a centroid.
        """
        numbers = codes.read()
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(self.centroids):
            refuse(codes.path, f"a code is not that of one of {len(self.centroids):,} centroids")
        matrix: FloatMatrix = self.centroids[numbers].astype(np.float32)
        with np.errstate(all="ignore"):  # a row that has no length is refused by name
            matrix += self.weights[residuals.read()].reshape(matrix.shape)
            matrix /= np.sqrt(np.einsum("ij,ij->i", matrix, matrix))[:, None]
        return matrix


class Index:
    """An index of another tool, as far as a collection takes it; made by ``open_index``.

    Passages without a token, which is what deleted ones are there, are left out.

    Attributes
    ----------
    path : Path
    format : str
        ``"stanford"``, ``"fast-plaid"`` or ``"pylate"``.
    dim, bits : int
        Width of the embeddings, and what each dimension took.
    n_documents, n_tokens : int
    model : str or None
        The checkpoint that it was made with, if it says so.
    ids : sequence of int or str
        Of all passages, also of deleted ones: their numbers, or the names that PyLate keeps.
    metadata : callable
        Iterates over a passage's place in ``ids`` and its metadata, in order.
    """

    def __init__(
        self,
        path: Path,
        format: str,  # noqa: A002
        codec: Codec,
        chunks: Sequence[Chunk],
        *,
        model: str | None = None,
        ids: Sequence[Id] | None = None,
        metadata: Callable[[], Iterator[tuple[float, dict[str, Any]]]] = lambda: iter(()),
    ) -> None:
        for chunk in chunks:
            codec.check(chunk)
        n_positions = sum(len(chunk.lengths) for chunk in chunks)
        if ids is not None and len(ids) != n_positions:
            refuse(path, f"{len(ids):,} ids for {n_positions:,} passages")
        self.path, self.format, self.model = path, format, model
        self.dim, self.bits = codec.dim, codec.bits
        self.n_documents = sum(int(np.count_nonzero(chunk.lengths)) for chunk in chunks)
        self.n_tokens = sum(len(chunk.codes) for chunk in chunks)
        self.ids: Sequence[Id] = range(n_positions) if ids is None else ids
        self.metadata = metadata
        self._codec, self._chunks = codec, chunks

    def matrices(self) -> Iterator[tuple[Id, FloatMatrix]]:
        """Each passage's id and ``(n_tokens, dim)`` float32 matrix, in the order of the index.

        Raises
        ------
        InputError
            For a code that stands for nothing, naming the file.
        """
        for id_, matrix in zip(self.ids, self._decoded(), strict=True):
            if len(matrix):
                yield id_, matrix

    def into(
        self,
        collection: Collection,
        *,
        texts: Texts = None,
        on_conflict: OnConflict = "replace",
        progress: Progress = silent,
    ) -> AddReport:
        """Add every passage as a document, with the metadata that the index has.

        Parameters
        ----------
        collection
            Of the same ``dim``; one with a model must have that which the index was made with.
        texts
            Mapping by id; or an iterable in the order of the index, deleted passages included; or a
            file: ``.tsv`` as ColBERT reads it (number or id, passage and, if wanted, title), or
            ``.json`` with a list. Without it documents have no text.
        on_conflict, progress
            As for ``Collection.add``.

        Returns
        -------
        AddReport

        Raises
        ------
        InputError
            For texts that do not fit the index, for files that are damaged, and for a model that
            makes something else of the first text; what went in before stays, and
            ``error.committed`` says how much.
        """
        dim = collection.info()["dim"]
        if dim != self.dim:
            raise InputError(
                f"the index has embeddings of {self.dim} dims, the collection of {dim}: "
                f"{self.path}. Make a new collection of it, with its own model or none."
            )
        inside = Inside(collection)
        records = _Records(self, texts, inside if inside.has_model else None)
        return collection.add(
            records, embeddings=records.matrices(), on_conflict=on_conflict, progress=progress
        )

    def _decoded(self) -> Iterator[FloatMatrix]:
        """The matrix of every passage, also of those without tokens."""
        for chunk in self._chunks:
            ends = np.cumsum(chunk.lengths, dtype=np.int64)
            at = begin = 0
            while at < len(ends):
                stop = max(at + 1, int(np.searchsorted(ends, begin + _TOKENS_AT_ONCE, "right")))
                end = int(ends[stop - 1])
                rows = self._codec.decode(
                    chunk.codes.rows(begin, end), chunk.residuals.rows(begin, end)
                )
                yield from np.split(rows, ends[at : stop - 1] - begin)
                at, begin = stop, end


class _Records:
    """The documents of an index for ``add``, which takes a record and then its matrix."""

    def __init__(self, index: Index, texts: Texts, inside: Inside | None) -> None:
        self._index, self._texts, self._unasked = index, texts, inside
        self._waiting: deque[FloatMatrix] = deque()

    def __len__(self) -> int:
        return self._index.n_documents

    def __iter__(self) -> Iterator[dict[str, Any]]:
        index = self._index
        texts = passages(self._texts, index.ids)
        told = index.metadata()
        number, metadata = next(told, _NOTHING)
        for position, matrix in enumerate(index._decoded()):
            text = next(texts)
            while number < position:
                number, metadata = next(told, _NOTHING)
            if not len(matrix):
                continue
            id_ = index.ids[position]
            if text is None:
                raise InputError(f"no text of passage {id_!r}: texts. Give that of every passage.")
            if text and self._unasked is not None:
                self._ask(self._unasked, text, matrix)
                self._unasked = None
            self._waiting.append(matrix)
            yield {"id": id_, "text": text, "metadata": metadata if number == position else {}}
        next(texts, None)  # it refuses texts that go on

    def _ask(self, inside: Inside, text: str, matrix: FloatMatrix) -> None:
        """Refuse a model of the same width that is another one: every search would be in vain."""
        (made,) = inside.passages([text])
        alike = float((matrix @ made.T).max(axis=1).mean()) if len(made) else 0.0
        if alike < _ALIKE_MIN:
            raise InputError(
                f"the model makes something else of the first text (mean cosine {alike:.2f}) than "
                f"the index has: {self._index.path}. Give the model and the texts that made it, "
                "or no model."
            )

    def matrices(self) -> Iterator[FloatMatrix]:
        """The matrix of each record that was taken."""
        while self._waiting:
            yield self._waiting.popleft()

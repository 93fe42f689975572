"""A collection as rooms above measure it: rows and matrices, which its own face does not show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from interlace import store
from interlace.collection.collection import Collection
from interlace.models import Encoder
from interlace.types import FloatMatrix


class Inside:
    """What is inside a collection.

    Attributes
    ----------
    snapshot : Snapshot
        The commit that was the newest, or the one that is read, when this was made.
    has_model : bool
        Whether the collection can encode.
    """

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self.snapshot = collection._snapshot()
        self.has_model = self.snapshot.settings.model is not None

    def encoder(self) -> Encoder:
        """The model that the collection was made with, loaded by its name.

        Raises
        ------
        CollectionError
            When there is none, or it has no name to load it by.
        """
        return self._collection._models.at(self.snapshot.settings).encoder

    def queries(
        self, texts: Sequence[str] | None = None, embeddings: Iterable[Any] | None = None
    ) -> list[FloatMatrix]:
        """Each query's ``(q_tokens, dim)`` matrix; the errors are those of ``search_many``."""
        asked = self._collection._queries(self.snapshot, texts, embeddings, "late", "late")
        return [query.matrix for query in asked if query.matrix is not None]

    def passages(self, texts: Iterable[str]) -> Iterator[FloatMatrix]:
        """Each passage's ``(n_tokens, dim)`` matrix, encoded now."""
        model = self._collection._models.at(self.snapshot.settings)
        return (one.matrix for one in model.documents(texts))

    def tune(self, tuned: store.Tuned | None) -> None:
        """Keep knobs that were measured; None forgets them."""
        self._collection._store.tune(tuned)

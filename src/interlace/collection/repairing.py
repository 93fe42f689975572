"""Which stored passages a model can make again, and making them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, islice

from interlace.collection.batches import entry_of
from interlace.collection.model import Model
from interlace.store import LostDocument
from interlace.types import Document, Encoded


class Remaking:
    """The judgement and the work that ``Store.repair`` asks for.

    Parameters
    ----------
    model : Model
        Of the collection; loaded when the first passage is to be encoded.
    """

    def __init__(self, model: Model) -> None:
        self._model = model

    def can(self, document: LostDocument) -> bool:
        """Whether the model makes a document's passages of its text.

        Embeddings that came with a document are part of what its content hash is of.
        """
        if self._model.identity is None:
            return False
        of_text = entry_of(0, Document(document.text, document.id, {}, document.syntax))
        return of_text.content_hash == document.content_hash

    def encode(
        self, documents: Iterator[LostDocument]
    ) -> Iterator[tuple[LostDocument, Iterable[Encoded]]]:
        """The matrices of each document's passages, in one stream for all."""
        waiting: deque[LostDocument] = deque()

        def texts() -> Iterator[str]:
            for document in documents:
                waiting.append(document)
                yield from (document.text[start:end] for _, start, end in document.passages)

        stream = self._model.documents(texts())
        for first in stream:
            document = waiting.popleft()
            yield document, chain([first], islice(stream, len(document.passages) - 1))

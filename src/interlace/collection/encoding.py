"""Documents to passages and their matrices, in one stream."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from itertools import chain, islice

from interlace import text
from interlace.collection.model import Model
from interlace.types import Document, Encoded, Passage


def encode(
    documents: Iterable[Document], splitting: text.Splitting, model: Model
) -> Generator[tuple[list[Passage], Iterator[Encoded]]]:
    """Split and encode in one stream, so that the encoder's threads never wait.

    A document's matrices come as an iterator that must be read to its end before the next
    document: a long one never lies in memory whole.
    """
    waiting: deque[list[Passage]] = deque()

    def texts() -> Iterator[str]:
        for document in documents:
            waiting.append(text.split(document, splitting, model.spans))
            yield from (passage.text for passage in waiting[-1])

    with closing(model.documents(texts())) as stream:
        for first in stream:
            passages = waiting.popleft()
            yield passages, chain([first], islice(stream, len(passages) - 1))

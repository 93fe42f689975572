"""A seeded stream of passages whose topics drift, made as it is read and never stored as floats.

What makes late interaction's vectors what they are, in a few lines: a token's vector is near the
centre of its type (word types are Zipfian), moved by the topic, by the passage and by chance. A
topic has some words of its own. New topics come and old ones fade, so what is added later is not
what the codec was trained on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt

from interlace.types import Document, Encoded, Passage

Record = tuple[Document, str, list[Passage], list[Encoded]]
Floats = npt.NDArray[np.float32]

CHUNK = 1_000
"""Passages that are drawn together, each chunk from a generator of its own."""

N_TYPES = 30_000
TOPIC_LIFE = 2_000
"""A topic comes with every so many passages."""

N_TOPICS_ALIVE = 64
WORDS_OF_TOPIC = 200
TOKENS = (30, 60)
LANGUAGES = np.array(["en", "de", "fr", "es", "ja", "sw"])
LANGUAGE_SHARES = [0.60, 0.20, 0.10, 0.06, 0.03, 0.01]


def stream(n_passages: int, seed: int = 0, dim: int = 128, first: int = 0) -> Iterator[Record]:
    """Documents of one passage each, as ``store.Writer.add`` takes them.

    A document's metadata are ``topic`` (int), ``share`` (uniform in [0, 1), whatever the topic),
    ``language`` (one of six, the rarest 1%) and ``tags`` (up to three of a hundred).

    Parameters
    ----------
    n_passages, first : int
        How many, and the number of the first: a stream may be taken up again anywhere.
    """
    for chunk in range(first // CHUNK, -(-(first + n_passages) // CHUNK)):
        for number, record in enumerate(_records(chunk, seed, dim), chunk * CHUNK):
            if first <= number < first + n_passages:
                yield record


def queries(
    numbers: npt.NDArray[np.int64], seed: int = 0, dim: int = 128, n_tokens: int = 16
) -> list[Floats]:
    """For each of these passages a query that it answers: some of its tokens, said otherwise."""
    found: list[Floats] = []
    for number in numbers.tolist():
        rng = np.random.default_rng([seed, number, 1])
        matrix = _matrices(number // CHUNK, seed, dim)[2][number % CHUNK]
        rows = matrix[rng.integers(0, len(matrix), n_tokens)]
        found.append(_unit(rows + 0.9 * _noise(rng, rows.shape)))
    return found


def topics_of(numbers: npt.NDArray[np.int64], seed: int = 0) -> npt.NDArray[np.int64]:
    """The topic of each of these passages."""
    return np.array([_topics(n // CHUNK, seed)[n % CHUNK] for n in numbers.tolist()], np.int64)


def _records(chunk: int, seed: int, dim: int) -> Iterator[Record]:
    topics, types, matrices = _matrices(chunk, seed, dim)
    rng = np.random.default_rng([seed, chunk, 2])
    shares = rng.random(CHUNK)
    languages = rng.choice(LANGUAGES, CHUNK, p=LANGUAGE_SHARES)
    tags = rng.integers(0, 100, (CHUNK, 3))
    n_tags = rng.integers(0, 4, CHUNK)
    for i in range(CHUNK):
        number = chunk * CHUNK + i
        text = f"Passage {number}, of topic {topics[i]}."
        metadata = {
            "topic": int(topics[i]),
            "share": float(shares[i]),
            "language": str(languages[i]),
            "tags": [f"t{tag}" for tag in tags[i, : n_tags[i]].tolist()],
        }
        document = Document(text, number, metadata)
        passage = Passage(number, 0, 0, len(text), text)
        content_hash = hashlib.sha256(text.encode()).hexdigest()
        yield document, content_hash, [passage], [Encoded(matrices[i], types[i])]


def _topics(chunk: int, seed: int) -> npt.NDArray[np.int64]:
    """Most passages are of the newest topics; a few of any that ever was."""
    rng = np.random.default_rng([seed, chunk, 3])
    newest = N_TOPICS_ALIVE + (chunk * CHUNK + np.arange(CHUNK)) // TOPIC_LIFE
    age = np.minimum(rng.geometric(3 / N_TOPICS_ALIVE, CHUNK), newest)
    old = rng.integers(0, newest + 1)
    return np.where(rng.random(CHUNK) < 0.1, old, newest - age)


@lru_cache(maxsize=1)  # queries about one chunk come together
def _matrices(
    chunk: int, seed: int, dim: int
) -> tuple[npt.NDArray[np.int64], list[npt.NDArray[np.int32]], list[Floats]]:
    rng = np.random.default_rng([seed, chunk])
    topics = _topics(chunk, seed)
    lengths = rng.integers(TOKENS[0], TOKENS[1] + 1, CHUNK)
    n_tokens, ends = int(lengths.sum()), np.cumsum(lengths)
    owner = np.repeat(np.arange(CHUNK), lengths)
    common = (N_TYPES ** rng.random(n_tokens)).astype(np.int64) - 1  # density falls as 1 / rank
    words, directions = _topic_words(seed), _directions(seed, dim)
    topic = topics[owner]
    own = words[topic % len(words), (WORDS_OF_TOPIC ** rng.random(n_tokens)).astype(np.int64) - 1]
    types = np.where(rng.random(n_tokens) < 0.5, common, own).astype(np.int32)
    rows = _centres(seed, dim)[types]
    rows += 0.5 * directions[topic % len(directions)]
    rows += 0.4 * _unit(_noise(rng, (CHUNK, dim)))[owner]
    rows += 0.7 * _noise(rng, (n_tokens, dim))
    rows = _unit(rows)
    return topics, np.split(types, ends[:-1]), np.split(rows, ends[:-1])


@cache
def _centres(seed: int, dim: int) -> Floats:
    return _unit(_noise(np.random.default_rng([seed, 0, 4]), (N_TYPES, dim)))


@cache
def _directions(seed: int, dim: int) -> Floats:
    return _unit(_noise(np.random.default_rng([seed, 0, 5]), (1 << 14, dim)))


@cache
def _topic_words(seed: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng([seed, 0, 6]).integers(0, N_TYPES, (1 << 12, WORDS_OF_TOPIC))


def _noise(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Of length 1 on average, whatever the width."""
    return rng.standard_normal(shape, np.float32) / np.float32(np.sqrt(shape[-1]))


def _unit(rows: Floats) -> Floats:
    unit: Floats = rows / np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    return unit

"""Texts encoded once by `mini`, as float16 in build/embeddings/: what engines are compared on.

    python benchmarks/embedded.py

Every thousand texts are a file until all are there, so that it may be interrupted.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import debian
import numpy as np
import numpy.typing as npt

import interlace
from interlace.types import Encoded

FOLDER = Path(__file__).parents[1] / "build" / "embeddings"
CHUNK = 1_000
PRODUCTS_AT_ONCE = 1 << 27
"""Of tokens with query tokens: half a gigabyte."""


class Embedded(NamedTuple):
    """The tokens of some texts one after another.

    Attributes
    ----------
    matrix : (n_tokens, dim) float16, memory-mapped
    token_ids : (n_tokens,) int32
    offsets : (n_texts + 1,) int64
    """

    matrix: npt.NDArray[np.float16]
    token_ids: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]

    def head(self, n_texts: int) -> Embedded:
        """The first so many texts."""
        end = int(self.offsets[n_texts])
        return Embedded(self.matrix[:end], self.token_ids[:end], self.offsets[: n_texts + 1])

    def __iter__(self) -> Iterator[npt.NDArray[np.float32]]:  # type: ignore[override]
        for begin, end in zip(self.offsets[:-1].tolist(), self.offsets[1:].tolist(), strict=True):
            yield np.asarray(self.matrix[begin:end], np.float32)

    def encoded(self) -> Iterator[Encoded]:
        """Each text as a store takes it."""
        ends = self.offsets.tolist()
        for i, matrix in enumerate(self):
            yield Encoded(matrix, self.token_ids[ends[i] : ends[i + 1]])


def embedded(name: str, texts: Sequence[str], *, as_queries: bool = False) -> Embedded:
    """The tokens of texts, from the cache or encoded now on all threads."""
    encoder = interlace.Encoder.load("mini")
    encode = encoder.queries if as_queries else encoder.documents
    kind = "queries" if as_queries else "documents"
    folder = FOLDER / f"{name}-{encoder.fingerprint[:12]}" / kind
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "offsets.npy").exists():
        chunks = []
        for first in range(0, len(texts), CHUNK):
            path = folder / f"chunk-{first}.npz"
            if not path.exists():
                some = list(encode(texts[first : first + CHUNK]))
                np.savez(
                    path.with_suffix(".part.npz"),
                    matrix=np.concatenate([one.matrix for one in some]).astype(np.float16),
                    token_ids=np.concatenate([one.token_ids for one in some]).astype(np.int32),
                    lengths=[len(one.matrix) for one in some],
                )
                path.with_suffix(".part.npz").rename(path)
                print(f"{name}, {kind}: {first + len(some):,}", flush=True)
            chunks.append(path)
        _join(folder, chunks, encoder.dim)
    return Embedded(
        np.load(folder / "matrix.npy", mmap_mode="r"),
        np.load(folder / "token_ids.npy"),
        np.load(folder / "offsets.npy"),
    )


def enlarged(documents: Embedded, n_texts: int, seed: int = 0) -> Iterator[Encoded]:
    """A larger collection made of a real one, drawn as it is read and never stored as floats.

    First the texts themselves. Each later one is the first half of a text and the second half of
    another, drawn anew for each round through all. Its tokens keep their types, and each vector v
    is moved as vectors of its type differ: v + (u - w) / 4, of unit length again, where u and w are
    random tokens of that type. So types stay as frequent, and clusters as wide, as they were.
    """
    n = len(documents.offsets) - 1
    yield from documents.head(min(n, n_texts)).encoded()
    of_type = np.argsort(documents.token_ids, kind="stable")
    types, first = np.unique(documents.token_ids[of_type], return_index=True)
    count = np.diff(first, append=len(of_type))
    ends = documents.offsets
    for start in range(n, n_texts, CHUNK):
        random = np.random.default_rng((seed, start))
        order = np.random.default_rng((seed, start // n)).permutation(n)
        for i in range(start, min(n_texts, start + CHUNK)):
            one, other = i % n, order[i % n]
            at = np.concatenate(
                [
                    np.arange(ends[one], (ends[one] + ends[one + 1]) // 2),
                    np.arange((ends[other] + ends[other + 1]) // 2, ends[other + 1]),
                ]
            )
            kind = np.searchsorted(types, documents.token_ids[at])
            drawn = first[kind] + (random.random((2, len(at))) * count[kind]).astype(np.int64)
            u, w = documents.matrix[of_type[drawn]].astype(np.float32)
            moved = documents.matrix[at].astype(np.float32) + (u - w) / 4
            moved /= np.linalg.norm(moved, axis=1, keepdims=True)
            yield Encoded(moved, documents.token_ids[at])


def exact(
    documents: Embedded, queries: Sequence[npt.NDArray[np.float32]], name: str
) -> npt.NDArray[np.int64]:
    """The ten best texts of each query by float32 MaxSim, ``(n_queries, 10)`` int64."""
    path = FOLDER / f"{name}-exact.npy"
    if path.exists():
        return np.load(path)
    lanes = np.concatenate(queries)
    starts = np.append(0, np.cumsum([len(query) for query in queries])[:-1])
    n = len(documents.offsets) - 1
    at_once = max(1, PRODUCTS_AT_ONCE // len(lanes))
    scores = np.empty((len(queries), n), np.float32)
    first = 0
    while first < n:
        last = int(np.searchsorted(documents.offsets, documents.offsets[first] + at_once)) - 1
        last = min(n, max(first + 1, last))
        offsets = documents.offsets[first : last + 1]
        tokens = np.asarray(documents.matrix[offsets[0] : offsets[-1]], np.float32)
        full = np.flatnonzero(np.diff(offsets))
        best = np.full((last - first, len(lanes)), -1, np.float32)
        if len(full):
            begins = offsets[:-1][full] - offsets[0]
            best[full] = np.maximum.reduceat(tokens @ lanes.T, begins, axis=0)
        scores[:, first:last] = np.add.reduceat(best, starts, axis=1).T
        first = last
    found = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    np.save(path, found)
    return found


def _join(folder: Path, chunks: Sequence[Path], dim: int) -> None:
    """One array of all chunks, which go."""
    lengths = np.concatenate([np.load(path)["lengths"] for path in chunks])
    offsets = np.append(0, np.cumsum(lengths))
    shape = (int(offsets[-1]), dim)
    matrix = np.lib.format.open_memmap(folder / "matrix.npy", "w+", np.float16, shape)
    at = 0
    for path in chunks:
        some = np.load(path)["matrix"]
        matrix[at : at + len(some)] = some
        at += len(some)
    matrix.flush()
    np.save(folder / "token_ids.npy", np.concatenate([np.load(p)["token_ids"] for p in chunks]))
    np.save(folder / "offsets.npy", offsets)
    for path in chunks:
        path.unlink()


def debian_texts() -> tuple[list[str], list[str]]:
    """Passages and queries, as debian.py has written them."""
    return tuple(
        [json.loads(line)["text"] for line in (debian.FOLDER / name).open(encoding="utf-8")]
        for name in ("corpus.jsonl", "queries.jsonl")
    )


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    passages, queries = debian_texts()
    embedded("debian", queries, as_queries=True)
    print(f"{len(embedded('debian', passages).token_ids):,} tokens")


if __name__ == "__main__":
    main()

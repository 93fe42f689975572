"""Collections are made, opened, and restored from a backup."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any, Final

from interlace import store, text
from interlace.collection.arguments import check_bits, check_passage_tokens, check_query_cache
from interlace.collection.collection import Collection
from interlace.collection.model import is_name, speaker
from interlace.collection.pooling import wanted_pooling
from interlace.errors import SettingsError
from interlace.progress import Progress, silent

_REFRESH: Final = ("auto", "manual")

#: Some three hundred questions, or thirty that are as long as the model reads.
QUERY_CACHE_BYTES: Final = 4 * 2**20


def create(
    path: str | os.PathLike[str],
    model: Any = "mini",
    *,
    dim: int | None = None,
    bits: int = 4,
    seed: int = 0,
    passage_tokens: int | None = None,
    passage_overlap: int = 0,
    pool_factor: int = 1,
    pool_tokens: int | None = None,
    protected_tokens: int = 1,
    memory_bytes_max: int = 512 * 2**20,
    settle: str = "auto",
    refresh: str = "auto",
    lock_wait_seconds: float = 10.0,
    query_cache_bytes: int = QUERY_CACHE_BYTES,
    n_threads: int | None = None,
    device: str = "cpu",
) -> Collection:
    """Make an empty collection in a new folder.

    Parameters
    ----------
    path
        The folder, which must not exist, or be empty.
    model
        ``"mini"`` (built in), a model's folder or hub name, an ``Encoder``, any object with
        ``encode_query`` and ``encode_document`` (a ``MultiVectorEncoder``), with ``encode`` that
        takes ``is_query`` (PyLate's ``ColBERT``), a function from texts to matrices, or None:
        embeddings come from elsewhere.
    dim
        Width of the embeddings: needed with ``model=None``; of a model by name, one that it was
        trained to be cut to (Matryoshka), all of it by default.
    bits
        1, 2 or 4: what a coordinate takes once the collection is large enough to be compressed.
    seed
        Of everything random in compression: the same documents and seed give the same codes.
    passage_tokens
        Longer documents are cut into passages of at most so many tokens; by default as many as
        the model reads.
    passage_overlap
        How many tokens, at most, a passage shares with the one before it.
    pool_factor
        2 to 6: so many token embeddings of a passage become one, on average; also those that are
        passed as arrays. 1 keeps all. It wants the extra ``pool``.
    pool_tokens
        At most so many token embeddings are kept of a passage, however long it is.
    protected_tokens
        The first so many of a passage are never pooled: 1 for the special token there.
    memory_bytes_max
        Bounds what a write buffers, and what compressing and merging hold, whatever passes
        through; from 1 MiB.
    settle
        ``"auto"`` compresses when there is enough to compress; ``"manual"`` only in ``settle()``.
    refresh
        ``"auto"``: every read sees what any process has committed by then. ``"manual"``: only
        what this object has committed, or had when ``refresh()`` was last called.
    lock_wait_seconds
        How long a write waits for another writer before it raises ``Locked``.
    query_cache_bytes
        How much of encoded queries is kept in memory, so that one that comes again need not be
        encoded again; 0 keeps none. A model that is passed as an object, and could change, is
        always asked.
    n_threads
        For encoding, building and searching; by default one a core.
    device
        Where searches run: ``"cpu"``, or with the extra ``torch`` on ``"cuda"``, ``"cuda:1"``,
        ``"mps"``, with the extra ``mlx`` on ``"mlx"``, where codes stay from the first search on.
        Where the model runs is said with ``Encoder.load``.

    Raises
    ------
    SettingsError
        For a setting out of range, or a device that is not here, before anything is written.
    MissingExtra
        When the device wants the extra ``torch`` or ``mlx``, or pooling the extra ``pool``, and it
        is not installed.
    CollectionError
        When the folder holds something.
    CheckpointError
        When the model cannot be loaded.
    """
    _check_refresh(refresh)
    check_query_cache(query_cache_bytes)
    check_bits(bits)
    pooling = wanted_pooling(pool_factor, pool_tokens, protected_tokens)
    if model is None:
        if isinstance(dim, bool) or not isinstance(dim, int) or dim < 1:
            raise SettingsError(f"dim is {dim!r}. Without a model, give the embeddings' width.")
        given, identity = None, None
        splitting = text.Splitting(overlap=passage_overlap)
    else:
        given = speaker(model, n_threads, dim)
        identity = given.identity()
        if dim is not None and dim != given.dim:
            raise SettingsError(f"dim is {dim}, but the model's is {given.dim}. Leave dim out.")
        dim = given.dim
        tokens_max = check_passage_tokens(passage_tokens, given.tokens_max)
        splitting = text.Splitting(tokens_max=tokens_max, overlap=passage_overlap)
    settings = store.Settings(
        dim=dim,
        codec=f"residual{bits}",
        seed=seed,
        model=identity,
        passages=asdict(splitting),
        pooling=asdict(pooling),
        memory_bytes_max=memory_bytes_max,
    )
    opened = store.create(
        path,
        settings,
        settle=settle,
        lock_wait_seconds=lock_wait_seconds,
        n_threads=n_threads,
        device=device,
    )
    return Collection(
        opened,
        given,
        n_threads,
        refresh,
        query_cache_bytes=query_cache_bytes,
        insists=not is_name(model),
    )


def open(  # noqa: A001
    path: str | os.PathLike[str],
    model: Any = None,
    *,
    settle: str = "auto",
    refresh: str = "auto",
    damaged: str = "raise",
    lock_wait_seconds: float = 10.0,
    query_cache_bytes: int = QUERY_CACHE_BYTES,
    n_threads: int | None = None,
    device: str = "cpu",
) -> Collection:
    """Open a collection; no model is loaded before it is needed.

    Parameters
    ----------
    path
        The collection's folder.
    model
        The collection's model where its name alone does not load it: a folder, an ``Encoder``,
        or what was passed to ``create``.
    settle, refresh, lock_wait_seconds, query_cache_bytes, n_threads, device
        As for ``create``.
    damaged
        ``"raise"``: a damaged file raises ``Corrupt`` when it is met. ``"skip"``: searches go on
        without its passages, ``Hits.notes`` and ``info()`` say so, and ``repair`` makes it again.

    Raises
    ------
    NotACollection
        When there is none; the message names the command that makes one.
    FormatTooNew, FormatTooOld
        When another version of interlace wrote it.
    Corrupt
        When a file is gone or damaged at its head; with ``damaged="skip"`` only when it is the
        catalog.
    MissingExtra, SettingsError
        As for ``create``.
    """
    _check_refresh(refresh)
    check_query_cache(query_cache_bytes)
    opened = store.open(
        path,
        settle=settle,
        damaged=damaged,
        lock_wait_seconds=lock_wait_seconds,
        n_threads=n_threads,
        device=device,
    )
    try:
        given = None if model is None else speaker(model, n_threads)
        return Collection(opened, given, n_threads, refresh, query_cache_bytes=query_cache_bytes)
    except BaseException:
        opened.close()
        raise


def restore(
    backup: str | os.PathLike[str],
    path: str | os.PathLike[str],
    model: Any = None,
    *,
    progress: Progress = silent,
) -> Collection:
    """Copy a backup to a new folder, and open it.

    Every byte of the backup is compared with its checksum first. The backup stays as it is.

    Parameters
    ----------
    backup
        What ``Collection.backup`` made, or the folder of any collection.
    path
        A new or empty folder.
    model
        As for ``open``.
    progress
        Told ``("verify", files, of how many)``, then ``("copy", bytes, of how many)``.

    Raises
    ------
    Corrupt
        When a file of the backup is damaged; nothing is restored then.
    CollectionError
        When there is something at ``path``, or it cannot be written.
    """
    store.restore(backup, path, progress)
    return open(path, model)


def _check_refresh(refresh: object) -> None:
    if refresh not in _REFRESH:
        raise SettingsError(f"refresh is {refresh!r}. Choose one of {', '.join(_REFRESH)}.")

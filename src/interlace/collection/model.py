"""The model as a collection meets it: loaded when first needed, and checked to be the same one."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias, cast

import numpy as np

from interlace.collection.matrices import matrix_from
from interlace.collection.pooling import NO_POOLING, Pooling, pooling_of
from interlace.collection.remembering import Remembered
from interlace.errors import CheckpointError, CollectionError, InputError, ModelMismatch
from interlace.models import Encoder
from interlace.store import Settings
from interlace.text import checked
from interlace.types import Document, Encoded, FloatMatrix, IntArray

#: Encoded with every foreign model when a collection is made, and compared when it is used.
_PROBE: Final = "The quick brown fox jumps over the lazy dog."

#: Texts that a foreign model is given in one call.
_AT_ONCE: Final = 32

#: Another backend or precision of the same weights keeps the probe's cosines above this.
_SAME_COSINE: Final = 0.98


#: From texts to something that can be made a list of matrices.
Encode: TypeAlias = Callable[[list[str]], Any]


class Speaker(Protocol):
    """Whatever turns texts into matrices for a collection."""

    dim: int
    tokens_max: int | None
    is_constant: bool

    def identity(self) -> dict[str, Any]:
        """Return what tells this model from another, as JSON."""

    def is_model(self, identity: Mapping[str, Any]) -> bool:
        """Whether this is the model of that identity."""

    def running(self) -> dict[str, Any] | None:
        """Return what runs it, as JSON; None where that is not known."""

    def queries(self, texts: Iterable[str]) -> Iterator[Encoded]:
        """Encode queries."""

    def documents(self, texts: Iterable[str]) -> Iterator[Encoded]:
        """Encode passages."""

    def spans(self, text: str) -> IntArray:
        """Return where the tokens of a text are, special tokens left out."""

    def offsets(self, text: str) -> IntArray:
        """Return where the rows of a passage's matrix come from, ``(n_tokens, 2)``."""


def fingerprint(identity: Mapping[str, Any] | None, pooling: Pooling) -> str | None:
    """What tells a model's stored embeddings from others; None where there is no model."""
    if identity is None:
        return None
    if "fingerprint" in identity:
        known = str(identity["fingerprint"])
    else:  # one that was passed as an object: known by how it encodes a probe
        known = hashlib.sha256(json.dumps(dict(identity), sort_keys=True).encode()).hexdigest()
    if not pooling.is_on:
        return known
    return hashlib.sha256(f"{known} {json.dumps(asdict(pooling))}".encode()).hexdigest()


def _origin(identity: Mapping[str, Any]) -> Any:
    return identity.get("origin", identity.get("fingerprint"))


def speaker(model: Any, n_threads: int | None = None, dim: int | None = None) -> Speaker:
    """Wrap a model: a name or folder, an ``Encoder``, or any object that encodes.

    Such an object has ``encode_query`` and ``encode_document``, as sentence-transformers'
    ``MultiVectorEncoder``; or ``encode`` with ``is_query``, as PyLate's ``ColBERT``; or it is a
    function, for queries and documents alike, from a list of texts to a list of matrices.

    ``n_threads`` and ``dim`` are for a model that is loaded here; an ``Encoder`` keeps its own.

    Raises
    ------
    InputError
        For an object that is none of these.
    CheckpointError
        When a name or folder holds no model that can be loaded.
    SettingsError
        When that model cannot be cut to ``dim``.
    """
    if is_name(model):
        return Own(Encoder.load(model, n_threads=n_threads, dim=dim))
    if isinstance(model, Encoder):
        return Own(model)
    verbs = _verbs(model)
    if verbs is not None:
        return Foreign(model, *verbs)
    raise InputError(
        f"a model must be a name, a folder, an Encoder, a function, or have encode_query and "
        f"encode_document: got {type(model).__name__}. With embeddings of your own pass "
        "model=None and dim."
    )


def _verbs(model: Any) -> tuple[Encode, Encode] | None:
    """What encodes queries and what encodes documents."""
    encode = getattr(model, "encode", None)
    # PyLate's models inherit encode_query and encode_document, which take all for queries.
    if callable(encode) and "is_query" in _parameters(encode):
        return partial(encode, is_query=True), partial(encode, is_query=False)
    pair = tuple(getattr(model, verb, None) for verb in ("encode_query", "encode_document"))
    if all(map(callable, pair)):
        return cast("tuple[Encode, Encode]", pair)
    return (model, model) if callable(model) else None


def _parameters(function: Any) -> Mapping[str, Any]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):  # not written in Python
        return {}


class Own:
    """An ``Encoder``: it tells its tokens, so passages are cut to fit and hits are explained."""

    is_constant = True

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.dim = encoder.dim
        self.tokens_max: int | None = encoder.document_length
        self.queries = encoder.queries
        self.documents = encoder.documents
        self.spans = encoder.spans
        self.offsets = encoder.offsets

    def identity(self) -> dict[str, Any]:
        """Name, revision, fingerprint and lengths; the width when it is not the model's whole."""
        encoder = self.encoder
        return {
            **({} if encoder.dim == encoder.dims[-1] else {"dim": encoder.dim}),
            "name": encoder.name,
            "revision": encoder.revision,
            "fingerprint": encoder.fingerprint,
            "query_length": encoder.query_length,
            "document_length": encoder.document_length,
            **({} if encoder.origin == encoder.fingerprint else {"origin": encoder.origin}),
        }

    def is_model(self, identity: Mapping[str, Any]) -> bool:
        """Whether weights, tokenizer and settings are the same, but for how they are rounded.

        What was exported or rounded knows the fingerprint that it comes from.
        """
        mine = self.identity()
        return _origin(mine) == _origin(identity) and all(
            mine[name] == identity.get(name) for name in ("query_length", "document_length")
        )

    def running(self) -> dict[str, Any]:
        """Backend, precision, device and threads."""
        names = ("backend", "precision", "device", "n_threads")
        return {name: getattr(self.encoder, name) for name in names}


class Foreign:
    """Any object that encodes, known by how it encodes a probe."""

    tokens_max: int | None = None
    is_constant = False  # it may be trained on between two searches

    def __init__(self, model: Any, queries: Encode, documents: Encode) -> None:
        self._model = model
        self._queries, self._documents = queries, documents
        matrix = next(self.documents([_PROBE])).matrix
        self._probe = matrix.mean(axis=0) / np.linalg.norm(matrix.mean(axis=0))
        self.dim: int = matrix.shape[1]

    def identity(self) -> dict[str, Any]:
        """The class, and the direction of a probe text."""
        kind = type(self._model)
        return {
            "name": f"{kind.__module__}.{kind.__qualname__}",
            "probe": [round(x, 5) for x in self._probe.tolist()],
        }

    def is_model(self, identity: Mapping[str, Any]) -> bool:
        """Whether the probe text comes out as it did, up to the rounding of devices."""
        probe = np.array(identity.get("probe", ()), np.float32)
        return probe.shape == self._probe.shape and float(probe @ self._probe) > _SAME_COSINE

    def running(self) -> None:
        """Nothing: it is whoever made it that runs it."""

    def queries(self, texts: Iterable[str]) -> Iterator[Encoded]:
        """Encode queries, some at a time."""
        return self._encoded(texts, self._queries)

    def documents(self, texts: Iterable[str]) -> Iterator[Encoded]:
        """Encode passages, some at a time."""
        return self._encoded(texts, self._documents)

    def spans(self, text: str) -> IntArray:
        """Nothing: such a model's tokens are not known, and its passages not cut."""
        return np.empty((0, 2), np.int32)

    def offsets(self, text: str) -> IntArray:
        """Nothing, for the same reason."""
        return np.empty((0, 2), np.int32)

    def _encoded(self, texts: Iterable[str], encode: Encode) -> Iterator[Encoded]:
        rest = iter(texts)
        while some := list(islice(rest, _AT_ONCE)):
            matrices = list(encode(some))
            if len(matrices) != len(some):
                raise InputError(
                    f"the model made {len(matrices)} matrices of {len(some)} texts: "
                    f"{type(self._model).__name__}. It must return one a text, in order."
                )
            for text, matrix in zip(some, matrices, strict=True):
                yield Encoded(matrix_from(matrix, None, f"the text {text[:40]!r}"))


class Model:
    """The model of one collection; safe to use from many threads.

    Parameters
    ----------
    identity
        What the collection says of its model; None for one that is fed with embeddings.
    dim
        Width of the collection's embeddings.
    pooling
        How many of a passage's embeddings are left.
    given
        Models a user passed: the one that fits is used.
    insists
        Whether it is an error when none of those fits; else the one of that name is loaded then,
        on first use.
    n_threads
        For a model that is loaded here; by default one a core.
    query_cache_bytes
        How much of encoded queries is kept for when they come again.
    """

    def __init__(
        self,
        identity: Mapping[str, Any] | None,
        dim: int,
        pooling: Pooling = NO_POOLING,
        given: Sequence[Speaker] = (),
        *,
        insists: bool = False,
        n_threads: int | None = None,
        query_cache_bytes: int = 0,
    ) -> None:
        self.identity = identity
        self._n_threads = n_threads
        self.dim, self.pooling = dim, pooling
        self._given, self._insists = given, insists
        self._checked: Speaker | None = None
        self._form: tuple[str, ...] = ()
        self._last_query: tuple[str, Encoded] | None = None
        self._remembered = Remembered(query_cache_bytes)
        self._lock = threading.Lock()

    def queries(self, texts: Sequence[str]) -> list[tuple[FloatMatrix, tuple[str, ...]]]:
        """Encode queries: each one's ``(q_tokens, dim)`` matrix, and what its user should know."""
        encoded = self.encoded_queries(texts)
        return [
            (one.matrix, _notes(text, one) or self._form)
            for text, one in zip(texts, encoded, strict=True)
        ]

    def running(self, *, load: bool = False) -> dict[str, Any] | None:
        """What runs the model; None before it is loaded, and where nobody knows.

        With ``load`` it is loaded, unless it must be fetched from the hub for that.
        """
        if load:
            return self._speaker(local_files_only=True).running()
        return None if self._checked is None else self._checked.running()

    def encoded_queries(self, texts: Sequence[str]) -> list[Encoded]:
        """Encode queries, with token ids and offsets; a blank one has no tokens.

        One that was encoded lately is not run again, unless the model may have changed meanwhile.
        """
        check_queries(texts)
        found = [self._remembered.get(text) for text in texts]
        new = list(dict.fromkeys(t for t, one in zip(texts, found, strict=True) if one is None))
        stream = self._skipping_blanks(new, lambda full: self._speaker().queries(full))
        made = dict(zip(new, stream, strict=True))
        if self._checked is not None and self._checked.is_constant:
            for text, one in made.items():
                self._remembered.put(text, one)
        return [
            made[text] if known is None else known for text, known in zip(texts, found, strict=True)
        ]

    def documents(self, texts: Iterable[str]) -> Generator[Encoded]:
        """Encode a stream of passages, each ``(n_tokens, dim)``, pooled where the collection pools.

        A blank one has no tokens.
        """
        stream = self._tokens(texts)
        return self._pooled(stream) if self.pooling.is_on else stream

    def grouped(self, text: str) -> tuple[Encoded, IntArray]:
        """A passage before it is pooled, and into which row of it pooled each of its rows goes."""
        (tokens,) = self._tokens([text])
        return tokens, self.pooling.groups(tokens.matrix)

    def _tokens(self, texts: Iterable[str]) -> Generator[Encoded]:
        return self._skipping_blanks(texts, lambda full: self._speaker().documents(full))

    def _pooled(self, stream: Generator[Encoded]) -> Generator[Encoded]:
        with closing(stream):
            yield from map(self.pooling.pooled, stream)

    @property
    def encoder(self) -> Encoder:
        """The encoder itself, for a model that is known by its name."""
        speaker = self._speaker()
        assert isinstance(speaker, Own)
        return speaker.encoder

    @property
    def tokens_max(self) -> int | None:
        """How many tokens of a text it reads; None when it does not tell its tokens."""
        return self._speaker().tokens_max

    def spans(self, text: str) -> IntArray:
        """Where the tokens of a text are, special tokens left out."""
        return self._speaker().spans(text)

    def offsets(self, text: str) -> IntArray:
        """Where the rows of a passage's matrix come from: ``(n_tokens, 2)``, none if unknown."""
        return self._speaker().offsets(text) if text.strip() else np.empty((0, 2), np.int32)

    def explained_query(self, text: str) -> Encoded:
        """Encode a query; the same one again is not run again, for its hits are explained in turn.

        Not even where the model may have changed: a search would ask that one afresh.
        """
        last = self._last_query
        if last is None or last[0] != text:
            self._last_query = last = (text, self.encoded_queries([text])[0])
        return last[1]

    def _skipping_blanks(
        self, texts: Iterable[str], encode: Callable[[Iterator[str]], Iterator[Encoded]]
    ) -> Generator[Encoded]:
        blanks: deque[bool] = deque()
        nothing = Encoded(
            np.empty((0, self.dim), np.float32), np.empty(0, np.int32), np.empty((0, 2), np.int32)
        )

        def full() -> Iterator[str]:
            for text in texts:
                blanks.append(not text.strip())
                if not blanks[-1]:
                    yield text

        # The model may be loaded only when there is something to encode.
        rest = full()
        first = next(rest, None)
        if first is not None:
            for one in encode(chain([first], rest)):
                while blanks.popleft():
                    yield nothing
                yield one
        yield from (nothing for _ in blanks)

    def _speaker(self, *, local_files_only: bool = False) -> Speaker:
        with self._lock:
            if self._checked is None:
                found = self._load(local_files_only)
                self._form = _form(found.identity(), self.identity)
                self._checked = found
            return self._checked

    def _load(self, local_files_only: bool) -> Speaker:
        if self.identity is None:
            raise CollectionError(
                "the collection has no model: it holds embeddings made elsewhere. "
                "Pass embeddings=… to add, search and explain, or search by words: mode lexical."
            )
        name = self.identity["name"]
        found = next((one for one in self._given if one.is_model(self.identity)), None)
        if found is not None:
            return found
        if self._given and self._insists:
            found = self._given[0]
        else:
            if "fingerprint" not in self.identity:
                raise CollectionError(
                    f"the collection's model cannot be loaded by name: {name}. "
                    "Pass the object: interlace.open(path, model=…)."
                )
            found = _by_name(self.identity, self._n_threads, local_files_only=local_files_only)
        if not found.is_model(self.identity):
            raise ModelMismatch(
                f"the collection was made with other weights or settings: model {name!r}, "
                f"fingerprint {str(self.identity.get('fingerprint', 'unknown'))[:12]}, found "
                f"{found.identity()['name']!r}, {str(found.identity().get('fingerprint'))[:12]}. "
                "Open it with that model: interlace.open(path, model=…), or encode it with yours: "
                "interlace.open(path).rebuild(model)."
            )
        return found


class Models:
    """The model of an open collection, at whichever commit: a rebuild puts another in its place.

    Parameters
    ----------
    given
        The model a user passed, if any.
    insists
        Whether it is an error when that is not the collection's. A name given to make a collection
        is no more than a name: where somebody else rebuilds it, the other name is loaded.
    n_threads, query_cache_bytes
        For each model: as for ``Model``.
    """

    def __init__(
        self,
        given: Speaker | None,
        *,
        insists: bool,
        n_threads: int | None,
        query_cache_bytes: int,
    ) -> None:
        self._given = () if given is None else (given,)
        self._insists, self._n_threads = insists, n_threads
        self._query_cache_bytes = query_cache_bytes
        self._met: list[Model] = []
        self._lock = threading.Lock()

    def at(self, settings: Settings) -> Model:
        """The model of these settings, the same object for the same model."""
        asked = settings.model, settings.dim, pooling_of(settings)
        with self._lock:
            for model in self._met:
                if (model.identity, model.dim, model.pooling) == asked:
                    return model
            model = Model(
                *asked,
                self._given,
                insists=self._insists,
                n_threads=self._n_threads,
                query_cache_bytes=self._query_cache_bytes,
            )
            self._met = [model, *self._met[:1]]  # searches of the commit before may be under way
            return model

    def of_width(self, identity: Mapping[str, Any], dim: int | None) -> Speaker:
        """Load the model of an identity at another width."""
        return _by_name(identity, self._n_threads, dim)

    @contextmanager
    def offering(self, given: Speaker | None, *, insists: bool) -> Iterator[None]:
        """Know a model that the collection is about to get; when that fails, know it no more."""
        if given is None:
            yield
            return
        before, self._given = self._given, (given, *self._given)
        try:
            yield
        except BaseException:
            self._given = before
            raise
        self._given, self._insists = (given,), insists


def is_name(model: Any) -> bool:
    """Whether a model is given by the name or folder that it is loaded from."""
    return isinstance(model, str | os.PathLike)


def check_queries(texts: Sequence[str]) -> None:
    """Refuse what is no text, or none that can be encoded."""
    for i, text in enumerate(texts):
        checked(Document(text), f"query {i}")


def _by_name(
    identity: Mapping[str, Any],
    n_threads: int | None,
    dim: int | None = None,
    *,
    local_files_only: bool = False,
) -> Speaker:
    """Load what a collection was made with, or the same at another width.

    From the hub, the very revision.
    """
    name = identity["name"]
    is_hub_name = "/" in name and not Path(name).is_absolute()
    try:
        pinned = identity.get("revision") if is_hub_name else None
        width = identity.get("dim") if dim is None else dim
        encoder = Encoder.load(
            name,
            revision=pinned,
            dim=width,
            n_threads=n_threads,
            local_files_only=local_files_only,
        )
        return Own(encoder)
    except CheckpointError as error:
        raise CheckpointError(
            f"the collection's model cannot be loaded: {error} "
            "Or pass the model: interlace.open(path, model=…)."
        ) from error


def _form(mine: Mapping[str, Any], identity: Mapping[str, Any] | None) -> tuple[str, ...]:
    """A note where these are not the very weights that the collection was made with."""
    if identity is None or mine.get("fingerprint") == identity.get("fingerprint"):
        return ()
    return (
        "The collection was made with another form of this model, exported or rounded in another "
        "way: scores differ a little.",
    )


def _notes(text: str, encoded: Encoded) -> tuple[str, ...]:
    if not text.strip():
        return ("The query is empty, so nothing was searched.",)
    if not len(encoded.matrix):
        return ("The query has no token that the model keeps, so nothing was searched.",)
    if encoded.n_cut:
        assert encoded.offsets is not None
        n = encoded.n_cut + int((encoded.offsets[:, 1] > 0).sum())  # markers are not the query's
        return (f"The query was cut: its last {encoded.n_cut} of {n} tokens were not read.",)
    return ()

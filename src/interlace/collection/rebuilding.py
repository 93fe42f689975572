"""A collection encoded anew: with another model, other bits, other passages, other embeddings."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import asdict, replace
from typing import Any, Final, NamedTuple, TypeAlias

from interlace import store, text
from interlace.collection.arguments import check_iterable, check_passage_tokens, splitting_of
from interlace.collection.batches import Given, entry_of, given_entry
from interlace.collection.encoding import encode
from interlace.collection.matrices import encoded_from
from interlace.collection.model import Models, Speaker
from interlace.collection.pooling import Pooling, pooling_of, wanted_pooling
from interlace.errors import InputError, SettingsError
from interlace.progress import Progress
from interlace.types import Document, Encoded, Id, Passage

_Answers: TypeAlias = Iterator[tuple[str, Sequence[Passage], Iterable[Encoded]]]

_END: Final = object()


class Wanted(NamedTuple):
    """What a rebuild is to change; None leaves as it is."""

    dim: int | None
    bits: int | None
    passage_tokens: int | None
    passage_overlap: int | None
    pool_factor: int | None
    pool_tokens: int | None
    protected_tokens: int | None


def with_model(
    opened: store.Store,
    models: Models,
    given: Speaker | None,
    wanted: Wanted,
    progress: Progress,
    *,
    insists: bool,
) -> store.RebuildReport:
    """Encode all texts, with a model that was given or the collection's own."""
    opened.refresh()
    old = opened.settings
    if given is None and old.model is None:
        raise InputError(
            "the collection has no model: it holds embeddings made elsewhere. Give them again, "
            "rebuild(embeddings=…), or a model that encodes its texts."
        )
    own = models.at(old)
    identity = old.model or {}
    if given is None and "fingerprint" in identity and wanted.dim not in (None, old.dim):
        given, insists = models.of_width(identity, wanted.dim), False
    speaking = own if given is None else given
    if wanted.dim not in (None, speaking.dim):
        raise SettingsError(
            f"dim is {wanted.dim}, but the model's is {speaking.dim}. Leave dim out."
        )
    splitting = _splitting(old, speaking.tokens_max, wanted)
    new = replace(
        old,
        dim=speaking.dim,
        codec=_codec(old, wanted),
        model=old.model if given is None else given.identity(),
        passages=asdict(splitting),
        pooling=asdict(_pooling(old, wanted)),
    )
    with models.offering(given, insists=insists):
        model = models.at(new)

        def answers(documents: Iterator[Document]) -> _Answers:
            hashes: deque[str] = deque()

            def hashed() -> Iterator[Document]:
                for document in documents:
                    hashes.append(entry_of(0, document).content_hash)
                    yield document

            for passages, matrices in encode(hashed(), splitting, model):
                yield hashes.popleft(), passages, matrices

        return opened.rebuild(new, answers, progress=progress)


def with_embeddings(
    opened: store.Store,
    embeddings: Mapping[Id, Any] | Iterable[Any],
    token_ids: Mapping[Id, Any] | Iterable[Any] | None,
    wanted: Wanted,
    progress: Progress,
) -> store.RebuildReport:
    """Put embeddings that are given in place of those that are there."""
    if wanted.passage_tokens is not None or wanted.passage_overlap is not None:
        raise SettingsError("passages are not cut where embeddings are given. Leave those out.")
    opened.refresh()
    snapshot, old = opened.snapshot(), opened.settings
    new = replace(
        old,
        dim=old.dim if wanted.dim is None else wanted.dim,
        codec=_codec(old, wanted),
        model=None,
        passages=asdict(text.Splitting()),
        pooling=asdict(_pooling(old, wanted)),
    )
    given = _Given(snapshot, embeddings, token_ids, new)
    return opened.rebuild(
        new, given.encode, known_until=snapshot.commit.next_document, progress=progress
    )


def _codec(old: store.Settings, wanted: Wanted) -> str:
    return old.codec if wanted.bits is None else f"residual{wanted.bits}"


def _pooling(old: store.Settings, wanted: Wanted) -> Pooling:
    before = pooling_of(old)
    return wanted_pooling(wanted.pool_factor, wanted.pool_tokens, wanted.protected_tokens, before)


def _splitting(old: store.Settings, tokens_max: int | None, wanted: Wanted) -> text.Splitting:
    """As before, where nothing is said; but what was as long as the model reads stays so."""
    before, tokens = splitting_of(old), tokens_max
    was_chosen = before.tokens_max not in (None, (old.model or {}).get("document_length"))
    if wanted.passage_tokens is not None:
        tokens = check_passage_tokens(wanted.passage_tokens, tokens_max)
    elif was_chosen and before.tokens_max is not None and tokens_max is not None:
        tokens = min(before.tokens_max, tokens_max)
    overlap = wanted.passage_overlap
    if overlap is None:
        overlap = 0 if tokens is None else min(before.overlap, (tokens - 1) // 2)
    return text.Splitting(tokens_max=tokens, overlap=overlap)


class _Given:
    """Embeddings that are given for documents: by id, or in the order of their ids."""

    def __init__(
        self,
        snapshot: store.Snapshot,
        embeddings: Mapping[Id, Any] | Iterable[Any],
        token_ids: Mapping[Id, Any] | Iterable[Any] | None,
        settings: store.Settings,
    ) -> None:
        check_iterable(embeddings, "embeddings")
        self._dim, self._pooling = settings.dim, pooling_of(settings)
        self._n_given, self._n = 0, snapshot.n_documents
        self._by_id = embeddings if isinstance(embeddings, Mapping) else None
        self._types_by_id = token_ids if isinstance(token_ids, Mapping) else None
        if token_ids is not None:
            check_iterable(token_ids, "token_ids")
            if (self._types_by_id is None) != (self._by_id is None):
                raise InputError(
                    "embeddings and token_ids must both be mappings by id, or neither."
                )
        if self._by_id is None:
            self._check_length(embeddings, "embeddings")
            self._check_length(token_ids, "token_ids")
        self._ids = snapshot.ids()
        self._matrices = iter(embeddings)
        self._types = None if token_ids is None else iter(token_ids)

    def _check_length(self, values: object, name: str) -> None:
        if isinstance(values, Sized) and len(values) != self._n:
            raise InputError(
                f"{self._n} documents but {len(values)} {name}. Pass one for each of ids()."
            )

    def encode(self, documents: Iterator[Document]) -> _Answers:
        """Answer a rebuild's documents."""
        for document in documents:
            assert document.id is not None
            matrix, types = self._of(document.id)
            where = f"document {document.id!r}"
            one = self._pooling.pooled(encoded_from(matrix, types, self._dim, where))
            whole = document.text
            passage = Passage(document.id, 0, 0, len(whole), whole)
            entry = given_entry(0, document, Given((passage,), (one,)))
            yield entry.content_hash, [passage], [one]

    def _of(self, id_: Id) -> tuple[Any, Any]:
        if self._by_id is not None:
            if id_ not in self._by_id or (
                self._types_by_id is not None and id_ not in self._types_by_id
            ):
                raise InputError(
                    f"embeddings or token_ids lack document {id_!r}. Nothing has changed. "
                    "Pass them for each of ids()."
                )
            types = None if self._types_by_id is None else self._types_by_id[id_]
            return self._by_id[id_], types
        for known in self._ids:
            matrix = self._next(self._matrices, "embeddings")
            types = None if self._types is None else self._next(self._types, "token_ids")
            self._n_given += 1
            if self._n_given == self._n and next(self._matrices, _END) is not _END:
                raise InputError(
                    f"embeddings go on after the last of {self._n} documents. Nothing has "
                    "changed. Pass one for each of ids()."
                )
            if known == id_:
                return matrix, types
        raise InputError(
            f"document {id_!r} came while the embeddings were taken in, and has none. Nothing has "
            "changed. Let nobody add meanwhile, or pass a mapping by id that knows the new ones."
        )

    def _next(self, values: Iterator[Any], name: str) -> Any:
        value = next(values, _END)
        if value is _END:
            raise InputError(
                f"{name} end after {self._n_given} of {self._n} documents. Nothing has changed. "
                "Pass one for each of ids()."
            )
        return value

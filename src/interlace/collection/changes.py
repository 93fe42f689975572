"""Several changes as one commit: what is new is encoded, what is unchanged is left alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain, groupby
from types import TracebackType
from typing import Any, Final, Literal, NamedTuple, Self, TypeAlias

from interlace import text
from interlace.collection.arguments import splitting_of
from interlace.collection.batches import Batch, Entry, batches, entries
from interlace.collection.encoding import encode
from interlace.collection.model import Models, fingerprint
from interlace.errors import CollectionError, FilterError, InputError, ModelMismatch
from interlace.progress import Progress, silent
from interlace.store import Known, Prepared, Store, Where, Writer, matches_all
from interlace.types import Encoded, Id, Passage

OnConflict: TypeAlias = Literal["replace", "error", "skip"]
Missing: TypeAlias = Literal["ignore", "error"]


#: Ids that a report names; it counts all.
_NAMED: Final = 100

#: Ids asked for in one statement.
_AT_ONCE: Final = 4_096


@dataclass(slots=True)
class AddReport:
    """What an ``add`` did.

    Attributes
    ----------
    added, replaced, unchanged, left_out : int
        Documents: new; in place of one with the same id; the same text as stored, so not encoded
        again; not taken because ``on_conflict="skip"``.
    n_passages, n_tokens : int
        Stored by this call.
    n_cut, n_empty : int
        Documents of which the model could not read everything; documents without a single token
        to match, blank texts mostly.
    cut, empty : list of str or int
        The ids of the first hundred of each.
    """

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    left_out: int = 0
    n_passages: int = 0
    n_tokens: int = 0
    n_cut: int = 0
    n_empty: int = 0
    cut: list[Id] = field(default_factory=list)
    empty: list[Id] = field(default_factory=list)

    @property
    def n_documents(self) -> int:
        """How many documents the call has dealt with."""
        return self.added + self.replaced + self.unchanged + self.left_out

    def __iadd__(self, other: AddReport) -> Self:
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.cut += other.cut[: _NAMED - len(self.cut)]
        self.empty += other.empty[: _NAMED - len(self.empty)]
        return self


_COUNTS: Final = (
    "added", "replaced", "unchanged", "left_out", "n_passages", "n_tokens", "n_cut", "n_empty",
)  # fmt: skip


class Changes:
    """One commit in the making: leaving the ``with`` block commits it, an exception drops it all.

    Made by ``Collection.writer``.
    """

    def __init__(
        self,
        opened: Store,
        models: Models,
        progress: Progress = silent,
        heard: Callable[[int, int], None] = lambda _, __: None,
    ) -> None:
        self._store = opened
        self._entered: Writer | None = None
        self._models = models
        self._progress = progress
        self._heard = heard
        self._touched: set[Id] = set()
        self._ready: dict[Id, _Ready] = {}

    def prepare(self, batch: Batch, on_conflict: OnConflict) -> None:
        """Encode what a batch will need, before the ``with`` block takes the write lock.

        (1) Encoding a batch takes seconds, and whoever holds the lock keeps all other writers
        waiting, again and again while an ``index`` runs. (2) So it is done first, against the
        newest commit. (3) What others have changed until the lock is held, ``take`` finds out, and
        encodes what does not fit any more.
        """
        self._store.refresh()
        snapshot = self._store.snapshot()
        known = self._known(batch.entries, self._store.known)
        if on_conflict == "error":
            _refuse_known(batch, known)
        new: dict[Id, Entry] = {}
        for entry in batch.entries:
            stored = known.get(entry.id)
            if entry.given is None and (
                stored is None
                or (on_conflict == "replace" and stored.content_hash != entry.content_hash)
            ):
                new.setdefault(entry.id, entry)
        n_documents = len(batch.entries) + batch.n_repeated - len(new)
        documents = (entry.document for entry in new.values())
        settings = snapshot.settings
        stream = encode(documents, splitting_of(settings), self._models.at(settings))
        with closing(stream):  # else whoever keeps an error's traceback keeps the encoder's threads
            for n, (entry, (passages, matrices)) in enumerate(
                zip(new.values(), stream, strict=True), n_documents + 1
            ):
                tally = _Tally()
                encoded = tally.of(self._hearing(passages, matrices))
                prepared = snapshot.prepare(entry.id, encoded)
                self._ready[entry.id] = _Ready(entry.content_hash, passages, prepared, tally)
                self._progress("encode", n, None)

    def __enter__(self) -> Self:
        self._entered = self._store.write()
        try:
            self._store.refresh()  # with the lock held, what is newest now stays so
            settings = self._entered.settings
            self._model = self._models.at(settings)
            self._splitting = splitting_of(settings)
        except BaseException:
            self._entered.abandon()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        writer, self._entered = self.writer, None
        writer.__exit__(kind, error, traceback)

    @property
    def writer(self) -> Writer:
        """The store's writer of this commit, for what is no matter of documents."""
        if self._entered is None:
            raise CollectionError(
                "changes belong inside a with block: it is not entered, or over. "
                "Write: with collection.writer() as changes: …"
            )
        return self._entered

    def add(
        self,
        records: Iterable[Any],
        *,
        embeddings: Iterable[Any] | None = None,
        token_ids: Iterable[Any] | None = None,
        on_conflict: OnConflict = "replace",
    ) -> AddReport:
        """Add documents, as ``Collection.add`` does, to this commit."""
        check_on_conflict(on_conflict)
        report = AddReport()
        settings = self.writer.settings
        for batch in batches(entries(records, embeddings, token_ids, settings)):
            report += self.take(batch, on_conflict)
        return report

    def delete(
        self,
        ids: Iterable[Id] | None = None,
        *,
        where: Where | None = None,
        missing: Missing = "ignore",
    ) -> int:
        """Delete documents, as ``Collection.delete`` does; a filter sees this commit's changes."""
        check_missing(missing)
        if (ids is None) == (where is None):
            raise InputError("delete needs ids or where, one of the two. Give the one you mean.")
        if where is not None:
            if matches_all(where):
                raise FilterError(
                    f"an empty filter matches every document: where, {where!r:.60}. "
                    "To delete them all, give ids=list(collection.ids())."
                )
            return self.writer.delete(self.writer.ids_where(where))
        wanted = text.checked_ids(ids)
        if missing == "error":
            known = self.writer.known(wanted)
            refuse_unknown([id_ for id_ in wanted if id_ not in known])
        return self.writer.delete(wanted)

    def update_metadata(self, id: Id, metadata: Mapping[str, Any]) -> None:  # noqa: A002
        """Put other metadata in place of a document's."""
        (id_,) = text.checked_ids([id])
        checked = text.document_from({"id": id_, "text": "", "metadata": metadata}, repr(id_))
        if not self.writer.known([id_]):
            refuse_unknown([id_])
        self._touched.add(id_)
        self.writer.update_metadata(id_, checked.metadata)

    def take(self, batch: Batch, on_conflict: OnConflict) -> AddReport:
        """Store a batch."""
        known = self._known(batch.entries, self.writer.known)
        if on_conflict == "error":
            _refuse_known(batch, known)
        report = AddReport()
        new: list[Entry] = []
        unchanged: list[Entry] = []
        for entry in batch.entries:
            if entry.id not in known or known[entry.id].content_hash != entry.content_hash:
                new.append(entry)
            else:
                unchanged.append(entry)
        if on_conflict == "skip":
            report.left_out = len(known) + batch.n_repeated
            new = [entry for entry in new if entry.id not in known]
        else:
            report.unchanged = len(unchanged) + batch.n_repeated
            self._refresh_metadata(unchanged)
            self._refresh_places(unchanged, known)
        self._heard(sum(len(entry.document.text) for entry in unchanged), 0)
        ready = {entry.id: found for entry in new if (found := self._fitting(entry)) is not None}
        late = [entry for entry in new if entry.id not in ready]
        stream = chain.from_iterable(
            self._given(run) if has_given else self._encoded(list(run))
            for has_given, run in groupby(late, lambda entry: entry.given is not None)
        )
        for entry in new:
            self._touched.add(entry.id)
            if entry.id in ready:
                _, passages, prepared, tally = ready[entry.id]
                self.writer.add(entry.document, entry.content_hash, passages, prepared)
            else:
                _, passages, encoded = next(stream)
                tally = _Tally()
                self.writer.add(entry.document, entry.content_hash, passages, tally.of(encoded))
                self._progress("encode", report.n_documents + 1, None)
            tally.report(report, entry.id, len(passages), entry.id in known)
        return report

    def _fitting(self, entry: Entry) -> _Ready | None:
        """What was prepared for an entry; None when nothing was, or it was rebuilt meanwhile."""
        found = self._ready.get(entry.id)
        if found is None or found.content_hash != entry.content_hash:
            return None
        return found if found.prepared.settings == self.writer.settings else None

    @staticmethod
    def _known(
        entries: Sequence[Entry], ask: Callable[[list[Id]], dict[Id, Known]]
    ) -> dict[Id, Known]:
        known: dict[Id, Known] = {}
        for at in range(0, len(entries), _AT_ONCE):
            known |= ask([entry.id for entry in entries[at : at + _AT_ONCE]])
        return known

    def _refresh_metadata(self, unchanged: Sequence[Entry]) -> None:
        """The text is the same, so there is nothing to encode; but its metadata may be others.

        A record without metadata leaves them as they are: adding a text again changes nothing. What
        comes from a file has those of the file.
        """
        telling = [
            entry
            for entry in unchanged
            if entry.document.metadata or entry.document.file is not None
        ]
        for some in (telling[i : i + 256] for i in range(0, len(telling), 256)):
            stored = self._store.snapshot().documents([entry.id for entry in some])
            for entry in some:
                # What this commit has changed already, the snapshot does not know.
                is_known = entry.id in stored and entry.id not in self._touched
                if not is_known or not _same(stored[entry.id].metadata, entry.document.metadata):
                    self.writer.update_metadata(entry.id, entry.document.metadata)

    def _refresh_places(self, unchanged: Sequence[Entry], known: Mapping[Id, Known]) -> None:
        """The text is the same, but it may stand elsewhere: further down, or in another file."""
        for entry in unchanged:
            document = entry.document
            place = (document.file, document.line)
            if document.file is not None and place != known[entry.id][1:]:
                self.writer.set_place(entry.id, *place)

    def _given(
        self, new: Iterable[Entry]
    ) -> Iterator[tuple[Entry, list[Passage], Iterable[Encoded]]]:
        for entry in new:
            assert entry.given is not None
            made_by = entry.given.model
            model = self._model
            if made_by is not None and made_by != fingerprint(model.identity, model.pooling):
                raise ModelMismatch(
                    f"the collection has another model or pooling by now: {self._store.path}. "
                    "Import the file again: its texts are encoded then."
                )
            yield entry, list(entry.given.passages), entry.given.encoded

    def _encoded(
        self, new: Sequence[Entry]
    ) -> Iterator[tuple[Entry, list[Passage], Iterable[Encoded]]]:
        documents = (entry.document for entry in new)
        stream = encode(documents, self._splitting, self._model)
        for entry, (passages, matrices) in zip(new, stream, strict=True):
            yield entry, passages, self._hearing(passages, matrices)

    def _hearing(
        self, passages: Sequence[Passage], encoded: Iterable[Encoded]
    ) -> Iterator[Encoded]:
        for passage, one in zip(passages, encoded, strict=True):
            self._heard(len(passage.text), len(one.matrix))
            yield one


def _refuse_known(batch: Batch, known: Mapping[Id, Known]) -> None:
    """Raise for the first entry whose id is in the collection, if there is one."""
    for entry in batch.entries:
        if entry.id in known:
            raise InputError(
                f"id {entry.id!r} is in the collection already: document {entry.position}. "
                "Use on_conflict='replace' or 'skip', or another id."
            )


def check_on_conflict(on_conflict: str) -> None:
    """Refuse an unknown policy."""
    if on_conflict not in ("replace", "error", "skip"):
        raise InputError(f"on_conflict is {on_conflict!r}. Choose one of replace, error, skip.")


def check_missing(missing: str) -> None:
    """Refuse an unknown policy."""
    if missing not in ("ignore", "error"):
        raise InputError(f"missing is {missing!r}. Choose one of ignore, error.")


def refuse_unknown(ids: Sequence[Id]) -> None:
    """Raise for ids that are not in the collection, if there are any."""
    if ids:
        more = f" and {len(ids) - 1} more" if len(ids) > 1 else ""
        raise InputError(
            f"no such document: id {ids[0]!r}{more}. "
            "Ids keep their type: 7 and '7' are two. See ids()."
        )


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two metadata are the same JSON: 1, 1.0 and True are not."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


class _Ready(NamedTuple):
    """A document as a commit takes it: nothing of it is left to compute."""

    content_hash: str
    passages: list[Passage]
    prepared: Prepared
    tally: _Tally


class _Tally:
    """Counts a document's matrices as they pass."""

    def __init__(self) -> None:
        self._n_tokens, self._was_cut = 0, False

    def of(self, encoded: Iterable[Encoded]) -> Iterator[Encoded]:
        for one in encoded:
            self._n_tokens += len(one.matrix)
            self._was_cut |= one.n_cut > 0
            yield one

    def report(self, report: AddReport, id_: Id, n_passages: int, is_replacement: bool) -> None:
        report += AddReport(
            added=not is_replacement,
            replaced=is_replacement,
            n_passages=n_passages,
            n_tokens=self._n_tokens,
            n_cut=self._was_cut,
            n_empty=not self._n_tokens,
            cut=[id_] if self._was_cut else [],
            empty=[] if self._n_tokens else [id_],
        )

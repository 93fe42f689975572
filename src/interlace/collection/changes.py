"""Several changes as one commit: what is new is encoded, what is unchanged is left alone."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from interlace import text
from interlace.collection.batches import Entry, batches, entries
from interlace.collection.model import Model
from interlace.errors import CollectionError, InputError
from interlace.progress import Progress, silent
from interlace.store import Store, Writer
from interlace.types import Encoded, Id, Passage

OnConflict: TypeAlias = Literal["replace", "error", "skip"]
Missing: TypeAlias = Literal["ignore", "error"]


@dataclass(slots=True)
class AddReport:
    """What an ``add`` did.

    Attributes
    ----------
    added, replaced, unchanged, skipped : int
        Documents: new; in place of one with the same id; the same text as stored, so not encoded
        again; left out because ``on_conflict="skip"``.
    n_passages, n_tokens : int
        Stored by this call.
    cut : list of str or int
        Documents of which the model could not read everything.
    empty : list of str or int
        Documents without a single token to match: blank texts, mostly.
    """

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    skipped: int = 0
    n_passages: int = 0
    n_tokens: int = 0
    cut: list[Id] = field(default_factory=list)
    empty: list[Id] = field(default_factory=list)

    @property
    def n_documents(self) -> int:
        """How many documents the call has dealt with."""
        return self.added + self.replaced + self.unchanged + self.skipped

    def __iadd__(self, other: AddReport) -> Self:
        for name in ("added", "replaced", "unchanged", "skipped", "n_passages", "n_tokens"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.cut += other.cut
        self.empty += other.empty
        return self


class Changes:
    """One commit in the making: leaving the ``with`` block commits it, an exception drops it all.

    Made by ``Collection.writer``.
    """

    def __init__(
        self,
        opened: Store,
        model: Model,
        splitting: text.Splitting,
        progress: Progress = silent,
    ) -> None:
        self._store = opened
        self._entered: Writer | None = None
        self._model = model
        self._splitting = splitting
        self._progress = progress
        self._touched: set[Id] = set()

    def __enter__(self) -> Self:
        self._entered = self._store.write()
        self._store.refresh()  # with the lock held, what is newest now stays so
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        writer, self._entered = self._writer, None
        writer.__exit__(kind, error, traceback)

    @property
    def _writer(self) -> Writer:
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
        for batch in batches(entries(records, embeddings, token_ids, self._model.dim)):
            rest: Sequence[Entry] = batch
            while rest:
                done, rest = self.take(rest, on_conflict, seconds_max=float("inf"))
                report += done
        return report

    def delete(self, ids: Iterable[Id], *, missing: Missing = "ignore") -> int:
        """Delete documents; returns how many there were."""
        check_missing(missing)
        wanted = text.checked_ids(ids)
        if missing == "error":
            known = self._writer.known(wanted)
            refuse_unknown([id_ for id_ in wanted if id_ not in known])
        return self._writer.delete(wanted)

    def update_metadata(self, id: Id, metadata: Mapping[str, Any]) -> None:  # noqa: A002
        """Put other metadata in place of a document's."""
        checked = text.document_from({"id": id, "text": "", "metadata": metadata}, repr(id))
        assert checked.id is not None
        if not self._writer.known([checked.id]):
            refuse_unknown([checked.id])
        self._touched.add(checked.id)
        self._writer.update_metadata(checked.id, checked.metadata)

    def take(
        self, batch: Sequence[Entry], on_conflict: OnConflict, seconds_max: float
    ) -> tuple[AddReport, Sequence[Entry]]:
        """Store entries until the time is up; returns what was done, and the rest."""
        until = time.monotonic() + seconds_max
        known = self._writer.known([entry.id for entry in batch])
        if on_conflict == "error" and known:
            found = next(entry for entry in batch if entry.id in known)
            raise InputError(
                f"id {found.id!r} is in the collection already: document {found.position}. "
                "Use on_conflict='replace' or 'skip', or another id."
            )
        report = AddReport()
        new: list[Entry] = []
        unchanged: list[Entry] = []
        for entry in batch:
            if entry.id not in known or known[entry.id] != entry.content_hash:
                new.append(entry)
            else:
                unchanged.append(entry)
        if on_conflict == "skip":
            report.skipped = len(known)
            new = [entry for entry in new if entry.id not in known]
        else:
            report.unchanged = len(unchanged)
            self._refresh_metadata(unchanged)
        n_stored = 0
        stream = self._given(new) if new and new[0].given is not None else self._encoded(new)
        for entry, passages, encoded in stream:
            self._touched.add(entry.id)
            self._writer.add(entry.document, entry.content_hash, passages, encoded)
            _count(report, entry, encoded, entry.id in known)
            n_stored += 1
            self._progress("encode", report.n_documents, None)
            if time.monotonic() >= until:
                break
        return report, new[n_stored:]

    def _refresh_metadata(self, unchanged: Sequence[Entry]) -> None:
        """The text is the same, so there is nothing to encode; but its metadata may be others."""
        for some in (unchanged[i : i + 256] for i in range(0, len(unchanged), 256)):
            stored = self._store.snapshot().documents([entry.id for entry in some])
            for entry in some:
                # What this commit has changed already, the snapshot does not know.
                is_known = entry.id in stored and entry.id not in self._touched
                if not is_known or stored[entry.id].metadata != entry.document.metadata:
                    self._writer.update_metadata(entry.id, entry.document.metadata)

    def _given(self, new: Iterable[Entry]) -> Iterator[tuple[Entry, list[Passage], list[Encoded]]]:
        for entry in new:
            assert entry.given is not None
            whole = entry.document.text
            yield entry, [Passage(entry.id, 0, 0, len(whole), whole)], [entry.given]

    def _encoded(
        self, new: Iterable[Entry]
    ) -> Iterator[tuple[Entry, list[Passage], list[Encoded]]]:
        """Split and encode in one stream, so that the encoder's threads never wait."""
        waiting: deque[tuple[Entry, list[Passage]]] = deque()

        def texts() -> Iterator[str]:
            for entry in new:
                waiting.append(
                    (entry, text.split(entry.document, self._splitting, self._model.spans))
                )
                yield from (passage.text for passage in waiting[-1][1])

        ready: list[Encoded] = []
        for one in self._model.documents(texts()):
            ready.append(one)
            entry, passages = waiting[0]
            if len(ready) == len(passages):
                waiting.popleft()
                yield entry, passages, ready
                ready = []


def check_on_conflict(on_conflict: str) -> None:
    """Refuse an unknown policy."""
    if on_conflict not in ("replace", "error", "skip"):
        raise InputError(
            f"unknown on_conflict {on_conflict!r}. Allowed are 'replace', 'error' and 'skip'."
        )


def check_missing(missing: str) -> None:
    """Refuse an unknown policy."""
    if missing not in ("ignore", "error"):
        raise InputError(f"unknown missing {missing!r}. Allowed are 'ignore' and 'error'.")


def refuse_unknown(ids: Sequence[Id]) -> None:
    """Raise for ids that are not in the collection, if there are any."""
    if ids:
        more = f" and {len(ids) - 1} more" if len(ids) > 1 else ""
        raise InputError(
            f"no such document: id {ids[0]!r}{more}. "
            "Ids keep their type: 7 and '7' are two. See ids()."
        )


def _count(
    report: AddReport, entry: Entry, encoded: Sequence[Encoded], is_replacement: bool
) -> None:
    n_tokens = sum(len(one.matrix) for one in encoded)
    report.replaced += is_replacement
    report.added += not is_replacement
    report.n_passages += len(encoded)
    report.n_tokens += n_tokens
    if not n_tokens:
        report.empty.append(entry.id)
    if any(one.n_cut for one in encoded):
        report.cut.append(entry.id)

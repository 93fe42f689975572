"""A collection: documents go in as text, hits come out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from time import perf_counter
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from interlace import store, text
from interlace.collection.arguments import (
    check_bits,
    check_iterable,
    check_k,
    splitting_of,
)
from interlace.collection.batches import Entry, batches, entries
from interlace.collection.changes import (
    AddReport,
    Changes,
    Missing,
    OnConflict,
    check_missing,
    check_on_conflict,
    refuse_unknown,
)
from interlace.collection.exchange import ExportReport, entries_from, export, model_of
from interlace.collection.explain import explain
from interlace.collection.folders import IndexReport, carry_out
from interlace.collection.matrices import matrix_from
from interlace.collection.model import Model, Models, Speaker, check_queries, is_name, speaker
from interlace.collection.planning import (
    Plan,
    Reading,
    Source,
    locate,
    plan_paths,
    plan_update,
    refuse_no_sources,
    source_at,
    stored_sources,
)
from interlace.collection.pooling import pooling_of
from interlace.collection.rebuilding import Wanted, with_embeddings, with_model
from interlace.collection.repairing import Remaking
from interlace.collection.searching import (
    NO_TEXT,
    Mode,
    Query,
    Search,
    mode_for,
    word_queries,
)
from interlace.collection.skipping import skipping
from interlace.collection.watching import watch
from interlace.errors import InputError, InterlaceError, SettingsError
from interlace.progress import Progress, silent
from interlace.threads import n_cores
from interlace.types import Document, Explanation, FloatMatrix, Hit, Hits, Id


class Collection:
    """Documents on disk, and the model that reads them; made by ``create`` and ``open``.

    Every read sees one commit, whole: the newest of any process; with ``refresh="manual"`` the
    newest that this object has made, or that ``refresh()`` or a write has found. One object serves
    many threads, and the children of a fork.

    Attributes
    ----------
    path : Path
        The folder.
    """

    def __init__(
        self,
        opened: store.Store,
        given: Speaker | None = None,
        n_threads: int | None = None,
        refresh: str = "auto",
        *,
        query_cache_bytes: int = 0,
        insists: bool = True,
    ) -> None:
        self._store, self._refreshes = opened, refresh == "auto"
        self._n_threads = n_threads or n_cores()
        self._models = Models(
            given,
            insists=insists,
            n_threads=self._n_threads,
            query_cache_bytes=query_cache_bytes,
        )
        self.path = Path(opened.path)

    @property
    def _model(self) -> Model:
        """The model of the commit that is read."""
        return self._models.at(self._store.snapshot().settings)

    # --- changing ------------------------------------------------------------------------------

    def add(
        self,
        records: Iterable[str | Mapping[str, Any] | Document],
        *,
        embeddings: Iterable[Any] | None = None,
        token_ids: Iterable[Any] | None = None,
        on_conflict: OnConflict = "replace",
        progress: Progress = silent,
    ) -> AddReport:
        """Add documents, in batches of some 250,000 tokens, each durable once it is committed.

        Parameters
        ----------
        records
            Any iterable, also an endless one, of texts, mappings with ``text`` and, if wanted,
            ``id`` and ``metadata``, or ``Document``. A text without id is known by the first 16
            hex digits of its SHA-256.
        embeddings
            For each document its ``(n_tokens, dim)`` matrix, instead of encoding the text; each
            document is then one passage. Where the collection pools, so are they.
        token_ids
            For each document the ``(n_tokens,)`` vocabulary ids of its tokens: they help
            compression as much as they do with a model.
        on_conflict
            What to do with an id that is in the collection: ``"replace"`` (a document with the
            same text is not encoded again), ``"error"``, ``"skip"``.
        progress
            Told ``("encode", documents, of how many)`` on the way, and ``("store", documents,
            of how many)`` after each commit.

        Returns
        -------
        AddReport
            What was added, replaced, unchanged or skipped, and what was cut or empty.

        Raises
        ------
        InputError
            For a record that cannot be stored, naming it: its batch is left out whole, and
            ``error.committed`` says how many documents went in before it.
        Locked
            When another writer holds the collection too long.
        ModelMismatch
            When the model at hand is not the collection's.
        """
        check_on_conflict(on_conflict)
        total = len(records) if isinstance(records, Sized) else None
        stream = entries(records, embeddings, token_ids, self._store.settings)
        return self._add(stream, on_conflict, progress, total)

    def _add(
        self,
        stream: Iterator[Entry],
        on_conflict: OnConflict,
        progress: Progress,
        total: int | None,
    ) -> AddReport:
        """Store a stream of entries, batch by batch."""
        report = AddReport()
        committed = 0
        try:
            for batch in batches(stream):
                changes = self.writer(progress=_offset(progress, committed, total))
                changes.prepare(batch, on_conflict)
                with changes:
                    done = changes.take(batch, on_conflict)
                report += done
                committed = report.n_documents
                progress("store", committed, total)
        except InterlaceError as error:
            error.committed = committed
            raise
        except Exception as error:  # the records' own, say: it goes on to who wrote them
            error.add_note(f"{committed} documents of this call are stored.")
            raise
        return report

    def writer(self, *, progress: Progress = silent) -> Changes:
        """Several changes as one commit, all or nothing.

        ::

            with notes.writer() as changes:
                changes.delete(["old"])
                changes.add(["new"])

        Raises
        ------
        Locked
            When another writer holds the collection too long.
        """
        return Changes(self._store, self._models, progress)

    def delete(
        self,
        ids: Iterable[Id] | None = None,
        *,
        where: store.Where | None = None,
        missing: Missing = "ignore",
    ) -> int:
        """Delete documents, as one commit; returns how many there were.

        Parameters
        ----------
        ids
            These documents.
        where
            The documents whose metadata match, as for ``search``. One of the two is needed.
        missing
            ``"error"`` refuses ids that are not there.

        Raises
        ------
        InputError
            For an id that is not there, with ``missing="error"``; nothing is deleted then.
        FilterError
            For a filter that cannot be read, is empty, or names a field that no document has.
        """
        with self.writer() as changes:
            return changes.delete(ids, where=where, missing=missing)

    def update_metadata(self, id: Id, metadata: Mapping[str, Any]) -> None:  # noqa: A002
        """Put other metadata in place of a document's; its text stays as it is.

        Raises
        ------
        InputError
            For an id that is not there, or metadata that JSON cannot hold.
        """
        with self.writer() as changes:
            changes.update_metadata(id, metadata)

    # --- files and folders ---------------------------------------------------------------------

    def index(
        self,
        *paths: str | os.PathLike[str],
        format: str | None = None,  # noqa: A002 (the command's option has this name)
        id_field: str | None = None,
        text_fields: Sequence[str] = (),
        hidden: bool = False,
        ignore: bool = True,
        progress: Progress = silent,
    ) -> IndexReport:
        """Add what is in files and folders, and follow them from now on.

        Files are known by their content, whatever their time stamps say: what is new is added, what
        has changed replaced, what is there no more removed, and nothing is encoded twice. A file
        that cannot be read stops nothing: the report names it, and what was read of it earlier
        stays. Run it again, or ``update``, as often as you like.

        Parameters
        ----------
        paths
            Files, and folders with all that is in them.
        format
            Of every file, as in ``read``; by default each file's name decides.
        id_field, text_fields
            The columns of tables, and keys of JSON records, that are id and text.
        hidden, ignore
            Whether hidden files are read; whether ``.gitignore``, ``.ignore`` and
            ``.interlaceignore`` are obeyed.
        progress
            Told ``("read", characters, of an estimated number)``, and as ``"files"`` and
            ``"tokens"`` how many of those are done.

        Returns
        -------
        IndexReport
            What became of files and documents, and what was skipped and why.

        Raises
        ------
        InputError
            For a path that is not there, before anything is done.
        Locked
            When another writer holds the collection too long.
        """
        if isinstance(text_fields, str):
            raise SettingsError(f"text_fields is {text_fields!r} alone. Write [{text_fields!r}].")
        reading = Reading(
            format=format,
            id_field=id_field,
            text_fields=tuple(text_fields),
            hidden=hidden,
            ignore=ignore,
        )
        self.refresh()
        report = IndexReport()
        plan = plan_paths(self._snapshot(), paths, reading, report.skip)
        return self._carry_out(plan, report, progress)

    def update(self, *, progress: Progress = silent) -> IndexReport:
        """Look at all files and folders that were indexed, and take over what has changed.

        Parameters and errors are those of ``index``. A path that is not there any more is named in
        the report, and its documents stay.

        Raises
        ------
        CollectionError
            When no file or folder was ever indexed.
        """
        self.refresh()
        snapshot = self._snapshot()
        refuse_no_sources(snapshot, self.path)
        report = IndexReport()
        return self._carry_out(plan_update(snapshot, report.skip), report, progress)

    def watch(
        self, *, stop: Event | None = None, progress: Progress = silent
    ) -> Iterator[IndexReport]:
        """Update now, and again whenever an indexed file or folder changes.

        Parameters
        ----------
        stop
            Ends the watch when it is set.
        progress
            As for ``index``.

        Yields
        ------
        IndexReport
            Of the first update, and of each that found something to do or to skip.

        Raises
        ------
        MissingExtra
            Without the package ``watchfiles``.
        """
        watching = watch(self.sources(), self.path, stop)
        next(watching, None)  # what changes from here on is heard of, also during the first update
        yield self.update(progress=progress)
        for changed in watching:
            if not changed:
                continue
            self.refresh()
            report = IndexReport()
            plan = plan_update(self._snapshot(), report.skip, changed)
            self._carry_out(plan, report, progress)
            if report.has_changed or plan.tasks or plan.gone:
                yield report

    def sources(self) -> list[Source]:
        """The files and folders that were indexed, which ``update`` looks at."""
        return stored_sources(self._snapshot())

    def forget(self, path: str | os.PathLike[str]) -> int:
        """Remove the documents of an indexed file or folder, and follow it no more.

        Returns
        -------
        int
            How many documents there were.

        Raises
        ------
        InputError
            For a path that is no source; the message lists those that are.
        """
        self.refresh()
        source = source_at(self._snapshot(), path)
        assert source.number is not None
        with self.writer() as changes:
            n_documents = 0
            for name in changes.writer.files(source.number):
                n_documents += changes.delete(changes.writer.ids_of_file(name))
            changes.writer.forget_source(source.number)
        return n_documents

    def locate(self, hit: Hit | Document) -> Path | None:
        """The file on this machine that a document, or a hit's, was read from.

        None when it came from no indexed file or folder, or the file is not there any more. Of
        something inside an archive, the archive.
        """
        return None if hit.file is None else locate(self.sources(), hit.file)

    def _carry_out(self, plan: Plan, report: IndexReport, progress: Progress) -> IndexReport:
        def writer(heard: Callable[[int, int], None]) -> Changes:
            return Changes(self._store, self._models, heard=heard)

        return carry_out(plan, report, writer, progress)

    # --- as a file -----------------------------------------------------------------------------

    def export(
        self,
        path: str | os.PathLike[str],
        *,
        format: str | None = None,  # noqa: A002 (the command's option has this name)
        embeddings: bool = False,
        where: store.Where | None = None,
        progress: Progress = silent,
    ) -> ExportReport:
        """Write the documents into a file that other programs read, a line or row each.

        The file holds one commit, whatever is written meanwhile, and is there whole or not at all.
        Memory holds a document at a time, or 32 MB of Parquet.

        Parameters
        ----------
        path
            A new file.
        format
            ``"jsonl"``, ``"jsonl.gz"`` or ``"parquet"``; by default the file's name decides.
        embeddings
            Whether passages and their token embeddings are written too, decoded to float16.
        where
            Only documents that match, as for ``search``.
        progress
            Told ``("export", documents, of how many)``.

        Returns
        -------
        ExportReport
            How many documents the file has, and of which commit.

        Raises
        ------
        InputError
            When there is such a file, no format of its name, or the filter cannot be read.
        MissingExtra
            For Parquet without the package ``pyarrow``.
        CollectionError
            When the disk is full or refuses the write.
        """
        format_ = text.exchange_format(os.fspath(path), format)
        snapshot = self._snapshot()
        vectors = None
        if embeddings:
            settings = snapshot.settings
            vectors = {"dim": settings.dim, "model": model_of(settings)}
        return export(snapshot, Path(path), format_, progress, where=where, vectors_of=vectors)

    def import_(
        self,
        path: str | os.PathLike[str],
        *,
        format: str | None = None,  # noqa: A002
        id_field: str | None = None,
        text_fields: Sequence[str] = (),
        on_conflict: OnConflict = "replace",
        progress: Progress = silent,
    ) -> AddReport:
        """Add the documents of a file that ``export`` wrote, or of another with records.

        Ids, texts, metadata and places come back as they were. Embeddings in the file are taken
        when this collection's model made them, or when it has none; else the texts are encoded.
        A record that ``export`` did not write has its id in ``id`` or ``_id`` and its text in
        ``text``, as in BEIR; what else it has becomes metadata. Without a text it is refused.

        Parameters
        ----------
        path
            ``.jsonl``, ``.jsonl.gz`` or ``.parquet``.
        format
            ``"jsonl"``, ``"jsonl.gz"`` or ``"parquet"``; by default the file's name decides.
        id_field, text_fields
            The keys of records that are id and text: ``["title", "text"]``, say.
        on_conflict, progress
            As for ``add``.

        Returns
        -------
        AddReport
            As of ``add``.

        Raises
        ------
        InputError
            For a row that cannot be taken, naming it and its field; ``error.committed`` says how
            many documents went in before it.
        MissingExtra
            For Parquet without the package ``pyarrow``.

        Warns
        -----
        UserWarning
            When the file's embeddings are of another model, and are left out.
        """
        check_on_conflict(on_conflict)
        if isinstance(text_fields, str):
            raise SettingsError(f"text_fields is {text_fields!r} alone. Write [{text_fields!r}].")
        file = Path(path)
        if not file.is_file():
            raise InputError(f"no such file: {path}. Give the path of a file to import.")
        settings = self._store.settings
        stream = entries_from(
            file,
            text.exchange_format(os.fspath(path), format),
            text.Fields(id=id_field, text=tuple(text_fields)),
            settings,
        )
        return self._add(stream, on_conflict, progress, None)

    # --- searching -----------------------------------------------------------------------------

    @skipping
    def search(
        self,
        query: str | None = None,
        k: int = 10,
        *,
        mode: str | None = None,
        effort: str | store.Effort | None = None,
        by: str = "document",
        where: store.Where | None = None,
        ids: Iterable[Id] | None = None,
        missing: Missing = "error",
        embeddings: Any = None,
    ) -> Hits:
        """The documents that best match a query.

        Parameters
        ----------
        query
            A text; an empty one finds nothing.
        k
            How many hits, at least 1: there are ``min(k, live documents)``, whatever the effort;
            in a lexical search only documents that share a word with the query.
        mode
            ``"late"``: how well the tokens match; ``"lexical"``: how well the words do, which
            needs no model; ``"hybrid"``: both. By default hybrid, and late where there is no text.
        effort
            ``"fast"``, ``"balanced"``, ``"thorough"`` or ``"exhaustive"``, which scores all; or
            ``"tuned"``, as ``interlace.evaluate.tune`` measured it, which is the default of a
            collection that is tuned. Of others it is balanced.
        by
            ``"document"``: the best passage of each document; ``"passage"``: every passage.
        where
            Only documents whose metadata match: ``{"year": {"$gte": 2020}, "lang": ["en", "de"]}``
            or the same as a text, ``'year >= 2020 and lang in ["en", "de"]'``.
        ids
            Only these documents; with ``where``, those of them that match.
        missing
            ``"ignore"`` leaves out ids that are not there.
        embeddings : (q_tokens, dim)
            The query's matrix, made elsewhere; with a text beside it, its words count as well.

        Returns
        -------
        Hits
            Best first, equal scores in the order of insertion. Each says both parts of its score.

        Raises
        ------
        InputError
            For ``k`` below 1, an id that is not there, embeddings of another width, a lexical
            search without a text.
        FilterError
            For a filter that cannot be read, names a field that no document has, or compares a
            field with a value of another kind.
        SettingsError
            For an unknown ``mode``, ``effort`` or ``by``.
        ModelMismatch
            When the model at hand is not the collection's.
        """
        if query is not None and not isinstance(query, str):
            raise InputError(
                f"a query must be a str, not {type(query).__name__}. For several, search_many."
            )
        check_k(k)
        chosen = mode_for(mode, has_text=query is not None)
        snapshot = self._snapshot()
        store.plan_for(effort, by, snapshot.tuned)
        queries = None if query is None else [query]
        matrices = None if embeddings is None else [embeddings]
        (asked,) = self._queries(snapshot, queries, matrices, mode, chosen)
        allowed = _allowed(snapshot, where, ids, missing)
        wanted = Search(
            k=int(k), mode=chosen, effort=effort, by=by, allowed=allowed, n_threads=self._n_threads
        )
        return wanted.hits(snapshot, asked)

    @skipping
    def search_many(
        self,
        queries: Sequence[str] | None = None,
        k: int = 10,
        *,
        mode: str | None = None,
        effort: str | store.Effort | None = None,
        by: str = "document",
        where: store.Where | None = None,
        ids: Iterable[Id] | None = None,
        missing: Missing = "error",
        embeddings: Iterable[Any] | None = None,
    ) -> list[Hits]:
        """Search for many queries on all threads; the hits of each, in order.

        Parameters and errors are those of ``search``; ``where`` and ``ids`` hold for every query.
        """
        check_k(k)
        chosen = mode_for(mode, has_text=queries is not None)
        snapshot = self._snapshot()
        store.plan_for(effort, by, snapshot.tuned)  # refused also where there is no query
        asked = self._queries(snapshot, queries, embeddings, mode, chosen)
        allowed = _allowed(snapshot, where, ids, missing)
        wanted = Search(k=int(k), mode=chosen, effort=effort, by=by, allowed=allowed, n_threads=1)
        with ThreadPoolExecutor(self._n_threads) as threads:
            return list(threads.map(lambda query: wanted.hits(snapshot, query), asked))

    @skipping
    def explain(self, query: str, hit: Hit, *, embeddings: Any = None) -> Explanation:
        """Which token of the passage answers each token of the query, and how well.

        Parameters
        ----------
        query
            The text that was searched for.
        hit
            One of its hits.
        embeddings : (q_tokens, dim)
            The query's matrix, for a collection without a model; matches then have no texts.

        Returns
        -------
        Explanation
            Its matches sum to the hit's score; offsets are into the document's text. Where tokens
            are pooled, the nearest of those that were made into the row that answers is named; for
            that the passage is encoded again.

        Raises
        ------
        InputError
            When the passage is not in the collection any more.
        """
        snapshot = self._snapshot()
        return explain(snapshot, self._models.at(snapshot.settings), query, hit, embeddings)

    # --- reading -------------------------------------------------------------------------------

    def get(self, ids: Iterable[Id], *, missing: Missing = "error") -> list[Document]:
        """Documents by id, in the order asked for.

        Raises
        ------
        InputError
            For an id that is not there; with ``missing="ignore"`` it is left out.
        """
        check_missing(missing)
        wanted = text.checked_ids(ids)
        found = self._snapshot().documents(wanted)
        if missing == "error":
            refuse_unknown([id_ for id_ in wanted if id_ not in found])
        return [found[id_] for id_ in wanted if id_ in found]

    def ids(
        self, where: store.Where | None = None, *, among: Iterable[Id] | None = None
    ) -> Iterator[Id]:
        """The ids of documents.

        Parameters
        ----------
        where
            Only of those that match a filter, as for ``search``.
        among
            Only those of these that are there.

        Returns
        -------
        iterator
            In the order of insertion, or in that of ``among``.

        Raises
        ------
        FilterError
            For a filter that ``search`` would refuse.
        """
        snapshot = self._snapshot()
        if among is None:
            return snapshot.ids() if where is None else iter(snapshot.ids_where(where))
        wanted = text.checked_ids(among)
        if where is None:
            unknown = set(snapshot.find(wanted)[1])
            return (id_ for id_ in wanted if id_ not in unknown)
        matching = set(snapshot.ids_where(where))
        return (id_ for id_ in wanted if id_ in matching)

    def __len__(self) -> int:
        return self._snapshot().n_documents

    def __bool__(self) -> bool:
        return True  # an empty collection is still one

    def __contains__(self, id_: object) -> bool:
        try:
            (checked,) = text.checked_ids([id_])
        except InputError:
            return False
        return self._snapshot().contains(checked)

    def refresh(self) -> bool:
        """See what others have committed since; True if that was anything.

        Needed only with ``refresh="manual"``.
        """
        return self._store.refresh()

    # --- keeping -------------------------------------------------------------------------------

    def settle(self) -> store.SettleReport:
        """Compress what was added lately, now, instead of when there is enough of it."""
        return self._store.settle()

    def compact(self) -> store.CompactReport:
        """Merge segments and drop what was deleted or replaced; searches go on meanwhile."""
        return self._store.compact()

    def rebuild(
        self,
        model: Any = None,
        *,
        dim: int | None = None,
        bits: int | None = None,
        passage_tokens: int | None = None,
        passage_overlap: int | None = None,
        pool_factor: int | None = None,
        pool_tokens: int | None = None,
        protected_tokens: int | None = None,
        embeddings: Mapping[Id, Any] | Iterable[Any] | None = None,
        token_ids: Mapping[Id, Any] | Iterable[Any] | None = None,
        progress: Progress = silent,
    ) -> store.RebuildReport:
        """Encode everything anew, with another model if you like, searchable all the while.

        The new stands beside the old until it is complete; one commit then puts it in its place.
        Others may search, add and delete meanwhile, and find what they did there afterwards.

        Parameters
        ----------
        model
            As for ``create``; by default the collection's own, which then compresses as if the
            collection had just been made: better, where it has grown far beyond its beginning.
        dim
            Width of ``embeddings``, where it changes; of a model by name, or the collection's own,
            as for ``create``.
        bits, passage_tokens, passage_overlap
            As for ``create``; by default as they are. Passages as long as the old model reads
            become as long as the new one does.
        pool_factor, pool_tokens, protected_tokens
            As for ``create``; by default as they are. One of the first two without the other stands
            alone: ``pool_factor=1`` ends pooling.
        embeddings, token_ids
            Instead of a model, what ``add`` takes: in the order of ``ids()``, or as mappings by
            id. The collection has no model then.
        progress
            Told ``("encode", documents, of how many)``.

        Returns
        -------
        RebuildReport

        Raises
        ------
        InputError
            For embeddings that lack a document or cannot be stored, or where there is no model.
        SettingsError
            For a setting out of range, before anything is done.
        MissingExtra
            For pooling without the package ``scipy``.
        Locked
            When somebody else settles, compacts or rebuilds.
        CollectionError
            When the disk is full or refuses. As after every error, and after a crash, the
            collection is as it was.
        """
        if bits is not None:
            check_bits(bits)
        wanted = Wanted(
            dim,
            bits,
            passage_tokens,
            passage_overlap,
            pool_factor,
            pool_tokens,
            protected_tokens,
        )
        if embeddings is not None:
            if model is not None:
                raise InputError("model and embeddings came together. Pass one of them.")
            return with_embeddings(self._store, embeddings, token_ids, wanted, progress)
        if token_ids is not None:
            raise InputError("token_ids came without embeddings. Pass both, or neither.")
        given = None if model is None else speaker(model, self._n_threads, dim)
        return with_model(
            self._store, self._models, given, wanted, progress, insists=not is_name(model)
        )

    def verify(self, progress: Progress = silent) -> store.VerifyReport:
        """Read every file of the collection and check it against its checksum and the catalog."""
        return self._store.verify(progress)

    def repair(self, *, drop_lost: bool = False, progress: Progress = silent) -> store.RepairReport:
        """Make damaged files again from the texts of their documents, as one commit.

        Everything is read first, as by ``verify``. Passages of damaged files are encoded again, by
        the same model; what is sound is not touched. Open a collection that says ``Corrupt`` with
        ``damaged="skip"``. The damaged files are swept when nobody reads them any more.

        Parameters
        ----------
        drop_lost
            Delete documents that cannot be made again: those whose text is damaged, and those
            whose embeddings came from elsewhere. Without it they are named, and all files stay.
        progress
            Told ``("verify", files, of how many)``, then ``("encode", documents, of how many)``.

        Returns
        -------
        RepairReport
            What was made again, what is lost, and what is still wrong.

        Raises
        ------
        Corrupt
            When the catalog cannot be read: restore a backup.
        Locked
            When another process settles, merges or repairs the collection.
        ModelMismatch, CheckpointError
            When the model is not at hand; nothing has changed.
        """
        remaking = Remaking(self._models.at(self._store.settings))
        return self._store.repair(
            remaking.can, remaking.encode, drop_lost=drop_lost, progress=progress
        )

    def backup(
        self, path: str | os.PathLike[str], *, progress: Progress = silent
    ) -> store.BackupReport:
        """Copy the newest commit to another folder, while others read and write.

        The copy is itself a collection: ``open`` and every command take it. Each file is compared
        with its checksum, so no damage is copied. A backup is there whole or not at all, whenever
        the power fails.

        Parameters
        ----------
        path
            A new or empty folder; or an earlier backup of this collection that was not changed,
            which is brought up to date: only files that it lacks are copied.
        progress
            Told ``("copy", bytes, of how many)``.

        Returns
        -------
        BackupReport
            Which commit it holds, and how much was copied.

        Raises
        ------
        CollectionError
            When there is something else at ``path``, or it cannot be written.
        Corrupt
            When a file of this collection is damaged; the message names it.
        Locked
            When the earlier backup is open somewhere, or another process is writing it.
        """
        return self._store.backup(path, progress)

    def info(self, *, load: bool = False) -> dict[str, Any]:
        """What the collection is and holds: counts, bytes by part, model, settings.

        ``kernels`` names the kernel table that searches, and ``encoder`` what runs the model:
        backend, precision, device and threads.

        Parameters
        ----------
        load
            Load the model, to tell what runs it; else that is None before the first text is
            encoded. Nothing is fetched from the hub for that. Where the model cannot be loaded,
            ``encoder_error`` says why, and nothing is raised.
        """
        settings = self._store.settings
        splitting, pooling = splitting_of(settings), pooling_of(settings)
        encoder = error = None
        try:
            encoder = self._models.at(settings).running(load=load and settings.model is not None)
        except InterlaceError as cause:
            error = str(cause)
        return {
            **self._store.info(),
            "model": dict(settings.model) if settings.model else None,
            "encoder": encoder,
            "encoder_error": error,
            "dim": settings.dim,
            "codec": settings.codec,
            "seed": settings.seed,
            "passage_tokens": splitting.tokens_max,
            "passage_overlap": splitting.overlap,
            "pool_factor": pooling.factor,
            "pool_tokens": pooling.tokens_max,
            "protected_tokens": pooling.protected,
            "last_settle_error": self._store.last_settle_error
            and str(self._store.last_settle_error),
        }

    def close(self) -> None:
        """Let go of the files; what was added is stored already."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Collection {self.path}>"

    def _snapshot(self) -> store.Snapshot:
        """The commit that a read sees."""
        if self._refreshes:
            self._store.refresh()
        return self._store.snapshot()

    # --- queries -------------------------------------------------------------------------------

    def _queries(
        self,
        snapshot: store.Snapshot,
        queries: Sequence[str] | None,
        embeddings: Iterable[Any] | None,
        mode: str | None,
        chosen: Mode,
    ) -> list[Query]:
        """Checked queries, encoded where their matrices are needed and did not come along."""
        if queries is None and embeddings is None:
            raise InputError("a search needs a query or embeddings. Pass one of the two, or both.")
        matrices: list[FloatMatrix] | None = None
        if embeddings is not None:
            check_iterable(embeddings, "queries")
            dim = snapshot.settings.dim
            matrices = [matrix_from(one, dim, f"query {i}") for i, one in enumerate(embeddings)]
        if queries is None:
            assert matrices is not None
            notes = (NO_TEXT,) if mode == "hybrid" else ()
            return [Query(matrix, None, notes) for matrix in matrices]
        check_iterable(queries, "queries")
        if isinstance(queries, str):
            raise InputError(f"queries must be a list: got {queries!r} alone. Use search.")
        texts = list(queries)
        if matrices is not None and len(matrices) != len(texts):
            raise InputError(
                f"{len(texts)} queries but {len(matrices)} embeddings. Pass one for each query."
            )
        if chosen == "lexical":
            return word_queries(texts)
        if matrices is not None:
            check_queries(texts)
            return [Query(matrix, one) for matrix, one in zip(matrices, texts, strict=True)]
        start = perf_counter()
        encoded = self._models.at(snapshot.settings).queries(texts)
        encode_us = (perf_counter() - start) * 1e6 / max(1, len(texts))
        return [
            Query(matrix, one, notes, encode_us)
            for one, (matrix, notes) in zip(texts, encoded, strict=True)
        ]


def _allowed(
    snapshot: store.Snapshot,
    where: store.Where | None,
    ids: Iterable[Id] | None,
    missing: Missing,
) -> npt.NDArray[np.uint8] | None:
    """The rows of the documents that are asked for, as a bitmap over all; None for all."""
    check_missing(missing)
    matching = None if where is None else snapshot.where(where)
    if ids is None:
        return matching
    rows, unknown = snapshot.find(text.checked_ids(ids))
    if missing == "error":
        refuse_unknown(unknown)
    marked = np.zeros(snapshot.n_rows, np.bool_)
    marked[rows] = True
    named = np.packbits(marked, bitorder="little")
    return named if matching is None else named & matching


def _offset(progress: Progress, done_before: int, total: int | None) -> Progress:
    """Report the documents of one commit as part of the whole call."""

    def report(stage: str, done: int, _: int | None) -> None:
        progress(stage, done_before + done, total)

    return report

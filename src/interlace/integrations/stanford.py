"""Stanford ColBERT's retrieval on interlace: its code runs with other import lines.

Compared with colbert-ai 0.2.22. An index is a collection whose documents are known by their pids.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import (
    Callable,
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    Sequence,
    ValuesView,
)
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np

from interlace import collection as collections
from interlace import files
from interlace.errors import CollectionError, InputError, SettingsError
from interlace.integrations.frameworks import stored
from interlace.integrations.named import filling, is_there, opened
from interlace.models import Encoder
from interlace.types import Hits

__all__ = [
    "ColBERTConfig",
    "Collection",
    "Indexer",
    "Queries",
    "Ranking",
    "Run",
    "RunConfig",
    "Searcher",
]

_Path: TypeAlias = str | os.PathLike[str]
_Config = TypeVar("_Config", bound="RunConfig")
#: Of a run without a name: one folder for all that it saves.
_STARTED: Final = f"{datetime.now():%Y-%m-%d_%H.%M.%S}"

#: [CLS], the marker and [SEP], which ColBERT counts into a document's length, and interlace not.
_MARKERS: Final = 3


# --- settings ------------------------------------------------------------------------------------
@dataclass(kw_only=True)
class RunConfig:
    """Where a run's files are; None stands for what is not said.

    Attributes
    ----------
    root : path
        By default ``experiments``; indexes are in ``root/experiment/indexes``, rankings in
        ``root/experiment/name``.
    experiment : str
        By default ``default``.
    index_root : path
        Where indexes are instead.
    name : str
        By default the time at which this was imported.
    overwrite : bool
        Whether a ranking takes the place of another.
    nranks, rank, gpus, amp, avoid_fork_if_possible
        Change nothing: no process is started.
    """

    root: _Path | None = None
    experiment: str | None = None
    index_root: _Path | None = None
    name: str | None = None
    overwrite: bool | None = None
    rank: int | None = None
    nranks: int | None = None
    gpus: int | str | list[int] | None = None
    amp: bool | None = None
    avoid_fork_if_possible: bool | None = None

    @classmethod
    def from_existing(cls: type[_Config], *sources: RunConfig | None) -> _Config:
        """What several say together; the last has the last word."""
        known = {field.name for field in fields(cls)}
        said = {
            field.name: value
            for source in sources
            if source is not None
            for field in fields(source)
            if field.name in known and (value := getattr(source, field.name)) is not None
        }
        return cls(**said)

    def configure(self, **settings: Any) -> None:
        """Change settings.

        Raises
        ------
        SettingsError
            For one that there is not.
        """
        known = [field.name for field in fields(self)]
        for name, value in settings.items():
            if name not in known:
                raise SettingsError(f"no such setting: {name}. There are {', '.join(known)}.")
            setattr(self, name, value)

    @property
    def index_root_(self) -> str:
        """The folder of the indexes."""
        return os.fspath(self.index_root or self._folder / "indexes")

    @property
    def path_(self) -> str:
        """The folder of the rankings."""
        return str(self._folder / (self.name or _STARTED))

    @property
    def _folder(self) -> Path:
        return Path(self.root or "experiments") / (self.experiment or "default")


@dataclass(kw_only=True)
class ColBERTConfig(RunConfig):
    """Settings of a run, a model and an index; None stands for what is not said.

    Attributes
    ----------
    checkpoint : str or path
        The model of a searcher, where it is not the index's own.
    collection
        The texts of a searcher, where they are not the index's own.
    index_name : str
        Of the index that is made.
    index_path : path
        Where that is instead.
    nbits : int
        1, 2 or 4; by default 4.
    dim : int
        Width of an embedding, where the model can be cut to it.
    doc_maxlen : int
        Tokens of a passage, markers among them, at most; longer texts are cut into several, and go
        by the best. By default, and at most, what the model reads.
    pool_factor, protected_tokens : int
        As for ``interlace.create``.
    ncells, centroid_score_threshold, ndocs, index_bsize, kmeans_niters, bsize, query_maxlen, \
attend_to_mask_tokens, mask_punctuation, similarity, interaction, resume, load_index_with_mmap, \
clustering_mode, model_name
        Change nothing: the model's own files say how it reads, and there is nothing to tune.
    """

    checkpoint: _Path | None = None
    collection: Any = None
    queries: Any = None
    index_name: str | None = None
    index_path: _Path | None = None
    nbits: int | None = None
    dim: int | None = None
    doc_maxlen: int | None = None
    pool_factor: int | None = None
    protected_tokens: int | None = None
    ncells: int | None = None
    centroid_score_threshold: float | None = None
    ndocs: int | None = None
    index_bsize: int | None = None
    kmeans_niters: int | None = None
    bsize: int | None = None
    query_maxlen: int | None = None
    attend_to_mask_tokens: bool | None = None
    mask_punctuation: bool | None = None
    similarity: str | None = None
    interaction: str | None = None
    resume: bool | None = None
    load_index_with_mmap: bool | None = None
    clustering_mode: str | None = None
    model_name: str | None = None

    @property
    def index_path_(self) -> str:
        """The folder of the index."""
        return os.fspath(self.index_path or Path(self.index_root_) / (self.index_name or ""))


_RUN: Final = ContextVar("_RUN", default=RunConfig())  # noqa: B039 (it is replaced, not changed)


class Run:
    """The settings of the run that the code is in: of this thread or task, and no other."""

    @property
    def config(self) -> RunConfig:
        """These settings."""
        return _RUN.get()

    @contextmanager
    def context(self, runconfig: RunConfig, inherit_config: bool = True) -> Iterator[None]:
        """Run a block with other settings; what they do not say is as around it."""
        chosen = RunConfig.from_existing(self.config, runconfig) if inherit_config else runconfig
        token = _RUN.set(chosen)
        try:
            yield
        finally:
            _RUN.reset(token)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.config, name)


# --- data ----------------------------------------------------------------------------------------
class Collection:
    """The passages of an index, in order; a passage's place is its pid.

    Parameters
    ----------
    path
        A file with a line ``pid⇥passage`` or ``pid⇥passage⇥title`` for each, in order. Indexing
        reads it line by line.
    data
        Or the passages.
    """

    def __init__(self, path: _Path | None = None, data: Sequence[str] | None = None) -> None:
        if (path is None) == (data is None):
            raise InputError("a Collection is of a path or of data, one of the two. Pass one.")
        self.path = None if path is None else Path(path)
        self._data = data

    @property
    def data(self) -> Sequence[str]:
        """All passages."""
        if self._data is None:
            self._data = list(iter(self))  # list(self) would ask for the length
        return self._data

    def __iter__(self) -> Iterator[str]:
        if self._data is not None:
            yield from self._data
            return
        assert self.path is not None
        for number, cells in _rows(self.path):
            if cells[0] not in ("id", str(number)):
                raise InputError(
                    f"pid {cells[0]!r:.40} on line {number + 1}: {self.path}. "
                    f"Passages are in the order of their pids, from 0: write {number}."
                )
            passage, *titles = cells[1:]
            yield f"{titles[0]} | {passage}" if titles else passage

    def __getitem__(self, pid: int) -> str:
        return self.data[pid]

    def __len__(self) -> int:
        return len(self.data)

    def save(self, new_path: _Path) -> str:
        """Write a new file in the folder of the run, a line for each passage; returns its path.

        Raises
        ------
        InputError
            For a passage with a tab or a line break.
        """
        return _save(new_path, enumerate(self))

    @classmethod
    def cast(cls, given: Any) -> Collection:
        """A collection of a path, of a list, or as it is."""
        if isinstance(given, Collection):
            return given
        if isinstance(given, str | os.PathLike):
            return cls(path=given)
        return cls(data=given)


class Queries:
    """Queries by their qid.

    Parameters
    ----------
    path
        A file with a line ``qid⇥query`` for each; or one whose name ends in ``.json`` or
        ``.jsonl``, with an object a line that has ``qid`` and ``question``.
    data
        Or a mapping from qid to query.
    """

    def __init__(self, path: _Path | None = None, data: Mapping[Any, Any] | None = None) -> None:
        if (path is None) == (data is None):
            raise InputError("Queries are of a path or of data, one of the two. Pass one.")
        self.path = None if path is None else Path(path)
        pairs: Iterable[tuple[Any, Any]] = data.items() if data is not None else _queries(self.path)
        self.data: dict[Any, str] = {}
        for qid, query in pairs:
            if qid in self.data:
                raise InputError(f"a qid comes twice: {qid!r}, {self.path}. Number queries anew.")
            self.data[qid] = query["question"] if isinstance(query, Mapping) else query

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[tuple[Any, str]]:
        return iter(self.data.items())

    def __getitem__(self, qid: Any) -> str:
        return self.data[qid]

    def keys(self) -> KeysView[Any]:
        """The qids."""
        return self.data.keys()

    def values(self) -> ValuesView[str]:
        """The queries."""
        return self.data.values()

    def items(self) -> ItemsView[Any, str]:
        """Both."""
        return self.data.items()

    def save(self, new_path: _Path) -> str:
        """Write a new file in the folder of the run, a line for each query; returns its path."""
        return _save(new_path, self.data.items())

    @classmethod
    def cast(cls, given: Any) -> Queries:
        """Queries of a path, of a mapping, of a list (by place), or as they are."""
        if isinstance(given, Queries):
            return given
        if isinstance(given, str | os.PathLike):
            return cls(path=given)
        return cls(data=given if isinstance(given, Mapping) else dict(enumerate(given)))


class Ranking:
    """The hits of queries: for each qid ``(pid, rank, score)``, best first.

    Parameters
    ----------
    path
        A file that :meth:`save` wrote.
    data
        Or a mapping from qid to hits; or rows that begin with a qid.
    """

    def __init__(self, path: _Path | None = None, data: Any = None) -> None:
        if (path is None) == (data is None):
            raise InputError("a Ranking is of a path or of data, one of the two. Pass one.")
        if path is not None:
            data = [tuple(map(_number, cells)) for _, cells in _rows(Path(path))]
        self.data: dict[Any, list[tuple[Any, ...]]] = {}
        if isinstance(data, Mapping):
            self.data.update({qid: list(map(tuple, hits)) for qid, hits in data.items()})
        else:
            for qid, *hit in data:
                self.data.setdefault(qid, []).append(tuple(hit))

    @property
    def flat_ranking(self) -> list[tuple[Any, ...]]:
        """A row ``(qid, pid, rank, score)`` for each hit."""
        return [(qid, *hit) for qid, hits in self.data.items() for hit in hits]

    def todict(self) -> dict[Any, list[tuple[Any, ...]]]:
        """The hits of each qid."""
        return dict(self.data)

    def tolist(self) -> list[tuple[Any, ...]]:
        """As ``flat_ranking``."""
        return self.flat_ranking

    def items(self) -> ItemsView[Any, list[tuple[Any, ...]]]:
        """The qids and their hits."""
        return self.data.items()

    def save(self, new_path: _Path) -> str:
        """Write a new file in the folder of the run, a line ``qid⇥pid⇥rank⇥score`` for each hit.

        Returns
        -------
        str
            Its path.

        Raises
        ------
        CollectionError
            When it is there, and the run does not overwrite, or when it cannot be written.
        """
        return _save(new_path, self.flat_ranking)

    @classmethod
    def cast(cls, given: Any) -> Ranking:
        """A ranking of a path, of data, or as it is."""
        if isinstance(given, Ranking):
            return given
        return cls(path=given) if isinstance(given, str | os.PathLike) else cls(data=given)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The lines of a file, with their numbers from 0, cut at the tabs."""
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file):
                cells = line.rstrip("\r\n").split("\t")
                if len(cells) < 2:
                    raise InputError(
                        f"no tab on line {number + 1}: {path}. Write a number, a tab, the text."
                    )
                yield number, cells
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {path} ({error}). Give a file in UTF-8.") from error


def _queries(path: Path | None) -> Iterator[tuple[Any, Any]]:
    assert path is not None
    if path.suffix not in (".json", ".jsonl"):
        for number, (qid, query, *_) in _rows(path):
            if not qid.lstrip("-").isdecimal():
                raise InputError(
                    f"qid {qid!r:.40} on line {number + 1} is no whole number: {path}. "
                    "Number the queries."
                )
            yield int(qid), query
        return
    try:
        with path.open(encoding="utf-8") as file:
            for one in map(json.loads, file):
                yield one["qid"], one
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"cannot be read: {path} ({error!r}). Give an object with qid and question a line."
        ) from error


def _number(cell: str) -> int | float:
    try:
        return int(cell) if cell.lstrip("-").isdecimal() else float(cell)
    except ValueError:
        raise InputError(f"no number in a ranking: {cell!r:.40}. Give what save wrote.") from None


def _save(new_path: _Path, rows: Iterable[tuple[Any, ...]]) -> str:
    path = Path(_RUN.get().path_) / new_path
    if path.exists() and not _RUN.get().overwrite:
        raise CollectionError(
            f"there is a file of that name: {path}. Give another, or overwrite=True to RunConfig."
        )
    files.make_folder(path.parent)
    with files.new_file(path) as file:
        for row in rows:
            cells = [str(int(cell) if isinstance(cell, bool) else cell) for cell in row]
            if any(mark in cell for cell in cells for mark in "\t\n\r"):
                raise InputError(
                    f"a tab or line break in a text: {cells[0]}. These files cannot hold them; "
                    "pass the texts as a list."
                )
            file.write(("\t".join(cells) + "\n").encode())
    return str(path)


# --- indexing and searching ----------------------------------------------------------------------
class Indexer:
    """Makes an index.

    Parameters
    ----------
    checkpoint
        The model's name or folder, or an ``Encoder``.
    config
        What the run around it says goes before.
    """

    def __init__(
        self, checkpoint: _Path | Encoder, config: ColBERTConfig | None = None, verbose: int = 3
    ) -> None:
        self.checkpoint = checkpoint
        self.config = ColBERTConfig.from_existing(config, Run().config)
        self.index_path: str | None = None

    def configure(self, **settings: Any) -> None:
        """As ``ColBERTConfig.configure``."""
        self.config.configure(**settings)

    def get_index(self) -> str | None:
        """The path of what :meth:`index` has made."""
        return self.index_path

    def index(self, name: str, collection: Any, overwrite: bool | str = False) -> str:
        """Make an index of passages; returns its path, where it is a collection.

        Parameters
        ----------
        name
            The index is ``root/experiment/indexes/name``.
        collection
            A path as for ``Collection``, a list of texts, or a ``Collection``.
        overwrite
            ``True`` or ``"force_silent_overwrite"`` replaces one of that name, once the new one is
            complete; ``"reuse"`` leaves it; ``"resume"`` adds what it lacks.

        Raises
        ------
        CollectionError
            When the name is taken, and ``overwrite`` is ``False``.
        InputError
            For a line that is not as it should be; an index of that name stays as it was.
        """
        config = replace(self.config, index_name=name)
        path = Path(config.index_path_)
        if overwrite == "reuse" and is_there(path):
            self.index_path = str(path)
            return self.index_path
        model = self.checkpoint
        encoder = model if isinstance(model, Encoder) else Encoder.load(model, dim=config.dim)
        longest = encoder.document_length
        said = {
            "bits": config.nbits,
            "pool_factor": config.pool_factor,
            "protected_tokens": config.protected_tokens,
            "passage_tokens": config.doc_maxlen and min(config.doc_maxlen - _MARKERS, longest),
        }
        settings = {key: value for key, value in said.items() if value is not None}
        with filling(path, overwrite, encoder, **settings) as made:
            made.add(
                {"id": pid, "text": text} for pid, text in enumerate(Collection.cast(collection))
            )
        self.index_path = str(path)
        return self.index_path


class Searcher:
    """Searches an index.

    Parameters
    ----------
    index
        Its name.
    checkpoint
        The model it was made with, where its name does not load it.
    collection
        The texts, where the index's own are not to be shown.
    config
        What the run around it says goes before.
    index_root
        The folder of the indexes, instead of the run's.

    Attributes
    ----------
    collection : Collection
        The texts by pid.
    """

    def __init__(
        self,
        index: str,
        checkpoint: _Path | Encoder | None = None,
        collection: Any = None,
        config: ColBERTConfig | None = None,
        index_root: _Path | None = None,
        verbose: int = 3,
    ) -> None:
        self.config = ColBERTConfig.from_existing(config, Run().config)
        self.index = str(Path(index_root or self.config.index_root_) / index)
        self._index = opened(Path(self.index), checkpoint or self.config.checkpoint)
        texts = self.config.collection if collection is None else collection
        self.collection = Collection.cast(_Texts(self._index) if texts is None else texts)

    def configure(self, **settings: Any) -> None:
        """As ``ColBERTConfig.configure``."""
        self.config.configure(**settings)

    def search(
        self,
        text: str,
        k: int = 10,
        filter_fn: Callable[[Any], Any] | None = None,
        full_length_search: bool = False,
        pids: Iterable[int] | None = None,
    ) -> tuple[list[int], list[int], list[float]]:
        """The passages that best match a query.

        Parameters
        ----------
        text
            The query.
        k
            How many; all where there are fewer.
        filter_fn
            From pids to those that are allowed: a tensor of int32 where PyTorch is imported, else
            an array. It is called once, with all pids or with ``pids``.
        full_length_search
            Changes nothing.
        pids
            Only these.

        Returns
        -------
        pids, ranks, scores
            Best first; ranks from 1; MaxSim.

        Raises
        ------
        InputError
            For a pid that is not there.
        """
        only = self._allowed(filter_fn, pids)
        hits = self._index.search(text, k, mode="late", ids=only)
        return (
            [int(hit.id) for hit in hits],
            [hit.rank for hit in hits],
            [hit.score for hit in hits],
        )

    def search_all(
        self,
        queries: Any,
        k: int = 10,
        filter_fn: Callable[[Any], Any] | None = None,
        full_length_search: bool = False,
        qid_to_pids: Mapping[Any, Iterable[int] | None] | None = None,
    ) -> Ranking:
        """As :meth:`search`, for ``Queries`` or what can be made some.

        ``qid_to_pids`` has for each qid its ``pids``, or None.
        """
        wanted = Queries.cast(queries)
        runs: Iterable[Hits]
        if qid_to_pids is None:
            only = self._allowed(filter_fn, None)
            runs = self._index.search_many(list(wanted.values()), k, mode="late", ids=only)
        else:
            runs = [
                self._index.search(
                    text, k, mode="late", ids=self._allowed(filter_fn, qid_to_pids.get(qid))
                )
                for qid, text in wanted.items()
            ]
        return Ranking(
            data={
                qid: [(hit.id, hit.rank, hit.score) for hit in hits]
                for qid, hits in zip(wanted.keys(), runs, strict=True)
            }
        )

    def _allowed(
        self, filter_fn: Callable[[Any], Any] | None, pids: Iterable[int] | None
    ) -> list[int] | None:
        if filter_fn is None:
            return None if pids is None else [int(pid) for pid in pids]
        given: Any = np.fromiter(self._index.ids() if pids is None else pids, np.int32)
        torch = sys.modules.get("torch")  # whoever filters tensors has imported it
        kept = filter_fn(given if torch is None else torch.from_numpy(given))
        return [int(pid) for pid in np.asarray(kept).tolist()]


class _Texts(Sequence[str]):
    """The texts of an index, read when they are asked for."""

    def __init__(self, index: collections.Collection) -> None:
        self._index = index

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, pid: Any) -> Any:
        if isinstance(pid, slice):
            return [one.text for one in self._index.get(range(*pid.indices(len(self))))]
        return self._index.get([int(pid)])[0].text

    def __iter__(self) -> Iterator[str]:
        return (one.text for one in stored(self._index, self._index.ids()))

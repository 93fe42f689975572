"""The SQLite file of a catalog: its schema, a connection that threads and forks may use, errors."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from interlace import files
from interlace.errors import (
    CollectionError,
    Corrupt,
    FormatTooNew,
    FormatTooOld,
    Locked,
    NotACollection,
)
from interlace.store.rows import FORMAT, OLDEST_READABLE, Commit

FILE_NAME: Final = "catalog.sqlite"

_APPLICATION_ID = 0x4C414345
"""``LACE``, in the header of the database: what tells a catalog from any other database."""

_LOG_BYTES_MAX = 1 << 24
"""What the write-ahead log may keep of the disk once its content is in the database."""

_SCHEMA = """
CREATE TABLE settings (value TEXT NOT NULL, born INTEGER NOT NULL, died INTEGER);
CREATE TABLE tuned (value TEXT NOT NULL, born INTEGER NOT NULL, died INTEGER);
CREATE TABLE origin (collection TEXT NOT NULL, backup INTEGER);
CREATE TABLE commits (
    number INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    at TEXT NOT NULL,
    n_documents INTEGER NOT NULL,
    n_passages INTEGER NOT NULL,
    next_document INTEGER NOT NULL,
    next_passage INTEGER NOT NULL
);
CREATE TABLE documents (
    number INTEGER PRIMARY KEY,
    id NOT NULL,
    content_hash TEXT NOT NULL,
    syntax TEXT,
    file TEXT,
    line INTEGER,
    born INTEGER NOT NULL,
    died INTEGER
);
CREATE INDEX documents_by_id ON documents (id);
CREATE INDEX documents_by_file ON documents (file) WHERE file IS NOT NULL;
CREATE UNIQUE INDEX documents_live ON documents (id) WHERE died IS NULL;
CREATE INDEX documents_dead ON documents (died) WHERE died IS NOT NULL;
CREATE TABLE texts (
    document INTEGER NOT NULL,
    part INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (document, part)
);
CREATE TABLE metadata (
    document INTEGER NOT NULL, value TEXT NOT NULL, born INTEGER NOT NULL, died INTEGER
);
CREATE INDEX metadata_by_document ON metadata (document);
CREATE INDEX metadata_dead ON metadata (died) WHERE died IS NOT NULL;
CREATE TABLE fields (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE field_values (
    field INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    value NOT NULL,
    document INTEGER NOT NULL,
    born INTEGER NOT NULL,
    died INTEGER,
    PRIMARY KEY (field, kind, value, document, born)
) WITHOUT ROWID;
CREATE INDEX field_values_by_document ON field_values (document, field, died);
CREATE INDEX field_values_dead ON field_values (died) WHERE died IS NOT NULL;
CREATE TABLE passages (
    number INTEGER PRIMARY KEY,
    document INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    start INTEGER NOT NULL,
    "end" INTEGER NOT NULL,
    line INTEGER,
    page INTEGER,
    headings TEXT,
    born INTEGER NOT NULL,
    died INTEGER,
    dropped INTEGER
);
CREATE INDEX passages_by_document ON passages (document, ordinal);
CREATE INDEX passages_dead ON passages (died) WHERE died IS NOT NULL;
CREATE INDEX passages_dropped ON passages (dropped) WHERE dropped IS NOT NULL;
CREATE TABLE sources (
    number INTEGER NOT NULL,
    path TEXT NOT NULL,
    label TEXT NOT NULL,
    options TEXT NOT NULL,
    born INTEGER NOT NULL,
    died INTEGER
);
CREATE UNIQUE INDEX sources_live ON sources (number) WHERE died IS NULL;
CREATE TABLE files (
    name TEXT NOT NULL,
    source INTEGER NOT NULL,
    fingerprint TEXT NOT NULL,
    born INTEGER NOT NULL,
    died INTEGER
);
CREATE UNIQUE INDEX files_live ON files (name) WHERE died IS NULL;
CREATE INDEX files_by_source ON files (source);
CREATE INDEX files_dead ON files (died) WHERE died IS NOT NULL;
CREATE TABLE segments (
    name TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    generation TEXT,
    n_passages INTEGER NOT NULL,
    n_tokens INTEGER NOT NULL,
    n_bytes INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    born INTEGER NOT NULL,
    died INTEGER
);
CREATE TABLE chunks (
    generation TEXT NOT NULL,
    number INTEGER NOT NULL,
    n_tokens INTEGER NOT NULL,
    pieces TEXT NOT NULL,
    born INTEGER NOT NULL,
    PRIMARY KEY (generation, number)
);
CREATE TABLE runs (
    number INTEGER PRIMARY KEY,
    n_postings INTEGER NOT NULL,
    first INTEGER NOT NULL,
    born INTEGER NOT NULL,
    died INTEGER,
    passages BLOB NOT NULL,
    lengths BLOB NOT NULL
);
CREATE TABLE words (
    run INTEGER NOT NULL,
    word TEXT NOT NULL,
    passages BLOB NOT NULL,
    counts BLOB NOT NULL,
    PRIMARY KEY (run, word)
);
CREATE TABLE generations (
    name TEXT PRIMARY KEY, description TEXT NOT NULL, born INTEGER NOT NULL, died INTEGER
);
"""

_Key = TypeVar("_Key", int, str)
_Json = TypeVar("_Json", dict[str, Any], list[Any], str)


class Database:
    """A connection to a catalog, usable from any thread, and from a child after a fork.

    Raises
    ------
    NotACollection, FormatTooNew, FormatTooOld, Corrupt, CollectionError
    """

    def __init__(self, folder: Path, *, wait_seconds: float = 10.0) -> None:
        self.path = folder / FILE_NAME
        self._folder, self._wait_seconds = folder, wait_seconds
        self._closed = False
        self._connect()
        try:
            self._check_format()
        except BaseException:
            self.close()
            raise

    def _connect(self) -> None:
        self._lock, self._pid = threading.RLock(), os.getpid()
        uri = self.path.resolve().as_uri()
        writable = files.is_writable(self._folder) and files.is_writable(self.path)
        if not writable and not files.size(self.path.with_name(FILE_NAME + "-wal")):
            uri += "?mode=ro&immutable=1"
        else:
            uri += "?mode=rw" if writable else "?mode=ro"
        with _translated(self.path):
            self._sqlite = sqlite3.connect(
                uri,
                uri=True,
                timeout=self._wait_seconds,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                self._sqlite.execute("PRAGMA synchronous = FULL")
                self._sqlite.execute("PRAGMA fullfsync = ON")
                self._sqlite.execute("PRAGMA trusted_schema = OFF")
                # SQLite's own length() ends at the first NUL.
                self._sqlite.create_function("characters", 1, _n_characters, deterministic=True)
                self._sqlite.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES_MAX}")
            except BaseException:
                self._sqlite.close()
                raise

    def _check_format(self) -> None:
        application = self._value("PRAGMA application_id")
        if application != _APPLICATION_ID:
            raise not_a_collection(self._folder)
        found = self._value("PRAGMA user_version")
        readable = f"this version reads formats {OLDEST_READABLE} to {FORMAT}"
        if found > FORMAT:
            raise FormatTooNew(
                f"the collection has format {found}: {self._folder}: {readable}. "
                "Upgrade interlace (pip install --upgrade interlace)."
            )
        if found < OLDEST_READABLE:
            raise FormatTooOld(
                f"the collection has format {found}: {self._folder}: {readable}. "
                "Index the documents again with this version."
            )

    def close(self) -> None:
        """Close the connection; the last one to close moves the log into the database."""
        if not self._closed and self._pid == os.getpid():
            self._closed = True
            with _translated(self.path):
                self._sqlite.close()

    def copy_into(self, path: Path) -> None:
        """Copy the whole database as it is at one moment, while others write to it.

        What ``path`` held is replaced in one transaction: whoever reads there meanwhile, and
        whoever finds it after a crash, sees the one or the other.
        """
        with self._connection() as connection, _translated(path):
            target = sqlite3.connect(path, timeout=self._wait_seconds, isolation_level=None)
            try:
                target.execute("PRAGMA synchronous = FULL")
                target.execute("PRAGMA fullfsync = ON")
                connection.backup(target)
            finally:
                target.close()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """The connection, for one short use.

        (1) A process opens a collection and forks. (2) The child uses or closes the connection.
        (3) SQLite's locks belong to the process, so the parent's fall. Hence a child leaves the
        connection it was born with untouched and makes its own.
        """
        if self._pid != os.getpid():
            _LEFT_BY_PARENT.append(self._sqlite)
            self._connect()
        with self._lock:
            if self._closed:
                raise CollectionError(
                    f"the collection is closed: {self._folder}. Open it again to go on."
                )
            with _translated(self.path):
                yield self._sqlite

    def _rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[Any]:
        with self._connection() as connection:
            return connection.execute(sql, parameters or {}).fetchall()

    def _value(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Any:
        rows = self._rows(sql, parameters)
        return rows[0][0] if rows else None

    def _change(self, sql: str, parameters: Mapping[str, Any]) -> int:
        with self._connection() as connection:
            return connection.execute(sql, parameters).rowcount

    def _change_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        with self._connection() as connection:
            connection.executemany(sql, rows)

    def _after(self, last: _Key, key: object) -> _Key:
        """The key that a reading in pieces goes on from, which ascends, or it would never end."""
        if isinstance(key, type(last)) and key > last:
            return key
        raise Corrupt(
            f"the catalog is damaged: {self.path}: expected rows in order, found {key!r} after "
            f"{last!r}. Restore the folder from a copy, or index the documents again."
        )

    def _parsed(self, text: object) -> dict[str, Any]:
        return self._json(text, dict, "object")

    def _headings(self, text: str | None) -> tuple[str, ...]:
        return () if text is None else tuple(self._json(text, list, "array"))

    def _json(self, text: object, kind: type[_Json], called: str) -> _Json:
        try:
            value = json.loads(str(text))
        except ValueError:
            value = None
        if not isinstance(value, kind):
            raise Corrupt(
                f"the catalog is damaged: {self.path}: expected a JSON {called}, found "
                f"{str(text)[:40]!r}. Restore the folder from a copy, or index the documents again."
            )
        return value


_LEFT_BY_PARENT: list[sqlite3.Connection] = []
"""Connections that a parent process made: kept, because letting them go would close them."""


def create(folder: Path, settings: str) -> None:
    """Make the catalog of an empty collection, whole or not at all.

    Raises
    ------
    CollectionError
        When the disk refuses.
    """
    path = folder / FILE_NAME
    with _translated(path):
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN EXCLUSIVE")
            for statement in _SCHEMA.split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {FORMAT}")
            connection.execute("INSERT INTO settings VALUES (?, 0, NULL)", (settings,))
            connection.execute("INSERT INTO origin VALUES (?, NULL)", (uuid.uuid4().hex,))
            first = Commit(0, "create", now(), 0, 0, 0, 0)
            connection.execute("INSERT INTO commits VALUES (?, ?, ?, ?, ?, ?, ?)", first)
            connection.execute("COMMIT")
        finally:
            connection.close()


def exists(folder: Path) -> bool:
    """Whether a folder holds a whole catalog, of whatever format.

    Raises
    ------
    Corrupt
        When there is a file of its name that SQLite cannot read.
    """
    path = folder / FILE_NAME
    if not files.size(path):
        return False
    with _translated(path):
        connection = sqlite3.connect(path)
        try:
            (application,) = connection.execute("PRAGMA application_id").fetchone()
        finally:
            connection.close()
    return bool(application == _APPLICATION_ID)


def not_a_collection(folder: Path) -> NotACollection:
    """The error for a path without a collection."""
    if (folder / "segments").is_dir():
        return NotACollection(
            f"a collection without its catalog: {folder}: {FILE_NAME} is gone. "
            "Restore a backup, or index the documents again into a new folder."
        )
    return NotACollection(
        f"not a collection: {folder}. Make one with interlace.create({str(folder)!r}), "
        "or give the path of one."
    )


def _n_characters(text: object) -> int:
    return len(text) if isinstance(text, str) else 0


def now() -> str:
    """The time of a commit."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours.

    The bytes of a damaged database may be no UTF-8, in its rows or in SQLite's message about it.
    """
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise _translate(path, error) from error


def _translate(path: Path, error: sqlite3.Error | UnicodeDecodeError) -> CollectionError:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}:
        return Corrupt(
            f"the catalog is damaged: {path}: expected a SQLite database, found: {error}. "
            "Restore the folder from a copy, or index the documents again."
        )
    if code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}:
        return CollectionError(
            f"the disk is full or refuses a write: {path}: {error}. "
            "Free some space and repeat; nothing that was committed is lost."
        )
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return Locked(
            f"the catalog is in use: {path}: {error}. Wait until the other process is done."
        )
    if code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}:
        return CollectionError(
            f"the catalog cannot be opened or written: {path}: {error}. Check its permissions; "
            "where the folder may not be written, close the writer first, or open it once from "
            "an account that may write."
        )
    return CollectionError(f"the catalog refused: {path}: {error}. Run `interlace verify`.")

"""Collections as files that other programs read, and back: docs/reference/exchange.md."""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, NoReturn, cast

import numpy as np

from interlace import files, store, text
from interlace.collection.batches import Entry, Given, entry_of, given_entry
from interlace.collection.matrices import encoded_from
from interlace.collection.model import fingerprint
from interlace.collection.pooling import pooling_of
from interlace.errors import InputError
from interlace.extras import need
from interlace.progress import Progress, silent
from interlace.types import Document, Encoded, Passage

VERSION: Final = 1
"""Of the rows' form; each row says it, under this key."""

_KEY: Final = "interlace"

_DTYPE: Final = np.dtype("<f2")
"""An embedding's numbers in a file. Stored codes are coarser, so they come back the same."""

_GROUP_BYTES: Final = 32 * 2**20
_GROUP_ROWS: Final = 10_000
"""What ends a row group of Parquet: as much is in memory when it is written, and when read."""

_DOCUMENT: Final = {"id", "text", "metadata", "syntax", "file", "line"}
_VECTORS: Final = {"dim", "model", "passages"}
_PASSAGE: Final = {"start", "end", "line", "page", "headings", "embeddings", "token_ids"}


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What ``export`` wrote.

    Attributes
    ----------
    path : str
        The file.
    format : str
        ``"jsonl"``, ``"jsonl.gz"`` or ``"parquet"``.
    commit : int
        The commit that it holds.
    n_documents, n_passages : int
        Written; passages only with embeddings.
    n_bytes : int
        Of the file.
    """

    path: str
    format: str
    commit: int
    n_documents: int
    n_passages: int
    n_bytes: int


# --- out -----------------------------------------------------------------------------------------
def export(
    snapshot: store.Snapshot,
    path: Path,
    format_: str,
    progress: Progress = silent,
    *,
    where: store.Where | None = None,
    vectors_of: Mapping[str, Any] | None = None,
) -> ExportReport:
    """Write the documents of a commit into a new file.

    Parameters
    ----------
    where : filter, optional
        Only documents that match.
    vectors_of : mapping, optional
        ``dim`` and ``model`` of the collection: passages and embeddings are written then too.
    """
    if path.exists():
        raise InputError(f"there is something already: {path}. Remove it, or give another name.")
    write = _write_parquet if format_ == "parquet" else _write_lines
    n_documents = n_passages = 0

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal n_documents, n_passages
        for document, passages, numbers in snapshot.whole_documents(where):
            row = _row_of(document)
            if vectors_of is not None:
                encoded = snapshot.encoded(numbers)
                row |= {**vectors_of, "passages": list(map(_passage_row, passages, encoded))}
                n_passages += len(passages)
            yield row
            n_documents += 1
            progress("export", n_documents, None if where else snapshot.n_documents)

    with files.new_file(path) as file:
        if format_ == "jsonl.gz":
            with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
                write(cast("IO[bytes]", packed), rows(), vectors_of is not None)
        else:
            write(file, rows(), vectors_of is not None)
    return ExportReport(
        str(path), format_, snapshot.number, n_documents, n_passages, files.size(path)
    )


def model_of(settings: store.Settings) -> dict[str, str] | None:
    """What a file says of the model that made its embeddings."""
    known = fingerprint(settings.model, pooling_of(settings))
    if settings.model is None or known is None:
        return None
    return {"name": str(settings.model["name"]), "fingerprint": known}


def _row_of(document: Document) -> dict[str, Any]:
    places = {name: getattr(document, name) for name in ("syntax", "file", "line")}
    return {
        _KEY: VERSION,
        "id": document.id,
        "text": document.text,
        "metadata": document.metadata,
        **_known(places),
    }


def _passage_row(passage: Passage, encoded: Encoded) -> dict[str, Any]:
    places = {"line": passage.line, "page": passage.page}
    ids = encoded.token_ids
    return {
        "start": passage.start,
        "end": passage.end,
        **_known(places),
        **({"headings": list(passage.headings)} if passage.headings else {}),
        **({} if ids is None else {"token_ids": ids.tolist()}),
        "embeddings": encoded.matrix.astype(_DTYPE).tobytes(),
    }


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _write_lines(file: IO[bytes], rows: Iterable[Mapping[str, Any]], _: bool) -> None:
    for row in rows:
        line = json.dumps(row, ensure_ascii=False, separators=(",", ":"), default=_base64)
        # DEL, which many tools take for a sign of binary data, stands only inside strings.
        file.write(line.replace("\x7f", "\\u007f").encode() + b"\n")


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _write_parquet(file: IO[bytes], rows: Iterable[Mapping[str, Any]], with_vectors: bool) -> None:
    parquet, arrow = _arrow()
    schema = _schema(arrow, with_vectors)
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for group in _groups(map(_for_parquet, rows)):
            writer.write_table(arrow.Table.from_pylist(group, schema))


def _arrow() -> tuple[Any, Any]:
    return need("pyarrow.parquet", extra="documents"), need("pyarrow", extra="documents")


def _schema(arrow: Any, with_vectors: bool) -> Any:
    fields = [
        arrow.field(_KEY, arrow.int32(), nullable=False),
        arrow.field("id", arrow.string(), nullable=False),
        arrow.field("id_is_int", arrow.bool_(), nullable=False),
        arrow.field("text", arrow.large_string(), nullable=False),
        arrow.field("metadata", arrow.large_string(), nullable=False),
        arrow.field("syntax", arrow.string()),
        arrow.field("file", arrow.string()),
        arrow.field("line", arrow.int64()),
    ]
    if with_vectors:
        model = {"name": arrow.string(), "fingerprint": arrow.string()}
        passage = {
            "start": arrow.int64(),
            "end": arrow.int64(),
            "line": arrow.int64(),
            "page": arrow.int64(),
            "headings": arrow.list_(arrow.string()),
            "token_ids": arrow.list_(arrow.int32()),
            "embeddings": arrow.large_binary(),
        }
        fields += [
            arrow.field("dim", arrow.int32(), nullable=False),
            arrow.field("model", arrow.struct(list(model.items()))),
            arrow.field("passages", arrow.list_(arrow.struct(list(passage.items())))),
        ]
    return arrow.schema(fields)


def _for_parquet(row: Mapping[str, Any]) -> dict[str, Any]:
    """A column has one type, and a number may be longer than its: ids and metadata as text."""
    return {
        **row,
        "id": str(row["id"]),
        "id_is_int": isinstance(row["id"], int),
        "metadata": json.dumps(row["metadata"], ensure_ascii=False),
    }


def _groups(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    group: list[dict[str, Any]] = []
    n_bytes = 0
    for row in rows:
        group.append(row)
        n_bytes += len(row["text"]) + len(row["metadata"])
        n_bytes += sum(len(one["embeddings"]) for one in row.get("passages", ()))
        if n_bytes >= _GROUP_BYTES or len(group) >= _GROUP_ROWS:
            yield group
            group, n_bytes = [], 0
    if group:
        yield group


# --- in ------------------------------------------------------------------------------------------
def entries_from(
    path: Path,
    format_: str,
    fields: text.Fields,
    settings: store.Settings,
) -> Iterator[Entry]:
    """Check the rows of a file, one at a time.

    A row that ``export`` wrote is taken as it says; any other as ``read`` takes a record that has
    a text.

    Parameters
    ----------
    settings
        Of the collection that they are for: embeddings of another model, or pooled in another way,
        are left out, and the texts encoded.

    Raises
    ------
    InputError
        Naming row and field.

    Warns
    -----
    UserWarning
        Once, when embeddings are left out.
    """
    own = model_of(settings)
    told: list[str] = []

    def leave_out(model: Mapping[str, Any] | None) -> None:
        name = "no model that it names" if model is None else f"the model {model['name']!r}"
        if name not in told:
            told.append(name)
            warnings.warn(
                f"{path} has embeddings of {name}; its texts are encoded with the collection's.",
                UserWarning,
                stacklevel=6,
            )

    for position, row in enumerate(text.rows(path, str(path), format_)):
        record = row.record
        if not isinstance(record, Mapping) or _KEY not in record:
            if isinstance(record, Mapping) and "text" not in record and not fields.text:
                there = ", ".join(map(str, record)) or "no fields"
                _refuse("text", "is not there", row.where, f"Say what is text; there is {there}.")
            document = text.document_of_record(record, fields, row.where)
            if own is None:
                _refuse("passages", "is not there, and the collection has no model", row.where)
            yield entry_of(position, document)
            continue
        if fields.id not in (None, "id") or fields.text not in ((), ("text",)):
            raise InputError(
                f"an exported row has its id in 'id' and its text in 'text': {row.where}. "
                "Name no other fields."
            )
        record = _from_parquet(record, row.where) if format_ == "parquet" else record
        yield _entry(position, record, row.where, settings.dim, own, leave_out)


class Vectors(NamedTuple):
    """What a file says of the embeddings in it; ``model`` is a name, None: the user's own."""

    dim: int
    model: str | None


def vectors_in(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,  # noqa: A002
) -> Vectors | None:
    """What the first row of a file says of its embeddings; None when there are none.

    Raises
    ------
    InputError
        When the file cannot be read.
    """
    format_ = text.exchange_format(os.fspath(path), format)
    for row in text.rows(Path(path), str(path), format_):
        record = row.record
        if isinstance(record, Mapping) and _KEY in record and isinstance(record.get("dim"), int):
            model = record.get("model")
            return Vectors(record["dim"], model["name"] if isinstance(model, Mapping) else None)
        break
    return None


def _from_parquet(record: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A row of Parquet as a line of JSON has it."""
    row = _known(record)
    if row.pop("id_is_int", False):
        try:
            row["id"] = int(row["id"])
        except (KeyError, TypeError, ValueError):
            _refuse("id", f"must be a whole number, not {row.get('id')!r}", where)
    if isinstance(row.get("metadata"), str):
        try:
            row["metadata"] = json.loads(row["metadata"])
        except ValueError as error:
            _refuse("metadata", f"is no JSON ({error})", where)
    if isinstance(row.get("passages"), list):
        row["passages"] = [_known(one) for one in row["passages"] if isinstance(one, Mapping)]
    return row


def _entry(
    position: int,
    record: Mapping[str, Any],
    where: str,
    dim: int,
    own: Mapping[str, Any] | None,
    leave_out: Callable[[Mapping[str, Any] | None], None],
) -> Entry:
    _check_version(record[_KEY], where)
    _check_keys(record, {_KEY} | _DOCUMENT | _VECTORS, "the row", where)
    for name in ("id", "text"):
        if name not in record:
            _refuse(name, "is not there", where)
    document = text.checked(
        Document(
            record["text"],
            record["id"],
            record.get("metadata", {}),
            record.get("syntax"),
            record.get("file"),
            record.get("line"),
        ),
        where,
    )
    if document.id is None:
        _refuse("id", "is null", where)
    if "passages" not in record:
        if own is None:
            _refuse("passages", "is not there, and the collection has no model", where)
        return entry_of(position, document)
    model = record.get("model")
    is_model = isinstance(model, Mapping) and {"name", "fingerprint"} <= {*model}
    if model is not None and not is_model:
        _refuse("model", "must be an object with name and fingerprint", where)
    if own is not None and (model is None or model["fingerprint"] != own["fingerprint"]):
        leave_out(model)
        return entry_of(position, document)
    if record.get("dim") != dim:
        _refuse("dim", f"is {record.get('dim')!r}, and the collection's is {dim}", where)
    made_by = None if own is None else own["fingerprint"]
    given = _given(document, record["passages"], dim, made_by, where)
    return given_entry(position, document, given)


def _given(
    document: Document, passages: object, dim: int, made_by: str | None, where: str
) -> Given:
    if not isinstance(passages, list):
        _refuse("passages", "must be a list", where)
    found: list[Passage] = []
    encoded: list[Encoded] = []
    for number, one in enumerate(passages):
        field = f"passages[{number}]"
        if not isinstance(one, Mapping):
            _refuse(field, "must be an object", where)
        _check_keys(one, _PASSAGE, field, where)
        found.append(_passage(document, number, one, field, where))
        matrix = _matrix(one.get("embeddings"), dim, f"{field}.embeddings", where)
        ids = one.get("token_ids")
        encoded.append(encoded_from(matrix, ids, dim, f"{field} of {where}"))
    return Given(tuple(found), tuple(encoded), made_by)


def _passage(
    document: Document, number: int, record: Mapping[str, Any], field: str, where: str
) -> Passage:
    assert document.id is not None
    values: dict[str, int | None] = {}
    for name in ("start", "end", "line", "page"):
        value = values[name] = record.get(name)
        is_number = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        if not is_number and not (value is None and name in ("line", "page")):
            _refuse(f"{field}.{name}", f"must be a whole number from 0, not {value!r}", where)
    start, end = values["start"], values["end"]
    assert start is not None
    assert end is not None
    if not start <= end <= len(document.text):
        _refuse(field, f"is [{start}, {end}) of {len(document.text)} characters", where)
    headings = record.get("headings", [])
    if not isinstance(headings, list) or not all(isinstance(one, str) for one in headings):
        _refuse(f"{field}.headings", "must be a list of strings", where)
    return Passage(
        document.id,
        number,
        start,
        end,
        document.text[start:end],
        values["line"],
        values["page"],
        tuple(headings),
    )


def _matrix(value: object, dim: int, field: str, where: str) -> Any:
    """The embeddings of a passage: bytes in Parquet, base64 in JSON."""
    if isinstance(value, str):
        try:
            value = base64.b64decode(value, validate=True)
        except (ValueError, binascii.Error) as error:
            _refuse(field, f"is no base64 ({error})", where)
    if not isinstance(value, bytes):
        _refuse(field, f"must be base64 of float16, not {type(value).__name__}", where)
    row_bytes = dim * _DTYPE.itemsize
    if len(value) % row_bytes:
        _refuse(field, f"has {len(value)} bytes, no multiple of {row_bytes}", where)
    return np.frombuffer(value, _DTYPE).reshape(-1, dim).astype(np.float32)


def _check_version(version: object, where: str) -> None:
    if version != VERSION or isinstance(version, bool):
        _refuse(
            _KEY,
            f"is {version!r}, and this interlace reads {VERSION}",
            where,
            "Upgrade interlace (pip install --upgrade interlace), or export again.",
        )


def _check_keys(record: Mapping[str, Any], known: set[str], what: str, where: str) -> None:
    for key in record:
        if key not in known:
            _refuse(key, f"is no field of {what}", where, "Put it into metadata.")


def _refuse(
    field: str, what: str, where: str, remedy: str = "Mend the row, or leave it out."
) -> NoReturn:
    raise InputError(f"the field {field!r} {what}: {where}. {remedy}")

"""Files to documents: which function reads which file, and what becomes of those that none can."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import io
import os
import stat
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import IO, Final, NamedTuple, TypeAlias

from interlace.errors import InputError
from interlace.text.folders import HIDDEN, IGNORED, Found, no_such_path, shown, walk
from interlace.text.formats import Member
from interlace.text.reasons import BINARY, binary, no_reader, sentence, why_not
from interlace.text.records import Fields, identify
from interlace.text.streams import Budget, UnpacksTooMuch, open_regular
from interlace.text.syntaxes import lacks_grammar, syntax_of
from interlace.types import Document, Skipped

Reader: TypeAlias = Callable[[IO[bytes], str, Fields], Iterator[Document | Skipped | Member]]

#: Part of each fingerprint: raised when readers make other documents of the same bytes.
READERS_VERSION: Final = 1


class Format(NamedTuple):
    """How one kind of file is read.

    Attributes
    ----------
    function : str
        ``module:function``, a ``Reader``; imported when the first such file is read.
    title : str
        What messages call it.
    suffixes : tuple of str
        Names that end so are of this format, in whatever case.
    needs : tuple of str
        Optional packages that what it reads depends on.
    is_layer : bool
        Whether there is one file in it, which goes by the name of the outer one.
    is_folder : bool
        Whether there are files of any format in it.
    """

    function: str
    title: str
    suffixes: tuple[str, ...]
    needs: tuple[str, ...] = ()
    is_layer: bool = False
    is_folder: bool = False


# fmt: off
_TEXT = (".txt", ".text", ".log", ".org", ".adoc", ".tex")
_MARKDOWN = (".md", ".markdown", ".mdown", ".mkd", ".mdx", ".qmd", ".rmd")
_TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tbz2", ".tar.xz", ".txz")
_HTML = ("lxml", "trafilatura")

#: Format -> how it is read. A new format is one file and one line.
FORMATS: Final = {
    "text": Format("plain:read", "text", _TEXT),
    "markdown": Format("plain:read_markdown", "Markdown", _MARKDOWN),
    "rst": Format("plain:read_rst", "reStructuredText", (".rst", ".rest"), ("docutils",)),
    "code": Format("plain:read_code", "source code", ()),  # syntaxes.py knows their names
    "html": Format("html:read", "HTML", (".html", ".htm", ".xhtml"), _HTML),
    "json": Format("json_file:read", "JSON", (".json",)),
    "jsonl": Format("jsonl:read", "JSON lines", (".jsonl", ".ndjson")),
    "csv": Format("delimited:read_csv", "CSV", (".csv",)),
    "tsv": Format("delimited:read_tsv", "TSV", (".tsv", ".tab")),
    "parquet": Format("parquet:read", "Parquet", (".parquet",), ("pyarrow",)),
    "notebook": Format("notebook:read", "Jupyter notebook", (".ipynb",)),
    "email": Format("mail:read", "e-mail", (".eml",), ("lxml",), is_folder=True),
    "mbox": Format("mail:read_mbox", "mailbox", (".mbox", ".mbx"), ("lxml",), is_folder=True),
    "gzip": Format("archives:read_gzip", "gzip", (".gz",), is_layer=True),
    "bzip2": Format("archives:read_bzip2", "bzip2", (".bz2",), is_layer=True),
    "xz": Format("archives:read_xz", "xz", (".xz", ".lzma"), is_layer=True),
    "zip": Format("archives:read_zip", "ZIP", (".zip",), is_folder=True),
    "tar": Format("archives:read_tar", "tar", _TAR, is_folder=True),
    "pdf": Format("pdf:read", "PDF", (".pdf",), ("pypdfium2",)),
    "docx": Format("docx:read", "DOCX", (".docx", ".docm", ".dotx"), ("lxml",)),
    "odt": Format("odt:read", "ODT", (".odt", ".ott"), ("lxml",)),
    "epub": Format("epub:read", "EPUB", (".epub",), _HTML),
    "pptx": Format("pptx:read", "PPTX", (".pptx", ".pptm", ".ppsx"), ("lxml", "pptx")),
    "xlsx": Format("xlsx:read", "XLSX", (".xlsx", ".xlsm"), ("lxml", "openpyxl")),
    "rtf": Format("rtf:read", "RTF", (".rtf",), ("striprtf",)),
}
# fmt: on

#: File name suffix -> format.
SUFFIXES: Final = {suffix: name for name, one in FORMATS.items() for suffix in one.suffixes}

#: The path that stands for standard input.
STDIN: Final = "-"
_STDIN_NAME: Final = "standard input"

#: Files in files in files.
_DEPTH_MAX: Final = 4

_SNIFFED_BYTES: Final = 8_192
_BLOCK_BYTES: Final = 2**20
_BOMS: Final = (b"\xff\xfe", b"\xfe\xff")
_ANY: Final = Fields()


def read(
    *paths: str | os.PathLike[str],
    format: str | None = None,  # noqa: A002 (the command's option has this name)
    id_field: str | None = None,
    text_fields: Sequence[str] = (),
    hidden: bool = False,
    ignore: bool = True,
    skipped: Callable[[Skipped], None] | None = None,
) -> Iterator[Document]:
    """Read documents from files, folders and standard input, one at a time.

    Parameters
    ----------
    paths : str or path
        Files; folders, which are walked in sorted order; ``"-"``, standard input, which is JSON
        lines unless ``format`` says otherwise.
    format : str, optional
        A key of ``FORMATS``, for all files; by default each file's name decides, and a file with
        an unknown one is read if it holds text.
    id_field : str, optional
        The column of a table, or the key of a record, that is the id; by default ``id``.
    text_fields : sequence of str
        The columns or keys that make up the text; by default the reader finds them.
    hidden : bool
        Whether files and folders whose name begins with a dot are read.
    ignore : bool
        Whether ``.gitignore``, ``.ignore`` and ``.interlaceignore`` are obeyed.
    skipped : callable, optional
        Is told of everything that is not read, and why; then no file stops the reading.

    Yields
    ------
    Document
        With ``file`` set, and an id: its own, or the file's name as given here. Further documents
        of a file are ``name#2``, ``name#3``; records without an id ``name#`` and a hash.

    Raises
    ------
    InputError
        At once for a path that is not there or an unknown format. Without ``skipped`` also for
        the first thing in a file named here that cannot be read.

    Warns
    -----
    UserWarning
        Without ``skipped``, once at the end, when files in folders and archives were not read.
    """
    if format is not None and format not in FORMATS:
        raise InputError(f"unknown format {format!r}. Allowed are {', '.join(FORMATS)}.")
    if isinstance(text_fields, str):
        raise InputError(f"text_fields is {text_fields!r} alone. Write [{text_fields!r}].")
    if not paths:
        raise InputError("nothing to read: no path was given. Name a file, a folder or '-'.")
    names = [os.fsdecode(path) for path in paths]
    for name in names:
        if name != STDIN and not os.path.lexists(name):
            raise InputError(no_such_path(name))
    fields = Fields(id=id_field, text=tuple(text_fields))

    def documents() -> Iterator[Document]:
        missed = _Missed()
        for name in names:
            is_file = name == STDIN or not os.path.isdir(name)  # noqa: PTH112 (never raises)
            for one in _everything(name, format, fields, hidden=hidden, ignore=ignore):
                if isinstance(one, Document):
                    yield one
                elif skipped is not None:
                    skipped(one)
                elif is_file and not one.where.startswith(f"{shown(name)}/"):
                    raise InputError(sentence(one))
                else:
                    missed.add(one)
        missed.warn()

    return documents()


def find(
    path: str | os.PathLike[str], label: str, *, hidden: bool = False, ignore: bool = True
) -> Iterator[Found | Skipped]:
    """Find the file at a path, or those in the folder there that a reader can read.

    Parameters
    ----------
    path : str or path
        A file or folder.
    label : str
        What its name is; that of a file below it is ``label/below``.
    hidden : bool
        Whether files and folders whose name begins with a dot are found.
    ignore : bool
        Whether ``.gitignore``, ``.ignore`` and ``.interlaceignore`` are obeyed.

    Yields
    ------
    Found or Skipped
        In sorted order. A file that is named itself is always found.
    """
    for one in walk(Path(path), label, hidden=hidden, ignore=ignore):
        if isinstance(one, Found) and one.name != label and (why := _unread(one)):
            yield why
        else:
            yield one


def read_file(
    found: Found,
    *,
    format: str | None = None,  # noqa: A002
    fields: Fields = _ANY,
) -> Iterator[Document | Skipped]:
    """Read one file; whatever is wrong with it becomes a ``Skipped``, and nothing is raised.

    Parameters
    ----------
    found : Found
    format : str, optional
        A key of ``FORMATS``; by default the file's name decides.
    fields : Fields
        Which columns or keys are id and text.

    Yields
    ------
    Document or Skipped
        Documents have ``file`` and an id; one ``Skipped`` at least where there is no document.
    """
    try:
        stream = open_regular(found.path)
    except OSError as error:
        yield Skipped(found.name, why_not(error, found.name, "a file"), failed=True)
        return
    with stream:
        yield from _Reading(stream, format, fields).file(found.path.name, found.name)


def fingerprint(found: Found, *, format: str | None = None) -> str:  # noqa: A002
    """Return what a file's documents depend on, hashed: 32 hex digits.

    That is its bytes, its format, the version of the readers, and which of the optional packages
    that its reader uses are there; not its times or rights.

    Raises
    ------
    OSError
        When the file cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    with open_regular(found.path) as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    name = format or format_of(found.path.name) or "text"
    digest.update(f"\0{READERS_VERSION} {name} {' '.join(_depends_on(name, found))}".encode())
    return digest.hexdigest()


def format_of(name: str) -> str | None:
    """Return the format that a file's name tells, or None."""
    suffixes = PurePosixPath(name.lower()).suffixes
    for suffix in ("".join(suffixes[-2:]), *suffixes[-1:]):
        if suffix in SUFFIXES:
            return SUFFIXES[suffix]
    return "code" if syntax_of(name) is not None and no_reader(name) is None else None


def _everything(
    name: str, format_name: str | None, fields: Fields, *, hidden: bool, ignore: bool
) -> Iterator[Document | Skipped]:
    if name == STDIN:
        yield from _Reading(sys.stdin.buffer, format_name, fields).stream(_STDIN_NAME)
    elif _is_pipe(name):
        with Path(name).open("rb") as stream:
            yield from _Reading(stream, format_name, fields).stream(shown(name))
    else:
        for one in find(name, shown(name), hidden=hidden, ignore=ignore):
            if isinstance(one, Found):
                yield from read_file(one, format=format_name, fields=fields)
            else:
                yield one


def _is_pipe(name: str) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(name).st_mode)  # noqa: PTH116 (a name, as above)
    except OSError:
        return False


class _Reading:
    """The reading of one file, and of the files in it."""

    def __init__(self, stream: IO[bytes], format_name: str | None, fields: Fields) -> None:
        self._format, self._fields = format_name, fields
        self._budget = Budget()
        self._stream = self._budget.packed(stream)

    def file(self, name: str, label: str) -> Iterator[Document | Skipped]:
        """Read a file, called ``label``; ``name`` tells its format where none was given."""
        own = format_of(name)
        # What is packed is unpacked first: the format given is that of what is in it.
        is_layer = own is not None and FORMATS[own].is_layer
        format_name = own if is_layer else self._format
        yield from self._named(name, self._stream, label, format_name, depth=0)

    def stream(self, label: str) -> Iterator[Document | Skipped]:
        """Read what has no name: a document without an id keeps none."""
        for one in self._contents(self._stream, label, self._format or "jsonl", depth=0):
            if isinstance(one, Document) and one.file == label:
                yield replace(one, file=None)
            else:
                yield one

    def _named(
        self, name: str, stream: io.BufferedReader, label: str, format_name: str | None, depth: int
    ) -> Iterator[Document | Skipped]:
        format_name = format_name or format_of(name)
        if format_name is None and (why := _why_unread(name, stream)):
            yield Skipped(label, why)
            return
        n_unnamed = 0
        for one in self._contents(stream, label, format_name or "text", depth, name):
            if isinstance(one, Document) and one.id is None:
                n_unnamed += 1
                yield replace(one, id=label if n_unnamed == 1 else f"{label}#{n_unnamed}")
            elif isinstance(one, Document) and _is_of_its_text(one):
                # The same row of two files is two documents: each goes when its file goes.
                yield replace(one, id=f"{label}#{one.id}")
            elif isinstance(one, Skipped) and format_name is None and one.why.startswith(BINARY):
                yield Skipped(label, binary(name))
            else:
                yield one

    def _contents(
        self, stream: IO[bytes], label: str, format_name: str, depth: int, name: str = ""
    ) -> Iterator[Document | Skipped]:
        one = None
        names: Counter[str] = Counter()
        # All layers of a packed file have one label; what is in them is told by what they drop.
        called = name if FORMATS[format_name].is_layer and name else label
        try:
            for one in _reader(format_name)(stream, called, self._fields):
                if isinstance(one, Member):
                    yield from self._member(one, label, format_name, depth + 1, names)
                elif isinstance(one, Document):
                    yield replace(one, file=label)
                else:
                    yield one
        except UnpacksTooMuch as error:
            if depth:
                raise
            yield Skipped(label, str(error), failed=True)
        except Exception as error:  # noqa: BLE001 (libraries raise what they like on broken files)
            why = why_not(error, label, FORMATS[format_name].title)
            yield Skipped(label, why, failed=True)
        else:
            if one is None:
                yield Skipped(label, "nothing in it")

    def _member(
        self, member: Member, outer: str, outer_format: str, depth: int, names: Counter[str]
    ) -> Iterator[Document | Skipped]:
        label, format_name = outer, self._format
        if not FORMATS[outer_format].is_layer:
            label, format_name = f"{outer}/{_inner_name(member.name)}", None
            names[label] += 1
            if names[label] > 1:
                label += f" ({names[label]})"
        if depth > _DEPTH_MAX:
            yield Skipped(label, f"lies over {_DEPTH_MAX} files deep; unpack the outer one")
            return
        stream = self._budget.unpacked(member.stream)
        yield from self._named(member.name, stream, label, format_name, depth)


class _Missed:
    """What a warning says was not read."""

    _NAMED: Final = 3

    def __init__(self) -> None:
        self._n = 0
        self._first: list[str] = []

    def add(self, skipped: Skipped) -> None:
        if skipped.why == HIDDEN or skipped.why.startswith(IGNORED):
            return
        self._n += 1
        if len(self._first) < self._NAMED:
            self._first.append(str(skipped))

    def warn(self) -> None:
        if self._n:
            were = "1 file was" if self._n == 1 else f"{self._n} files were"
            more = "; …" if self._n > len(self._first) else ""
            warnings.warn(
                f"{were} not read: {'; '.join(self._first)}{more}. Pass skipped= to see all.",
                UserWarning,
                stacklevel=3,
            )


def _is_of_its_text(document: Document) -> bool:
    """Whether an id follows from the text, because the record had none."""
    id_ = document.id
    return isinstance(id_, str) and len(id_) == 16 and id_ == identify(document.text)


def _reader(format_name: str) -> Reader:
    module, _, function = FORMATS[format_name].function.partition(":")
    imported = importlib.import_module(f"interlace.text.formats.{module}")
    reader: Reader = getattr(imported, function)
    return reader


def _unread(found: Found) -> Skipped | None:
    """Say why a file in a folder has no reader, if that can be told without reading it."""
    if format_of(found.path.name) is not None:
        return None
    try:
        with open_regular(found.path) as stream:
            why = _why_unread(found.path.name, stream)
    except OSError as error:
        return Skipped(found.name, why_not(error, found.name, "a file"), failed=True)
    return Skipped(found.name, why) if why else None


def _why_unread(name: str, stream: io.BufferedReader) -> str | None:
    """Say why a file, whose name tells no format, has no reader: it is known or not text."""
    if why := no_reader(name):
        return why
    first = stream.peek(_SNIFFED_BYTES)[:_SNIFFED_BYTES]
    is_text = b"\0" not in first or first.startswith(_BOMS)
    return None if is_text else binary(name)


def _inner_name(name: str) -> str:
    """The name of a file in a file, without ways out of it."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return shown("/".join(parts)) or "unnamed"


def _depends_on(format_name: str, found: Found) -> list[str]:
    """The optional packages that are there, of those that a file's documents depend on."""
    one = FORMATS[format_name]
    if one.is_layer or one.is_folder:
        needs = {package for each in FORMATS.values() for package in each.needs}
    else:
        needs = set(one.needs)
    there = sorted(filter(_is_there, needs))
    syntax = syntax_of(found.path.name) if format_name == "code" else None
    if syntax is not None and not lacks_grammar(syntax):
        there.append(syntax)
    return there


@functools.cache
def _is_there(package: str) -> bool:
    return importlib.util.find_spec(package) is not None

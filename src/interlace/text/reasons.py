"""Why something is not read, in a person's words."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final

from interlace.errors import InputError, MissingExtra
from interlace.types import Skipped

#: What the reader of plain text says of what is none.
BINARY: Final = "binary data"

#: Why there is no document of a file that could be read.
EMPTY: Final = "empty"
BLANK: Final = "only blanks"

_CAUSE_LENGTH_MAX: Final = 200

# fmt: off
#: What has no reader: the kind and a remedy, and the suffixes.
_NO_READER: Final = {
    "audio": ".mp3 .wav .flac .ogg .oga .opus .m4a .aac .wma .aiff .mid .midi",
    "video": ".mp4 .m4v .mkv .mov .avi .webm .wmv .mpg .mpeg .3gp",
    "picture": ".png .jpg .jpeg .gif .bmp .tif .tiff .webp .heic .avif .ico .psd .svg .eps .xcf",
    "font": ".ttf .otf .woff .woff2",
    "archive; unpack it": ".7z .rar .zst .lz4 .jar .war .whl .deb .rpm .apk .dmg .iso .cab",
    "program": ".exe .dll .so .dylib .o .a .lib .obj .pyc .pyo .class .wasm .msi",
    "database": ".sqlite .sqlite3 .db .mdb .accdb",
    "numbers": ".npy .npz .pkl .pickle .pt .pth .safetensors .onnx .gguf .h5 .hdf5 .feather .arrow",
    "old Word; save it as .docx": ".doc .dot",
    "old Excel; save it as .xlsx": ".xls .xlsb",
    "old PowerPoint; save it as .pptx": ".ppt .pps",
    "OpenDocument; save it as .xlsx or .pptx": ".ods .odp .odg",
    "Apple office; export it as PDF": ".pages .numbers .key",
    "e-book; convert it to .epub": ".mobi .azw .azw3 .djvu",
    "Outlook; save it as .eml": ".msg .pst .ost",
}
# fmt: on
_KIND: Final = {suffix: kind for kind, names in _NO_READER.items() for suffix in names.split()}


def no_reader(name: str) -> str | None:
    """Say that nothing reads a file, if its name tells."""
    suffix = PurePosixPath(name).suffix.lower()
    kind, _, remedy = _KIND.get(suffix, "").partition("; ")
    return _joined(f"no reader for {suffix} ({kind})", remedy) if kind else None


def binary(name: str) -> str:
    """Say that a file, whose name tells nothing, holds no text."""
    suffix = PurePosixPath(name).suffix.lower()
    return f"{BINARY}, no reader for {suffix}" if suffix else BINARY


def why_not(error: Exception, place: str, title: str) -> str:
    """Say why a file cannot be read.

    Parameters
    ----------
    error : Exception
        What its reader or the system raised.
    place : str
        The file, left out of what is said.
    title : str
        What it was read as: ``"PDF"``.
    """
    if isinstance(error, (InputError, MissingExtra)):
        what, _, remedy = str(error).partition(f": {place}.")
        what, remedy = what.rstrip("."), remedy.strip().rstrip(".")
        return _joined(what, f"{remedy[:1].lower()}{remedy[1:]}")
    if isinstance(error, FileNotFoundError):
        return "is not there any more"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read ({error.strerror})"
    if isinstance(error, MemoryError):
        cause = "too large for this computer's memory"
    elif isinstance(error, RecursionError):
        cause = "nested too deep"
    elif isinstance(error, EOFError):
        cause = "it ends too early"
    else:
        cause = " ".join(str(error).split())[:_CAUSE_LENGTH_MAX] or type(error).__name__
    return f"cannot be read as {title} ({cause.rstrip('.')})"


def sentence(skipped: Skipped) -> str:
    """Return the message of an error that names what was skipped: what: where. Remedy."""
    what, _, remedy = skipped.why.partition("; ")
    remedy = f" {remedy[0].upper()}{remedy[1:]}." if remedy else ""
    return f"{what}: {skipped.where}.{remedy}"


def _joined(what: str, remedy: str) -> str:
    return f"{what}; {remedy}" if remedy else what

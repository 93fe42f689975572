"""Jupyter notebooks: their Markdown as it is, code and its short outputs in fences."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import IO, Any, Final

from interlace.errors import InputError
from interlace.text.about import about
from interlace.text.encodings import decode
from interlace.text.reasons import BLANK, EMPTY
from interlace.text.records import Fields
from interlace.types import Document, Skipped

#: Longer outputs are data or logs.
_OUTPUT_LENGTH_MAX: Final = 2000

_HEADING: Final = re.compile(r"^ {0,3}#{1,6}\s+(.+?)(?:\s+#+)?\s*$", re.MULTILINE)
_FENCES: Final = re.compile(r"`{3,}")
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_LANGUAGE: Final = re.compile(r"[\w.+#-]{1,40}")


def read(stream: IO[bytes], name: str, fields: Fields) -> Iterator[Document | Skipped]:
    """Yield the text of a notebook as Markdown.

    Outputs that are text and not long follow their code; pictures and tables of HTML do not. The
    title, its first heading, and the authors are metadata.

    Raises
    ------
    InputError
        When the file is no notebook, damaged or has no text.
    """
    data = stream.read()
    if not data.strip():
        yield Skipped(name, BLANK if data else EMPTY)
        return
    notebook = _parsed(data, name)
    language = _language(notebook)
    title = ""
    blocks: list[str] = []
    for cell in _cells(notebook):
        kind, source = cell.get("cell_type"), _text(cell.get("source", cell.get("input")))
        if kind == "code":
            blocks.append(_fenced(source, language))
            blocks += [_fenced(text) for text in _outputs(cell)]
            continue
        if kind == "heading":  # of notebooks before 2014
            level = cell.get("level")
            source = f"{'#' * (level if isinstance(level, int) and 0 < level < 7 else 1)} {source}"
        blocks.append(source.strip("\n").rstrip())
        if not title and kind != "raw" and (found := _HEADING.search(source)):
            title = found[1]
    text = "\n\n".join(block for block in blocks if block.strip())
    if not text:
        raise InputError(f"no text in it: {name}.")
    yield Document(text, metadata=_metadata(notebook, title), syntax="markdown")


def _parsed(data: bytes, name: str) -> dict[str, Any]:
    try:
        notebook = json.loads(decode(data, name))
    except json.JSONDecodeError as error:
        raise InputError(
            f"damaged, no JSON (line {error.lineno}: {error.msg}): {name}. Save it again."
        ) from None
    except RecursionError:
        raise InputError(f"nested too deep: {name}.") from None
    except ValueError as error:  # a number of too many digits
        raise InputError(f"damaged, no JSON ({error}): {name}. Save it again.") from None
    is_notebook = isinstance(notebook, dict) and (
        isinstance(notebook.get("cells"), list) or isinstance(notebook.get("worksheets"), list)
    )
    if not is_notebook:
        raise InputError(f"no notebook, it has no cells: {name}. Rename it to .json.")
    return dict(notebook)


def _cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    sheets = [notebook, *_dicts(notebook.get("worksheets"))]
    return [cell for sheet in sheets for cell in _dicts(sheet.get("cells"))]


def _outputs(cell: dict[str, Any]) -> Iterator[str]:
    for output in _dicts(cell.get("outputs")):
        data = _dict(output.get("data", output))  # beside the kind in old notebooks
        if output.get("output_type") == "stream":
            text = _text(output.get("text"))
        elif output.get("output_type") in ("error", "pyerr"):
            text = f"{_text(output.get('ename'))}: {_text(output.get('evalue'))}"
        else:
            text = _text(data.get("text/plain", data.get("text")))
        text = _COLOURS.sub("", text)
        if len(text) <= _OUTPUT_LENGTH_MAX:
            yield text


def _fenced(text: str, language: str = "") -> str:
    text = text.strip("\n").rstrip()
    if not text:
        return ""
    fence = "`" * (max(map(len, _FENCES.findall(text)), default=2) + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _language(notebook: dict[str, Any]) -> str:
    metadata = _dict(notebook.get("metadata"))
    for key, inner in (("language_info", "name"), ("kernelspec", "language")):
        found = _LANGUAGE.fullmatch(_text(_dict(metadata.get(key)).get(inner)))
        if found:
            return found[0].lower()
    return ""


def _metadata(notebook: dict[str, Any], heading: str) -> dict[str, str]:
    own = _dict(notebook.get("metadata"))
    authors = [_text(one.get("name")) for one in _dicts(own.get("authors"))]
    return about(heading or _text(own.get("title")), ", ".join(filter(None, authors)))


def _text(value: object) -> str:
    """Return a text that may be a list of lines, without halves of characters."""
    if isinstance(value, list):
        value = "".join(one for one in value if isinstance(one, str))
    if not isinstance(value, str):
        return ""
    return value.encode("utf-8", "replace").decode()


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []

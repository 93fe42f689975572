"""Notebooks: Markdown as it is, code and short outputs in fences; broken ones say so."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from interlace.errors import InputError
from interlace.text.formats.notebook import read
from interlace.text.records import Fields
from interlace.types import Document, Skipped


def notebook(data: bytes) -> Document:
    (document,) = read(io.BytesIO(data), "a.ipynb", Fields())
    assert isinstance(document, Document)
    return document


def made(*cells: dict[str, Any], **metadata: Any) -> Document:
    return notebook(json.dumps({"cells": cells, "metadata": metadata}).encode())


def code(source: object, *outputs: dict[str, Any]) -> dict[str, Any]:
    return {"cell_type": "code", "source": source, "outputs": outputs}


def stream(text: object) -> dict[str, Any]:
    return {"output_type": "stream", "text": text}


def result(**data: object) -> dict[str, Any]:
    mime = {f"text/{kind}": text for kind, text in data.items()}
    return {"output_type": "execute_result", "data": mime}


def test_cells_and_outputs():
    document = made(
        {"cell_type": "markdown", "source": ["# Ducks\n", "\n", "Some **text**."]},
        code(["a = 1\n", "a"], stream("hello\n"), result(plain="1", html="<b>1</b>")),
        kernelspec={"language": "R"},
    )
    assert document == Document(
        "# Ducks\n\nSome **text**.\n\n```r\na = 1\na\n```\n\n```\nhello\n```\n\n```\n1\n```",
        metadata={"title": "Ducks"},
        syntax="markdown",
    )


def test_long_outputs_and_pictures_are_left_out():
    picture = {"output_type": "display_data", "data": {"image/png": "iVBO"}}
    assert made(code("a", stream("x" * 2001), picture)).text == "```\na\n```"
    assert "x" * 2000 in made(code("a", stream("x" * 2000))).text


def test_fences_and_colours_in_it():
    assert (
        made(code("```", stream("\x1b[31mred\x1b[0m"))).text == "````\n```\n````\n\n```\nred\n```"
    )


def test_old_notebooks():
    heading = {"cell_type": "heading", "level": 2, "source": "Old"}
    old = {"cell_type": "code", "input": "a", "outputs": [{"output_type": "pyout", "text": "1"}]}
    document = notebook(json.dumps({"worksheets": [{"cells": [heading, old]}]}).encode())
    assert document.text == "## Old\n\n```\na\n```\n\n```\n1\n```"
    assert document.metadata == {"title": "Old"}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b'{"cells": [', r"damaged, no JSON \(line 1"),
        (b"[1]", "no notebook"),
        (b'{"cells": 3}', "no notebook"),
        (b'{"cells": [3, {}, {"source": 4}]}', "no text in it"),
        (b"[" * 200_000, "nested too deep|damaged"),
    ],
)
def test_broken_ones_say_so(data, why):
    with pytest.raises(InputError, match=why):
        notebook(data)


def test_empty():
    assert list(read(io.BytesIO(b""), "a.ipynb", Fields())) == [Skipped("a.ipynb", "empty")]


def test_a_real_one(shared_data):
    path = shared_data("messy") / "notes" / "notebook.ipynb"
    document = notebook(path.read_bytes())
    assert document.metadata == {"title": "Test Notebook"}
    assert "## Code Cell Below\n\n```python\n# comment in code\nprint(42)\n```" in document.text

"""Headings by place: of Markdown, reStructuredText and code."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlace.text import outline as module
from interlace.text.outline import outline
from interlace.text.syntaxes import SYNTAXES, grammar


def trail(text: str, syntax: str | None, words: str) -> tuple[str, ...]:
    """The headings that some words of a text stand under."""
    return outline(text, syntax).trail(text.index(words))


MARKDOWN = """before

# One *and* `two` [linked](x) &amp; more

under one

Setext
------

under setext

```
# a comment
```

### Three ###

> # quoted

- # listed

under three

# Last
"""


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_markdown_headings_and_their_levels(end):
    text = MARKDOWN.replace("\n", end)
    one = "One and two linked & more"
    assert trail(text, "markdown", "before") == ()
    assert trail(text, "markdown", "# One") == (one,)
    assert trail(text, "markdown", "under one") == (one,)
    assert trail(text, "markdown", "Setext") == (one, "Setext")
    assert trail(text, "markdown", "a comment") == (one, "Setext")
    assert trail(text, "markdown", "under three") == (one, "Setext", "Three")
    assert trail(text, "markdown", "# Last") == ("Last",)


def test_markdown_front_matter_is_no_heading():
    text = "---\ntitle: x\ndate: y\n---\n\nbefore\n\n# Heading\n\nafter"
    assert trail(text, "markdown", "date") == ()
    assert trail(text, "markdown", "before") == ()
    assert trail(text, "markdown", "after") == ("Heading",)


@pytest.mark.parametrize(
    ("heading", "words"),
    [
        ("# ![a *picture*](x.png) here", "a picture here"),
        ("# a<br>b", "ab"),
        ("# <https://example.com>", "https://example.com"),
        ("# 漢字 😀 e\u0301", "漢字 😀 e\u0301"),
        ("# nul \0 inside", "nul \ufffd inside"),
        ("two\nlines\n===", "two lines"),
        ("# " + "long " * 100, ("long " * 40)[:199] + "…"),
    ],
)
def test_a_heading_is_plain_and_short(heading, words):
    assert trail(f"{heading}\n\nbelow", "markdown", "below") == (words,)


def test_a_heading_without_words_is_none():
    assert trail("# A\n\n##\n\nbelow", "markdown", "below") == ("A",)


def test_skipped_levels_nest():
    assert trail("# A\n\n#### B\n\n## C\n\nbelow", "markdown", "below") == ("A", "C")


def test_prose_has_no_headings():
    assert trail("# no heading\n\nbelow", None, "below") == ()
    assert trail("# no heading\n\nbelow", "sql", "below") == ()


RST = """
=====
Title
=====

under title

Part *one*
==========

under part

Below
-----
under below

Part two
========

.. include:: /etc/passwd

.. nonsense:: x

end :unknown:`role`
"""


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_rst_section_titles(end, capfd):
    pytest.importorskip("docutils")
    text = RST.replace("\n", end)
    assert trail(text, "rst", "=====") == ("Title",)
    assert trail(text, "rst", "under title") == ("Title",)
    assert trail(text, "rst", "Part *one*") == ("Title", "Part one")
    assert trail(text, "rst", "under below") == ("Title", "Part one", "Below")
    assert trail(text, "rst", "end :unknown") == ("Title", "Part two")
    assert capfd.readouterr() == ("", "")


def test_rst_lines_end_where_lines_end():
    pytest.importorskip("docutils")
    text = "a \x85 \u2028 \x1c \f b\n\nOne\n===\n\nbelow\n\nTwo\n===\n\nlast"
    assert trail(text, "rst", "a ") == ()
    assert trail(text, "rst", "One") == ("One",)
    assert trail(text, "rst", "last") == ("Two",)


def test_rst_without_docutils_has_no_headings(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    assert trail(RST, "rst", "under below") == ()


CODE = {
    "bash": ("outer() {\n  mark\n}\n", ("outer",)),
    "c": ("static int *outer(int a)\n{\n  mark();\n}\n", ("outer",)),
    "c_sharp": ("namespace N { class A {\n int F() { mark(); }\n}}\n", ("N", "A", "F")),
    "cpp": (
        "namespace n {\ntemplate <class T>\nclass A {\n int f() {\n mark(); }\n};\n}\n",
        ("n", "A", "f"),
    ),
    "go": ("package p\nfunc (s *S) F() {\n\tmark()\n}\n", ("F",)),
    "java": ("class A {\n interface I {\n  void mark();\n }\n}\n", ("A", "I")),
    "javascript": ("export class A {\n m() {\n mark() }\n}\n", ("A", "m")),
    "php": ("<?php\nclass A {\n function f() {\n  mark(); }\n}\n", ("A", "f")),
    "python": ("é = 1\nclass A:\n    @b\n    def f(self):\n        mark\n", ("A", "f")),
    "ruby": ("module M\n class A\n  def f\n   mark\n  end\n end\nend\n", ("M", "A", "f")),
    "rust": ("mod m {\n impl S {\n  fn f() {\n mark }\n }\n}\n", ("m", "S", "f")),
    "tsx": ("function App() {\n return <div>mark</div>\n}\n", ("App",)),
    "typescript": ("interface I {\n mark: number\n}\n", ("I",)),
}


@pytest.mark.parametrize("syntax", [name for name, one in SYNTAXES.items() if one.grammar])
def test_definitions_around_a_place(syntax):
    if grammar(syntax) is None:
        pytest.skip("its grammar is not installed")
    text, expected = CODE[syntax]
    assert trail(text, syntax, "mark") == expected
    assert trail(text + "\n\nlast", syntax, "last") == ()


def test_a_definition_begins_with_its_indentation_and_its_decorators():
    if grammar("python") is None:
        pytest.skip("its grammar is not installed")
    text = CODE["python"][0]
    assert trail(text, "python", "    @b") == ("A", "f")
    assert trail(text, "python", "class A") == ("A",)


@pytest.mark.parametrize(
    "text",
    [
        "f(" * 2_000 + ")" * 2_000 + ";",
        "|-" * 5_000,
        "class A { " * 2_000 + "};" * 2_000,
        "x" * (2**22 + 1),
    ],
    ids=["calls", "operators", "classes", "long"],
)
def test_code_that_grammars_choke_on_is_tangled(text):
    if grammar("cpp") is None:
        pytest.skip("its grammar is not installed")
    found = outline(text, "cpp")
    assert found.is_tangled
    assert found.trail(len(text) // 2) == ()


def test_only_the_outermost_headings_are_kept():
    if grammar("cpp") is None:
        pytest.skip("its grammar is not installed")
    text = "".join(f"class A{i} {{ " for i in range(20)) + "mark" + "};" * 20
    assert trail(text, "cpp", "mark") == tuple(f"A{i}" for i in range(8))


@given(
    st.text(alphabet="# =-\n\r`>é😀\0\f\x1c\x85\u2028ab", max_size=80),
    st.sampled_from(["markdown", "rst"]),
)
def test_any_text_has_a_trail_everywhere(text, syntax):
    found = outline(text, syntax)
    for at in range(len(text) + 1):
        assert len(found.trail(at)) <= 8


def test_a_hundred_thousand_headings_take_no_tokens_along():
    text = "# h\n\n" * 100_000
    found = outline(text, "markdown")
    assert found.trail(len(text) - 3) == ("h",)

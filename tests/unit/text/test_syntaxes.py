"""File names tell languages; grammars are optional."""

from __future__ import annotations

from collections import Counter

import pytest

from interlace.text import lacks_grammar, syntaxes
from interlace.text.syntaxes import SYNTAXES, grammar, syntax_of

PARSED = [name for name, syntax in SYNTAXES.items() if syntax.grammar]


@pytest.mark.parametrize(
    ("name", "syntax"),
    [
        ("a.py", "python"),
        ("deep/down/A.PY", "python"),
        ("a.d.ts", "typescript"),
        ("a.tsx", "tsx"),
        ("a.h", "c"),
        ("a.hpp", "cpp"),
        ("a.cs", "c_sharp"),
        ("query.sql", "sql"),
        ("src/Makefile", "make"),
        (".bashrc", "bash"),
        ("a", None),
        ("", None),
        ("py", None),
        ("a.pyx.txt", None),
    ],
)
def test_a_file_name_tells_the_language(name, syntax):
    assert syntax_of(name) == syntax


def test_no_name_means_two_languages():
    counts = Counter(name for syntax in SYNTAXES.values() for name in syntax.names)
    assert [name for name, count in counts.items() if count > 1] == []
    assert all(name == name.lower() for name in counts)


@pytest.mark.parametrize("syntax", PARSED)
def test_grammars_load(syntax):
    tree_sitter = pytest.importorskip("tree_sitter")
    found = grammar(syntax)
    if found is None:
        pytest.skip(f"the grammar of {syntax} is not installed")
    assert tree_sitter.Language(found).node_kind_count > 0
    assert not lacks_grammar(syntax)


def test_what_has_no_grammar_lacks_none():
    for syntax in (None, "sql", "markdown", "rst", "no such language"):
        assert grammar(syntax) is None
        assert syntax is None or not lacks_grammar(syntax)


@pytest.mark.parametrize("missing", ["tree_sitter", "tree_sitter_go"])
def test_a_grammar_that_is_not_installed_is_said_to_lack(missing, monkeypatch):
    real = syntaxes.importlib.import_module

    def importing(name):
        if name == missing:
            raise ModuleNotFoundError(name=name)
        return real(name)

    grammar.cache_clear()
    try:
        monkeypatch.setattr(syntaxes.importlib, "import_module", importing)
        assert grammar("go") is None
        assert lacks_grammar("go")
    finally:
        monkeypatch.undo()
        grammar.cache_clear()

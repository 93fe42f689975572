"""The programming languages that are known, by file name, and the grammars that parse them."""

from __future__ import annotations

import functools
import importlib
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple


class Syntax(NamedTuple):
    """How a language is written down.

    Attributes
    ----------
    title : str
        The language, as people write it.
    names : tuple of str
        In lower case: suffixes of its files, with the dot, and whole file names.
    grammar : str or None
        ``module:function`` of its tree-sitter grammar; None: its files are cut as prose.
    """

    title: str
    names: tuple[str, ...]
    grammar: str | None = None


# fmt: off
#: Syntax -> language. A new language is one line, and its package one line in pyproject.toml.
SYNTAXES: Final = {
    "bash": Syntax("Bash", (".sh", ".bash", ".bats", ".bashrc", ".bash_profile", ".profile"),
                   "tree_sitter_bash:language"),
    "c": Syntax("C", (".c", ".h"), "tree_sitter_c:language"),
    "c_sharp": Syntax("C#", (".cs", ".csx"), "tree_sitter_c_sharp:language"),
    "cpp": Syntax("C++", (".cc", ".cpp", ".cxx", ".c++", ".hh", ".hpp", ".hxx", ".h++", ".ipp",
                          ".tpp", ".cu", ".cuh"), "tree_sitter_cpp:language"),
    "go": Syntax("Go", (".go",), "tree_sitter_go:language"),
    "java": Syntax("Java", (".java",), "tree_sitter_java:language"),
    "javascript": Syntax("JavaScript", (".js", ".mjs", ".cjs", ".jsx"),
                         "tree_sitter_javascript:language"),
    "php": Syntax("PHP", (".php", ".phtml"), "tree_sitter_php:language_php"),
    "python": Syntax("Python", (".py", ".pyi", ".pyw"), "tree_sitter_python:language"),
    "ruby": Syntax("Ruby", (".rb", ".rake", ".gemspec", "rakefile", "gemfile"),
                   "tree_sitter_ruby:language"),
    "rust": Syntax("Rust", (".rs",), "tree_sitter_rust:language"),
    "tsx": Syntax("TSX", (".tsx",), "tree_sitter_typescript:language_tsx"),
    "typescript": Syntax("TypeScript", (".ts", ".mts", ".cts"),
                         "tree_sitter_typescript:language_typescript"),
    "ada": Syntax("Ada", (".adb", ".ads")),
    "assembly": Syntax("assembly", (".s", ".asm")),
    "awk": Syntax("AWK", (".awk",)),
    "batch": Syntax("Windows batch", (".bat", ".cmd")),
    "clojure": Syntax("Clojure", (".clj", ".cljs", ".cljc", ".edn")),
    "cmake": Syntax("CMake", (".cmake", "cmakelists.txt")),
    "cobol": Syntax("COBOL", (".cob", ".cbl")),
    "common_lisp": Syntax("Lisp", (".lisp", ".lsp", ".cl", ".el")),
    "css": Syntax("CSS", (".css", ".scss", ".sass", ".less")),
    "cython": Syntax("Cython", (".pyx", ".pxd")),
    "dart": Syntax("Dart", (".dart",)),
    "dockerfile": Syntax("Dockerfile", (".dockerfile", "dockerfile", "containerfile")),
    "elixir": Syntax("Elixir", (".ex", ".exs")),
    "elm": Syntax("Elm", (".elm",)),
    "erlang": Syntax("Erlang", (".erl", ".hrl")),
    "f_sharp": Syntax("F#", (".fs", ".fsi", ".fsx")),
    "fish": Syntax("fish", (".fish",)),
    "fortran": Syntax("Fortran", (".f", ".for", ".f77", ".f90", ".f95", ".f03", ".f08")),
    "glsl": Syntax("shaders", (".glsl", ".vert", ".frag", ".hlsl", ".wgsl", ".metal")),
    "graphql": Syntax("GraphQL", (".graphql", ".gql")),
    "groovy": Syntax("Groovy", (".groovy", ".gradle", "jenkinsfile")),
    "haskell": Syntax("Haskell", (".hs", ".lhs")),
    "hcl": Syntax("HCL", (".hcl", ".tf", ".tfvars")),
    "ini": Syntax("INI", (".ini", ".cfg", ".conf", ".properties", ".editorconfig", ".gitconfig")),
    "json": Syntax("JSON", (".json", ".json5", ".jsonc")),
    "julia": Syntax("Julia", (".jl",)),
    "kotlin": Syntax("Kotlin", (".kt", ".kts")),
    "lua": Syntax("Lua", (".lua",)),
    "make": Syntax("Make", (".mk", ".mak", "makefile", "gnumakefile", "justfile")),
    "nim": Syntax("Nim", (".nim", ".nims")),
    "nix": Syntax("Nix", (".nix",)),
    "objective_c": Syntax("Objective-C", (".m", ".mm")),
    "ocaml": Syntax("OCaml", (".ml", ".mli")),
    "pascal": Syntax("Pascal", (".pas", ".pp", ".dpr")),
    "perl": Syntax("Perl", (".pl", ".pm", ".pod")),
    "powershell": Syntax("PowerShell", (".ps1", ".psm1", ".psd1")),
    "prolog": Syntax("Prolog", (".pro", ".prolog")),
    "protobuf": Syntax("Protocol Buffers", (".proto",)),
    "r": Syntax("R", (".r",)),
    "racket": Syntax("Racket", (".rkt",)),
    "scala": Syntax("Scala", (".scala", ".sc", ".sbt")),
    "scheme": Syntax("Scheme", (".scm", ".ss")),
    "solidity": Syntax("Solidity", (".sol",)),
    "sql": Syntax("SQL", (".sql", ".ddl", ".psql")),
    "starlark": Syntax("Starlark", (".bzl", ".star", "build.bazel", "workspace")),
    "svelte": Syntax("Svelte", (".svelte",)),
    "swift": Syntax("Swift", (".swift",)),
    "tcl": Syntax("Tcl", (".tcl",)),
    "toml": Syntax("TOML", (".toml",)),
    "verilog": Syntax("Verilog", (".v", ".sv", ".svh", ".vh")),
    "vhdl": Syntax("VHDL", (".vhd", ".vhdl")),
    "vim": Syntax("Vim script", (".vim", ".vimrc")),
    "visual_basic": Syntax("Visual Basic", (".vb", ".bas", ".vbs")),
    "vue": Syntax("Vue", (".vue",)),
    "xml": Syntax("XML", (".xml", ".xsd", ".xsl", ".xslt", ".svg", ".plist")),
    "yaml": Syntax("YAML", (".yaml", ".yml")),
    "zig": Syntax("Zig", (".zig",)),
    "zsh": Syntax("Zsh", (".zsh", ".zshrc", ".zprofile", ".zshenv")),
}
# fmt: on

_BY_NAME: Final = {name: key for key, syntax in SYNTAXES.items() for name in syntax.names}


def syntax_of(name: str) -> str | None:
    """Return the programming language that a file's name tells, or None."""
    last = PurePosixPath(name.lower()).name
    return _BY_NAME.get(last) or _BY_NAME.get(PurePosixPath(last).suffix)


@functools.cache
def grammar(syntax: str | None) -> Any:
    """Return the tree-sitter grammar of a syntax, a capsule; None where there is none to use.

    None also where the grammar or ``tree_sitter`` itself is not installed or does not load.
    """
    known = SYNTAXES.get(syntax or "")
    if known is None or known.grammar is None:
        return None
    module, _, function = known.grammar.partition(":")
    try:
        importlib.import_module("tree_sitter")
        return getattr(importlib.import_module(module), function)()
    except ImportError:
        return None


def lacks_grammar(syntax: str) -> bool:
    """Whether a syntax has a grammar to install, and it is not there: it is cut as prose then."""
    known = SYNTAXES.get(syntax)
    return known is not None and known.grammar is not None and grammar(syntax) is None

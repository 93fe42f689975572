"""The documentation of Python's standard library, read from its sources without importing them."""

from __future__ import annotations

import ast
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

from interlace.types import Document

#: Folders that are not the library's public face, or not on every machine (tkinter).
_PASSED_OVER: Final = {
    "__pycache__",
    "config",
    "dist-packages",
    "distutils",
    "ensurepip",
    "idlelib",
    "lib-dynload",
    "lib2to3",
    "pydoc_data",
    "site-packages",
    "test",
    "tests",
    "tkinter",
    "turtle",
    "turtledemo",
}

_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


def docstrings(folder: Path | None = None) -> Iterator[Document]:
    """Yield a document for each public module, class and function that has a docstring.

    Parameters
    ----------
    folder
        Where the sources are; those of the running interpreter by default.

    Yields
    ------
    Document
        The id is the dotted name, such as ``"random.shuffle"``; the text is the name, the
        signature and the docstring.
    """
    root = folder or Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if _PASSED_OVER.isdisjoint(parts) and not any(_is_private(part) for part in parts):
            yield from _of_module(path, [part for part in parts if part != "__init__"])


def _of_module(path: Path, parts: list[str]) -> Iterator[Document]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old escapes in somebody else's source
        try:
            module = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError, OSError):
            return
    name = ".".join(parts)
    seen: set[str] = set()
    aliases = _aliases(module)
    for document in _of_body(module, name, "", aliases):
        # A name may be defined twice, once a platform; the first is as good as the others.
        if document.id not in seen:
            seen.add(str(document.id))
            yield document


def _of_body(
    node: ast.Module | ast.ClassDef, name: str, heading: str, aliases: dict[tuple[str, str], str]
) -> Iterator[Document]:
    if text := ast.get_docstring(node):
        yield _document(name, heading, text)
    for child in node.body:
        if isinstance(child, ast.ClassDef) and not _is_private(child.name):
            yield from _of_body(child, f"{name}.{child.name}", "", aliases)
        elif isinstance(child, _Function) and not child.name.startswith("_"):
            text = ast.get_docstring(child)
            owner = node.name if isinstance(node, ast.ClassDef) else ""
            shown = f"{name}.{child.name}"
            if alias := aliases.get((owner, child.name)):
                shown = f"{name.removesuffix(f'.{owner}')}.{alias}"
            if text:
                yield _document(shown, _signature(child), text)


def _aliases(module: ast.Module) -> dict[tuple[str, str], str]:
    """Find functions that are methods of a hidden object: ``shuffle = _inst.shuffle``.

    Returns
    -------
    dict
        (class, method) -> the function's name in the module.
    """
    owners: dict[str, str] = {}
    found: dict[tuple[str, str], str] = {}
    for node in module.body:
        match node:
            case ast.Assign([ast.Name(target)], ast.Call(ast.Name(owner))):
                owners[target] = owner
            case ast.Assign([ast.Name(target)], ast.Attribute(ast.Name(instance), method)):
                if instance in owners and not _is_private(target):
                    found[owners[instance], method] = target
    return found


def _signature(function: _Function) -> str:
    arguments = ast.unparse(function.args)
    for first in ("self, ", "cls, "):
        arguments = arguments.removeprefix(first)
    return "()" if arguments in ("self", "cls", "") else f"({arguments})"


def _document(name: str, signature: str, text: str) -> Document:
    return Document(f"{name}{signature}\n\n{text}", name)


def _is_private(name: str) -> bool:
    return name.startswith("_") and name != "__init__"

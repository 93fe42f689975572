"""Write the pages of ``docs/reference`` that say what the code says: api, cli, errors, formats.

    python scripts/reference.py            # write them
    python scripts/reference.py --check    # write nothing; exit with 1 when one is out of date

Docstrings are read with griffe, without running them; commands are asked by click what they take.
"""

from __future__ import annotations

import re
import sys
import textwrap
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import griffe
from typer.main import get_command

import interlace
from interlace import errors
from interlace.cli import app, settings
from interlace.text import FORMATS, reasons, syntaxes

ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = ROOT / "docs" / "reference"
WRITTEN_BY: Final = "<!-- Written by scripts/reference.py from the code: change that instead. -->"

#: Classes that users meet without importing them: where they live, in the order of the page.
MET: Final = {
    "Changing": ("collection.Changes", "collection.AddReport", "collection.IndexReport"),
    "Files": ("collection.planning.Source", "collection.planning.Reading", "types.Skipped"),
    "Finding": ("types.Passage", "types.Explanation", "types.Match", "types.Encoded"),
    "Keeping": (
        "store.SettleReport",
        "store.CompactReport",
        "store.VerifyReport",
        "store.RepairReport",
        "store.BackupReport",
        "collection.ExportReport",
        "models.ModelReport",
    ),
    "From elsewhere": ("integrations.Index",),
    "Measuring": (
        "evaluate.TuneReport",
        "evaluate.Measured",
        "evaluate.Diagnosis",
        "evaluate.Losses",
    ),
}

#: What to do about each error, in general; its message says it for the case at hand.
REMEDIES: Final = {
    "InterlaceError": "Catch it to catch all of the below.",
    "InputError": "Mend what the message names: a path, a record, an id, a query.",
    "FilterError": "Mend the filter where the message says; it names the nearest fields.",
    "SettingsError": "Choose one of the values that the message lists.",
    "MissingExtra": "`pip install 'interlace[documents]'`, or whichever extra the message names",
    "CheckpointError": "Fetch the model again, or name another.",
    "RemoteError": "Check the connection, or name a model's folder on this machine.",
    "CollectionError": "Do what the message says; the collection itself is as it was.",
    "NotACollection": "Check the path, or make one: `interlace index FOLDER --to PATH`.",
    "Locked": "Wait for the other writer, or give more time with `lock_wait_seconds`.",
    "FormatTooNew": "Install the version of interlace that wrote it, or a newer one.",
    "FormatTooOld": "Index the documents again into a new folder.",
    "ModelMismatch": "Pass the model that the collection was made with to `open`, or encode it "
    "with yours: `rebuild`.",
    "Corrupt": "`interlace verify` names every damaged file; `interlace repair` makes them again.",
}


# --- docstrings ----------------------------------------------------------------------------------
PACKAGE: Final = griffe.load(
    "interlace", search_paths=[str(ROOT / "src")], docstring_parser="numpy", resolve_aliases=True
)


def found(path: str) -> Any:
    """The object of a path below the package, wherever it is defined."""
    one = PACKAGE[path]
    return one.final_target if one.is_alias else one


def sections(one: Any) -> list[Any]:
    """The parts of an object's docstring."""
    return one.docstring.parsed if one.docstring else []


def plain(text: str) -> str:
    """A docstring's words as Markdown."""
    text = re.sub(r":\w+:`([^`]+)`", r"`\1`", text.strip())
    text = re.sub(r"``(.+?)``", r"`\1`", text, flags=re.DOTALL)
    return re.sub(r"^::\n\n?", "", text, flags=re.MULTILINE)


def one_line(text: str) -> str:
    """The same on one line, for lists and tables."""
    return " ".join(plain(text).split())


def is_public(name: str) -> bool:
    """Whether users are to know of a name."""
    return not name.startswith("_")


def signature(one: Any, name: str) -> str:
    """How a function is called, on one line if it fits."""
    parameters, only_named = [], False
    for parameter in one.parameters:
        if parameter.name == "self" or parameter.name == "cls":
            continue
        kind = parameter.kind.value if parameter.kind else ""
        stars = {"variadic positional": "*", "variadic keyword": "**"}.get(kind, "")
        if kind == "keyword-only" and not only_named:
            if not any(each.startswith("*") for each in parameters):
                parameters.append("*")
            only_named = True
        typed = f": {parameter.annotation}" if parameter.annotation else ""
        default = f" = {parameter.default}" if parameter.default and not stars else ""
        parameters.append(f"{stars}{parameter.name}{typed}{default}")
    returns = f" -> {one.returns}".replace("store.", "") if one.returns else ""
    short = f"{name}({', '.join(parameters)}){returns}"
    if len(short) <= 92:
        return short
    listed = "".join(f"    {each},\n" for each in parameters)
    return f"{name}(\n{listed}){returns}"


def described(one: Any) -> Iterator[str]:
    """An object's docstring as Markdown, block by block."""
    for part in sections(one):
        kind = part.kind.value
        if kind == "text":
            yield plain(part.value)
        elif kind in ("parameters", "attributes"):
            yield f"**{kind.capitalize()}**\n\n" + "\n".join(_items(part.value, kind))
        elif kind in ("returns", "yields"):
            rows = [f"`{each.annotation}`" + _told(each.description) for each in part.value]
            yield f"**{kind.capitalize()}** " + "; ".join(rows)
        elif kind in ("raises", "warns"):
            rows = [f"- {error_link(one.annotation)}{_told(one.description)}" for one in part.value]
            yield f"**{kind.capitalize()}**\n\n" + "\n".join(rows)
        elif kind == "admonition":
            yield f"**{part.title or part.value.kind}**: {one_line(part.value.description)}"


def _items(some: Iterable[Any], kind: str) -> Iterator[str]:
    """A line for each parameter or attribute; those that are explained together have one."""
    explained = groupby(some, lambda one: (str(one.annotation or ""), one.description))
    for (told, description), same in explained:
        names = ", ".join(f"`{name}`" for one in same for name in one.name.split(", "))
        typed = ""
        if told.startswith("(") and not told.endswith("optional)"):  # a shape
            typed = f" `{told}`"
        elif kind == "attributes" and told:  # what a parameter is, the signature tells
            typed = f" ({told.strip('()')})"
        yield f"- {names}{typed}{_told(description)}"


def _told(description: str) -> str:
    return f": {one_line(description)}" if description.strip() else ""


def error_link(annotation: Any) -> str:
    """An error's name, linked to the page of errors; several where a docstring names several."""
    names = [name.strip() for name in str(annotation).strip("()").split(",")]
    return ", ".join(
        f"[`{name}`](errors.md#{name.lower()})" if hasattr(errors, name) else f"`{name}`"
        for name in names
    )


# --- api -----------------------------------------------------------------------------------------
def api() -> str:
    """The page of all public names."""
    functions = [name for name in interlace.__all__ if found(name).is_function]
    functions += [f"evaluate.{name}" for name in ("tune", "untune", "diagnose")]
    functions += [f"integrations.{name}" for name in ("convert", "open_index")]
    classes = ["Collection", "Encoder", "Document", "Hit", "Hits"]
    blocks = [
        WRITTEN_BY,
        "# The Python API",
        "`import interlace` has the names of the first two parts and `InterlaceError`; the classes "
        "under *what comes back* are met as arguments and results. Errors: [their own "
        "page](errors.md).",
        _contents(functions, classes),
        "## Functions",
    ]
    for name in functions:
        blocks += _function(found(name), f"interlace.{name}")
    for name in classes:
        blocks += _class(found(name), "##")
    blocks.append("## What comes back")
    for group in MET.values():
        for path in group:
            blocks += _class(found(path), "###")
    return "\n\n".join(blocks) + "\n"


def _contents(functions: Iterable[str], classes: Iterable[str]) -> str:
    def links(names: Iterable[str]) -> str:
        return " · ".join(f"[`{name}`](#{slug(name)})" for name in names)

    met = [path.rpartition(".")[2] for group in MET.values() for path in group]
    return "\n".join(
        [
            f"- functions: {links(f'interlace.{name}' for name in functions)}",
            f"- classes: {links(classes)}",
            f"- what comes back: {links(met)}",
        ]
    )


def _function(one: Any, name: str, level: str = "###") -> Iterator[str]:
    yield f"{level} {name}"
    yield f"```text\n{signature(one, name.removeprefix('interlace.'))}\n```"
    yield from described(one)


def _class(one: Any, level: str) -> Iterator[str]:
    yield f"{level} {one.name}"
    yield from described(one)
    properties, methods = [], []
    for member in one.members.values():
        if not is_public(member.name) or not member.docstring:
            continue
        if "property" in member.labels:
            properties.append(
                f"- `{member.name}` ({member.annotation}): {one_line(member.docstring.value)}"
            )
        elif member.is_function:
            methods.append(member)
    if properties:
        yield "**Properties**\n\n" + "\n".join(properties)
    for method in methods:
        yield from _function(method, f"{one.name}.{method.name}", f"{level}#")


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


# --- cli -----------------------------------------------------------------------------------------
def cli() -> str:
    """The page of all commands, options and settings."""
    group = get_command(app.app)
    blocks = [
        WRITTEN_BY,
        "# The command line",
        "Every command is one call that a Python user could make; `interlace COMMAND --help` says "
        "what stands here. What `--json` prints: [scripts](../how-to/scripts.md).",
    ]
    by_panel: dict[str, list[str]] = defaultdict(list)
    for name, command in group.commands.items():
        summary = (command.help or "").partition("\n")[0]
        by_panel[str(command.rich_help_panel)].append(
            f"| [`{name}`](#interlace-{name}) | {summary} |"
        )
    for panel, rows in by_panel.items():
        blocks.append("\n".join([f"| {panel.lower()} | |", "|---|---|", *rows]))
    blocks += ["## Before the command", _options(group.params)]
    for name, command in group.commands.items():
        blocks += _command(name, command)
    blocks += ["## Settings", _settings(), "## Exit codes", *_exit_codes()]
    return "\n\n".join(blocks) + "\n"


def _command(name: str, command: Any) -> Iterator[str]:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option"]
    words = "".join(f" {_argument(each)}" for each in arguments)
    yield f"## interlace {name}"
    yield f"```text\ninterlace {name}{words} [OPTIONS]\n```"
    yield command.help or ""
    if arguments:
        rows = [
            f"| `{each.metavar or each.name.upper()}` | {_cell(each.help)} |" for each in arguments
        ]
        yield "\n".join(["| argument | |", "|---|---|", *rows])
    by_panel: dict[str | None, list[Any]] = defaultdict(list)
    for each in options:
        by_panel[each.rich_help_panel].append(each)
    for panel, some in by_panel.items():
        yield _options(some, panel or "option")


def _argument(each: Any) -> str:
    shown = str(each.metavar or each.name.upper()) + ("…" if each.nargs == -1 else "")
    return shown if each.required else f"[{shown}]"


def _options(some: Iterable[Any], title: str = "option") -> str:
    rows = [f"| {_names(each)} | {_cell(each.help)} |" for each in some]
    return "\n".join([f"| {title.lower()} | |", "|---|---|", *rows])


def _names(each: Any) -> str:
    names = ", ".join(f"`{name}`" for name in each.opts)
    return f"{names} {each.metavar}" if each.metavar and not each.is_flag else names


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def _settings() -> str:
    told = {
        each.name: one_line(each.description)
        for part in sections(found("cli.settings.Settings"))
        if part.kind.value == "attributes"
        for each in part.value
    }
    rows = [
        f"| `{each.name}` | `{settings.PREFIX}{each.name.upper()}` | "
        f"{'' if each.default is None else f'`{each.default}`'} | {told[each.name]} |"
        for each in fields(settings.Settings)
    ]
    return "\n".join(
        [
            f"What no option says comes from the environment, then from `{settings.FILE}` in the "
            f"current folder, or from the file that `{settings.PREFIX}CONFIG` names. An unknown "
            "key is an error that names the nearest known one.",
            "",
            "| in the file | in the environment | default | |",
            "|---|---|---|---|",
            *rows,
            "",
            f"`{settings.PREFIX}KERNELS` is none of them: it [forces a kernel](kernels.md).",
        ]
    )


def _exit_codes() -> Iterator[str]:
    codes = re.findall(r"(\d+) ([^·.]+?)(?: ·|\.)", app.EXIT_CODES.partition("\n")[0])
    rows = [f"| {code} | {meaning.strip()} |" for code, meaning in codes]
    yield "\n".join(["| code | |", "|---|---|", *rows])
    yield "Which error gives which: [errors](errors.md)."


# --- errors --------------------------------------------------------------------------------------
def error_classes() -> list[type[errors.InterlaceError]]:
    """Every error that is raised on purpose, in the order of the tree."""
    return [one for one in vars(errors).values() if isinstance(one, type)]


def errors_page() -> str:
    """The page of all errors."""
    tree = textwrap.dedent((errors.__doc__ or "").split("\n\n")[1]).rstrip()
    blocks = [
        WRITTEN_BY,
        "# Errors",
        "Whatever interlace raises on purpose is one of these, in `interlace.errors`. A message "
        "reads *what: where. remedy.* The command prints it on standard error and ends with the "
        "exit code; `interlace --debug COMMAND …` shows the traceback.",
        f"```text\n{tree}\n```",
    ]
    raisers = _raisers()
    for one in error_classes():
        blocks += [f"## {one.__name__}", plain((one.__doc__ or "").partition("\n\n")[0])]
        builtin = [base.__name__ for base in one.__bases__ if base.__module__ == "builtins"]
        facts = [
            f"- **exit code** {app.exit_code(one())}",
            f"- **remedy** {REMEDIES[one.__name__]}",
        ]
        if builtin and builtin != ["Exception"]:
            facts.insert(0, f"- **also** `{builtin[0]}`")
        if names := raisers.get(one.__name__):
            facts.append(
                "- **raised by** " + ", ".join(f"[`{n}`](api.md#{slug(n)})" for n in names)
            )
        blocks.append("\n".join(facts))
    blocks += ["## After an error", _after()]
    return "\n\n".join(blocks) + "\n"


def _after() -> str:
    return (
        "An `add` or `index` that fails has stored what came before: `error.committed` counts "
        "those documents. Run it again; what is stored is not encoded twice. Inside `with "
        "collection.writer()` an error drops the whole commit. Errors of the system (a full disk, "
        "no rights) come as Python's own `OSError`, exit code 3."
    )


def _raisers() -> dict[str, list[str]]:
    raisers: dict[str, list[str]] = defaultdict(list)
    named = [(f"interlace.{name}", found(name)) for name in interlace.__all__]
    for name in ("Collection", "Encoder"):
        named += [(f"{name}.{each.name}", each) for each in found(name).members.values()]
    for name, one in named:
        if not one.is_function or not is_public(one.name):
            continue
        for part in sections(one):
            if part.kind.value == "raises":
                for each in part.value:
                    for error in str(each.annotation).strip("()").split(", "):
                        if name not in raisers[error]:
                            raisers[error].append(name)
    return raisers


# --- formats -------------------------------------------------------------------------------------
def formats() -> str:
    """The page of all readers."""
    blocks = [
        WRITTEN_BY,
        "# Formats",
        "A file's name decides how it is read, in whatever case; `--format NAME` decides for all "
        "files. A file whose name says nothing is read as text if it holds text. *Extra* names "
        "what `pip install 'interlace[documents]'` brings and the reader uses. How to index each "
        "kind of source: [own pages](../how-to/README.md).",
    ]
    rows = []
    for name, one in FORMATS.items():
        suffixes = "by language, [below](#languages)" if name == "code" else _coded(one.suffixes)
        rows.append(f"| [`{name}`](#{slug(one.title)}) | {suffixes} | {_packages(one)} |")
    blocks.append("\n".join(["| format | files | extra |", "|---|---|---|", *rows]))
    for name, one in FORMATS.items():
        extra = f" · extra: {_packages(one)}" if one.needs else ""
        blocks += [f"## {one.title[0].upper()}{one.title[1:]}", f"`--format {name}`{extra}"]
        blocks += list(_reader(one.function))
    blocks += ["## Languages", _languages(), "## What has no reader", _without_reader()]
    return "\n\n".join(blocks) + "\n"


def _coded(words: Iterable[str]) -> str:
    return " ".join(f"`{word}`" for word in words)


def _packages(one: Any) -> str:
    """What a reader uses of the extra, by the names that pip knows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = {
        re.split(r"\W*[<>=]", each)[0] for each in project["optional-dependencies"]["documents"]
    }
    packages = [{name, f"python-{name}"} & extra for name in one.needs]
    return ", ".join(name for (name,) in packages)


def _reader(function: str) -> Iterator[str]:
    module, _, name = function.partition(":")
    for part in sections(found(f"text.formats.{module}.{name}")):
        kind = part.kind.value
        if kind == "text":
            yield plain(part.value)
        elif kind == "raises":
            rows = [f"- `{each.annotation}`{_told(each.description)}" for each in part.value]
            yield "**Not read**, with this as the reason:\n\n" + "\n".join(rows)


def _languages() -> str:
    intro = (
        "Source files keep their text as it is. With the extra, those with a grammar are cut where "
        "functions and classes begin; the others, and all of them without it, like prose."
    )
    rows = [
        f"| {one.title} | {_coded(one.names)} | {'yes' if one.grammar else ''} |"
        for one in syntaxes.SYNTAXES.values()
    ]
    return "\n".join([intro, "", "| language | files | grammar |", "|---|---|---|", *rows])


def _without_reader() -> str:
    rows = []
    for title, suffixes in reasons._NO_READER.items():
        kind, _, remedy = title.partition("; ")
        rows.append(f"| {kind} | {_coded(suffixes.split())} | {remedy} |")
    intro = "Such files are left out, and the report names them:"
    return "\n".join([intro, "", "| kind | files | instead |", "|---|---|---|", *rows])


# --- writing -------------------------------------------------------------------------------------
PAGES: Final[dict[str, Callable[[], str]]] = {
    "api.md": api,
    "cli.md": cli,
    "errors.md": errors_page,
    "formats.md": formats,
}


def out_of_date(*, check: bool) -> list[str]:
    """Write the pages that are not as the code says, or only name them."""
    stale = []
    for name, page in PAGES.items():
        path, text = FOLDER / name, page()
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not check:
                path.write_text(text, encoding="utf-8")
    return stale


if __name__ == "__main__":
    checks = sys.argv[1:] == ["--check"]
    names = out_of_date(check=checks)
    if names:
        print(f"{'out of date' if checks else 'written'}: {', '.join(names)}")
    sys.exit(1 if checks and names else 0)

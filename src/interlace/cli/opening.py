"""Opening a hit where it stands: text in an editor at the line, other files in their program."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import typer

import interlace
from interlace.cli import hits, output
from interlace.errors import InputError

#: Editors that are told the line in another way than ``+LINE FILE``.
_GOTO: Final = {"code", "code-insiders", "codium", "cursor", "windsurf", "positron"}
_COLON: Final = {"subl", "zed", "hx", "helix", "mate", "lapce"}
_LINE_OPTION: Final = {"idea", "pycharm", "goland", "webstorm", "clion", "rubymine", "kate"}


def open_hit(collection: interlace.Collection, one: hits.Shown) -> None:
    """Open the file of a hit; where that cannot be done, print where it is and the passage.

    Raises
    ------
    InputError
        When the program that the user has chosen cannot be started.
    """
    hit, path = one.hit, collection.locate(one.hit)
    if path is None or hit.file is None:
        why = "it came from no file" if hit.file is None else f"{hit.file} is not there any more"
        _show_instead(one, why)
    elif not _is_that_file(path, hit.file):
        _show_instead(one, f"it lies inside {path}")
    elif one.line is None:
        _launch(one, path)
    elif argv := reader(path, one.line):
        _run(argv)
    else:
        _show_instead(one, f"{path}, line {one.line}")


def reader(path: Path, line: int) -> list[str] | None:
    """The command that shows a text file at a line: the user's editor, else the pager.

    None when there is neither, or no terminal to show it on.
    """
    chosen = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if chosen:
        return _at_line(shlex.split(chosen), path, line)
    pager = shlex.split(os.environ.get("PAGER") or "less")
    if not sys.stdout.isatty() or shutil.which(pager[0]) is None:
        return None
    place = [f"+{line}g"] if Path(pager[0]).stem == "less" else []
    return [*pager, *place, str(path)]


def _at_line(editor: list[str], path: Path, line: int) -> list[str]:
    name = Path(editor[0]).stem.lower()
    if name in _GOTO:
        return [*editor, "-g", f"{path}:{line}"]
    if name in _COLON:
        return [*editor, f"{path}:{line}"]
    if name in _LINE_OPTION:
        return [*editor, "--line", str(line), str(path)]
    if name == "notepad++":
        return [*editor, f"-n{line}", str(path)]
    if name == "notepad":
        return [*editor, str(path)]
    return [*editor, f"+{line}", str(path)]


def _run(argv: list[str]) -> None:
    try:
        subprocess.run(argv, check=False)
    except OSError as error:
        raise InputError(
            f"cannot start {argv[0]} ({error.strerror}). Set EDITOR to a program that is installed."
        ) from None


def _launch(one: hits.Shown, path: Path) -> None:
    try:
        code = typer.launch(str(path))
    except OSError:
        code = 1
    if code:
        _show_instead(one, f"no program here opens {path}")
    elif one.hit.page is not None:
        output.note(f"opening {path}; the hit is on page {one.hit.page}.")


def _show_instead(one: hits.Shown, why: str) -> None:
    output.note(f"{why}. The passage:")
    output.to_people().print(hits.for_people([one], full=True))


def _is_that_file(path: Path, name: str) -> bool:
    """Whether a path is what the name says, not an archive around it; ``a.txt#2`` is ``a.txt``."""
    return path.name == Path(name.partition("#")[0]).name or path.name == Path(name).name

"""What the pages say is true: their code runs, and nothing public is left out."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from interlace import errors
from interlace.store import EFFORTS

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")]
_BLOCK = re.compile(r"```(\w+)\n(.*?)```|^    \$ (interlace [^#\n]+)", re.DOTALL | re.MULTILINE)


def run_page(page: Path, folder: Path) -> dict[str, object]:
    """Run a page's commands and Python in its order; JSON blocks become facts.jsonl."""
    space: dict[str, object] = {}
    for language, block, command in _BLOCK.findall(page.read_text(encoding="utf-8")):
        if language == "json":
            (folder / "facts.jsonl").write_text(block, encoding="utf-8")
        elif language == "python":
            exec(compile(block, str(page), "exec"), space)
        elif command:
            words = shlex.split(command)[1:]
            subprocess.run([sys.executable, "-m", "interlace.cli", *words], check=True, cwd=folder)
    return space


def test_the_tutorial_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    space = run_page(ROOT / "docs" / "tutorial.md", tmp_path)
    assert space["hits"][0].id == "sea"
    assert "1 sea" in capsys.readouterr().out
    assert len(space["facts"]) == 2
    space["facts"].close()


def test_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "sky.txt").write_text("Rayleigh scattering makes the sky blue.")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shell, python = text.split("```python", 1)
    page = tmp_path / "shell.md"
    page.write_text(shell, encoding="utf-8")
    run_page(page, tmp_path)
    for file in sorted((tmp_path / "notes.lace").rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    page.write_text("```python" + python, encoding="utf-8")
    space = run_page(page, tmp_path)
    assert "1 sky" in capsys.readouterr().out
    space["notes"].close()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_command_is_in_the_readme_or_the_docs():
    listed = subprocess.run(
        [sys.executable, "-m", "interlace.cli", "--help"],
        check=True,
        capture_output=True,
        text=True,
        env={"COLUMNS": "100", "PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"},
    ).stdout
    commands = re.findall(r"^│ (\w+) ", listed, re.MULTILINE)
    assert {"index", "search", "explain", "verify", "demo"} <= set(commands)
    pages = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    for command in commands:
        assert re.search(rf"interlace {command}\b|`{command}`", pages), command


def test_every_error_is_in_the_drawn_tree():
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, errors.InterlaceError):
            assert name in (errors.__doc__ or ""), name
            assert value.__doc__


def test_the_knobs_page_has_the_efforts_as_they_are():
    page = (ROOT / "docs" / "reference" / "knobs.md").read_text(encoding="utf-8")
    for name, effort in EFFORTS.items():
        if effort is None:
            assert f"| `{name}` |" in page
        else:
            row = f"| {effort.cells}, {effort.leaves} | {effort.candidates:,} | {effort.scored:,} |"
            assert row in page, name

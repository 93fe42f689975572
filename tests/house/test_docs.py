"""What the pages say is true: their code runs, their links lead somewhere, nothing is left out."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest
import sources
from commands import help_of

from interlace import errors
from interlace.store import EFFORTS, FORMAT, OLDEST_READABLE

ROOT = Path(__file__).parents[2]
PAGES = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/**/*.md"),
    *ROOT.glob("benchmarks/*.md"),
    *ROOT.glob("examples/*.md"),
]
SHOWN = [*ROOT.glob("docs/how-to/*.md"), *ROOT.glob("docs/compatibility/*.md")]
_BLOCK = re.compile(r"```(\w+)\n(.*?)```|^    \$ ([^\n]+)", re.DOTALL | re.MULTILINE)
_LINE = re.compile(r"^    \$ (.+)$", re.MULTILINE)

#: What a test cannot do: fetch, watch or serve for ever, write into the user's shell; and files
#: that are only spoken of.
_NOT_RUN = re.compile(
    r"curl|wget|pip |interlace serve|--watch|-completion|example\.org|Inbox|^python |^cmake|=avx2",
)


#: Pages that need what their page says to install first: `make test-integrations` has it.
_NEEDS = {
    "dspy": "dspy",
    "mteb": "mteb",
    "haystack": "haystack",
    "langchain": "langchain_core",
    "llama-index": "llama_index.core",
}


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """Runs a command line in a folder of its own, where ``interlace`` is this checkout's."""
    command = tmp_path / "bin" / "interlace"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m interlace.cli "$@"\n')
    command.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")

    def run(line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=home,
        )

    return run


def blocks(page: str):
    """The commands and Python of a page, in its order."""
    for language, block, command in _BLOCK.findall(page):
        if language in ("python", "json"):
            yield language, block
        elif command and not _NOT_RUN.search(command):
            yield "shell", command.partition("  #")[0].strip()


def run_page(page: Path, shell) -> dict[str, object]:
    """Run a page; JSON blocks become facts.jsonl."""
    space: dict[str, object] = {"__name__": page.stem}
    for language, block in blocks(page.read_text(encoding="utf-8")):
        if language == "json":
            Path("facts.jsonl").write_text(block, encoding="utf-8")
        elif language == "python":
            exec(compile(block, str(page), "exec"), space)
        elif "jq" not in block or shutil.which("jq"):
            ran = shell(block)
            # jq -e says with its exit code what it found.
            assert ran.returncode == 0 or "jq -e" in block, f"{block}\n{ran.stdout}\n{ran.stderr}"
    return space


def test_the_tutorial_runs(shell, capsys):
    space = run_page(ROOT / "docs" / "tutorial.md", shell)
    assert space["hits"][0].id == "sea"
    assert "1 sea" in capsys.readouterr().out
    assert len(space["facts"]) == 2
    space["facts"].close()


def test_the_readme_runs(shell, tmp_path, capsys):
    Path("notes").mkdir()
    Path("notes/sky.txt").write_text("Rayleigh scattering makes the sky blue.")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands, python = text.split("```python", 1)
    page = tmp_path / "README.md"
    page.write_text(commands, encoding="utf-8")
    run_page(page, shell)
    page.write_text("```python" + python, encoding="utf-8")
    space = run_page(page, shell)
    assert "1 sky" in capsys.readouterr().out
    space["facts"].close()


@pytest.mark.parametrize("page", SHOWN, ids=lambda page: page.stem)
def test_a_page_runs(page, shell):
    if page.stem in _NEEDS:
        pytest.importorskip(_NEEDS[page.stem])
    sources.write_all(Path())
    space = run_page(page, shell)
    if page.stem == "filter":
        shown = re.search(r"print\(\[hit.id for hit in hits\]\) +# (.+)", page.read_text())[1]
        assert shown == str([hit.id for hit in space["hits"]])


def test_the_pages_that_are_run_have_something_to_run():
    silent = {page.stem for page in SHOWN if not list(blocks(page.read_text(encoding="utf-8")))}
    assert silent == {"README", "gpu", "integrations", "notebooks", "shell-completion"}


def test_the_table_of_integrations_has_every_page_and_example():
    page = (ROOT / "docs" / "how-to" / "integrations.md").read_text(encoding="utf-8")
    programs = {path.name for path in ROOT.glob("examples/*.py")}
    assert {name for name in programs if f"[{name}](" not in page} == set()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    plugs = {"dspy", "haystack", "langchain", "llama-index", "mcp", "mteb", "serve", "torch"}
    assert plugs <= extras["optional-dependencies"].keys()
    assert {name for name in plugs if f"`interlace[{name}]`" not in page} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```|`[^`\n]+`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        there = page.parent / path if path else page
        assert there.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(there), f"{page.name}: {target}"


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).strip().replace(" ", "-")
        found.add(slug if not seen[slug] else f"{slug}-{seen[slug]}")
        seen[slug] += 1
    return found


def test_every_command_that_is_shown_takes_the_options_it_is_shown_with():
    """Also those that are not run."""
    for page in PAGES:
        for line in _LINE.findall(page.read_text(encoding="utf-8")):
            for part in re.findall(r"interlace [^|#&]+", line):
                words = part.split()[1:]
                if words[0].startswith("-"):
                    assert words[0] in help_of(), line
                    continue
                for word in words[1:]:
                    if re.match(r"--?[a-z]", word):
                        assert word in help_of(words[0]).split(), line


def test_every_error_is_in_the_drawn_tree():
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, errors.InterlaceError):
            assert name in (errors.__doc__ or ""), name
            assert value.__doc__


def test_the_format_page_has_the_numbers_as_they_are():
    page = (ROOT / "docs" / "reference" / "format.md").read_text(encoding="utf-8")
    assert f"format **{FORMAT}**" in page
    assert f"now {OLDEST_READABLE} to {FORMAT}" in page
    assert f"format on disk is {FORMAT};" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_knobs_page_has_the_efforts_as_they_are():
    page = (ROOT / "docs" / "reference" / "knobs.md").read_text(encoding="utf-8")
    for name, effort in EFFORTS.items():
        if effort is None:
            assert f"| `{name}` |" in page
        else:
            probed = f"{effort.groups}, {effort.cells}, {effort.leaves}"
            then = f"{effort.candidates:,} | {effort.scored:,} | {effort.spread} |"
            assert f"| {probed} | {then}" in page, name

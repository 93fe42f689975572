"""Shells complete commands, options, words and collections, without loading what is heavy."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import interlace
from interlace.cli import places

HEAVY = ("onnxruntime", "huggingface_hub", "lxml", "watchfiles")


@pytest.fixture
def place(tmp_path, monkeypatch, encoder):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "old").mkdir()
    for name in ("notes.lace", "old/far.lace"):
        interlace.create(name, model=encoder).close()
    return tmp_path


def complete(shell: str, line: str) -> list[str]:
    """What a shell is told after a line was typed, by the real command."""
    words = line.split(" ")
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "_INTERLACE_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
        "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    code = "import sys; sys.argv[0] = 'interlace'; from interlace.cli import main; main()"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False
    )
    assert ran.stderr == ""
    return ran.stdout.split("\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_commands_options_and_words(place, shell):
    commands = "\n".join(complete(shell, "interlace "))
    assert all(name in commands for name in ("index", "search", "update", "sources", "forget"))
    assert "--effort" in "\n".join(complete(shell, "interlace search notes.lace x --eff"))
    assert "--passage-overlap" in "\n".join(complete(shell, "interlace index docs --pass"))
    words = "\n".join(complete(shell, "interlace search notes.lace x --effort "))
    assert all(word in words for word in ("fast", "balanced", "thorough", "exhaustive"))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_collections(place, shell):
    found = "\n".join(complete(shell, "interlace search "))
    assert "notes.lace" in found
    assert "docs" not in found


def test_collections_are_found_on_the_way(place):
    assert places.complete_collection("") == ["notes.lace"]
    assert places.complete_collection("no") == ["notes.lace"]
    assert places.complete_collection("./no") == ["./notes.lace"]
    assert places.complete_collection("ol") == ["old/"]
    assert places.complete_collection("old/") == ["old/far.lace"]
    assert places.complete_collection("old/x") == []
    assert places.complete_collection("nowhere/") == []
    assert places.complete_collection(f"{place}/no") == [f"{place}/notes.lace"]


def test_nothing_heavy_is_loaded(place):
    """Every Tab starts the program anew."""
    code = (
        "import sys, atexit; sys.argv[0] = 'interlace';"
        f"atexit.register(lambda: print([m for m in {HEAVY!r} if m in sys.modules], "
        "file=sys.stderr)); from interlace.cli import main; main()"
    )
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "_INTERLACE_COMPLETE": "complete_bash",
        "COMP_WORDS": "interlace search ",
        "COMP_CWORD": "2",
    }
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False
    )
    assert ran.stderr.strip() == "[]"
    assert "notes.lace" in ran.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell(shell, tmp_path):
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "_INTERLACE_COMPLETE": ""}
    code = "import sys; sys.argv[0] = 'interlace'; from interlace.cli import main; main()"
    env["_INTERLACE_COMPLETE"] = f"source_{shell}"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False
    )
    assert f"complete_{shell}" in ran.stdout
    assert "interlace" in ran.stdout

"""``import interlace`` shows exactly these names and loads nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import interlace

PUBLIC = [
    "Collection",
    "Document",
    "Encoder",
    "Hit",
    "Hits",
    "InterlaceError",
    "create",
    "maxsim",
    "open",
    "read",
    "rerank",
    "restore",
]
HEAVY = ["onnxruntime", "tokenizers", "safetensors", "huggingface_hub", "sqlite3", "typer", "rich"]


def in_a_new_process(code: str) -> list[str]:
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(ran.stdout)


def test_the_public_list_is_exactly_this():
    assert interlace.__all__ == PUBLIC == sorted(PUBLIC)
    assert dir(interlace) == sorted([*PUBLIC, "__version__", "errors", "evaluate", "integrations"])


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_there_and_documented(name):
    assert getattr(interlace, name).__doc__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'serach'"):
        interlace.serach  # noqa: B018


def test_the_version_is_that_of_the_package():
    from importlib.metadata import PackageNotFoundError, version

    try:
        installed = version("interlace")
    except PackageNotFoundError:
        pytest.skip("interlace is on the path but not installed")
    assert interlace.__version__ == installed


def test_c64_import_loads_nothing_heavy():
    loaded = in_a_new_process(
        "import sys, json, interlace; interlace.errors.InputError; interlace.Document('x');"
        f"print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    )
    assert loaded == []


def test_c64_retrieval_imports_nothing_that_only_training_needs():
    loaded = in_a_new_process(
        "import sys, json, interlace; interlace.open, interlace.Encoder, interlace.rerank;"
        "print(json.dumps([m for m in ['torch', 'transformers', 'scipy'] if m in sys.modules]))"
    )
    assert loaded == []


def test_import_writes_nothing_and_starts_nothing():
    started = in_a_new_process(
        "import threading, json, interlace;"
        "print(json.dumps([t.name for t in threading.enumerate()]))"
    )
    assert started == ["MainThread"]

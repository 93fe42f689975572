"""Frameworks are loaded when their file is, and an import that fails says why."""

from __future__ import annotations

import subprocess
import sys

import pytest

import interlace
from interlace.integrations import frameworks

#: The file here, the package it needs, the extra that brings it.
FRAMEWORKS = [
    ("dspy", "dspy", "dspy"),
    ("mcp", "mcp.server", "mcp"),
    ("mteb", "mteb", "mteb"),
    ("langchain", "langchain_core", "langchain"),
    ("haystack", "haystack", "haystack"),
    ("llama_index", "llama_index.core", "llama-index"),
]


def import_of(name, folder, code=""):
    ran = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nimport interlace.integrations.{name}"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 1
    return ran.stderr.splitlines()[-1]


@pytest.mark.parametrize(("name", "package", "extra"), FRAMEWORKS)
def test_a_framework_that_is_not_there_names_the_extra(name, package, extra, tmp_path):
    said = import_of(name, tmp_path, f"sys.modules[{package!r}] = None")
    assert said.startswith("interlace.errors.MissingExtra: ")
    assert f"pip install 'interlace[{extra}]'" in said


@pytest.mark.parametrize(("name", "package", "extra"), FRAMEWORKS)
def test_a_framework_that_is_broken_says_how(name, package, extra, tmp_path):
    broken = tmp_path / package.partition(".")[0]
    broken.mkdir()
    (broken / "__init__.py").write_text("import its_own_missing_part")
    said = import_of(name, tmp_path)
    assert said.startswith("interlace.errors.MissingExtra: ")
    assert "is installed but broken (No module named 'its_own_missing_part')" in said


def test_no_framework_is_loaded_with_the_integrations():
    packages = {package.partition(".")[0] for _, package, _ in FRAMEWORKS}
    code = f"import sys, interlace.integrations; assert not {packages} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_place_of_a_hit_leaves_out_what_is_not_known(notes):
    notes.add([{"id": 1, "text": "Ice floats.", "metadata": {"tags": ["ice"]}}])
    (hit,) = notes.search("ice", mode="lexical")
    told = frameworks.place(hit)
    assert {"score", "rank", "passage", "start", "end"} == told.keys()
    given = frameworks.with_place(hit.metadata, hit)
    given["tags"].append("sea")
    assert hit.metadata == {"tags": ["ice"]}
    assert frameworks.without_place(given) == {"tags": ["ice", "sea"]}


def test_numbers_are_numbers_only_where_the_collection_has_them(notes):
    notes.add([{"id": 7, "text": "seven"}, {"id": "8", "text": "eight"}, {"id": 8, "text": "8"}])
    notes.add([{"id": 0, "text": "zero"}, {"id": 13, "text": "thirteen"}])
    ids = ["7", "8", "9", "07", "-1", "-0", "1\u0663", "x", "", "9" * 18, "9" * 19, "9" * 30]
    assert frameworks.own_ids(notes, ids) == [7, *ids[1:]]
    notes.add([{"id": 2**63 - 1, "text": "much"}])
    assert frameworks.own_ids(notes, [str(2**63 - 1)]) == [2**63 - 1]


def test_a_model_of_a_name_is_loaded_once_and_others_stay(copy_of_mini, encoder):
    for name in ("mini", copy_of_mini()):
        once = frameworks.loaded(name)
        assert frameworks.loaded(once) is once
        assert once.dim == encoder.dim
    assert frameworks.loaded(len) is len


def test_a_collection_is_opened_or_made(tmp_path, encoder):
    with frameworks.collection_at(tmp_path / "x.lace", encoder) as made:
        made.add(["Ice floats."])
    with frameworks.collection_at(tmp_path / "x.lace", encoder) as opened:
        assert len(opened) == 1
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(interlace.errors.CollectionError, match="file"):
        frameworks.collection_at(tmp_path / "file", encoder)

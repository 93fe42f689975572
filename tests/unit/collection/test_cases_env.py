"""Environments: faults that users met elsewhere (cases.md, kind "env")."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

import interlace
from interlace.errors import MissingExtra


def test_c44_inside_a_running_event_loop(notes):
    async def work():
        notes.add(["The lamp is green.", "The door is red."])
        return notes.search("green lamp")[0].text, len(notes.search_many(["red", "green"]))

    assert asyncio.run(work()) == ("The lamp is green.", 2)


def test_c65_the_true_cause_of_a_broken_package_is_shown(tmp_path, monkeypatch):
    from interlace.extras import need

    (tmp_path / "brokenpackage.py").write_text("import nothing_of_this_name")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtra, match="No module named 'nothing_of_this_name'") as caught:
        need("brokenpackage", extra="torch")
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


@pytest.mark.parametrize("package", ["onnxruntime", "tokenizers"])
def test_c65_a_broken_package_of_the_model_shows_its_own_cause(tmp_path, package):
    """One traceback that ends with the true cause; nothing more from a destructor."""
    (tmp_path / f"{package}.py").write_text("raise ImportError('libfoo.so.7 is missing')")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import interlace; model = interlace.Encoder.load(backend='onnx')\n"
        f"interlace.create({str(tmp_path / 'x.lace')!r}, model)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1].endswith("libfoo.so.7 is missing")
    assert ran.stderr.count("Traceback") == 1
    assert "not installed" not in ran.stderr
    assert "Exception ignored" not in ran.stderr
    assert not (tmp_path / "x.lace").exists()


def test_c65_reading_needs_no_package_of_the_model(notes, tmp_path):
    notes.add([{"id": "x", "text": "kept"}])
    notes.close()
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('broken')")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        f"import interlace; notes = interlace.open({str(notes.path)!r})\n"
        "assert notes.get(['x'])[0].text == 'kept' and notes.verify().ok"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_main_guard_is_needed(tmp_path):
    """A plain script, without ``if __name__ == "__main__"``, works: no process is started."""
    script = tmp_path / "script.py"
    script.write_text(
        f"import interlace\n"
        f"with interlace.create({str(tmp_path / 'x.lace')!r}) as notes:\n"
        f"    notes.add(['The lamp is green.', 'The door is red.'])\n"
        f"    print(notes.search('green lamp')[0].text)\n"
    )
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert ran.stdout == "The lamp is green.\n"


def test_a_closed_collection_says_so(notes):
    notes.add(["words"])
    notes.close()
    notes.close()
    with pytest.raises(interlace.errors.CollectionError, match="closed"):
        notes.search("words")

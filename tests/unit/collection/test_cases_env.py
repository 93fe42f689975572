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

"""The demo: what it reads, and that its three questions are answered."""

from __future__ import annotations

import pytest

from interlace.cli.demo import QUESTIONS
from interlace.cli.stdlib import docstrings

EXPECTED = ["random.shuffle", "tempfile.NamedTemporaryFile", "functools.lru_cache"]
SOURCE = '''"""A module."""

def open_door(door, *, slowly: bool = True):
    """Open a door."""

def _hidden():
    """Not shown."""

async def wait(n): "Wait."

class Lift:
    """A lift."""
    def rise(self, floors):
        """Go up."""
    def __init__(self):
        """Not shown."""

_lift = Lift()
rise = _lift.rise
'''


@pytest.fixture(scope="module")
def library():
    return {document.id: document.text for document in docstrings()}


def test_a_module_is_read_without_running_it(tmp_path):
    (tmp_path / "doors.py").write_text(SOURCE)
    (tmp_path / "_private.py").write_text(SOURCE)
    (tmp_path / "broken.py").write_text("def (")
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text('"""A package."""\nraise SystemExit')
    assert {document.id: document.text for document in docstrings(tmp_path)} == {
        "doors": "doors\n\nA module.",
        "doors.open_door": "doors.open_door(door, *, slowly: bool=True)\n\nOpen a door.",
        "doors.wait": "doors.wait(n)\n\nWait.",
        "doors.Lift": "doors.Lift\n\nA lift.",
        "doors.rise": "doors.rise(floors)\n\nGo up.",
        "pack": "pack\n\nA package.",
    }


def test_the_library_has_thousands_of_docstrings(library):
    assert len(library) > 2_000
    assert set(EXPECTED) <= set(library)


def test_each_question_finds_the_expected_function_first(library, notes):
    """Among a tenth of the library, so that it takes seconds."""
    some = sorted(library)[::10]
    notes.add({"id": id_, "text": library[id_]} for id_ in {*some, *EXPECTED})
    assert [notes.search(question, k=1)[0].id for question in QUESTIONS] == EXPECTED


@pytest.mark.slow
def test_the_whole_demo(run):
    ran = run("demo", "--to", "python.lace")
    assert ran.code == 0
    first = [line.split()[2] for line in ran.out.splitlines() if line.startswith("  1  ")]
    assert first == EXPECTED
    again = run("demo", "--to", "python.lace")
    assert "nothing had to be encoded again" in " ".join(again.out.split())

"""What the architecture page names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
SECTIONS = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.splitlines()[0])
def test_the_files_that_a_section_names_are_in_its_rooms(section):
    linked = [ROOT / link for link in re.findall(r"\]\(([^)]+)\)", section)]
    assert [path for path in linked if not path.exists()] == []
    package = ROOT / "src" / "interlace"
    rooms = {path if path.is_dir() else path.parent for path in linked} | {package}
    for name in re.findall(r"`([\w/]+\.py)`", section):
        assert any((room / name).is_file() for room in rooms), name


def test_the_lowest_floor_lists_all_its_modules():
    (floor,) = re.findall(r"^    1 (.+)$", PAGE, re.MULTILINE)
    modules = {path.stem for path in (ROOT / "src" / "interlace").glob("[!_]*.py")}
    assert set(floor.split()) == modules - {"version"}

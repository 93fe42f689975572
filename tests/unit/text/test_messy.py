"""Every one of 108 real files is read or named with its reason; none stops the run."""

from __future__ import annotations

import random
import runpy
from pathlib import Path

import pytest

from interlace import text
from interlace.types import Document, Skipped

ROOT = Path(__file__).parents[3]

#: What cannot be read, and a word of the reason.
UNREAD = {
    "broken/blank.md": "blank",
    "broken/empty.txt": "empty",
    "broken/not-a-zip.docx": "plain text",
    "broken/password.pdf": "encrypted",
    "broken/random-bytes.txt": "binary data",
    "broken/truncated.pdf": "damaged",
    "notes/.hidden-notes.md": "hidden",
}

#: What is read but for a part, the part, and a word of the reason.
PARTLY_READ = {
    "broken/bad-line.jsonl": ("line 4", "JSON"),
    "mail/attachment.eml": ("attachment.eml/", "audio"),
    "reports/images-only.pdf": ("page", "pictures"),
}

#: A sentence that must be found, in files whose encoding or format is the difficulty.
SAID = {
    "books/22367-h.HTM": "Als Gregor Samsa eines Morgens",
    "books/Die Verwandlung.latin1.txt": "Als Gregor Samsa eines Morgens",
    "books/alice.epub": "Alice was beginning to get very tired",
    "books/encodings/verwandlung.cp1252.txt": "ungeheueren Ungeziefer",
    "books/encodings/verwandlung.utf16be-bom.txt": "ungeheueren Ungeziefer",
    "books/encodings/verwandlung.utf16le-bom.txt": "ungeheueren Ungeziefer",
    "books/encodings/verwandlung.utf16le-nobom.txt": "ungeheueren Ungeziefer",
    "broken/bad-utf8.txt": "Gregor",
    "broken/nul-bytes.txt": "Gregor",
    "code/textwrap.py": "class TextWrapper",
    "notes/notebook.ipynb": "Test Notebook",
    "office/headings.docx": "# ",
    "office/slides.pptx": "\f",
    "office/small.rtf": "My first paragraph.",
    "reports/crc-doc.1.0.pdf": "\f",
    "reports/multicolumn.pdf": "Lorem ipsum",
    "tables/stanley-cups.xlsx": "Maple Leafs",
    "web/duck-wikipedia.html": "waterfowl",
}


@pytest.fixture(scope="module")
def outcomes(shared_data) -> dict[str, list[Document | Skipped]]:
    folder = shared_data("messy")
    outcomes: dict[str, list[Document | Skipped]] = {}
    for one in text.find(folder, "messy"):
        if isinstance(one, Skipped):
            outcomes[one.where.removeprefix("messy/")] = [one]
        else:
            outcomes[one.name.removeprefix("messy/")] = list(text.read_file(one))
    return outcomes


def documents(outcome: list[Document | Skipped]) -> list[Document]:
    return [one for one in outcome if isinstance(one, Document)]


def skipped(outcome: list[Document | Skipped]) -> list[Skipped]:
    return [one for one in outcome if isinstance(one, Skipped)]


def test_every_file_is_read_or_named(outcomes, shared_data):
    folder = shared_data("messy")
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert set(outcomes) == {path.relative_to(folder).as_posix() for path in files}
    assert len(files) == 109  # the 108, and SOURCE.md, which lists them


def test_exactly_these_are_not_read(outcomes):
    unread = {name: skipped(one) for name, one in outcomes.items() if not documents(one)}
    assert set(unread) == set(UNREAD)
    for name, (one,) in unread.items():
        assert UNREAD[name] in one.why, one
        assert one.where == f"messy/{name}"


def test_exactly_these_are_read_in_part(outcomes):
    partly = {name: skipped(one) for name, one in outcomes.items() if documents(one)}
    assert {name for name, one in partly.items() if one} == set(PARTLY_READ)
    for name, (part, why) in PARTLY_READ.items():
        (one,) = partly[name]
        assert part in one.where, one
        assert why in one.why, one


@pytest.mark.parametrize("name", SAID)
def test_what_a_file_says_is_read(outcomes, name):
    assert SAID[name] in "".join(one.text for one in documents(outcomes[name]))


def test_documents_say_where_they_come_from(outcomes):
    ids = [one.id for outcome in outcomes.values() for one in documents(outcome)]
    assert None not in ids
    for name, outcome in outcomes.items():
        for one in documents(outcome):
            assert one.file is not None
            assert one.file == f"messy/{name}" or one.file.startswith(f"messy/{name}/")
            assert one.text.strip()


def test_what_a_file_says_does_not_depend_on_the_machine(outcomes, shared_data):
    for one in text.find(shared_data("messy"), "messy"):
        if isinstance(one, text.Found) and one.n_bytes < 100_000:
            assert list(text.read_file(one)) == outcomes[one.name.removeprefix("messy/")]


def test_damaged_copies_stop_nothing(shared_data, tmp_path):
    """Each file cut in half, and with twenty bytes changed: documents or a reason, no error."""
    chance = random.Random(20)
    for path in sorted(shared_data("messy").rglob("*")):
        if not path.is_file() or path.stat().st_size > 30_000:
            continue
        whole = path.read_bytes()
        flipped = bytearray(whole)
        for _ in range(min(20, len(whole))):
            flipped[chance.randrange(len(whole))] = chance.randrange(256)
        for damaged in (whole[: len(whole) // 2], bytes(flipped)):
            copy = tmp_path / path.name
            copy.write_bytes(damaged)
            found = text.Found(copy, path.name, len(damaged))
            assert list(text.read_file(found)), path.name


def test_the_page_of_messy_files_is_up_to_date(shared_data):
    script = runpy.run_path(str(ROOT / "benchmarks" / "messy.py"))
    page = ROOT / "docs" / "reference" / "messy.md"
    assert page.read_text(encoding="utf-8") == script["page"](script["read"](shared_data("messy")))

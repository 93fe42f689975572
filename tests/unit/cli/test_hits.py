"""How hits look: the piece that answers on a few lines, no control characters, any script."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from interlace.cli import hits
from interlace.types import Explanation, Hit, Match


def hit(text, **fields):
    scores = {"score": 2.0, "mean_score": 0.5, "rank": 1}
    place = {"id": "a", "passage": 0, "start": 0, "end": len(text)}
    return Hit(text=text, **{**scores, **place, **fields})


def explaining(one, *words):
    """A hit whose words answer."""
    matches = []
    for word in words:
        at = one.text.index(word) + one.start
        matches.append(Match(word, 0, len(word), word, at, at + len(word), 0.9, 0.5, 0.2))
    explanation = Explanation(" ".join(words), one.id, 0, one.start, one.text, 2.0, tuple(matches))
    return hits.Shown(one, lambda: explanation)


def printed(some, width=80, colour=False, full=False):
    """What is printed below the names of the numbers."""
    return above_and_below(some, width, colour, full)[1]


def above_and_below(some, width=80, colour=False, full=False):
    console = Console(
        file=io.StringIO(), width=width, highlight=False,
        force_terminal=colour, color_system="standard" if colour else None,
    )  # fmt: skip
    console.print(hits.for_people(some, full=full))
    above, _, below = console.file.getvalue().partition("\n")
    return above, below


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"id": "notes"}, "notes"),
        ({"id": "notes", "passage": 3}, "notes  passage 3"),
        ({"id": "a.md", "file": "a.md", "line": 12, "passage": 3}, "a.md:12"),
        ({"id": "a.pdf", "file": "a.pdf", "page": 4}, "a.pdf p. 4"),
        ({"id": 7, "file": "a.jsonl", "line": 3}, "a.jsonl:3  7"),
        ({"id": "big.txt#2", "file": "big.txt", "line": 9}, "big.txt:9"),
        ({"id": "a.md", "file": "a.md", "headings": ("A", "B")}, "a.md  A › B"),
        ({"id": "a.docx", "file": "a.docx", "headings": ("A\x1b[31m",)}, "a.docx  A [31m"),
    ],
)
def test_the_place(fields, place):
    first = printed([hits.Shown(hit("Some words.", **fields))]).splitlines()[0]
    assert first.rstrip() == f"  1    0.500  {place}"


@pytest.mark.parametrize(
    ("scores", "names", "numbers"),
    [
        ({"lexical_score": 8.13, "score": 0.9}, "score  meaning  words", "0.900    0.500    8.1"),
        ({}, "meaning", "0.500"),
        ({"lexical_score": 12.3, "mean_score": None}, "words", "12.3"),
    ],
)
def test_each_number_stands_under_its_name(scores, names, numbers):
    above, below = above_and_below([hits.Shown(hit("Some words.", **scores))])
    first = below.splitlines()[0]
    assert above.split() == names.split()
    assert first.split() == ["1", *numbers.split(), "a"]
    for name, number in zip(names.split(), numbers.split(), strict=True):
        assert above.index(name) + len(name) == first.index(number) + len(number)
    assert "meaning" not in printed([hits.Shown(hit("One.")), hits.Shown(hit("Two."))])


def test_marked_words_are_bold():
    one = explaining(hit("The moon\n is made of cheese."), "moon", "cheese")
    shown = printed([one], colour=True)
    assert "\x1b[1mmoon\x1b[0m is made of \x1b[1mcheese\x1b[0m." in shown


def test_a_cut_has_dots_on_the_side_where_it_is_cut():
    filler = "and so on and on " * 40
    for text, begins, ends in [
        (f"The moon. {filler}", False, True),
        (f"{filler} the moon.", True, False),
        (f"{filler} the moon {filler}", True, True),
        ("The moon.", False, False),
    ]:
        body = " ".join(printed([explaining(hit(text), "moon")]).splitlines()[1:]).strip()
        assert (body.startswith("…"), body.endswith("…")) == (begins, ends), body
        assert "moon" in body


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize(
    ("word", "filler"),
    [
        ("moon", "and so on "),
        ("月亮", "他说了很多话。"),
        ("चाँद", "और इसी तरह "),
        ("🌙x", "👩\u200d👩\u200d👧 "),
    ],
)
def test_a_piece_fits_on_a_few_lines_of_any_width(word, filler, width):
    one = explaining(hit(f"{filler * 60} {word} {filler * 60}"), word)
    lines = printed([one], width=width).rstrip().splitlines()
    assert 2 <= len(lines) <= 5
    assert word in "".join(line.strip() for line in lines)
    assert all(cell_len(line) <= width for line in lines)


def test_characters_that_steer_a_terminal_are_not_printed():
    text = "Red \x1b[31malert\x07 \u202egnp.exe\r and \x9b2J more"
    shown = printed([hits.Shown(hit(text, id="\x1b]0;title\x07"))])
    shown += printed([hits.Shown(hit(text))], full=True)
    assert not set(shown) & set("\x1b\x07\u202e\r\x9b")


def test_a_joiner_stays():
    assert "می\u200cخواهم" in printed([hits.Shown(hit("می\u200cخواهم بروم"))])


def test_the_whole_passage_keeps_its_lines():
    shown = printed([hits.Shown(hit("one\n  two\n\nthree"))], full=True)
    assert [line.rstrip() for line in shown.splitlines()[1:5]] == [
        "     one", "       two", "", "     three",
    ]  # fmt: skip


def test_the_line_to_open_is_that_of_what_answers():
    text = "# Moon\n\nOf what is the\r\nmoon made?\n\nOf cheese the moon is made."
    whole = {"id": "a.md", "file": "a.md", "line": 10}
    assert explaining(hit(text, **whole), "moon", "made?").line == 13
    assert hits.Shown(hit(text, **whole)).line == 10
    record = {"id": "r", "file": "a.jsonl", "line": 10}
    assert explaining(hit(text, **record), "cheese").line == 10
    assert explaining(hit(text, id="a.pdf", file="a.pdf", page=2), "cheese").line is None


def test_fields_for_machines():
    one = hit("The moon.", start=5, end=14, id=7, file="a.jsonl", line=3, metadata={"x": [1]})
    assert hits.as_json(explaining(one, "moon"), snippets=True) == {
        "rank": 1, "id": 7, "file": "a.jsonl", "line": 3, "page": None, "headings": [],
        "passage": 0, "start": 5, "end": 14, "score": 2.0, "mean_score": 0.5,
        "late_score": None, "lexical_score": None,
        "text": "The moon.", "metadata": {"x": [1]},
        "snippet": {"text": "The moon.", "start": 5, "end": 14, "marks": ((4, 8),)},
    }  # fmt: skip


LONG = "docs/reference/of/everything/that/ever/was/mustache CHANGELOG.md"


@pytest.mark.parametrize(
    ("width", "fields", "place"),
    [
        (62, {"id": LONG, "file": LONG}, "…/that/ever/was/mustache CHANGELOG.md:146"),
        (42, {"id": LONG, "file": LONG}, "…/mustache CHANGELOG.md:146"),
        (30, {"id": LONG, "file": LONG}, "…HANGELOG.md:146"),
        (42, {"id": "a.md", "file": "a.md", "headings": ("First of all", "Then", "Last")},
         "a.md:146  … › Then › Last"),
        (42, {"id": "a.md", "file": "a.md", "headings": ("A", "A heading of great length, too")},
         "a.md:146  A heading of grea…"),
    ],
)  # fmt: skip
def test_a_narrow_terminal_keeps_the_end_of_the_path_and_the_line(width, fields, place):
    first = printed([hits.Shown(hit("Words.", line=146, **fields))], width=width).splitlines()[0]
    assert cell_len(first.rstrip()) <= width
    assert first.rstrip() == f"  1    0.500  {place}"


@pytest.mark.parametrize("width", range(16, 130, 3))
@pytest.mark.parametrize("path", [LONG, "/" + "月" * 70 + ".md", "a" * 90])
def test_a_place_has_its_line_and_fits_whatever_the_width(path, width):
    fields = {"id": path, "file": path, "line": 14, "headings": ("月亮" * 9, "奶酪" * 9)}
    first = printed([hits.Shown(hit("Words.", **fields))], width=width).splitlines()[0]
    assert cell_len(first.rstrip()) <= width
    assert width < 19 or ":14" in first


def test_a_path_below_the_working_directory_is_shown_from_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    below = str(tmp_path / "docs" / "a.md")
    assert "  docs/a.md:3" in printed([hits.Shown(hit("Words.", id=below, file=below, line=3))])
    assert "  /far/a.md:3" in printed(
        [hits.Shown(hit("Words.", id="/far/a.md", file="/far/a.md", line=3))]
    )

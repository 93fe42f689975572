"""Passages fit the model, are slices of their document, and lose no word."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlace.errors import SettingsError
from interlace.text import Splitting, split
from interlace.text import passages as module
from interlace.text.syntaxes import grammar
from interlace.types import Document, Passage


def words(text: str) -> np.ndarray:
    """Spans of a toy tokenizer: three letters of a word a token, each sign one of its own."""
    found = [m.span() for m in re.finditer(r"\w{1,3}|[^\w\s]", text)]
    return np.array(found, np.int32).reshape(-1, 2)


def pieces(text: str, limit: int | None) -> list[str]:
    document = Document(text, "d")
    passages = split(document, Splitting(tokens_max=limit), words)
    assert [p.number for p in passages] == list(range(len(passages)))
    assert all(p.text == text[p.start : p.end] and p.document_id == "d" for p in passages)
    return [p.text for p in passages]


def test_a_text_that_fits_is_one_passage_whole():
    assert pieces("  one two  ", 100) == ["  one two  "]
    assert pieces("  one two  ", 2) == ["  one two  "]
    assert pieces("", 1) == [""]
    assert pieces(" \n ", 1) == [" \n "]
    assert pieces("a b c d e f g", None) == ["a b c d e f g"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("aa bb. cc dd\n\nee ff. gg hh", ["aa bb. cc dd", "ee ff. gg hh"]),
        ("aa bb. cc\ndd ee. ff gg hh", ["aa bb. cc", "dd ee. ff gg hh"]),
        ("Aa bb cc. Dd ee ff gg", ["Aa bb cc.", "Dd ee ff gg"]),
        ("aa bb cc dd ee ff gg hh", ["aa bb cc dd ee ff", "gg hh"]),
        ("abcabcabcabcabcabcabcabc", ["abc" * 6, "abc" * 2]),
        ("山水。火土木金。日月星空", ["山水。火土木金。", "日月星空"]),
    ],
)
def test_the_strongest_border_that_fits_wins(text, expected):
    def spans(text):
        if text.isascii():
            return words(text)
        return np.array([(i, i + 1) for i in range(len(text))], np.int32).reshape(-1, 2)

    limit = 6 if text.isascii() else 9
    found = split(Document(text, "d"), Splitting(tokens_max=limit), spans)
    assert [p.text for p in found] == expected


@given(st.text(alphabet="abc .\n!é世", max_size=200), st.integers(1, 12))
def test_no_passage_is_too_long_and_no_token_is_lost(text, limit):
    found = pieces(text, limit)
    assert all(len(words(piece)) <= limit for piece in found)
    assert re.sub(r"\s", "", "".join(found)) == re.sub(r"\s", "", text)


def test_a_tokenizer_that_counts_more_for_a_piece_alone_is_obeyed():
    def spans(text):
        # One more token at the start, as a SentencePiece model may have.
        return np.concatenate([np.zeros((1, 2), np.int32), words(text)])

    found = split(Document("aa bb cc dd ee ff gg", "d"), Splitting(tokens_max=4), spans)
    assert all(len(spans(p.text)) <= 4 for p in found)


def test_blanks_that_are_tokens_make_no_passage_of_their_own():
    def spans(text):
        return np.array([(i, i + 1) for i in range(len(text))], np.int32).reshape(-1, 2)

    found = split(Document("aa" + " " * 20 + "bb", "d"), Splitting(tokens_max=4), spans)
    assert [(p.start, p.end) for p in found] == [(0, 2), (22, 24)]
    (blank,) = split(Document(" " * 20, "d"), Splitting(tokens_max=4), spans)
    assert (blank.start, blank.end) == (0, 20)


def test_a_character_that_is_many_tokens_is_counted():
    def spans(text):
        # As after NFKC, which makes eighteen letters of this one.
        found = [(i, i + 1) for i, c in enumerate(text) for _ in range(18) if c == "\ufdfa"]
        return np.array(found, np.int32).reshape(-1, 2)

    found = split(Document("\ufdfa \ufdfa", "d"), Splitting(tokens_max=18), spans)
    assert [p.text for p in found] == ["\ufdfa", "\ufdfa"]
    found = split(Document("\ufdfa \ufdfa", "d"), Splitting(tokens_max=10), spans)
    assert [p.text for p in found] == ["\ufdfa", "\ufdfa"]


def test_borders_are_found_in_linear_time():
    text = ("a" + " " * 50_000) * 4 + "." * 50_000 + "\n" * 50_000 + '"' * 50_000
    assert len(pieces(text, 1_000)) > 1


def test_settings_are_checked():
    with pytest.raises(SettingsError, match="passage_tokens is 0"):
        Splitting(tokens_max=0)
    for overlap in (-1, 5):
        with pytest.raises(SettingsError, match=f"overlap is {overlap}.*between 0 and 4"):
            Splitting(tokens_max=10, overlap=overlap)
    with pytest.raises(SettingsError, match="between 0 and 0"):
        Splitting(overlap=1)
    assert Splitting(tokens_max=10, overlap=4).overlap == 4


def cut(text: str, limit: int = 6, *, overlap: int = 0, **place: object) -> list[Passage]:
    splitting = Splitting(tokens_max=limit, overlap=overlap)
    return split(Document(text, "d", **place), splitting, words)


def test_a_passage_repeats_at_most_the_overlap():
    text = " ".join(f"w{i}" for i in range(100))
    passages = cut(text, 10, overlap=4)
    assert passages[0].start == 0
    assert passages[-1].end == len(text)
    for before, after in pairwise(passages):
        assert before.start < after.start < before.end < after.end
        assert 0 < len(words(text[after.start : before.end])) <= 4


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_passage_has_the_line_where_it_begins(end):
    lines = [f"line {i} is here." for i in range(1, 41)]
    passages = cut(end + end.join(lines), 12, line=7)
    assert len(passages) > 10
    for passage in passages[1:]:
        first = int(re.search(r"\d+", passage.text)[0])
        assert passage.line == 7 + first
    assert passages[0].line == 8
    assert {passage.line for passage in cut(end.join(lines), 12)} == {None}


def test_a_passage_has_the_page_where_it_begins():
    pages = [f"Page {i} says much about it. And more of the same." for i in range(1, 9)]
    text = "\f".join(pages)
    for passage in cut(text, 12):
        assert passage.page == text.count("\f", 0, passage.start) + 1
    assert cut("\f".join(["a", "", "b"]), 1)[1].page == 3
    assert {p.page for p in cut(text, 12, syntax="python")} == {None}
    assert {p.page for p in cut(text.replace("\f", "\n\n"), 12)} == {None}
    assert {p.page for p in cut(text, 12, syntax="markdown")} == set(range(1, 9))


def test_a_passage_stands_under_the_heading_it_begins_with():
    text = "intro goes here\n\n# One\n\naa bb cc dd ee\n\n## Two\n\nff gg hh ii jj\n"
    passages = cut(text, 8, syntax="markdown")
    assert [(p.text.split("\n")[0], p.headings) for p in passages] == [
        ("intro goes here", ()),
        ("# One", ("One",)),
        ("## Two", ("One", "Two")),
    ]


def test_code_is_cut_between_definitions():
    if grammar("python") is None:
        pytest.skip("its grammar is not installed")
    body = "    a = 1\n    b = 2\n    return a\n"
    text = "".join(f"def f{i}():\n{body}\n\n" for i in range(8))
    passages = cut(text, 20, syntax="python")
    assert [p.headings for p in passages] == [(f"f{i}",) for i in range(8)]
    assert all(p.text.startswith("def ") for p in passages)


@pytest.mark.parametrize("syntax", [None, "markdown", "python", "sql", "rst"])
@given(
    text=st.text(alphabet="ab #=-\n\r\f\0\x1c\x85é世😀\u0301א.(){}:`", max_size=120),
    limit=st.integers(1, 12),
    data=st.data(),
)
@settings(deadline=None)
def test_passages_are_slices_that_fit_and_cover_the_text(syntax, text, limit, data):
    overlap = data.draw(st.integers(0, (limit - 1) // 2))
    passages = cut(text, limit, overlap=overlap, syntax=syntax, line=1)
    assert passages
    covered = 0
    for number, passage in enumerate(passages):
        assert passage.number == number
        assert passage.text == text[passage.start : passage.end]
        assert len(words(passage.text)) <= limit or len(passage.text) == 1
        assert not passage.text.isspace() or len(passages) == 1
        before = text[: passage.start]
        ends = before.count("\n") + before.count("\r") - before.count("\r\n")
        assert passage.line == 1 + ends
        assert text[covered : passage.start].strip() == ""
        covered = max(covered, passage.end)
    assert text[covered:].strip() == ""


def test_a_long_text_is_cut_in_windows_without_a_seam(monkeypatch):
    rng = np.random.default_rng(0)
    sentences = ("Some words make this one. " * int(n) for n in rng.integers(1, 9, 400))
    text = "\n\n".join(sentences)
    whole = [(p.start, p.end) for p in cut(text, 40)]
    monkeypatch.setattr(module, "_WINDOW", 5_000)
    monkeypatch.setattr(module, "_WINDOW_A_TOKEN", 64)
    assert [(p.start, p.end) for p in cut(text, 40)] == whole
    with_overlap = cut(text, 40, overlap=10)
    assert with_overlap[-1].end == len(text.rstrip())


def test_the_last_sentence_of_ten_thousand_words_is_in_the_last_passage():
    text = "The sea is calm today, they say. " * 1_500 + "The keeper hid the emerald."
    assert "The keeper hid the emerald." in cut(text, 50)[-1].text


def test_words_without_end_make_passages_with_an_end():
    def one_a_word(text):
        return np.array([m.span() for m in re.finditer(r"\S+", text)], np.int32).reshape(-1, 2)

    text = "x" * 200_000
    document = Document(text + " y", "d")
    passages = split(document, Splitting(tokens_max=1), one_a_word)
    assert "".join(p.text for p in passages) == text + "y"
    assert len(passages) > 2


def test_what_the_tokenizer_raises_is_raised():
    def broken(text):
        raise KeyError("tokenizer")

    with pytest.raises(KeyError, match="tokenizer"):
        split(Document("some words to be cut", "d"), Splitting(tokens_max=2), broken)


def markdown(text: str, limit: int, overlap: int = 0) -> list[str]:
    document = Document(text, "d", syntax="markdown")
    return [p.text for p in split(document, Splitting(tokens_max=limit, overlap=overlap), words)]


ROWS = "".join(f"| row {i} |\n" for i in range(20))


@pytest.mark.parametrize(
    "heading",
    ["## What lost", "What lost\n---", "# Top\n\n## What lost", "## What lost\n\n```text"],
)
@pytest.mark.parametrize("overlap", [0, 5])
def test_a_heading_goes_with_what_it_stands_over(heading, overlap):
    found = markdown(f"{ROWS}\n{heading}\n\n{ROWS}\nThe end.\n", 24, overlap)
    assert all(len(words(piece)) <= 24 for piece in found)
    (one,) = [piece for piece in found if "What lost" in piece]
    assert "| row 0 |" in one
    assert one.startswith(heading.split()[0])


@pytest.mark.parametrize("n_heading", range(4, 14))
def test_what_a_heading_leaves_of_a_passage_is_no_crumb(n_heading):
    heading = "# " + " ".join("abcdefghijklm"[:n_heading])
    for n in range(3, 8):
        text = " ".join(f"word{i}" for i in range(n))
        found = markdown(f"{ROWS}\n{heading}\n\n{text}.\n", 16)
        assert all(len(words(one)) >= 5 for one in found[-2:])


def test_a_heading_that_fills_a_passage_or_ends_a_text_stands_alone():
    assert "# " + "aaa " * 8 in [f"{one} " for one in markdown(f"# {'aaa ' * 8}\n\n{ROWS}", 9)]
    assert markdown(f"{ROWS}\n# End", 12)[-1].endswith("# End")


@given(
    st.lists(st.sampled_from(["# A\n", "b\n---\n", "```\n", "\n", "| c | d |\n", "e f g. ", "é "])),
    st.integers(1, 12),
    st.integers(0, 5),
)
def test_no_token_of_markdown_is_lost(parts, limit, overlap):
    text = "".join(parts)
    found = markdown(text, limit, min(overlap, (limit - 1) // 2))
    assert all(len(words(piece)) <= limit for piece in found)
    if not overlap:
        assert re.sub(r"\s", "", "".join(found)) == re.sub(r"\s", "", text)


@pytest.mark.parametrize("text", [" " * 60_000 + "x", "a\n" * 30_000, "#\n" * 30_000, "-" * 60_000])
def test_what_only_looks_like_a_heading_takes_no_time(text):
    found = "".join(markdown(text, 50))
    assert re.sub(r"\s", "", found) == re.sub(r"\s", "", text)

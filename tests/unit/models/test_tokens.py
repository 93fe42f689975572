"""Text to ids and offsets: odd texts, cutting, special tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlace.errors import CheckpointError, InputError
from interlace.models.checkpoint import Checkpoint
from interlace.models.tokens import TextTokenizer, checked


@pytest.fixture(scope="module")
def tokenizer(mini_folder):
    return TextTokenizer(Checkpoint.read(mini_folder))


def words(tokenizer, text, role="document"):
    tokens = tokenizer.tokens(text, role)
    return [text[start:end] for start, end in tokens.offsets[tokens.kept]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the sky, the sea", ["the", "sky", "the", "sea"]),
        ("Café NAÏVE", ["Café", "NAÏVE"]),
        ("  lead\ttab\nline ", ["lead", "tab", "line"]),
        ("東京 tower", ["東", "京", "tower"]),
        ("🚀 rocket 👩‍🚀 moon", ["🚀", "rocket", "👩‍🚀", "moon"]),
        ("שלום world", ["ש", "ל", "ו", "ם", "world"]),
        ("sky\x00 blue end", ["sky", "blue", "end"]),
        ("x" * 150 + " end", ["x" * 150, "end"]),
    ],
)
def test_offsets_point_at_the_words(tokenizer, text, expected):
    assert words(tokenizer, text) == expected


def test_a_decomposed_accent_does_not_shift_what_follows(tokenizer):
    text = "cafe\u0301 noir"
    first, last = words(tokenizer, text)
    assert first.startswith("cafe")
    assert last == "noir"


@pytest.mark.parametrize("token", ["[CLS]", "[SEP]", "[MASK]", "[PAD]", "[UNK]", "[unused1]"])
def test_a_text_that_spells_a_special_token_is_ordinary_text(tokenizer, token):
    ids = tokenizer.tokens(f"a {token} b", "document").ids.tolist()
    begin, end = ids[0], ids[-1]
    plain = tokenizer.tokens(f"a {token[1:-1]} b", "document").ids.tolist()
    assert begin not in ids[1:-1]
    assert end not in ids[1:-1]
    # Between the brackets stand the pieces of the word, as if it stood alone.
    assert ids[2] != plain[2]
    assert ids[3:-3] == plain[2:-2]


def test_punctuation_is_seen_but_gets_no_row_in_a_document(tokenizer):
    tokens = tokenizer.tokens("Stop! Now... “why”?", "document")
    assert len(tokens.ids) > tokens.kept.sum()
    assert words(tokenizer, "Stop! Now... “why”?") == ["Stop", "Now", "why"]


@pytest.mark.parametrize("text", ["", "   \n", "\x00\x01", "\ufffd"])
def test_a_text_of_nothing_has_no_tokens(tokenizer, text):
    assert words(tokenizer, text) == []
    assert tokenizer.spans(text).shape == (0, 2)


def test_what_is_cut_is_counted(tokenizer, encoder):
    limit = encoder.document_length
    at_limit = tokenizer.tokens("word " * limit, "document")
    over = tokenizer.tokens("word " * (limit + 7), "document")
    assert at_limit.n_cut == 0
    assert over.n_cut == 7
    assert over.ids.tolist() == at_limit.ids.tolist()
    assert len(tokenizer.spans("word " * (limit + 7))) == limit + 7


def test_cutting_takes_the_first_tokens_of_the_text(tokenizer, encoder):
    text = " ".join(f"w{i}" for i in range(2 * encoder.document_length))
    cut = tokenizer.tokens(text, "document")
    assert cut.offsets[cut.offsets[:, 1] > 0].tolist() == (
        tokenizer.spans(text)[: encoder.document_length].tolist()
    )


@given(st.text(st.characters(codec="utf-8"), max_size=80))
def test_offsets_lie_in_the_text_and_in_order(tokenizer, text):
    spans = tokenizer.spans(text)
    assert (spans[:, 0] <= spans[:, 1]).all()
    assert (spans >= 0).all()
    assert (spans <= len(text)).all()
    assert (spans[1:, 0] >= spans[:-1, 0]).all()


@pytest.mark.parametrize("text", [None, 3, b"bytes", ["list"]])
def test_what_is_not_a_string_is_refused_by_index_and_type(text):
    with pytest.raises(InputError, match=rf"{type(text).__name__}: text 5\."):
        checked(5, text)


def test_a_lone_surrogate_is_refused_by_index_and_position():
    with pytest.raises(InputError, match=r"'\\udc80'.*text 2, position 3"):
        checked(2, "abc\udc80def")


def test_a_skip_list_of_another_vocabulary_is_refused(copy_of_mini):
    checkpoint = Checkpoint.read(copy_of_mini(document_skip=["[CLS]", "no-such-token"]))
    with pytest.raises(CheckpointError, match="no-such-token"):
        TextTokenizer(checkpoint)


def test_a_marker_stands_after_the_first_special_token(copy_of_mini):
    marked = TextTokenizer(Checkpoint.read(copy_of_mini(query_marker="[unused0]")))
    tokens = marked.tokens("sky", "query")
    assert tokens.ids[1] == 1
    assert tokens.offsets[:2].tolist() == [[0, 0], [0, 0]]
    assert tokens.offsets[2].tolist() == [0, 3]
    assert 1 not in marked.tokens("sky", "document").ids


def test_a_damaged_tokenizer_names_the_file(copy_of_mini):
    folder = copy_of_mini()
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        TextTokenizer(Checkpoint.read(folder))

"""Odd text: faults that users met elsewhere (cases.md, kind "text")."""

from __future__ import annotations

import csv
import json

import pytest

import interlace
from interlace.errors import InputError, SettingsError

ODD = "tab\there, \"double\" and 'single',\r\nline end\n# sharp"
PLAIN = [f"Number {i} is a plain sentence about item {i}." for i in range(10)]


@pytest.mark.parametrize("blank", [" ", "\t\n", "", "\u200b"])
def test_c10_a_blank_text_between_two_others(notes, blank):
    report = notes.add(
        [
            {"id": "x", "text": "The sky is blue."},
            {"id": "y", "text": blank},
            {"id": "z", "text": "Bread is baked in an oven."},
        ]
    )
    assert report.empty == ["y"]
    assert notes.get(["y"])[0].text == blank
    assert notes.search("blue sky")[0].id == "x"
    hits = notes.search("baking bread")
    assert [hits[0].id, hits[-1].id] == ["z", "y"]


@pytest.mark.parametrize("settled", [False, True])
def test_c11_only_punctuation(notes, settled):
    notes.add([{"id": i, "text": text} for i, text in enumerate(PLAIN)])
    report = notes.add([{"id": "p", "text": "!!! ... --- ???"}, {"id": "q", "text": "?"}])
    assert report.empty == ["p", "q"]
    if settled:
        notes.settle()
    hits = notes.search("item 7", k=12)
    assert len(hits) == 12
    assert hits[0].id == 7
    assert all(hit.score == hit.score for hit in hits)
    assert [hit.id for hit in hits[-2:]] == ["p", "q"]
    assert notes.delete(["p", "q"]) == 2
    assert len(notes.search("item 7", k=12)) == 10


def test_c13_every_byte_comes_back_by_every_route(tmp_path, new_collection, reopen):
    jsonl, table = tmp_path / "a.jsonl", tmp_path / "a.csv"
    jsonl.write_text(json.dumps({"id": "odd", "text": ODD}) + "\n")
    with table.open("w", newline="") as stream:
        csv.writer(stream).writerows([["id", "text"], ["odd", ODD]])
    routes = {
        "list.lace": [{"id": "odd", "text": ODD}],
        "jsonl.lace": interlace.read(jsonl),
        "csv.lace": interlace.read(table),
    }
    for name, records in routes.items():
        collection = new_collection(name)
        collection.add(records)
        again = reopen(collection)
        assert again.get(["odd"])[0].text == ODD
        assert again.search("sharp")[0].text == ODD


@pytest.mark.parametrize(
    "text",
    [
        "👩‍👩‍👧 family emoji and 🏳️‍🌈",
        "مرحبا بالعالم",
        "e\u0301a\u0300 combining marks",
        "NUL \x00 inside",
        "[CLS] [SEP] [MASK] spelled out",
        "x" * 5_000,
    ],
)
def test_any_text_is_kept_and_found(notes, text):
    notes.add([{"id": "it", "text": text}, {"id": "other", "text": "Something else."}])
    assert notes.get(["it"])[0].text == text
    assert notes.search(text[:300])[0].id == "it"


def test_a_lone_surrogate_is_refused_by_place(notes):
    with pytest.raises(InputError, match=r"U\+D800.*document 1, character 2"):
        notes.add(["fine", "ab\ud800"])
    with pytest.raises(InputError, match="lone surrogate"):
        notes.search("\udc00")
    assert len(notes) == 0


def test_c16_lengths_around_the_models_limit(new_collection, encoder):
    notes = new_collection()
    limit = encoder.document_length
    for n_tokens in (limit - 2, limit - 1, limit, limit + 1, 2 * limit):
        report = notes.add([{"id": n_tokens, "text": "word " * n_tokens}])
        # Split, so that nothing is cut.
        assert report.n_passages == -(-n_tokens // limit)
        assert report.n_tokens == n_tokens
        assert report.cut == []


def test_c16_the_encoder_says_how_much_it_cut(encoder):
    """Special tokens are not counted in the limit, and never push out a token of the text."""
    limit = encoder.document_length
    lengths = (limit - 2, limit - 1, limit, limit + 1, 2 * limit)
    encoded = list(encoder.documents("word " * n for n in lengths))
    assert [len(one.matrix) for one in encoded] == [min(n, limit) for n in lengths]
    assert [one.n_cut for one in encoded] == [max(0, n - limit) for n in lengths]
    assert encoded[2].matrix.tobytes() == encoded[3].matrix.tobytes()


def test_c17_the_fact_in_the_last_sentence_of_ten_thousand_words(notes, encoder):
    filler = "The committee met again and talked about the weather of that day. " * 834
    text = filler + "The password of the lighthouse is marmalade."
    assert len(text.split()) > 10_000
    notes.add([{"id": "long", "text": text}, *PLAIN])
    hit = notes.search("password of the lighthouse")[0]
    assert hit.id == "long"
    assert "marmalade" in hit.text
    assert text[hit.start : hit.end] == hit.text


def test_c17_a_passage_longer_than_the_model_reads_is_refused_at_once(tmp_path, encoder):
    with pytest.raises(SettingsError, match=f"the model reads {encoder.document_length} tokens"):
        interlace.create(tmp_path / "x.lace", encoder, passage_tokens=600)
    assert not (tmp_path / "x.lace").exists()

"""Rows and objects become documents: id, text and metadata where people put them."""

from __future__ import annotations

import datetime
import decimal

import pytest

from interlace.text.records import Fields, identify, read_record
from interlace.types import Document, Skipped

ANY = Fields()


def made(record, fields=ANY) -> Document:
    document = read_record(record, fields, "a.jsonl, line 7", 7)
    assert isinstance(document, Document), document
    return document


def why(record, fields=ANY) -> str:
    skipped = read_record(record, fields, "a.jsonl, line 7", 7)
    assert isinstance(skipped, Skipped), skipped
    assert skipped.where == "a.jsonl, line 7"
    return skipped.why


def test_our_own_form():
    document = made({"id": "a", "text": "Hello", "metadata": {"year": 2020}})
    assert document == Document("Hello", "a", {"year": 2020}, line=7)


@pytest.mark.parametrize(("key", "id_"), [("id", "a"), ("id", 5), ("_id", "b"), ("_id", -1)])
def test_ids_stay_what_they_are(key, id_):
    document = made({key: id_, "text": "Hello"})
    assert (document.id, type(document.id)) == (id_, type(id_))
    assert document.metadata == {}


@pytest.mark.parametrize("record", [{"text": "Hello"}, {"id": None, "text": "Hello"}, "Hello"])
def test_without_an_id_it_follows_from_the_text(record):
    assert made(record).id == identify("Hello")


def test_an_empty_cell_is_no_id():
    assert made({"id": "", "text": "Hello"}).id == identify("Hello")


def test_other_fields_become_metadata_and_keep_their_types():
    record = {"text": "a", "n": 1, "x": 1.5, "yes": True, "none": None, "in": {"list": [1, "b"]}}
    metadata = made(record).metadata
    assert metadata == {k: v for k, v in record.items() if k != "text"}
    assert [type(value) for value in metadata.values()] == [int, float, bool, type(None), dict]


def test_metadata_and_other_fields_are_merged():
    assert made({"text": "a", "lang": "de", "metadata": {"year": 2020}}).metadata == {
        "lang": "de",
        "year": 2020,
    }
    assert made({"text": "a", "metadata": "a note"}).metadata == {"metadata": "a note"}


def test_without_a_text_field_the_text_is_all_fields():
    record = {
        "id": 1,
        "name": "Ada",
        "empty": "",
        "none": None,
        "born": {"year": 1815, "place": "London", "note": ""},
        "tags": ["a", "b"],
        "known": True,
        "zero": 0,
    }
    assert made(record).text == (
        "name: Ada\nborn: year: 1815; place: London\ntags: a, b\nknown: yes\nzero: 0"
    )


def test_named_fields():
    record = {"key": 3, "title": "T", "body": "B", "text": "not this"}
    document = made(record, Fields(id="key", text=("title", "body")))
    assert (document.id, document.text) == (3, "T\nB")
    assert document.metadata == {"text": "not this"}


def test_a_named_field_that_a_record_lacks_is_left_out_while_another_is_there():
    assert made({"title": "T"}, Fields(text=("title", "body"))).text == "T"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (Fields(text=("boddy",)), "no field 'boddy'; did you mean 'body'?"),
        (Fields(text=("xyz",)), "no field 'xyz'; there are title, body"),
        (Fields(id="xyz"), "no field 'xyz'; there are title, body"),
    ],
)
def test_a_field_that_is_not_there(fields, reason):
    assert why({"title": "T", "body": "B"}, fields) == reason


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ([1], "neither an object nor a text but list"),
        (5, "neither an object nor a text but int"),
        ({}, "no text"),
        ({"id": 1}, "no text"),
        ({"id": 1, "text": 5}, "text must be a str, not int"),
        ({"id": 1.5, "text": "a"}, "an id must be a str or an int, not float"),
        ({"id": 2**64, "text": "a"}, "needs more than 64 bits"),
        ({"text": "\ud800"}, "lone surrogate"),
    ],
)
def test_what_is_no_record(record, reason):
    assert reason in why(record)


def test_what_json_has_no_kind_for_becomes_text():
    record = {
        "text": "a",
        "day": datetime.date(2020, 1, 2),
        "price": decimal.Decimal("1.50"),
        "raw": b"\xff",
        "nan": float("nan"),
        "inf": float("inf"),
        "deep": {"list": [datetime.date(2020, 1, 2), float("nan"), (1, 2)]},
    }
    assert made(record).metadata == {
        "day": "2020-01-02",
        "price": "1.50",
        "raw": "ff",
        "nan": None,
        "inf": "inf",
        "deep": {"list": ["2020-01-02", None, [1, 2]]},
    }


def test_nested_too_deep_is_a_reason():
    deep: object = "x"
    for _ in range(200):
        deep = {"a": deep}
    assert "nested over 64 levels" in why({"text": "a", "deep": deep})

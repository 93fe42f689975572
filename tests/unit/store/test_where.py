"""Filters: what they mean, against a plain-Python reading of the rules; what they refuse."""

from __future__ import annotations

import contextlib
import datetime
import enum
import math
import multiprocessing
import re

import numpy as np
import pytest
import storing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interlace import store
from interlace.errors import FilterError
from interlace.store.where import parse, refuse_unknown_field

# --- the rules, in Python ------------------------------------------------------------------------
BIG = 2**63


def looked_up(metadata, path):
    """Every value that stands at a dotted path: (value, whether it is in a list)."""
    found = []

    def descend(at, value, in_list, is_element=False):
        if at == path:
            found.append((value, in_list))
        if isinstance(value, dict):
            for key, inner in value.items():
                descend(f"{at}.{key}" if at is not None else key, inner, in_list)
        elif isinstance(value, list) and not is_element:
            for element in value:
                descend(at, element, True, True)

    descend(None, metadata, False)
    return found


def comparable(value):
    """What equality and order look at; None for what only exists."""
    if isinstance(value, bool):
        return ("truth", value)
    if isinstance(value, int | float):
        if isinstance(value, int) and not -BIG < value < BIG:
            try:
                value = float(value)
            except OverflowError:
                value = math.inf if value > 0 else -math.inf
        return ("number", value)
    if isinstance(value, str):
        return ("text", value)
    return None


def matches(metadata, where):
    return all(holds(metadata, key, value) for key, value in where.items())


def holds(metadata, key, value):
    if key == "$and":
        return all(matches(metadata, one) for one in value)
    if key == "$or":
        return any(matches(metadata, one) for one in value)
    if key == "$not":
        return not matches(metadata, value)
    if isinstance(value, dict):
        return all(compares(metadata, key, op, one) for op, one in value.items())
    return compares(metadata, key, "$in" if isinstance(value, list) else "$eq", value)


def compares(metadata, path, op, value):
    found = looked_up(metadata, path)
    if op == "$ne":
        return not compares(metadata, path, "$eq", value)
    if op == "$nin":
        return not compares(metadata, path, "$in", value)
    if op == "$not":
        return not holds(metadata, path, value)
    if op == "$exists":
        return bool(found) == value
    if op == "$in":
        return any(compares(metadata, path, "$eq", one) for one in value)
    if op == "$eq":
        if value is None:
            return not found or any(one is None for one, _ in found)
        return any(comparable(one) == comparable(value) for one, _ in found)
    if op == "$contains":
        lists = any(isinstance(one, list) or in_list for one, in_list in found)
        if lists:
            return any(
                one is None if value is None else comparable(one) == comparable(value)
                for one, _ in found
                if not isinstance(one, list | dict)
            )
        return isinstance(value, str) and any(
            value in one for one, _ in found if isinstance(one, str)
        )
    order = {
        "$gt": lambda a, b: a > b,
        "$gte": lambda a, b: a >= b,
        "$lt": lambda a, b: a < b,
        "$lte": lambda a, b: a <= b,
    }[op]
    kind, wanted = comparable(value)
    return any(
        order(known[1], wanted)
        for known in (comparable(one) for one, _ in found)
        if known is not None and known[0] == kind
    )


# --- what is drawn -------------------------------------------------------------------------------
PATHS = ["a", "b", "a.b", "a.a", "b.b"]
NUMBERS = st.one_of(
    st.integers(-2, 3),
    st.sampled_from([0.5, -0.0, 1.0, 2.5, 1e308, 2**53, 2**53 + 1, BIG, BIG - 1, -BIG, 10**400]),
)
TEXTS = st.one_of(
    st.text("ab\0é'", max_size=3),
    st.integers(1_020, 1_028).map(lambda n: "a" * n + "b"),
    st.just("a" * 1_024),
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
    ),
    max_leaves=5,
)
METADATA = st.dictionaries(st.sampled_from("ab"), VALUES, max_size=2)
ASKED = SCALARS.map(lambda value: value[:1_024] if isinstance(value, str) else value)
ORDERED = st.one_of(NUMBERS, TEXTS.map(lambda text: text[:1_024]))
OPERATIONS = st.one_of(
    st.tuples(st.sampled_from(["$eq", "$ne", "$contains"]), ASKED),
    st.tuples(st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), ORDERED),
    st.tuples(st.sampled_from(["$in", "$nin"]), st.lists(ASKED, max_size=3)),
    st.tuples(st.just("$exists"), st.booleans()),
)
LEAVES = st.tuples(
    st.sampled_from(PATHS),
    st.one_of(
        ASKED, st.lists(ASKED, max_size=3), st.lists(OPERATIONS, min_size=1, max_size=3).map(dict)
    ),
).map(lambda pair: dict([pair]))
FILTERS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda terms: {"$and": terms}),
        st.lists(inner, min_size=1, max_size=3).map(lambda terms: {"$or": terms}),
        inner.map(lambda one: {"$not": one}),
    ),
    max_leaves=5,
)

EVERY_KIND = [
    one
    for value in (None, True, 1, "a")
    for one in ({"a": value, "b": value}, {"a": {"a": value, "b": value}, "b": {"b": value}})
]
"""Documents that keep every path known, with values of every kind."""


def filled(path, metadata):
    opened = store.create(path, storing.settings(), n_threads=1)
    records = [storing.record(i, metadata=one) for i, one in enumerate(metadata)]
    storing.add(opened, *records)
    return opened


def found(snapshot, where):
    """The ids of the documents whose rows a filter allows."""
    allowed = np.unpackbits(snapshot.where(where), count=snapshot.n_rows, bitorder="little")
    rows = np.flatnonzero(allowed)
    return [passage.id for passage in snapshot.passages(rows)]


@pytest.fixture
def library(tmp_path):
    """A few documents on which single rules are seen."""
    documents = {
        "old": {"year": 1999, "lang": "en", "tags": ["x", "y"], "author": {"name": "Ann"}},
        "new": {"year": 2021, "lang": "de", "tags": [], "draft": True, "pages": None},
        "list": {"year": [2000, 2030], "lang": ["en", "fr"], "title": 'It\'s "100%" done'},
        "bare": {},
        "real": {"year": 2020.5, "lang": "x'; DROP TABLE documents; --", "title": "a\0b"},
    }
    with store.create(tmp_path / "l.lace", storing.settings(), n_threads=1) as opened:
        storing.add(opened, *(storing.record(id_, metadata=m) for id_, m in documents.items()))
        yield opened


# --- meaning -------------------------------------------------------------------------------------
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    metadata=st.lists(METADATA, min_size=1, max_size=12),
    filters=st.lists(FILTERS, min_size=1, max_size=8),
    few=st.sampled_from([1, 4, 64]),
)
def test_a_filter_finds_what_the_rules_say(tmp_path_factory, monkeypatch, metadata, filters, few):
    monkeypatch.setattr("interlace.store.filtering._FEW", few)
    metadata = EVERY_KIND + metadata
    with filled(tmp_path_factory.mktemp("x") / "x.lace", metadata) as opened:
        for where in filters:
            expected = [id_ for id_, one in enumerate(metadata) if matches(one, where)]
            assert found(opened.snapshot(), where) == expected, where
            assert opened.snapshot().ids_where(where) == expected, where


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, ["old", "new", "list", "bare", "real"]),
        ({"year": 2021}, ["new"]),
        ({"year": 2021.0}, ["new"]),
        ({"year": {"$gte": 2020}}, ["new", "list", "real"]),
        ({"year": {"$gt": 2000, "$lt": 2030}}, ["new", "list", "real"]),
        ({"year": {"$gt": 2000, "$lt": 2021}}, ["list", "real"]),
        ({"year": {"$ne": 2021}}, ["old", "list", "bare", "real"]),
        ({"lang": ["en", "de"]}, ["old", "new", "list"]),
        ({"lang": {"$nin": ["en", "de"]}}, ["bare", "real"]),
        ({"lang": []}, []),
        ({"lang": {"$nin": []}}, ["old", "new", "list", "bare", "real"]),
        ({"year": {"$gte": 2020}, "lang": "de"}, ["new"]),
        ({"draft": True}, ["new"]),
        ({"draft": {"$exists": True}}, ["new"]),
        ({"draft": {"$exists": False}}, ["old", "list", "bare", "real"]),
        ({"pages": None}, ["old", "new", "list", "bare", "real"]),
        ({"year": None}, ["bare"]),
        ({"year": {"$in": [None, 1999]}}, ["old", "bare"]),
        ({"pages": {"$exists": True}}, ["new"]),
        ({"tags": {"$contains": "y"}}, ["old"]),
        ({"tags": "y"}, ["old"]),
        ({"tags": {"$exists": True}}, ["old", "new"]),
        ({"title": {"$contains": "100%"}}, ["list"]),
        ({"title": {"$contains": "\0b"}}, ["real"]),
        ({"lang": {"$contains": "e"}}, ["old", "new", "real"]),
        ({"lang": {"$contains": "en"}}, ["old", "list", "real"]),
        ({"author.name": "Ann"}, ["old"]),
        ({"author": {"$exists": True}}, ["old"]),
        ({"$or": [{"year": 1999}, {"draft": True}]}, ["old", "new"]),
        ({"$not": {"$or": [{"year": 1999}, {"draft": True}]}}, ["list", "bare", "real"]),
        ({"year": {"$not": {"$gt": 2000}}}, ["old", "bare"]),
        ({"lang": "x'; DROP TABLE documents; --"}, ["real"]),
        ({"lang": {"$in": np.array(["en"])}}, ["old", "list"]),
        ({"year": np.int64(1999)}, ["old"]),
        ({"year": {"$lt": math.inf}}, ["old", "new", "list", "real"]),
        ({"year": {"$lt": 10**30}}, ["old", "new", "list", "real"]),
        ({"year": {"$in": range(1990, 4000)}}, ["old", "new", "list"]),
    ],
)
def test_each_rule(library, where, expected):
    assert found(library.snapshot(), where) == expected
    assert library.snapshot().ids_where(where) == expected


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("year = 2021", {"year": 2021}),
        ("year == 2021", {"year": 2021}),
        ("year != -2.5e1", {"year": {"$ne": -25}}),
        ("lang in [\"en\", 'de']", {"lang": ["en", "de"]}),
        ("lang not in []", {"lang": {"$nin": []}}),
        (
            "year > 1 and (year < 9 and lang = 'en')",
            {"year": {"$gt": 1, "$lt": 9}, "$and": [{"lang": "en"}]},
        ),
        (' {"year": {"$gte": 2020}, "lang": ["en"]}', {"year": {"$gte": 2020}, "lang": ["en"]}),
        ("draft exists", {"draft": {"$exists": True}}),
        ("draft not exists", {"draft": {"$exists": False}}),
        ("not draft exists", {"$not": {"draft": {"$exists": True}}}),
        ("pages = null or draft = true", {"$or": [{"pages": None}, {"draft": True}]}),
        ("author.name = 'Ann'", {"author.name": "Ann"}),
        ('"author"."name" = "Ann"', {"author.name": "Ann"}),
        ('"author.name" <> "Ann"', {"author.name": {"$ne": "Ann"}}),
        (r'title contains "\"100"', {"title": {"$contains": '"100'}}),
        (r'title contains "\u00e9\ud83d\ude00"', {"title": {"$contains": "é😀"}}),
        (
            "year >= 2020 and lang in ['en'] or NOT (year < 1 AND draft EXISTS)",
            {
                "$or": [
                    {"$and": [{"year": {"$gte": 2020}}, {"lang": {"$in": ["en"]}}]},
                    {"$not": {"$and": [{"year": {"$lt": 1}}, {"draft": {"$exists": True}}]}},
                ]
            },
        ),
    ],
)
def test_text_and_mapping_say_the_same(text, where):
    assert parse(text) == parse(where)
    assert hash(parse(text)) == hash(parse(where))


def test_true_is_not_one_and_both_are_kept_apart(tmp_path):
    with store.create(tmp_path / "x.lace", storing.settings()) as opened:
        storing.add(
            opened, storing.record(0, metadata={"v": 1}), storing.record(1, metadata={"v": True})
        )
        assert found(opened.snapshot(), {"v": 1}) == [0]
        assert found(opened.snapshot(), {"v": True}) == [1]
        assert found(opened.snapshot(), {"v": 1.0}) == [0]


class Lang(str, enum.Enum):  # noqa: UP042 - whose str() is another text than the member
    EN = "en"


def test_a_comparison_is_with_values_of_its_kind_alone(tmp_path):
    with store.create(tmp_path / "x.lace", storing.settings()) as opened:
        for i, year in enumerate([2020, "2021", [2022, "2023"], None]):
            storing.fill(opened, i, i + 1, metadata={"year": year})
        snapshot = opened.snapshot()
        for where, expected in [
            ("year > 2000", [0, 2]),
            ('year > "2000"', [1, 2]),
            ('year > 2000 or year > "2000"', [0, 1, 2]),
            ('year in [2020, "2021"]', [0, 1]),
            ("year != 2020", [1, 2, 3]),
            ("not year > 2000", [1, 3]),
        ]:
            assert found(snapshot, where) == expected, where
        with pytest.raises(FilterError, match="no truth values, but numbers and texts"):
            snapshot.where("year = true")


def test_contains_looks_for_a_whole_element_of_what_is_in_a_list(tmp_path):
    metadata = {"by": [{"name": "Ada"}, {"name": "Bob", "years": [1, 2]}], "note": "Ada, Bob"}
    with store.create(tmp_path / "x.lace", storing.settings()) as opened:
        storing.fill(opened, 0, 1, metadata=metadata)
        snapshot = opened.snapshot()
        assert found(snapshot, 'by.name contains "Ada"') == [0]
        assert found(snapshot, "by.years contains 2") == [0]
        assert found(snapshot, 'by.name contains "A"') == []
        assert found(snapshot, 'note contains "A"') == [0]
        with pytest.raises(FilterError, match=r"Name what is in it: by\.name, by\.years\."):
            snapshot.where('by contains "Ada"')


def test_a_field_that_only_deleted_documents_had_finds_nothing(tmp_path):
    with store.create(tmp_path / "x.lace", storing.settings()) as opened:
        storing.fill(opened, 0, 1, metadata={"old": 1})
        storing.fill(opened, 1, 3, metadata={"new": 1})
        before = opened.snapshot()
        with opened.write() as writer:
            writer.delete([0])
        for _ in range(2):
            after = opened.snapshot()
            assert (found(before, "old = 1"), found(after, "old = 1")) == ([0], [])
            assert found(after, "old not exists") == [1, 2]
            assert found(after, 'old = "x" or new = 1') == [1, 2]
            opened.compact()
        with pytest.raises(FilterError, match="no document has this field: where, 'odl'"):
            opened.snapshot().where("odl = 1")


def test_a_member_of_an_enumeration_is_its_text(library):
    """As JSON has it, which is how metadata are stored."""
    assert found(library.snapshot(), {"lang": Lang.EN}) == ["old", "list"]


def test_the_elements_of_a_list_in_an_object_in_a_list_are_found(tmp_path):
    with store.create(tmp_path / "x.lace", storing.settings()) as opened:
        metadata = {"authors": [{"at": ["Rome", "Bonn"]}, {"at": []}], "deep": [["Rome"]]}
        storing.add(opened, storing.record(0, metadata=metadata))
        assert found(opened.snapshot(), {"authors.at": "Bonn"}) == [0]
        assert found(opened.snapshot(), {"authors.at": {"$contains": "Bonn"}}) == [0]
        assert found(opened.snapshot(), {"deep": {"$exists": True}}) == [0]
        with pytest.raises(FilterError, match="no texts"):
            found(opened.snapshot(), {"deep": "Rome"})
        assert opened.verify().ok


def test_the_ends_of_a_span_may_be_met_by_two_elements_of_a_list(library):
    assert "list" in found(library.snapshot(), {"year": {"$gt": 2000, "$lt": 2030}})
    assert "list" not in found(library.snapshot(), {"year": {"$gt": 2030, "$lt": 2040}})


def test_a_span_and_what_few_documents_have_are_one_small_question_each(tmp_path, monkeypatch):
    """However broad the other sides of an ``and`` are: of those, only the few are asked about."""
    with store.create(tmp_path / "x.lace", storing.settings()) as opened:
        storing.fill(opened, 0, 1, metadata={"n": -1, "m": 1})
        storing.add(
            opened, *(storing.record(i, n_tokens=1, metadata={"n": i, "m": 1}) for i in range(300))
        )
        snapshot = opened.snapshot()
        asked = []
        matching = snapshot._catalog.matching
        monkeypatch.setattr(
            type(snapshot._catalog),
            "matching",
            lambda _, sql, values: (
                asked.append(len(matching(sql, values))) or matching(sql, values)
            ),
        )
        assert found(snapshot, {"m": 1, "n": {"$gte": 100, "$lt": 103}}) == [100, 101, 102]
        assert max(asked) <= 300 // 64 + 1


def test_a_long_text_is_found_by_what_is_anywhere_in_it(tmp_path):
    long = "x" * 5_000 + "needle" + "y" * 5_000
    with store.create(tmp_path / "x.lace", storing.settings()) as opened:
        storing.add(
            opened,
            storing.record(0, metadata={"t": long, "n": {"t": ["needle", long]}}),
            storing.record(1, metadata={"t": "short"}),
        )
        snapshot = opened.snapshot()
        assert found(snapshot, {"t": {"$contains": "needle"}}) == [0]
        assert found(snapshot, {"t": {"$contains": "needles"}}) == []
        assert found(snapshot, {"t": {"$gt": "x" * 1_024}}) == [0]
        assert found(snapshot, {"t": {"$lte": "x" * 1_024}}) == [1]
        assert found(snapshot, {"n.t": {"$contains": "needle"}}) == [0]
        assert snapshot.documents([0])[0].metadata["t"] == long
        assert opened.verify().ok


# --- what is refused -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"yaer": 1}, "no document has this field: where, 'yaer'. Did you mean 'year'?"),
        ({"$not": {"nothing like it": 1}}, "There are 'author', 'author.name', 'draft'"),
        ({"year": {"$gt": "2020"}}, "Write a number without quotes"),
        ({"lang": 3}, "Write a text: '3'"),
        ({"lang": {"$in": ["en", 3]}}, "no numbers, but texts"),
        ({"draft": 1}, "no numbers, but truth values"),
        ({"year": True}, "no truth values, but"),
        ({"year": {"$contains": "2"}}, "no texts, but"),
        ({"author": {"$contains": "Ann"}}, "but objects: where, field 'author', 'Ann'."),
        ({"author": "Ann"}, "Name what is in it: author.name."),
        ({"year": {"$gt": None}}, "only numbers and texts have an order"),
        ({"year": datetime.date(2020, 1, 2)}, "ISO strings, as they are stored: '2020-01-02'"),
        ({"year": math.nan}, "nothing compares with NaN: where, field 'year'. For"),
        ({"year": {"$in": [1, math.nan]}}, r"field 'year', $in[1]"),
        ({"year": {"$gtr": 1}}, "unknown operator '$gtr': where, field 'year'. Did you mean $gt?"),
        ({"$nor": []}, "unknown operator '$nor': where. Did you mean $or?"),
        ({"$where": "1"}, "unknown operator '$where'"),
        ({"$and": {"year": 1}}, "$and takes a list of filters, at least one"),
        ({"$or": []}, "at least one"),
        ({"$or": [{"year": 1}, "x"]}, "must be a mapping, not str: where, $or[1]"),
        ({"year": {"$in": "en"}}, "$in takes a list"),
        ({"year": {"$eq": [1]}}, "For several, use $in"),
        ({"year": {"$exists": 1}}, "takes True or False"),
        ({"author": {"name": "Ann"}}, "For what is nested in it, write 'author.name'"),
        ({"year": {}}, "by operators"),
        ({"year": b"x"}, "cannot be compared with a bytes"),
        ({"lang": "x" * 1_025}, "too long to compare"),
        ({"lang": "\ud800"}, "surrogate"),
        ({1: 2}, "Write '1'"),
        ([("year", 1)], "must be a mapping or a str, not list"),
        (3, "must be a mapping or a str, not int"),
    ],
)
def test_what_cannot_be_meant_is_refused(library, where, message):
    with pytest.raises(FilterError, match=re.escape(message)):
        library.snapshot().where(where)
    with pytest.raises(FilterError, match=re.escape(message)):
        library.snapshot().ids_where(where)


@pytest.mark.parametrize(
    ("text", "message", "at"),
    [
        ("year", "a comparison is missing", 4),
        ('Customer  Id No = "3"', 'exists; a name with spaces is quoted: "Customer Id No".', 10),
        ("year after or x", 'quoted: "year after".', 5),
        ("year = 1 && lang = 'en'", "Write and instead.", 9),
        ("year ≥ 1", "Write >= instead.", 5),
        ("lang = “en”", 'Write " instead.', 7),
        ("year >=", "a value is missing", 7),
        ("year >= two", "a value is missing", 8),
        ("year >= 2020 lang = 'en'", "goes on where it should end", 13),
        ("(year = 1", ") is missing", 9),
        ("lang in ['en' 'de']", ", is missing", 14),
        ("lang = 'en", "a text has no end", 7),
        ("year = 1; drop table documents", "no part of a filter", 8),
        ("and = 1", "a field's name is missing", 0),
        ("not", "a field's name is missing", 3),
        ("year not 3", "in is missing", 9),
        ("(" * 100 + "a = 1" + ")" * 100, "nested too deep", 64),
    ],
)
def test_a_text_that_cannot_be_read_is_marked(library, text, message, at):
    with pytest.raises(FilterError, match=re.escape(message)) as caught:
        library.snapshot().where(text)
    first, line, mark = str(caught.value).split("\n")
    assert f"character {at + 1}." in first
    assert mark.index("^") - 2 == min(at, 50)
    assert line[2:] == text[max(0, at - 50) : at + 30]


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_text_is_no_filter(library, text):
    with pytest.raises(FilterError, match=r"^a filter is empty: where\. Write, .* 2020\.$"):
        library.snapshot().where(text)


def test_the_nearest_of_many_fields_is_named_whatever_its_capitals():
    known = sorted([f"field {i}" for i in range(60)] + ["Year", "YEAR", "City"])
    assert "Did you mean 'YEAR' or 'Year'?" in str(refuse_unknown_field("yaer", known))
    assert "Did you mean 'City'?" in str(refuse_unknown_field("CITY", known))


def test_json_that_cannot_be_read_is_refused(library):
    with pytest.raises(FilterError, match=r"like JSON is none: .* character 9\. Write"):
        library.snapshot().where('{"year": oops}')
    with pytest.raises(FilterError, match=r"too many digits: where\. Write it as a text"):
        library.snapshot().where(f'{{"year": {"9" * 5_000}}}')
    with pytest.raises(FilterError, match=r"too deep: where\. Allowed are 64 levels\."):
        library.snapshot().where('{"year":' * 100_000)


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=40) | st.text("ab.\"'\\()[]<>=!,0 1einotrx\n", max_size=40))
def test_no_text_does_worse_than_being_refused(text):
    with contextlib.suppress(FilterError):
        parse(text)


def test_deep_filters_are_refused():
    deep = {"a": 1}
    for _ in range(5_000):
        deep = {"$not": deep}
    with pytest.raises(FilterError, match="too deep"):
        parse(deep)


def test_nothing_is_found_and_nothing_raised_without_documents(tmp_path):
    with store.create(tmp_path / "x.lace", storing.settings()) as opened:
        assert found(opened.snapshot(), {"year": 1}) == []
        assert opened.snapshot().ids_where("year = 1") == []
        with pytest.raises(FilterError, match="unknown operator"):
            opened.snapshot().where({"year": {"$is": 1}})


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=st.text(min_size=1, max_size=8), value=st.text(max_size=8))
def test_hostile_names_and_values_are_data_only(tmp_path_factory, name, value):
    names = {name, name + "'; DROP TABLE fields; --", '"]) OR 1=1 --', "a\0b", "%_"}
    with store.create(tmp_path_factory.mktemp("x") / "x.lace", storing.settings()) as opened:
        storing.add(
            opened,
            storing.record(0, metadata={**dict.fromkeys(names, value), "another name": 1}),
            storing.record(1, metadata=dict.fromkeys(names, value + "x")),
        )
        snapshot = opened.snapshot()
        for name in (one for one in names if not one.startswith("$")):
            assert found(snapshot, {name: value}) == [0]
            assert found(snapshot, {name: {"$ne": value}}) == [1]
            assert found(snapshot, {name: {"$contains": value}}) == [0, 1]
            quoted = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
            assert found(snapshot, f'{quoted} exists and "another name" = 1') == [0]


# --- versions ------------------------------------------------------------------------------------
def test_each_snapshot_sees_the_values_of_its_own_commit(tmp_path):
    with store.create(tmp_path / "x.lace", storing.settings()) as opened:
        storing.add(opened, *(storing.record(i, metadata={"v": i, "w": [i, i]}) for i in range(4)))
        first = opened.snapshot()
        with opened.write() as writer:
            writer.update_metadata(1, {"v": 10, "w": [1]})
            assert writer.ids_where("v >= 2") == [1, 2, 3]
            writer.update_metadata(1, {"v": 1, "w": [2]})
            writer.update_metadata(1, {"v": 11})
            writer.delete([2])
            writer.add(*storing.record(3, metadata={"v": 30}))
            writer.add(*storing.record(9, metadata={"v": 90}))
            assert writer.ids_where("v >= 2") == [1, 3, 9]
            assert writer.ids_where("w exists") == [0]
        second = opened.snapshot()
        with opened.write() as writer:
            writer.update_metadata(1, {"v": 1, "w": [1, 1]})
        third = opened.snapshot()
        opened.settle()
        opened.compact()
        for snapshot, v, w in [
            (first, [2, 3], [0, 1, 2, 3]),
            (second, [1, 3, 9], [0]),
            (third, [3, 9], [0, 1]),
            (opened.snapshot(), [3, 9], [0, 1]),
        ]:
            for _ in range(2):
                assert sorted(found(snapshot, "v >= 2")) == v
                assert sorted(found(snapshot, "w exists")) == w
                assert sorted(snapshot.ids_where("w exists")) == w


def test_what_nobody_can_see_is_forgotten(tmp_path):
    with store.create(tmp_path / "x.lace", storing.settings()) as opened:
        storing.fill(opened, 0, 6, metadata={"v": [1, 2, {"x": 1}]})
        with opened.write() as writer:
            writer.update_metadata(0, {"v": 3})
            writer.delete([1, 2, 3, 4, 5])
        with opened.write() as writer:
            writer.set_file("f", writer.add_source("s", "s", {}), "x")
        rows = opened._catalog._rows("SELECT document, kind, value FROM field_values")
        assert rows == [(0, 2, 3)]


def test_a_filter_that_is_refused_leaves_the_writer_whole(library):
    with library.write() as writer:
        with pytest.raises(FilterError):
            writer.ids_where("nope = 1")
        assert writer.delete(writer.ids_where("year >= 2020")) == 3
    assert list(library.snapshot().ids()) == ["old", "bare"]
    assert library.verify().ok


def test_documents_attached_from_elsewhere_are_found(tmp_path):
    with (
        store.create(tmp_path / "a.lace", storing.settings()) as opened,
        store.create(tmp_path / "b.lace", storing.settings()) as other,
    ):
        storing.add(opened, storing.record("mine", metadata={"v": 1}))
        storing.add(other, storing.record("theirs", metadata={"v": 1, "w": {"x": 2}}))
        opened.attach(other)
        assert found(opened.snapshot(), "v = 1") == ["mine", "theirs"]
        assert found(opened.snapshot(), "w.x = 2") == ["theirs"]


def test_numbers_of_documents_long_gone_cost_no_room(tmp_path, monkeypatch):
    monkeypatch.setattr("interlace.store.filtering._SPARSE_MIN", 0)
    with store.create(tmp_path / "x.lace", storing.settings()) as opened:
        for round_ in range(40):
            storing.fill(opened, 0, 2, metadata={"v": round_})
        storing.add(opened, storing.record("other", metadata={"w": 1}))
        snapshot = opened.snapshot()
        for where, expected in [
            ("v = 39", [0, 1]), ("v = 38", []), ("not v = 39", ["other"]), ("v = null", ["other"]),
        ]:  # fmt: skip
            assert found(snapshot, where) == expected
            assert snapshot.ids_where(where) == expected


def test_values_of_a_damaged_catalog_lead_nowhere(library):
    library._catalog._change(
        "UPDATE field_values SET document = 1 << 40 WHERE document = 0 AND field ="
        " (SELECT number FROM fields WHERE name = 'lang')",
        {},
    )
    library._catalog._change(
        "UPDATE field_values SET document = 'x' WHERE document = 1 AND kind = 2", {}
    )
    snapshot = library.snapshot()
    assert found(snapshot, {"lang": "en"}) == ["list"]
    assert {"list", "real"} <= set(found(snapshot, {"year": {"$gte": 2020}}))
    assert not library.verify().ok


# --- the cache -----------------------------------------------------------------------------------
def test_a_filter_is_answered_once(library, monkeypatch):
    snapshot = library.snapshot()
    first = snapshot.where({"year": {"$gte": 2020}, "lang": "de"})
    monkeypatch.setattr(type(snapshot._catalog), "matching", None)
    assert snapshot.where("year >= 2020 and lang = 'de'") is first
    assert not first.flags.writeable
    with pytest.raises(TypeError):
        snapshot.where("year >= 2021")


def test_the_cache_lets_go_of_what_was_not_used(library, monkeypatch):
    monkeypatch.setattr("interlace.store.filtering._CACHED_BYTES_MAX", 3)
    snapshot = library.snapshot()
    kept = snapshot.where("year = 1")
    for year in range(2, 9):
        snapshot.where(f"year = {year}")
        assert snapshot.where("year = 1") is kept
    assert len(snapshot._filters._bitmaps) == 3


def _in_child(opened, queue):
    snapshot = opened.snapshot()
    queue.put((found(snapshot, "year = 2021"), found(snapshot, "year >= 2020")))


def test_a_child_after_a_fork_may_filter(library):
    snapshot = library.snapshot()
    snapshot.where("year = 2021")
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with snapshot._filters._lock:  # as another thread of the parent might hold it
        child = context.Process(target=_in_child, args=(library, queue))
        child.start()
    assert queue.get(timeout=60) == (["new"], ["new", "list", "real"])
    child.join()
    assert found(snapshot, "year >= 2020") == ["new", "list", "real"]

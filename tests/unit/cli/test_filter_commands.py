"""``--where`` and ``delete`` on the command line."""

from __future__ import annotations

import pytest

import interlace
from interlace.cli.interactive import _prompt


@pytest.fixture
def filled(tmp_path, encoder):
    path = tmp_path / "notes.lace"
    with interlace.create(path, encoder) as notes:
        notes.add(
            [
                {"id": "sky", "text": "The sky is blue.", "metadata": {"year": 1871, "lang": "en"}},
                {"id": "sea", "text": "The sea is salty.", "metadata": {"year": 2021}},
                {"id": 7, "text": "Ice floats.", "metadata": {"year": 2024, "lang": "de"}},
            ]
        )
    return path


def test_search_where(run, filled):
    found = run("search", filled, "sky", "--where", "year >= 2000", "--json").records
    assert sorted(str(one["id"]) for one in found) == ["7", "sea"]
    found = run("search", filled, "sky", "--where", 'lang in ["de"]', "--ids", "7", "--json")
    assert [one["id"] for one in found.records] == [7]


def test_a_filter_is_typed_between_two_queries(run, filled):
    asked = run("search", filled, "--json", stdin="sky\n:where lang = null\nsky\n:where\nsky\n")
    ids = [one["id"] for one in asked.records]
    assert (len(ids), ids[3]) == (7, "sea")


@pytest.mark.parametrize("wrong", ["yaer = 1", "year >=", "year = '1'"])
def test_a_wrong_filter_is_refused_when_it_is_typed_and_the_old_one_stays(run, filled, wrong):
    asked = run("search", filled, "--json", stdin=f":where year > 2020\n:where {wrong}\nsky\n")
    assert sorted(str(one["id"]) for one in asked.records) == ["7", "sea"]
    assert asked.err.count("error: ") == 1
    assert "error: " in run("search", filled, stdin=f":where {wrong}\n").err


def test_what_is_typed_is_confirmed(run, filled):
    asked = ":where year > 2020\n:where\n:mode lexical\n:k 3\n:full\n"
    assert run("search", filled, stdin=asked).err.splitlines() == [
        "note: 2 of 3 documents match.",
        "note: no filter: 3 documents.",
        "note: mode lexical.",
        "note: 3 hits at most.",
        "note: whole passages.",
    ]
    assert run("search", filled, "--json", stdin=asked).err == ""


def test_a_filter_that_nothing_matches_is_said(run, filled):
    asked = run("search", filled, "sky", "--where", "year < 3")
    assert (asked.code, asked.err) == (0, "note: no document matches the filter: year < 3\n")


def test_the_prompt_shows_the_filter():
    assert _prompt("year > 2020").startswith("[year > 2020] ")
    assert _prompt(None).startswith("? ")


@pytest.mark.parametrize("wrong", ["yaer = 1", "year >="])
def test_a_wrong_filter_ends_it_before_anything_is_asked(run, filled, wrong):
    assert run("search", filled, "--where", wrong, stdin="").code == 2


def test_explain_where(run, filled):
    (found,) = run("explain", filled, "sky", "--where", "year = 2024", "--json").records
    assert found["id"] == 7
    assert run("explain", filled, "sky", "--id", "sky", "--where", "year = 2024").code == 2


@pytest.mark.parametrize(
    ("where", "message"),
    [("year >=", "^"), ("yaer > 1", "Did you mean 'year'?"), ("year = '1'", "without quotes")],
)
def test_a_wrong_filter_is_explained(run, filled, where, message):
    for refused in (
        run("search", filled, "sky", "--where", where), run("delete", filled, "--where", where),
    ):  # fmt: skip
        assert refused.code == 2
        assert message in refused.err
    assert len(interlace.open(filled)) == 3


def test_delete(run, filled):
    done = run("delete", filled, "sky", 7)
    assert done.code == 0
    assert "2 documents deleted." in done.out
    assert "has 1 document." in done.out.replace("\n", " ")
    told = run("delete", filled, "--where", "year > 3000", "--json").records
    assert told == [{"deleted": 0, "n_documents": 1}]
    told = run("delete", filled, "--where", "year > 2000", "--json").records
    assert told == [{"deleted": 1, "n_documents": 0}]


@pytest.mark.parametrize("wrong", [[], ["sky", "--where", "year = 1"], ["sky", "nobody"]])
def test_delete_of_what_cannot_be_meant_deletes_nothing(run, filled, wrong):
    assert run("delete", filled, *wrong).code == 2
    assert len(interlace.open(filled)) == 3


@pytest.mark.parametrize("where", ["{}", " {}", '{"$or": [{}]}', "not lang in []"])
def test_delete_where_nothing_is_said_deletes_nothing(run, filled, where):
    ran = run("delete", filled, "--where", where)
    assert ran.code == 2
    assert "an empty filter matches every document" in ran.err
    assert "remove the folder" in ran.err
    assert "collection.ids()" not in ran.err
    assert len(interlace.open(filled)) == 3


def test_info_names_the_fields(run, filled):
    assert run("info", filled, "--json").records[0]["fields"] == {
        "lang": ["texts"],
        "year": ["numbers"],
    }
    assert "lang (texts), year (numbers)" in run("info", filled).out

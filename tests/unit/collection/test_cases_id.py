"""Ids and metadata: faults that users met elsewhere (cases.md, kind "id")."""

from __future__ import annotations

import datetime

import numpy as np
import pytest

from interlace import Document
from interlace.errors import InputError


def test_c19_ids_with_signs_and_blanks(notes, reopen):
    texts = {"b-2": "Bees dance.", "a-1": "Ants carry leaves.", "c/3 ü": "Cats sleep all day."}
    notes.add([{"id": id_, "text": text} for id_, text in texts.items()])

    def check(collection):
        for id_, text in texts.items():
            assert collection.search(text)[0].id == id_
        assert list(collection.ids()) == list(texts)

    check(notes)
    check(reopen(notes))


def test_c20_integer_ids_keep_their_type_and_metadata(notes, reopen):
    words = {10: "ten apples", 7: "seven boats", 3: "three clouds"}
    notes.add(
        {"id": id_, "text": text, "metadata": {"double": 2 * id_}} for id_, text in words.items()
    )
    again = reopen(notes)
    for id_, text in words.items():
        hit = again.search(text)[0]
        assert (hit.id, type(hit.id)) == (id_, int)
        assert hit.metadata == {"double": 2 * id_}
    assert again.delete([7]) == 1
    left = again.search("boats", k=10)
    assert {hit.id: dict(hit.metadata) for hit in left} == {10: {"double": 20}, 3: {"double": 6}}


def test_an_int_and_a_str_that_look_alike_are_two(notes):
    notes.add([{"id": 7, "text": "seven as a number"}, {"id": "7", "text": "seven as text"}])
    assert len(notes) == 2
    assert notes.delete(["7"]) == 1
    assert notes.get([7])[0].text == "seven as a number"


def test_c22_lengths_that_differ_are_refused_before_encoding(new_collection):
    notes = new_collection(model=None, dim=4)
    rows = [np.eye(4, dtype=np.float32)[:1]] * 8
    records = [{"id": i, "text": "x"} for i in range(8)]
    with pytest.raises(InputError, match="8 documents but 7 embeddings"):
        notes.add(records, embeddings=rows[:7])
    with pytest.raises(InputError, match="8 documents but 5 token_ids"):
        notes.add(records, embeddings=rows, token_ids=[[1]] * 5)
    with pytest.raises(InputError, match="embeddings end after 7"):
        notes.add(iter(records), embeddings=iter(rows[:7]))
    with pytest.raises(InputError, match="embeddings go on after the last of 7"):
        notes.add(iter(records[:7]), embeddings=iter(rows))
    assert len(notes) == 0


def test_c23_a_hit_says_document_passage_and_span(notes):
    body = "\n\n".join(
        f"# Heading {i}\n\n" + f"Paragraph {i} speaks of topic{i} at length. " * 30
        for i in range(2)
    )
    notes.add([{"id": "page", "text": body, "metadata": {"author": "Ada"}}])
    hits = notes.search("topic1", k=3, by="passage")
    assert len({hit.passage for hit in hits}) == len(hits) > 1
    for hit in hits:
        assert hit.id == "page"
        assert hit.metadata == {"author": "Ada"}
        assert body[hit.start : hit.end] == hit.text
    assert "topic1" in hits[0].text


def test_a_text_without_id_is_known_by_its_hash(notes):
    first = notes.add(["one text", "another"])
    again = notes.add(["another", "a third"])
    assert (first.added, again.unchanged, again.added) == (2, 1, 1)
    assert all(len(id_) == 16 and int(id_, 16) >= 0 for id_ in notes.ids())


def test_an_id_twice_in_one_call_names_both_places(notes):
    with pytest.raises(InputError, match=r"id 'a' comes twice.*documents 1 and 3"):
        notes.add([{"id": id_, "text": id_} for id_ in ("x", "a", "b", "a")])
    assert len(notes) == 0


@pytest.mark.parametrize("bad", [1.5, True, b"x", ("a",), "", 2**63])
def test_an_id_of_the_wrong_kind_is_refused(notes, bad):
    with pytest.raises(InputError, match="document 1"):
        notes.add(["fine", {"id": bad, "text": "x"}])
    assert len(notes) == 0


def test_numpy_ids_become_plain_ones(notes):
    notes.add([{"id": np.int64(5), "text": "five"}, Document("six", np.str_("six"))])
    assert [type(id_) for id_ in notes.ids()] == [int, str]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (7, "must be a str, a mapping or a Document, not int: document 1"),
        ({"id": "a"}, "no text: document 1"),
        ({"id": "a", "text": None}, "text must be a str, not NoneType: document 1"),
        ({"text": "x", "metdata": {}}, "unknown key 'metdata'.*Did you mean 'metadata'"),
        ({"text": "x", "metadata": "y"}, "metadata must be a mapping"),
    ],
)
def test_a_record_of_the_wrong_kind_is_refused(notes, record, message):
    with pytest.raises(InputError, match=message):
        notes.add(["fine", record])
    assert len(notes) == 0


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (datetime.date(2021, 1, 1), "metadata.k is a date.*isoformat"),
        (float("nan"), "metadata.k is nan"),
        ({1, 2}, "metadata.k is a set"),
        (b"x", "metadata.k is a bytes"),
        ({1: 2}, "a key of metadata.k is 1"),
        ([0, object()], r"metadata.k\[1\] is a object"),
        ("\ud800", "metadata.k of document 0"),
    ],
)
def test_metadata_that_json_cannot_hold_is_refused(notes, value, message):
    with pytest.raises(InputError, match=message):
        notes.add([{"text": "x", "metadata": {"k": value}}])
    assert len(notes) == 0


def test_metadata_is_not_shared_with_the_caller(notes):
    mine = {"tags": ["a"]}
    notes.add([{"id": "x", "text": "words", "metadata": mine}])
    mine["tags"].append("b")
    assert notes.get(["x"])[0].metadata == {"tags": ["a"]}


def test_one_document_instead_of_a_list_is_refused(notes):
    for one in ("a text", {"text": "x"}, Document("x")):
        with pytest.raises(InputError, match=r"Write \[document\]"):
            notes.add(one)
    with pytest.raises(InputError, match=r"Write \['sky'\]"):
        notes.delete("sky")


def test_get_and_delete_of_unknown_ids(notes):
    notes.add([{"id": "a", "text": "x"}])
    with pytest.raises(InputError, match="no such document: id 'b'"):
        notes.get(["a", "b"])
    assert [document.id for document in notes.get(["b", "a"], missing="ignore")] == ["a"]
    assert notes.delete(["b"]) == 0
    with pytest.raises(InputError, match="id 'b'"):
        notes.delete(["a", "b"], missing="error")
    assert len(notes) == 1
    assert "a" in notes
    assert "b" not in notes


def test_which_of_some_ids_are_there(notes):
    notes.add({"id": i, "text": f"apple {i}", "metadata": {"even": i % 2 == 0}} for i in range(5))
    assert list(notes.ids(among=[9, 4, "4", 1])) == [4, 1]
    assert list(notes.ids({"even": True}, among=[9, 4, 1])) == [4]
    assert list(notes.ids(among=[])) == []
    with pytest.raises(InputError, match="id is empty"):
        notes.ids(among=[""])


def test_a_search_among_ids(notes):
    notes.add({"id": i, "text": f"apple number {i}"} for i in range(20))
    assert {hit.id for hit in notes.search("apple", ids=[3, 17])} == {3, 17}
    assert list(notes.search("apple", ids=[])) == []
    assert {hit.id for hit in notes.search("apple", ids=[3, 99], missing="ignore")} == {3}
    (hits,) = notes.search_many(["apple"], ids=[99, "3"], missing="ignore")
    assert list(hits) == []
    with pytest.raises(InputError, match="missing is 'skip'"):
        notes.search("apple", missing="skip")
    with pytest.raises(InputError, match="no such document: id 99"):
        notes.search("apple", ids=[3, 99])
    with pytest.raises(InputError, match="id '3'"):
        notes.search("apple", ids=["3"])

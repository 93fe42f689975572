"""Updates and deletes: faults that users met elsewhere (cases.md, kind "upd")."""

from __future__ import annotations

import os
import threading

import pytest

import interlace
from interlace.errors import InputError, InterlaceError

THINGS = [
    *("anchor", "basket", "candle", "drum", "engine"),
    *("feather", "guitar", "hammer", "island", "jacket"),
]


def documents(first: int, last: int) -> list[dict[str, object]]:
    return [
        {"id": f"d{i}", "text": f"The {THINGS[i % 10]} of house {i} is number {i * i}."}
        for i in range(first, last)
    ]


def size(path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


@pytest.mark.parametrize("settled", [False, True])
def test_c25_only_the_second_of_two_long_documents_is_left(notes, reopen, settled):
    def long(word: str) -> str:
        return " ".join(f"Sentence {i} tells of the {word} again." for i in range(500))

    notes.add([{"id": "first", "text": long("harbour")}, {"id": "second", "text": long("desert")}])
    if settled:
        notes.settle()
    text = notes.get(["second"])[0].text
    assert notes.delete(["first"]) == 1
    for again in (lambda collection: collection, reopen):
        collection = again(notes)
        for query in ("harbour", "desert", "sentence 5", "again", "tells of the"):
            hits = collection.search(query, k=50, by="passage")
            assert {hit.id for hit in hits} == {"second"}
            assert all(text[hit.start : hit.end] == hit.text for hit in hits)


@pytest.mark.parametrize("settled", [False, True])
def test_c26_ids_stay_with_their_texts_after_deletes(notes, settled):
    notes.add(documents(0, 10))
    if settled:
        notes.settle()
    notes.delete(["d2", "d7"])
    notes.add(documents(10, 11))
    for i in (3, 8, 9, 10):
        assert notes.search(str(documents(i, i + 1)[0]["text"]))[0].id == f"d{i}"


def test_c28_adding_right_after_creating(notes):
    notes.add(documents(0, 3))
    notes.add(documents(3, 4))
    assert len(notes.search("house", k=10)) == 4


def test_c29_one_odd_document_among_many_alike(new_collection, reopen):
    notes = new_collection()
    notes.add(f"Item {i} is listed on page {i}." for i in range(500))
    notes.add([{"id": "odd", "text": "A zyxquorb was seen near the flumbergate."}])
    for again in (lambda collection: collection, reopen):
        hit = again(notes).search("zyxquorb flumbergate")[0]
        assert (hit.id, hit.text) == ("odd", "A zyxquorb was seen near the flumbergate.")


@pytest.mark.slow
def test_c29_one_odd_document_among_five_thousand_settled(new_collection, reopen):
    """Its words are types that the codec has never seen; once settled they have leaves."""
    notes = new_collection(settle="manual")
    notes.add(f"Item {i} is listed on page {i}." for i in range(5_000))
    notes.settle()
    notes.add([{"id": "odd", "text": "A zyxquorb was seen near the flumbergate."}])
    for again in (lambda collection: collection, reopen, lambda collection: collection):
        notes = again(notes)
        for effort in ("fast", "balanced", "exhaustive"):
            assert notes.search("zyxquorb flumbergate", effort=effort)[0].id == "odd"
        notes.settle()
    assert notes.info()["n_fresh_tokens"] == 0


def test_c31_grown_equals_built_at_once(new_collection):
    once, grown = new_collection("once.lace"), new_collection("grown.lace")
    once.add(documents(0, 80))
    grown.add(documents(0, 60))
    grown.add(documents(60, 80))
    queries = [f"{THINGS[i % 10]} of house {i}" for i in range(30)]
    for a, b in zip(once.search_many(queries), grown.search_many(queries), strict=True):
        assert [(hit.id, hit.score) for hit in a] == [(hit.id, hit.score) for hit in b]


def test_c31_grown_half_settled_still_finds_each_text_first(new_collection):
    grown = new_collection(settle="manual")
    grown.add(documents(0, 60))
    grown.settle()
    grown.add(documents(60, 80))
    assert grown.info()["n_settled_tokens"] > grown.info()["n_fresh_tokens"] > 0
    records = documents(0, 80)
    for record, hits in zip(
        records, grown.search_many([str(r["text"]) for r in records]), strict=True
    ):
        assert hits[0].id == record["id"]
        assert len(hits) == 10


def test_c32_twenty_small_saves_do_not_grow_the_folder(new_collection, encoder):
    once, slowly = new_collection("once.lace"), new_collection("slowly.lace")
    once.add(documents(0, 20))
    for i in range(20):
        slowly.add(documents(i, i + 1))
    assert len(slowly) == len(once) == 20
    for name in ("n_documents", "n_passages", "n_tokens", "n_tombstones"):
        assert slowly.info()[name] == once.info()[name]
    once.close()
    slowly.close()
    assert size(slowly.path) < 3 * size(once.path)
    with interlace.open(slowly.path, encoder) as again:
        again.compact()
    assert size(slowly.path) < 2 * size(once.path)


@pytest.mark.parametrize("settled", [False, True])
def test_c35_the_old_text_of_an_id_is_gone(notes, reopen, settled):
    old = {"id": "x", "text": "The ferry leaves at noon.", "metadata": {"topic": "ships"}}
    notes.add([old, *documents(0, 5)])
    if settled:
        notes.settle()
    before = notes.search("ferry at noon")[0]
    new = {"id": "x", "text": "Volcanoes erupt without warning.", "metadata": {"topic": "fire"}}
    report = notes.add([new])
    assert (report.added, report.replaced) == (0, 1)
    for again in (lambda collection: collection, reopen):
        notes = again(notes)
        assert len(notes) == 6
        hit = notes.search("volcano eruption")[0]
        assert (hit.id, hit.text, hit.metadata) == ("x", new["text"], {"topic": "fire"})
        hits = notes.search("ferry at noon", k=10, by="passage")
        assert [hit.id for hit in hits].count("x") == 1
        assert all("ferry" not in hit.text for hit in hits)
        (same,) = [hit for hit in hits if hit.id == "x"]
        assert same.late_score < before.late_score - 1


def test_c35_a_filter_sees_the_changed_metadata_of_an_id(notes, reopen):
    notes.add([{"id": "x", "text": "The ferry leaves.", "metadata": {"topic": "ships", "n": 1}}])
    notes.add([{"id": "x", "text": "Volcanoes erupt.", "metadata": {"topic": "fire", "n": 2}}])
    for again in (lambda collection: collection, reopen):
        notes = again(notes)
        assert [hit.id for hit in notes.search("ferry", where={"topic": "fire"})] == ["x"]
        assert not notes.search("ferry", where={"topic": "ships"})
        assert [hit.text for hit in notes.search("ferry", where={"n": {"$gte": 1}})] == [
            "Volcanoes erupt."
        ]
    notes.update_metadata("x", {"topic": "ash", "n": 3})
    assert not notes.search("ferry", where={"topic": "fire"})
    assert len(notes.search("ferry", where={"topic": "ash", "n": 3})) == 1


def test_c37_running_a_build_again_on_more_adds_the_rest(notes):
    notes.add(documents(0, 5))
    report = notes.add(documents(0, 8))
    assert (report.added, report.unchanged) == (3, 5)
    assert len(notes) == 8


def test_c83_unchanged_text_is_not_encoded_again(notes, reopen, monkeypatch):
    notes.add(documents(0, 5))
    again = reopen(notes)

    def refuse():
        raise AssertionError("encoded again")

    monkeypatch.setattr(again._model, "_speaker", refuse)
    report = again.add(documents(0, 5))
    assert (report.unchanged, report.n_tokens) == (5, 0)


def test_c83_an_upgrade_that_keeps_the_format_encodes_nothing_again(notes, reopen, monkeypatch):
    notes.add(documents(0, 5))
    notes.settle()
    monkeypatch.setattr("interlace.store.writing.VERSION", "99.0")
    again = reopen(notes)

    def refuse():
        raise AssertionError("encoded again")

    monkeypatch.setattr(again._model, "_speaker", refuse)
    assert again.add(documents(0, 5)).unchanged == 5
    assert again.verify().ok


def test_c83_a_folder_indexed_again_with_other_times_of_change(
    new_collection, tmp_path, monkeypatch
):
    for i in range(4):
        path = tmp_path / "docs" / f"{i}.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"Chapter {i} is about the {THINGS[i]}.")
    notes = new_collection()
    assert notes.add(interlace.read(tmp_path / "docs")).added == 4
    commit = notes.info()["commit"]

    def refuse():
        raise AssertionError("encoded again")

    monkeypatch.setattr(notes._model, "_speaker", refuse)
    for path in (tmp_path / "docs").iterdir():
        os.utime(path, (1, 1))
    report = notes.add(interlace.read(tmp_path / "docs"))
    assert (report.added, report.replaced, report.unchanged) == (0, 0, 4)
    assert notes.info()["commit"] == commit


def test_new_metadata_of_an_unchanged_text_is_kept(notes):
    notes.add([{"id": "x", "text": "words", "metadata": {"year": 1}}])
    report = notes.add([{"id": "x", "text": "words", "metadata": {"year": 2}}])
    assert report.unchanged == 1
    assert notes.search("words")[0].metadata == {"year": 2}
    notes.update_metadata("x", {"year": 3})
    assert notes.get(["x"])[0].metadata == {"year": 3}
    assert notes.get(["x"])[0].text == "words"
    with pytest.raises(InputError, match="no such document"):
        notes.update_metadata("y", {})


def test_metadata_that_others_or_the_same_commit_changed(notes, encoder):
    record = {"id": "x", "text": "words", "metadata": {"year": 1}}
    notes.add([record])
    assert notes.get(["x"])
    with interlace.open(notes.path, encoder) as other:
        other.update_metadata("x", {"year": 2})
    assert notes.add([record]).unchanged == 1
    assert notes.get(["x"])[0].metadata == {"year": 1}
    with notes.writer() as changes:
        changes.update_metadata("x", {"year": 3})
        changes.add([record])
    assert notes.get(["x"])[0].metadata == {"year": 1}


@pytest.mark.parametrize(
    ("policy", "text", "counts"),
    [("replace", "new words", (0, 1, 0, 0)), ("skip", "old words", (0, 0, 0, 1))],
)
def test_what_happens_to_a_known_id(notes, policy, text, counts):
    notes.add([{"id": "x", "text": "old words"}])
    report = notes.add([{"id": "x", "text": "new words"}], on_conflict=policy)
    assert (report.added, report.replaced, report.unchanged, report.left_out) == counts
    assert notes.get(["x"])[0].text == text


def test_a_known_id_can_be_an_error(notes):
    notes.add([{"id": "x", "text": "old words"}])
    with pytest.raises(InputError, match="id 'x' is in the collection already: document 1"):
        notes.add(["other", {"id": "x", "text": "new"}], on_conflict="error")
    assert len(notes) == 1
    with pytest.raises(InputError, match="on_conflict is 'overwrite'"):
        notes.add([], on_conflict="overwrite")


def test_several_changes_are_one_commit(notes):
    notes.add(documents(0, 3))
    before = notes.info()["commit"]
    with notes.writer() as changes:
        assert changes.delete(["d0", "nobody"]) == 1
        assert changes.add(documents(3, 5)).added == 2
        changes.update_metadata("d1", {"kept": True})
        assert len(notes) == 3
    assert list(notes.ids()) == ["d1", "d2", "d3", "d4"]
    assert notes.get(["d1"])[0].metadata == {"kept": True}
    assert notes.info()["commit"] == before + 1


def test_a_failure_inside_a_writer_changes_nothing(notes):
    notes.add(documents(0, 3))
    with pytest.raises(InputError), notes.writer() as changes:  # noqa: PT012
        changes.delete(["d0"])
        changes.add(documents(3, 5))
        changes.add([7])
    assert list(notes.ids()) == ["d0", "d1", "d2"]
    with pytest.raises(InterlaceError, match="with block"):
        changes.delete(["d0"])


def test_a_bad_record_leaves_the_batches_before_it(notes, monkeypatch):
    from interlace.collection import collection

    real = collection.batches
    monkeypatch.setattr(collection, "batches", lambda stream: real(stream, n_bytes_max=1))
    with pytest.raises(InputError, match="document 2") as caught:
        notes.add(["one", "two", 3])
    assert caught.value.committed == 2
    assert len(notes) == 2
    assert notes.add(["one", "two", "three"]).unchanged == 2


def test_a_duplicate_across_batches_is_found(notes, monkeypatch):
    from interlace.collection import collection

    real = collection.batches
    monkeypatch.setattr(collection, "batches", lambda stream: real(stream, n_bytes_max=1))
    with pytest.raises(InputError, match="documents 0 and 2") as caught:
        notes.add(documents(0, 2) + documents(0, 1))
    assert caught.value.committed == 2


@pytest.mark.parametrize("n_bytes_max", [1, 10**9])
def test_a_text_without_id_may_come_twice(notes, monkeypatch, n_bytes_max):
    from interlace.collection import collection

    real = collection.batches
    monkeypatch.setattr(collection, "batches", lambda stream: real(stream, n_bytes_max=n_bytes_max))
    report = notes.add(["one", "two", "one", "one"])
    assert (report.added, report.unchanged, len(notes)) == (2, 2, 2)


def test_commits_are_cut_by_what_they_hold(notes, monkeypatch):
    from interlace.collection import collection

    real = collection.batches
    monkeypatch.setattr(collection, "batches", lambda stream: real(stream, n_bytes_max=1))
    seen: list[tuple[str, int, int | None]] = []
    report = notes.add(documents(0, 4), progress=lambda *event: seen.append(event))
    assert report.added == 4
    assert [event for event in seen if event[0] == "store"] == [
        ("store", n, 4) for n in range(1, 5)
    ]
    assert list(notes.ids()) == ["d0", "d1", "d2", "d3"]


def test_c41_many_threads_get_the_answers_of_one(notes):
    notes.add(documents(0, 60))
    queries = [f"{THINGS[i % 10]} " * (1 + i % 7) for i in range(64)]
    alone = [[(hit.id, hit.score) for hit in notes.search(query)] for query in queries]
    wrong: list[str] = []

    def ask(first: int) -> None:
        for i in range(first, 64, 16):
            if [(hit.id, hit.score) for hit in notes.search(queries[i])] != alone[i]:
                wrong.append(queries[i])

    threads = [threading.Thread(target=ask, args=(n % 16,)) for n in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    together = notes.search_many(queries)
    assert [[(hit.id, hit.score) for hit in hits] for hits in together] == alone

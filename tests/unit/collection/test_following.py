"""Folders that change: only what changed is read, and the report says what was done."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import threading
import zipfile

import pytest

import interlace
from interlace.errors import CollectionError, InputError, SettingsError


@pytest.fixture
def docs(tmp_path, monkeypatch):
    """A small folder, and the working directory beside it."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "docs"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "sky.md").write_text("# Sky\n\nThe sky is blue.\n")
    (folder / "deep" / "sea.txt").write_text("The sea is salty.\n")
    (folder / "deep" / "er" / "ice.txt").write_text("Ice floats on water.\n")
    return folder


@pytest.fixture
def encoded(monkeypatch):
    """The texts that have been encoded as documents so far."""
    texts: list[str] = []
    original = interlace.Encoder._encode

    def spying(self, index, text, role):
        if role == "document":
            texts.append(text)
        return original(self, index, text, role)

    monkeypatch.setattr(interlace.Encoder, "_encode", spying)
    return texts


def counts(report) -> tuple[int, int, int, int]:
    return (
        report.n_files_new,
        report.n_files_changed,
        report.n_files_unchanged,
        report.n_files_removed,
    )


def test_a_folder_becomes_documents_named_by_their_paths(notes, docs):
    report = notes.index("docs")
    assert counts(report) == (3, 0, 0, 0)
    assert report.added == 3
    assert list(notes.ids()) == ["docs/deep/er/ice.txt", "docs/deep/sea.txt", "docs/sky.md"]
    hit = notes.search("why is the sky blue", k=1)[0]
    assert (hit.id, hit.file, hit.line, hit.headings) == ("docs/sky.md", "docs/sky.md", 1, ("Sky",))
    assert notes.locate(hit) == docs / "sky.md"


def test_c83_nothing_is_read_or_encoded_again(notes, docs, encoded):
    notes.index("docs")
    n_encoded, commit = len(encoded), notes.info()["commit"]
    os.utime(docs / "sky.md", (1, 1))
    for again in (notes.index("docs"), notes.update(), notes.index(docs)):
        assert counts(again) == (0, 0, 3, 0)
        assert not again.has_changed
    assert len(encoded) == n_encoded
    assert notes.info()["commit"] == commit


def test_only_what_changed_is_encoded(notes, docs, encoded):
    notes.index("docs")
    del encoded[:]
    (docs / "sky.md").write_text("# Sky\n\nThe sky is red at dusk.\n")
    (docs / "new.txt").write_text("Moss grows on stones.\n")
    (docs / "deep" / "sea.txt").unlink()
    report = notes.update()
    assert counts(report) == (1, 1, 1, 1)
    assert (report.added, report.replaced, report.removed) == (1, 1, 1)
    assert len(encoded) == 2
    assert set(notes.ids()) == {"docs/deep/er/ice.txt", "docs/sky.md", "docs/new.txt"}
    assert notes.search("salty sea", k=3)[0].id != "docs/deep/sea.txt"


def test_update_needs_no_arguments_nor_the_same_working_directory(notes, docs, reopen, monkeypatch):
    notes.index("docs")
    (docs / "new.txt").write_text("Moss grows on stones.\n")
    monkeypatch.chdir("/")
    again = reopen(notes)
    assert counts(again.update()) == (1, 0, 3, 0)
    assert "docs/new.txt" in again


def test_files_of_a_source_that_is_gone_are_kept_not_unchanged(notes, docs):
    notes.index("docs")
    n = len(notes)
    docs.rename(docs.with_name("elsewhere"))
    report = notes.update()
    assert (counts(report), report.n_files_kept, len(notes)) == ((0, 0, 0, 0), 3, n)
    assert report.skipped[0].failed


def test_a_row_that_is_taken_out_or_changed_takes_only_itself(notes, docs, encoded):
    rows = [{"id": i, "text": f"Fact {i} is about topic {i}."} for i in range(20)]
    table = docs / "facts.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    notes.index("docs/facts.jsonl")
    del encoded[:]
    del rows[3]
    rows[10]["text"] = "Fact eleven has changed."
    rows.insert(0, {"id": "first", "text": "A new first fact."})
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = notes.update()
    assert (report.added, report.replaced, report.unchanged, report.removed) == (1, 1, 18, 1)
    assert len(encoded) == 2
    assert 3 not in notes
    hit = notes.search("Fact 15 is about topic 15", k=1)[0]
    assert (hit.id, hit.file) == (15, "docs/facts.jsonl")
    assert json.loads(table.read_text().splitlines()[hit.line - 1])["id"] == 15


@pytest.mark.parametrize("first", ["a.jsonl", "z.jsonl"])
def test_a_row_that_moves_to_another_file_is_not_lost_nor_encoded_again(
    notes, docs, encoded, first
):
    last = {"a.jsonl": "z.jsonl", "z.jsonl": "a.jsonl"}[first]
    row = json.dumps({"id": "walker", "text": "A row that walks."}) + "\n"
    other = json.dumps({"id": "stayer", "text": "A row that stays."}) + "\n"
    (docs / first).write_text(row + other)
    notes.index("docs")
    del encoded[:]
    (docs / first).write_text(other)
    (docs / last).write_text(row)
    notes.update()
    assert not encoded
    assert notes.search("walks", k=1)[0].file == f"docs/{last}"
    shutil.move(docs / last, docs / "m.jsonl")
    notes.update()
    assert not encoded
    assert notes.search("walks", k=1)[0].file == "docs/m.jsonl"


def test_an_id_in_two_files_is_named_and_the_first_one_stays(notes, docs):
    for name in ("a", "b"):
        (docs / f"{name}.jsonl").write_text(json.dumps({"id": 1, "text": f"Row of {name}."}) + "\n")
    report = notes.index("docs")
    (skipped,) = report.skipped
    assert skipped.where == "docs/b.jsonl, line 1"
    assert "came before" in skipped.why
    (docs / "b.jsonl").write_text(json.dumps({"id": 1, "text": "Another row of b."}) + "\n")
    (skipped,) = notes.update().skipped
    assert "docs/a.jsonl" in skipped.why
    assert notes.get([1])[0].text == "Row of a."


def test_equal_rows_of_two_tables_live_and_die_apart(notes, docs):
    for name in ("a", "b"):
        (docs / f"{name}.csv").write_text("name,text\nx,The same words.\nx,The same words.\n")
    notes.index("docs")
    assert sum(str(id_).startswith(("docs/a.csv#", "docs/b.csv#")) for id_ in notes.ids()) == 2
    (docs / "a.csv").unlink()
    notes.update()
    assert notes.search("The same words", k=1)[0].file == "docs/b.csv"


def test_no_file_stops_the_run_and_each_is_named(notes, docs):
    (docs / "broken.pdf").write_bytes(b"%PDF-1.4 nonsense")
    (docs / "noise.bin").write_bytes(bytes(range(256)) * 10)
    (docs / "bad.jsonl").write_text('{"text": "good"}\nnot json\n{"text": "good too"}\n')
    (docs / ".hidden").write_text("hidden")
    report = notes.index("docs")
    assert report.added == 5
    assert {s.where for s in report.skipped} == {
        "docs/broken.pdf", "docs/noise.bin", "docs/bad.jsonl, line 2", "docs/.hidden",
    }  # fmt: skip
    assert report.n_skipped == 4


def test_what_was_read_of_a_file_stays_when_it_breaks_and_goes_when_it_is_emptied(notes, docs):
    book = docs / "book.zip"
    with zipfile.ZipFile(book, "w") as archive:
        archive.writestr("inner.txt", "A zebra in a zip file.")
    notes.index("docs")
    assert "docs/book.zip/inner.txt" in notes
    assert notes.locate(notes.search("zebra", k=1)[0]) == book
    whole = book.read_bytes()
    book.write_bytes(whole[: len(whole) // 2])
    report = notes.update()
    assert [s.where for s in report.skipped] == ["docs/book.zip"]
    assert "docs/book.zip/inner.txt" in notes
    book.write_bytes(whole)
    assert notes.update().unchanged == 0  # the bytes are those that were read
    (docs / "sky.md").write_text("")
    report = notes.update()
    assert report.removed == 1
    assert "docs/sky.md" not in notes
    book.unlink()
    notes.update()
    assert "docs/book.zip/inner.txt" not in notes


def test_a_folder_that_is_not_there_is_named_and_its_documents_stay(notes, docs):
    notes.index("docs")
    docs.rename(docs.with_name("elsewhere"))
    report = notes.update()
    assert [s.where for s in report.skipped] == ["docs"]
    assert len(notes) == 3
    docs.with_name("elsewhere").rename(docs)
    assert counts(notes.update()) == (0, 0, 3, 0)


def test_a_part_of_a_followed_folder_is_no_source_of_its_own(notes, docs):
    notes.index("docs")
    (docs / "deep" / "new.txt").write_text("Moss grows on stones.")
    (docs / "other.txt").write_text("Not looked at.")
    assert counts(notes.index("docs/deep")) == (1, 0, 2, 0)
    assert [source.label for source in notes.sources()] == ["docs"]
    assert counts(notes.update()) == (1, 0, 4, 0)


def test_a_folder_takes_over_the_sources_inside_it(notes, docs, encoded):
    notes.index("docs/deep", "docs/sky.md")
    del encoded[:]
    assert counts(notes.index("docs")) == (0, 0, 3, 0)
    assert [source.label for source in notes.sources()] == ["docs"]
    assert not encoded
    assert counts(notes.update()) == (0, 0, 3, 0)


def test_two_folders_of_the_same_name_keep_apart(notes, tmp_path, monkeypatch):
    for parent in ("one", "two"):
        (tmp_path / parent / "docs").mkdir(parents=True)
        (tmp_path / parent / "docs" / "a.txt").write_text(f"The text of {parent}.")
        monkeypatch.chdir(tmp_path / parent)
        notes.index("docs")
    assert len(notes) == 2


def test_other_options_read_a_folder_anew(notes, docs):
    (docs / "t.csv").write_text("key,title,body\n7,Sky,The sky is blue.\n")
    notes.index("docs/t.csv")
    report = notes.index("docs/t.csv", id_field="key", text_fields=["title", "body"])
    assert report.n_files_changed == 1
    assert notes.get(["7"])[0].text == "Sky\nThe sky is blue."
    assert len(notes) == 1
    assert counts(notes.update()) == (0, 0, 1, 0)


def test_forget(notes, docs):
    notes.index("docs/deep", "docs/sky.md")
    with pytest.raises(InputError, match=r"docs/deep, docs/sky\.md"):
        notes.forget("docs")
    assert notes.forget("docs/deep") == 2
    assert list(notes.ids()) == ["docs/sky.md"]
    assert [source.label for source in notes.sources()] == ["docs/sky.md"]


def test_errors_before_anything_is_done(notes, docs):
    with pytest.raises(CollectionError, match="Index one first"):
        notes.update()
    with pytest.raises(InputError, match="no path was given"):
        notes.index()
    with pytest.raises(InputError, match=r"no such file or folder: dogs\. Did you mean docs"):
        notes.index("docs", "dogs")
    with pytest.raises(SettingsError, match="unknown format 'word'"):
        notes.index("docs", format="word")
    with pytest.raises(SettingsError, match="text_fields"):
        notes.index("docs", text_fields="body")
    assert len(notes) == 0


def test_an_interrupted_run_goes_on_where_it_was(notes, docs, encoded, monkeypatch):
    for i in range(10):
        (docs / f"n{i}.txt").write_text(f"Number {i} is here.")
    monkeypatch.setattr("interlace.collection.folders.BATCH_TOKENS", 10)
    seen = 0

    def stop(stage, done, total):
        nonlocal seen
        seen += stage == "read"
        if seen == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        notes.index("docs", progress=stop)
    notes.refresh()
    n_stored = len(notes)
    assert 0 < n_stored < 13
    del encoded[:]
    report = notes.index("docs")
    assert len(notes) == 13
    assert report.added == 13 - n_stored
    assert len(encoded) == 13 - n_stored


def test_progress_ends_at_its_total(notes, docs):
    (docs / "long.txt").write_text("A sentence of some length stands here. " * 2_000)
    told = []
    notes.index("docs", progress=lambda *now: told.append(now))
    reads = [(done, total) for stage, done, total in told if stage == "read"]
    assert all(done <= total for done, total in reads)
    assert [done for done, _ in reads] == sorted(done for done, _ in reads)
    done, total = reads[-1]
    assert done >= 0.95 * total


def test_watch_takes_over_changes_and_sees_none_of_its_own(notes, docs):
    notes.index(".")  # the collection lies in the folder that it follows
    stop = threading.Event()
    reports = []
    watched = threading.Event()

    def run():
        with interlace.open(notes.path, model=notes._model._given[0].encoder) as other:
            for report in other.watch(stop=stop):
                reports.append(report)
                watched.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert watched.wait(30)
        watched.clear()
        (docs / "new.txt").write_text("Moss grows on stones.")
        assert watched.wait(30)
    finally:
        stop.set()
        thread.join(30)
    assert [report.added for report in reports] == [0, 1]
    notes.refresh()
    assert "docs/new.txt" in notes


def write_rows(path, *ids):
    path.write_text("".join(json.dumps({"id": i, "text": f"Row {i}."}) + "\n" for i in ids))


def test_a_damaged_packed_file_or_member_keeps_what_was_read(notes, docs):
    rows = "".join(json.dumps({"id": i, "text": f"Row {i} of many."}) + "\n" for i in range(50))
    (docs / "a.jsonl.gz").write_bytes(gzip.compress(rows.encode()))
    with zipfile.ZipFile(docs / "z.zip", "w") as archive:
        archive.writestr("x.md", "A text that stays as it is in the archive.")
        archive.writestr("y.md", "Another text.")
    notes.index("docs")
    n = len(notes)
    packed = (docs / "a.jsonl.gz").read_bytes()
    (docs / "a.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    (docs / "z.zip").write_bytes((docs / "z.zip").read_bytes().replace(b"stays", b"slays", 1))
    report = notes.update()
    assert {one.where for one in report.skipped} == {"docs/a.jsonl.gz", "docs/z.zip/x.md"}
    assert report.removed == 0
    assert len(notes) == n


def test_sources_whose_names_would_meet_keep_apart(notes, tmp_path, monkeypatch, encoded):
    for parent in ("x", "y"):
        (tmp_path / parent / "docs").mkdir(parents=True)
        (tmp_path / parent / "docs" / "a.md").write_text(f"The text of {parent}.")
    monkeypatch.chdir(tmp_path / "x")
    notes.index(".")
    monkeypatch.chdir(tmp_path / "y")
    notes.index("docs")
    assert len(notes) == 2
    del encoded[:]
    assert not notes.update().has_changed
    assert not encoded


def test_the_innermost_source_has_a_file(notes, docs):
    (docs / "t.csv").write_text("title,text\nfoo,hello world\n")
    notes.index("docs")
    notes.index("docs/t.csv", text_fields=("title",))
    for _ in range(3):
        assert not notes.update().has_changed
    texts = {document.text for document in notes.get(notes.ids())}
    assert "foo" in texts
    assert "hello world" not in texts
    assert len(notes) == 4


@pytest.mark.parametrize(
    "paths", [("docs", "docs"), ("docs", "docs/sky.md"), ("docs/sky.md", "docs")]
)
def test_a_path_that_comes_twice_is_one(notes, docs, paths):
    report = notes.index(*paths)
    assert counts(report) == (3, 0, 0, 0)
    assert not report.skipped
    assert [source.label for source in notes.sources()] == ["docs"]
    assert counts(notes.update()) == (0, 0, 3, 0)


def test_what_is_stored_of_an_unfinished_file_goes_with_it(notes, docs, monkeypatch):
    write_rows(docs / "many.jsonl", *range(100))
    monkeypatch.setattr("interlace.collection.folders.BATCH_TOKENS", 20)

    def stop(stage, done, total):
        if stage == "read" and len(notes._store.snapshot().ids_of_file("docs/many.jsonl")) > 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        notes.index("docs", progress=stop)
    notes.refresh()
    assert len(notes) > 20
    (docs / "many.jsonl").unlink()
    report = notes.update()
    assert report.removed > 20
    assert len(notes) == 3


def test_a_record_that_was_in_the_way_of_another_lets_it_in_when_it_goes(notes, docs):
    write_rows(docs / "a.jsonl", "X")
    write_rows(docs / "b.jsonl", "X", "Y")
    notes.index("docs")
    assert [one.where for one in notes.update().skipped] == ["docs/b.jsonl, line 1"]
    (docs / "a.jsonl").unlink()
    notes.update()
    assert {"X", "Y"} <= set(notes.ids())
    assert notes.search("Row X", k=1)[0].file == "docs/b.jsonl"
    assert counts(notes.update()) == (0, 0, 4, 0)


def test_metadata_are_those_of_the_file(notes, docs):
    rows = docs / "rows.jsonl"
    rows.write_text('{"id": 1, "text": "x y", "tag": "secret"}\n')
    notes.index("docs")
    rows.write_text('{"id": 1, "text": "x y"}\n')
    notes.update()
    assert notes.get([1])[0].metadata == {}


def test_a_source_inside_that_had_another_name_goes_when_it_is_taken_over(notes, docs, monkeypatch):
    monkeypatch.chdir(docs)
    notes.index("deep/er")
    monkeypatch.chdir(docs.parent)
    notes.index("docs")
    assert [source.label for source in notes.sources()] == ["docs"]
    assert len(notes) == 3
    assert notes.forget("docs") == 3
    assert len(notes) == 0

"""Files and splitting: faults that users met elsewhere (cases.md, kinds text, id, format, env)."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys

import pytest

import interlace

ODD = [
    "a text\nof two lines\twith a tab, a \"quote\" and an 'apostrophe'",
    "# a leading mark",
    'doubled ""quotes"" stay doubled',
    "carriage\rreturn",
    "  blanks around  ",
]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_c10_files_without_text_are_named_and_the_others_keep_theirs(notes, tmp_path):
    for name, text in (("x", "The first."), ("y", " \t\n"), ("z", "The last."), ("e", "")):
        (tmp_path / f"{name}.txt").write_text(text)
    (tmp_path / "rows.jsonl").write_text(
        '{"id": "r1", "text": "A row."}\n{"id": "r2", "text": "\\u200b"}\n'
    )
    report = notes.index("x.txt", "y.txt", "z.txt", "e.txt", "rows.jsonl")
    assert {skipped.where for skipped in report.skipped} == {"y.txt", "e.txt"}
    assert report.empty == ["r2"]
    assert [notes.get([id_])[0].text for id_ in ("x.txt", "z.txt")] == ["The first.", "The last."]


@pytest.mark.parametrize("route", ["jsonl", "json", "csv", "txt"])
def test_c13_c14_texts_come_back_byte_for_byte_by_every_route(notes, reopen, tmp_path, route):
    path = tmp_path / f"odd.{route}"
    records = [{"id": f"t{i}", "text": text} for i, text in enumerate(ODD)]
    if route == "txt":
        for record in records:
            (tmp_path / f"{record['id']}.txt").write_bytes(record["text"].encode())
    elif route == "csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["id", "text"])
            writer.writeheader()
            writer.writerows(records)
    elif route == "json":
        path.write_text(json.dumps(records))
    else:
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    names = [f"t{i}.txt" for i in range(len(ODD))] if route == "txt" else [path.name]
    report = notes.index(*names)
    assert not report.skipped
    again = reopen(notes)
    ids = [f"t{i}.txt" if route == "txt" else f"t{i}" for i in range(len(ODD))]
    assert [document.text for document in again.get(ids)] == ODD


def test_c13_a_tsv_with_a_tab_too_many_names_its_line(notes, tmp_path):
    (tmp_path / "t.tsv").write_text("a\tfirst text\nb\tsecond\ttext\nc\tthird text\n")
    report = notes.index("t.tsv")
    (skipped,) = report.skipped
    assert skipped.where == "t.tsv, line 2"
    assert list(notes.ids()) == ["a", "c"]


@pytest.mark.parametrize("overlap", [0, 20])
def test_c16_no_passage_is_longer_than_the_model_reads(new_collection, encoder, overlap):
    notes = new_collection(passage_overlap=overlap)
    limit = encoder.document_length
    texts = [" ".join(["word"] * n) for n in (limit - 2, limit - 1, limit, limit + 1, 2 * limit)]
    report = notes.add([{"id": i, "text": text} for i, text in enumerate(texts)])
    assert report.n_cut == 0
    assert report.n_passages >= 8 - 1
    for i in range(5):
        (hit,) = notes.search("word", k=1, ids=[i])
        assert encoder.count([hit.text]) <= [limit]


def test_c17_the_last_sentence_of_ten_thousand_words_is_found(notes, tmp_path):
    words = " ".join(f"Sentence {i} goes on about the weather of the day." for i in range(1_000))
    fact = "The lighthouse keeper hid the emerald under the seventh stair."
    (tmp_path / "long.txt").write_text(f"{words} {fact}")
    notes.index("long.txt")
    hit = notes.search("where is the emerald hidden", k=1)[0]
    text = notes.get(["long.txt"])[0].text
    assert fact in hit.text
    assert text[hit.start : hit.end] == hit.text
    assert hit.end == len(text)
    assert hit.passage > 10


def test_c19_c20_ids_of_records_come_back_as_they_are(notes, reopen, tmp_path):
    ids = ["b-2", "a-1", "c/3 ü", 10, 7, 3]
    lines = [json.dumps({"id": id_, "text": f"Text {i}.", "n": i}) for i, id_ in enumerate(ids)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    notes.index("rows.jsonl")
    assert list(notes.ids()) == ids
    again = reopen(notes)
    hits = again.search("Text", k=10)
    assert {hit.id for hit in hits} == set(ids)
    assert {hit.id: hit.metadata["n"] for hit in hits} == {id_: i for i, id_ in enumerate(ids)}
    assert again.delete([7]) == 1


def test_c23_headings_passages_and_spans(new_collection, tmp_path):
    notes = new_collection(passage_tokens=40)
    body = " ".join(f"Word {i} of this part." for i in range(20))
    text = f"# Rivers\n\n{body}\n\n## Deltas\n\nWhere a river meets the sea. {body}\n"
    (tmp_path / "geo.md").write_text(text)
    notes.index("geo.md")
    hits = notes.search("where a river meets the sea", k=3, by="passage")
    assert hits[0].headings == ("Rivers", "Deltas")
    assert {hit.id for hit in hits} == {"geo.md"}
    assert len({hit.passage for hit in hits}) == 3
    for hit in hits:
        assert text[hit.start : hit.end] == hit.text
        assert text[: hit.start].count("\n") + 1 == hit.line


def test_c37_indexing_a_longer_file_again_takes_in_what_is_new(notes, tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [json.dumps({"id": i, "text": f"Row {i}."}) for i in range(30)]
    path.write_text("\n".join(rows[:10]))
    notes.index("rows.jsonl")
    path.write_text("\n".join(rows))
    report = notes.index("rows.jsonl")
    assert (report.added, report.unchanged) == (20, 10)


def test_c43_a_malformed_input_ends_at_once_with_its_cause(tmp_path):
    (tmp_path / "bad.jsonl").write_text("not json\n")
    ran = subprocess.run(
        [sys.executable, "-m", "interlace.cli", "index", "bad.jsonl", "--to", "x.lace"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 2
    assert "bad.jsonl, line 1" in ran.stderr


def test_c59_a_collection_moves_and_its_folder_with_it(new_collection, encoder, tmp_path):
    notes = new_collection("a/notes.lace")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "sky.md").write_text("# Sky\n\nThe sky is blue.\n")
    notes.index("docs")
    notes.close()
    shutil.move(tmp_path / "a", tmp_path / "b")
    shutil.rmtree(tmp_path / "docs")
    with interlace.open(tmp_path / "b" / "notes.lace", model=encoder) as moved:
        hit = moved.search("blue sky", k=1)[0]
        assert (hit.file, hit.text) == ("docs/sky.md", "# Sky\n\nThe sky is blue.\n")
        assert moved.locate(hit) is None


def test_c65_a_broken_library_shows_its_first_cause(tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "pypdfium2.py").write_text("raise ImportError('libpdfium: wrong ELF class')")
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.4\n")
    ran = subprocess.run(
        [sys.executable, "-c", "import interlace; list(interlace.read('a.pdf'))"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(broken), *sys.path])},
    )
    last = ran.stderr.splitlines()[-1]
    assert "wrong ELF class" in last
    assert "not installed" not in last


def test_c83_a_folder_is_known_by_its_content(notes, tmp_path):
    (tmp_path / "docs").mkdir()
    for i in range(5):
        (tmp_path / "docs" / f"{i}.txt").write_text(f"Text {i}.")
    notes.index("docs")
    shutil.copytree(tmp_path / "docs", tmp_path / "copy")
    shutil.rmtree(tmp_path / "docs")
    shutil.move(tmp_path / "copy", tmp_path / "docs")
    for path in (tmp_path / "docs").iterdir():
        os.utime(path, (7, 7))
    report = notes.index("docs")
    assert report.n_files_unchanged == 5
    assert not report.has_changed

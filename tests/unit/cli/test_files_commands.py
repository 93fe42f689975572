"""Backup, restore, export and import on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

import interlace


@pytest.fixture
def filled(tmp_path, encoder):
    path = tmp_path / "notes.lace"
    with interlace.create(path, encoder) as notes:
        notes.add(
            [
                {"id": "sky", "text": "Rayleigh scattering makes the sky blue."},
                {"id": 7, "text": "The sea is salty.", "metadata": {"year": 2021}},
            ]
        )
    return path


def test_backup_and_restore(run, filled, tmp_path):
    made = run("backup", filled, tmp_path / "copy.lace")
    assert made.code == 0
    assert "2 copied" in made.out
    assert "of commit 1" in made.out
    again = run("backup", filled, tmp_path / "copy.lace", "--json").records[0]
    assert (again["n_files"], again["n_files_kept"], again["n_documents"]) == (1, 1, 2)
    back = run("restore", tmp_path / "copy.lace", tmp_path / "back.lace")
    assert back.code == 0
    assert "2 documents" in back.out
    with interlace.open(tmp_path / "back.lace") as notes:
        assert notes.get([7])[0].metadata == {"year": 2021}
    told = run("restore", tmp_path / "copy.lace", tmp_path / "other.lace", "--json").records[0]
    assert told == {"collection": str(tmp_path / "other.lace"), "n_documents": 2}


def test_what_is_in_the_way(run, filled, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("x")
    for command in ("backup", "restore"):
        refused = run(command, filled, tmp_path / "full")
        assert refused.code == 3
        assert "letter.txt" in refused.err
        assert "new folder" in refused.err
    assert run("restore", tmp_path / "full", tmp_path / "new").code == 3
    assert run("backup", filled, filled / "inside").code == 2


def test_damage_is_not_restored(run, filled, tmp_path):
    run("backup", filled, tmp_path / "copy.lace")
    path = next(tmp_path.glob("copy.lace/segments/*"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    refused = run("restore", tmp_path / "copy.lace", tmp_path / "back.lace")
    assert refused.code == 3
    assert path.name in refused.err
    assert not (tmp_path / "back.lace").exists()


@pytest.mark.parametrize("name", ["all.jsonl", "all.jsonl.gz", "all.parquet"])
@pytest.mark.parametrize("flags", [[], ["--embeddings"]])
def test_export_and_import(run, filled, tmp_path, name, flags):
    wrote = run("export", filled, name, *flags)
    assert wrote.code == 0
    assert f"2 documents{' in 2 passages' if flags else ''} written to {name}" in wrote.out
    took = run("import", name, "--to", "new.lace")
    assert took.code == 0
    assert "2 added" in took.out
    assert took.err == ""
    again = run("import", name, "--to", "new.lace", "--json").records[0]
    assert (again["unchanged"], again["n_documents"]) == (2, 2)
    with interlace.open(filled) as one, interlace.open("new.lace") as other:
        ids = list(one.ids())
        assert one.get(ids) == other.get(list(other.ids()))


def test_export_in_another_format_than_its_name_says(run, filled, tmp_path):
    told = run("export", filled, "notes.txt", "--format", "jsonl", "--json").records[0]
    assert (told["format"], told["n_documents"], told["commit"]) == ("jsonl", 2, 1)
    assert run("import", "notes.txt", "--format", "jsonl", "--to", "new.lace").code == 0


def test_export_of_some(run, filled, tmp_path):
    assert "1 document written" in run("export", filled, "x.jsonl", "--where", "year >= 2020").out
    assert run("export", filled, "y.jsonl", "--where", "yeer >= 2020").code == 2
    assert not (tmp_path / "y.jsonl").exists()


def test_embeddings_of_no_model_make_a_collection_without_one(run, tmp_path):
    with interlace.create(tmp_path / "own.lace", None, dim=4) as own:
        own.add([{"id": 1, "text": "x"}], embeddings=[[[1, 0, 0, 0.0]]])
    run("export", "own.lace", "own.parquet", "--embeddings")
    assert run("import", "own.parquet", "--to", "new.lace").code == 0
    with interlace.open(tmp_path / "new.lace") as new:
        assert new.info()["model"] is None
        assert new.search(embeddings=[[1, 0, 0, 0.0]])[0].id == 1
    encoded = run("import", "own.parquet", "--to", "encoded.lace", "--model", "mini")
    assert encoded.code == 0
    assert "note: own.parquet has embeddings of no model" in encoded.err.replace("\n", " ")


def test_records_of_others(run, tmp_path):
    (tmp_path / "corpus.jsonl").write_text('{"_id": "a", "title": "Sea", "text": "It is salty."}\n')
    run("import", "corpus.jsonl", "--to", "x.lace", "--text-field", "title", "--text-field", "text")
    with interlace.open("x.lace") as notes:
        assert notes.get(["a"])[0].text == "Sea\nIt is salty."
    (tmp_path / "bad.jsonl").write_text('{"text": "x"}\n{"text": }\n')
    refused = run("import", "bad.jsonl", "--to", "y.lace")
    assert refused.code == 2
    assert "bad.jsonl, line 2" in refused.err
    assert not (tmp_path / "y.lace").exists()


def test_an_export_overwrites_nothing(run, filled, tmp_path):
    (tmp_path / "x.jsonl").write_text("mine")
    assert run("export", filled, "x.jsonl").code == 2
    assert run("export", filled, "x.csv").code == 2
    assert (tmp_path / "x.jsonl").read_text() == "mine"


@pytest.mark.parametrize("place", [(), ("--to", "x.lace")])
def test_what_is_no_export_is_to_be_indexed(run, tmp_path, place):
    (tmp_path / "x.csv").write_text("name,text\nsea,salt water\n")
    ran = run("import", "x.csv", *place)
    assert (ran.code, "interlace index x.csv --to x.lace" in ran.err) == (2, True)
    assert not (tmp_path / "x.lace").exists()


def test_import_without_a_place_names_import(run, tmp_path):
    (tmp_path / "facts.jsonl").write_text('{"text": "one"}\n')
    ran = run("import", "facts.jsonl")
    assert (ran.code, "interlace import facts.jsonl --to facts.lace" in ran.err) == (2, True)


GOLDEN = Path(__file__).parents[2] / "golden" / "indexes"


def test_import_takes_an_index_of_another_tool(run, tmp_path):
    texts = GOLDEN / "collection.tsv"
    index = GOLDEN / "stanford-2"
    took = run("import", index, "--to", "new.lace", "--texts", texts)
    assert (took.code, "38 added" in took.out) == (0, True)
    assert f"{index} was made with mini" in " ".join(took.err.split())
    found = run("search", "new.lace", "posting lists", "--mode", "lexical", "--json").records
    assert found[0]["text"] in texts.read_text(encoding="utf-8")
    again = run("import", index, "--to", "new.lace", "--texts", texts, "--json").records[0]
    assert (again["unchanged"], again["n_documents"]) == (38, 38)


def test_what_does_not_fit_an_index_is_refused_and_leaves_nothing(run, tmp_path):
    index = GOLDEN / "fast-plaid-4"
    narrow = run("import", index, "--to", "new.lace", "--model", "mini")
    assert (narrow.code, "32 dims, the collection of 128" in narrow.err) == (2, True)
    assert not (tmp_path / "new.lace").exists()
    typed = run("import", index, "--to", "new.lace", "--format", "jsonl")
    assert (typed.code, "--format is for a file" in typed.err) == (2, True)
    folder = run("import", GOLDEN, "--to", "new.lace")
    assert (folder.code, "no index of another tool" in folder.err) == (2, True)
    (tmp_path / "facts.jsonl").write_text('{"id": 1, "text": "Salt."}\n')
    texts = run("import", "facts.jsonl", "--to", "new.lace", "--texts", "facts.jsonl")
    assert (texts.code, "--texts is for an index" in texts.err) == (2, True)

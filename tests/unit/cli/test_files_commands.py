"""Backup and restore on the command line."""

from __future__ import annotations

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

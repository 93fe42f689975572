"""Files, dims and bit widths: faults that users met elsewhere (cases.md, kind "format")."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import interlace
from interlace import store
from interlace.errors import CollectionError, NotACollection, SettingsError

RNG = np.random.default_rng(3)


@pytest.mark.parametrize("dim", [48, 64, 96, 100, 127, 128])
@pytest.mark.parametrize("bits", [1, 2, 4])
def test_c52_every_dim_with_every_bit_width(tmp_path, dim, bits):
    given = [RNG.standard_normal((6, dim)).astype(np.float32) for _ in range(40)]
    path = tmp_path / "x.lace"
    with interlace.create(path, model=None, dim=dim, bits=bits) as notes:
        notes.add([{"id": i} for i in range(40)], embeddings=given)
        fresh = [notes.search(embeddings=matrix)[0].id for matrix in given]
        notes.settle()
        settled = [notes.search(embeddings=matrix)[0].id for matrix in given]
    with interlace.open(path) as notes:
        again = [notes.search(embeddings=matrix)[0].id for matrix in given]
        assert notes.info()["n_settled_tokens"] == 240
    assert fresh == settled == again == list(range(40))


@pytest.mark.parametrize("bits", [16, 0, 3, "4", True, 4.0, None])
def test_c53_other_bit_widths_are_refused_before_any_work(tmp_path, bits):
    with pytest.raises(SettingsError, match="Allowed are 1, 2 and 4"):
        interlace.create(tmp_path / "x.lace", "a model that is not looked for", bits=bits)
    assert not (tmp_path / "x.lace").exists()


def test_c59_a_moved_folder_opens_from_anywhere(tmp_path, new_collection, encoder, monkeypatch):
    notes = new_collection("a.lace")
    notes.add([{"id": "x", "text": "The lamp is green."}])
    notes.close()
    (tmp_path / "elsewhere").mkdir()
    shutil.move(tmp_path / "a.lace", tmp_path / "elsewhere" / "b.lace")
    monkeypatch.chdir(tmp_path / "elsewhere")
    with interlace.open("b.lace", encoder) as moved:
        monkeypatch.chdir(tmp_path)
        assert moved.search("green lamp")[0].text == "The lamp is green."
        assert moved.add(["one more"]).added == 1


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root writes anywhere")
def test_c59_a_folder_that_cannot_be_written_can_be_read(notes, encoder):
    notes.add([{"id": "x", "text": "The lamp is green."}])
    notes.close()
    folders = [notes.path, *(path for path in notes.path.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        with interlace.open(notes.path, encoder) as again:
            assert again.search("green lamp")[0].text == "The lamp is green."
            with pytest.raises(CollectionError):
                again.add(["one more"])
    finally:
        for folder in folders:
            folder.chmod(0o755)


def test_c62_a_process_that_ends_without_closing(tmp_path):
    path = tmp_path / "x.lace"
    code = f"""
        import os, numpy, interlace
        notes = interlace.create({str(path)!r}, model=None, dim=4)
        notes.add([{{"id": i, "text": str(i)}} for i in range(3)], embeddings=[numpy.eye(4)] * 3)
        os._exit(0)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
    with interlace.open(path) as notes:
        assert list(notes.ids()) == [0, 1, 2]
        assert notes.verify().ok


def test_a_folder_that_is_no_collection(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(NotACollection, match=r"interlace\.create"):
            interlace.open(path)


def test_an_existing_folder_is_not_overwritten(notes, encoder, tmp_path):
    notes.add(["kept"])
    with pytest.raises(CollectionError, match="there is a collection already"):
        interlace.create(notes.path, encoder)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("years of work")
    with pytest.raises(CollectionError, match=r"holds 'thesis\.tex'"):
        interlace.create(tmp_path / "full", encoder)
    assert len(notes) == 1


def test_a_newer_format_is_refused_with_the_readable_range(notes, encoder):
    import sqlite3

    notes.add(["kept"])
    notes.close()
    with sqlite3.connect(notes.path / "catalog.sqlite") as database:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        assert version == store.FORMAT
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(interlace.errors.FormatTooNew, match="99"):
        interlace.open(notes.path, encoder)


def test_other_weights_are_refused_and_reading_goes_on(notes, encoder):
    notes.add([{"id": "x", "text": "words"}])
    notes.close()

    class Other:
        def encode_query(self, texts):
            return [np.ones((1, encoder.dim), np.float32) for _ in texts]

        encode_document = encode_query

    with interlace.open(notes.path, Other()) as again:
        with pytest.raises(interlace.errors.ModelMismatch, match="other weights or settings"):
            again.search("words")
        with pytest.raises(interlace.errors.ModelMismatch):
            again.add(["new words"])
        assert again.get(["x"])[0].text == "words"
        assert again.delete(["x"]) == 1


def test_opening_loads_no_model(notes):
    notes.add(["words"])
    notes.close()
    code = (
        f"import sys, interlace; notes = interlace.open({str(notes.path)!r});"
        "assert len(notes) == 1 and list(notes.ids()) and notes.info()['dim'];"
        "assert notes.delete(list(notes.ids())) == 1; notes.close();"
        "assert 'onnxruntime' not in sys.modules, 'a model was loaded'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_second_writer_waits_and_then_says_who_writes(notes, encoder):
    with (
        interlace.open(notes.path, encoder, lock_wait_seconds=0.2) as other,
        notes.writer() as changes,
        ThreadPoolExecutor(1) as another,
    ):
        changes.add(["first"])
        started = time.monotonic()
        with pytest.raises(interlace.errors.Locked, match=str(os.getpid())):
            another.submit(other.add, ["second"]).result()
        assert time.monotonic() - started >= 0.2
    with interlace.open(notes.path, encoder) as other:
        assert other.add(["second"]).added == 1
        assert len(other) == 2

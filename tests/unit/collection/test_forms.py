"""One model in several forms: as it was trained, exported, rounded. Another model is refused."""

from __future__ import annotations

import json
import shutil

import parity
import pytest
from safetensors.numpy import load_file, save_file

import interlace
from interlace.errors import ModelMismatch
from interlace.models import Encoder

TEXTS = ["a link", "the sea", "1 2 3"]


@pytest.fixture
def exported(tmp_path):
    """A golden checkpoint's graph as a folder of our own, which says where it comes from."""
    pytest.importorskip("torch", reason="exporting wants the extra torch")
    pytest.importorskip("sentence_transformers", reason="exporting wants the extra torch")

    def export(int8):
        folder = tmp_path / f"graph-{int8}"
        Encoder.export(parity.folder("native-bert"), folder, int8=int8)
        return folder

    return export


def edited(folder, **changes):
    said = json.loads((folder / "interlace.json").read_text(encoding="utf-8"))
    (folder / "interlace.json").write_text(json.dumps(said | changes), encoding="utf-8")
    return folder


@pytest.mark.parametrize("int8", [False, True], ids=["float32", "int8"])
def test_what_was_exported_searches_what_the_original_made(tmp_path, exported, int8):
    original, graph = str(parity.folder("native-bert")), exported(int8)
    for made_by, opened_by in ((original, graph), (graph, original)):
        path = tmp_path / "notes.lace"
        with interlace.create(path, made_by) as notes:
            notes.add(TEXTS)
            assert not notes.search(TEXTS[0]).notes
        with interlace.open(path, opened_by) as notes:
            hits = notes.search(TEXTS[1], mode="late")
            assert hits[0].text == TEXTS[1]
            assert "another form of this model" in hits.notes[0]
            notes.add(["one more"])
            assert len(notes) == 4
        shutil.rmtree(path)


def test_two_exports_of_one_model_go_together(tmp_path, exported):
    with interlace.create(tmp_path / "notes.lace", exported(False)) as notes:
        notes.add(TEXTS)
    with interlace.open(tmp_path / "notes.lace", exported(True)) as notes:
        assert notes.search(TEXTS[2], mode="late")[0].text == TEXTS[2]


@pytest.mark.parametrize("changes", [{"document_length": 20}, {"origin": "0" * 64}])
def test_other_lengths_and_other_origins_are_other_models(tmp_path, exported, changes):
    with interlace.create(tmp_path / "notes.lace", parity.folder("native-bert")) as notes:
        notes.add(TEXTS)
    graph = edited(exported(False), **changes)
    with interlace.open(tmp_path / "notes.lace", graph) as notes, pytest.raises(ModelMismatch):
        notes.search("sky")


@pytest.mark.parametrize("backend", ["mlx", "torch"])
def test_rounded_weights_are_another_form_and_trained_ones_another_model(tmp_path, backend):
    pytest.importorskip({"mlx": "mlx.core", "torch": "sentence_transformers"}[backend])
    folder = tmp_path / "model"
    shutil.copytree(parity.folder("native-bert"), folder)
    with interlace.create(tmp_path / "notes.lace", Encoder.load(folder, backend=backend)) as notes:
        notes.add(TEXTS)
    half = Encoder.load(folder, backend=backend, precision="bfloat16")
    with interlace.open(tmp_path / "notes.lace", half) as notes:
        hits = notes.search(TEXTS[0], mode="late")
        assert hits[0].text == TEXTS[0]
        assert hits.notes
    arrays = load_file(folder / "model.safetensors")
    name = next(name for name in arrays if name.endswith("layer.0.output.dense.weight"))
    arrays[name][0, 0] += 1e-3
    save_file(arrays, folder / "model.safetensors", metadata={"format": "pt"})
    trained = Encoder.load(folder, backend=backend)
    with interlace.open(tmp_path / "notes.lace", trained) as notes, pytest.raises(ModelMismatch):
        notes.search("sky")

"""A model that was trained to be cut: the first coordinates of its rows, of unit length again."""

from __future__ import annotations

import numpy as np
import pytest

import interlace
from interlace.errors import ModelMismatch, SettingsError

TEXTS = ["why is the sky blue", "", "Rayleigh scattering makes it so.", "東京タワー"]


@pytest.fixture
def nested(copy_of_mini):
    """The built-in model, as if it had been trained for narrower rows, too."""
    return copy_of_mini(matryoshka_dims=[64, 32])


def test_rows_are_the_first_coordinates_of_unit_length(nested, encoder):
    narrow = interlace.Encoder.load(nested, dim=32)
    assert (narrow.dim, narrow.dims) == (32, (32, 64, 128))
    for encode in ("encode_query", "encode_document"):
        wide = getattr(encoder, encode)(TEXTS)
        for cut, whole in zip(getattr(narrow, encode)(TEXTS), wide, strict=True):
            assert cut.shape == (len(whole), 32)
            assert cut.dtype == np.float32
            assert cut.flags.c_contiguous
            expected = whole[:, :32] / np.linalg.norm(whole[:, :32], axis=1, keepdims=True)
            np.testing.assert_allclose(cut, expected, atol=1e-6)
    assert narrow.similarity(TEXTS[:1], TEXTS[2:3]).shape == (1, 1)


def test_the_whole_width_is_the_model_as_it_is(nested):
    whole = interlace.Encoder.load(nested)
    assert interlace.Encoder.load(nested, dim=128).fingerprint == whole.fingerprint
    prints = {interlace.Encoder.load(nested, dim=dim).fingerprint for dim in (32, 64, 128)}
    assert len(prints) == 3


@pytest.mark.parametrize("dim", [1, 65, 256, 0, -32, "64", 64.5, True])
def test_a_width_that_it_was_not_trained_for_is_refused(nested, dim):
    with pytest.raises(SettingsError, match="Choose one of 32, 64, 128"):
        interlace.Encoder.load(nested, dim=dim)


def test_a_model_that_names_no_widths_is_not_cut(tmp_path):
    with pytest.raises(SettingsError, match=r"names no others \(matryoshka_dims\)"):
        interlace.Encoder.load("mini", dim=64)
    with pytest.raises(SettingsError, match="matryoshka_dims"):
        interlace.create(tmp_path / "x.lace", dim=64)
    assert not (tmp_path / "x.lace").exists()


def test_a_collection_remembers_its_width(nested, tmp_path):
    path = tmp_path / "narrow.lace"
    with interlace.create(path, nested, dim=64) as made:
        made.add(TEXTS)
        told = [(hit.text, hit.score) for hit in made.search("blue sky")]
        assert (made.info()["dim"], made.info()["model"]["dim"]) == (64, 64)
    with interlace.open(path) as again:
        assert [(hit.text, hit.score) for hit in again.search("blue sky")] == told
        assert again.explain("blue sky", again.search("blue sky")[0]).matches
        assert again.add(TEXTS).unchanged == len(TEXTS)
    with interlace.open(path, nested) as other, pytest.raises(ModelMismatch):
        other.search("blue sky")
    with interlace.open(path, interlace.Encoder.load(nested, dim=64)) as given:
        assert [(hit.text, hit.score) for hit in given.search("blue sky")] == told


def test_the_width_of_an_encoder_is_its_own(nested, tmp_path):
    narrow = interlace.Encoder.load(nested, dim=64)
    with pytest.raises(SettingsError, match="the model's is 64"):
        interlace.create(tmp_path / "x.lace", narrow, dim=32)
    with interlace.create(tmp_path / "x.lace", narrow, dim=64) as made:
        assert made.info()["dim"] == 64


def test_a_rebuild_changes_the_width(nested, tmp_path):
    with interlace.create(tmp_path / "x.lace", nested) as made:
        made.add(TEXTS)
        made.rebuild(dim=64)
        assert made.info()["dim"] == 64
        made.add(["The sea is blue."])
        assert made.search("sea", mode="late")[0].text == "The sea is blue."
        made.rebuild(nested, dim=32)
        assert made.info()["dim"] == 32
        with pytest.raises(SettingsError, match="Choose one of"):
            made.rebuild(dim=33)
        made.rebuild(dim=128)
        assert "dim" not in made.info()["model"]
        assert made.verify().ok
    with interlace.open(tmp_path / "x.lace") as again:
        assert again.search("sea", mode="late")[0].text == "The sea is blue."

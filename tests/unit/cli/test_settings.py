"""Settings: file, then environment, then options; an unknown key is refused."""

from __future__ import annotations

import pytest

from interlace.cli.settings import Settings, load
from interlace.errors import SettingsError


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_each_layer_covers_the_one_before(tmp_path):
    assert load({}) == Settings()
    (tmp_path / "interlace.toml").write_text('k = 3\nmodel = "a"\nbits = 2\n')
    variables = {"INTERLACE_MODEL": "b", "INTERLACE_BITS": "1", "INTERLACE_KERNELS": "avx2"}
    found = load(variables, bits=4, n_threads=None)
    assert (found.k, found.model, found.bits, found.n_threads) == (3, "b", 4, None)


def test_a_named_file(tmp_path):
    (tmp_path / "mine.toml").write_text("lock_wait_seconds = 2\n")
    assert load({"INTERLACE_CONFIG": "mine.toml"}).lock_wait_seconds == 2.0
    with pytest.raises(SettingsError, match=r"cannot read settings: none\.toml"):
        load({"INTERLACE_CONFIG": "none.toml"})


def test_an_unknown_key_names_the_nearest(tmp_path):
    with pytest.raises(SettingsError, match=r"unknown setting 'modell'.*Did you mean 'model'"):
        load({"INTERLACE_MODELL": "mini"})
    (tmp_path / "interlace.toml").write_text("efort = 'fast'\n")
    with pytest.raises(SettingsError, match=r"interlace\.toml.*Did you mean 'effort'"):
        load({})


@pytest.mark.parametrize("line", ["k = 'many'", "model = 3", "lock_wait_seconds = 'x'", "k = = 3"])
def test_a_value_of_the_wrong_type(tmp_path, line):
    (tmp_path / "interlace.toml").write_text(line)
    with pytest.raises(SettingsError, match=r"interlace\.toml"):
        load({})

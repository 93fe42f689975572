"""What a model folder says, and how a wrong one is refused."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from interlace.errors import CheckpointError
from interlace.models.checkpoint import Checkpoint
from interlace.models.formats.own import FILES


def test_the_built_in_model_says_what_it_is(mini_folder):
    checkpoint = Checkpoint.read(mini_folder)
    assert checkpoint.name == "mini"
    assert checkpoint.precision == "int8"
    assert (checkpoint.query_marker, checkpoint.document_marker) == ("", "")
    assert len(checkpoint.fingerprint) == 64


def test_a_checkpoint_is_frozen(mini_folder):
    with pytest.raises(dataclasses.FrozenInstanceError):
        Checkpoint.read(mini_folder).dim = 3


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(copy_of_mini, name):
    folder = copy_of_mini()
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        Checkpoint.read(folder)


@pytest.mark.parametrize("name", FILES)
def test_every_file_counts_for_the_fingerprint(copy_of_mini, mini_folder, name):
    folder = copy_of_mini()
    with (folder / name).open("ab") as file:
        file.write(b"\n")
    assert Checkpoint.read(folder).fingerprint != Checkpoint.read(mini_folder).fingerprint


def test_equal_files_have_equal_fingerprints_wherever_they_are(mini_folder, tmp_path):
    import shutil

    shutil.copytree(mini_folder, tmp_path / "elsewhere")
    copied = Checkpoint.read(tmp_path / "elsewhere")
    assert copied.fingerprint == Checkpoint.read(mini_folder).fingerprint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"documnt_length": 3}, '"documnt_length" is unknown, meant "document_length"'),
        ({"dim": ...}, '"dim" is missing'),
        ({"dim": "128"}, '"dim" must be a whole number'),
        ({"dim": True}, '"dim" must be a whole number'),
        ({"dim": 0}, '"dim" must be at least 1'),
        ({"query_length": -1}, '"query_length" must be at least 1'),
        ({"name": None}, '"name" must be a string'),
        ({"document_skip": "!"}, '"document_skip" must be a list of strings'),
        ({"document_skip": [1]}, '"document_skip" must be a list of strings'),
        ({"query_expansion": "mask"}, '"query_expansion" must be an object'),
        (
            {"query_expansion": {"strategy": "all", "length": 8}},
            '"query_expansion.strategy" must be one of "fixed", "min"',
        ),
        ({"query_expansion": {"strategy": "min"}}, '"query_expansion.length" is missing'),
        ({"query_expansion": {"lenght": 3}}, 'is unknown, meant "length"'),
        ({"query_expansion": {"strategy": "min", "length": 0}}, "must be at least 1"),
        ({"matryoshka_dims": [64, 256]}, '"matryoshka_dims" must be at most 128'),
        ({"matryoshka_dims": [True]}, "must be a list of whole numbers"),
        ({"skip_rule": "some"}, '"skip_rule" must be one of "exact", "known", "unknown"'),
        ({"strip": 1}, '"strip" must be true or false'),
        ({"lowercase": True}, '"lowercase" must be'),
        ({"format": 2}, '"format" must be 1'),
        ({"format": ...}, '"format" must be 1'),
    ],
)
def test_a_wrong_setting_names_file_and_field(copy_of_mini, changes, message):
    folder = copy_of_mini(**changes)
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.read(folder)
    assert message in str(caught.value)
    assert str(folder / "interlace.json") in str(caught.value)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[]", b'"mini"'])
def test_settings_that_are_no_json_object_are_refused(copy_of_mini, content):
    folder = copy_of_mini()
    (folder / "interlace.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"interlace\.json"):
        Checkpoint.read(folder)


def test_a_folder_of_no_known_format_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"architectures": ["BertModel"]}')
    with pytest.raises(CheckpointError, match="no late-interaction model"):
        Checkpoint.read(tmp_path)


def test_reading_a_checkpoint_loads_no_runtime(mini_folder):
    code = (
        "import sys; from pathlib import Path; from interlace.models.checkpoint import Checkpoint\n"
        f"Checkpoint.read(Path({str(mini_folder)!r}))\n"
        "assert not {'onnxruntime', 'huggingface_hub'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_c61_settings_in_force_are_those_of_the_folder(copy_of_mini, mini_folder):
    """What is left out has its documented default; what is given is read and kept."""
    plain = Checkpoint.read(copy_of_mini(query_marker=..., document_marker=..., query_skip=...))
    assert (plain.query_marker, plain.document_marker, plain.query_skip) == ("", "", ())
    assert plain.query_expansion is None
    assert plain.document_skip == Checkpoint.read(mini_folder).document_skip

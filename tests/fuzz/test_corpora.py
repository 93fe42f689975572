"""What fuzzing found, and what it starts from, run again without a fuzzer."""

from __future__ import annotations

import checkpoints
import pytest


@pytest.fixture(scope="module")
def folders():
    return checkpoints.Folders()


@pytest.mark.parametrize("path", sorted(checkpoints.CORPUS.iterdir()), ids=lambda path: path.name)
def test_a_kept_input_is_read_or_refused(folders, path):
    folders.run(path.read_bytes())


def test_the_seeds_are_good_folders(folders):
    for path, content in folders.good.items():
        folders.run(bytes([folders.files.index(path)]) + content)
        assert path.read_bytes() == content

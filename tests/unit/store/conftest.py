"""A store in a folder of its own, closed afterwards."""

from __future__ import annotations

import pytest
import storing

from interlace import store


@pytest.fixture
def folder(tmp_path):
    """Where the store of the test is."""
    return tmp_path / "notes.lace"


@pytest.fixture
def opened(folder):
    """An empty store that settles after a few dozen documents."""
    with store.create(folder, storing.settings()) as made:
        yield made

"""The built-in model's folder, and copies of it with other settings."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def mini_folder() -> Path:
    """Where the built-in model's files are."""
    with resources.as_file(resources.files("interlace.models") / "mini") as folder:
        return folder


@pytest.fixture
def copy_of_mini(mini_folder, tmp_path) -> Callable[..., Path]:
    """A copy of the built-in model; keywords replace settings, ``...`` removes one."""

    def copy(**changes: Any) -> Path:
        folder = tmp_path / "model"
        shutil.copytree(mini_folder, folder)
        if not changes:
            return folder
        path = folder / "interlace.json"
        settings = json.loads(path.read_text(encoding="utf-8")) | changes
        kept = {name: value for name, value in settings.items() if value is not ...}
        path.write_text(json.dumps(kept), encoding="utf-8")
        return folder

    return copy

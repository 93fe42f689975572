"""The version: written into files, so known on the lowest floor; pyproject.toml has the same."""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.1.0.dev0"

"""Optional packages: imported on use, with an error that says what to install."""

from __future__ import annotations

import importlib
from types import ModuleType

from interlace.errors import MissingExtra


def need(module: str, *, extra: str) -> ModuleType:
    """Import an optional package.

    Raises
    ------
    MissingExtra
        When the package, or one that it needs, is not there. The true cause stays attached.
    """
    try:
        return importlib.import_module(module)
    except ImportError as cause:
        raise MissingExtra(
            f"{module} cannot be imported ({cause}): needed for this feature. "
            f"Install it with: pip install 'interlace[{extra}]'"
        ) from cause

"""What the public functions ask of their arguments, refused before anything is done."""

from __future__ import annotations

import numpy as np

from interlace.errors import InputError


def check_iterable(values: object, name: str) -> None:
    """Refuse what cannot be gone through, before anything is done."""
    if not hasattr(values, "__iter__") and not hasattr(values, "__getitem__"):
        raise InputError(
            f"{name} must be a list or another iterable, not {type(values).__name__}. "
            "Pass one item for each."
        )


def check_k(k: object) -> None:
    """Refuse what is no number of hits."""
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise InputError(f"k is {k!r}. It must be a whole number, at least 1.")

"""How a token embedding becomes a few dozen bytes, and back. Arrays in, arrays out; no files.

Source: docs/explanation/codec.md.
"""

from __future__ import annotations

from typing import Final

from interlace.codec.checking import Fault, faults
from interlace.codec.clustering import Tokens
from interlace.codec.residual import DTYPES, Coded, Generation, Rows, rotation_signs
from interlace.errors import SettingsError
from interlace.kernels import Kernels
from interlace.progress import Progress, silent

__all__ = [
    "DTYPES",
    "NAMES",
    "Coded",
    "Fault",
    "Generation",
    "Rows",
    "Tokens",
    "check_name",
    "faults",
    "rotation_signs",
    "train",
]

#: Registered codecs: the stored name and the bits a coordinate that it spends.
NAMES: Final = {"residual1": 1, "residual2": 2, "residual4": 4}


def check_name(name: str) -> str:
    """Return ``name`` when it is a registered codec.

    Raises
    ------
    SettingsError
        Otherwise; the message lists the names.
    """
    if name not in NAMES:
        raise SettingsError(f"unknown codec: {name!r}. Choose one of {', '.join(NAMES)}.")
    return name


def train(
    name: str,
    tokens: Tokens,
    *,
    n_tokens: int,
    kernels: Kernels,
    n_threads: int = 1,
    progress: Progress = silent,
) -> Generation:
    """Train a codec on a sample.

    Parameters
    ----------
    tokens : Tokens
        Whole passages, drawn uniformly, in insertion order.
    n_tokens : int
        How many tokens the sample stands for: it sets the number of centroids.

    Raises
    ------
    SettingsError
        When no codec has that name.
    """
    bits = NAMES[check_name(name)]
    return Generation.train(
        bits, tokens, n_tokens=n_tokens, kernels=kernels, n_threads=n_threads, progress=progress
    )

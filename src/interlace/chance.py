"""Seeded numbers that every machine and library version draws the same."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def draws(n: int, seed: int) -> npt.NDArray[np.uint64]:
    """``(n,)`` uint64, uniform over all 64 bits, by splitmix64."""
    with np.errstate(over="ignore"):
        z = np.arange(1, n + 1, dtype=np.uint64) + np.uint64(seed % 2**64) * np.uint64(2**32)
        z *= np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))

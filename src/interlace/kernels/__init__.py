"""The hot functions of one machine, behind one door."""

from __future__ import annotations

from interlace.kernels.api import (
    BLOCK,
    NO_LEAF,
    CodecArrays,
    FreshArrays,
    Handle,
    Kernels,
    Probe,
    Quantised,
    Residuals,
    SettledArrays,
)
from interlace.kernels.reference import pack, packed_width, rotate, unpack, unrotate


def table(name: str | None = None) -> Kernels:
    """The fastest kernels that this machine can run."""
    from interlace.kernels import reference

    return reference


__all__ = [
    "BLOCK",
    "NO_LEAF",
    "CodecArrays",
    "FreshArrays",
    "Handle",
    "Kernels",
    "Probe",
    "Quantised",
    "Residuals",
    "SettledArrays",
    "pack",
    "packed_width",
    "rotate",
    "table",
    "unpack",
    "unrotate",
]

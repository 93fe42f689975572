"""The hot functions of one machine, behind one door.

``table()`` is the fastest kernel table that this machine can run; ``INTERLACE_KERNELS`` forces one
by name (``available()`` lists them). Every table returns the same bytes. ``torch`` and ``mlx`` are
never chosen by themselves: they search on a device, where floats may differ in their last digits.
"""

from __future__ import annotations

import os
import warnings
from functools import cache

from interlace.errors import SettingsError
from interlace.kernels import reference
from interlace.kernels.api import (
    CENTROID_DEVIATION,
    GAPS,
    NO_LEAF,
    SEEN,
    CodecArrays,
    FreshArrays,
    Handle,
    Kernels,
    Probe,
    Quantised,
    Ranked,
    Residuals,
    SettledArrays,
)
from interlace.kernels.reference import (
    centroid_length,
    joined,
    levels_taken,
    packed_width,
    residuals,
    rotate,
    trellised,
    unpack,
    unrotate,
)

_NAMES = ("avx512vnni", "avx2", "neon", "portable", "reference")


@cache
def available() -> tuple[str, ...]:
    """Names of the kernel tables that this machine can run, fastest first.

    Where the C++ core is missing that is ``("reference",)`` alone, and the first call warns.
    """
    try:
        from interlace.kernels import native
    except ImportError as error:
        warnings.warn(
            f"the C++ kernels are missing: {error}. Searches and builds give the same results but "
            "take tens of times longer. Install a C++20 compiler and reinstall interlace, or "
            "install a wheel made for this platform.",
            RuntimeWarning,
            stacklevel=2,
        )
        return ("reference",)
    return (*native.NAMES, "reference")


def table(name: str | None = None) -> Kernels:
    """Return a kernel table: by default the one that INTERLACE_KERNELS names, else the fastest.

    Parameters
    ----------
    name : str, optional
        One of ``available()``; or ``"torch:"`` or ``"mlx:"`` and a device, which may be left out
        with its colon for the best.

    Raises
    ------
    SettingsError
        There is no such table, or this machine cannot run it.
    MissingExtra
        When PyTorch or MLX is asked for and not installed.
    """
    return _chosen() if name is None else _load(name)


def on(device: str) -> Kernels:
    """Return what searches on a device: ``table()`` on ``"cpu"``, elsewhere MLX's or PyTorch's.

    Raises
    ------
    SettingsError
        There is no such device.
    MissingExtra
        It wants PyTorch or MLX, which is not installed.
    """
    if device == "cpu":
        return table()
    return table(device if device.partition(":")[0] == "mlx" else f"torch:{device}")


@cache
def _chosen() -> Kernels:
    return _load(os.environ.get("INTERLACE_KERNELS") or available()[0])


@cache
def _load(name: str) -> Kernels:
    if name == "reference":
        return reference
    kind, _, device = name.partition(":")
    if kind == "torch":
        from interlace.kernels.torch import Torch

        return Torch(device, _load(available()[0]))
    if kind == "mlx":
        from interlace.kernels.mlx import Mlx

        return Mlx(device, _load(available()[0]))
    if name not in available():
        fault = "cannot run on this machine" if name in _NAMES else "are not known"
        raise SettingsError(
            f"kernels {fault}: {name!r}. Choose from {', '.join(available())}, torch, mlx "
            "(the environment variable INTERLACE_KERNELS, or the argument of kernels.table)."
        )
    from interlace.kernels.native import Native

    return Native(name)


__all__ = [
    "CENTROID_DEVIATION",
    "GAPS",
    "NO_LEAF",
    "SEEN",
    "CodecArrays",
    "FreshArrays",
    "Handle",
    "Kernels",
    "Probe",
    "Quantised",
    "Ranked",
    "Residuals",
    "SettledArrays",
    "available",
    "centroid_length",
    "joined",
    "levels_taken",
    "on",
    "packed_width",
    "residuals",
    "rotate",
    "table",
    "trellised",
    "unpack",
    "unrotate",
]

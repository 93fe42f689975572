"""What a collection's searches reach, what of it is to be had for less, and where it is lost."""

from __future__ import annotations

from interlace.evaluate.diagnosis import Diagnosis, Losses, diagnose
from interlace.evaluate.tuning import Measured, TuneReport, tune, untune

__all__ = [
    "Diagnosis",
    "Losses",
    "Measured",
    "TuneReport",
    "diagnose",
    "tune",
    "untune",
]

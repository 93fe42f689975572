"""Models: texts in, matrices out, one unit vector a token."""

from __future__ import annotations

from interlace.models.encoder import Encoder
from interlace.models.export import ModelReport
from interlace.models.judging import Comparison

__all__ = ["Comparison", "Encoder", "ModelReport"]

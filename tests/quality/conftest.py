"""The shared collections as the benchmarks read and encode them, kept under build/ in between."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

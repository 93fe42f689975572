"""The levels of residual codes: what a unit Gaussian is rounded to by a trellis of four states.

    python benchmarks/levels.py

Lloyd's method, with the trellis in place of cuts: code many Gaussian vectors, move each level to
the mean of what took it, again and again. Prints the upper half of the levels in codec/residual.py
(the lower mirrors it), beside each number of bits the mean squared error that is left, what Lloyd
and Max (1960) leave, and what no code can fall below (4 to the power of minus the bits). One JSON
line.
"""

from __future__ import annotations

import argparse
from statistics import NormalDist

import numpy as np
from measure import record

from interlace import kernels

ROWS, STEPS, ROUNDS = 4_000, 128, 60
LLOYD = {1: 0.3634, 2: 0.1175, 4: 0.009497}


def trained(bits: int) -> tuple[np.ndarray, float]:
    """Levels, ascending, and the error that they leave."""
    x = np.random.default_rng(bits).standard_normal((ROWS, STEPS)).astype(np.float32)
    n = 2 << bits
    wide = NormalDist(0, 3**0.5)  # how densely levels lie that leave the least error
    levels = np.array([wide.inv_cdf((i + 0.5) / n) for i in range(n)], np.float32)
    for _ in range(ROUNDS):
        taken = kernels.levels_taken(kernels.trellised(x, np.tile(levels, (ROWS, 1))))
        error = float(np.square(x - levels[taken]).mean())
        sums = np.bincount(taken.ravel(), x.ravel(), n)
        means = sums / np.maximum(np.bincount(taken.ravel(), minlength=n), 1)
        levels = ((means - means[::-1]) / 2).astype(np.float32)
    return levels, error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dry", action="store_true", help="print, and record nothing")
    args = parser.parse_args()
    found = {}
    for bits in (1, 2, 4):
        levels, error = trained(bits)
        found[bits] = {
            "levels": [round(float(level), 4) for level in levels[len(levels) // 2 :]],
            "error": round(error, 5),
            "lloyd": LLOYD[bits],
            "bound": 4.0**-bits,
        }
    for bits, figures in found.items():
        print(bits, figures)
    if not args.dry:
        record("levels", bits=found)


if __name__ == "__main__":
    main()

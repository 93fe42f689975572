"""Faults of all kinds with random seeds: ``python tests/fault --minutes 60``.

Each suite gets an equal share of the time. The seed is printed first; ``--seed`` repeats a run, as
far as moments can be repeated. Ends with status 0 when everything was survived.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "fault")]

import cutting  # noqa: E402 (found there)
import disk  # noqa: E402
import failing  # noqa: E402
import killing  # noqa: E402
import machines  # noqa: E402
import soaking  # noqa: E402

SUITES = {
    "kills": killing.run,
    "failing calls": failing.run,
    "power cuts": cutting.run,
    "soak": soaking.run,
    "random operations": machines.run,
}


def main() -> int:
    """Run the suites one after another."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60, help="for all suites together")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    parser.add_argument("suites", nargs="*", help=f"some of: {', '.join(SUITES)} (default: all)")
    options = parser.parse_args()
    unknown = set(options.suites) - set(SUITES)
    if unknown or disk.reason():
        parser.error(f"unknown: {unknown}" if unknown else disk.reason())
    suites = options.suites or list(SUITES)
    print(f"seed {options.seed}: {options.minutes:g} minutes", flush=True)
    for name in suites:
        started = time.monotonic()
        print(f"{name}: begins", flush=True)
        outcomes = SUITES[name](options.seed, seconds=60 * options.minutes / len(suites))
        counts = ", ".join(f"{what} {n:,}" for what, n in outcomes.most_common())
        print(f"{name}: survived {time.monotonic() - started:.0f} s: {counts}", flush=True)
    print(f"seed {options.seed}: all survived", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

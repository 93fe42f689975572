"""How many instructions each kernel takes, beside the last run: what a busy machine cannot blur.

    PYTHONPATH=src python benchmarks/instructions.py

Instructions a token (of a probe: a cell) of `check count` and `check_encoder count`, under
valgrind's callgrind, which knows no AVX-512. All numbers of bits together, one thread, one call
each: the same program has the same counts. Fewer instructions are not always less time.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path

from measure import RESULTS, record

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build/instructions"
# Two patterns for one function, since callgrind takes one option for each.
COUNTING = ("--toggle-collect=*::counted*", "--dump-after=*counted(*")

Figures = dict[str, dict[str, float]]  # of each kernel, of each table


def build() -> str:
    """Make the programs; the name of their compiler."""
    subprocess.run(["cmake", "-S", ROOT, "-B", BUILD, "-DINTERLACE_CHECK=ON"], check=True)
    subprocess.run(["cmake", "--build", BUILD], check=True)
    cache = (BUILD / "CMakeCache.txt").read_text()
    (compiler,) = re.findall(r"^CMAKE_CXX_COMPILER:\w+=(.*)$", cache, re.MULTILINE)
    return subprocess.check_output([compiler, "--version"], text=True).splitlines()[0]


def count(program: str) -> Figures:
    """Run a program, which prints a line for each call; callgrind writes a file for each."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "counts"
        command = ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={out}"]
        command += [*COUNTING, str(BUILD / program), "count"]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        instructions: dict[tuple[str, str], int] = defaultdict(int)
        amounts: dict[tuple[str, str], int] = defaultdict(int)
        for part, line in enumerate(printed.splitlines(), 1):
            table, kernel, amount = line.split(",")
            totals = re.search(r"^totals: (\d+)", Path(f"{out}.{part}").read_text(), re.MULTILINE)
            assert totals, line
            instructions[kernel, table] += int(totals[1])
            amounts[kernel, table] += int(amount)
    figures: Figures = defaultdict(dict)
    for (kernel, table), n in instructions.items():
        if kernel in ("walk", "interact", "refine"):  # they begin with a probe
            n -= instructions["probe", table]
        figures[kernel][table] = round(n / amounts[kernel, table], 2)
    return figures


def main() -> None:
    compiler = build()
    figures = count("check") | count("check_encoder")
    results = RESULTS / "instructions.jsonl"
    last = json.loads(results.read_text().splitlines()[-1]) if results.exists() else None
    record("instructions", compiler=compiler, figures=figures)
    if last is None:
        return
    print(f"\ntimes the instructions of {last['date']} with {last['compiler']}:")
    for kernel, tables in figures.items():
        before = last["figures"].get(kernel, {})
        ratios = [f"{t} {n / before[t]:.4f}" for t, n in tables.items() if t in before]
        print(f"{kernel:>14}  {'  '.join(ratios) or 'new'}")


if __name__ == "__main__":
    main()

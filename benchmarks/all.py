"""Run every benchmark that the README's figures come from, then write them there.

    python benchmarks/all.py --data ../shared/data

One thread is pinned to the first core where the system can pin. The peers' environments are made
beforehand, and of their indexes what is there is measured: see README.md beside this.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PINNED = ["taskset", "-c", "0"] if shutil.which("taskset") else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--minilm", help="folder of MiniLM's weights, for the baselines")
    parser.add_argument("--torch", help="Python that has interlace's requirements and its torch")
    parser.add_argument("--openvino", help="Python that has OpenVINO")
    args = parser.parse_args()
    data = ["--data", args.data]
    minilm = ["--minilm", args.minilm] if args.minilm else []
    openvino = ["--openvino", args.openvino] if args.openvino else []
    ways = [*data, *minilm, "--torch", args.torch, *openvino]
    for script, arguments, before in (
        ("encoder.py", data, []),
        *([("models.py", ways, [])] if args.torch and args.minilm else []),
        ("codec.py", data, []),
        ("xtr.py", data, []),
        ("anisotropic.py", data, []),
        ("kernels.py", [], PINNED),
        ("quality.py", [*data, "--encode-only"], []),
        ("fairness.py", data, []),
        ("growth.py", data, []),
        ("scale.py", [], []),
        ("filters.py", [], PINNED),
        ("copies.py", [], PINNED),
        ("verifying.py", [], PINNED),
        ("quality.py", data, PINNED),
        ("baselines.py", [*data, *minilm], []),
        ("product.py", data, []),
        ("pooling.py", data, []),
        ("tuning.py", data, PINNED),
        ("text_to_hits.py", data, []),
        ("hybrid.py", data, []),
        ("few.py", data, []),
        ("messy.py", data, []),
        ("splitting.py", data, PINNED),
        ("reading.py", data, []),
        ("footprint.py", [], []),
        ("first_result.py", [], []),
        ("rerank.py", data, []),
        ("building.py", data, []),
        ("pareto.py", data, []),
        ("report.py", [], []),
    ):
        subprocess.run([*before, sys.executable, str(HERE / script), *arguments], check=True)


if __name__ == "__main__":
    main()

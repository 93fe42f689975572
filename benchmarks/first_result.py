"""From `git clone` to the first result: a fresh clone, a fresh environment, `make demo`.

    python benchmarks/first_result.py

Packages come from pip's usual index and cache; the wheel's size is measured as well.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import record

HERE = Path(__file__).resolve().parent.parent


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder, "interlace")
        start = time.perf_counter()
        subprocess.run(["git", "clone", "--quiet", str(HERE), str(clone)], check=True)
        cloned = time.perf_counter()
        subprocess.run(["make", ".venv/.installed"], cwd=clone, check=True, stdout=sys.stderr)
        installed = time.perf_counter()
        subprocess.run(["make", "demo"], cwd=clone, check=True, stdout=sys.stderr)
        shown = time.perf_counter()
        site = next(clone.glob(".venv/lib/python*/site-packages"))
        subprocess.run(
            [".venv/bin/python", "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", "dist", "."],
            cwd=clone,
            check=True,
        )
        wheel = next(clone.glob("dist/*.whl"))
        record(
            "first_result",
            clone_s=round(cloned - start, 1),
            install_s=round(installed - cloned, 1),
            demo_s=round(shown - installed, 1),
            total_s=round(shown - start, 1),
            wheel_mb=round(wheel.stat().st_size / 2**20, 1),
            environment_mb=round(
                sum(f.stat().st_size for f in site.rglob("*") if f.is_file()) / 2**20
            ),
        )


if __name__ == "__main__":
    main()

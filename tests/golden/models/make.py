"""Make everything in this folder anew: bases, checkpoints, graphs, references, the docs' table.

    python make.py ENVIRONMENTS

ENVIRONMENTS is a folder with three virtual environments, ``colbert``, ``pylate`` and ``st``; the
README beside this file says how they are made. This script itself needs numpy.

Weights and vocabularies come from fixed seeds, so only what newer packages do otherwise changes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[2] / "docs" / "explanation" / "checkpoints.md"
sys.path.append(str(HERE.parents[1]))

import parity  # noqa: E402


def run(environment: Path, script: str, *arguments: str | Path) -> None:
    """One script in one environment: offline, on one thread, in the same order each time."""
    print(script, *arguments, flush=True)
    settings = {
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        "PYTHONHASHSEED": "0",
    }
    subprocess.run(
        [environment / "bin" / "python", HERE / script, *arguments],
        check=True,
        env=os.environ | settings,
    )


def main(environments: Path) -> None:
    colbert, pylate, st = (environments / name for name in ("colbert", "pylate", "st"))
    with tempfile.TemporaryDirectory() as made:
        bases, checkpoints, reference = (
            Path(made, n) for n in ("bases", "checkpoints", "reference")
        )
        reference.mkdir()
        run(st, "bases.py", bases)
        run(colbert, "checkpoints.py", "stanford", bases, checkpoints)
        run(pylate, "checkpoints.py", "pylate", bases, checkpoints)
        run(st, "checkpoints.py", "native", bases, checkpoints)
        run(st, "graphs.py", checkpoints)
        run(colbert, "reference.py", "colbert-ai", checkpoints, reference)
        run(pylate, "reference.py", "pylate", checkpoints, reference)
        run(st, "reference.py", "sentence-transformers", checkpoints, reference)
        for old in ("checkpoints", "large", "reference"):
            shutil.rmtree(HERE / old, ignore_errors=True)
        for folder in checkpoints.iterdir():
            shutil.copytree(folder, parity.folder(folder.name))
        parity.REFERENCE.mkdir()
        for path in sorted(reference.iterdir()):
            keep(path)
    write_table()


def keep(path: Path) -> None:
    """Store what a package made; of one that is not the maker, how far its vectors are away."""
    if path.suffix == ".json":
        shutil.copy(path, parity.REFERENCE)
        return
    name, package = path.stem.split(".")
    with np.load(path) as file:
        arrays = dict(file)
    for role in parity.ROLES if package != parity.maker(name) else ():
        del arrays[f"{role}.embeddings"]
        arrays[f"{role}.distance"] = distances(name, package, role, path.parent)
    np.savez_compressed(parity.REFERENCE / path.name, **arrays)


def distances(name: str, package: str, role: str, where: Path) -> np.ndarray:
    """The largest difference of a coordinate from the maker's, where the rows are the same tokens.

    Returns
    -------
    (n_texts,) float32
    """
    makers = parity.read(name, parity.maker(name), role, where)
    found = []
    for text, theirs in parity.read(name, package, role, where).items():
        ours = makers[text]
        same = parity.differs(ours, theirs) is None
        found.append(np.abs(ours.embeddings - theirs.embeddings).max(initial=0) if same else 0)
    return np.array(found, np.float32)


def write_table() -> None:
    """Put the table of disagreements into its page."""
    head, _, rest = PAGE.read_text(encoding="utf-8").partition("| checkpoint |")
    tail = rest.partition("\n\n")[2]
    PAGE.write_text(f"{head}{parity.table()}\n{tail}", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())

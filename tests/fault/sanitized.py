"""The suite of damage with kernels under the address and undefined-behaviour sanitizers.

    python tests/fault/sanitized.py build/asan [-k …]

runs ``test_flips.py`` in a child with the sanitizers loaded before Python; a report ends it with
exit code 1. As a pytest plugin (``-p sanitized``) it puts the sanitized extension in place, and
every array of a file into memory of its own: the sanitizer knows the ends of what was allocated,
and nothing of the ends of arrays in a mapped file.
"""

from __future__ import annotations

import importlib.util
import os
import random
import subprocess
import sys
from pathlib import Path

FAULT = Path(__file__).resolve().parent
BUILD = "INTERLACE_SANITIZED"


def main(build: str, *arguments: str) -> int:
    """Run the suite in a child; its exit code."""
    seed = os.environ.setdefault("INTERLACE_SEED", str(random.randrange(2**31)))
    print(f"INTERLACE_SEED={seed}", flush=True)
    environment = {
        **os.environ,
        BUILD: str(Path(build).resolve()),
        "PYTHONPATH": os.pathsep.join(
            [str(FAULT), str(FAULT.parents[1] / "src"), os.environ.get("PYTHONPATH", "")]
        ),
        "PYTHONMALLOC": "malloc",
        # The sanitizer looks up what throws exceptions when it starts, so that must be there too.
        "LD_PRELOAD": " ".join(map(_runtime, ("libasan.so", "libstdc++.so"))),
        "ASAN_OPTIONS": "detect_leaks=0:halt_on_error=1:exitcode=1",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    }
    command = [
        sys.executable, "-m", "pytest", "-p", "sanitized", "-p", "no:cacheprovider",
        str(FAULT / "test_flips.py"), *arguments,
    ]  # fmt: skip
    return subprocess.run(command, env=environment, check=False).returncode


def _runtime(name: str) -> str:
    compiler = os.environ.get("CXX", "g++")
    command = [compiler, f"-print-file-name={name}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _load_extension(build: Path) -> None:
    """Let ``interlace.kernels`` find the sanitized extension where it looks for its own."""
    (path,) = build.glob("_native*.so")
    spec = importlib.util.spec_from_file_location("interlace.kernels._native", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)


def _own_memory() -> None:
    """Copy each array of a file, so that what lies beyond it is poisoned."""
    from interlace import files

    mapped = files.open_arrays

    def copied(path, expected=None):
        arrays, manifest = mapped(path, expected)
        arrays = {name: array.copy() for name, array in arrays.items()}
        for array in arrays.values():
            array.flags.writeable = False
        return arrays, manifest

    rows = files.open_rows
    files.open_arrays = copied
    files.open_rows = lambda path, n_bytes: rows(path, n_bytes).copy()


if BUILD in os.environ and __name__ != "__main__":
    _load_extension(Path(os.environ[BUILD]))
    _own_memory()

if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

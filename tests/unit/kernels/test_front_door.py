"""Choosing a kernel table: by default, by name, by environment, and without the C++ core."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from interlace import kernels
from interlace.errors import SettingsError


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run in a fresh interpreter, because tables are chosen once a process."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_default_is_the_fastest_available() -> None:
    done = run(
        "from interlace import kernels; print(kernels.table().name == kernels.available()[0])",
        INTERLACE_KERNELS="",
    )
    assert done.stdout.strip() == "True"


def test_a_table_is_made_once() -> None:
    for name in kernels.available():
        assert kernels.table(name) is kernels.table(name)
        assert kernels.table(name).name == name


@pytest.mark.parametrize("name", kernels.available())
def test_the_environment_forces_a_table(name: str) -> None:
    done = run("from interlace import kernels; print(kernels.table().name)", INTERLACE_KERNELS=name)
    assert done.stdout.strip() == name
    assert done.stderr == ""


def test_an_unknown_name_is_refused_with_the_names_that_work() -> None:
    with pytest.raises(SettingsError, match="not known: 'sse9'") as caught:
        kernels.table("sse9")
    for name in kernels.available():
        assert name in str(caught.value)


def test_an_unknown_name_in_the_environment_is_refused() -> None:
    done = run("from interlace import kernels; kernels.table()", INTERLACE_KERNELS="sse9")
    assert "SettingsError: kernels are not known: 'sse9'" in done.stderr


HIDE_NATIVE = """
import sys, warnings
sys.modules["interlace.kernels._native"] = None
warnings.simplefilter("always")
from interlace import kernels
"""


def test_without_the_cpp_core_one_warning_and_the_twin() -> None:
    done = run(
        HIDE_NATIVE
        + "print(kernels.available(), kernels.table().name, kernels.table().name)"
        + "\ntry: kernels.table('avx2')\nexcept ValueError as error: print(error)",
        INTERLACE_KERNELS="",
    )
    assert done.stderr.count("RuntimeWarning: the C++ kernels are missing") == 1
    assert "same results" in done.stderr
    first, second = done.stdout.splitlines()
    assert first == "('reference',) reference reference"
    assert "cannot run on this machine: 'avx2'. Choose from reference" in second


def test_asking_for_the_twin_does_not_look_for_the_cpp_core() -> None:
    done = run(HIDE_NATIVE + "print(kernels.table().name)", INTERLACE_KERNELS="reference")
    assert (done.stdout.strip(), done.stderr) == ("reference", "")


def test_importing_the_kernels_loads_no_extension() -> None:
    done = run("import sys, interlace.kernels; print('interlace.kernels._native' in sys.modules)")
    assert done.stdout.strip() == "False"

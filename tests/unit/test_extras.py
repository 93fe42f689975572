"""Cases C65: what is not installed and what is broken are two things, each with its remedy."""

from __future__ import annotations

import sys

import pytest

from interlace import extras
from interlace.errors import MissingExtra


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Write modules to import; forget them afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(extras, "_broken", {})
    monkeypatch.setattr(sys, "modules", sys.modules.copy())

    def write(name: str, source: str) -> None:
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")

    return write


def message(module: str) -> str:
    with pytest.raises(MissingExtra) as caught:
        extras.need(module, extra="documents")
    return str(caught.value)


def test_a_package_that_is_there_is_imported(package):
    package("sound", "answer = 42")
    assert extras.need("sound", extra="documents").answer == 42


@pytest.mark.parametrize("module", ["not_there", "not_there.inside"])
def test_a_package_that_is_not_there_is_to_be_installed(package, module):
    assert message(module) == (
        "not_there is not installed: it comes with the extra 'documents'. "
        "Install it with: pip install 'interlace[documents]'"
    )


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("import nothing_of_this_name", "No module named 'nothing_of_this_name'"),
        ("raise OSError('libfoo.so.7: cannot open')", "libfoo.so.7: cannot open"),
        ("raise RuntimeError", "RuntimeError"),
        ("def", "invalid syntax"),
        (
            "try:\n    import nothing_of_this_name\n"
            "except ImportError:\n    raise RuntimeError('cannot start')",
            "No module named 'nothing_of_this_name'",
        ),
        (
            "try:\n    1 / 0\nexcept ArithmeticError as e:\n    raise ImportError('no') from e",
            "division by zero",
        ),
        (
            "try:\n    1 / 0\nexcept ArithmeticError:\n    raise ImportError('plainly') from None",
            "plainly",
        ),
    ],
)
def test_c65_a_broken_package_shows_its_first_cause(package, source, cause):
    package("cracked", source)
    said = message("cracked")
    assert said.startswith(f"cracked is installed but broken ({cause}")
    assert "not installed" not in said
    assert said.endswith("pip install --force-reinstall 'interlace[documents]'")


def test_c65_the_first_cause_is_told_each_time(package):
    """Half a package stays in memory, and its second import fails in another way."""
    package("halfway", "raise ImportError('the true cause')")
    package("wrapper", "import sys, halfway")
    first = message("wrapper")
    package("wrapper", "raise ImportError('cannot be loaded twice')")
    assert message("wrapper") == first
    assert "the true cause" in first


def test_an_interruption_is_not_a_broken_package(package):
    package("slow", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        extras.need("slow", extra="documents")

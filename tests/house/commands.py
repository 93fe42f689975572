"""What commands say of themselves."""

from __future__ import annotations

from functools import cache

from typer.testing import CliRunner

from interlace.cli.app import app


@cache
def help_of(*command: str) -> str:
    """What the help of a command says, or that of all, on a wide terminal."""
    asked = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200"})
    assert asked.exit_code == 0, command
    return asked.output

"""The command line: one file a command, each one call that a Python user could make."""

from __future__ import annotations


def main() -> None:
    """Run the command that the arguments name."""
    from interlace.cli.app import app

    app()

"""The command line: one file a command, each one call that a Python user could make."""

from __future__ import annotations


def main() -> None:
    """Run the command that the arguments name."""
    import sys

    from interlace.cli.app import app

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that lacks a letter shows another
    app()

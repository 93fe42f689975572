"""Which commands there are, and what an error looks like: one message and an exit code."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from interlace.cli import compact, demo, encode, explain, index, info, rerank, search, verify
from interlace.cli.output import complain
from interlace.errors import (
    CheckpointError,
    CollectionError,
    InputError,
    InterlaceError,
    MissingExtra,
    RemoteError,
    SettingsError,
)

EXIT_CODES: Final = """Exit codes: 0 done · 1 verify found damage · 2 wrong usage, setting
or input · 3 the collection cannot be used · 4 the model cannot be used · 130 interrupted.

Settings come from interlace.toml (or the file that INTERLACE_CONFIG names), then from variables
such as INTERLACE_MODEL, then from options."""

_CODES: Final[tuple[tuple[type[InterlaceError], int], ...]] = (
    (InputError, 2),
    (SettingsError, 2),
    (CollectionError, 3),
    (CheckpointError, 4),
    (RemoteError, 4),
    (MissingExtra, 4),
)


class Commands(TyperGroup):
    """Turns our errors into one message and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except (InterlaceError, OSError) as error:
            if ctx.params.get("debug") or isinstance(error, BrokenPipeError):
                raise
            complain(error)
            raise typer.Exit(exit_code(error)) from None


def exit_code(error: Exception) -> int:
    """Return the documented exit code of an error."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return 3


app = typer.Typer(
    name="interlace",
    cls=Commands,
    help="Late-interaction search: index documents, find and explain passages.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from interlace import __version__

        typer.echo(f"interlace {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Take the options that stand before the command."""


for module in (index, search, explain, rerank, encode, info, verify, compact, demo):
    app.command(module.__name__.rpartition(".")[2])(module.command)

"""Which commands there are, and what an error looks like: one message and an exit code."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from interlace.cli import (
    backup,
    compact,
    delete,
    demo,
    diagnose,
    encode,
    explain,
    export,
    forget,
    import_,
    index,
    info,
    mcp,
    places,
    rebuild,
    repair,
    rerank,
    restore,
    search,
    serve,
    sources,
    tune,
    update,
    verify,
)
from interlace.cli.output import complain, waits_told
from interlace.errors import (
    CheckpointError,
    CollectionError,
    InputError,
    InterlaceError,
    MissingExtra,
    RemoteError,
    SettingsError,
)

_HELP: Final = (
    "Search your own documents by meaning: index files, find passages, see why.\n\n"
    "Begin with:  interlace index docs/ --to my.lace\n\n"
    "Then ask:  interlace search my.lace"
)

EXIT_CODES: Final = (
    "Exit codes: 0 done · 1 verify or repair leaves damage · 2 wrong usage, setting or input · "
    "3 the collection cannot be used · 4 the model or a package cannot be used · "
    "130 interrupted.\n\n"
    "Settings come from interlace.toml (or the file that INTERLACE_CONFIG names), then from "
    "variables such as INTERLACE_MODEL, then from options."
)

_CODES: Final[tuple[tuple[type[InterlaceError], int], ...]] = (
    (InputError, 2),
    (SettingsError, 2),
    (CollectionError, 3),
    (CheckpointError, 4),
    (RemoteError, 4),
    (MissingExtra, 4),
)


def _plain(params: list[Any]) -> list[Any]:
    """Take types off the help where they say nothing: of flags, and of named arguments."""
    for param in params:
        if getattr(param, "is_flag", False) and param.metavar is None:
            param.metavar = ""
        if param.param_type_name == "argument":
            param.display_type_rich = lambda ctx: None
    return params


class Command(TyperCommand):
    """One command."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return its arguments and options."""
        return _plain(super().get_params(ctx))


class Commands(TyperGroup):
    """Turns our errors into one message and an exit code."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options that stand before the command."""
        return _plain(super().get_params(ctx))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; a collection in its place lacks only the word before it."""
        if args and args[0] not in self.commands and places.is_collection(Path(args[0])):
            raise InputError(f"no command but a collection: {args[0]}. Type: search {args[0]}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            with waits_told():
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
    help=_HELP,
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


#: Headings of the help, and the commands under each.
_GROUPS: Final = {
    "Find": (index, search, explain),
    "Follow files": (update, sources, forget),
    "Look after a collection": (info, verify, repair, compact, delete, rebuild),
    "Quick and good": (tune, diagnose),
    "Copy a collection": (backup, restore, export, import_),
    "For other programs": (serve, mcp),
    "Without a collection": (demo, rerank, encode),
}


def _flowing(command: Callable[..., None]) -> str:
    """A command's help, each paragraph one line: broken where the terminal ends, nowhere else."""
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


for heading, modules in _GROUPS.items():
    for module in modules:
        name = module.__name__.rpartition(".")[2].rstrip("_")
        app.command(name, cls=Command, help=_flowing(module.command), rich_help_panel=heading)(
            module.command
        )

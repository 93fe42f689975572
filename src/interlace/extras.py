"""Optional packages: imported on use, with an error that says what to install."""

from __future__ import annotations

import importlib
from types import ModuleType

from interlace.errors import MissingExtra

#: Module -> why its import failed. A second try of a half imported package fails in another way.
_broken: dict[str, str] = {}


def need(module: str, *, extra: str) -> ModuleType:
    """Import an optional package.

    Parameters
    ----------
    module : str
        What is imported, such as ``"pypdfium2"``.
    extra : str
        The extra of interlace that installs it.

    Raises
    ------
    MissingExtra
        When the package is not installed; or when it is, and its import fails: then the message
        gives the first cause, which also stays attached.
    """
    if module in _broken:
        raise MissingExtra(_broken[module])
    try:
        return importlib.import_module(module)
    except Exception as error:  # a broken package raises what it likes
        package = module.partition(".")[0]
        if isinstance(error, ModuleNotFoundError) and error.name in _and_parents(module):
            raise MissingExtra(
                f"{package} is not installed: it comes with the extra {extra!r}. "
                f"Install it with: pip install 'interlace[{extra}]'"
            ) from error
        cause = _first_cause(error)
        _broken[module] = (
            f"{package} is installed but broken ({str(cause) or type(cause).__name__}): "
            f"its import fails. Mend that, or install it anew with: "
            f"pip install --force-reinstall 'interlace[{extra}]'"
        )
        raise MissingExtra(_broken[module]) from error


def _and_parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts) + 1)]


def _first_cause(error: BaseException) -> BaseException:
    seen = {id(error)}
    while True:
        before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if before is None or id(before) in seen:
            return error
        seen.add(id(before))
        error = before

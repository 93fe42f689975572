"""Where a model's files are: in the wheel, in a folder, or on the Hugging Face hub."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from interlace.errors import CheckpointError, RemoteError
from interlace.models.checkpoint import FILES

#: The model inside the wheel.
BUILT_IN = "mini"


@contextmanager
def located(
    name_or_folder: str | os.PathLike[str], revision: str | None
) -> Iterator[tuple[Path, str, str | None]]:
    """A model's folder, for as long as the context lasts; its name; on the hub, the commit.

    The name loads the same model again.

    Raises
    ------
    CheckpointError
        When there is no such model.
    RemoteError
        When the hub cannot be reached or refuses.
    """
    folder = Path(name_or_folder).expanduser()
    if name_or_folder == BUILT_IN:
        with resources.as_file(resources.files("interlace.models") / BUILT_IN) as packed:
            yield packed, BUILT_IN, None
    elif folder.is_dir():
        folder = folder.resolve()
        yield folder, str(folder), None
    elif isinstance(name_or_folder, str) and _is_hub_name(name_or_folder):
        folder = _download(name_or_folder, revision)
        # The hub's cache names the folder of a snapshot by its commit.
        yield folder, name_or_folder, folder.name
    else:
        raise CheckpointError(
            f'no model "{os.fspath(name_or_folder)}": not a folder. '
            f'Use "{BUILT_IN}", a model folder, or a hub name such as "owner/model".'
        )


def _is_hub_name(name: str) -> bool:
    owner, slash, model = name.partition("/")
    return bool(slash and owner and model) and "/" not in model and owner not in (".", "..", "~")


def _download(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(FILES)))
    except HFValidationError as cause:
        raise CheckpointError(f'no model "{name}": neither a folder nor a hub name.') from cause
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as cause:
        raise RemoteError(
            f"cannot be fetched from the hub: {name} ({cause}). Check name, revision and network, "
            "or pass the folder of a copy."
        ) from cause

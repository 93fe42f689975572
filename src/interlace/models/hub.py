"""Where a model's files are: in the wheel, in a folder, or on the Hugging Face hub."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path

from interlace.errors import CheckpointError, RemoteError
from interlace.models import layout
from interlace.models.checkpoint import TOKENIZER

#: The model inside the wheel.
BUILT_IN = "mini"


@contextmanager
def located(
    name_or_folder: str | os.PathLike[str],
    revision: str | None,
    *,
    precision: str | None = None,
    weights: bool = False,
    token: str | None = None,
    local_files_only: bool = False,
) -> Iterator[tuple[Path, str, str | None]]:
    """A model's folder, for as long as the context lasts; its name; on the hub, the commit.

    The name loads the same model again. Of a model on the hub only the files in use are fetched:
    with ``weights`` the transformer's own, else an ONNX graph where there is one; none with
    ``local_files_only``.

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
        folder = _download(name_or_folder, revision, precision, weights, token, local_files_only)
        # The hub's cache names the folder of a snapshot by its commit.
        yield folder, name_or_folder, folder.name
    else:
        raise CheckpointError(
            f'no model "{os.fspath(name_or_folder)}": not a folder. '
            f'Use "{BUILT_IN}", a model folder, or a hub name such as "owner/model".'
        )


def wanted(names: Collection[str], precision: str | None, weights: bool) -> list[str]:
    """Which of a model's files are in use.

    Parameters
    ----------
    names : collection of str
        All its files.
    precision : str, optional
        Of the ONNX graph.
    weights : bool
        Whether what runs it needs the transformer's weights: torch or MLX.
    """
    found = [name for name in names if any(_matches(name, pattern) for pattern in layout.SETTINGS)]
    dense = [name for name in names if _matches(name, "*/model.safetensors")]
    # Dense layers are kept as pickles only by old saves.
    found += dense or [name for name in names if _matches(name, "*/pytorch_model.bin")]
    graph = layout.graph(names, precision)
    if graph is not None:
        found += layout.with_data(graph[0], names)
    # Stanford's projection lies among the transformer's weights.
    if graph is None or weights or not {"modules.json", "interlace.json"} & {*found}:
        file = layout.weights(names)
        found += [name for name in names if _matches(name, "*.py")]  # run only if trusted
        if file is not None and file.endswith(".json"):
            stem = file.removesuffix(".index.json").rpartition(".")[0]
            found += [file, *(name for name in names if _matches(name, f"{stem}-*"))]
        elif file is not None:
            found.append(file)
    return sorted(set(found))


def _matches(name: str, pattern: str) -> bool:
    return name.count("/") == pattern.count("/") and fnmatchcase(name, pattern)


def _is_hub_name(name: str) -> bool:
    owner, slash, model = name.partition("/")
    return bool(slash and owner and model) and "/" not in model and owner not in (".", "..", "~")


def _download(
    name: str,
    revision: str | None,
    precision: str | None,
    weights: bool,
    token: str | None,
    local_files_only: bool,
) -> Path:
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        files: list[str] | None = None
        if not (constants.HF_HUB_OFFLINE or local_files_only):
            try:
                told = HfApi(token=token).model_info(name, revision=revision)
                files = wanted([file.rfilename for file in told.siblings or ()], precision, weights)
            except Exception as cause:
                # What was fetched before does without the network; a refusal is a refusal.
                if isinstance(cause, HFValidationError) or _status(cause) in range(400, 500):
                    raise
        return Path(
            snapshot_download(
                name,
                revision=revision,
                # Offline nobody lists the files: reading the folder tells which are missing.
                allow_patterns=files or [TOKENIZER],
                token=token,
                local_files_only=files is None,
            )
        )
    except HFValidationError as cause:
        raise CheckpointError(f'no model "{name}": neither a folder nor a hub name.') from cause
    except Exception as cause:  # of whichever HTTP client the hub's library uses
        if local_files_only:
            raise RemoteError(
                f"was not fetched before: {name}. Fetch it once: Encoder.load({name!r}), or pass "
                "the folder of a copy."
            ) from cause
        raise RemoteError(
            f"cannot be fetched from the hub: {name} ({cause}). Check name, revision and network, "
            "or pass the folder of a copy."
        ) from cause


def _status(error: Exception) -> int | None:
    """The HTTP status of a hub's answer; None when there was none."""
    return getattr(getattr(error, "response", None), "status_code", None)

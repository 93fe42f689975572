"""Any checkpoint that torch can run, as a folder that runs without torch."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from interlace import extras, files
from interlace.errors import CheckpointError, InputError
from interlace.models import judging
from interlace.models.checkpoint import TOKENIZER, Checkpoint
from interlace.models.formats.own import FORMAT, GRAPH, OPTIONAL, REQUIRED, SETTINGS
from interlace.progress import Progress, silent

if TYPE_CHECKING:
    from interlace.models.backends.torch import TorchBackend
    from interlace.models.encoder import Encoder

#: What the graph of float32 may differ by from torch.
_TOLERANCE: Final = 1e-4


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelReport:
    """What an export wrote, and what it costs.

    Attributes
    ----------
    folder : str
        Where the model is.
    precision : str
        ``"float32"`` or ``"int8"``.
    n_bytes : int
        Size of the graph.
    difference : float
        The largest difference of a coordinate between the graph of float32 and torch.
    mean_cosine, least_cosine : float or None
        Of the rows of int8 with those of float32, over a few texts; None for float32.
    ndcg, ndcg_float32 : float or None
        Mean nDCG@10 on the given set, by exact MaxSim: of what was written, and of float32; None
        without a set.
    """

    folder: str
    precision: str
    n_bytes: int
    difference: float
    mean_cosine: float | None = None
    least_cosine: float | None = None
    ndcg: float | None = None
    ndcg_float32: float | None = None


def export(
    encoder: Encoder,
    backend: TorchBackend,
    checkpoint: Checkpoint,
    to: Path,
    *,
    int8: bool = False,
    on: Path | None = None,
    progress: Progress = silent,
) -> ModelReport:
    """Write a model folder of our own format: graph, tokenizer, settings.

    The graph goes from token ids to unit rows: transformer, dense layers and normalisation.

    Parameters
    ----------
    encoder : Encoder
        The model in torch, with float32.
    backend : TorchBackend
        What runs it.
    checkpoint : Checkpoint
        What it says.
    to : Path
        A new folder.
    int8 : bool
        Whether weights are rounded to 8 bits, and activations while it runs.
    on : Path, optional
        A set in BEIR's format, on which nDCG@10 is measured.
    progress : Progress

    Raises
    ------
    InputError
        When there is something at ``to``, or ``on`` is no such set.
    MissingExtra
        When a package of the extra ``torch`` is missing.
    CheckpointError
        When the graph cannot be made, or does not compute what the model does.
    """
    if to.exists():
        raise InputError(f"there is something already: {to}. Remove it, or give another name.")
    partial = to.with_name(to.name + ".partial")
    files.remove_tree(partial)
    try:
        whole = partial / "float32"
        files.make_folder(whole)
        with _quiet():
            backend.save_graph(whole / GRAPH)
        full = _finished(whole, encoder, checkpoint, "float32")
        difference = _difference(encoder, full)
        if difference > _TOLERANCE:
            raise CheckpointError(
                f"the graph differs by {difference:.2g} from what torch computes: "
                f"{checkpoint.folder}. This transformer cannot be exported."
            )
        written, made = whole, full
        costs: dict[str, Any] = {}
        if int8:
            written = partial / "int8"
            files.make_folder(written)
            with _quiet():
                _round(whole / GRAPH, written / GRAPH)
            made = _finished(written, encoder, checkpoint, "int8")
            found = judging.compare(made, full, on, progress)
            costs = {
                "mean_cosine": found.mean_cosine,
                "least_cosine": found.least_cosine,
                "ndcg": found.ndcg,
                "ndcg_float32": found.ndcg_other,
            }
        elif on is not None:
            costs["ndcg"] = costs["ndcg_float32"] = judging.ndcg(full, on, progress)
        for name in files.names(written):
            with (written / name).open("rb") as file:
                files.sync_file(file.fileno())
        files.move(written, to)
        files.sync_folder(to.absolute().parent)
    finally:
        files.remove_tree(partial)
    return ModelReport(
        folder=str(to),
        precision="int8" if int8 else "float32",
        n_bytes=sum(files.size(to / name) for name in files.names(to) if name.startswith(GRAPH)),
        difference=difference,
        **costs,
    )


def _finished(folder: Path, encoder: Encoder, checkpoint: Checkpoint, precision: str) -> Encoder:
    """A folder with a graph gets tokenizer and settings, and is loaded."""
    from interlace.models.encoder import Encoder

    files.copy(checkpoint.tokenizer, folder / TOKENIZER)
    settings = json.dumps(_settings(encoder, checkpoint, precision), indent=2, ensure_ascii=False)
    with files.new_file(folder / SETTINGS) as file:
        file.write(settings.encode())
    return Encoder.load(folder, backend="onnx", n_threads=encoder.n_threads)


def _settings(encoder: Encoder, checkpoint: Checkpoint, precision: str) -> dict[str, Any]:
    """The fields of ``interlace.json``, those at their default left out."""
    name = encoder.name if checkpoint.folder != Path(encoder.name) else checkpoint.folder.name
    said = asdict(checkpoint) | {
        "format": FORMAT,
        "name": name,
        "revision": encoder.revision,
        "precision": precision,
        "origin": checkpoint.fingerprint,
    }
    fields = (*REQUIRED, *OPTIONAL)
    return {field: said[field] for field in fields if field in REQUIRED or said[field]}


def _difference(one: Encoder, other: Encoder) -> float:
    """The largest difference of a coordinate over the probes."""
    return max(float(np.abs(a - b).max()) for a, b in judging.probed(one, other))


def _round(source: Path, target: Path) -> None:
    """Weights of int8, a scale a column; activations are rounded while it runs."""
    quantization = extras.need("onnxruntime.quantization", extra="torch")
    quantization.quantize_dynamic(
        os.fspath(source),
        os.fspath(target),
        weight_type=quantization.QuantType.QInt8,
        per_channel=True,
        use_external_data_format=len(files.names(source.parent)) > 3,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Exporters log what they are about to do, and warn of packages that nothing here needs."""
    import warnings

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)

"""Runs a checkpoint with PyTorch, through sentence-transformers' ``MultiVectorEncoder``.

That loads the weights of every format and runs the layers; texts become tokens in ``tokens.py``, as
for all backends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from interlace import extras
from interlace.errors import CheckpointError, MissingExtra
from interlace.models.backends import Running, Sequenced, Unfit
from interlace.models.checkpoint import Checkpoint, fault
from interlace.models.formats.fields import Fields
from interlace.models.head import array_files, normalised
from interlace.types import FloatMatrix

#: How many positions, padding included, are run at once, by kind of device.
BUDGET: Final = {"cpu": 4096, "mps": 16384, "cuda": 65536}

_DTYPES: Final = ("float32", "float16", "bfloat16")

#: ``model_type`` in ``config.json`` of those whose arrays transformers names as their files do.
_NAMED_ALIKE: Final = ("bert", "distilbert", "electra", "modernbert", "roberta", "xlm-roberta")

#: What to do about a precision that torch does not run.
_REMEDIES: Final = {
    "int8": "Make a graph of int8, interlace export MODEL --to FOLDER --int8, or install MLX: "
    "pip install 'interlace[mlx]'.",
    "int4": "MLX alone rounds weights to 4 bits: pip install 'interlace[mlx]'.",
}


class TorchBackend:
    """A ``MultiVectorEncoder`` on one device.

    Texts are run in batches, padded, which changes a row by less than 1e-5 in float32.

    Parameters
    ----------
    checkpoint : Checkpoint
    running : Running

    Raises
    ------
    MissingExtra
        When torch or sentence-transformers is not installed.
    Unfit
        When the model has no weights for torch, or the device is not here.
    CheckpointError
        When the weights cannot be loaded, lack an array, or are code that is not trusted.
    """

    def __init__(self, checkpoint: Checkpoint, running: Running) -> None:
        if checkpoint.weights is None or checkpoint.format in ("interlace", "next-plaid"):
            raise Unfit(f"the model has no weights for torch: {checkpoint.folder}.")
        if checkpoint.remote_code and not running.trust_remote_code:
            raise CheckpointError(
                f"its transformer is Python code that comes with the weights: {checkpoint.folder}, "
                'field "auto_map" in config.json. Read that code, then pass '
                "trust_remote_code=True; or use an ONNX graph of the model, which needs none."
            )
        self.precision = precision = running.precision or "float32"
        if precision not in _DTYPES:
            raise Unfit(
                f'torch runs {", ".join(_DTYPES)}, not "{precision}": {checkpoint.folder}. '
                + _REMEDIES[precision]
            )
        if checkpoint.format == "stanford":
            _check_architecture(checkpoint)
        self._torch = _needed("torch", checkpoint)
        library = _needed("sentence_transformers", checkpoint)
        self.device = self._chosen(running.device)
        self._is_float32 = precision == "float32"
        try:
            with _quiet(extras.need("transformers.utils.logging", extra="torch")):
                model = library.MultiVectorEncoder(
                    str(checkpoint.folder),
                    device=self.device,
                    trust_remote_code=running.trust_remote_code,
                    # Code that comes with a model may lie in another place of the hub.
                    local_files_only=not running.trust_remote_code,
                    model_kwargs={"dtype": getattr(self._torch, precision)},
                ).eval()
        except Exception as cause:  # of torch, transformers or sentence-transformers
            raise CheckpointError(
                f"sentence-transformers cannot load it: {checkpoint.folder} ({cause}). "
                "Fetch the model again."
            ) from cause
        _check_arrays(checkpoint, model[0].auto_model)
        # What is masked is known already: it is our tokens that are run.
        self._layers = [one for one in model.children() if type(one).__name__ != "MultiVectorMask"]
        self._pad = int(getattr(self._layers[0].config, "pad_token_id", None) or 0)
        self._dim, self._folder = checkpoint.dim, checkpoint.folder

    def run(
        self, ids: npt.NDArray[np.int64], attention: npt.NDArray[np.int64] | None = None
    ) -> FloatMatrix:
        """Embed one text: token ids ``(n,)`` to unit rows ``(n, dim)``."""
        return self.run_many([(ids, attention)])[0]

    def run_many(self, texts: Sequence[Sequenced]) -> list[FloatMatrix]:
        """Embed many texts, near ones in length together; in the order given."""
        found: dict[int, FloatMatrix] = {}
        budget = BUDGET[self.device.partition(":")[0]]
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i][0]))
        while order:
            n = max(1, budget // max(1, len(texts[order[0]][0])))
            batch, order = order[:n], order[n:]
            found |= zip(batch, self._run([texts[i] for i in batch]), strict=True)
        return [found[i] for i in range(len(texts))]

    def save_graph(self, path: Path) -> None:
        """Write the layers as an ONNX graph, from ids and attention to unit rows.

        Raises
        ------
        MissingExtra
            When onnx or onnxscript is not installed.
        CheckpointError
            When torch cannot export this transformer.
        """
        for module in ("onnx", "onnxscript"):
            extras.need(module, extra="torch")
        torch = self._torch
        layers = torch.nn.ModuleList(self._layers)

        class Whole(torch.nn.Module):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                super().__init__()
                self.layers = layers

            def forward(self, input_ids: Any, attention_mask: Any) -> Any:
                features = {"input_ids": input_ids, "attention_mask": attention_mask}
                for layer in self.layers:
                    features = layer(features)
                return features["token_embeddings"]

        ids = torch.full((1, 16), self._pad, dtype=torch.int64)
        seen = torch.ones_like(ids)
        seen[0, 12:] = 0
        length = {1: torch.export.Dim.DYNAMIC}
        try:
            with torch.no_grad():
                program = torch.onnx.export(
                    Whole().cpu().eval(),
                    (ids, seen),
                    dynamo=True,
                    input_names=["input_ids", "attention_mask"],
                    output_names=["embeddings"],
                    dynamic_shapes={"input_ids": length, "attention_mask": length},
                    opset_version=18,
                    verbose=False,
                )
            program.save(str(path))
        except Exception as cause:  # of torch's exporter, which has many
            raise CheckpointError(
                f"torch cannot export this transformer: {self._folder} ({cause})."
            ) from cause

    def _run(self, texts: Sequence[Sequenced]) -> list[FloatMatrix]:
        """Embed one batch, the longest first."""
        shape = (len(texts), len(texts[0][0]))
        ids, seen = np.full(shape, self._pad, np.int64), np.zeros(shape, np.int64)
        for i, (one, attention) in enumerate(texts):
            ids[i, : len(one)] = one
            seen[i, : len(one)] = 1 if attention is None else attention
        torch = self._torch
        features: dict[str, Any] = {
            "input_ids": torch.from_numpy(ids).to(self.device),
            "attention_mask": torch.from_numpy(seen).to(self.device),
        }
        with torch.inference_mode():
            for layer in self._layers:
                features = layer(features)
            out = features["token_embeddings"].float().cpu().numpy()
        if out.shape != (*shape, self._dim):
            raise CheckpointError(
                f"the model makes rows of {out.shape[-1]}, not {self._dim}, as its settings say. "
                "Settings and weights must come from the same model."
            )
        rows = [out[i, : len(one)] for i, (one, _) in enumerate(texts)]
        return [row.copy() if self._is_float32 else normalised(row) for row in rows]

    def _chosen(self, device: str) -> str:
        torch = self._torch
        here = {
            "cuda": torch.cuda.is_available(),
            "mps": torch.backends.mps.is_available(),
            "cpu": True,
        }
        if device == "auto":
            return next(name for name, is_here in here.items() if is_here)
        if not here.get(device.partition(":")[0], False):
            names = ", ".join(name for name, is_here in here.items() if is_here)
            raise Unfit(f'device "{device}" is not here; there is: {names}.')
        return device


@contextmanager
def _quiet(logging: Any) -> Iterator[None]:
    """No bars, and no report of a projection that is found where the transformer's weights are."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _check_architecture(checkpoint: Checkpoint) -> None:
    """Refuse what sentence-transformers would not know for Stanford's: it makes up a projection."""
    config = Fields.read(checkpoint.folder / "config.json")
    if "HF_ColBERT" not in config.texts("architectures", ()):
        raise config.fault("architectures", 'must name "HF_ColBERT" for sentence-transformers')


def _check_arrays(checkpoint: Checkpoint, transformer: Any) -> None:
    """Refuse a file that lacks arrays: transformers would make them up, and only log it."""
    file, kind = checkpoint.weights, getattr(transformer.config, "model_type", "")
    if file is None or kind not in _NAMED_ALIKE or checkpoint.remote_code:
        return  # where arrays may have other names in the file
    if not file.name.endswith((".safetensors", ".safetensors.index.json")):
        return
    known = {f".{_as_now(name)}" for name in array_files(file)}
    for name, _ in transformer.named_parameters():
        is_made_up = not any(one.endswith(f".{name}") for one in known)
        if is_made_up and not name.startswith("pooler."):
            raise fault(file, name, "is missing")


def _as_now(name: str) -> str:
    """The name of an array, which old files of BERT write as TensorFlow did."""
    layer, dot, last = name.rpartition(".")
    return layer + dot + {"gamma": "weight", "beta": "bias"}.get(last, last)


def _needed(module: str, checkpoint: Checkpoint) -> Any:
    try:
        return extras.need(module, extra="torch")
    except MissingExtra as missing:
        if checkpoint.graph is not None:
            raise
        raise MissingExtra(
            f"the model has no ONNX graph, and without one it needs PyTorch: {checkpoint.folder}. "
            f"{missing} Or make a graph where PyTorch is, and use that folder here: "
            "interlace export MODEL --to FOLDER"
        ) from missing

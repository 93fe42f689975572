"""``modules.json``: the chain of layers that PyLate and sentence-transformers save."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from interlace.errors import CheckpointError
from interlace.models.checkpoint import Activation, Dense, fault
from interlace.models.formats.fields import Fields, content, inside
from interlace.models.formats.transformer import matrix_shape

MODULES: Final = "modules.json"
CONFIG: Final = "config_sentence_transformers.json"

#: Activations by the name of their class in torch.
_ACTIVATIONS: Final[dict[str, Activation]] = {
    "torch.nn.modules.linear.Identity": "identity",
    "torch.nn.modules.activation.Tanh": "tanh",
    "torch.nn.modules.activation.ReLU": "relu",
    "torch.nn.modules.activation.GELU": "gelu",
    "torch.nn.modules.activation.SiLU": "silu",
    "torch.nn.modules.activation.Sigmoid": "sigmoid",
}


@dataclass(frozen=True, slots=True)
class Module:
    """One line of ``modules.json``: the last part of the class's name, and its folder."""

    kind: str
    folder: Path


def chain(folder: Path) -> list[Module]:
    """The modules of a folder, in the order in which they run.

    Raises
    ------
    CheckpointError
        When the file is damaged, names folders outside, or does not begin with a transformer in
        the model's own folder.
    """
    path = folder / MODULES
    lines = content(path)
    if not isinstance(lines, list) or not all(isinstance(line, dict) for line in lines):
        raise CheckpointError(f"not a list of JSON objects: {path}. Fetch the model again.")
    said = [Fields(path, line, f"[{i}].") for i, line in enumerate(lines)]
    modules = [
        Module(
            one.text("type").rpartition(".")[2],
            inside(folder, one.text("path", ""), path, f"[{i}].path"),
        )
        for i, one in enumerate(said)
    ]
    for one in said:
        if not one.text("type").startswith(("sentence_transformers.", "pylate.")):
            raise one.fault("type", "must be a module of sentence_transformers or pylate")
    if not modules or modules[0].kind != "Transformer" or modules[0].folder != folder:
        raise fault(path, "[0]", "must be a Transformer with an empty path")
    return modules


def refuse(module: Module, folder: Path) -> CheckpointError:
    """The error of a module that is not known."""
    return CheckpointError(
        f'module "{module.kind}" is not known here: {folder / MODULES}. Load the model with '
        "sentence-transformers and pass the object itself as the model."
    )


def layers(modules: list[Module], activation: str) -> Iterator[Dense]:
    """The dense layers among the modules.

    Parameters
    ----------
    modules : list of Module
    activation : str
        What a layer has that names none: the maker's default.
    """
    for module in modules:
        if module.kind == "Dense":
            yield _dense(module.folder, activation)


def _dense(folder: Path, default: str) -> Dense:
    said = Fields.read(folder / "config.json")
    for field in ("module_input_name", "module_output_name"):
        # Saves from before these names took the tokens, whatever is written there.
        if said.text(field, "token_embeddings") not in ("token_embeddings", "sentence_embedding"):
            raise said.fault(field, 'must be "token_embeddings"')
    name = said.text("activation_function", default)
    if name not in _ACTIVATIONS:
        raise said.fault(
            "activation_function", f"must be one of {', '.join(_ACTIVATIONS)}, not {name[:80]!r}"
        )
    n_in, n_out = said.count("in_features"), said.count("out_features")
    weights = folder / "model.safetensors"
    if not weights.is_file():
        weights = folder / "pytorch_model.bin"
    if not weights.is_file():
        raise CheckpointError(f"file missing: {folder / 'model.safetensors'}. Fetch it again.")
    residual: bool | str = said.flag("use_residual", False)
    if residual and n_in != n_out:
        residual = "residual.weight"
    layer = Dense(
        weights=weights,
        in_features=n_in,
        out_features=n_out,
        bias="linear.bias" if said.flag("bias", True) else None,
        activation=_ACTIVATIONS[name],
        residual=residual,
    )
    if weights.suffix == ".safetensors":
        found = matrix_shape(weights, layer.weight)
        if found != (n_out, n_in):
            raise fault(weights, layer.weight, f"must be ({n_out}, {n_in}), not {found}")
    return layer

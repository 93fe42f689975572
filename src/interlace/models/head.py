"""From a transformer's hidden states to embeddings: dense layers and normalisation, in NumPy."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors import SafetensorError, safe_open

from interlace.errors import CheckpointError
from interlace.models.checkpoint import Activation, Dense, fault
from interlace.models.formats.fields import Fields, inside
from interlace.types import FloatMatrix

#: Rows shorter than this are divided by it instead, as in torch.
_EPSILON: Final = np.float32(1e-12)

#: The logarithm of the complementary error function, but for factors: highest power first.
_ERFC: Final = (
    0.17087277,
    -0.82215223,
    1.48851587,
    -1.13520398,
    0.27886807,
    -0.18628806,
    0.09678418,
    0.37409196,
    1.00002368,
    -1.26551223,
)


class Head:
    """Dense layers, one after the other, then unit length.

    Raises
    ------
    CheckpointError
        When a weight file cannot be read, is a pickle, or has arrays of other shapes than the
        settings say.
    """

    def __init__(self, layers: tuple[Dense, ...]) -> None:
        self._layers = [_Layer(layer) for layer in layers]

    def __call__(self, hidden: FloatMatrix) -> FloatMatrix:
        """Turn ``(n, in_features)`` hidden states into ``(n, dim)`` unit rows."""
        for layer in self._layers:
            hidden = layer(hidden)
        return normalised(hidden)


def normalised(rows: FloatMatrix) -> FloatMatrix:
    """Rows of unit length."""
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float32))
    unit: FloatMatrix = rows / np.maximum(lengths, _EPSILON)[:, None]
    return unit


class _Layer:
    def __init__(self, said: Dense) -> None:
        n_in, n_out = said.in_features, said.out_features
        self._weight = array(said.weights, said.weight, (n_out, n_in)).T
        self._bias = array(said.weights, said.bias, (n_out,)) if said.bias else np.float32(0)
        self._activation = ACTIVATIONS[said.activation]
        self._adds = bool(said.residual)
        self._residual = (
            array(said.weights, said.residual, (n_out, n_in)).T
            if isinstance(said.residual, str)
            else None
        )

    def __call__(self, rows: FloatMatrix) -> FloatMatrix:
        out: FloatMatrix = self._activation(rows @ self._weight + self._bias)
        if self._adds:
            out = out + (rows if self._residual is None else rows @ self._residual)
        return out


def array_files(path: Path) -> dict[str, Path]:
    """The names of a safetensors file's arrays, or of all that an index names, and their files.

    Raises
    ------
    CheckpointError
        When the file cannot be read.
    """
    if path.suffix == ".json":
        said = Fields.read(path).group("weight_map")
        return {
            name: inside(path.parent, said.text(name), path, "weight_map") for name in said.values
        }
    with _opened(path) as file:
        return dict.fromkeys(file.keys(), path)


def array(path: Path, name: str, shape: tuple[int, ...]) -> FloatMatrix:
    """One array of a safetensors file, as float32.

    Raises
    ------
    CheckpointError
        When the file cannot be read, or has no such array of that shape.
    """
    with _opened(path) as file:
        if name not in file.keys():  # noqa: SIM118  (it is no mapping)
            raise fault(path, name, "is missing")
        piece = file.get_slice(name)
        found, kind = tuple(piece.get_shape()), piece.get_dtype()
        if found != shape:
            raise fault(path, name, f"must have the shape {shape}, not {found}")
        if kind == "BF16":
            return _bfloat16(path, name, shape)
        if kind not in ("F32", "F16", "F64"):
            raise fault(path, name, f"must be of floats, not {kind}")
        values: FloatMatrix = np.ascontiguousarray(file.get_tensor(name), np.float32)
        return values


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if path.suffix != ".safetensors":
        raise CheckpointError(
            f"weights are kept as a pickle, which is not opened here: {path}. "
            'Load the model with backend="torch", which reads nothing but arrays from it, or '
            f"export it: interlace export {path.parent} --to FOLDER."
        )
    try:
        with safe_open(str(path), framework="np") as file:
            yield file
    except (OSError, SafetensorError, ValueError) as cause:
        raise CheckpointError(
            f"cannot be read as safetensors: {path} ({cause}). Fetch the model again."
        ) from cause


def _bfloat16(path: Path, name: str, shape: tuple[int, ...]) -> FloatMatrix:
    """An array of the upper halves of float32, a type that NumPy has not; the file was checked."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        begin, end = json.loads(file.read(size))[name]["data_offsets"]
        file.seek(8 + size + begin)
        halves = np.frombuffer(file.read(end - begin), "<u2").astype(np.uint32)
    values: FloatMatrix = (halves << 16).view(np.float32).reshape(shape)
    return values


def _sigmoid(x: FloatMatrix) -> FloatMatrix:
    # exp of what is not positive never overflows.
    small = np.exp(-np.abs(x))
    between: FloatMatrix = np.where(x >= 0, 1 / (1 + small), small / (1 + small))
    return between


def _gelu(x: FloatMatrix) -> FloatMatrix:
    """Multiply by the normal distribution's function, within 1.2e-7 of what it is.

    Source
    ------
    Press and others, Numerical Recipes, 6.2: the complementary error function by Chebyshev
    coefficients.
    """
    z = np.abs(x.astype(np.float64)) / np.sqrt(2)
    t = 1 / (1 + z / 2)
    beyond = t * np.exp(np.polyval(_ERFC, t) - z * z)
    values: FloatMatrix = (x * np.where(x < 0, beyond, 2 - beyond) / 2).astype(np.float32)
    return values


ACTIVATIONS: Final[dict[Activation, Callable[[FloatMatrix], FloatMatrix]]] = {
    "identity": lambda x: x,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "gelu": _gelu,
    "silu": lambda x: x * _sigmoid(x),
    "sigmoid": _sigmoid,
}

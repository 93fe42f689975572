"""Where a model's weights lie: names of graphs and of weight files, in folder and hub alike."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

#: precision -> names of its graph, the first that is there is taken: our own and next-plaid's,
#: optimum's and sentence-transformers', those for browsers.
GRAPHS: Final = {
    "float32": ("model.onnx",),
    "int8": (
        "model_int8.onnx",
        "model_quantized.onnx",
        "model_qint8_avx512_vnni.onnx",
        "model_qint8_avx512.onnx",
        "model_quint8_avx2.onnx",
        "model_qint8_arm64.onnx",
    ),
    "float16": ("model_fp16.onnx",),
}

#: What a user may ask for; the last two are for torch or MLX, and for MLX alone.
PRECISIONS: Final = (*GRAPHS, "bfloat16", "int4")

#: Folders where a graph is looked for.
PLACES: Final = ("", "onnx/")

#: What is put behind a graph's name for the file that holds its large arrays.
DATA: Final = ("_data", ".data")

#: The transformer's weights, the first that is there is taken; the last two are pickles.
WEIGHTS: Final = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)

#: Small files that say how a model is used; ``*`` is one folder.
SETTINGS: Final = ("*.json", "*/config.json", "artifact.metadata")


def graph(names: Collection[str], precision: str | None = None) -> tuple[str, str] | None:
    """The ONNX graph among a folder's files, and its precision.

    Parameters
    ----------
    names : collection of str
        Paths in the folder, with ``/``.
    precision : str, optional
        A key of ``GRAPHS``; the first for which there is a graph when not given.
    """
    for wanted in GRAPHS if precision is None else (precision,):
        for name in GRAPHS.get(wanted, ()):
            for place in PLACES:
                if place + name in names:
                    return place + name, wanted
    return None


def with_data(graph: str, names: Collection[str]) -> list[str]:
    """A graph, and the files of large arrays that belong to it."""
    return [graph, *(graph + end for end in DATA if graph + end in names)]


def weights(names: Collection[str]) -> str | None:
    """The file of the transformer's weights among a folder's files."""
    return next((name for name in WEIGHTS if name in names), None)

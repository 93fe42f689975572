"""Runs BERT in C++: one text a call, one thread a text, the same bytes on every machine."""

from __future__ import annotations

import mmap
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from interlace import kernels
from interlace.models.backends import DEFAULT, Running, Unfit, graph
from interlace.models.checkpoint import Checkpoint
from interlace.types import FloatMatrix

#: Structures that scripts/make_mini.py writes, in integers, and how many layers each has.
KNOWN: Final = {"e38137c86a0a7afce3a11ce0131036dc7945d4a15cd7e183c0bf1fa11ef5ab5b": 6}


class NativeBackend:
    """The encoder of native/encoding, with the weights of an ONNX file.

    It runs what ``scripts/make_mini.py`` writes, with a scale for each token before every
    product, where onnxruntime has one for the text before some. The file stays mapped: of the
    embedding table only what texts need is read.

    Parameters
    ----------
    checkpoint : Checkpoint
    running : Running
    table : str, optional
        A kernel table; by default that of ``interlace.kernels``, where it is a fast one.

    Raises
    ------
    Unfit
        When it is another graph, or nothing here runs it fast.
    """

    def __init__(
        self, checkpoint: Checkpoint, running: Running = DEFAULT, table: str | None = None
    ) -> None:
        try:
            import interlace.models.backends._encoder as _encoder
        except ImportError as cause:
            raise Unfit(f"the C++ encoder is missing: {cause}.") from cause
        if checkpoint.graph is None or checkpoint.graph_end != "embeddings":
            raise Unfit(
                f"the model has no ONNX graph that ends in embeddings: {checkpoint.folder}."
            )
        if running.device not in ("auto", "cpu"):
            raise Unfit(f'it runs on the CPU, not on "{running.device}".')
        if checkpoint.query_expansion is not None and not checkpoint.query_expansion.attend:
            raise Unfit("it lets every token see all others.")
        self.precision, self.device = checkpoint.precision, "cpu"
        table = table or _table(_encoder.NAMES)
        with checkpoint.graph.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            n_layers, arrays = known(content)
            self._encoder = _encoder.Encoder(table, n_layers, arrays)
        except (KeyError, ValueError) as cause:
            raise Unfit(f"it does not know this graph: {checkpoint.graph}: {cause}.") from cause
        if arrays["projection"].shape[1] != checkpoint.dim:
            raise Unfit(f"its width is not {checkpoint.dim}: {checkpoint.graph}.")

    def run(
        self, ids: npt.NDArray[np.int64], attention: npt.NDArray[np.int64] | None = None
    ) -> FloatMatrix:
        """Embed one text: token ids ``(n,)`` to unit rows ``(n, dim)``; drops the GIL."""
        assert attention is None
        rows: FloatMatrix = self._encoder.run(ids)
        return rows


def _table(names: tuple[str, ...]) -> str:
    """The fastest of the encoder's tables that the kernels may use."""
    chosen, allowed = kernels.table().name, kernels.available()
    if chosen in allowed:  # which torch and mlx are not: they leave it to the machine
        allowed = allowed[allowed.index(chosen) :]
    for name in allowed:
        if name in names and name != "portable":
            return name
    raise Unfit(f"it would be slow with the {chosen} kernels.")


def known(content: bytes | mmap.mmap) -> tuple[int, dict[str, npt.NDArray[Any]]]:
    """The number of layers and the arrays of a graph that is known.

    Raises
    ------
    ValueError
        When it is not.
    """
    structure, arrays = graph.read(memoryview(content))
    if structure not in KNOWN:
        raise ValueError(f"structure {structure[:12]}")
    arrays["words.scales"] = arrays["words.scales"].reshape(-1)
    # Arrays begin anywhere in the file; bytes may, floats must not.
    for name, array in arrays.items():
        if array.dtype != np.int8:
            arrays[name] = np.array(array, np.float32)
    return KNOWN[structure], arrays

"""Runs a checkpoint with onnxruntime: one text a call, one thread a text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime

from interlace.errors import CheckpointError
from interlace.models.backends import Running, Unfit
from interlace.models.checkpoint import Checkpoint
from interlace.models.head import Head
from interlace.types import FloatMatrix

#: What a graph may ask for, made of the ids and of what is seen, both ``(n,)`` int64.
_INPUTS: Final[dict[str, Callable[[npt.NDArray[np.int64], Any], npt.NDArray[np.int64]]]] = {
    "input_ids": lambda ids, seen: ids,
    "attention_mask": lambda ids, seen: np.ones_like(ids) if seen is None else seen,
    "token_type_ids": lambda ids, seen: np.zeros_like(ids),
    "position_ids": lambda ids, seen: np.arange(len(ids)),
}
_DTYPES: Final = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}

#: Outputs that are taken where a graph has several: a row for each token.
_OUTPUTS: Final = ("last_hidden_state", "token_embeddings", "output")


class OnnxBackend:
    """One onnxruntime session, shared by all threads.

    A text is run alone and without padding, because batches share activation scales and padding:
    a text's matrix would depend on its neighbours. The session owns no threads, so that it
    survives a fork and leaves parallelism to whoever has many texts.

    Raises
    ------
    Unfit
        When the model has no ONNX graph.
    CheckpointError
        When the file cannot be loaded or is not a graph from token ids to rows of ``dim``.
    """

    def __init__(self, checkpoint: Checkpoint, running: Running) -> None:
        if checkpoint.graph is None:
            raise Unfit(f"the model has no ONNX graph: {checkpoint.folder}.")
        if running.device not in ("auto", "cpu"):
            raise Unfit(f'it runs on the CPU, not on "{running.device}".')
        self._checkpoint, self._graph = checkpoint, checkpoint.graph
        self.precision, self.device = checkpoint.precision, "cpu"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Every length is another shape, and a plan kept for each would only grow the memory.
        options.enable_mem_pattern = False
        try:
            self._session = onnxruntime.InferenceSession(
                str(self._graph), options, providers=["CPUExecutionProvider"]
            )
        except Exception as cause:  # onnxruntime's errors have no common base
            raise CheckpointError(
                f"onnxruntime cannot load it: {self._graph} ({cause}). Fetch the model again."
            ) from cause
        hidden = checkpoint.graph_end == "hidden"
        self._head = Head(checkpoint.dense) if hidden else None
        self._width = (
            checkpoint.dense[0].in_features if hidden and checkpoint.dense else checkpoint.dim
        )
        self._inputs = self._checked_inputs()
        self._output = self._checked_output()

    def run(
        self, ids: npt.NDArray[np.int64], attention: npt.NDArray[np.int64] | None = None
    ) -> FloatMatrix:
        """Embed one text: token ids ``(n,)`` to unit rows ``(n, dim)``; drops the GIL."""
        feeds: dict[str, Any] = {
            name: _INPUTS[name](ids, attention).astype(dtype, copy=False)[None]
            for name, dtype in self._inputs.items()
        }
        try:
            (out,) = self._session.run([self._output], feeds)
        except Exception as cause:  # onnxruntime's errors have no common base
            raise CheckpointError(
                f"the graph fails on a text of {len(ids)} tokens: {self._graph} ({cause}). "
                "Settings and weights must come from the same model."
            ) from cause
        if out.size != len(ids) * self._width:
            raise self._mismatch(f"{out.shape} for {len(ids)} tokens")
        rows: FloatMatrix = out.reshape(len(ids), self._width).astype(np.float32, copy=False)
        return rows if self._head is None else self._head(rows)

    def _checked_inputs(self) -> dict[str, type]:
        """The name and type of each input of the graph."""
        found = {one.name: one.type for one in self._session.get_inputs()}
        if "input_ids" not in found or any(
            name not in _INPUTS or kind not in _DTYPES for name, kind in found.items()
        ):
            raise self._mismatch(f"inputs {found}")
        filled = self._checkpoint.query_expansion
        if filled is not None and not filled.attend and "attention_mask" not in found:
            raise CheckpointError(
                f"the graph takes no attention_mask: {self._graph}. Queries are filled up with "
                "tokens that must not be seen, so it cannot be this model's."
            )
        return {name: _DTYPES[kind] for name, kind in found.items()}

    def _checked_output(self) -> str:
        """The output with a row for each token."""
        found = {one.name: one.shape for one in self._session.get_outputs()}
        names = list(found) if len(found) == 1 else [name for name in _OUTPUTS if name in found]
        width = found[names[0]][-1] if names and found[names[0]] else 0
        # A width that the graph does not fix is a string or None; then each run is checked.
        if isinstance(width, int) and width != self._width:
            raise self._mismatch(f"outputs {found}")
        return names[0]

    def _mismatch(self, what: str) -> CheckpointError:
        return CheckpointError(
            f"the graph has {what}, not token ids to rows of {self._width}: {self._graph}. "
            "Settings and weights must come from the same model."
        )

"""Runs a checkpoint with onnxruntime: one text a call, one thread a text."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnxruntime

from interlace.errors import CheckpointError
from interlace.models.checkpoint import WEIGHTS, Checkpoint
from interlace.types import FloatMatrix


class OnnxBackend:
    """One onnxruntime session, shared by all threads.

    A text is run alone and without padding, because batches share activation scales and padding:
    a text's matrix would depend on its neighbours. The session owns no threads, so that it
    survives a fork and leaves parallelism to whoever has many texts.

    Raises
    ------
    CheckpointError
        When the file cannot be loaded or is not a graph from token ids to rows of ``dim``.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Every length is another shape, and a plan kept for each would only grow the memory.
        options.enable_mem_pattern = False
        try:
            self._session = onnxruntime.InferenceSession(
                str(checkpoint.weights), options, providers=["CPUExecutionProvider"]
            )
        except Exception as cause:  # onnxruntime's errors have no common base
            raise CheckpointError(
                f"onnxruntime cannot load it: {checkpoint.weights} ({cause}). "
                "Fetch the model again."
            ) from cause
        self._check_graph(checkpoint)

    def run(self, ids: npt.NDArray[np.int64]) -> FloatMatrix:
        """Embed one text: token ids ``(n,)`` to unit rows ``(n, dim)``; drops the GIL."""
        (matrix,) = self._session.run(None, {"input_ids": ids[None]})
        rows: FloatMatrix = matrix
        return rows

    def _check_graph(self, checkpoint: Checkpoint) -> None:
        inputs = [i.name for i in self._session.get_inputs()]
        outputs = [o.shape for o in self._session.get_outputs()]
        if inputs != ["input_ids"] or len(outputs) != 1 or outputs[0][-1] != checkpoint.dim:
            raise CheckpointError(
                f"the graph maps {inputs} to {outputs}, not input_ids to rows of "
                f"{checkpoint.dim}: {checkpoint.folder / WEIGHTS}. "
                "Settings and weights must come from the same model."
            )

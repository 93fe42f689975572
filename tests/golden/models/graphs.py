"""ONNX graphs of some checkpoints' transformers, where sentence-transformers and optimum put them.

    st/bin/python graphs.py CHECKPOINTS

From token ids and attention to hidden states, in ``onnx/model.onnx``; the layers after the
transformer stay in their own files, as in those packages' exports.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import AutoModel

#: One for each architecture, with and without attention to the mask tokens, in every format.
WANTED = (
    "stanford-bert",
    "stanford-xlm-roberta",
    "pylate-modernbert",
    "pylate-layers",
    "native-layers",
    "stanford-minilm",
    "pylate-minilm",
    "native-minilm",
)


class Hidden(torch.nn.Module):
    """The last hidden states alone."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.model = AutoModel.from_pretrained(folder, attn_implementation="eager")

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=input_ids, attention_mask=attention_mask)[0]


def export(folder: Path) -> None:
    path = folder / "onnx" / "model.onnx"
    path.parent.mkdir(exist_ok=True)
    ids = torch.arange(9, 15)[None]
    seen = torch.tensor([[1, 1, 1, 1, 0, 0]])
    names = ["input_ids", "attention_mask", "last_hidden_state"]
    # The older of the two exporters: its graphs are half as large.
    torch.onnx.export(
        Hidden(folder).eval(), (ids, seen), str(path), input_names=names[:2],
        output_names=names[2:], dynamic_axes={name: {0: "texts", 1: "tokens"} for name in names},
        opset_version=18, dynamo=False,
    )  # fmt: skip


if __name__ == "__main__":
    for checkpoint in sorted(Path(sys.argv[1]).iterdir()):
        if checkpoint.name in WANTED:
            export(checkpoint)

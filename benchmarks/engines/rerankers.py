"""MaxSim of given texts: numpy, torch as PyLate does, maxsim-cpu, and its fork fast-maxsim."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.worker import Data

Matrix = npt.NDArray[np.float32]
Score = Callable[[Matrix], Any]


class Engine:
    """``by`` is the module that does it. Texts are float32 in memory, laid out as it likes best."""

    settings = {}  # noqa: RUF012

    def __init__(self, data: Data, index: Path, *, by: str) -> None:
        self.data = data
        self.packages = (by.replace("_", "-"),)
        self.module = importlib.import_module(by)
        self.prepare = {"numpy": flat, "torch": padded}.get(by, ragged)

    def open(self) -> None:
        """Nothing to open: texts are given."""

    def give(self, ordinals: list[int]) -> None:
        self.by = self.prepare(self.module, [self.data.text(i) for i in ordinals])

    def score(self, query: int) -> Any:
        return self.by(self.data.queries[query])


def flat(numpy: Any, matrices: Sequence[Matrix]) -> Score:
    """One product with all tokens."""
    tokens = numpy.concatenate(matrices)
    starts = numpy.append(0, numpy.cumsum([len(matrix) for matrix in matrices])[:-1])
    return lambda query: numpy.maximum.reduceat(tokens @ query.T, starts, axis=0).sum(axis=1)


def padded(torch: Any, matrices: Sequence[Matrix]) -> Score:
    """PyLate's ``colbert_scores``, but for padding, which cannot win."""
    torch.set_num_threads(1)
    tokens = torch.nn.utils.rnn.pad_sequence(list(map(torch.from_numpy, matrices)), True)
    lengths = torch.tensor([len(matrix) for matrix in matrices])
    is_padding = torch.arange(tokens.shape[1]) >= lengths[:, None]
    penalty = torch.where(is_padding, -9.0, 0.0)[None, :, None]

    def score(query: Matrix) -> Any:
        products = torch.einsum("ash,bth->abst", torch.from_numpy(query)[None], tokens)
        return (products + penalty).max(dim=-1).values.sum(dim=-1)[0].numpy()

    return score


def ragged(module: Any, matrices: Sequence[Matrix]) -> Score:
    """A list of matrices, as the two take it."""
    return lambda query: module.maxsim_scores_variable(query, matrices)

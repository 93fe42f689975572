"""Stanford ColBERT: ``artifact.metadata`` beside a transformer with ``linear.weight`` in it.

Source
------
https://github.com/stanford-futuredata/ColBERT: ``colbert/infra/config/settings.py`` for the
defaults, ``colbert/modeling/tokenization`` for lengths, markers and the filling of queries,
``colbert/modeling/colbert.py`` for the punctuation that is skipped.
"""

from __future__ import annotations

import string
from pathlib import Path
from typing import Final

from interlace.models.checkpoint import Checkpoint, Dense, Expansion
from interlace.models.formats.fields import Fields
from interlace.models.formats.transformer import Transformer, matrix_shape

METADATA: Final = "artifact.metadata"
PROJECTION: Final = "linear.weight"


def read(folder: Path, precision: str | None) -> Checkpoint | None:
    """Read a folder with ``artifact.metadata``, or whose architecture is ``HF_ColBERT``."""
    config = Fields.read_if_there(folder / "config.json")
    if not (folder / METADATA).is_file() and "HF_ColBERT" not in config.texts("architectures", ()):
        return None
    said = Fields.read_if_there(folder / METADATA)
    if said.choice("similarity", ("cosine", "l2"), "cosine") == "l2":
        raise said.fault("similarity", 'must be "cosine": distances are not supported')
    transformer = Transformer(folder, precision)
    projection = _projection(transformer, said)
    query_length = transformer.within_positions(said.count("query_maxlen", 32))
    return Checkpoint(
        folder=folder,
        format="stanford",
        settings=said.path,
        fingerprint=transformer.fingerprint(
            said.path, transformer.config.path, dense=_own_file(projection, transformer)
        ),
        name=folder.name,
        revision="",
        precision=transformer.precision,
        dim=projection.out_features,
        query_length=query_length,
        document_length=transformer.within_positions(said.count("doc_maxlen", 220)),
        lengths_count_all=True,
        query_marker=said.text("query_token_id", "[unused0]"),
        document_marker=said.text("doc_token_id", "[unused1]"),
        document_skip=tuple(string.punctuation) if said.flag("mask_punctuation", True) else (),
        skip_rule="encoded",
        query_expansion=Expansion(
            strategy="fixed",
            length=query_length,
            attend=said.flag("attend_to_mask_tokens", False),
            token=transformer.fill_token(),
        ),
        dense=(projection,),
        graph=transformer.graph,
        graph_end="embeddings" if transformer.is_whole else "hidden",
        weights=transformer.weights,
        remote_code=transformer.remote_code,
    )


def _projection(transformer: Transformer, said: Fields) -> Dense:
    """The linear layer that lies among the transformer's weights."""
    path = transformer.file_of(PROJECTION)
    if path is None:
        raise said.fault(
            PROJECTION,
            "is in no weight file; the folder must hold the model.safetensors that has it",
        )
    if path.suffix == ".safetensors":
        out_features, in_features = matrix_shape(path, PROJECTION)
        if said.has("dim") and said.count("dim") != out_features:
            raise said.fault("dim", f"must be {out_features}, as {PROJECTION} has it")
    else:  # a pickle is not opened to learn a shape
        out_features = said.count("dim", 128)
        in_features = transformer.config.count("hidden_size")
    return Dense(weights=path, in_features=in_features, out_features=out_features)


def _own_file(projection: Dense, transformer: Transformer) -> list[Path]:
    """The projection's file, where only a graph holds the rest."""
    return [projection.weights] if transformer.graph is not None else []

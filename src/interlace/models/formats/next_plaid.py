"""next-plaid: ``onnx_config.json`` beside a graph that ends in unit embeddings.

Where the files of the model it was made from are there too, they are read instead, and the graph is
used all the same. Early exports have the settings in ``config_sentence_transformers.json``.

Source
------
https://github.com/lightonai/next-plaid: ``next-plaid-onnx/python/src/colbert_export/export.py``
for the fields, ``next-plaid-onnx/src/lib.rs`` for their defaults and the order of the tokens.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from interlace.errors import CheckpointError
from interlace.models.checkpoint import Checkpoint, Expansion
from interlace.models.formats.fields import Fields
from interlace.models.formats.transformer import Transformer

SETTINGS: Final = ("onnx_config.json", "config_sentence_transformers.json")


def read(folder: Path, precision: str | None) -> Checkpoint | None:
    """Read a folder whose settings say the width of a graph's embeddings."""
    name = next((name for name in SETTINGS if (folder / name).is_file()), None)
    if name is None:
        return None
    said = Fields.read(folder / name)
    if name != SETTINGS[0] and not said.has("embedding_dim"):
        return None
    transformer = Transformer(folder, precision)
    if transformer.graph is None or transformer.graph.parent != folder:
        raise CheckpointError(
            f"file missing: {folder / 'model.onnx'}. {name} describes that graph. "
            "Fetch the model again."
        )
    query_length = said.count("query_length", 48)
    filled = said.flag("do_query_expansion", True)
    expansion = Expansion(
        strategy="fixed",
        length=query_length,
        attend=said.flag("attend_to_expansion_tokens", False),
        token=said.id("mask_token_id") if said.has("mask_token_id") else transformer.fill_token(),
    )
    return Checkpoint(
        folder=folder,
        format="next-plaid",
        settings=said.path,
        fingerprint=transformer.fingerprint(said.path),
        name=said.text("model_name", folder.name),
        revision="",
        precision=transformer.precision,
        dim=said.count("embedding_dim", 128),
        query_length=query_length,
        document_length=said.count("document_length", 300),
        lengths_count_all=True,
        query_marker=said.text("query_prefix", "[Q] "),
        document_marker=said.text("document_prefix", "[D] "),
        lowercase="text" if said.flag("do_lower_case", False) else "never",
        document_skip=said.texts("skiplist_words", ()),
        skip_rule="known",
        query_expansion=expansion if filled else None,
        graph=transformer.graph,
        graph_end="embeddings",
    )

"""PyLate: ``modules.json`` with a transformer and dense layers, the rest in one settings file.

Source
------
https://github.com/lightonai/pylate, ``pylate/models/colbert.py`` and ``Dense.py``.
"""

from __future__ import annotations

import string
from pathlib import Path
from typing import Final

from interlace.models.checkpoint import Checkpoint, Expansion
from interlace.models.formats import modules
from interlace.models.formats.fields import Fields
from interlace.models.formats.transformer import Transformer

#: Any of these in the settings file tells a save of PyLate, also of its early versions.
_OWN_FIELDS: Final = (
    "query_prefix",
    "document_prefix",
    "do_query_expansion",
    "attend_to_expansion_tokens",
    "skiplist_words",
)
_KNOWN: Final = ("Transformer", "Dense", "Pooling", "Normalize")


def read(folder: Path, precision: str | None) -> Checkpoint | None:
    """Read a folder whose settings name the model type ``ColBERT``, or have PyLate's fields."""
    if not (folder / modules.MODULES).is_file() or not (folder / modules.CONFIG).is_file():
        return None
    said = Fields.read(folder / modules.CONFIG)
    kind = said.text("model_type", None)
    if kind != "ColBERT" and not any(said.has(field) for field in _OWN_FIELDS):
        return None
    found = modules.chain(folder)
    for module in found:
        if module.kind not in _KNOWN:
            raise modules.refuse(module, folder)
    transformer = Transformer(folder, precision)
    dense = tuple(modules.layers(found, "torch.nn.modules.linear.Identity"))
    if not dense:
        raise said.fault("modules.json", "has no Dense module, so the model projects nothing")
    query_length = transformer.within_positions(said.count("query_length", 32))
    expansion = Expansion(
        strategy="fixed",
        length=query_length,
        attend=said.flag("attend_to_expansion_tokens", False),
        token=transformer.fill_token(),
    )
    bert = Fields.read_if_there(folder / "sentence_bert_config.json")
    # A prompt that is named is of both roles; those that are not wait to be asked for.
    named = said.text("default_prompt_name", None)
    prompt = "" if named is None else said.group("prompts").text(named)
    return Checkpoint(
        folder=folder,
        format="pylate",
        settings=said.path,
        fingerprint=transformer.fingerprint(
            said.path,
            bert.path,
            folder / modules.MODULES,
            dense=[] if transformer.is_whole else [layer.weights for layer in dense],
        ),
        name=folder.name,
        revision="",
        precision=transformer.precision,
        dim=dense[-1].out_features,
        query_length=query_length,
        document_length=transformer.within_positions(said.count("document_length", 180)),
        lengths_count_all=True,
        query_marker=said.text("query_prefix", "[Q] "),
        document_marker=said.text("document_prefix", "[D] "),
        query_prefix=prompt,
        document_prefix=prompt,
        strip=True,
        lowercase="text" if bert.flag("do_lower_case", False) else "never",
        document_skip=said.texts("skiplist_words", tuple(string.punctuation)),
        skip_rule="unknown",
        query_expansion=expansion if said.flag("do_query_expansion", True) else None,
        dense=dense,
        graph=transformer.graph,
        graph_end="embeddings" if transformer.is_whole else "hidden",
        weights=transformer.weights,
        remote_code=transformer.remote_code,
    )

"""sentence-transformers from version 6: ``modules.json`` of a ``MultiVectorEncoder``.

Source
------
https://github.com/huggingface/sentence-transformers: ``base/modules/transformer.py``,
``base/modules/dense.py``, ``multi_vector_encoder/model.py`` and ``modules/multi_vector_mask.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from interlace.errors import CheckpointError
from interlace.models.checkpoint import Checkpoint
from interlace.models.formats import modules
from interlace.models.formats.fields import Fields
from interlace.models.formats.own import expansion
from interlace.models.formats.transformer import Transformer

#: What each module may follow; Dropout does nothing where nothing is trained.
_KNOWN: Final = ("Transformer", "Dense", "MultiVectorMask", "Normalize", "Dropout")


def read(folder: Path, precision: str | None) -> Checkpoint | None:
    """Read a folder whose settings name the model type ``MultiVectorEncoder``."""
    if not (folder / modules.MODULES).is_file() or not (folder / modules.CONFIG).is_file():
        return None
    said = Fields.read(folder / modules.CONFIG)
    if said.text("model_type", None) != "MultiVectorEncoder":
        return None
    found = modules.chain(folder)
    _check(found, folder)
    bert = Fields.read_if_there(folder / "sentence_bert_config.json")
    if bert.text("transformer_task", "feature-extraction") != "feature-extraction":
        raise bert.fault("transformer_task", 'must be "feature-extraction": images are not read')
    transformer = Transformer(folder, precision)
    dense = tuple(modules.layers(found, "torch.nn.modules.activation.Tanh"))
    mask = next((one for one in found if one.kind == "MultiVectorMask"), None)
    skipping = Fields.read_if_there(mask.folder / "config.json") if mask else Fields(folder, {})
    if skipping.has("keep_only_token_ids"):
        raise skipping.fault("keep_only_token_ids", "is for images, which are not read")
    skipped = skipping.texts("skiplist_words", ())
    tasks = skipping.texts("skiplist_tasks", ("document",))
    fill = expansion(bert)
    if fill is not None and fill.token == "":
        fill = type(fill)(
            strategy=fill.strategy,
            length=fill.length,
            attend=fill.attend,
            token=transformer.fill_token(),
        )
    longest = bert.count("max_seq_length", None) or transformer.longest
    lengths = {
        role: transformer.within_positions(_length(bert, f"{role}_length", longest))
        for role in ("query", "document")
    }
    if fill is not None:
        lengths["query"] = (
            fill.length if fill.strategy == "fixed" else max(fill.length, lengths["query"])
        )
    prompts = said.group("prompts")
    return Checkpoint(
        folder=folder,
        format="sentence-transformers",
        settings=bert.path,
        fingerprint=transformer.fingerprint(
            said.path,
            bert.path,
            folder / modules.MODULES,
            skipping.path,
            dense=[layer.weights for layer in dense],
        ),
        name=folder.name,
        revision="",
        precision=transformer.precision,
        dim=dense[-1].out_features if dense else transformer.config.count("hidden_size"),
        query_length=lengths["query"],
        document_length=lengths["document"],
        lengths_count_all=True,
        query_prefix=prompts.text("query", ""),
        document_prefix=prompts.text("document", ""),
        lowercase="tokenizer" if bert.flag("do_lower_case", False) else "never",
        query_skip=skipped if "query" in tasks else (),
        document_skip=skipped if "document" in tasks else (),
        skip_rule="known",
        query_expansion=fill,
        dense=dense,
        graph=transformer.graph,
        graph_end="hidden",
        weights=transformer.weights,
        remote_code=transformer.remote_code,
    )


def _length(said: Fields, field: str, longest: int | None) -> int:
    length: int | None = said.count(field, longest)
    if length is None:
        raise said.fault(field, "is missing, and neither tokenizer nor transformer has a limit")
    return length


def _check(found: list[modules.Module], folder: Path) -> None:
    """Refuse what is not known, and what does not end in unit rows."""
    for module in found:
        if module.kind not in _KNOWN:
            raise modules.refuse(module, folder)
    kinds = [module.kind for module in found]
    if "Normalize" not in kinds or "Dense" in kinds[kinds.index("Normalize") :]:
        raise CheckpointError(
            f"embeddings are not normalised at the end: {folder / modules.MODULES}. Token "
            "embeddings must be unit vectors: append a Normalize module and save the model again."
        )
    normalize = Fields.read_if_there(found[kinds.index("Normalize")].folder / "config.json")
    if normalize.text("module_input_name", "sentence_embedding") != "token_embeddings":
        raise normalize.fault("module_input_name", 'must be "token_embeddings"')

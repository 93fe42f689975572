"""What one reference package makes of the checkpoints: tokens, masks, token embeddings.

    ENVIRONMENT/bin/python reference.py PACKAGE CHECKPOINTS TO

PACKAGE is ``colbert-ai``, ``pylate`` or ``sentence-transformers``. Each text of ``texts.json`` is
encoded alone, as a query and as a document, with what the package does when nothing is said.
Writes ``TO/CHECKPOINT.PACKAGE.npz`` and ``TO/PACKAGE.json``: versions, and what was refused, why.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

TEXTS = json.loads(Path(__file__).with_name("texts.json").read_text(encoding="utf-8"))
ROLES = ("query", "document")


class Encoded(NamedTuple):
    """One text: ids, attention and kept (n_positions,); embeddings (n_kept, dim) float32."""

    ids: torch.Tensor
    attention: torch.Tensor
    kept: torch.Tensor
    embeddings: torch.Tensor


Encode = Callable[[str, str], Encoded]


def colbert_ai(folder: str) -> Encode:
    from colbert.infra import ColBERTConfig
    from colbert.modeling.checkpoint import Checkpoint
    from colbert.modeling.colbert import ColBERT

    ColBERT.loaded_extensions = True  # C++ for scoring, compiled at first use: not needed here
    model = Checkpoint(folder, colbert_config=ColBERTConfig(), verbose=0)
    if not model.colbert_config.mask_punctuation:
        model.skiplist = {}  # encoding a document asks for it, and it is not set then

    def encode(text: str, role: str) -> Encoded:
        if role == "query":
            ids, attention = model.query_tokenizer.tensorize([text])
            embeddings = model.queryFromText([text])
            kept = torch.tensor(model.mask(ids, skiplist=[]))
        else:
            ids, attention = model.doc_tokenizer.tensorize([text])
            embeddings, kept = model.doc(ids, attention, keep_dims="return_mask")
            kept = kept[..., 0]
        return Encoded(ids[0], attention[0], kept[0], embeddings[0][kept[0]])

    return encode


def pylate(folder: str) -> Encode:
    from pylate import models

    model = models.ColBERT(folder, device="cpu")

    def encode(text: str, role: str) -> Encoded:
        whole = model.encode([text], is_query=role == "query", output_value=None)
        ids, attention, kept = (
            torch.as_tensor(whole[name][0]) for name in ("input_ids", "attention_mask", "masks")
        )
        rows = model.encode([text], is_query=role == "query")[0]
        return Encoded(ids, attention, kept, torch.as_tensor(rows))

    return encode


def sentence_transformers(folder: str) -> Encode:
    from sentence_transformers import MultiVectorEncoder

    model = MultiVectorEncoder(folder, device="cpu", local_files_only=True)

    def encode(text: str, role: str) -> Encoded:
        call = model.encode_query if role == "query" else model.encode_document
        given = model.preprocess([text], prompt=model.prompts.get(role), task=role)
        whole = call([text], output_value=None)[0]
        assert torch.equal(given["input_ids"][0], whole["input_ids"])
        rows = torch.as_tensor(call([text])[0])
        return Encoded(
            whole["input_ids"], given["attention_mask"][0], whole["attention_mask"], rows
        )

    return encode


#: package -> (how it encodes, the checkpoints that it is for, by how their names begin).
PACKAGES: dict[str, tuple[Callable[[str], Encode], tuple[str, ...]]] = {
    "colbert-ai": (colbert_ai, ("stanford",)),
    "pylate": (pylate, ("stanford", "pylate", "native")),
    "sentence-transformers": (sentence_transformers, ("stanford", "pylate", "native")),
}


def main(package: str, checkpoints: Path, to: Path) -> None:
    load, formats = PACKAGES[package]
    refused: dict[str, str] = {}
    for folder in sorted(checkpoints.iterdir()):
        if not folder.name.startswith(formats):
            continue
        arrays: dict[str, np.ndarray] = {}
        try:
            encode = load(str(folder))
        except Exception as cause:
            refused[folder.name] = said(cause)
            continue
        for role in ROLES:
            try:
                with torch.inference_mode():
                    arrays |= packed(role, [encode(text, role) for text in TEXTS.values()])
            except Exception as cause:
                refused[f"{folder.name}, {role}"] = said(cause)
        np.savez_compressed(to / f"{folder.name}.{package}.npz", **arrays)
    names = {package, "sentence-transformers", "transformers", "tokenizers", "torch"}
    about = {
        "versions": {name: version(name) for name in sorted(names) if version(name)},
        "refused": refused,
    }
    (to / f"{package}.json").write_text(json.dumps(about, indent=2) + "\n")


def packed(role: str, encoded: list[Encoded]) -> dict[str, np.ndarray]:
    """All texts of a role end to end, with the number of positions of each."""
    assert all(e.embeddings.isfinite().all() for e in encoded)
    return {
        f"{role}.positions": np.array([len(e.ids) for e in encoded], np.uint16),
        f"{role}.ids": torch.cat([e.ids for e in encoded]).numpy().astype(np.uint16),
        f"{role}.attention": torch.cat([e.attention for e in encoded]).numpy().astype(bool),
        f"{role}.kept": torch.cat([e.kept for e in encoded]).numpy().astype(bool),
        f"{role}.embeddings": torch.cat([e.embeddings for e in encoded]).float().numpy(),
    }


def said(cause: Exception) -> str:
    """The first line of an error."""
    return f"{type(cause).__name__}: {str(cause).splitlines()[0] if str(cause) else ''}"


def version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name).partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))

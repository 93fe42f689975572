"""Checkpoints in three formats, each saved by the package whose format it is.

    colbert/bin/python checkpoints.py stanford BASES TO
    pylate/bin/python checkpoints.py pylate BASES TO
    st/bin/python checkpoints.py native BASES TO

BASES is what ``bases.py`` made.
"""

from __future__ import annotations

import json
import shutil
import string
import sys
from pathlib import Path
from typing import Any

#: Stanford ColBERT: name -> (base, tokens to add to its tokenizer, settings).
STANFORD: dict[str, tuple[str, list[str], dict[str, Any]]] = {
    "stanford-bert": ("bert", [], {}),
    "stanford-cased": ("cased", [], {"attend_to_mask_tokens": True, "mask_punctuation": False}),
    "stanford-distilbert": ("distilbert", [], {"query_maxlen": 24}),
    "stanford-electra": ("electra", [], {"attend_to_mask_tokens": True}),
    "stanford-xlm-roberta": (
        "xlm-roberta",
        ["[QueryMarker]", "[DocumentMarker]"],
        {"query_token_id": "[QueryMarker]", "doc_token_id": "[DocumentMarker]"},
    ),
    "stanford-modernbert": ("modernbert", [], {"doc_maxlen": 40}),
    "stanford-minilm": ("minilm", [], {"query_maxlen": 32, "doc_maxlen": 180}),
}

#: PyLate: name -> (base, settings, layers after the projection).
PYLATE: dict[str, tuple[str, dict[str, Any], list[dict[str, Any]]]] = {
    "pylate-bert": ("bert", {}, []),
    "pylate-minilm": ("minilm", {"query_length": 32, "document_length": 180}, []),
    "pylate-modernbert": ("modernbert", {"document_length": 40}, []),
    "pylate-xlm-roberta": (
        "xlm-roberta",
        {"attend_to_expansion_tokens": True, "skiplist_words": [".", ",", "the", "▁is"]},
        [],
    ),
    "pylate-unmarked": (
        "distilbert",
        {
            "query_prefix": "",
            "document_prefix": "",
            "do_query_expansion": False,
            "skiplist_words": [],
        },
        [{"in_features": 8, "out_features": 16, "activation": "GELU", "use_residual": True}],
    ),
    "pylate-layers": (
        "electra",
        {"query_prefix": "[unused0]", "document_prefix": "[unused1]"},
        [
            {"in_features": 8, "out_features": 24, "activation": "Tanh", "bias": True},
            {"in_features": 24, "out_features": 24, "use_residual": True},
            {"in_features": 24, "out_features": 8, "activation": "ReLU", "use_residual": True},
        ],
    ),
    "pylate-lowered": ("cased", {}, []),
    "pylate-prompts": ("bert", {"do_query_expansion": False}, []),
}

#: sentence-transformers: name -> (base, tokens to add, Transformer, layers, mask, prompts).
NATIVE: dict[str, tuple[str, list[str], dict, list[dict], dict, dict]] = {
    "native-bert": (
        "bert",
        [],
        {
            "query_expansion": {"strategy": "fixed", "length": 16},
            "document_length": 28,
        },
        [{"in_features": 32, "out_features": 8, "bias": False}],
        {"skiplist_words": list(string.punctuation)},
        {"query": "[Q] ", "document": "[D] "},
    ),
    "native-modernbert": (
        "modernbert",
        ["[Q]", "[D]"],
        {
            "query_expansion": {"strategy": "min", "length": 16, "attend": True},
            "query_length": 24,
            "document_length": 40,
        },
        [{"in_features": 32, "out_features": 8, "bias": False}],
        {"skiplist_words": list(string.punctuation)},
        {"query": "[Q] ", "document": "[D] "},
    ),
    "native-xlm-roberta": (
        "xlm-roberta",
        [],
        {},
        [{"in_features": 32, "out_features": 8, "bias": False}],
        {},
        {},
    ),
    "native-minilm": (
        "minilm",
        ["[Q]", "[D]"],
        {"query_expansion": {"strategy": "min", "length": 32}, "document_length": 180},
        [{"in_features": 384, "out_features": 8, "bias": False}],
        {"skiplist_words": list(string.punctuation)},
        {"query": "[Q] ", "document": "[D] "},
    ),
    "native-layers": (
        "distilbert",
        [],
        {
            "query_expansion": {
                "strategy": "fixed", "length": 16, "attend": True, "token": "[unused2]"
            },
            "document_length": 28,
        },
        [
            {"in_features": 32, "out_features": 24, "activation": "Tanh", "bias": True},
            {"in_features": 24, "out_features": 24, "activation": "GELU", "use_residual": True},
            {"in_features": 24, "out_features": 8, "use_residual": True},
        ],
        {"skiplist_words": [".", ",", "the"], "skiplist_tasks": ["query", "document"]},
        {"query": "search: "},
    ),
    "native-lowered": (
        "cased",
        [],
        {
            "query_expansion": {"strategy": "min", "length": 10},
            "query_length": 14,
            "document_length": 20,
        },
        [{"in_features": 32, "out_features": 8, "bias": False}],
        {"skiplist_words": ["[UNK]", "nowhere"]},
        {"query": "query: ", "document": "passage: "},
    ),
}  # fmt: skip

#: What is written into a checkpoint's files after it is saved, as older versions or people did:
#: name -> file -> fields.
CHANGES: dict[str, dict[str, dict[str, Any]]] = {
    "pylate-lowered": {"sentence_bert_config.json": {"do_lower_case": True}},
    "pylate-prompts": {
        "config_sentence_transformers.json": {
            "prompts": {"query": "search: ", "document": "passage: "}
        }
    },
    "native-lowered": {"sentence_bert_config.json": {"do_lower_case": True}},
}

#: What each format's settings are where nothing else is said.
WIDTH = 8
QUERY_LENGTH = 16
DOCUMENT_LENGTH = 28


def stanford(bases: Path, to: Path) -> None:
    from colbert.infra import ColBERTConfig
    from colbert.modeling.base_colbert import BaseColBERT
    from transformers import AutoModel, AutoTokenizer

    for number, (name, (base, tokens, settings)) in enumerate(STANFORD.items()):
        source = bases / base
        if tokens:
            source = to / f"{name}.base"
            tokenizer = AutoTokenizer.from_pretrained(bases / base)
            tokenizer.add_tokens(tokens, special_tokens=True)
            model = AutoModel.from_pretrained(bases / base)
            seed(number)
            model.resize_token_embeddings(len(tokenizer))
            model.save_pretrained(source)
            tokenizer.save_pretrained(source)
        defaults = {"dim": WIDTH, "query_maxlen": QUERY_LENGTH, "doc_maxlen": DOCUMENT_LENGTH}
        model = BaseColBERT(str(source), colbert_config=ColBERTConfig(**(defaults | settings)))
        seed(number)
        model.linear.weight.data.normal_(std=0.3)  # some architectures leave it as memory had it
        model.save(str(to / name))
        if source.parent == to:
            shutil.rmtree(source)
        forget_the_machine(to / name / "artifact.metadata")


def forget_the_machine(path: Path) -> None:
    """Keep of the settings what says how to encode, as those of a published checkpoint do."""
    kept = (
        "query_token_id", "doc_token_id", "query_token", "doc_token", "dim", "doc_maxlen",
        "mask_punctuation", "query_maxlen", "attend_to_mask_tokens", "interaction", "similarity",
    )  # fmt: skip
    settings = json.loads(path.read_text())
    write(path, {key: settings[key] for key in kept})


def pylate(bases: Path, to: Path) -> None:
    from pylate import models
    from torch import nn

    for number, (name, (base, settings, layers)) in enumerate(PYLATE.items()):
        defaults = {"query_length": QUERY_LENGTH, "document_length": DOCUMENT_LENGTH}
        seed(number)
        model = models.ColBERT(
            str(bases / base), embedding_size=WIDTH, device="cpu", **(defaults | settings)
        )
        for layer in layers:
            options = dict(layer)
            activation = getattr(nn, options.pop("activation", "Identity"))()
            model.append(models.Dense(**{"bias": False} | options, activation_function=activation))
        model.save_pretrained(str(to / name), create_model_card=False)
        change(to / name)


def native(bases: Path, to: Path) -> None:
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Dense, Normalize, Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
    from torch import nn

    for number, (name, entry) in enumerate(NATIVE.items()):
        base, tokens, settings, layers, mask, prompts = entry
        seed(number)
        transformer = Transformer(str(bases / base), **settings)
        if tokens:
            transformer.tokenizer.add_tokens(tokens, special_tokens=True)
            transformer.model.resize_token_embeddings(len(transformer.tokenizer))
        modules = [transformer]
        for layer in layers:
            options = dict(layer)
            activation = getattr(nn, options.pop("activation", "Identity"))()
            modules.append(
                Dense(
                    **options, activation_function=activation, module_input_name="token_embeddings"
                )
            )
        modules += [MultiVectorMask(**mask), Normalize(module_input_name="token_embeddings")]
        model = MultiVectorEncoder(modules=modules, prompts=prompts, device="cpu")
        model.save_pretrained(str(to / name), create_model_card=False)
        change(to / name)


def change(folder: Path) -> None:
    for name, fields in CHANGES.get(folder.name, {}).items():
        write(folder / name, json.loads((folder / name).read_text()) | fields)


def seed(number: int) -> None:
    import torch

    torch.manual_seed(100 + number)


def write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    wanted, *folders = sys.argv[1:]
    {"stanford": stanford, "pylate": pylate, "native": native}[wanted](*map(Path, folders))

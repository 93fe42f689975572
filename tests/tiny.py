"""Tiny checkpoints with random weights in every format, and what they make of token ids.

Their transformer is a table of vectors: a position becomes ``tanh(own + mean of those seen)``, so
that order, markers, filling and attention all show. It is written as an ONNX graph by hand.
"""

from __future__ import annotations

import json
import string
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

HIDDEN, DIM = 12, 8

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]", "[unused1]"]
WORDS = ["the", "sky", "is", "blue", "a", "why", "how", "does", "query", "document", "sea"]
WORDS += ["##s", "##ing", "café", "cafe"]


def write_json(path: Path, values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values), encoding="utf-8")


def tokenizer(folder: Path, *added: str | AddedToken, lowercase: bool = True) -> Tokenizer:
    """A word-piece tokenizer like BERT's, saved in a folder with the file that names its tokens."""
    letters = [*string.ascii_letters, *string.digits]
    words = [*SPECIAL, *string.punctuation, *letters, *(f"##{one}" for one in letters), *WORDS]
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys(words))}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    made.add_special_tokens(SPECIAL[:5])
    for one in added:
        token = one if isinstance(one, AddedToken) else AddedToken(one, normalized=False)
        (made.add_special_tokens if token.special else made.add_tokens)([token])
    folder.mkdir(parents=True, exist_ok=True)
    made.save(str(folder / "tokenizer.json"))
    write_json(
        folder / "tokenizer_config.json",
        {"mask_token": "[MASK]", "unk_token": "[UNK]", "model_max_length": 64},
    )
    return made


@dataclass
class Tiny:
    """A folder, and the arrays that are in it."""

    folder: Path
    words: np.ndarray
    layers: list[dict[str, Any]] = field(default_factory=list)

    def hidden(self, ids: np.ndarray, attention: np.ndarray | None = None) -> np.ndarray:
        rows = self.words[ids]
        seen = np.ones(len(ids)) if attention is None else attention
        return np.tanh(rows + (rows * seen[:, None]).sum(axis=0) / seen.sum())

    def embeddings(self, ids: np.ndarray, attention: np.ndarray | None = None) -> np.ndarray:
        rows = self.hidden(ids, attention)
        for layer in self.layers:
            out = rows @ layer["weight"].T + layer.get("bias", 0)
            out = layer.get("activation", lambda x: x)(out)
            if "residual" in layer:
                out = out + rows @ layer["residual"].T
            elif layer.get("adds"):
                out = out + rows
            rows = out
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def words(n_words: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n_words, HIDDEN)).astype(np.float32)


def graph(
    path: Path,
    table: np.ndarray,
    *,
    projection: np.ndarray | None = None,
    inputs: tuple[str, ...] = ("input_ids", "attention_mask", "token_type_ids"),
    kind: int = TensorProto.INT64,
    output: str = "last_hidden_state",
) -> None:
    """Write the transformer; with a projection, unit embeddings come out of it."""
    arrays = {
        "table": table,
        "one": np.array([1], np.int64),
        "last": np.array([2], np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("Cast", ["attention_mask"], ["seen"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["seen", "last"], ["column"]),
        helper.make_node("Mul", ["rows", "column"], ["masked"]),
        helper.make_node("ReduceSum", ["masked", "one"], ["sum"], keepdims=1),
        helper.make_node("ReduceSum", ["column", "one"], ["count"], keepdims=1),
        helper.make_node("Div", ["sum", "count"], ["mean"]),
        helper.make_node("Add", ["rows", "mean"], ["added"]),
        helper.make_node("Tanh", ["added"], ["hidden"]),
    ]
    if projection is not None:
        arrays["projection"] = np.ascontiguousarray(projection.T)
        nodes += [
            helper.make_node("MatMul", ["hidden", "projection"], ["projected"]),
            helper.make_node("LpNormalization", ["projected"], [output], axis=-1, p=2),
        ]
    else:
        nodes.append(helper.make_node("Identity", ["hidden"], [output]))
    if "attention_mask" not in inputs:
        nodes.insert(0, helper.make_node("Sign", ["plus"], ["attention_mask"]))
        nodes.insert(0, helper.make_node("Add", ["input_ids", "one"], ["plus"]))
    width = HIDDEN if projection is None else len(projection)
    made = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, kind, ["batch", "length"]) for name in inputs],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", "length", width])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)


def _matrix(n_out: int, n_in: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n_out, n_in)).astype(np.float32)


def stanford(folder: Path, **metadata: Any) -> Tiny:
    """As colbert-ai saves it, with the transformer's graph where optimum puts it."""
    made = tokenizer(folder)
    tiny = Tiny(folder, words(made.get_vocab_size()), [{"weight": _matrix(DIM, HIDDEN, 1)}])
    save_file(
        {"linear.weight": tiny.layers[0]["weight"], "bert.words": tiny.words},
        folder / "model.safetensors",
    )
    write_json(
        folder / "config.json",
        {"architectures": ["HF_ColBERT"], "model_type": "bert", "max_position_embeddings": 64},
    )
    said = {"query_maxlen": 10, "doc_maxlen": 20, "dim": DIM, "mask_punctuation": True}
    write_json(folder / "artifact.metadata", said | metadata)
    graph(folder / "onnx" / "model.onnx", tiny.words)
    return tiny


def dense(folder: Path, layer: dict[str, Any], **config: Any) -> None:
    """A dense module's folder."""
    folder.mkdir(parents=True)
    arrays = {"linear.weight": layer["weight"]}
    if "bias" in layer:
        arrays["linear.bias"] = layer["bias"]
    if "residual" in layer:
        arrays["residual.weight"] = layer["residual"]
    save_file(arrays, folder / "model.safetensors")
    n_out, n_in = layer["weight"].shape
    said = {
        "in_features": n_in,
        "out_features": n_out,
        "bias": "bias" in layer,
        "activation_function": "torch.nn.modules.linear.Identity",
    }
    write_json(folder / "config.json", said | config)


def pylate(folder: Path, *, graph_at: str | None = "onnx/model.onnx", **settings: Any) -> Tiny:
    """As PyLate saves it: markers in the vocabulary, two dense layers."""
    made = tokenizer(folder, "[Q] ", "[D] ")
    layers: list[dict[str, Any]] = [
        {"weight": _matrix(16, HIDDEN, 1), "residual": _matrix(16, HIDDEN, 2)},
        {
            "weight": _matrix(DIM, 16, 3),
            "bias": np.linspace(-1, 1, DIM, dtype=np.float32),
            "activation": np.tanh,
        },
    ]
    tiny = Tiny(folder, words(made.get_vocab_size()), layers)
    save_file({"words": tiny.words}, folder / "model.safetensors")
    write_json(folder / "config.json", {"model_type": "bert", "max_position_embeddings": 64})
    write_json(
        folder / "modules.json",
        [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Dense", "type": "pylate.models.Dense.Dense"},
            {"idx": 2, "name": "2", "path": "2_Dense", "type": "pylate.models.Dense.Dense"},
        ],
    )
    dense(folder / "1_Dense", layers[0], use_residual=True)
    tanh = "torch.nn.modules.activation.Tanh"
    dense(folder / "2_Dense", layers[1], activation_function=tanh)
    said = {
        "model_type": "ColBERT",
        "query_prefix": "[Q] ",
        "document_prefix": "[D] ",
        "query_length": 10,
        "document_length": 20,
        "do_query_expansion": True,
        "attend_to_expansion_tokens": False,
        "skiplist_words": [*string.punctuation],
        "prompts": {"query": "", "document": ""},
    }
    write_json(folder / "config_sentence_transformers.json", said | settings)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 64, "do_lower_case": False})
    if graph_at:
        graph(folder / graph_at, tiny.words)
    return tiny


def native(folder: Path, *, prompts: dict[str, str] | None = None, **settings: Any) -> Tiny:
    """As sentence-transformers 6 saves a ``MultiVectorEncoder``."""
    mask = settings.pop("mask", {"skiplist_words": [*string.punctuation]})
    marker = AddedToken("[Q] ", normalized=False, special=True)
    made = tokenizer(folder, marker, AddedToken("[D] ", normalized=False, special=True))
    layers: list[dict[str, Any]] = [{"weight": _matrix(DIM, HIDDEN, 1)}]
    tiny = Tiny(folder, words(made.get_vocab_size()), layers)
    save_file({"words": tiny.words}, folder / "model.safetensors")
    write_json(folder / "config.json", {"model_type": "bert", "max_position_embeddings": 64})
    base = "sentence_transformers.base.modules"
    chain = [
        ("", f"{base}.transformer.Transformer"),
        ("1_Dense", f"{base}.dense.Dense"),
        (
            "2_MultiVectorMask",
            "sentence_transformers.multi_vector_encoder.modules.multi_vector_mask.MultiVectorMask",
        ),
        ("3_Normalize", f"{base}.normalize.Normalize"),
    ]
    write_json(
        folder / "modules.json",
        [{"idx": i, "name": str(i), "path": p, "type": t} for i, (p, t) in enumerate(chain)],
    )
    dense(folder / "1_Dense", layers[0], module_input_name="token_embeddings")
    write_json(folder / "2_MultiVectorMask" / "config.json", mask)
    write_json(folder / "3_Normalize" / "config.json", {"module_input_name": "token_embeddings"})
    write_json(
        folder / "config_sentence_transformers.json",
        {
            "model_type": "MultiVectorEncoder",
            "prompts": prompts or {"query": "[Q] ", "document": "[D] "},
            "similarity_fn_name": "maxsim",
        },
    )
    said = {
        "transformer_task": "feature-extraction",
        "document_length": 20,
        "query_expansion": {"strategy": "fixed", "attend": False, "token": None, "length": 10},
    }
    write_json(folder / "sentence_bert_config.json", said | settings)
    graph(folder / "onnx" / "model.onnx", tiny.words)
    return tiny


def next_plaid(folder: Path, **settings: Any) -> Tiny:
    """As next-plaid's exporter writes it."""
    made = tokenizer(folder, "[Q] ", "[D] ")
    tiny = Tiny(folder, words(made.get_vocab_size()), [{"weight": _matrix(DIM, HIDDEN, 1)}])
    graph(folder / "model.onnx", tiny.words, projection=tiny.layers[0]["weight"], output="output")
    (folder / "tokenizer_config.json").unlink()
    said = {
        "model_type": "ColBERT",
        "model_name": "owner/model",
        "uses_token_type_ids": True,
        "query_prefix": "[Q] ",
        "document_prefix": "[D] ",
        "query_length": 10,
        "document_length": 20,
        "do_query_expansion": True,
        "attend_to_expansion_tokens": False,
        "skiplist_words": [*string.punctuation],
        "embedding_dim": DIM,
        "mask_token_id": 4,
        "pad_token_id": 0,
        "do_lower_case": False,
    }
    write_json(folder / "onnx_config.json", said | settings)
    return tiny


def own(folder: Path, **settings: Any) -> Tiny:
    """As ``interlace export`` writes it."""
    made = tokenizer(folder)
    tiny = Tiny(folder, words(made.get_vocab_size()), [{"weight": _matrix(DIM, HIDDEN, 1)}])
    graph(folder / "model.onnx", tiny.words, projection=tiny.layers[0]["weight"])
    (folder / "tokenizer_config.json").unlink()
    said = {
        "format": 1,
        "name": "tiny",
        "revision": "1",
        "precision": "float32",
        "dim": DIM,
        "query_length": 10,
        "document_length": 20,
        "lengths_count_all": True,
        "query_marker": "[unused0]",
        "document_marker": "[unused1]",
        "document_skip": [*string.punctuation],
        "query_expansion": {"strategy": "fixed", "length": 10, "token": "[MASK]"},
    }
    write_json(folder / "interlace.json", said | settings)
    return tiny


#: format -> what makes a folder of it; all read the same query and document alike.
MAKERS = {
    "interlace": own,
    "pylate": pylate,
    "sentence-transformers": native,
    "stanford": stanford,
    "next-plaid": next_plaid,
}

"""The settings of published checkpoints, written by hand, and what they imply.

Weights and tokenizers are made up, of the published widths and with the published markers. Fields
whose published value could not be looked up again are marked *unsure*: the tests then hold for the
value that stands here.
"""

from __future__ import annotations

import string

import numpy as np
import pytest
import tiny
from safetensors.numpy import save_file
from tokenizers import AddedToken

from interlace.errors import CheckpointError
from interlace.models import Encoder
from interlace.models.checkpoint import Checkpoint
from interlace.models.tokens import TextTokenizer

PUNCTUATION = [*string.punctuation]


def stanford(folder, markers, metadata, config, width):
    added = [one for one in markers if not one.startswith("[unused")]
    tiny.tokenizer(folder, *(AddedToken(one, normalized=False, special=True) for one in added))
    tiny.write_json(folder / "artifact.metadata", metadata)
    tiny.write_json(folder / "config.json", {"architectures": ["HF_ColBERT"]} | config)
    weight = np.zeros((metadata["dim"], width), np.float32)
    save_file({"linear.weight": weight}, folder / "model.safetensors")


def pylate(folder, said, bert, config, layers):
    tiny.tokenizer(folder, said["query_prefix"], said["document_prefix"])
    kinds = ["sentence_transformers.models.Transformer.Transformer"]
    kinds += ["pylate.models.Dense.Dense"] * len(layers)
    chain = [
        {"idx": i, "name": str(i), "path": f"{i}_Dense" if i else "", "type": kind}
        for i, kind in enumerate(kinds)
    ]
    tiny.write_json(folder / "modules.json", chain)
    tiny.write_json(folder / "config_sentence_transformers.json", said)
    tiny.write_json(folder / "sentence_bert_config.json", bert)
    tiny.write_json(folder / "config.json", config)
    save_file({"x": np.zeros(1, np.float32)}, folder / "model.safetensors")
    for i, (n_in, n_out, residual) in enumerate(layers, start=1):
        layer = {"weight": np.zeros((n_out, n_in), np.float32)}
        if residual and n_in != n_out:
            layer["residual"] = layer["weight"]
        tiny.dense(folder / f"{i}_Dense", layer, **({"use_residual": True} if residual else {}))


def colbertv2(folder):
    """colbert-ir/colbertv2.0."""
    metadata = {
        "query_token_id": "[unused0]",
        "doc_token_id": "[unused1]",
        "query_token": "[Q]",
        "doc_token": "[D]",
        "nbits": 1,
        "kmeans_niters": 20,
        "similarity": "cosine",
        "query_maxlen": 32,
        "attend_to_mask_tokens": False,
        "interaction": "colbert",
        "dim": 128,
        "doc_maxlen": 180,
        "mask_punctuation": True,
    }
    config = {"model_type": "bert", "max_position_embeddings": 512, "hidden_size": 768}
    stanford(folder, ("[unused0]", "[unused1]"), metadata, config, 768)


def answerai_small(folder):
    """answerdotai/answerai-colbert-small-v1; unsure: ``doc_maxlen``."""
    metadata = {
        "query_token_id": "[unused0]",
        "doc_token_id": "[unused1]",
        "query_maxlen": 32,
        "attend_to_mask_tokens": False,
        "dim": 96,
        "doc_maxlen": 300,
        "mask_punctuation": True,
    }
    config = {"model_type": "bert", "max_position_embeddings": 512, "hidden_size": 384}
    stanford(folder, ("[unused0]", "[unused1]"), metadata, config, 384)


def jina_v2(folder):
    """jinaai/jina-colbert-v2, whose maker says 8,192 tokens; unsure: ``mask_punctuation``."""
    metadata = {
        "query_token_id": "[QueryMarker]",
        "doc_token_id": "[DocumentMarker]",
        "query_maxlen": 32,
        "attend_to_mask_tokens": True,
        "dim": 128,
        "doc_maxlen": 8192,
        "mask_punctuation": True,
    }
    code = "jinaai/xlm-roberta-flash-implementation--modeling_xlm_roberta.XLMRobertaModel"
    config = {
        "model_type": "xlm-roberta",
        "max_position_embeddings": 8194,
        "pad_token_id": 1,
        "hidden_size": 1024,
        "auto_map": {"AutoModel": code},
    }
    stanford(folder, ("[QueryMarker]", "[DocumentMarker]"), metadata, config, 1024)


def gte_modern(folder):
    """lightonai/GTE-ModernColBERT-v1: saved before PyLate named its model type."""
    said = {
        "prompts": {},
        "default_prompt_name": None,
        "similarity_fn_name": "MaxSim",
        "query_prefix": "[Q] ",
        "document_prefix": "[D] ",
        "query_length": 32,
        "document_length": 300,
        "attend_to_expansion_tokens": False,
        "skiplist_words": PUNCTUATION,
    }
    bert = {"max_seq_length": 299, "do_lower_case": False}
    config = {"model_type": "modernbert", "max_position_embeddings": 8192, "hidden_size": 768}
    pylate(folder, said, bert, config, [(768, 128, False)])


def mxbai_edge(folder):
    """mixedbread-ai/mxbai-edge-colbert-v0-17m.

    Unsure: lengths, and which of the layers have a residual.
    """
    said = {
        "model_type": "ColBERT",
        "prompts": {"query": "", "document": ""},
        "query_prefix": "[Q] ",
        "document_prefix": "[D] ",
        "query_length": 48,
        "document_length": 512,
        "attend_to_expansion_tokens": False,
        "skiplist_words": PUNCTUATION,
        "do_query_expansion": True,
    }
    bert = {"max_seq_length": 511, "do_lower_case": True}
    config = {"model_type": "modernbert", "max_position_embeddings": 7999, "hidden_size": 256}
    pylate(folder, said, bert, config, [(256, 512, True), (512, 48, False)])


def late_on(folder):
    """lightonai/LateOn; unsure: lengths, ``do_query_expansion``."""
    said = {
        "model_type": "ColBERT",
        "prompts": {"query": "", "document": ""},
        "query_prefix": "[Q] ",
        "document_prefix": "[D] ",
        "query_length": 32,
        "document_length": 300,
        "attend_to_expansion_tokens": False,
        "skiplist_words": PUNCTUATION,
        "do_query_expansion": False,
    }
    bert = {"max_seq_length": 299, "do_lower_case": False}
    config = {"model_type": "modernbert", "max_position_embeddings": 8192, "hidden_size": 768}
    pylate(folder, said, bert, config, [(768, 128, False)])


#: maker -> format, dim, query and document length, positions of a short query, whether all are seen
IMPLIED = [
    (colbertv2, "stanford", 128, 32, 180, 32, False),
    (answerai_small, "stanford", 96, 32, 300, 32, False),
    (jina_v2, "stanford", 128, 32, 8192, 32, True),
    (gte_modern, "pylate", 128, 32, 300, 32, False),
    (mxbai_edge, "pylate", 48, 48, 512, 48, False),
    (late_on, "pylate", 128, 32, 300, 4, True),
]


@pytest.mark.parametrize(
    ("make", "format_", "dim", "query", "document", "positions", "all_seen"),
    IMPLIED,
    ids=lambda value: getattr(value, "__name__", None),
)
def test_it_implies(tmp_path, make, format_, dim, query, document, positions, all_seen):
    make(tmp_path)
    said = Checkpoint.read(tmp_path)
    assert (said.format, said.dim) == (format_, dim)
    assert (said.query_length, said.document_length) == (query, document)
    tokenizer = TextTokenizer(said)
    tokens = tokenizer.tokens("sky", "query")
    assert len(tokens.ids) == positions
    assert (tokens.attention is None) == all_seen
    assert tokens.kept.all()
    assert tokenizer.limit("document") == document - 3  # two special tokens and the marker
    assert tokenizer.tokens("sky, sea.", "document").kept.sum() == 5


def test_markers_of_a_multilingual_model_are_its_own(tmp_path):
    jina_v2(tmp_path)
    tokenizer = TextTokenizer(Checkpoint.read(tmp_path))
    assert tokenizer._tokenizer.id_to_token(int(tokenizer.tokens("x", "query").ids[1])) == (
        "[QueryMarker]"
    )


def test_a_model_whose_code_comes_with_it_is_read_but_not_run_unasked(tmp_path):
    jina_v2(tmp_path)
    assert Checkpoint.read(tmp_path).remote_code
    with pytest.raises(CheckpointError, match="Python code that comes with the weights"):
        Encoder.load(tmp_path)


def test_a_graph_runs_a_model_whose_code_comes_with_it(tmp_path):
    jina_v2(tmp_path)
    table = np.random.default_rng(0).normal(size=(400, tiny.HIDDEN)).astype(np.float32)
    weight = np.random.default_rng(1).normal(size=(128, tiny.HIDDEN)).astype(np.float32)
    save_file({"linear.weight": weight}, tmp_path / "model.safetensors")
    tiny.graph(tmp_path / "onnx" / "model.onnx", table, inputs=("input_ids", "attention_mask"))
    encoder = Encoder.load(tmp_path)
    assert encoder.backend == "onnx"
    assert encoder.encode_query(["sky"])[0].shape == (32, 128)


def test_a_model_of_lower_case_puts_texts_there_first(tmp_path):
    mxbai_edge(tmp_path)
    tiny.tokenizer(tmp_path, "[Q] ", "[D] ", lowercase=False)
    tokenizer = TextTokenizer(Checkpoint.read(tmp_path))
    upper, lower = (tokenizer.tokens(text, "document").ids for text in ("SKY", "sky"))
    assert upper.tolist() == lower.tolist()

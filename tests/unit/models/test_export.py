"""Models exported to run without torch: every kind of transformer, int8, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import tiny

import interlace
from interlace.errors import CheckpointError, InputError, MissingExtra, SettingsError
from interlace.models import Encoder

TEXTS = ["why is the sky blue?", "Café SEA", "x", "the sea, " * 12, "how does a sea sing; a b c!"]


def test_without_torch_nothing_is_exported(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    tiny.pylate(tmp_path / "model")
    with pytest.raises(MissingExtra, match=r"interlace\[torch\]"):
        Encoder.export(tmp_path / "model", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_exported_already_is_refused(tmp_path):
    tiny.own(tmp_path / "model")
    with pytest.raises(SettingsError, match="no weights for torch"):
        Encoder.export(tmp_path / "model", tmp_path / "out")


@pytest.fixture(scope="module")
def torch():
    for package in ("sentence_transformers", "onnxscript"):
        pytest.importorskip(package, reason="the extra torch is not installed")
    return pytest.importorskip("torch")


SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
KINDS = {
    "bert": ("Bert", {}),
    "modernbert": (
        "ModernBert",
        # Half of it is more than a query: a mask token must see something.
        {"local_attention": 24, "global_attn_every_n_layers": 2, "cls_token_id": 2}
        | {"bos_token_id": 2, "eos_token_id": 3, "sep_token_id": 3},
    ),
    "xlm-roberta": ("XLMRoberta", {}),
    "distilbert": (
        "DistilBert",
        {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24},
    ),
    "electra": ("Electra", {"embedding_size": 8}),
}


@pytest.fixture
def model(request, torch, tmp_path):
    """A random model in Stanford's layout; the folder."""
    import transformers
    from safetensors.torch import save_file

    family, more = KINDS[getattr(request, "param", "bert")]
    folder = tmp_path / "model"
    tokenizer = tiny.tokenizer(folder)
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(
        vocab_size=tokenizer.get_vocab_size(), **(SIZES | more)
    )
    made = getattr(transformers, f"{family}Model")(config).eval()
    made.config.architectures = ["HF_ColBERT"]
    made.config.save_pretrained(folder)
    weights = {
        f"{made.base_model_prefix}.{name}": value.clone()
        for name, value in made.state_dict().items()
    }
    weights["linear.weight"] = torch.randn(tiny.DIM, 16)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    said = {"query_maxlen": 12, "doc_maxlen": 30, "dim": tiny.DIM}
    tiny.write_json(folder / "artifact.metadata", said)
    names = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    said = json.loads((folder / "tokenizer_config.json").read_text())
    names["tokenizer_class"] = "PreTrainedTokenizerFast"
    tiny.write_json(folder / "tokenizer_config.json", said | names)
    return folder


@pytest.mark.parametrize("model", KINDS, indirect=True)
def test_every_kind_of_transformer_runs_without_torch_as_with_it(model, tmp_path):
    report = Encoder.export(model, tmp_path / "out")
    assert report.difference < 1e-5
    assert (report.precision, report.mean_cosine, report.ndcg) == ("float32", None, None)
    assert report.n_bytes == (tmp_path / "out" / "model.onnx").stat().st_size
    before, after = Encoder.load(model), Encoder.load(tmp_path / "out")
    assert (before.backend, after.backend) == ("torch", "onnx")
    for verb in ("encode_query", "encode_document"):
        pairs = zip(getattr(before, verb)(TEXTS), getattr(after, verb)(TEXTS), strict=True)
        for one, other in pairs:
            np.testing.assert_allclose(other, one, atol=1e-5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "out"]


def test_int8_says_what_it_costs(model, tmp_path):
    judged = tmp_path / "set"
    (judged / "qrels").mkdir(parents=True)
    (judged / "corpus.jsonl").write_text(
        "\n".join(json.dumps({"_id": str(i), "text": text}) for i, text in enumerate(TEXTS))
    )
    (judged / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": TEXTS[0]}))
    (judged / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\t0\t1\n")
    whole = Encoder.export(model, tmp_path / "whole")
    report = Encoder.export(model, tmp_path / "out", int8=True, on=judged)
    assert report.precision == "int8"
    assert report.n_bytes < whole.n_bytes
    assert 0.9 < report.least_cosine < report.mean_cosine < 1
    assert 0 < report.ndcg <= 1
    assert 0 < report.ndcg_float32 <= 1
    one, other = Encoder.load(tmp_path / "out"), Encoder.load(tmp_path / "whole")
    assert one.fingerprint != other.fingerprint
    matrix = one.encode_document(TEXTS)[3]
    assert matrix.tobytes() == one.encode_document([TEXTS[3]])[0].tobytes()


def test_a_place_that_is_taken_is_left_alone(model, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="there is something already"):
        Encoder.export(model, tmp_path / "out")


def test_nothing_is_left_of_an_export_that_fails(model, tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        Encoder.export(model, tmp_path / "out", on=tmp_path / "no-such-set")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_graph_that_computes_something_else_is_refused(model, tmp_path, monkeypatch):
    from interlace.models.backends.torch import TorchBackend

    run = TorchBackend.run_many
    monkeypatch.setattr(
        TorchBackend, "run_many", lambda self, texts: [-one for one in run(self, texts)]
    )
    with pytest.raises(CheckpointError, match="the graph differs by"):
        Encoder.export(model, tmp_path / "out")


def test_an_exported_model_makes_a_collection(model, tmp_path):
    Encoder.export(model, tmp_path / "out", int8=True)
    texts = [text for text in TEXTS if len(text) < 40]
    with interlace.create(tmp_path / "x.lace", model=tmp_path / "out") as collection:
        collection.add(texts)
    expected = Encoder.load(tmp_path / "out").similarity([texts[0]], texts)[0]
    with interlace.open(tmp_path / "x.lace") as collection:
        hits = collection.search(texts[0], mode="late")
    scores = {hit.text: hit.score for hit in hits}
    assert [scores[text] for text in texts] == pytest.approx(expected, abs=0.05)


def test_the_command_says_the_same_in_words_and_in_json(model, tmp_path):
    def run(*arguments):
        command = [sys.executable, "-m", "interlace.cli", "export", str(model), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True)

    told = json.loads(run("--to", str(tmp_path / "a"), "--int8", "--json").stdout)
    assert told["precision"] == "int8"
    assert told["n_bytes"] == (tmp_path / "a" / "model.onnx").stat().st_size
    said = " ".join(run("--to", str(tmp_path / "b"), "--int8").stdout.split())
    assert f"mean cosine of {told['mean_cosine']:.4f}" in said

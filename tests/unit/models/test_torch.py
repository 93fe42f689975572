"""Models in torch: as sentence-transformers runs them, batches, trust, and no torch."""

from __future__ import annotations

import json
import pickle
import string
import sys

import numpy as np
import parity
import pytest
import tiny

import interlace
from interlace.errors import CheckpointError, MissingExtra, SettingsError
from interlace.models import Encoder
from interlace.models.checkpoint import Checkpoint
from interlace.models.tokens import TextTokenizer

TEXTS = ["why is the sky blue?", "Café SEA", "x", "the sea, " * 12, "how does a sea sing; a b c!"]


def without_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)


def test_without_torch_a_model_without_a_graph_says_what_to_do(tmp_path, monkeypatch):
    without_torch(monkeypatch)
    tiny.pylate(tmp_path, graph_at=None)
    with pytest.raises(MissingExtra, match=r"pip install.*interlace\[torch\].*interlace export"):
        Encoder.load(tmp_path)


def test_without_torch_a_graph_runs(tmp_path, monkeypatch):
    without_torch(monkeypatch)
    tiny.pylate(tmp_path)
    assert Encoder.load(tmp_path).backend == "onnx"
    with pytest.raises(MissingExtra, match=r"interlace\[torch\]"):
        Encoder.load(tmp_path, backend="torch")


def test_code_that_comes_with_weights_is_not_run_unasked(tmp_path):
    tiny.pylate(tmp_path, graph_at=None)
    config = tmp_path / "config.json"
    said = json.loads(config.read_text()) | {"auto_map": {"AutoModel": "evil.Model"}}
    config.write_text(json.dumps(said))
    (tmp_path / "evil.py").write_text("raise SystemExit('it was run')")
    with pytest.raises(CheckpointError, match=r"auto_map.*trust_remote_code=True"):
        Encoder.load(tmp_path)


def test_our_own_folders_are_not_for_torch(tmp_path):
    tiny.own(tmp_path)
    with pytest.raises(SettingsError, match="no weights for torch"):
        Encoder.load(tmp_path, backend="torch")


@pytest.mark.parametrize("device", ["cuda:7", "tpu"])
def test_a_device_that_onnx_has_not_is_refused(tmp_path, device):
    tiny.own(tmp_path)
    with pytest.raises(SettingsError, match="no weights for torch"):
        Encoder.load(tmp_path, device=device)


@pytest.fixture(scope="module")
def torch():
    pytest.importorskip("sentence_transformers", reason="the extra torch is not installed")
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def bert(torch):
    """A random BERT of two layers, with the tiny tokenizer's words."""
    import transformers

    def make(n_words, **config):
        torch.manual_seed(0)
        return transformers.BertModel(
            transformers.BertConfig(
                vocab_size=n_words,
                hidden_size=16,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=24,
                max_position_embeddings=64,
                **config,
            )
        ).eval()

    return make


@pytest.fixture
def stanford(torch, bert, tmp_path):
    """Stanford's layout with real weights; returns the folder."""
    from safetensors.torch import save_file

    tokenizer = tiny.tokenizer(tmp_path)
    model = bert(tokenizer.get_vocab_size())
    model.config.architectures = ["HF_ColBERT"]
    model.config.save_pretrained(tmp_path)
    weights = {f"bert.{name}": value.clone() for name, value in model.state_dict().items()}
    weights["linear.weight"] = torch.randn(tiny.DIM, 16)
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    tiny.write_json(
        tmp_path / "artifact.metadata", {"query_maxlen": 12, "doc_maxlen": 30, "dim": tiny.DIM}
    )
    said = json.loads((tmp_path / "tokenizer_config.json").read_text())
    names = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    names["tokenizer_class"] = "PreTrainedTokenizerFast"
    tiny.write_json(tmp_path / "tokenizer_config.json", said | names)
    return tmp_path


def as_native(folder, source, **changes):
    """What sentence-transformers saves of a model that it has loaded."""
    from sentence_transformers import MultiVectorEncoder

    model = MultiVectorEncoder(str(source), device="cpu")
    for name, value in changes.items():
        setattr(model[0], name, value)
    model.save_pretrained(str(folder))
    return folder


def as_pylate(folder, source, **changes):
    """The same as PyLate lays it out: no mask, no normalisation, settings in one file."""
    as_native(folder, source)
    chain = json.loads((folder / "modules.json").read_text())[:2]
    tiny.write_json(folder / "modules.json", chain)
    said = {
        "model_type": "ColBERT",
        "query_prefix": "[unused0]",
        "document_prefix": "[unused1]",
        "query_length": 12,
        "document_length": 30,
        "skiplist_words": [*string.punctuation],
    }
    tiny.write_json(folder / "config_sentence_transformers.json", said | changes)
    tiny.write_json(folder / "sentence_bert_config.json", {"max_seq_length": 64})
    return folder


LAYOUTS = {
    "stanford": lambda folder, source: source,
    "native": as_native,
    "native with a floor": lambda folder, source: as_native(
        folder, source, query_expansion={"strategy": "min", "length": 9, "attend": True}
    ),
    "native without expansion": lambda folder, source: as_native(
        folder, source, query_expansion=None, query_length=12
    ),
    "pylate": as_pylate,
    "pylate that sees its masks": lambda folder, source: as_pylate(
        folder, source, attend_to_expansion_tokens=True
    ),
    "pylate without expansion": lambda folder, source: as_pylate(
        folder, source, do_query_expansion=False
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_is_what_sentence_transformers_makes(stanford, tmp_path, layout):
    from sentence_transformers import MultiVectorEncoder

    folder = LAYOUTS[layout](tmp_path / "copy", stanford)
    theirs, ours = MultiVectorEncoder(str(folder), device="cpu"), Encoder.load(folder, device="cpu")
    assert (ours.backend, ours.dim) == ("torch", tiny.DIM)
    tokenizer = TextTokenizer(Checkpoint.read(folder))
    for role in ("query", "document"):
        expected = getattr(theirs, f"encode_{role}")(TEXTS, convert_to_numpy=True)
        found = getattr(ours, f"encode_{role}")(TEXTS)
        for text, one, other in zip(TEXTS, expected, found, strict=True):
            ids = theirs.preprocess([text], prompt=theirs.prompts[role], task=role)["input_ids"]
            assert tokenizer.tokens(text, role).ids.tolist() == ids[0].tolist()
            np.testing.assert_allclose(other, one, atol=1e-5)


def test_a_text_in_company_is_near_itself_alone(stanford):
    encoder = Encoder.load(stanford)
    texts = [" ".join("abcdefghijklm"[: 1 + i % 13]) for i in range(300)]
    texts[7] = " "
    for encode in (encoder.encode_query, encoder.encode_document):
        together = encode(texts)
        assert together[7].shape == (0, tiny.DIM)
        for i in range(0, 300, 23):
            np.testing.assert_allclose(encode([texts[i]])[0], together[i], atol=1e-5)


@pytest.mark.parametrize(
    "name", ["pylate-modernbert", "native-xlm-roberta", "stanford-electra", "native-layers"]
)
def test_every_kind_of_transformer_runs_texts_in_company_as_alone(name, torch):
    encoder = Encoder.load(parity.folder(name), backend="torch", device="cpu")
    texts = [text for text in parity.TEXTS.values() if text.strip()]
    for encode in (encoder.encode_query, encoder.encode_document):
        for text, together in zip(texts, encode(texts), strict=True):
            np.testing.assert_allclose(encode([text])[0], together, atol=1e-5)


@pytest.mark.parametrize(
    ("precision", "remedy"), [("int8", r"interlace export .* --int8"), ("int4", "MLX alone")]
)
def test_fewer_bits_are_refused_with_what_has_them(stanford, precision, remedy):
    with pytest.raises(SettingsError, match=remedy):
        Encoder.load(stanford, backend="torch", precision=precision)


def test_what_a_file_lacks_is_not_made_up(stanford):
    config = stanford / "config.json"
    said = json.loads(config.read_text())
    config.write_text(json.dumps(said | {"num_hidden_layers": said["num_hidden_layers"] + 1}))
    with pytest.raises(CheckpointError, match=r"layer\.\d.*is missing.*model.safetensors"):
        Encoder.load(stanford)
    config.write_text(json.dumps(said | {"architectures": ["BertModel"]}))
    with pytest.raises(CheckpointError, match=r"architectures.*HF_ColBERT.*config.json"):
        Encoder.load(stanford)


def test_a_bias_that_a_file_lacks_is_not_made_zero(stanford):
    from safetensors.torch import load_file, save_file

    file = stanford / "model.safetensors"
    arrays = load_file(file)
    old = {name.replace("LayerNorm.weight", "LayerNorm.gamma"): one for name, one in arrays.items()}
    old = {name.replace("LayerNorm.bias", "LayerNorm.beta"): one for name, one in old.items()}
    assert old.keys() != arrays.keys()
    whole = Encoder.load(stanford).encode_document(TEXTS)
    save_file(old, file, metadata={"format": "pt"})
    for one, other in zip(whole, Encoder.load(stanford).encode_document(TEXTS), strict=True):
        np.testing.assert_array_equal(one, other)
    del old["bert.encoder.layer.0.output.dense.bias"]
    save_file(old, file, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"layer\.0\.output\.dense\.bias.*is missing"):
        Encoder.load(stanford)


def test_half_precision_is_near_and_another_model(stanford):
    whole, half = Encoder.load(stanford), Encoder.load(stanford, precision="bfloat16")
    assert whole.fingerprint != half.fingerprint
    one, other = whole.encode_document(TEXTS)[0], half.encode_document(TEXTS)[0]
    np.testing.assert_allclose(np.linalg.norm(other, axis=1), 1, atol=1e-5)
    assert 0.99 < (one * other).sum(axis=1).min() < 1


def test_a_pickle_of_arrays_is_read_and_one_of_code_is_not_run(stanford, torch):
    from safetensors.torch import load_file

    weights = load_file(stanford / "model.safetensors")
    (stanford / "model.safetensors").unlink()
    torch.save(weights, stanford / "pytorch_model.bin")
    assert len(Encoder.load(stanford).encode_document(["the sky"])[0]) == 5

    class Evil:
        def __reduce__(self):
            return (exec, (f"open({str(stanford / 'run')!r}, 'w')",))

    (stanford / "pytorch_model.bin").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(CheckpointError, match="cannot load it"):
        Encoder.load(stanford)
    assert not (stanford / "run").exists()


def test_an_unknown_device_lists_those_that_are_here(stanford):
    with pytest.raises(SettingsError, match=r'"tpu" is not here.*cpu'):
        Encoder.load(stanford, backend="torch", device="tpu")


def test_a_loaded_model_is_taken_where_a_name_is(stanford, tmp_path):
    from sentence_transformers import MultiVectorEncoder

    model = MultiVectorEncoder(str(stanford), device="cpu")
    ours, texts = Encoder.load(stanford), ["a sea", "the sky is blue", "why"]
    expected = ours.similarity(["the sky"], texts)[0]
    scores = interlace.maxsim(model.encode_query("the sky"), model.encode_document(texts))
    np.testing.assert_allclose(scores, expected, atol=1e-4)
    hits = interlace.rerank("the sky", texts, model=model)
    assert {hit.id: hit.score for hit in hits} == pytest.approx(dict(enumerate(expected)), abs=1e-4)
    with interlace.create(tmp_path / "own.lace", model=model) as collection:
        collection.add(texts)
        assert collection.search("the sky", k=1)[0].text == hits[0].text

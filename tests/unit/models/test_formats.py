"""What is peculiar to each maker's format, and how damaged or hostile folders are refused."""

from __future__ import annotations

import json
import string

import numpy as np
import pytest
import tiny
from onnx import TensorProto
from safetensors.numpy import save_file
from tokenizers import AddedToken, pre_tokenizers

from interlace.errors import CheckpointError
from interlace.models import Encoder
from interlace.models.checkpoint import Checkpoint
from interlace.models.head import Head
from interlace.models.tokens import TextTokenizer

CLS, SEP, MASK = 2, 3, 4


def edit(path, **changes):
    """Replace fields of a JSON file; ``...`` removes one."""
    values = json.loads(path.read_text(encoding="utf-8")) | changes
    kept = {name: value for name, value in values.items() if value is not ...}
    path.write_text(json.dumps(kept), encoding="utf-8")


def query(folder, text="sky"):
    return TextTokenizer(Checkpoint.read(folder)).tokens(text, "query")


def document(folder, text="sky"):
    return TextTokenizer(Checkpoint.read(folder)).tokens(text, "document")


# Stanford


def test_stanford_without_metadata_has_its_makers_defaults(tmp_path):
    made = tiny.stanford(tmp_path)
    (tmp_path / "artifact.metadata").unlink()
    edit(tmp_path / "config.json", max_position_embeddings=512)
    said = Checkpoint.read(made.folder)
    assert (said.query_length, said.document_length) == (32, 220)
    assert (said.query_marker, said.document_marker) == ("[unused0]", "[unused1]")
    assert said.document_skip == tuple(string.punctuation)
    assert said.query_expansion.attend is False


def test_stanford_skips_the_first_token_of_each_symbol(tmp_path):
    """A symbol that is no token of its own is skipped as whatever begins it, as colbert-ai does."""
    tiny.stanford(tmp_path)
    made = tiny.tokenizer(tmp_path)
    state = json.loads(made.to_str())
    state["model"]["vocab"]["~~"] = state["model"]["vocab"].pop("~")
    (tmp_path / "tokenizer.json").write_text(json.dumps(state))
    unknown = document(tmp_path, "sky ☃")
    assert unknown.kept.tolist() == [True, True, True, False, True]  # "~" is [UNK], and so is ☃


def test_stanford_keeps_punctuation_where_it_says_so(tmp_path):
    tiny.stanford(tmp_path, mask_punctuation=False)
    assert document(tmp_path, "sky.").kept.all()


def test_stanford_may_see_its_masks(tmp_path):
    tiny.stanford(tmp_path, attend_to_mask_tokens=True)
    assert query(tmp_path).attention is None


def test_a_length_beyond_the_positions_is_cut_to_them(tmp_path):
    tiny.stanford(tmp_path, doc_maxlen=512)
    assert Checkpoint.read(tmp_path).document_length == 64


def test_roberta_counts_positions_from_behind_the_padding(tmp_path):
    tiny.stanford(tmp_path, doc_maxlen=512)
    edit(tmp_path / "config.json", model_type="xlm-roberta", pad_token_id=1)
    assert Checkpoint.read(tmp_path).document_length == 62


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"dim": 3}, '"dim" must be 8, as linear.weight has it'),
        ({"dim": "x"}, '"dim" must be a whole number'),
        ({"query_maxlen": 0}, '"query_maxlen" must be at least 1'),
        ({"similarity": "l2"}, '"similarity" must be "cosine"'),
        ({"mask_punctuation": 1}, '"mask_punctuation" must be true or false'),
        ({"query_token_id": ["[Q]"]}, '"query_token_id" must be a string'),
    ],
)
def test_wrong_metadata_names_file_and_field(tmp_path, metadata, message):
    tiny.stanford(tmp_path, **metadata)
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.read(tmp_path)
    assert message in str(caught.value)
    assert "artifact.metadata" in str(caught.value)


def test_a_stanford_folder_without_its_projection_is_refused(tmp_path):
    made = tiny.stanford(tmp_path)
    save_file({"bert.words": made.words}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"linear\.weight.*is missing.*model\.safetensors"):
        Checkpoint.read(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="is in no weight file"):
        Checkpoint.read(tmp_path)


def test_weights_in_parts_are_followed(tmp_path):
    made = tiny.stanford(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "model-00001-of-00001.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    parts = {"linear.weight": "model-00001-of-00001.safetensors"}
    index.write_text(json.dumps({"weight_map": parts}))
    (matrix,) = Encoder.load(tmp_path).encode_query(["sky"])
    np.testing.assert_allclose(
        matrix, made.embeddings(query(tmp_path).ids, query(tmp_path).attention), atol=1e-5
    )
    index.write_text(json.dumps({"weight_map": {"linear.weight": "../model.safetensors"}}))
    with pytest.raises(CheckpointError, match="inside the model's folder"):
        Checkpoint.read(tmp_path)


# PyLate


def test_pylate_without_fields_has_its_makers_defaults(tmp_path):
    tiny.pylate(tmp_path, query_length=None, document_length=None, skiplist_words=None)
    edit(tmp_path / "config.json", max_position_embeddings=512)
    edit(
        tmp_path / "config_sentence_transformers.json",
        query_prefix=...,
        document_prefix=...,
        do_query_expansion=...,
        attend_to_expansion_tokens=...,
    )
    said = Checkpoint.read(tmp_path)
    assert (said.query_length, said.document_length) == (32, 180)
    assert (said.query_marker, said.document_marker) == ("[Q] ", "[D] ")
    assert said.document_skip == tuple(string.punctuation)
    assert said.query_expansion is not None


def test_an_early_save_is_known_by_its_fields(tmp_path):
    tiny.pylate(tmp_path, model_type=None)
    assert Checkpoint.read(tmp_path).format == "pylate"


def test_pylate_without_expansion_fills_nothing(tmp_path):
    tiny.pylate(tmp_path, do_query_expansion=False)
    assert query(tmp_path).ids.tolist()[0] == CLS
    assert len(query(tmp_path).ids) == 4


def test_pylate_waits_for_a_prompt_to_be_asked_for(tmp_path):
    tiny.pylate(tmp_path / "plain")
    tiny.pylate(tmp_path / "prompts", prompts={"query": "query: ", "document": "document: "})
    for encoded in (query, document):
        plain, waiting = (encoded(tmp_path / name).ids for name in ("plain", "prompts"))
        assert plain.tolist() == waiting.tolist()


def test_pylate_puts_the_prompt_that_its_settings_name_behind_the_marker(tmp_path):
    tiny.pylate(
        tmp_path,
        prompts={"some": "query: ", "query": "why "},
        default_prompt_name="some",
        do_query_expansion=False,
    )
    tokenizer = TextTokenizer(Checkpoint.read(tmp_path))
    tokens = tokenizer.tokens("sky", "query")
    inner = tokenizer._tokenizer
    names = [inner.id_to_token(int(number)) for number in tokens.ids]
    assert names == ["[CLS]", "[Q] ", "query", ":", "sky", "[SEP]"]
    assert tokens.offsets.tolist() == [[0, 0]] * 4 + [[0, 3], [0, 0]]
    assert tokenizer.limit("query") == 5  # of 10: two special tokens, marker, prefix of two
    # A text of nothing has no rows, though the prompt is there.
    assert not tokenizer.tokens("  ", "query").kept.any()
    assert tokenizer.tokens("sea", "document").ids.tolist()[2:4] == tokens.ids.tolist()[2:4]
    edit(tmp_path / "config_sentence_transformers.json", default_prompt_name="other")
    with pytest.raises(CheckpointError, match=r'"prompts\.other" is missing'):
        Checkpoint.read(tmp_path)


def test_pylate_strips_a_text_and_offsets_do_not_move(tmp_path):
    tiny.pylate(tmp_path)
    # Spaces are tokens here.
    made = tiny.tokenizer(tmp_path, "[Q] ", "[D] ")
    made.pre_tokenizer = pre_tokenizers.Split(" ", "isolated")
    made.save(str(tmp_path / "tokenizer.json"))
    text = " \n the sky  "
    tokens = document(tmp_path, text)
    words = [text[start:end] for start, end in tokens.offsets.tolist()]
    assert words == ["", "", "the", " ", "sky", ""]
    tokenizer = TextTokenizer(Checkpoint.read(tmp_path))
    assert tokenizer.spans(text).tolist() == tokens.offsets[2:-1].tolist()
    assert tokenizer.spans(" \n").shape == (0, 2)


def test_pylate_may_put_texts_in_lower_case_first(tmp_path):
    tiny.pylate(tmp_path)
    tiny.tokenizer(tmp_path, "[Q] ", "[D] ", lowercase=False)
    assert document(tmp_path, "SKY").ids.tolist() != document(tmp_path, "sky").ids.tolist()
    edit(tmp_path / "sentence_bert_config.json", do_lower_case=True)
    text = " SKY İİ SEA "
    upper = document(tmp_path, text)
    assert upper.ids.tolist() == document(tmp_path, text.lower()).ids.tolist()
    # "İ" is two characters in lower case, and what follows is where it was.
    words = [text[start:end] for start, end in upper.offsets[2:-1].tolist()]
    assert (words[0], words[-1]) == ("SKY", "SEA")
    assert "".join(dict.fromkeys(words[1:-1])) == "İİ"


def test_a_lowered_text_spells_no_marker(tmp_path):
    tiny.pylate(tmp_path)
    edit(tmp_path / "sentence_bert_config.json", do_lower_case=True)
    tokenizer = TextTokenizer(Checkpoint.read(tmp_path))
    marker = tokenizer._tokenizer.token_to_id("[Q] ")
    assert tokenizer.tokens("[Q] sky", "query").ids.tolist().count(marker) == 1


def test_a_marker_that_is_no_token_is_refused(tmp_path):
    tiny.pylate(tmp_path, query_prefix="[Query] ")
    with pytest.raises(CheckpointError, match=r'"\[Query\] ".*not in the vocabulary'):
        query(tmp_path)


def test_a_skipped_word_that_is_no_token_stands_for_all_such_words(tmp_path):
    tiny.pylate(tmp_path, skiplist_words=[".", "no-such-token"])
    assert document(tmp_path, "sky ☃.").kept.tolist() == [True, True, True, False, False, True]
    edit(tmp_path / "config_sentence_transformers.json", skiplist_words=["."])
    assert document(tmp_path, "sky ☃.").kept.tolist() == [True, True, True, True, False, True]


def test_no_room_for_a_text_is_refused(tmp_path):
    tiny.pylate(tmp_path, document_length=3)
    with pytest.raises(CheckpointError, match="leaves no room for a text: 3"):
        document(tmp_path)


@pytest.mark.parametrize(
    ("where", "changes", "message"),
    [
        ("1_Dense", {"in_features": 13}, '"linear.weight" must be (16, 13)'),
        ("1_Dense", {"out_features": "16"}, '"out_features" must be a whole number'),
        ("2_Dense", {"activation_function": "os.system"}, "not 'os.system'"),
        ("1_Dense", {"module_input_name": "images"}, 'must be "token_embeddings"'),
    ],
)
def test_a_wrong_layer_names_file_and_field(tmp_path, where, changes, message):
    tiny.pylate(tmp_path)
    edit(tmp_path / where / "config.json", **changes)
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.read(tmp_path)
    assert message in str(caught.value)
    assert str(tmp_path / where) in str(caught.value)


@pytest.mark.parametrize(
    "path", ["../1_Dense", "/etc", "a/../../b", "..\\1_Dense", "C:/x", "1_Dense\0"]
)
def test_modules_outside_the_folder_are_refused(tmp_path, path):
    tiny.pylate(tmp_path / "model")
    chain = json.loads((tmp_path / "model" / "modules.json").read_text())
    chain[1]["path"] = path
    (tmp_path / "model" / "modules.json").write_text(json.dumps(chain))
    with pytest.raises(CheckpointError, match=r"\[1\]\.path.*modules\.json"):
        Checkpoint.read(tmp_path / "model")


@pytest.mark.parametrize("chain", ["{}", "[]", "[1]", '[{"type": "a.Dense", "path": ""}]', "[{}]"])
def test_a_chain_that_is_none_is_refused(tmp_path, chain):
    tiny.pylate(tmp_path)
    (tmp_path / "modules.json").write_text(chain)
    with pytest.raises(CheckpointError, match=r"modules\.json"):
        Checkpoint.read(tmp_path)


# sentence-transformers


def test_a_prompt_is_text_before_the_text(tmp_path):
    tiny.native(
        tmp_path, prompts={"query": "query: ", "document": ""}, query_expansion=None, query_length=9
    )
    tokenizer = TextTokenizer(Checkpoint.read(tmp_path))
    tokens = tokenizer.tokens("the sea", "query")
    names = [tokenizer._tokenizer.id_to_token(int(one)) for one in tokens.ids]
    assert names == ["[CLS]", "query", ":", "the", "sea", "[SEP]"]
    assert tokens.offsets.tolist() == [[0, 0]] * 3 + [[0, 3], [4, 7], [0, 0]]
    assert tokens.kept.all()
    assert tokenizer.limit("query") == 5


def test_a_marker_in_a_prompt_is_one_token_but_in_a_text_it_is_not(tmp_path):
    tiny.native(tmp_path)
    tokenizer = TextTokenizer(Checkpoint.read(tmp_path))
    marker = tokenizer._tokenizer.token_to_id("[Q] ")
    ids = tokenizer.tokens("[Q] sky", "query").ids.tolist()
    assert ids.index(marker) == 1
    assert ids.count(marker) == 1


def test_a_floor_lets_longer_queries_be(tmp_path):
    tiny.native(tmp_path, query_expansion={"strategy": "min", "length": 6, "attend": True})
    assert query(tmp_path).ids.tolist()[4:] == [MASK, MASK]
    assert query(tmp_path).attention is None
    long = query(tmp_path, "sky " * 20)
    assert (len(long.ids), long.n_cut) == (23, 0)


def test_without_a_length_the_tokenizers_counts(tmp_path):
    tiny.native(tmp_path, document_length=None)
    assert Checkpoint.read(tmp_path).document_length == 64
    edit(tmp_path / "tokenizer_config.json", model_max_length=40)
    assert Checkpoint.read(tmp_path).document_length == 40
    edit(tmp_path / "tokenizer_config.json", model_max_length=10**30)
    edit(tmp_path / "config.json", max_position_embeddings=...)
    with pytest.raises(CheckpointError, match=r'"document_length" is missing|"query_length"'):
        Checkpoint.read(tmp_path)


def test_queries_may_lose_what_is_skipped_too(tmp_path):
    tiny.native(tmp_path, mask={"skiplist_words": ["?"], "skiplist_tasks": ["query"]})
    assert query(tmp_path, "why?").kept.tolist() == [True, True, True, False] + [True] * 6
    assert document(tmp_path, "why?").kept.all()


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("HierarchicalTokenPooling", 'module "HierarchicalTokenPooling" is not known'),
        (None, "not normalised at the end"),
    ],
)
def test_what_makes_no_unit_rows_here_is_refused(tmp_path, module, message):
    tiny.native(tmp_path)
    chain = json.loads((tmp_path / "modules.json").read_text())
    last = chain.pop()
    if module:
        chain.append(last | {"type": f"sentence_transformers.{module}"})
    (tmp_path / "modules.json").write_text(json.dumps(chain))
    with pytest.raises(CheckpointError, match=message):
        Checkpoint.read(tmp_path)


def test_a_mask_token_may_be_named_as_an_object_or_elsewhere(tmp_path):
    tiny.native(tmp_path)
    edit(tmp_path / "tokenizer_config.json", mask_token={"content": "[unused1]"})
    assert query(tmp_path).ids[-1] == 6
    edit(tmp_path / "tokenizer_config.json", mask_token=...)
    (tmp_path / "special_tokens_map.json").write_text('{"mask_token": "[unused0]"}')
    assert query(tmp_path).ids[-1] == 5
    (tmp_path / "special_tokens_map.json").unlink()
    assert query(tmp_path).ids[-1] == MASK


# next-plaid


def test_an_early_export_has_its_settings_elsewhere(tmp_path):
    tiny.next_plaid(tmp_path)
    (tmp_path / "onnx_config.json").rename(tmp_path / "config_sentence_transformers.json")
    assert Checkpoint.read(tmp_path).format == "next-plaid"


def test_an_export_beside_its_model_is_used_whole(tmp_path):
    """The hub has many of these: PyLate's files, and the graph that next-plaid made of them."""
    made = tiny.pylate(tmp_path, graph_at=None)
    square = np.eye(tiny.DIM, tiny.HIDDEN, dtype=np.float32)
    tiny.graph(tmp_path / "model.onnx", made.words, projection=square, output="output")
    (tmp_path / "onnx_config.json").write_text("{}")
    said = Checkpoint.read(tmp_path)
    assert (said.format, said.graph_end, len(said.dense)) == ("pylate", "embeddings", 2)
    tokens = query(tmp_path)
    expected = made.hidden(tokens.ids, tokens.attention)[:, : tiny.DIM]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(Encoder.load(tmp_path).encode_query(["sky"])[0], expected, atol=1e-5)


def test_a_fill_token_that_is_none_is_refused(tmp_path):
    tiny.next_plaid(tmp_path, mask_token_id=10**6)
    with pytest.raises(CheckpointError, match="names no token"):
        query(tmp_path)


# Graphs


@pytest.mark.parametrize(
    ("place", "precision"),
    [
        ("model.onnx", "float32"),
        ("onnx/model.onnx", "float32"),
        ("onnx/model_fp16.onnx", "float16"),
        ("model_int8.onnx", "int8"),
        ("onnx/model_quantized.onnx", "int8"),
        ("onnx/model_qint8_avx512_vnni.onnx", "int8"),
    ],
)
def test_a_graph_is_found_wherever_makers_put_it(tmp_path, place, precision):
    tiny.pylate(tmp_path, graph_at=place)
    said = Checkpoint.read(tmp_path)
    assert said.graph == tmp_path / place
    assert said.precision == precision
    assert len(Encoder.load(tmp_path).encode_document(["sky"])[0]) == 4


def test_a_precision_may_be_chosen(tmp_path):
    made = tiny.pylate(tmp_path)
    tiny.graph(tmp_path / "onnx" / "model_int8.onnx", made.words + 1)
    full, small = Encoder.load(tmp_path), Encoder.load(tmp_path, precision="int8")
    assert full.fingerprint != small.fingerprint
    assert not np.allclose(full.encode_query(["sky"])[0], small.encode_query(["sky"])[0])


@pytest.mark.parametrize("kind", [TensorProto.INT64, TensorProto.INT32])
@pytest.mark.parametrize(
    "inputs",
    [
        ("input_ids", "attention_mask"),
        ("attention_mask", "input_ids", "position_ids"),
        ("input_ids", "attention_mask", "token_type_ids", "position_ids"),
    ],
)
def test_a_graph_gets_what_it_asks_for(tmp_path, inputs, kind):
    made = tiny.pylate(tmp_path, graph_at=None)
    tiny.graph(tmp_path / "model.onnx", made.words, inputs=inputs, kind=kind)
    tokens = query(tmp_path)
    np.testing.assert_allclose(
        Encoder.load(tmp_path).encode_query(["sky"])[0],
        made.embeddings(tokens.ids, tokens.attention),
        atol=1e-5,
    )


def test_a_graph_that_asks_for_something_else_is_refused(tmp_path):
    made = tiny.pylate(tmp_path, graph_at=None)
    inputs = ("input_ids", "attention_mask", "pixel_values")
    tiny.graph(tmp_path / "model.onnx", made.words, inputs=inputs)
    with pytest.raises(CheckpointError, match="pixel_values"):
        Encoder.load(tmp_path)


def test_a_graph_without_attention_cannot_hide_what_is_filled_up(tmp_path):
    made = tiny.pylate(tmp_path, graph_at=None)
    tiny.graph(tmp_path / "model.onnx", made.words, inputs=("input_ids",))
    with pytest.raises(CheckpointError, match="takes no attention_mask"):
        Encoder.load(tmp_path)


def test_a_graph_of_another_width_is_refused(tmp_path):
    made = tiny.pylate(tmp_path)
    tiny.graph(
        tmp_path / "onnx" / "model.onnx",
        made.words,
        projection=np.eye(5, tiny.HIDDEN, dtype=np.float32),
    )
    with pytest.raises(CheckpointError, match="outputs"):
        Encoder.load(tmp_path)


def test_a_graph_of_fewer_tokens_fails_by_name(tmp_path):
    made = tiny.pylate(tmp_path)
    tiny.graph(tmp_path / "onnx" / "model.onnx", made.words[:3])
    with pytest.raises(CheckpointError, match="the graph fails on a text of 10 tokens"):
        Encoder.load(tmp_path).encode_query(["sky"])


# Layers


def layer(tmp_path, array, **said):
    from interlace.models.checkpoint import Dense

    save_file({"linear.weight": array}, tmp_path / "model.safetensors")
    path, (n_out, n_in) = tmp_path / "model.safetensors", array.shape
    return Dense(weights=path, in_features=n_in, out_features=n_out, **said)


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        ("identity", lambda x: x),
        ("tanh", np.tanh),
        ("relu", lambda x: np.maximum(x, 0)),
        ("silu", lambda x: x / (1 + np.exp(-x))),
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x))),
        ("gelu", None),
    ],
)
def test_activations_are_those_of_torch(tmp_path, activation, function):
    from math import erf, sqrt

    function = function or np.vectorize(lambda x: x * 0.5 * (1 + erf(x / sqrt(2))))
    head = Head((layer(tmp_path, np.eye(5, dtype=np.float32), activation=activation),))
    rows = np.linspace(-6, 6, 40, dtype=np.float32).reshape(8, 5)
    expected = function(rows.astype(np.float64))
    expected /= np.maximum(np.linalg.norm(expected, axis=1, keepdims=True), 1e-12)
    np.testing.assert_allclose(head(rows), expected, atol=2e-6)


def test_weights_of_half_precision_are_read(tmp_path):
    weights = np.linspace(-1, 1, 15).astype(np.float16).reshape(3, 5)
    rows = np.ones((2, 5), np.float32)
    expected = rows @ weights.astype(np.float32).T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(Head((layer(tmp_path, weights),))(rows), expected, atol=1e-6)


def test_weights_of_bfloat16_are_read(tmp_path):
    said = layer(tmp_path, np.zeros((2, 2), np.float32))
    halves = (np.array([[1, -2], [0.5, 4]], np.float32).view(np.uint32) >> 16).astype("<u2")
    header = json.dumps(
        {"linear.weight": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}}
    ).encode()
    said.weights.write_bytes(len(header).to_bytes(8, "little") + header + halves.tobytes())
    rows = Head((said,))(np.array([[1, 0], [0, 1]], np.float32))
    np.testing.assert_allclose(
        rows, [[1 / 1.25**0.5, 0.5 / 1.25**0.5], [-2 / 20**0.5, 4 / 20**0.5]], atol=1e-6
    )


def test_a_row_of_zeros_stays_one(tmp_path):
    head = Head((layer(tmp_path, np.eye(3, dtype=np.float32)),))
    assert head(np.zeros((1, 3), np.float32)).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("damage", ["cut", "header", "empty", "integers"])
def test_damaged_weights_are_refused_by_name(tmp_path, damage):
    tiny.pylate(tmp_path)
    path = tmp_path / "1_Dense" / "model.safetensors"
    if damage == "integers":
        save_file({"linear.weight": np.zeros((16, tiny.HIDDEN), np.int64)}, path)
    else:
        content = path.read_bytes()
        huge = (1 << 62).to_bytes(8, "little") + content[8:]
        path.write_bytes({"cut": content[:-9], "header": huge, "empty": b""}[damage])
    with pytest.raises(CheckpointError, match=r"1_Dense.model\.safetensors"):
        Encoder.load(tmp_path)


def test_a_pickle_is_not_opened(tmp_path):
    tiny.pylate(tmp_path)
    (tmp_path / "1_Dense" / "model.safetensors").rename(tmp_path / "1_Dense" / "pytorch_model.bin")
    Checkpoint.read(tmp_path)  # what it says may be read
    with pytest.raises(CheckpointError, match="kept as a pickle, which is not opened"):
        Encoder.load(tmp_path)


def test_special_tokens_of_a_native_prompt_may_stand_before_a_space(tmp_path):
    tiny.native(tmp_path, prompts={"query": "[unused0] ", "document": "[unused1] "})
    tiny.tokenizer(
        tmp_path,
        AddedToken("[unused0]", normalized=False, special=True),
        AddedToken("[unused1]", normalized=False, special=True),
    )
    assert query(tmp_path).ids.tolist()[:2] == [CLS, 5]
    assert query(tmp_path).offsets.tolist()[2] == [0, 3]

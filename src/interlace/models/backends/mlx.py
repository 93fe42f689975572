"""Runs BERT, its kin and ModernBERT with MLX: on the GPU of Apple silicon, else on the CPU."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from interlace import extras
from interlace.errors import CheckpointError
from interlace.models.backends import Running, Unfit
from interlace.models.checkpoint import Checkpoint, fault
from interlace.models.formats.fields import Fields
from interlace.models.head import Head, array, array_files
from interlace.threads import resident
from interlace.types import FloatMatrix

_Made = TypeVar("_Made")

_DTYPES: Final = ("float32", "float16", "bfloat16")

#: Precision -> bits of a weight; all else is float32.
_BITS: Final = {"int8": 8, "int4": 4}

#: So many weights of a row share a scale and an offset, the first that divides the row.
_GROUPS: Final = (64, 32)

#: Names of arrays in old files, which transformers still writes now and then.
_OLD_NAMES: Final = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}

#: Activations by the names of transformers, and their names in ``mlx.nn``.
_ACTIVATIONS: Final = {
    "gelu": "gelu",
    "gelu_new": "gelu_approx",
    "gelu_pytorch_tanh": "gelu_approx",
    "relu": "relu",
    "silu": "silu",
}


class MlxBackend:
    """A transformer on MLX's device, and the dense layers in NumPy behind it.

    A text is run alone and without padding, on the one thread that meets MLX.

    Parameters
    ----------
    checkpoint : Checkpoint
    running : Running
        With ``device="cpu"`` the GPU is left alone.

    Raises
    ------
    MissingExtra
        When mlx is not installed.
    Unfit
        When the model has no safetensors, or is none of ``FAMILIES`` as ``transformers`` has it.
    CheckpointError
        When an array is missing, or of another shape than ``config.json`` says.
    """

    def __init__(self, checkpoint: Checkpoint, running: Running) -> None:
        if checkpoint.weights is None or checkpoint.format in ("interlace", "next-plaid"):
            raise Unfit(f"the model has no weights for MLX: {checkpoint.folder}.")
        if not checkpoint.weights.name.endswith((".safetensors", ".safetensors.index.json")):
            raise Unfit(f"MLX reads no pickle: {checkpoint.weights}.")
        config = Fields.read(checkpoint.folder / "config.json")
        kind = config.text("model_type", "")
        if kind not in FAMILIES or checkpoint.remote_code:
            raise Unfit(f'MLX runs {", ".join(FAMILIES)}, not "{kind}": {config.path}.')
        if running.device not in ("auto", "cpu"):
            raise Unfit(f'MLX has a device of its own, or the CPU, not "{running.device}".')
        self.precision = precision = running.precision or "float32"
        if precision not in (*_DTYPES, *_BITS):
            raise Unfit(f'MLX runs {", ".join([*_DTYPES, *_BITS])}, not "{precision}".')
        self._mx = extras.need("mlx.core", extra="mlx")
        self._device = self._mx.cpu if running.device == "cpu" else self._mx.default_device()
        self.device = "cpu" if self._device == self._mx.cpu else "gpu"
        self._folder, self._head = checkpoint.folder, Head(checkpoint.dense)
        self._encoder = self._there(lambda: FAMILIES[kind](_Arrays(checkpoint, precision), config))

    def run(
        self, ids: npt.NDArray[np.int64], attention: npt.NDArray[np.int64] | None = None
    ) -> FloatMatrix:
        """Embed one text: token ids ``(n,)`` to unit rows ``(n, dim)``."""
        encoder = self._encoder
        # MLX takes rows of a table unchecked.
        if len(ids) > encoder.n_positions or not 0 <= ids.min() <= ids.max() < encoder.n_words:
            raise CheckpointError(
                f"the transformer has {encoder.n_words} words and {encoder.n_positions} positions, "
                f"not word {ids.max()} or a text of {len(ids)}: {self._folder}. "
                "Tokenizer and weights must come from the same model."
            )
        return self._head(self._there(lambda: self._hidden(ids, attention)))

    def _hidden(
        self, ids: npt.NDArray[np.int64], attention: npt.NDArray[np.int64] | None
    ) -> FloatMatrix:
        mx = self._mx
        seen = None if attention is None else mx.array(attention.astype(bool))[None, None, None]
        return np.array(self._encoder(ids, seen).astype(mx.float32))

    def _there(self, call: Callable[[], _Made]) -> _Made:
        """What a call returns on MLX's thread."""

        def on_device() -> _Made:
            with self._mx.stream(self._device):
                return call()

        return resident("MLX")(on_device)


class _Arrays:
    """The arrays of a checkpoint's transformer, as layers of ``mlx.nn``."""

    def __init__(self, checkpoint: Checkpoint, precision: str) -> None:
        self.mx = extras.need("mlx.core", extra="mlx")
        self.nn = extras.need("mlx.nn", extra="mlx")
        assert checkpoint.weights is not None
        self.path = checkpoint.weights
        self._bits = _BITS.get(precision)
        self._dtype = getattr(self.mx, "float32" if self._bits else precision)
        self._files = array_files(self.path)
        self._prefix = ""

    def begin_with(self, words: str) -> None:
        """Names are given from here on as the transformer has them, which others put in theirs."""
        found = [name for name in self._files if f".{name}".endswith(f".{words}")]
        if len(found) != 1:
            raise fault(self.path, words, "is missing" if not found else "is there twice")
        self._prefix = found[0].removesuffix(words)

    def linear(self, *layers: str, shape: tuple[int, int], bias: bool = True) -> Any:
        """Linear layers of the same input, each ``(n_out, n_in)``, as one."""
        n_out, n_in = shape
        made = self.nn.Linear(n_in, n_out * len(layers), bias=bias)
        made.weight = self._array([f"{layer}.weight" for layer in layers], shape)
        if bias:
            made.bias = self._array([f"{layer}.bias" for layer in layers], (n_out,))
        return self._rounded(made, layers[0])

    def norm(self, layer: str, width: int, epsilon: float, bias: bool = True) -> Any:
        made = self.nn.LayerNorm(width, eps=epsilon, bias=bias)
        made.weight = self._array([f"{layer}.weight"], (width,))
        if bias:
            made.bias = self._array([f"{layer}.bias"], (width,))
        return made

    def embedding(self, layer: str, shape: tuple[int, int]) -> Any:
        made = self.nn.Embedding(1, 1)
        made.weight = self.table(layer, shape)
        return self._rounded(made, layer)

    def table(self, layer: str, shape: tuple[int, int]) -> Any:
        """The rows of an embedding, which are never rounded."""
        return self._array([f"{layer}.weight"], shape)

    def activation(self, config: Fields, field: str) -> Callable[[Any], Any]:
        name = config.text(field, "gelu")
        if name not in _ACTIVATIONS:
            raise Unfit(f'MLX knows no activation "{name}": {config.path}, field "{field}".')
        found: Callable[[Any], Any] = getattr(self.nn, _ACTIVATIONS[name])
        return found

    def _rounded(self, layer: Any, name: str) -> Any:
        """A layer, with weights of few bits where that is wanted."""
        if self._bits is None:
            return layer
        width = layer.weight.shape[1]
        group = next((size for size in _GROUPS if width % size == 0), None)
        if group is None:
            raise Unfit(
                f"MLX rounds weights in groups of {_GROUPS[-1]}, which do not divide rows of "
                f'{width}: {self.path}, "{self._prefix}{name}.weight".'
            )
        made = layer.to_quantized(group_size=group, bits=self._bits)
        self.mx.eval(made.parameters())
        return made

    def _array(self, layers: list[str], shape: tuple[int, ...]) -> Any:
        parts = [self._read(self._prefix + layer, shape) for layer in layers]
        made = self.mx.array(np.concatenate(parts)).astype(self._dtype)
        self.mx.eval(made)
        return made

    def _read(self, name: str, shape: tuple[int, ...]) -> FloatMatrix:
        for new, old in _OLD_NAMES.items():
            if name not in self._files and name.endswith(new):
                name = name.removesuffix(new) + old
        return array(self._files.get(name, self.path), name, shape)


class _Attention:
    """Every position meets those that it may see."""

    def __init__(
        self, mx: Any, into: Any, out: Any, n_heads: int, base: float | None = None
    ) -> None:
        self._mx, self._into, self._out = mx, into, out
        self._n_heads, self._base = n_heads, base

    def __call__(self, x: Any, mask: Any) -> Any:
        n, width = x.shape
        across = self._into(x).reshape(1, n, 3, self._n_heads, -1).transpose(2, 0, 3, 1, 4)
        query, key, value = across
        fast, size = self._mx.fast, width // self._n_heads
        if self._base is not None:
            turn = {"traditional": False, "base": self._base, "scale": 1.0, "offset": 0}
            query, key = fast.rope(query, size, **turn), fast.rope(key, size, **turn)
        met = fast.scaled_dot_product_attention(query, key, value, scale=size**-0.5, mask=mask)
        if mask is not None:  # who sees nothing, far from all that is seen, gets nothing
            met = self._mx.where(mask.any(axis=-1, keepdims=True), met, 0)
        return self._out(met.transpose(0, 2, 1, 3).reshape(n, width))


class _Names(NamedTuple):
    """What a family calls its fields in ``config.json``, and its arrays."""

    width: str = "hidden_size"
    n_layers: str = "num_hidden_layers"
    n_heads: str = "num_attention_heads"
    inner: str = "intermediate_size"
    activation: str = "hidden_act"
    layer: str = "encoder.layer"
    into: tuple[str, str, str] = (
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
    )
    out: str = "attention.output.dense"
    out_norm: str = "attention.output.LayerNorm"
    up: str = "intermediate.dense"
    down: str = "output.dense"
    down_norm: str = "output.LayerNorm"
    types: str | None = "embeddings.token_type_embeddings"


_BERT: Final = _Names()
_DISTILBERT: Final = _Names(
    "dim",
    "n_layers",
    "n_heads",
    "hidden_dim",
    "activation",
    "transformer.layer",
    ("attention.q_lin", "attention.k_lin", "attention.v_lin"),
    "attention.out_lin",
    "sa_layer_norm",
    "ffn.lin1",
    "ffn.lin2",
    "output_layer_norm",
    None,
)


def _sizes(config: Fields, names: _Names) -> tuple[int, int]:
    """Width of a row, and the number of heads, which divides it."""
    width, n_heads = config.count(names.width), config.count(names.n_heads)
    if width % (2 * n_heads):
        raise config.fault(names.n_heads, f"must divide half of {width}, not be {n_heads}")
    return width, n_heads


class _Bert:
    """BERT, ELECTRA, DistilBERT and RoBERTa: positions are learned, norms come last.

    Source
    ------
    arXiv 1810.04805; names and details as in ``transformers``.
    """

    def __init__(
        self,
        arrays: _Arrays,
        config: Fields,
        names: _Names = _BERT,
        offset_positions: bool = False,
    ) -> None:
        if config.text("position_embedding_type", "absolute") != "absolute":
            raise Unfit(
                f'MLX knows absolute positions only: {config.path}, "position_embedding_type".'
            )
        self._mx = arrays.mx
        width, n_heads = _sizes(config, names)
        narrow = config.count("embedding_size", width)
        epsilon = config.number("layer_norm_eps", 1e-12)
        self.n_words, rows = config.count("vocab_size"), config.count("max_position_embeddings")
        # Real positions begin behind the padding's own.
        self._padding = config.id("pad_token_id") if offset_positions else None
        self.n_positions = rows if self._padding is None else rows - 1 - self._padding
        arrays.begin_with("embeddings.word_embeddings.weight")
        self._words = arrays.embedding("embeddings.word_embeddings", (self.n_words, narrow))
        self._places = arrays.table("embeddings.position_embeddings", (rows, narrow))
        if names.types is not None:
            n_types = config.count("type_vocab_size")
            self._places = self._places + arrays.table(names.types, (n_types, narrow))[0]
        self._mx.eval(self._places)
        self._norm = arrays.norm("embeddings.LayerNorm", narrow, epsilon)
        self._widen = (
            None if narrow == width else arrays.linear("embeddings_project", shape=(width, narrow))
        )
        inner = config.count(names.inner)
        self._activation = arrays.activation(config, names.activation)
        self._layers = []
        for i in range(config.count(names.n_layers)):
            layer = f"{names.layer}.{i}."
            self._layers.append(
                (
                    _Attention(
                        self._mx,
                        arrays.linear(*(layer + one for one in names.into), shape=(width, width)),
                        arrays.linear(layer + names.out, shape=(width, width)),
                        n_heads,
                    ),
                    arrays.norm(layer + names.out_norm, width, epsilon),
                    arrays.linear(layer + names.up, shape=(inner, width)),
                    arrays.linear(layer + names.down, shape=(width, inner)),
                    arrays.norm(layer + names.down_norm, width, epsilon),
                )
            )

    def __call__(self, ids: npt.NDArray[np.int64], seen: Any) -> Any:
        places = np.arange(len(ids))
        if self._padding is not None:
            real = ids != self._padding
            places = np.cumsum(real) * real + self._padding
        x = self._norm(self._words(self._mx.array(ids)) + self._places[self._mx.array(places)])
        x = x if self._widen is None else self._widen(x)
        for attention, attention_norm, up, down, norm in self._layers:
            x = attention_norm(x + attention(x, seen))
            x = norm(x + down(self._activation(up(x))))
        return x


class _ModernBert:
    """ModernBERT: positions are turns, norms come first, some layers see only what is near.

    Source
    ------
    arXiv 2412.13663; names and details as in ``transformers``.
    """

    def __init__(self, arrays: _Arrays, config: Fields) -> None:
        mx = self._mx = arrays.mx
        width, n_heads = _sizes(config, _BERT)
        inner, n_layers = config.count("intermediate_size"), config.count("num_hidden_layers")
        epsilon, biased = config.number("norm_eps", 1e-5), config.flag("norm_bias", False)
        self.n_words, self.n_positions = config.count("vocab_size"), sys.maxsize
        self._window = config.count("local_attention", 128) // 2
        self._activation = arrays.activation(config, "hidden_activation")
        arrays.begin_with("embeddings.tok_embeddings.weight")
        self._words = arrays.embedding("embeddings.tok_embeddings", (self.n_words, width))
        norm = partial(arrays.norm, width=width, epsilon=epsilon, bias=biased)
        linear = partial(arrays.linear, bias=config.flag("attention_bias", False))
        feed = partial(arrays.linear, bias=config.flag("mlp_bias", False))
        self._norm, self._final_norm = norm("embeddings.norm"), norm("final_norm")
        self._layers = []
        for i, kind in enumerate(_kinds(config, n_layers)):
            layer = f"layers.{i}."
            self._layers.append(
                (
                    kind == "sliding_attention",
                    norm(f"{layer}attn_norm") if i else lambda x: x,
                    _Attention(
                        mx,
                        linear(f"{layer}attn.Wqkv", shape=(3 * width, width)),
                        linear(f"{layer}attn.Wo", shape=(width, width)),
                        n_heads,
                        _turn(config, kind),
                    ),
                    norm(f"{layer}mlp_norm"),
                    feed(f"{layer}mlp.Wi", shape=(2 * inner, width)),
                    feed(f"{layer}mlp.Wo", shape=(width, inner)),
                )
            )

    def __call__(self, ids: npt.NDArray[np.int64], seen: Any) -> Any:
        mx = self._mx
        near = seen
        if len(ids) > self._window + 1:
            at = mx.arange(len(ids))
            near = (mx.abs(at[:, None] - at) <= self._window)[None, None]
            near = near if seen is None else near & seen
        x = self._norm(self._words(mx.array(ids)))
        for is_local, attention_norm, attention, norm, up, down in self._layers:
            x = x + attention(attention_norm(x), near if is_local else seen)
            inner, gate = mx.split(up(norm(x)), 2, axis=-1)
            x = x + down(self._activation(inner) * gate)
        return self._final_norm(x)


def _kinds(config: Fields, n_layers: int) -> tuple[str, ...]:
    """Of each layer, whether it sees all or what is near; newer files say it one by one."""
    every = config.count("global_attn_every_n_layers", 3)
    kinds: tuple[str, ...] = config.texts(
        "layer_types",
        tuple("sliding_attention" if i % every else "full_attention" for i in range(n_layers)),
    )
    if len(kinds) != n_layers or not {*kinds} <= {*_TURNS}:
        raise config.fault("layer_types", f"must be {n_layers} of {', '.join(_TURNS)}")
    return kinds


#: Kind of layer -> the field that holds the base of its turns in older files, and the base.
_TURNS: Final = {
    "full_attention": ("global_rope_theta", 160_000.0),
    "sliding_attention": ("local_rope_theta", 10_000.0),
}


def _turn(config: Fields, kind: str) -> float:
    said = config.group("rope_parameters").group(kind)
    if said.text("rope_type", "default") != "default" or config.has("rope_scaling"):
        raise Unfit(f'MLX turns by unscaled angles only: {config.path}, field "rope_parameters".')
    return said.number("rope_theta", config.number(*_TURNS[kind]))


#: ``model_type`` in ``config.json`` -> what runs it.
FAMILIES: Final[dict[str, Callable[[_Arrays, Fields], Any]]] = {
    "bert": _Bert,
    "electra": _Bert,
    "distilbert": partial(_Bert, names=_DISTILBERT),
    "roberta": partial(_Bert, offset_positions=True),
    "xlm-roberta": partial(_Bert, offset_positions=True),
    "modernbert": _ModernBert,
}

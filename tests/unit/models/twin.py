"""What native/encoding computes, in NumPy: the same bytes."""

from __future__ import annotations

import numpy as np

HEAD = 32
F32 = np.float32

#: As native/encoding/forward.h has them.
EXP2 = np.array([0.9999245, 0.693121, 0.24264039, 0.055922078], F32)
GELU = np.array(
    [1.7811617e-4, 0.49289015, -0.3521834, -0.117759146, 0.21209008, -0.095528655, 2.1045547e-2,
     -2.345541e-3, 1.06093736e-4], F32,
)  # fmt: skip


def twin(arrays: dict[str, np.ndarray], n_layers: int, ids: np.ndarray) -> np.ndarray:
    """Embed a text: token ids ``(n,)`` to unit rows ``(n, dim)``, float32."""
    a = arrays
    words = a["words"][ids].astype(F32) * a["words.scales"][ids, None]
    state = normalised(
        words + a["positions"][: len(ids)], a["embeddings.gain"], a["embeddings.bias"]
    )
    for i in range(n_layers):
        layer = {
            name.removeprefix(f"encoder.layer.{i}."): array
            for name, array in a.items()
            if name.startswith(f"encoder.layer.{i}.")
        }
        context = attended(*by_token(state), layer)
        state = state + product(*by_token(context), layer, "out")
        norm = "attention.output.LayerNorm"
        state = normalised(state, layer[f"{norm}.gain"], layer[f"{norm}.bias"])
        inner = gelu(product(*by_token(state), layer, "wide") + layer["wide.bias"])
        codes, scales = quantised(inner, np.maximum(inner.max(axis=1), F32(1)), 217, 38)
        state = state + product(codes, scales, layer, "narrow", zero=38)
        norm = "output.LayerNorm"
        state = normalised(state, layer[f"{norm}.gain"], layer[f"{norm}.bias"])
    rows = np.zeros((len(ids), a["projection"].shape[1]), F32)
    for k, weights in enumerate(a["projection"]):
        rows += state[:, k, None] * weights
    return rows * (F32(1) / np.sqrt(np.maximum(total(rows * rows), F32(1e-24))))[:, None]


def attended(codes: np.ndarray, scales: np.ndarray, layer: dict[str, np.ndarray]) -> np.ndarray:
    mixed = product(codes, scales, layer, "qkv") + layer["qkv.bias"]
    parts = np.split(mixed, 3, axis=1)
    context = np.empty_like(parts[0])
    for first in range(0, context.shape[1], HEAD):
        query, key, value = (part[:, first : first + HEAD] for part in parts)
        queries, query_scales = quantised(query, np.abs(query).max(axis=1), 127, 0)
        keys, key_scales = quantised(key, np.abs(key).max(axis=1), 64, 0)
        query_scales = query_scales * (F32(0.17677669529663687) * F32(1.4426950408889634))
        likeness = exact(queries, keys.T) * (key_scales * query_scales[:, None])
        power = exp2(likeness - likeness.max(axis=1, keepdims=True))
        attention = np.rint(power * F32(2047))
        top = np.maximum(np.abs(value).max(axis=0), F32(1e-20))
        found = exact(attention, np.rint(value * (F32(1023) / top)))
        shares = F32(1) / attention.astype(np.int64).sum(axis=1).astype(F32)
        context[:, first : first + HEAD] = found * (top * (F32(1) / F32(1023))) * shares[:, None]
    return context


def product(
    codes: np.ndarray, scales: np.ndarray, layer: dict[str, np.ndarray], name: str, zero: int = 128
) -> np.ndarray:
    return (
        exact(codes.astype(np.int64) - zero, layer[name])
        * scales[:, None]
        * layer[f"{name}.scales"]
    )


def exact(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The product of integers: float64 holds them all."""
    return (left.astype(np.float64) @ right.astype(np.float64)).astype(F32)


def by_token(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return quantised(rows, np.abs(rows).max(axis=1), 127, 128)


def quantised(
    rows: np.ndarray, largest: np.ndarray, steps: int, zero: int
) -> tuple[np.ndarray, np.ndarray]:
    codes = np.rint(rows * (F32(steps) / largest)[:, None]) + zero
    return codes, largest / F32(steps)


def normalised(rows: np.ndarray, gain: np.ndarray, bias: np.ndarray) -> np.ndarray:
    share = F32(1) / F32(rows.shape[1])
    off = rows - (total(rows) * share)[:, None]
    scale = F32(1) / np.sqrt(share * total(off * off) + F32(1e-12))
    return off * scale[:, None] * gain + bias


def total(rows: np.ndarray) -> np.ndarray:
    """Sums of rows: 64 lanes, folded in halves."""
    lanes = np.zeros((len(rows), 64), F32)
    for first in range(0, rows.shape[1], 64):
        lanes += rows[:, first : first + 64]
    while lanes.shape[1] > 1:
        half = lanes.shape[1] // 2
        lanes = lanes[:, :half] + lanes[:, half:]
    return lanes[:, 0]


def exp2(x: np.ndarray) -> np.ndarray:
    x = np.maximum(x, F32(-24))
    whole = np.rint(x)
    f = x - whole
    power = ((EXP2[3] * f + EXP2[2]) * f + EXP2[1]) * f + EXP2[0]
    return np.ldexp(power, whole.astype(np.int32))


def gelu(x: np.ndarray) -> np.ndarray:
    t = np.minimum(np.abs(x), F32(4.5))
    rest = np.full_like(x, GELU[-1])
    for coefficient in GELU[-2::-1]:
        rest = rest * t + coefficient
    return np.maximum(x, F32(0)) - rest

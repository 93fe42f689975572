"""What do weights of 8 and 4 bits cost on MLX, against float32, in cosine, nDCG@10 and memory?

    python benchmarks/mlx_weights.py --minilm FOLDER [--on ../shared/data/cranfield]

Of a checkpoint in Stanford's format, made here of MiniLM's weights (`scripts/make_mini.py` says
where from) and the projection of `mini`. Cosine and bytes (of the transformer's arrays in memory)
are those of MLX. On a CPU that encodes some sixty tokens a second, so judged queries are run by
torch, with the weights that MLX has rounded and made float32 again: the same products, for what MLX
multiplies is these numbers. How far its rows are from those of torch is in the line, too. One JSON
line; wants the extras mlx and torch.
"""

from __future__ import annotations

import argparse
import gc
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from measure import record
from originals import checkpoint
from safetensors.numpy import load_file, save_file

from interlace import Encoder
from interlace.models.judging import ndcg, probed
from interlace.threads import resident

BITS = {"int8": 8, "int4": 4}
GROUP = 64

#: What MLX does not round of all that has two dimensions: tables that are added, what is not run.
WHOLE = ("position_embeddings", "token_type_embeddings", "pooler", "linear.weight")


def rounded(source: Path, bits: int, to: Path) -> Path:
    """The same folder, with weights that MLX has rounded."""
    shutil.copytree(source, to)
    arrays = load_file(source / "model.safetensors")
    for name, one in arrays.items():
        if name.endswith("weight") and one.ndim == 2 and not any(part in name for part in WHOLE):
            packed = mx.quantize(mx.array(one), group_size=GROUP, bits=bits)
            arrays[name] = np.array(mx.dequantize(*packed, group_size=GROUP, bits=bits))
    save_file(arrays, to / "model.safetensors")
    return to


def loaded(model: Path, precision: str) -> tuple[Encoder, dict[str, Any]]:
    gc.collect()
    before = resident("MLX")(mx.get_active_memory)
    start = time.perf_counter()
    encoder = Encoder.load(model, backend="mlx", precision=precision)
    seconds = time.perf_counter() - start
    n_bytes = resident("MLX")(mx.get_active_memory) - before
    return encoder, {"load_s": round(seconds, 2), "megabytes": round(n_bytes / 1e6, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minilm", type=Path, required=True)
    parser.add_argument("--on", type=Path, default=Path("../shared/data/cranfield"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "float32").mkdir()
        model = checkpoint(args.minilm, Path(folder) / "float32", query_length=64)
        whole = Encoder.load(model, backend="torch", device="cpu")
        figures: dict[str, Any] = {}
        for precision in ("float32", *BITS):
            encoder, costs = loaded(model, precision)
            folder_of = model if precision == "float32" else Path(folder) / precision
            if precision in BITS:
                rounded(model, BITS[precision], folder_of)
            other = Encoder.load(folder_of, backend="torch", device="cpu")
            figures[precision] = {
                **costs,
                **beside(encoder, other, whole),
                "ndcg": round(ndcg(other, args.on), 4),
            }
        record(
            "mlx_weights",
            model="MiniLM with the projection of mini",
            device=str(resident("MLX")(mx.default_device)),
            on=args.on.name,
            **figures,
        )


def beside(encoder: Encoder, other: Encoder, whole: Encoder) -> dict[str, float]:
    """How near MLX's rows are to those of float32, and to torch's of the same weights."""
    pairs = list(probed(encoder, other))
    cosines = [
        np.einsum("ij,ij->i", ours, full)
        for (ours, _), (_, full) in zip(pairs, probed(other, whole), strict=True)
    ]
    apart = max(float(np.abs(ours - theirs).max()) for ours, theirs in pairs)
    return {
        "mean_cosine": round(float(np.concatenate(cosines).mean()), 5),
        "least_cosine": round(float(np.concatenate(cosines).min()), 5),
        "torch_apart": float(f"{apart:.1e}"),
    }


if __name__ == "__main__":
    main()

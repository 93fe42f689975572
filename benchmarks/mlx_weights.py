"""What do weights of 8 and 4 bits cost on MLX, against float32, in cosine and in nDCG@10?

    python benchmarks/mlx_weights.py [MODEL] --minilm FOLDER [--on ../shared/data/cranfield]

Of MODEL, a folder or a name on the hub; without one, of a checkpoint in Stanford's format that is
made here of MiniLM's weights (`scripts/make_mini.py` says where from) and a projection that nobody
trained: what rounding does to it is real, how well it ranks is not the point. Bytes are those of
the transformer's arrays in memory. One JSON line; wants the extra mlx.
"""

from __future__ import annotations

import argparse
import gc
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from measure import record
from safetensors.numpy import load_file, save_file

from interlace import Encoder
from interlace.threads import resident

DIM, DOCUMENT_LENGTH = 128, 64


def checkpoint(minilm: Path, to: Path) -> Path:
    """A folder as Stanford's ColBERT writes it."""
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(minilm / name, to)
    arrays = {f"bert.{name}": one for name, one in load_file(minilm / "model.safetensors").items()}
    width = json.loads((minilm / "config.json").read_text())["hidden_size"]
    turned, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((width, DIM)))
    save_file(
        arrays | {"linear.weight": turned.T.astype(np.float32).copy()}, to / "model.safetensors"
    )
    said = {"query_maxlen": 32, "doc_maxlen": DOCUMENT_LENGTH, "dim": DIM}
    (to / "artifact.metadata").write_text(json.dumps(said))
    return to


def loaded(model: str, precision: str) -> tuple[Encoder, dict[str, Any]]:
    gc.collect()
    before = resident("MLX")(mx.get_active_memory)
    start = time.perf_counter()
    encoder = Encoder.load(model, backend="mlx", precision=precision)
    seconds = time.perf_counter() - start
    n_bytes = resident("MLX")(mx.get_active_memory) - before
    return encoder, {"load_s": round(seconds, 2), "megabytes": round(n_bytes / 1e6, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--minilm", type=Path)
    parser.add_argument("--on", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = args.model or str(checkpoint(args.minilm, Path(folder)))
        whole, costs = loaded(model, "float32")
        figures: dict[str, Any] = {"float32": costs}
        for precision in ("int8", "int4"):
            encoder, costs = loaded(model, precision)
            found = encoder.compare(whole, on=args.on)
            figures[precision] = costs | {
                "mean_cosine": round(found.mean_cosine, 5),
                "least_cosine": round(found.least_cosine, 5),
                "ndcg": found.ndcg and round(found.ndcg, 4),
            }
            figures["float32"]["ndcg"] = found.ndcg_other and round(found.ndcg_other, 4)
        record(
            "mlx_weights",
            model=args.model or "MiniLM, untrained projection",
            device=str(resident("MLX")(mx.default_device)),
            on=args.on and args.on.name,
            **figures,
        )


if __name__ == "__main__":
    main()

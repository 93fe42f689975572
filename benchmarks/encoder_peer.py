"""sentence-transformers in float32, as a worker of encoder.py in an environment of its own.

    python encoder_peer.py FOLDER N_THREADS

FOLDER holds MiniLM as sentence-transformers wants it. Reads texts as one JSON list a line,
and answers each line with seconds, of the clock and of the processor: one pair for documents, which
are encoded together; for queries, which come as {"queries": [...]}, a pair each.
"""

from __future__ import annotations

import json
import sys
import time

import sentence_transformers
import torch


def main() -> None:
    folder, n_threads = sys.argv[1], int(sys.argv[2])
    torch.set_num_threads(n_threads)
    model = sentence_transformers.SentenceTransformer(folder, device="cpu")

    def seconds(texts: list[str]) -> tuple[float, float]:
        start = time.perf_counter(), time.process_time()
        model.encode(texts, batch_size=32, output_value="token_embeddings")
        return time.perf_counter() - start[0], time.process_time() - start[1]

    seconds(["warm"])
    versions = {
        "sentence-transformers": sentence_transformers.__version__,
        "torch": torch.__version__,
    }
    print(json.dumps(versions), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if isinstance(asked, dict):
            print(json.dumps([seconds([text]) for text in asked["queries"]]), flush=True)
        else:
            print(json.dumps(seconds(asked)), flush=True)


if __name__ == "__main__":
    main()

"""One way to run MiniLM, as a worker of models.py in an environment of its own.

    python models_worker.py KIND MODEL N_THREADS [PRECISION]
    python models_worker.py start KIND MODEL
    python models_worker.py sizes PYPROJECT
    python models_worker.py make MINILM TO

KIND is a backend of interlace, ``sentence-transformers`` or ``openvino``. A worker reads texts as
one JSON list a line and answers with seconds, of the clock and of the processor: one pair for
documents, which are encoded together; a pair each for queries, which come as {"queries": [...]}.
``start`` tells how long it takes from nothing to the first query's embeddings, ``sizes`` what the
packages that are needed take on disk, and ``make`` writes the checkpoint that all run: MiniLM, a
random projection to 128, neither markers nor expansion; and its graph.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
import tomllib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

Encode = Callable[[Sequence[str]], Any]


def main() -> None:
    first, *rest = sys.argv[1:]
    if first == "start":
        print(json.dumps(start(*rest)))
    elif first == "sizes":
        print(json.dumps(sizes(Path(rest[0]))))
    elif first == "make":
        make(*rest)
    else:
        serve(*load(first, rest[0], int(rest[1]), *rest[2:]))


def serve(documents: Encode, queries: Encode, versions: dict[str, str]) -> None:
    documents(["warm"])
    queries(["warm"])
    print(json.dumps(versions), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if isinstance(asked, dict):
            answer: Any = [seconds(queries, [text]) for text in asked["queries"]]
        else:
            answer = seconds(documents, asked)
        print(json.dumps(answer), flush=True)


def seconds(encode: Encode, texts: Sequence[str]) -> tuple[float, float]:
    started = time.perf_counter(), time.process_time()
    encode(texts)
    return time.perf_counter() - started[0], time.process_time() - started[1]


def load(
    kind: str, model: str, n_threads: int = 1, precision: str | None = None
) -> tuple[Encode, Encode, dict[str, str]]:
    """What encodes documents and what encodes queries, and the versions of what does it."""
    if kind == "sentence-transformers":
        import sentence_transformers
        import torch

        torch.set_num_threads(n_threads)
        encoder = sentence_transformers.MultiVectorEncoder(model, device="cpu")
        return (
            lambda texts: encoder.encode_document(list(texts), batch_size=32),
            lambda texts: encoder.encode_query(list(texts)),
            versions("sentence-transformers", "torch"),
        )
    import interlace

    if kind == "openvino":
        return openvino(model, n_threads, precision or "f32")
    if kind == "torch":
        import torch

        torch.set_num_threads(n_threads)
    own = interlace.Encoder.load(model, backend=kind, n_threads=n_threads, precision=precision)
    package = {"torch": ("torch",), "onnx": ("onnxruntime",)}.get(kind, ())
    return own.encode_document, own.encode_query, versions(*package)


def openvino(model: str, n_threads: int, precision: str) -> tuple[Encode, Encode, dict[str, str]]:
    """The float graph, one text a request, as many requests at once as threads."""
    import numpy as np
    import openvino as ov

    from interlace.models.checkpoint import Checkpoint
    from interlace.models.tokens import Role, TextTokenizer

    checkpoint = Checkpoint.read(Path(model), None)
    tokenizer = TextTokenizer(checkpoint)
    compiled = ov.Core().compile_model(
        str(checkpoint.graph),
        "CPU",
        {
            "INFERENCE_NUM_THREADS": n_threads,
            "NUM_STREAMS": n_threads,
            "INFERENCE_PRECISION_HINT": precision,
        },
    )
    requests = ov.AsyncInferQueue(compiled, n_threads)
    names = [one.any_name for one in compiled.inputs]

    def encode(role: Role) -> Encode:
        def run(texts: Sequence[str]) -> None:
            for text in texts:
                ids = tokenizer.tokens(text, role).ids[None]
                known = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
                requests.start_async({name: known.get(name, np.zeros_like(ids)) for name in names})
            requests.wait_all()

        return run

    return encode("document"), encode("query"), versions("openvino")


def versions(*packages: str) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in packages}


def start(kind: str, model: str) -> dict[str, float]:
    """Milliseconds to import interlace, or what is run in its place, and to the first query."""
    began = time.perf_counter()
    if kind == "sentence-transformers":
        import sentence_transformers  # noqa: F401
    else:
        import interlace  # noqa: F401
    imported = time.perf_counter()
    _, queries, _ = load(kind, model)
    queries(["why is the sky blue"])
    ready = time.perf_counter()
    return {"import_ms": 1000 * (imported - began), "first_query_ms": 1000 * (ready - began)}


def sizes(pyproject: Path) -> dict[str, int]:
    """Bytes of the packages that interlace needs, without any extra and with torch's."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    core, extra = project["dependencies"], project["optional-dependencies"]["torch"]
    source = pyproject.parent / "src" / "interlace"
    own = sum(
        path.stat().st_size
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )
    return {"interlace": own, "core": on_disk(core), "torch": on_disk([*core, *extra])}


def on_disk(requirements: Iterable[str]) -> int:
    """Bytes of these packages and of all that they need."""
    from packaging.requirements import Requirement

    wanted, found = [Requirement(one) for one in requirements], {}
    while wanted:
        one = wanted.pop()
        name = one.name.lower().replace("_", "-")
        if name in found or (one.marker and not one.marker.evaluate({"extra": ""})):
            continue
        package = importlib.metadata.distribution(name)
        files = [package.locate_file(file) for file in package.files or ()]
        found[name] = sum(Path(str(file)).stat().st_size for file in files if file.is_file())
        wanted += map(Requirement, package.requires or ())
    return sum(found.values())


def make(minilm: str, to: str) -> None:
    import torch
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Dense, Normalize, Transformer

    import interlace

    torch.manual_seed(0)
    width = {"in_features": 384, "out_features": 128, "bias": False}
    token = "token_embeddings"
    modules = [
        Transformer(minilm, document_length=256, query_length=512),
        Dense(**width, activation_function=torch.nn.Identity(), module_input_name=token),
        Normalize(module_input_name=token),
    ]
    model = MultiVectorEncoder(modules=modules, device="cpu")
    model.save_pretrained(f"{to}/checkpoint", create_model_card=False)
    interlace.Encoder.export(f"{to}/checkpoint", f"{to}/graph")


if __name__ == "__main__":
    main()

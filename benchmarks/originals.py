"""The same code on the originals and, with other import lines, here: do they find the same?

    python benchmarks/originals.py --minilm FOLDER [--collection cranfield] [--passages 500]
                                   [--originals stanford,ragatouille,pylate]

The programs in programs/ are written for Stanford ColBERT, RAGatouille and PyLate, and run in
environments that ``peers.py --install`` makes; then their import lines are changed, and they run
here, which wants the extra torch. All get one checkpoint in Stanford's format, made of MiniLM's
weights (`scripts/make_mini.py` says where from) and the projection of `mini`, and texts of 100
words, so that nobody cuts one. One JSON line: how often the first hit is the same, how many of the
ten best are, and both against exact float32 MaxSim. Ten minutes, most of them colbert-ai's, which
compiles C++ when it is first used.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from corpora import load
from measure import record
from peers import python
from safetensors.numpy import load_file, save_file

import interlace
from interlace.models.backends import graph

HERE = Path(__file__).parent
WORDS = 100


class Original(NamedTuple):
    """A package, its environment, and its import lines."""

    package: str
    environment: str
    imports: str


ORIGINALS = {
    "stanford": Original("colbert-ai", "colbert", r"from colbert(\.\w+)? import"),
    "ragatouille": Original("RAGatouille", "ragatouille", "from ragatouille import"),
    "pylate": Original("pylate", "pylate", "from pylate import"),
}

Hits = list[list[int]]


def checkpoint(minilm: Path, to: Path, query_length: int = 32) -> Path:
    """Fill a folder as Stanford's ColBERT writes it."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(minilm / name, to)
    config = json.loads((minilm / "config.json").read_text())
    (to / "config.json").write_text(json.dumps(config | {"architectures": ["HF_ColBERT"]}))
    arrays = {f"bert.{name}": one for name, one in load_file(minilm / "model.safetensors").items()}
    content = resources.files("interlace.models").joinpath("mini", "model.onnx").read_bytes()
    projection = graph.read(content).arrays["projection"].T.copy()
    whole = arrays | {"linear.weight": projection}
    save_file(whole, to / "model.safetensors", metadata={"format": "pt"})
    said = {"query_maxlen": query_length, "doc_maxlen": 256, "dim": len(projection)}
    (to / "artifact.metadata").write_text(json.dumps(said))
    return to


def ran(interpreter: Path, program: str, model: Path, texts: Path) -> Hits:
    """What a program finds, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("collection.tsv", "queries.tsv"):
            shutil.copy(texts / name, folder)
        path = Path(folder) / "program.py"
        path.write_text(program, encoding="utf-8")
        paths = os.pathsep.join((str(interpreter.parent), os.environ["PATH"]))
        settings = {
            "PATH": paths,
            "HF_HUB_OFFLINE": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "TORCH_EXTENSIONS_DIR": str(interpreter.parents[1] / "torch_extensions"),
        }
        command = [str(interpreter), str(path), str(model), folder]
        subprocess.run(
            command, check=True, cwd=folder, env=os.environ | settings, stdout=subprocess.DEVNULL
        )
        found = json.loads((Path(folder) / "hits.json").read_text())
    return [[pid for pid, _ in hits] for hits in found]


def version(interpreter: Path, package: str) -> str:
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    command = [str(interpreter), "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def exact(model: Path, texts: Sequence[str], queries: Sequence[str]) -> Hits:
    """The ten best by float32 MaxSim."""
    encoder = interlace.Encoder.load(model)
    documents = encoder.encode_document(texts)
    scores = [interlace.maxsim(query, documents) for query in encoder.encode_query(queries)]
    return [(-one).argsort(kind="stable")[:10].tolist() for one in scores]


def agreement(one: Hits, other: Hits) -> dict[str, float]:
    """How often the first is the same, and how many of ten."""
    pairs = list(zip(one, other, strict=True))
    return {
        "first": round(statistics.fmean(a[0] == b[0] for a, b in pairs), 3),
        "of_ten": round(statistics.fmean(len({*a} & {*b}) for a, b in pairs), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minilm", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--collection", default="cranfield")
    parser.add_argument("--passages", type=int, default=500)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--originals", default=",".join(ORIGINALS))
    args = parser.parse_args()
    corpus = load(args.data, args.collection)
    texts = [" ".join(text.split()[:WORDS]) for text in corpus.texts[: args.passages]]
    queries = [" ".join(text.split()) for text in corpus.queries[: args.queries]]
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as root:
        (Path(root) / "model").mkdir()
        model = checkpoint(args.minilm, Path(root) / "model")
        for name, some in (("collection", texts), ("queries", queries)):
            rows = "".join(f"{number}\t{text}\n" for number, text in enumerate(some))
            (Path(root) / f"{name}.tsv").write_text(rows, encoding="utf-8")
        best = exact(model, texts, queries)
        for name in args.originals.split(","):
            original = ORIGINALS[name]
            program = (HERE / "programs" / f"{name}.py").read_text(encoding="utf-8")
            here = f"from interlace.integrations.{name} import"
            changed = re.sub(original.imports, here, program)
            theirs = ran(python(original.environment), program, model, Path(root))
            ours = ran(python(""), changed, model, Path(root))
            figures[name] = {
                "version": version(python(original.environment), original.package),
                "agree": agreement(theirs, ours),
                "theirs_exact": agreement(theirs, best),
                "ours_exact": agreement(ours, best),
            }
            print(name, figures[name], flush=True)
    record(
        "originals",
        collection=args.collection,
        passages=len(texts),
        queries=len(queries),
        **figures,
    )


if __name__ == "__main__":
    main()

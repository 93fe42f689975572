"""The engines that ours is held against, each a worker process in an environment of its own.

    python benchmarks/peers.py --install
    python benchmarks/peers.py --build --collection scifact --engines tachiom,fast-plaid-4

Environments and indexes are made once and kept in build/peers/; some take hours. Threads are
limited to one; all that is started here stays on ``--core``. pareto.py, building.py and rerank.py
drive the workers.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from corpora import Corpus, load
from embedded import Embedded, debian_texts, embedded
from measure import machine

import interlace

HERE = Path(__file__).parent
BUILD = HERE.parent / "build" / "peers"
HOUR = 3_600

_ANY_GLIBC = ["--platform=manylinux_2_39_x86_64", "--only-binary=:all:", "--target=PURELIB"]
"""The wheel of tachiom is tagged for glibc 2.39, whose symbols it only asks for weakly, so it runs
on 2.36. For another platform pip installs only into a folder that is named."""

ENVIRONMENTS: Mapping[str, Sequence[Sequence[str]]] = {
    "torch": [["torch==2.13.0", "numpy"]],
    "fast-plaid": [["fast-plaid==1.7.0.2110"]],
    "colbert": [
        ["torch==2.13.0", "numpy"],
        ["transformers==4.49.0", "colbert-ai==0.2.22", "faiss-cpu"],
    ],
    "ragatouille": [
        ["torch==2.13.0", "numpy"],
        # LangChain 1 has moved what it imports; psutil is what fast-pytorch-kmeans forgets.
        ["ragatouille==0.0.9.post2", "transformers==4.49.0", "langchain<1", "psutil", "faiss-cpu"],
    ],
    "pylate": [["pylate==1.6.0"]],
    "xtr-warp": [["xtr-warp-rs==2.1.0.2110"]],
    "maxsim": [["numpy", "maxsim-cpu==0.1.0", "fast-maxsim==0.2.0"]],
    "tachiom": [["numpy"], ["tachiom==0.4.0", "--no-deps", *_ANY_GLIBC]],
}
"""What pip is told, one call after another; an engine without an entry runs in this one."""

_LIMITED = ("OMP", "MKL", "OPENBLAS", "RAYON", "NUMBA")
_SLOWING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


class Peer(NamedTuple):
    """An engine of ``engines/``, its options, and the seconds of a core that building may take."""

    module: str
    environment: str = ""
    options: Mapping[str, Any] = {}
    cpu_s_max: int = HOUR


ENGINES: Mapping[str, Peer] = {
    "ours-4": Peer("ours", options={"bits": 4}),
    "ours-2": Peer("ours", options={"bits": 2}),
    "ours-1": Peer("ours", options={"bits": 1}),
    "tachiom": Peer("tachiom", "tachiom"),
    "fast-plaid-4": Peer("fast_plaid", "fast-plaid", {"bits": 4}),
    "fast-plaid-2": Peer("fast_plaid", "fast-plaid", {"bits": 2}),
    "xtr-warp": Peer("xtr_warp", "xtr-warp", {"bits": 4}, HOUR // 2),
    "bm25": Peer("bm25"),
    "exact": Peer("exact", "torch"),
    "numpy": Peer("rerankers", "maxsim", {"by": "numpy"}),
    "torch": Peer("rerankers", "torch", {"by": "torch"}),
    "maxsim-cpu": Peer("rerankers", "maxsim", {"by": "maxsim_cpu"}),
    "fast-maxsim": Peer("rerankers", "maxsim", {"by": "fast_maxsim"}),
}


def named(engines: str) -> list[str]:
    """Names that commas part; one may stand for several: ``ours`` for all of ours."""
    found = []
    for name in engines.split(","):
        some = [one for one in ENGINES if one == name or one.startswith(f"{name}-")]
        if not some:
            raise SystemExit(f"no engine is called {name}: {', '.join(ENGINES)}.")
        found += some
    return found


# --- collections ---------------------------------------------------------------------------------
class Collection(NamedTuple):
    """A collection as the workers read it, and what judges them.

    Attributes
    ----------
    folder : Path
    documents : Embedded
    queries : list of (q_tokens, dim) float32
    corpus : Corpus or None
        With judgements.
    """

    name: str
    folder: Path
    documents: Embedded
    queries: list[npt.NDArray[np.float32]]
    corpus: Corpus | None

    @property
    def n(self) -> int:
        return len(self.documents.offsets) - 1

    @property
    def n_tokens(self) -> int:
        return int(self.documents.offsets[-1])


def collection(name: str, data: Path) -> Collection:
    """One of the shared collections, or ``debian-N``, the first N passages."""
    corpus = None
    if name.startswith("debian-"):
        texts, asked = debian_texts()
        source, n = "debian", int(name.removeprefix("debian-"))
    else:
        corpus = load(data, name)
        texts, asked = corpus.texts, corpus.queries
        source, n = name, len(texts)
    documents = embedded(source, texts).head(n)
    queries = embedded(source, asked, as_queries=True)
    return written(name, documents, queries, texts[:n], asked, corpus)


def written(
    name: str,
    documents: Embedded,
    queries: Embedded,
    texts: Sequence[str],
    asked: Sequence[str],
    corpus: Corpus | None = None,
) -> Collection:
    """A collection where workers find it."""
    folder = BUILD / name / "data"
    folder.mkdir(parents=True, exist_ok=True)
    matrix = folder / "matrix.npy"
    if isinstance(documents.matrix, np.memmap):
        matrix.unlink(missing_ok=True)
        matrix.symlink_to(str(documents.matrix.filename))
    else:
        np.save(matrix, documents.matrix)
    np.save(folder / "token_ids.npy", documents.token_ids)
    np.save(folder / "offsets.npy", documents.offsets)
    np.save(folder / "queries.npy", np.asarray(queries.matrix))
    np.save(folder / "query_offsets.npy", queries.offsets)
    (folder / "texts.json").write_text(json.dumps(texts))
    (folder / "asked.json").write_text(json.dumps(asked))
    return Collection(name, folder, documents, list(queries), corpus)


# --- workers -------------------------------------------------------------------------------------
class Worker:
    """An engine's process, asked one thing at a time. A context manager."""

    def __init__(self, name: str, of: Collection) -> None:
        self.name, self.index = name, BUILD / of.name / name
        self.log = self.index.with_suffix(".log")
        peer = ENGINES[name]
        found = [HERE, Path(interlace.__file__).parents[1]][: 1 + (peer.module == "ours")]
        environment = {name: text for name, text in os.environ.items() if name not in _SLOWING}
        environment |= {f"{library}_NUM_THREADS": "1" for library in _LIMITED}
        environment["PYTHONPATH"] = os.pathsep.join(str(path.resolve()) for path in found)
        command = [python(peer.environment), "-P", "-m", "engines.worker", peer.module]
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                [*command, of.folder, self.index, json.dumps(dict(peer.options))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                text=True,
            )

    def ask(self, do: str, **given: Any) -> dict[str, Any]:
        """What it answers."""
        asked, answers = self._pipes
        asked.write(json.dumps({"do": do, **given}) + "\n")
        asked.flush()
        line = answers.readline()
        if not line:
            raise RuntimeError(f"{self.name} died while asked to {do}: {self.log}.")
        answer: dict[str, Any] = json.loads(line)
        return answer

    @property
    def _pipes(self) -> tuple[IO[str], IO[str]]:
        asked, answers = self._process.stdin, self._process.stdout
        assert asked is not None
        assert answers is not None
        return asked, answers

    def ended(self) -> int:
        """How it did."""
        return self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in self._pipes:
            pipe.close()
        self._process.wait()


def is_built(name: str, of: Collection) -> bool:
    """Whether it can be searched without hours of building."""
    quick = ENGINES[name].module in ("ours", "exact")
    return quick or (BUILD / of.name / f"{name}.json").exists()


def built(name: str, of: Collection, *, again: bool = False) -> dict[str, Any]:
    """What building an engine's index took, now or once; ours is built each time.

    Too slow a build is ended, and not tried again: ``{"dropped": why}``.
    """
    peer, kept = ENGINES[name], BUILD / of.name / f"{name}.json"
    if kept.exists() and not again and peer.module != "ours":
        found: dict[str, Any] = json.loads(kept.read_text())
        return found
    if peer.module == "exact":
        return {}
    print(f"{of.name}: {name} builds", flush=True)
    with Worker(name, of) as worker:
        try:
            took = worker.ask("build", cpu_s_max=peer.cpu_s_max) | {"bytes": size(worker.index)}
        except RuntimeError:
            if worker.ended() != -signal.SIGXCPU:
                raise
            took = {"dropped": f"not built in {peer.cpu_s_max:,} s of one core"}
    took |= {"date": datetime.date.today().isoformat(), "machine": machine()}
    kept.write_text(json.dumps(took))
    print(f"{of.name}: {name}: {took}", flush=True)
    return took


def arithmetic() -> dict[str, Any]:
    """What decides how fast a peer is that computes in sixteen bits."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    pairs = (line.partition(":") for line in lines)
    found = {name.strip(): text.strip() for name, _, text in pairs}
    flags = found.get("flags", "").split()
    return {
        "family": found.get("cpu family"),
        "model": found.get("model"),
        "flags": [flag for flag in flags if flag.startswith(("avx", "amx", "fma"))],
        "float16": any(flag in flags for flag in ("avx512_fp16", "amx_fp16")),
    }


def size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def pin(core: int) -> None:
    """Stay on a core, and so does whatever is started from here, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


# --- environments --------------------------------------------------------------------------------
def python(environment: str) -> Path:
    """The interpreter of an environment."""
    if not environment:
        return Path(sys.executable)
    found = BUILD / "envs" / environment / "bin" / "python"
    if not found.exists():
        raise SystemExit(f"no {found}: run python benchmarks/peers.py --install.")
    return found


def install() -> None:
    """Make the environments that are not there."""
    for name, calls in ENVIRONMENTS.items():
        folder = BUILD / "envs" / name
        if (folder / "done").exists():
            continue
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        purelib = sysconfig.get_path("purelib", vars={"base": str(folder)})
        for call in calls:
            words = [word.replace("PURELIB", purelib) for word in call]
            pip = [python(name), "-m", "pip", "install", "--quiet", *words]
            subprocess.run(pip, check=True)
        (folder / "done").touch()
        print(f"{name}: installed", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--install", action="store_true")
    parser.add_argument("--build", action="store_true", help="the indexes of --engines")
    parser.add_argument("--again", action="store_true", help="though they are there")
    parser.add_argument("--collection", default="scifact")
    parser.add_argument("--engines", default="tachiom,fast-plaid,bm25")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--core", type=int, default=0)
    args = parser.parse_args()
    if args.install:
        install()
    if args.build:
        pin(args.core)
        of = collection(args.collection, args.data)
        for name in named(args.engines):
            built(name, of, again=args.again)


if __name__ == "__main__":
    main()

"""Indexes as Stanford ColBERT, fast-plaid and PyLate write them, and what each decodes of them.

The texts come first, in an environment with interlace; then each package in one of its own:

    python make.py texts
    python make.py stanford      # torch==2.13.0 transformers==4.49.0 colbert-ai==0.2.22 faiss-cpu
    python make.py fast-plaid    # fast-plaid==1.7.0.2110
    python make.py pylate        # pylate==1.6.0, which brings fast-plaid 1.4.6.2110

All are of the same token embeddings: those of ``mini``, 32 of their dims. ``benchmarks/foreign.py``
makes its indexes with the same functions.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
PAGES = HERE.parents[2] / "docs" / "explanation"
N_TEXTS, N_CHARS, DIM = 40, 160, 32


def texts() -> None:
    """Pieces of our own pages, and their embeddings."""
    import interlace

    paragraphs = [
        " ".join(paragraph.split())[:N_CHARS].rpartition(" ")[0]
        for page in ("codec", "growth", "guarantees", "hybrid", "mini", "search", "size")
        for paragraph in (PAGES / f"{page}.md").read_text(encoding="utf-8").split("\n\n")
        if len(paragraph) > N_CHARS and not paragraph.startswith(("|", "#", "    ", "```"))
    ][:N_TEXTS]
    rows = [f"{pid}\t{text}\n" for pid, text in enumerate(paragraphs)]
    (HERE / "collection.tsv").write_text("".join(rows), encoding="utf-8")
    encoded = interlace.Encoder.load("mini").encode_document(paragraphs)
    matrices = [matrix[:, :DIM] for matrix in encoded]
    save(HERE / "made.npz", [m / np.linalg.norm(m, axis=1, keepdims=True) for m in matrices])


def save(path: Path, matrices: Sequence[np.ndarray]) -> None:
    """Matrices behind each other, as float16, and how long each is."""
    rows = np.concatenate(matrices).astype(np.float16)
    np.savez_compressed(path, rows=rows, lengths=[len(matrix) for matrix in matrices])


def load(path: Path) -> list[np.ndarray]:
    """What ``save`` has written, in float32."""
    saved = np.load(path)
    return np.split(saved["rows"].astype(np.float32), np.cumsum(saved["lengths"])[:-1])


# --- Stanford ------------------------------------------------------------------------------------
def stanford(
    folder: Path,
    matrices: Sequence[np.ndarray],
    bits: int,
    chunk: int = 25_000,
    removed: Sequence[int] = (),
) -> None:
    """Train, compress and write as ``Indexer.index`` does; the embeddings are given.

    ``removed`` are taken out as ``IndexUpdater.persist_to_disk`` does.
    """
    import torch
    from colbert.data import Collection
    from colbert.index_updater import IndexUpdater
    from colbert.indexing.codecs.residual import ResidualCodec
    from colbert.indexing.collection_indexer import CollectionIndexer
    from colbert.indexing.index_saver import IndexSaver
    from colbert.infra import ColBERTConfig

    class Pids(Collection):
        def get_chunksize(self) -> int:
            return chunk

    class Given:
        @staticmethod
        def encode_passages(pids: Sequence[str]) -> tuple[torch.Tensor, list[int]]:
            some = [torch.from_numpy(matrices[int(pid)]) for pid in pids]
            return torch.cat(some), [len(one) for one in some]

    torch.manual_seed(7)
    folder.mkdir(parents=True)
    config = ColBERTConfig(
        index_path=str(folder), nbits=bits, dim=matrices[0].shape[1], rank=0, checkpoint="mini"
    )
    indexer = CollectionIndexer.__new__(CollectionIndexer)
    indexer.verbose, indexer.config = 0, config
    indexer.rank, indexer.nranks, indexer.use_gpu = 0, 1, False
    indexer.collection = Pids(data=[str(pid) for pid in range(len(matrices))])
    indexer.encoder, indexer.saver = Given, IndexSaver(config)
    indexer.run([])
    for name in ("metadata.json", "plan.json"):  # it names the machine that made it
        said = json.loads((folder / name).read_text())
        said["config"] = {key: said["config"].get(key) for key in ("checkpoint", "dim", "nbits")}
        (folder / name).write_text(json.dumps(said, indent=4) + "\n")
    updater = IndexUpdater.__new__(IndexUpdater)
    updater.index_path = str(folder)
    updater._load_metadata()
    for pid in removed:
        updater._remove_passage_from_disk(pid)
    codec = ResidualCodec.load(str(folder))
    decoded, lengths = [], []
    for number in range(indexer.num_chunks):
        decoded.append(codec.decompress(ResidualCodec.Embeddings.load(str(folder), number)))
        lengths += json.loads((folder / f"doclens.{number}.json").read_text())
    rows = torch.cat(decoded).numpy()
    save(folder.with_name(f"{folder.name}.npz"), np.split(rows, np.cumsum(lengths)[:-1]))


# --- fast-plaid ----------------------------------------------------------------------------------
def fast_plaid(
    folder: Path,
    matrices: Sequence[np.ndarray],
    bits: int,
    *,
    in_shards: bool = False,
) -> None:
    """Make an index with metadata; ``in_shards`` also adds and deletes, and keeps its shards."""
    import torch
    from fast_plaid import search

    os.environ["FAST_PLAID_KEEP_SHARDS"] = "1" if in_shards else ""
    tensors = [torch.from_numpy(matrix) for matrix in matrices]
    metadata = [
        {"number": i, "half": i / 2, "even": "yes" if i % 2 == 0 else None}
        for i in range(len(tensors))
    ]
    n_first = len(tensors) - 10 if in_shards else len(tensors)
    index = search.FastPlaid(index=str(folder), device="cpu")
    index.create(
        tensors[:n_first],
        nbits=bits,
        metadata=metadata[:n_first],
        start_from_scratch=0,
        batch_size=12 if in_shards else 25_000,
    )
    if in_shards:
        index.update(tensors[n_first:], metadata=metadata[n_first:], start_from_scratch=0)
        index.delete([2, 17])
    n_documents = json.loads((folder / "metadata.json").read_text())["num_documents"]
    decoded = [one.float().numpy() for one in index.get_embeddings(list(range(n_documents)))]
    save(folder.with_name(f"{folder.name}.npz"), decoded)
    index.close()
    (folder / "plaid.lock").unlink(missing_ok=True)


def pylate(folder: Path, matrices: Sequence[np.ndarray], bits: int) -> None:
    """Make PyLate's own folder around a fast-plaid index, with ids that are names."""
    import torch
    from pylate import indexes

    index = indexes.PLAID(
        index_folder=str(folder.parent),
        index_name=folder.name,
        nbits=bits,
        device="cpu",
        show_progress=False,
    )
    names = [f"piece {i}" for i in range(len(matrices))]
    index.add_documents(names, [torch.from_numpy(matrix) for matrix in matrices])
    index.remove_documents(["piece 3", "piece 9"])
    plaid = index._index.fast_plaid
    n_documents = len(matrices) - 2
    decoded = [one.float().numpy() for one in plaid.get_embeddings(list(range(n_documents)))]
    save(folder.with_name(f"{folder.name}.npz"), decoded)
    (folder / "fast_plaid_index" / "plaid.lock").unlink(missing_ok=True)


def main() -> None:
    """Make what the command line names; ``given PACKAGE FOLDER FILE BITS`` of a saved file."""
    if sys.argv[1] == "texts":
        return texts()
    if sys.argv[1] == "given":
        package, folder, file, bits = sys.argv[2:]
        make = {"stanford": stanford, "fast-plaid": fast_plaid}[package]
        return make(Path(folder), load(Path(file)), int(bits))
    matrices = load(HERE / "made.npz")
    wanted = {
        "stanford": [
            lambda: stanford(HERE / "stanford-1", matrices, 1),
            lambda: stanford(HERE / "stanford-2", matrices, 2, chunk=15, removed=[4, 20]),
            lambda: stanford(HERE / "stanford-4", matrices, 4),
        ],
        "fast-plaid": [
            lambda: fast_plaid(HERE / "fast-plaid-2", matrices, 2, in_shards=True),
            lambda: fast_plaid(HERE / "fast-plaid-4", matrices, 4),
        ],
        "pylate": [lambda: pylate(HERE / "pylate-4", matrices, 4)],
    }
    for old in HERE.glob(f"{sys.argv[1]}-*"):
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    for make_one in wanted[sys.argv[1]]:
        with contextlib.redirect_stdout(io.StringIO()):
            make_one()
    return None


if __name__ == "__main__":
    main()

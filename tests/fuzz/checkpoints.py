"""Fuzz what reads model folders: one file of a good folder gets other bytes.

    pip install atheris
    python tests/fuzz/checkpoints.py tests/fuzz/corpus/checkpoints -max_total_time=60

An input is a byte that says which file of which format, and the file's new content. A folder is
read, or refused with ``CheckpointError``; anything else is a finding. ``test_corpora.py`` runs what
is kept. Without a corpus, ``--seeds`` writes one: the good files.
"""

from __future__ import annotations

import atexit
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))

import tiny

from interlace.errors import CheckpointError
from interlace.models.checkpoint import Checkpoint
from interlace.models.head import Head
from interlace.models.tokens import TextTokenizer

CORPUS: Final = Path(__file__).with_name("corpus") / "checkpoints"


class Folders:
    """A good folder of each format, and the files of each that say something."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="fuzz-"))
        atexit.register(shutil.rmtree, self.root, ignore_errors=True)
        for name, make in tiny.MAKERS.items():
            make(self.root / name)
        files = (path for path in sorted(self.root.rglob("*")) if path.is_file())
        self.files = [path for path in files if path.suffix != ".onnx"]
        self.good = {path: path.read_bytes() for path in self.files}

    def run(self, data: bytes) -> None:
        """Put the bytes in place of one file, read the folder, put the file back."""
        if not data:
            return
        path = self.files[data[0] % len(self.files)]
        path.write_bytes(data[1:])
        try:
            with suppress(CheckpointError):
                said = Checkpoint.read(self.root / path.relative_to(self.root).parts[0])
                tokenizer = TextTokenizer(said)
                if max(said.query_length, said.document_length) < 4096:
                    for role in ("query", "document"):
                        tokenizer.tokens("Why is the sky blue?", role)
                Head(said.dense)
        finally:
            path.write_bytes(self.good[path])


def write_seeds(folders: Folders) -> None:
    """Keep each good file as an input."""
    CORPUS.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(folders.files):
        name = path.relative_to(folders.root).as_posix().replace("/", "-")
        (CORPUS / name).write_bytes(bytes([number]) + folders.good[path])


if __name__ == "__main__":
    if "--seeds" in sys.argv:
        write_seeds(Folders())
    else:
        import atheris

        target = Folders()
        atheris.instrument_all()
        atheris.Setup(sys.argv, target.run)
        atheris.Fuzz()

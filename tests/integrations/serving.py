"""The command ``interlace serve``, run as users run it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def serving(path: Path) -> Iterator[str]:
    """Serve a collection on a free port; the address."""
    command = [sys.executable, "-m", "interlace.cli", "serve", str(path), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            found = re.search(r"http://\S+(?=/api/search)", process.stdout.readline())
            assert found, "the command ended before it told an address"
            yield found[0]
        finally:
            process.terminate()

"""What a store that was opened with ``damaged="skip"`` goes on without."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from interlace.errors import Corrupt

DAMAGED: Final = ("raise", "skip")


class Damage:
    """The damaged files that this store has met, and leaves out from then on.

    A codec's folder stands for its files: without one of them, the others mean nothing.

    Parameters
    ----------
    skips : bool
        Whether any may be left out.
    """

    def __init__(self, *, skips: bool) -> None:
        self.skips = skips
        self._files: set[str] = set()

    def __contains__(self, file: Path) -> bool:
        return str(file) in self._files

    def leave_out(self, error: Corrupt) -> bool:
        """Go on without the file that an error blames; False when that changes nothing."""
        if not self.skips or error.file is None:
            return False
        file = Path(error.file)
        blamed = str(file.parent if file.suffix == ".codec" else file)
        is_new = blamed not in self._files
        self._files.add(blamed)
        return is_new

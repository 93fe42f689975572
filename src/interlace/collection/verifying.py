"""Is a collection sound? Asked of the folder, because a damaged one may not open."""

from __future__ import annotations

import os

from interlace import store
from interlace.errors import Corrupt
from interlace.progress import Progress, silent


def verify_folder(path: str | os.PathLike[str], progress: Progress = silent) -> store.VerifyReport:
    """Read every file of a collection and list all that is damaged, also where it cannot open.

    Raises
    ------
    NotACollection, FormatTooNew, FormatTooOld
        When there is nothing that this version could verify.
    """
    try:
        return store.verify_folder(path, progress)
    except Corrupt as error:  # not even the catalog can be read
        return store.VerifyReport((str(error),), n_files=0, n_bytes=0)

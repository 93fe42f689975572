"""How far what was added lately lies from the codec, and whether a rebuild would help."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from interlace.errors import Corrupt
from interlace.store.folder import Folder
from interlace.store.rows import GenerationRow, SegmentRow
from interlace.store.segment import SETTLED

REBUILD_HELPS = 1.6
"""The drift from which recall suffers: docs/explanation/growth.md."""

_TOKENS_LATE = 1 << 18


def drift(folder: Folder, row: GenerationRow | None, rows: Iterable[SegmentRow]) -> float | None:
    """Mean length of lately settled tokens' residuals, over that of what the codec was trained on.

    *Lately* are the last 262,144 tokens of the segment with the newest passage: within a segment
    passages are in insertion order, however often it was merged. None before anything is settled,
    and where the codec is damaged.
    """
    settled = folder.mapped(one for one in rows if one.kind == SETTLED and one.n_tokens)
    if row is None or not settled:
        return None
    newest = max(settled, key=lambda segment: int(segment.passages[-1]))
    norms = newest.arrays["norms"][-_TOKENS_LATE:]
    try:
        generation, _ = folder.codec(row)
    except (Corrupt, FileNotFoundError):
        return None
    found = generation.drift(np.asarray(norms))
    return None if found is None else round(found, 2)


def advice(ratio: float | None) -> str | None:
    """What to do about a drift; None when there is nothing to do."""
    if ratio is None or ratio < REBUILD_HELPS:
        return None
    return (
        f"lately added tokens lie {ratio:.1f} times as far from their centroids as those the codec "
        "was trained on; `interlace rebuild` would help"
    )

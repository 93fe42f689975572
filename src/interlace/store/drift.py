"""How far what was added lately lies from the codec, and whether a rebuild would help."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from interlace.errors import Corrupt
from interlace.store.folder import Folder
from interlace.store.rows import GenerationRow, SegmentRow
from interlace.store.segment import SETTLED

REBUILD_HELPS = 1.6
REBUILD_HELPS_WITHOUT_IDS = 1.2
"""The drift from which recall suffers: docs/explanation/growth.md."""

_TOKENS_LATE = 1 << 18


class Drift(NamedTuple):
    """What a codec has come to.

    Attributes
    ----------
    ratio : float or None
        Mean length of lately settled tokens' residuals, over that of what the codec was trained
        on; None before anything is settled.
    advice : str or None
        What to do about it; None where it does no harm.
    """

    ratio: float | None = None
    advice: str | None = None


def drift(folder: Folder, row: GenerationRow | None, rows: Iterable[SegmentRow]) -> Drift:
    """How far the last 262,144 tokens of the segment with the newest passage lie from the codec.

    Within a segment passages are in insertion order, however often it was merged.
    """
    settled = folder.mapped(one for one in rows if one.kind == SETTLED and one.n_tokens)
    if row is None or not settled:
        return Drift()
    newest = max(settled, key=lambda segment: int(segment.passages[-1]))
    try:
        generation, _ = folder.codec(row)
    except (Corrupt, FileNotFoundError):
        return Drift()
    found = generation.drift(np.asarray(newest.arrays["heads"][-_TOKENS_LATE:]))
    if found is None:
        return Drift()
    typed = bool(row.description["typed"])
    harms = found >= (REBUILD_HELPS if typed else REBUILD_HELPS_WITHOUT_IDS)
    return Drift(round(found, 2), advice(found) if harms else None)


def advice(ratio: float) -> str:
    """What to say about a drift that does harm."""
    return (
        f"lately added tokens lie {ratio:.1f} times as far from their centroids as those the codec "
        "was trained on; `interlace rebuild` would help"
    )

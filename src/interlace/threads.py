"""How many threads there should be."""

from __future__ import annotations

import os


def n_cores() -> int:
    """Cores that this process may use.

    A container or ``taskset`` may allow fewer than the machine has, which ``os.cpu_count`` does
    not know: threads beyond them would only take turns.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

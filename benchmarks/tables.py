"""What pages are written with: the lines of results/, tables, and the machine in words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from measure import RESULTS


def lines(name: str) -> list[dict[str, Any]]:
    """What a benchmark has recorded, oldest first; nothing before its first run."""
    path = RESULTS / f"{name}.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    dashes = ["---"] + ["---:"] * (len(header) - 1)
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in [header, dashes, *rows])


def machine(line: dict[str, Any]) -> str:
    made = line["machine"]
    sets = ", ".join(made["sets"]) or "no vector instructions that we use"
    return (
        f"On {made['cores']} cores of a virtual {made['cpu']} ({sets}); one thread, "
        f"pinned, unless said otherwise. Vectors of `mini`, {line['dim']} dimensions. Recall is "
        "against exact float32 MaxSim."
    )


def width(bits: int) -> str:
    return f"{bits} bit{'s' * (bits > 1)}"

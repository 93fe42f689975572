"""The picture of pareto.py: recall against latency, a panel a collection, engines by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from beside import side_by_side
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "explanation" / "images" / "pareto.png"
PAPER, INK, FAINT = "#ffffff", "#22292f", "#7b8794"
TICKS_RECALL = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1)
BEYOND = 1.03
"""As far beyond a recall of 1 as its axis would have to go on for ever."""

TICKS_MS = (0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)


class Look(NamedTuple):
    """How an engine is drawn, and where its name stands: by which point, how far off in points."""

    name: str
    colour: str
    at: int
    off: tuple[float, float]
    side: str = "left"
    width: float = 1.3


LOOKS: Mapping[str, Look] = {
    "exact": Look("exact, PyTorch", INK, 0, (-9, -4), "right"),
    "bm25": Look("BM25, then MaxSim", "#6b7785", 0, (9, -4)),
    "xtr-warp": Look("xtr-warp", "#8a6d3b", -1, (9, -4)),
    "fast-plaid-2": Look("fast-plaid, 2 bits", "#a58bbd", 0, (0, -15), "center"),
    "fast-plaid-4": Look("fast-plaid, 4 bits", "#76549a", 0, (0, -15), "center"),
    "tachiom": Look("tachiom", "#c2703d", -1, (9, -4)),
    "ours-2": Look("interlace, 2 bits", "#4c9c93", 0, (-8, -18), "left", 2.0),
    "ours-4": Look("interlace, 4 bits", "#0f766e", -1, (0, 10), "center", 2.4),
}
"""From what is drawn first to what is drawn over it."""


def draw(path: Path = PICTURE, collections: Sequence[Mapping[str, Any]] | None = None) -> None:
    """A panel for each collection of results/pareto.jsonl."""
    if collections is None:
        collections = side_by_side("pareto")
    matplotlib.rcParams.update(
        {"font.family": "DejaVu Sans", "font.size": 9.5, "text.color": INK, "axes.labelcolor": INK}
    )
    figure = Figure(figsize=(10.4, 5.0), dpi=200, facecolor=PAPER, layout="constrained")
    panels = figure.subplots(1, len(collections), squeeze=False, sharey=True)[0]
    for axes, line in zip(panels, collections, strict=True):
        frame(axes, line)
        for engine, look in LOOKS.items():
            if found := line["engines"].get(engine, {}).get("settings"):
                curve(axes, look, found, named=engine == "ours-4")
    panels[0].set_ylabel("recall@10 of exact float32 MaxSim")
    figure.supxlabel("milliseconds a query, median of one core, logarithmic", fontsize=9.5)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def frame(axes: Axes, line: Mapping[str, Any]) -> None:
    """The panel without its curves."""
    n_tokens = f"{line['tokens'] / 1e6:.1f} million tokens"
    name = line["collection"].split("-")[0]
    axes.set_title(
        f"{name}: {line['passages']:,} passages, {n_tokens}", loc="left", fontsize=10.5, pad=14
    )
    axes.set_facecolor(PAPER)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(ticker.FixedLocator(TICKS_MS))
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda ms, _: f"{ms:g}"))
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.set_yscale("function", functions=(_spread, _gathered))
    axes.yaxis.set_major_locator(ticker.FixedLocator(TICKS_RECALL))
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda share, _: f"{share:g}"))
    axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.grid(axis="both", color="#e8ebee", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelcolor=FAINT)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#c5ccd3")


def _spread(recall: Any) -> Any:
    """What is missing, logarithmically, so that near the best there is room; it ends at 1."""
    return -np.log(BEYOND - np.minimum(recall, 1))


def _gathered(at: Any) -> Any:
    return BEYOND - np.exp(-at)


def curve(axes: Axes, look: Look, settings: Mapping[str, Mapping[str, float]], named: bool) -> None:
    """One engine: a point a setting, joined in the order of their times, and its name."""
    points = sorted((got["p50_ms"], got["recall@10"], name) for name, got in settings.items())
    axes.plot(
        [ms for ms, _, _ in points],
        [recall for _, recall, _ in points],
        color=look.colour,
        linewidth=look.width,
        marker="o",
        markersize=2.6 + 1.4 * look.width,
        markeredgecolor=PAPER,
        markeredgewidth=0.9,
        clip_on=False,
    )
    words: dict[str, Any] = {"textcoords": "offset points", "color": look.colour}
    weight = "bold" if look.width > 2 else "normal"
    place = points[look.at][:2]
    axes.annotate(look.name, place, look.off, ha=look.side, fontweight=weight, **words)
    for ms, recall, name in points if named else ():
        axes.annotate(name, (ms, recall), (7, -11), fontsize=7.5, **words)

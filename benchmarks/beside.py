"""Tables of ours and the peers, from the lines of pareto.py, building.py and rerank.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from originals import ORIGINALS
from tables import lines, table

Line = Mapping[str, Any]
Setting = Mapping[str, Any]
ENGINES = {
    "ours-4": "interlace, 4 bits",
    "ours-2": "interlace, 2 bits",
    "ours-1": "interlace, 1 bit",
    "tachiom": "tachiom",
    "fast-plaid-4": "fast-plaid, 4 bits",
    "fast-plaid-2": "fast-plaid, 2 bits",
    "xtr-warp": "xtr-warp-rs, 4 bits",
    "bm25": "BM25, MaxSim of its first",
    "exact": "exact MaxSim, PyTorch",
    "numpy": "numpy, one product and `reduceat`",
    "torch": "PyTorch, padded, as PyLate does",
    "maxsim-cpu": "maxsim-cpu",
    "fast-maxsim": "fast-maxsim",
}
ENOUGH = 0.001
"""A recall that is no worse than another by more."""

PAIRS = ("agree", "theirs_exact", "ours_exact")

NOT_YET = "Ours and the peers are not measured on this machine yet."
PICTURE = "![Recall against latency of each engine](images/pareto.png)"


def side_by_side(name: str) -> list[dict[str, Any]]:
    """A line a collection, with the newest figures that each engine has on the newest's machine."""
    found: dict[str, dict[str, Any]] = {}
    for line in reversed(lines(name)):
        newest = found.setdefault(line["collection"], {**line, "engines": {}})
        if line["machine"] == newest["machine"] and line["passages"] == newest["passages"]:
            for engine, figures in line["engines"].items():
                newest["engines"].setdefault(engine, {**figures, "date": line["date"][:10]})
    return sorted(found.values(), key=lambda line: int(line["tokens"]))


def summary() -> str:
    """For the README: of each engine the quickest setting, and the quickest that finds most."""
    if not (found := side_by_side("pareto")):
        return ""
    rows = []
    for engine, name in ENGINES.items():
        for which, choose in (("quickest", quickest), ("finds most", finds_most)):
            cells = [_chosen(line, engine, choose) for line in found]
            if any(cells):
                rows.append([name, which, *cells])
    return (
        "**Beside the peers**, from the same vectors: recall@10, then milliseconds from a query "
        f"matrix to ten ids and scores, median and 95th percentile. {arithmetic(found[-1])} Every "
        "setting, memory, size and builds: [beside the peers](docs/explanation/peers.md).\n\n"
        + table(["", "setting", *map(_title, found)], rows)
    )


def page() -> str:
    """Every setting of every engine; what it takes to have it; builds, sizes, given passages."""
    parts = []
    if found := side_by_side("pareto"):
        parts += [PICTURE, arithmetic(found[-1])]
    for line in found:
        parts += [_settings(line), _engines(line)]
    if found := side_by_side("building"):
        parts += [_building(found), _parts(found)]
    if adding := lines("adding"):
        parts.append(_adding(adding))
    if found := side_by_side("rerank"):
        parts.append(_reranking(found[-1]))
    return "\n\n".join(parts or [NOT_YET])


def arithmetic(line: Line) -> str:
    """The processor, and whether it can do what fast-plaid asks of it."""
    made, found = line["machine"], line["arithmetic"]
    does = "has" if found["float16"] else "has **no**"
    return (
        f"One core of a virtual {made['cpu']} (family {found['family']}, model {found['model']}), "
        f"which {does} arithmetic in float16, the type that fast-plaid computes in."
    )


# --- searching -----------------------------------------------------------------------------------
def quickest(settings: Mapping[str, Setting]) -> str:
    return min(settings, key=lambda name: settings[name]["p50_ms"])


def finds_most(settings: Mapping[str, Setting]) -> str:
    """The quickest of those whose recall is as good as the best."""
    best = max(found["recall@10"] for found in settings.values()) - ENOUGH
    return quickest({name: got for name, got in settings.items() if got["recall@10"] >= best})


def _chosen(line: Line, engine: str, choose: Callable[[Mapping[str, Setting]], str]) -> str:
    settings = line["engines"].get(engine, {}).get("settings")
    if not settings:
        return ""
    got = settings[choose(settings)]
    return f"{got['recall@10']:.3f}; {got['p50_ms']:.2f}, {got['p95_ms']:.2f}"


def _title(line: Line) -> str:
    return f"{line['collection'].split('-')[0]}, {line['passages']:,}"


def _settings(line: Line) -> str:
    rows = [
        [
            name,
            setting,
            f"{got['recall@10']:.3f}",
            f"{got['nDCG@10']:.1f}" if "nDCG@10" in got else "",
            f"{got['p50_ms']:.2f}",
            f"{got['p95_ms']:.2f}",
        ]
        for engine, name in ENGINES.items()
        for setting, got in line["engines"].get(engine, {}).get("settings", {}).items()
    ]
    return (
        f"### {_title(line)} passages\n{line['tokens']:,} tokens; {line['queries']} queries of "
        f"{line['query_tokens']} tokens.\n\n"
        + table(["", "setting", "recall@10", "nDCG@10", "p50 ms", "p95 ms"], rows)
    )


def _engines(line: Line) -> str:
    rows = []
    for engine, name in ENGINES.items():
        if not (got := line["engines"].get(engine)):
            continue
        versions = " ".join(
            f"{package} {number}" for package, number in got.get("versions", {}).items()
        )
        if why := got["build"].get("dropped"):
            rows.append([name, versions, f"*{why}*", "", "", got["date"]])
            continue
        rows.append(
            [
                name,
                versions,
                _seconds(got["build"]),
                got.get("bytes_a_token", ""),
                f"{got['resident_mb']}, {got['before_mb']}",
                got["date"],
            ]
        )
    header = ["", "versions", "build s", "bytes a token", "MB", "on"]
    return (
        "Seconds of the processor that building took; bytes a token on disk, texts of ours "
        "included; megabytes resident after all queries, and before opening:\n\n"
        + table(header, rows)
    )


def _seconds(build: Mapping[str, Any]) -> str:
    seconds = build.get("cpu_s")
    return "" if seconds is None else f"{seconds:,.1f}"


# --- building ------------------------------------------------------------------------------------
def _building(found: Sequence[Line]) -> str:
    rows = []
    for line in found:
        ours = line["engines"]["ours-4"]["seconds"]
        for engine, name in ENGINES.items():
            if got := line["engines"].get(engine):
                times = "" if engine.startswith("ours") else f"{got['seconds'] / ours:.0f}"
                row = [_title(line), name, f"{got['seconds']:,.1f}", times, got["peak_mb"]]
                rows.append([*row, got["date"]])
    return (
        "### Building\nSeconds after encoding on one thread, and how many times those of ours at 4 "
        "bits; megabytes at the peak:\n\n" + table(["", "", "s", "times", "MB", "on"], rows)
    )


def _parts(found: Sequence[Line]) -> str:
    columns = [
        (f"{_title(line)}, {ENGINES[engine].split(', ')[1]}", _a_token(line, engine))
        for line in found
        for engine in ("ours-4", "ours-2", "ours-1")
        if engine in line["engines"]
    ]
    names = list(dict.fromkeys(part for _, parts in columns for part in parts))
    rows = [[name, *(f"{parts.get(name, 0):.2f}" for _, parts in columns)] for name in names]
    return (
        "Bytes a token of ours on disk, by part; the catalog, which has the texts, is not in the "
        "sum:\n\n" + table(["", *(title for title, _ in columns)], rows)
    )


def _a_token(line: Line, engine: str) -> dict[str, float]:
    """Bytes a token by part, their sum, and the catalog's."""
    parts = {
        part: n_bytes / int(line["tokens"])
        for part, n_bytes in line["engines"][engine]["parts"].items()
    }
    catalog = parts.pop("catalog")
    return {**parts, "**sum**": sum(parts.values()), "catalog": catalog}


def _adding(found: Sequence[Line]) -> str:
    newest = {(line["collection"], line["bits"]): line for line in found}
    last = found[-1]
    names = list(last["recall@10"])
    rows = [
        [
            line["bits"],
            effort,
            line["commit_s"],
            *(f"{line['recall@10'][name][effort]:.4f}" for name in names),
        ]
        for line in newest.values()
        for effort in line["recall@10"][names[0]]
    ]
    n_before = last["passages"] - last["commits"] * last["a_commit"]
    return (
        f"### Adding\n{last['commits']} commits of {last['a_commit']:,} passages to {n_before:,}: "
        "seconds of one after encoding, median; then, of the exact ten best of all, how many are "
        "found of those that were there, and of those that were added:\n\n"
        + table(["bits", "effort", "s", *names], rows)
    )


# --- given passages ------------------------------------------------------------------------------
def _reranking(line: Line) -> str:
    rows = [
        [
            ENGINES[engine],
            f"{got['p50_ms']:.2f}",
            f"{got['p95_ms']:.2f}",
            f"{got['recall@10']:.3f}",
            f"{100 * got['wrong']:.1f}%",
        ]
        for engine, got in line["engines"].items()
    ]
    return (
        f"### Given passages\nScoring {line['passages']:,} given passages ({line['tokens']:,} "
        f"tokens) for {line['query_tokens']} query tokens: ours from its codes in the collection, "
        "the others from float32 in memory; how many of the ten best stay so; and scores that are "
        "off by more than 1 (maxsim-cpu is wrong for more than 32 query tokens):\n\n"
        + table(["", "p50 ms", "p95 ms", "of the ten best", "wrong"], rows)
    )


# --- originals -----------------------------------------------------------------------------------
def originals() -> str:
    """The same code on the originals and, with other import lines, here."""
    line = lines("originals")[-1]
    rows = [
        [
            f"{ORIGINALS[name].package} {got['version']}",
            *(f"{100 * got[pair]['first']:.0f}%, {got[pair]['of_ten']:.2f}" for pair in PAIRS),
        ]
        for name in ORIGINALS
        if (got := line.get(name))
    ]
    return (
        f"{line['passages']:,} passages and {line['queries']} queries of {line['collection']}: how "
        "often the first hit is the same, and how many of the ten best are.\n\n"
        + table(["", "there and here", "there and exact", "here and exact"], rows)
    )

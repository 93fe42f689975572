"""Tables of ours and the peers, from the lines of pareto.py, building.py and rerank.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tables import lines, table

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
    found = side_by_side("pareto")
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
    found = side_by_side("pareto")
    parts = [PICTURE, arithmetic(found[-1])]
    for line in found:
        parts += [_settings(line), _engines(line)]
    return "\n\n".join([*parts, _building(), _parts(), _adding(), _reranking()])


def arithmetic(line: Mapping[str, Any]) -> str:
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


def _chosen(
    line: Mapping[str, Any], engine: str, choose: Callable[[Mapping[str, Setting]], str]
) -> str:
    settings = line["engines"].get(engine, {}).get("settings")
    if not settings:
        return ""
    got = settings[choose(settings)]
    return f"{got['recall@10']:.3f}; {got['p50_ms']:.2f}, {got['p95_ms']:.2f}"


def _title(line: Mapping[str, Any]) -> str:
    return f"{line['collection'].split('-')[0]}, {line['passages']:,}"


def _settings(line: Mapping[str, Any]) -> str:
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


def _engines(line: Mapping[str, Any]) -> str:
    rows = []
    for engine, name in ENGINES.items():
        if not (got := line["engines"].get(engine)):
            continue
        versions = " ".join(f"{package} {number}" for package, number in got["versions"].items())
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
    seconds = build.get("cpu_s", build.get("seconds"))
    return "" if seconds is None else f"{seconds:,.1f}"


# --- building ------------------------------------------------------------------------------------
def _building() -> str:
    rows = []
    for line in side_by_side("building"):
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


def _parts() -> str:
    columns = [
        (f"{_title(line)}, {ENGINES[engine].split(', ')[1]}", _a_token(line, engine))
        for line in side_by_side("building")
        for engine in ("ours-4", "ours-2", "ours-1")
        if engine in line["engines"]
    ]
    names = list(dict.fromkeys(part for _, parts in columns for part in parts))
    rows = [[name, *(f"{parts.get(name, 0):.2f}" for _, parts in columns)] for name in names]
    return (
        "Bytes a token of ours on disk, by part; the catalog, which has the texts, is not in the "
        "sum:\n\n" + table(["", *(title for title, _ in columns)], rows)
    )


def _a_token(line: Mapping[str, Any], engine: str) -> dict[str, float]:
    """Bytes a token by part, their sum, and the catalog's."""
    parts = {
        part: n_bytes / int(line["tokens"])
        for part, n_bytes in line["engines"][engine]["parts"].items()
    }
    catalog = parts.pop("catalog")
    return {**parts, "**sum**": sum(parts.values()), "catalog": catalog}


def _adding() -> str:
    newest = {(line["collection"], line["bits"]): line for line in lines("adding")}
    rows = []
    for (_, bits), line in newest.items():
        for effort in line["after"]:
            recalls = [line[when][effort] for when in ("before", "after", "at_once")]
            recalls += [line["of_added"][when][effort] for when in ("after", "at_once")]
            rows.append([bits, effort, line["commit_s"], *(f"{share:.4f}" for share in recalls)])
    line = lines("adding")[-1]
    header = ["bits", "effort", "s", "before", "after", "at once", "added", "added, at once"]
    n_before = line["passages"] - line["commits"] * line["a_commit"]
    return (
        f"### Adding\n{line['commits']} commits of {line['a_commit']:,} passages to {n_before:,}: "
        "seconds of one, median, encoding apart; recall@10 before, after, and where all was built "
        "at once; the same of those best passages that were added:\n\n" + table(header, rows)
    )


# --- given passages ------------------------------------------------------------------------------
def _reranking() -> str:
    line = side_by_side("rerank")[-1]
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

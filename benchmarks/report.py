"""Write the figures of the README and of explanations from the newest lines of results/*.jsonl.

    python benchmarks/report.py [--check]

With --check nothing is written; the exit code is 1 when a page is not up to date.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import beside
from corpora import NAMES
from tables import lines, machine, table, width

ROOT = Path(__file__).resolve().parent.parent
START, END = "<!-- figures -->", "<!-- /figures -->"
EFFORTS = ("fast", "balanced", "thorough", "exhaustive")
MEASURES = ("nDCG@10", "MRR@10", "R@100")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = False
    pages = {
        "README.md": figures,
        "docs/explanation/codec.md": codecs,
        "docs/explanation/encoding.md": encoding,
        "docs/explanation/hybrid.md": hybrid,
        "docs/explanation/growth.md": growth,
        "docs/explanation/peers.md": beside.page,
        "docs/explanation/search.md": searching,
        "docs/how-to/filter.md": filters,
        "docs/how-to/integrations.md": beside.originals,
        "docs/how-to/pooling.md": pooling,
    }
    for page, write in pages.items():
        text = (ROOT / page).read_text(encoding="utf-8")
        head, rest = text.split(START)
        _, tail = rest.split(END)
        written = f"{head}{START}\n{write()}\n{END}{tail}"
        stale |= written != text
        if not check:
            (ROOT / page).write_text(written, encoding="utf-8")
    sys.exit(check and stale)


def figures() -> str:
    found = {line["collection"]: line for line in lines("quality")}
    collections = [found[name] for name in NAMES if name in found]
    for name in ("bm25", "pooled", "product"):
        baseline = {line["collection"]: line for line in lines(name)}
        collections = [{**line, name: baseline.get(line["collection"])} for line in collections]
    parts = [machine(collections[-1]), elsewhere(collections)]
    parts += [quality(collections), efforts(collections[0])]
    parts += [beside.summary(), building(collections), living(), small()]
    return "\n\n".join(filter(None, parts))


def elsewhere(collections: list[dict[str, Any]]) -> str:
    """Which of these were measured on another machine than the last."""
    sets = collections[-1]["machine"]["sets"]
    others = [line for line in collections if line["machine"]["sets"] != sets]
    return " ".join(
        f"{line['collection']} was measured on another processor, "
        f"{', '.join(line['machine']['sets'])}."
        for line in others
    )


def hybrid() -> str:
    """Indexes of words, ways to fuse, and what a search takes, by collection."""
    found = {line["collection"]: line for line in lines("hybrid")}
    collections = [found[name] for name in NAMES if name in found]
    names = [line["collection"] for line in collections]
    indexes = ("runs of words", "FTS5", "word pieces", "bm25s")
    words = table(
        ["nDCG@10 (ms a query, MB)", *names],
        (
            [index, *(_of_index(line["lexical"][index]) for line in collections)]
            for index in indexes
        ),
    )
    late = [line["fusion"]["late"]["nDCG@10"] for line in collections]
    ways = []
    for way in collections[0]["fusion"]:
        gained = [
            line["fusion"][way]["nDCG@10"] - base
            for line, base in zip(collections, late, strict=True)
        ]
        gained.append(sum(gained) / len(gained))
        ways.append([way, *(f"{gain:+.2f}" for gain in gained)])
    ways[0] = ["late", *late, ""]
    times = [
        [mode, *(f"{line['modes'][mode]['p50_ms']:.2f}" for line in collections)]
        for mode in ("late", "lexical", "hybrid", "encoding")
    ]
    return "\n\n".join(
        (
            words,
            "Late interaction alone, and what each way of fusing adds to it:",
            table(["nDCG@10", *names, "mean"], ways),
            "Milliseconds of a search, its query encoded before, and of encoding it; median:",
            table(["mode", *names], times),
        )
    )


def _of_index(line: dict[str, Any]) -> str:
    if "p50_ms" not in line:
        return f"{line['nDCG@10']}"
    return f"{line['nDCG@10']} ({line['p50_ms']:.1f}, {line['bytes'] / 1e6:.1f})"


def quality(collections: list[dict[str, Any]]) -> str:
    rows = [
        ("BM25", lambda line: line["bm25"]),
        ("MiniLM, mean-pooled", lambda line: line["pooled"]),
        ("exact float32 MaxSim", lambda line: line["exact"]),
        ("fresh (int8)", lambda line: line["fresh"]),
        *(
            (width(bits), lambda line, bits=bits: line[f"{bits} bits"]["balanced"])
            for bits in (4, 2, 1)
        ),
        ("**all defaults**", lambda line: line["product"]),
    ]

    def cell(found: dict[str, float] | None) -> str:
        return " / ".join(f"{found[name]:.1f}" for name in MEASURES) if found else "–"

    return (
        "**Quality**, "
        + " / ".join(MEASURES)
        + ", balanced effort. Texts are cut at 256 tokens in every row but BM25's and the last, "
        "and searched by tokens alone: by default long documents become passages, at 4 bits, and "
        "words count too.\n\n"
        + table(
            ["", *(line["collection"] for line in collections)],
            [[name, *(cell(get(line)) for line in collections)] for name, get in rows],
        )
    )


def efforts(line: dict[str, Any]) -> str:
    rows = [["fresh", "", *searched(line["fresh"])]]
    for bits in (4, 2, 1):
        for effort in EFFORTS:
            rows.append([width(bits), effort, *searched(line[f"{bits} bits"][effort])])
    return (
        f"**Search** on {line['collection']} ({line['documents']:,} passages, {line['tokens']:,} "
        "tokens) by tokens alone, from a query matrix to ten hits with their texts:\n\n"
        + table(["", "effort", "nDCG@10", "recall@10", "recall@100", "p50 ms", "p95 ms"], rows)
    )


def searched(found: dict[str, float]) -> list[str]:
    return [
        f"{found['nDCG@10']:.1f}",
        f"{found['recall@10']:.3f}",
        f"{found['recall@100']:.3f}",
        f"{found['p50_ms']:.2f}",
        f"{found['p95_ms']:.2f}",
    ]


def building(collections: list[dict[str, Any]]) -> str:
    rows = []
    for line in collections:
        sizes = []
        for bits in (4, 2, 1):
            found = line[f"{bits} bits"]["bytes"]
            sizes.append(f"{(found['settled'] + found['codec']) / line['tokens']:.1f}")
        times = [line["fresh"]["add_s"], line["4 bits"]["settle_s"]]
        untyped = line["4 bits, no token ids"]
        rows.append(
            [
                line["collection"],
                f"{line['tokens']:,}",
                *(f"{seconds:.1f}" for seconds in times),
                f"{untyped['settle_s']:.1f}",
                " / ".join(
                    f"{line[f'{b} bits']['exhaustive']['recall@10']:.3f}" for b in (4, 2, 1)
                ),
                f"{untyped['exhaustive']['recall@10']:.3f}",
                " / ".join(sizes),
            ]
        )
    return (
        "**Build** after encoding, and size: seconds to add, to settle (train, code, list) at 4 "
        "bits, the same without token ids; recall@10 of the codes at 4 / 2 / 1 bits, and at 4 "
        "without token ids; bytes a token on disk without texts at 4 / 2 / 1 bits, everything "
        "counted:\n\n"
        + table(["", "tokens", "add s", "settle s", "no ids", "recall@10", "no ids", "bytes"], rows)
    )


def living() -> str:
    """A million passages in small commits, and copies of a collection."""
    scale, copies = lines("scale")[-1], lines("copies")[-1]
    verifying = lines("verifying")[-1]
    commit, meanwhile = scale["commit_ms"], scale["search_while_writing"]
    grown, built = scale["compacted"], scale["built"]
    rows = [
        [
            "a commit of a thousand passages, median, 99th percentile, longest",
            f"{commit['p50']:.0f}, {commit['p99']:.0f}, {commit['max']:.0f} ms",
        ],
        [
            "a search of another process meanwhile, median and 95th percentile",
            f"{meanwhile['search_p50_ms']:.1f}, {meanwhile['search_p95_ms']:.1f} ms, "
            f"after {meanwhile['refresh_p50_ms']:.1f}, {meanwhile['refresh_p95_ms']:.1f} ms "
            "to see the new commit",
        ],
        [
            "a search once all is there and compacted; with the same passages built at once",
            f"{grown['balanced_p50_ms']:.1f} ms; {built['balanced_p50_ms']:.1f} ms",
        ],
        ["opening it, and memory then", f"{grown['open_ms']:.0f} ms, {grown['opening_mb']} MB"],
        ["verifying it", f"{scale['verify']['seconds']:.0f} s"],
        ["what checksums add to settling", f"{100 * verifying['share_of_settling']:.1f}%"],
    ]
    for name, what in (
        ("backup", "back up {} passages"),
        ("restore", "restore {} passages"),
        ("export_parquet_embeddings", "export {} passages with their vectors"),
    ):
        found = copies[name]
        rows.append(
            [
                what.format(f"{copies['passages']:,}"),
                f"{found['s']:.1f} s; {found['peak_mb']} MB at the peak, "
                f"{found['before_mb']} before",
            ]
        )
    return (
        f"**Living**: {scale['passages']:,} passages ({scale['tokens']:,} tokens of a synthetic "
        f"stream) in {scale['commits']:,} commits, while another process searches:\n\n"
        + table(["", ""], rows)
    )


def filters() -> str:
    """The curve of each kind of filter."""
    line = lines("filters")[-1]
    curves = line["curves"]
    rows = [
        [
            share,
            f"{curves['any'][share]['first_ms']:.1f}",
            *(
                f"{curves[curve][share]['ratio']:.2f} ({curves[curve][share]['recall']:.2f})"
                for curve in ("any", "near", "far")
            ),
        ]
        for share in curves["any"]
    ]
    times = [[f"`{where}`", f"{ms:.0f}"] for where, ms in line["first_ms"].items()]
    return (
        f"Of {line['passages']:,} passages of a synthetic stream, on one thread, by what share "
        "matches: milliseconds that one condition takes at first; then the time of a search with "
        "it against one without (in brackets the share of the exact ten best that it finds), for "
        "filters that have nothing to do with the query, that keep what is near it, and that keep "
        "what is far from it:\n\n"
        + table(["matches", "first ms", "any", "near", "far"], rows)
        + "\n\nMilliseconds that others take at first:\n\n"
        + table(["", "ms"], times)
    )


def pooling() -> str:
    """Quality and size by how many vectors are left, and by how wide they are."""
    found = {line["collection"]: line for line in lines("pooling")}
    first = next(iter(found.values()))
    ways = [how for how, value in first.items() if isinstance(value, dict) and "settled" in value]
    rows = [
        [
            how,
            *(
                f"{line[how]['settled']['nDCG@10']:.1f} / {line[how]['settled']['R@100']:.1f} / "
                f"{line[how]['bytes'] / line['all']['bytes']:.2f}"
                for line in found.values()
            ),
        ]
        for how in ways
    ]
    sizes = ", ".join(
        f"{name} {line['documents']:,} ({line['all']['tokens']:,} vectors, "
        f"{line['all']['bytes'] / 1e6:.1f} MB)"
        for name, line in found.items()
    )
    return (
        "nDCG@10 / R@100, in percent, and the bytes of all vectors against those of a collection "
        f"that pools nothing; settled at 4 bits, `balanced`, by `mini`. Documents: {sizes}. "
        "`mini` was not trained to be cut: its narrower rows show what that costs such a model.\n\n"
        + table(["", *found], rows)
        + "\n\nMilliseconds of the processor's time for a passage of some 160 tokens, two to one: "
        + "; ".join(
            f"{name}, to encode it {line['passage_ms']['encode']:.1f}, to pool it "
            f"{line['passage_ms']['pool']:.1f}"
            for name, line in found.items()
        )
        + "."
    )


def codecs() -> str:
    line = lines("codec")[-1]
    rows = [
        [name, *(f"{found[key]:.4f}" for key in ("mean_cosine", "recall@10", "recall@100"))]
        for name, found in line["rows"].items()
    ]
    return (
        f"{line['collection']}, {line['tokens']:,} tokens of `mini`, {line['leaves']:,} leaves, "
        f"{line['queries']} queries:\n\n"
        + table(["codec", "mean cosine", "recall@10", "recall@100"], rows)
        + "\n\n"
        + anisotropic()
    )


def anisotropic() -> str:
    """What is found of vectors that are moved towards each other."""
    line = lines("anisotropic")[-1]
    rows = [
        [f"{found['mean_cosine']:.2f}", f"{found['4']['fresh']:.3f}"]
        + [
            f"{found[bits][effort]:.3f}"
            for bits in ("4", "2")
            for effort in ("balanced", "exhaustive")
        ]
        for found in line["rows"].values()
    ]
    return (
        f"The same vectors, of {line['documents']:,} documents and {line['queries']} queries, "
        "moved along one direction until random tokens have such a cosine; recall@10 of searches, "
        "against exact float32 MaxSim of the moved vectors "
        "(`python benchmarks/anisotropic.py`):\n\n"
        + table(
            ["cosine", "fresh", "4 bits, balanced", "exhaustive", "2 bits, balanced", "exhaustive"],
            rows,
        )
    )


def searching() -> str:
    """Recall and time of efforts, stage by stage, by passages and bits."""
    found = {
        (line["passages"], line["bits"]): line
        for line in lines("searching")
        if "refine_us" in line["efforts"]["balanced"]["stages"]  # of the search as it is
    }
    stages = ("probe", "walk", "interact", "refine", "score")
    rows, sizes = [], []
    for (passages, bits), line in sorted(found.items(), key=lambda item: (item[0][0], -item[0][1])):
        what = f"{passages:,}, {width(bits)}"
        for effort, of_effort in line["efforts"].items():
            spans = (of_effort["stages"].get(f"{stage}_us") for stage in stages)
            rows.append(
                [
                    what,
                    effort,
                    f"{of_effort['recall@10']:.3f}",
                    f"{of_effort['p50_ms']:.2f}",
                    f"{of_effort['p95_ms']:.2f}",
                    *("" if span is None else f"{span / 1000:.2f}" for span in spans),
                ]
            )
        if "opening" in line:
            opening, on_disk = line["opening"], sum(line["info"].values())
            sizes.append(
                [
                    what,
                    f"{line['tokens']:,}",
                    f"{on_disk / line['tokens']:.1f}",
                    f"{line['built_s']:,.0f}" if line["built_s"] else "",
                    f"{opening['ms']:.0f} ms, {opening['mb']:.0f} MB",
                    ", ".join(f"{n:,.0f}" for n in line.get("a_second", {}).values()),
                ]
            )
    same = [
        [
            f"{passages:,}, {width(bits)}",
            f"{at['recall@10']:.3f}",
            f"{at['width']:.2f}",
            f"{at['p50_ms']:.2f}",
            f"{at['p95_ms']:.2f}",
        ]
        for (passages, bits), line in sorted(found.items(), key=lambda item: item[0])
        if bits == 4 and (at := line.get("at_recall"))
    ]
    newest = lines("searching")[-1]
    asked = {line["queries"]: line["query_tokens"] for line in found.values()}
    tokens = ", ".join(f"{n} of {mean} tokens on average" for n, mean in sorted(asked.items()))
    return (
        f"{machine({**newest, 'dim': 128})} Beyond 100,000 passages it is against an exhaustive "
        f"search of the codes, for fewer queries ({tokens}); "
        "milliseconds:\n\n"
        + table(["", "effort", "recall@10", "p50", "p95", *stages], rows)
        + "\n\nWhat these collections take: bytes a token on disk without texts, all counted; "
        "seconds to add, settle and compact, encoded before; opening, and memory for it; queries a "
        "second of a batch at `balanced`, on one thread and on two:\n\n"
        + table(["", "tokens", "bytes", "build s", "opening", "a second"], sizes)
        + "\n\nAt one recall: .95 of the ten that an exhaustive search of the codes finds, for 100 "
        "queries, by the least widened or narrowed `balanced`:\n\n"
        + table(["", "recall@10", "width", "p50", "p95"], same)
        + "\n\n"
        + limits()
    )


def limits() -> str:
    """Stages beside what arithmetic and memory allow."""
    line = lines("limits")[-1]
    rows = [
        [
            f"{effort}, {stage}",
            *(f"{row[name] / 1000:.2f}" for name in ("us", "arithmetic", "memory")),
            f"{row['share']:.0%}",
        ]
        for effort, stages in line["efforts"].items()
        for stage, row in stages.items()
    ]
    return (
        "Each stage beside its limits, `python benchmarks/limits.py`: what its products would "
        f"take at the {line['peak']['gmacs']:.0f} thousand million multiply-adds a second that "
        "registers reach, and what its reads and additions would take if all addresses were known "
        f"beforehand. {line['passages']:,} passages, {width(line['bits'])}, milliseconds, and the "
        "larger limit as a share of what the stage takes. All queries in turn, so that little is "
        "still in a cache:"
        "\n\n" + table(["", "takes", "arithmetic", "memory", "share"], rows)
    )


def encoding() -> str:
    """What encodes how fast and how faithfully; adding and searching, by part."""
    newest = {line["backend"]: line for line in lines("encoder") if "backend" in line}
    native, onnx = newest["native"], newest["onnx"]
    shares, cosines = (
        f"{get(native)} (onnxruntime {get(onnx)})"
        for get in (
            lambda line: f"{line['1 threads']['of_int8_peak']:.0%}",
            lambda line: f"{line['cosine_to_float32']['mean']:.4f}",
        )
    )
    quality = ", ".join(
        f"{name} {found['nDCG@10']} (onnxruntime {onnx['exact'][name]['nDCG@10']})"
        for name, found in native["exact"].items()
    )
    return (
        f"{machine(native)}\n\n{ways()}\n\n`mini` beside what one core can do, "
        f"{native['int8_peak']['gmacs']:.0f} billion multiply-adds of bytes a second, and beside "
        f"float32 (`python benchmarks/encoder.py`): it reaches {shares} of that; mean cosine "
        f"{cosines}; nDCG@10 of exact scores: {quality}.\n\n{text_to_hits()}"
    )


def ways() -> str:
    """The same model in every way that runs it, and what each wants on disk and to start."""
    line = lines("models")[-1]
    one, two = line["1 threads"], line["2 threads"]
    rows = [
        [name, *(f"{n[name]['tokens_per_s']:,}" for n in (one, two))]
        + [f"{n[name]['p50_ms']:.2f}" for n in (one, two)]
        for name in one
    ]
    mb = {name: f"{n / 1e6:,.0f} MB" for name, n in line["bytes"].items()}
    starts = [
        [name, f"{found['import_ms']}", f"{found['first_query_ms']}"]
        for name, found in line["starts"].items()
    ]
    versions = ", ".join(
        f"{package} {version}"
        for package, version in {
            package: version
            for found in one.values()
            for package, version in found.items()
            if isinstance(version, str)
        }.items()
    )
    return (
        f"The same MiniLM in every way that runs it, by the clock, in one run "
        f"(`python benchmarks/models.py`; {versions}): document tokens a second, and milliseconds "
        "of a query of 12 tokens, median, on one core and on two:\n\n"
        + table(["", "tokens/s", "on two", "query", "on two"], rows)
        + f"\n\nOn disk interlace takes {mb['interlace']}, what it requires {mb['core']}, and with "
        f"PyTorch (its build for the CPU) and sentence-transformers {mb['torch']}. Milliseconds to "
        "import interlace, or sentence-transformers alone, and from nothing to the first query's "
        "embeddings:\n\n" + table(["", "import", "first query"], starts)
    )


def text_to_hits() -> str:
    """What a search takes, from its text to ten hits with theirs, by part."""
    found = {line["collection"]: line for line in lines("text_to_hits")}
    parts = ("whole", "tokenise", "encode", "search", "words", "texts", "rest")
    rows = []
    for name, line in found.items():
        for n in (1, 2):
            for mode in ("late", "hybrid"):
                spread = line[f"{n} threads"][mode]
                cells = (f"{spread[part]['p50_ms']:.2f}" for part in parts)
                what = f"{name}, {line['passages']:,} passages, {mode}, {n} core{'s' * (n > 1)}"
                rows.append([what, *cells, f"{spread['whole']['p95_ms']:.2f}"])
            again = line[f"{n} threads"]["hybrid, query in the cache"]["whole"]
            rows.append(
                [
                    f"the same, query in the cache, {n} core{'s' * (n > 1)}",
                    f"{again['p50_ms']:.2f}",
                    *[""] * (len(parts) - 1),
                    f"{again['p95_ms']:.2f}",
                ]
            )
    adding = next(line["adding"] for line in lines("text_to_hits")[::-1] if line["adding"])
    share = adding["storing_cpu_s"] / adding["cpu_s"]
    return (
        "A search, from its text to ten hits with theirs, median milliseconds by part, and the "
        "95th percentile of the whole:\n\n"
        + table(["", *parts, "p95"], rows)
        + f"\n\nOf adding {adding['tokens']:,} tokens of scifact, {share:.1%} of the processor's "
        "time is storing: not encoding."
    )


def small() -> str:
    footprint, first = lines("footprint")[-1], lines("first_result")[-1]
    models = lines("models")[-1]
    build, opened = footprint["build"], footprint["open"]
    rows = [
        ["from `git clone` to the demo's last line", f"{first['total_s']:.0f} s"],
        [
            "of which the demo: index docstrings, search, explain",
            f"{first['demo_s']:.0f} s",
        ],
        ["wheel, with the model", f"{first['wheel_mb']} MB"],
        ["`import interlace`", f"{footprint['import_s'] * 1000:.0f} ms"],
        [
            f"memory at the peak of adding {footprint['documents']:,} documents of 100 tokens",
            f"{build['peak_mb']:.0f} MB, {build['before_mb']:.0f} before",
        ],
        [
            f"resident after opening that collection ({footprint['disk_mb']:.0f} MB), "
            "after 1 and 100 searches",
            f"{opened['opened_mb']:.0f}, {opened['one_search_mb']:.0f}, "
            f"{opened['hundred_searches_mb']:.0f} MB; {opened['before_mb']:.0f} before",
        ],
    ]
    ways = {n: models[f"{n} threads"] for n in (1, 2)}
    for n, way in ways.items():
        found = way["native, int8"]
        rows.append(
            [
                f"encoding on {n} thread{'s' * (n > 1)} of a processor with "
                f"{', '.join(models['machine']['sets'])}",
                f"{found['tokens_per_s']:,} tokens/s; "
                f"a query of 12 tokens {found['p50_ms']:.2f} ms",
            ]
        )
    own, peer = (
        ways[1][name]["tokens_per_s"] for name in ("native, int8", "sentence-transformers, float32")
    )
    rows.append(
        [
            "the same weights by sentence-transformers in float32, on 1 thread",
            f"{peer:,} tokens/s: ours is {own / peer:.1f} times as fast",
        ]
    )
    rows += files()
    return "**The rest**:\n\n" + table(["", ""], rows)


def files() -> list[list[str]]:
    """Reading and cutting beside encoding; folders of many files, and one large file."""
    newest = {(line["what"], line.get("kind")): line for line in lines("reading")}
    stages, folder = newest["stages", None], newest["folder", None]
    first, again, one = folder["first"], folder["unchanged"], folder["one_changed"]
    rows = [
        [
            "reading and cutting the messy files on one thread, against encoding them on "
            f"{stages['n_threads']}",
            f"{stages['times_encoding']:.0f} times as fast",
        ],
        [
            f"index a folder of {folder['n_files']:,} files ({first['n_tokens']:,} tokens)",
            f"{first['seconds']:.0f} s; {first['peak_mb']} MB at the peak, "
            f"{first['before_mb']} before",
        ],
        [
            "again, unchanged; again, one file changed",
            f"{again['seconds']:.1f} s; {one['seconds']:.1f} s",
        ],
    ]
    for kind in ("txt", "jsonl"):
        if line := newest.get(("one file", kind)):
            size = f"{line['n_bytes'] / 10**9:.1f} GB of .{kind}"
            peak = f"{line['peak_mb']} MB at the peak, {line['before_mb']} before"
            rows.append([f"read and cut {size} ({line['n_passages']:,} passages)", peak])
    return rows


def growth() -> str:
    """The newest line of each collection, with and without token ids."""
    newest = {(line["collection"], line["token_ids"]): line for line in lines("growth")}
    rows = []
    for (name, typed), line in newest.items():
        for bits in (4, 2):
            for how in ("at once", "grown", "not grown"):
                found = line[f"{bits} bits"][how]
                rows.append(
                    [
                        f"{name}, {line['tokens']:,} tokens" + ("" if typed else ", no ids"),
                        bits,
                        how,
                        *(f"{found[effort]['recall@10']:.4f}" for effort in EFFORTS),
                        f"{found['balanced']['nDCG@10']:.1f}",
                        f"{found['leaves']:,}",
                        found["chunks"],
                        found["bytes_a_token"],
                        "" if how == "at once" else f"{found['drift']:.2f}",
                    ]
                )
    header = ["", "bits", "", *(f"recall@10 {effort}" for effort in EFFORTS)]
    return table([*header, "nDCG@10", "leaves", "chunks", "bytes a token", "drift"], rows)


if __name__ == "__main__":
    main()

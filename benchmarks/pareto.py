"""Recall against latency, ours and the peers side by side, and the picture of it.

    python benchmarks/pareto.py [--collections scifact,debian-30000] [--engines ours] [--dry]
    python benchmarks/pareto.py --draw

From a query matrix (BM25: from its text) to ten ids and scores, one query a call, one thread, one
core. The engines take turns: each setting of each engine gets 25 queries it has not just seen,
after two that are not counted, then the next one; round after round. A query takes the median of
its rounds. What is slower than 200 ms has one round, what is slower than 500 ms the first 100
queries of a fixed shuffle. Recall is against exact float32 MaxSim over the same vectors.

Peers' environments and indexes are made beforehand and kept (peers.py), and who has none is left
out, saying so; ours is built each time. One JSON line a collection; with --engines a line of these
alone.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from measure import as_run, quality, record
from peers import Collection, Worker, arithmetic, built, collection, is_built, named, pin
from searching import exact

ENGINES_OF = {
    "scifact": "ours-4,ours-2,tachiom,fast-plaid,xtr-warp,bm25,exact",
    "debian-30000": "ours-4,ours-2,tachiom,bm25,exact",
    "debian-100000": "ours-4,ours-2,tachiom,bm25,exact",
}
K = 10
BLOCK, WARMING = 25, 2
SHARED = 1.1
"""Where the clock ran by more than this beside the processor, the core was not ours."""

SLOW_MS, SLOWEST_MS, N_OF_SLOWEST = 200, 500, 100


class Answers(NamedTuple):
    """What a setting of an engine has answered.

    Attributes
    ----------
    ns : mapping of query to a list, one a round
    cpu_ns : the same, of the processor
    ids : mapping of query to ordinals
    """

    ns: dict[int, list[int]]
    cpu_ns: dict[int, list[int]]
    ids: dict[int, list[int]]

    @property
    def median_ms(self) -> float:
        return float(np.median([np.median(each) for each in self.ns.values()])) / 1e6

    def wants(self, first: int, round_: int) -> bool:
        """Whether it gets a block of queries, from how slow it has been."""
        if not self.ns:
            return True
        if self.median_ms > SLOWEST_MS and first >= N_OF_SLOWEST:
            return False
        return round_ == 0 or self.median_ms <= SLOW_MS


def measured(of: Collection, names: Sequence[str], n_rounds: int, n_queries: int) -> dict[str, Any]:
    """What each engine takes and finds."""
    found: dict[str, Any] = {}
    for name in names:
        if is_built(name, of):
            found[name] = {"build": built(name, of)}
        else:
            print(f"{of.name}: {name} is left out: peers.py --build has not built it", flush=True)
    wanted = exact(of.documents, of.queries, of.name)
    queries = list(range(len(of.queries)))
    random.Random(0).shuffle(queries)
    with ExitStack() as stack:
        workers = {
            name: stack.enter_context(Worker(name, of))
            for name, line in found.items()
            if "dropped" not in line["build"]
        }
        for name, worker in workers.items():
            found[name] |= worker.ask("open")
        answers = {
            (name, setting): Answers({}, {}, {})
            for name in workers
            for setting in found[name].pop("settings")
        }
        take_turns(workers, answers, queries[:n_queries], n_rounds)
        for name, worker in workers.items():
            found[name] |= worker.ask("memory") | {"settings": {}}
    for (name, setting), given in answers.items():
        found[name]["settings"][setting] = judged(of, wanted, given)
        if "bytes" in found[name]["build"]:
            found[name]["bytes_a_token"] = round(found[name]["build"]["bytes"] / of.n_tokens, 1)
    return found


def take_turns(
    workers: Mapping[str, Worker],
    answers: Mapping[tuple[str, str], Answers],
    queries: Sequence[int],
    n_rounds: int,
) -> None:
    """Every query for every setting, block by block, round by round."""
    for round_ in range(n_rounds):
        for first in range(0, len(queries), BLOCK):
            print(f"round {round_ + 1}, query {first}", flush=True)
            warming = [queries[first - at] for at in range(WARMING, 0, -1)]
            for (name, setting), so_far in answers.items():
                if so_far.wants(first, round_):
                    block = queries[first : first + BLOCK]
                    ask(workers[name], setting, warming, block, so_far)


def ask(
    worker: Worker, setting: str, warming: Sequence[int], block: Sequence[int], so_far: Answers
) -> None:
    """One block of queries, after some that are not counted."""
    for query in warming:
        worker.ask("search", query=query, k=K, setting=setting)
    for query in block:
        answer = worker.ask("search", query=query, k=K, setting=setting)
        so_far.ns.setdefault(query, []).append(answer["ns"])
        so_far.cpu_ns.setdefault(query, []).append(answer["cpu_ns"])
        so_far.ids[query] = answer["ids"]


def judged(of: Collection, wanted: np.ndarray, answers: Answers) -> dict[str, Any]:
    """Recall, milliseconds, and where every query has judgements, nDCG@10."""
    times, busy = (
        [float(np.median(each)) / 1e6 for each in spans.values()]
        for spans in (answers.ns, answers.cpu_ns)
    )
    hits = [len(set(ids) & set(wanted[query].tolist())) for query, ids in answers.ids.items()]
    line = {
        "recall@10": round(float(np.mean(hits)) / K, 4),
        "p50_ms": round(float(np.percentile(times, 50)), 3),
        "p95_ms": round(float(np.percentile(times, 95)), 3),
        "cpu_p50_ms": round(float(np.percentile(busy, 50)), 3),
        "queries": len(times),
        "rounds": max(map(len, answers.ns.values())),
    }
    if of.corpus and len(times) == len(of.queries):
        n = of.n  # some pad with an id that is none
        ranked = [[of.corpus.ids[i] for i in answers.ids[q] if i < n] for q in sorted(answers.ids)]
        run = as_run(of.corpus.query_ids, ranked)
        line["nDCG@10"] = quality(of.corpus.judgements, run)["nDCG@10"]
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--collections", default="scifact,debian-30000")
    parser.add_argument("--engines", help="these alone; ours for all of ours")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--queries", type=int, default=1_000, help="at most")
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--dry", action="store_true", help="print, and record nothing")
    parser.add_argument("--draw", action="store_true", help="draw what is recorded, no more")
    args = parser.parse_args()
    if not args.draw:
        pin(args.core)
        for name in args.collections.split(","):
            of = collection(name, args.data)
            names = named(args.engines or ENGINES_OF[name])
            engines = measured(of, names, args.rounds, args.queries)
            for engine, line in engines.items():
                for setting, found in line.get("settings", {}).items():
                    shared = found["p50_ms"] > SHARED * found["cpu_p50_ms"]
                    note = "  somebody else was on this core" if shared else ""
                    print(f"{engine:14} {setting:24} {found}{note}")
            if not args.dry:
                record(
                    "pareto",
                    arithmetic=arithmetic(),
                    collection=name,
                    passages=of.n,
                    tokens=of.n_tokens,
                    queries=min(args.queries, len(of.queries)),
                    query_tokens=round(float(np.mean([len(query) for query in of.queries])), 1),
                    engines=engines,
                )
    if not args.dry:
        from drawing import draw  # matplotlib is not for who only measures

        draw()


if __name__ == "__main__":
    main()

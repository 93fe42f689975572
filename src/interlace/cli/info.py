"""``interlace info``: what a collection is and holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import interlace
from interlace.cli import options, output


def command(path: options.CollectionPath, json: options.AsJson = False) -> None:
    """Show what a collection holds, how many bytes each part takes, and its model."""
    with interlace.open(path) as collection:
        found = collection.info()
    if json:
        output.as_json(found)
    else:
        output.to_people().print(output.facts(_for_people(found)))


def _for_people(found: Mapping[str, Any]) -> dict[str, Any]:
    n_tokens = found["n_tokens"]
    n_vectors = sum(found["bytes"][part] for part in ("fresh", "settled", "codec"))
    rows = {
        "collection": found["path"],
        "documents": found["n_documents"],
        "passages": f"{found['n_passages']:,}, up to {found['passage_tokens'] or 'any number of'} "
        f"tokens each",
        "deleted": f"{found['n_tombstones']:,} passages until compaction",
        "tokens": n_tokens,
        "fresh": f"{found['n_fresh_tokens']:,} tokens in {found['n_fresh_segments']} segments",
        "settled": f"{found['n_settled_tokens']:,} tokens in {found['n_settled_segments']} "
        f"segments, {found['codec']}",
        "on disk": f"{output.bytes_shown(n_vectors)} of vectors"
        + (f" ({n_vectors / n_tokens:.0f} bytes a token)" if n_tokens else "")
        + f", {output.bytes_shown(found['bytes']['catalog'])} of texts and catalog",
        "model": _model(found["model"], found["dim"]),
        "commit": f"{found['commit']} in format {found['format']}",
    }
    if not found["n_tombstones"]:
        del rows["deleted"]
    return rows


def _model(model: Mapping[str, Any] | None, dim: int) -> str:
    if model is None:
        return f"none: embeddings of {dim} dims come from elsewhere"
    parts = [str(model["name"]), f"{dim} dims"]
    if "revision" in model:
        parts.append(f"revision {model['revision']}")
    if "fingerprint" in model:
        parts.append(f"fingerprint {model['fingerprint'][:12]}")
    return ", ".join(parts)

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
        output.to_people().print(output.grouped(_for_people(found)))
        if error := found.get("last_settle_error"):
            output.note(f"the last compression failed: {error}")


def _for_people(found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    sizes = found["bytes"]
    longest = found["passage_tokens"]
    holds = {
        "documents": found["n_documents"],
        "passages": f"{found['n_passages']:,}"
        + (f", of at most {longest} tokens" if longest else ""),
        "tokens": found["n_tokens"],
    }
    if found["n_tombstones"]:
        holds["deleted"] = f"{found['n_tombstones']:,} passages, until compaction"
    n_settled, n_fresh = found["n_settled_tokens"], found["n_fresh_tokens"]
    vectors = {
        "fresh": _tokens(n_fresh, found["n_fresh_segments"], sizes["fresh"]),
        "settled": _tokens(n_settled, found["n_settled_segments"], sizes["settled"]),
    }
    if n_settled:
        vectors["codec"] = f"{found['codec']}, {output.bytes_shown(sizes['codec'])}"
    return {
        "holds": holds,
        "vectors": vectors,
        "on disk": {
            "vectors": output.bytes_shown(sizes["fresh"] + sizes["settled"] + sizes["codec"]),
            "texts": f"{output.bytes_shown(sizes['catalog'])}, with the catalog",
            "folder": found["path"],
        },
        "made": {
            "by": _model(found["model"], found["dim"]),
            "seed": found["seed"],
            "commit": f"{found['commit']:,}, in format {found['format']}",
        },
    }


def _tokens(n_tokens: int, n_segments: int, n_bytes: int) -> str:
    if not n_tokens:
        return "none"
    segments = "1 segment" if n_segments == 1 else f"{n_segments:,} segments"
    return f"{n_tokens:,} tokens in {segments}, {n_bytes / n_tokens:,.0f} bytes a token"


def _model(model: Mapping[str, Any] | None, dim: int) -> str:
    if model is None:
        return f"none: embeddings of {dim} dims come from elsewhere"
    parts = [str(model["name"]), f"{dim} dims"]
    if "revision" in model:
        parts.append(f"revision {model['revision']}")
    if "fingerprint" in model:
        parts.append(f"fingerprint {model['fingerprint'][:12]}")
    return ", ".join(parts)

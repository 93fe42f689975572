"""``interlace info``: what a collection is and holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import interlace
from interlace.cli import options, output, writable

_SHOWN_FIELDS: Final = 20


def command(path: options.CollectionPath, json: options.AsJson = False) -> None:
    """Show what a collection holds, its size and its model, and what runs it here."""
    with interlace.open(path, damaged="skip") as collection:
        found = collection.info(load=True)
    if json:
        output.as_json(found)
    else:
        output.to_people().print(output.grouped(_for_people(found)))
        if error := found["encoder_error"]:
            output.note(f"the model cannot be loaded: {error}")
        if error := found["last_settle_error"]:
            output.note(f"the last compression failed: {error}")
        if found["is_outgrown"]:
            output.note(
                f"tuned when it held {found['tuned']['n_passages']:,} passages: "
                f"`interlace tune {path}` measures it as it is now."
            )
        if advice := found["advice"]:
            output.note(f"{advice}.")
        writable.note_left_out(path, found["left_out"])


def _for_people(found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    sizes = found["bytes"]
    longest, overlap = found["passage_tokens"], found["passage_overlap"]
    holds = {
        "documents": found["n_documents"],
        "passages": f"{found['n_passages']:,}"
        + (f", of at most {longest} tokens, overlap {overlap}" if longest else ""),
        "tokens": found["n_tokens"],
    }
    if pooled := _pooled(found):
        holds["pooled"] = pooled
    if found["n_sources"]:
        files = output.counted(found["n_files"], "file")
        holds["follows"] = f"{files} of {output.counted(found['n_sources'], 'source')}"
    if found["fields"]:
        holds["metadata"] = _fields(found["fields"])
    if found["n_tombstones"]:
        holds["deleted"] = f"{output.counted(found['n_tombstones'], 'passage')}, until compaction"
    return {
        "holds": holds,
        "vectors": {
            "fresh": _tokens(found["n_fresh_tokens"], found["n_fresh_segments"], sizes["fresh"]),
            "settled": _tokens(
                found["n_settled_tokens"], found["n_settled_segments"], sizes["settled"]
            ),
            "codec": _codec(found),
        },
        "on disk": {
            "vectors": output.bytes_shown(sizes["fresh"] + sizes["settled"] + sizes["codec"]),
            "texts": f"{output.bytes_shown(sizes['catalog'])}, with the catalog",
            "folder": found["path"],
        },
        "searches": {"effort": _effort(found["tuned"])},
        "here": {"encoder": _encoder(found["encoder"]), "kernels": found["kernels"]},
        "made": {
            "by": _model(found["model"], found["dim"]),
            "seed": found["seed"],
            "commit": f"{found['commit']:,}, in format {found['format']}",
        },
    }


def _fields(fields: Mapping[str, list[str]]) -> str:
    shown = [f"{name} ({', '.join(kinds)})" for name, kinds in list(fields.items())[:_SHOWN_FIELDS]]
    more = len(fields) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more: --json names them" if more else "")


def _pooled(found: Mapping[str, Any]) -> str:
    factor, most, first = found["pool_factor"], found["pool_tokens"], found["protected_tokens"]
    parts = [f"{factor} tokens to one"] if factor > 1 else []
    parts += [f"at most {most} a passage"] if most else []
    parts += [f"the first {first} kept"] if parts and first else []
    return ", ".join(parts)


def _tokens(n_tokens: int, n_segments: int, n_bytes: int) -> str:
    if not n_tokens:
        return "none"
    held = f"{output.counted(n_tokens, 'token')} in {output.counted(n_segments, 'segment')}"
    return f"{held}, {n_bytes / n_tokens:,.0f} bytes a token"


def _codec(found: Mapping[str, Any]) -> str:
    if found["generation"] is None:
        return f"{found['codec']}, not trained yet"
    parts = [
        f"{found['codec']}, generation {found['generation']}",
        f"{output.bytes_shown(found['bytes']['codec'])} in "
        + output.counted(found["n_codec_chunks"], "chunk"),
    ]
    if (fairness := found["fairness"]) is not None:
        parts.append(f"scores times {fairness:.4f} to compare with fresh ones")
    if (drift := found["drift"]) is not None:
        parts.append(f"new vectors {drift:.2f} times as far off as those it was trained on")
    return ", ".join(parts)


def _effort(tuned: Mapping[str, Any] | None) -> str:
    if tuned is None:
        return "balanced"
    knobs = tuned["knobs"] or {"everything": ""}
    return (
        f"tuned to find {tuned['recall'] * 100:.1f} % of the {tuned['k']} best "
        f"({tuned['wanted'] * 100:g} % asked for): "
        + ", ".join(f"{name} {n:,}" if n else name for name, n in knobs.items())
    )


def _encoder(encoder: Mapping[str, Any] | None) -> str:
    if encoder is None:
        return "none"
    running = (encoder["backend"], encoder["precision"], encoder["device"])
    return ", ".join([*running, output.counted(encoder["n_threads"], "thread")])


def _model(model: Mapping[str, Any] | None, dim: int) -> str:
    if model is None:
        return f"none: embeddings of {dim} dims come from elsewhere"
    parts = [str(model["name"]), f"{dim} dims"]
    if "revision" in model:
        parts.append(f"revision {model['revision']}")
    if "fingerprint" in model:
        parts.append(f"fingerprint {model['fingerprint'][:12]}")
    return ", ".join(parts)

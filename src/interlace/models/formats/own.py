"""Our own format: ``interlace.json``, ``model.onnx`` and ``tokenizer.json``, and nothing else."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Final

from interlace.errors import CheckpointError
from interlace.models.checkpoint import (
    TOKENIZER,
    Checkpoint,
    Expansion,
    Lowering,
    SkipRule,
    choices,
    fingerprint,
)
from interlace.models.formats.fields import Fields

SETTINGS: Final = "interlace.json"
GRAPH: Final = "model.onnx"
FILES: Final = (SETTINGS, GRAPH, TOKENIZER)

#: The layout of a model folder; a folder that says another number is refused.
FORMAT: Final = 1

#: What ``interlace.json`` always says, and what it may leave out.
REQUIRED: Final = (
    "format",
    "name",
    "revision",
    "precision",
    "dim",
    "query_length",
    "document_length",
)
OPTIONAL: Final = (
    "lengths_count_all",
    "query_marker",
    "document_marker",
    "query_prefix",
    "document_prefix",
    "strip",
    "lowercase",
    "query_skip",
    "document_skip",
    "skip_rule",
    "query_expansion",
    "matryoshka_dims",
    "origin",
)
_EXPANSION_FIELDS: Final = ("strategy", "length", "attend", "token")


def read(folder: Path, precision: str | None) -> Checkpoint | None:
    """Read a folder that holds ``interlace.json``."""
    if not (folder / SETTINGS).exists():
        return None
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(
            f"file missing: {folder / missing[0]}. A model folder holds {', '.join(FILES)}."
        )
    said = Fields.read(folder / SETTINGS)
    if said.values.get("format") != FORMAT or type(said.values["format"]) is not int:
        raise said.fault("format", f"must be {FORMAT}; another version of interlace wrote it")
    _refuse_unknown(said, (*REQUIRED, *OPTIONAL))
    found = said.text("precision")
    if precision not in (None, found):
        raise said.fault("precision", f'is "{found}", where "{precision}" is wanted')
    return Checkpoint(
        folder=folder,
        format="interlace",
        settings=said.path,
        fingerprint=fingerprint(folder, [folder / name for name in FILES]),
        name=said.text("name"),
        revision=said.text("revision"),
        precision=found,
        dim=said.count("dim"),
        query_length=said.count("query_length"),
        document_length=said.count("document_length"),
        lengths_count_all=said.flag("lengths_count_all", False),
        query_marker=said.text("query_marker", ""),
        document_marker=said.text("document_marker", ""),
        query_prefix=said.text("query_prefix", ""),
        document_prefix=said.text("document_prefix", ""),
        strip=said.flag("strip", False),
        lowercase=said.choice("lowercase", choices(Lowering), "never"),
        query_skip=said.texts("query_skip", ()),
        document_skip=said.texts("document_skip", ()),
        skip_rule=said.choice("skip_rule", choices(SkipRule), "exact"),
        query_expansion=expansion(said),
        graph=folder / GRAPH,
        matryoshka_dims=said.counts("matryoshka_dims"),
        origin=said.text("origin", ""),
    )


def expansion(said: Fields) -> Expansion | None:
    """The object ``query_expansion``, which sentence-transformers writes in the same way."""
    if not said.has("query_expansion"):
        return None
    group = said.group("query_expansion")
    _refuse_unknown(group, _EXPANSION_FIELDS)
    token = group.values.get("token")
    if isinstance(token, int) and not isinstance(token, bool):
        token = group.id("token")
    else:
        token = group.text("token", "")
    return Expansion(
        strategy=group.choice("strategy", ("fixed", "min")),
        length=group.count("length"),
        attend=group.flag("attend", False),
        token=token,
    )


def _refuse_unknown(said: Fields, known: tuple[str, ...]) -> None:
    for field in said.values:
        if field not in known:
            near = get_close_matches(field, known, n=1)
            raise said.fault(field, "is unknown" + (f', meant "{near[0]}"?' if near else ""))

"""Options that several commands share, with the names of the Python arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

CollectionPath: TypeAlias = Annotated[
    Path, typer.Argument(metavar="COLLECTION", help="The collection's folder.", show_default=False)
]
Query: TypeAlias = Annotated[
    str, typer.Argument(metavar="QUERY", help="What to search for.", show_default=False)
]
Files: TypeAlias = Annotated[
    list[str],
    typer.Argument(
        metavar="FILES…",
        help="Files and folders: .txt .md .rst .jsonl .csv .tsv; - is standard input.",
        show_default=False,
    ),
]
Format: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--format", help="text, jsonl, csv or tsv, whatever the files' names; - is jsonl if unsaid."
    ),
]
ModelName: TypeAlias = Annotated[
    str | None, typer.Option("--model", help="Model name or folder; mini if unsaid.")
]
K: TypeAlias = Annotated[int | None, typer.Option("--k", "-k", help="How many hits; 10 if unsaid.")]
Effort: TypeAlias = Annotated[
    str | None,
    typer.Option("--effort", help="fast, balanced, thorough or exhaustive; balanced if unsaid."),
]
By: TypeAlias = Annotated[
    str, typer.Option("--by", help="document: best passage of each; passage: every passage.")
]
NThreads: TypeAlias = Annotated[
    int | None, typer.Option("--n-threads", help="Threads; one a core if unsaid.")
]
AsJson: TypeAlias = Annotated[
    bool, typer.Option("--json", help="For machines: one JSON object a line.")
]

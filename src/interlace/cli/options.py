"""Options that several commands share, with the names of the Python arguments."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

from interlace.cli import output, places
from interlace.collection import Collection
from interlace.errors import InputError

#: As Python writes an int of at most 64 bits: 007, --5 and twenty digits are names.
_WHOLE_NUMBER: Final = re.compile(r"0|-?[1-9][0-9]{0,18}")


def _one_of(*words: str) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return complete


def _complete_format(incomplete: str) -> list[str]:
    from interlace import text

    return [name for name in text.FORMATS if name.startswith(incomplete)]


#: Headings of the groups that the help shows options in.
READING: Final = "What is read"
CUTTING: Final = "A new collection"
OUTPUT: Final = "Output"

CollectionPath: TypeAlias = Annotated[
    Path,
    typer.Argument(
        metavar="COLLECTION",
        help="The collection's folder.",
        show_default=False,
        callback=places.collection,
        autocompletion=places.complete_collection,
    ),
]
Destination: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--to",
        metavar="FOLDER",
        help="The collection's folder; made if new.",
        show_default=False,
        autocompletion=places.complete_collection,
    ),
]
Query: TypeAlias = Annotated[
    str, typer.Argument(metavar="QUERY", help="What to search for.", show_default=False)
]
Words: TypeAlias = Annotated[
    list[str], typer.Argument(metavar="QUERY", help="What to search for.", show_default=False)
]
Files: TypeAlias = Annotated[
    list[str],
    typer.Argument(
        metavar="FILES",
        help="Files and folders of any format; - is standard input.",
        show_default=False,
    ),
]
Format: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help="Of every file, whatever its name: text, markdown, jsonl, csv, pdf …; "
        "- is jsonl if unsaid.",
        autocompletion=_complete_format,
        rich_help_panel=READING,
    ),
]
Exchanged: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help="jsonl, jsonl.gz or parquet; as the file's name says if unsaid.",
        autocompletion=_one_of("jsonl", "jsonl.gz", "parquet"),
    ),
]
IdField: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--id-field",
        metavar="NAME",
        help="Column or key that is the id, in .csv, .jsonl, .parquet …; id if unsaid.",
        rich_help_panel=READING,
    ),
]
TextFields: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--text-field",
        metavar="NAME",
        help="Column or key that is text; may be repeated. text if unsaid.",
        rich_help_panel=READING,
    ),
]
Hidden: TypeAlias = Annotated[
    bool,
    typer.Option("--hidden", help="Read hidden files and folders too.", rich_help_panel=READING),
]
NoIgnore: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--no-ignore",
        help="Read also what .gitignore, .ignore and .interlaceignore leave out.",
        rich_help_panel=READING,
    ),
]
ModelName: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="Model name or folder; mini if unsaid.",
        autocompletion=_one_of("mini"),
    ),
]
Dim: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--dim",
        metavar="N",
        help="Width of vectors, of those that the model was trained to be cut to.",
    ),
]
K: TypeAlias = Annotated[
    int | None, typer.Option("--k", "-k", metavar="N", help="How many hits; 10 if unsaid.")
]
Mode: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--mode",
        metavar="WORD",
        help="late: by tokens; lexical: by words; hybrid: by both. hybrid if unsaid.",
        autocompletion=_one_of("late", "lexical", "hybrid"),
    ),
]
Effort: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--effort",
        metavar="WORD",
        help="fast, balanced, thorough, exhaustive or tuned; if unsaid tuned where the collection "
        "is, else balanced.",
        autocompletion=_one_of("fast", "balanced", "thorough", "exhaustive", "tuned"),
    ),
]
By: TypeAlias = Annotated[
    str,
    typer.Option(
        "--by",
        metavar="WORD",
        help="document: best passage of each; passage: every one. document if unsaid.",
        show_default=False,
        autocompletion=_one_of("document", "passage"),
    ),
]
Where: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--where",
        metavar="FILTER",
        help='Only documents whose metadata match: \'year >= 2020 and lang in ["en", "de"]\'.',
        show_default=False,
    ),
]
Damaged: TypeAlias = Annotated[
    str,
    typer.Option(
        "--damaged",
        metavar="WORD",
        help="raise: a damaged file ends it; skip: go on without. raise if unsaid.",
        show_default=False,
        autocompletion=_one_of("raise", "skip"),
    ),
]
NThreads: TypeAlias = Annotated[
    int | None, typer.Option("--n-threads", metavar="N", help="Threads; one a core if unsaid.")
]
Watch: TypeAlias = Annotated[
    bool, typer.Option("--watch", help="Go on: take over files as they change, until Ctrl-C.")
]
ListSkipped: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--list-skipped", help="Name every file that was not read.", rich_help_panel=OUTPUT
    ),
]
AsJson: TypeAlias = Annotated[
    bool,
    typer.Option("--json", help="For machines: one JSON object a line.", rich_help_panel=OUTPUT),
]


def typed_ids(known: Collection, ids: list[str] | None) -> list[str | int] | None:
    """Take ids from the command line: a whole number means an int unless a str is stored so.

    Raises
    ------
    InputError
        For an id that no document has.
    """
    if ids is None:
        return None
    typed = [int(id_) if id_ not in known and _WHOLE_NUMBER.fullmatch(id_) else id_ for id_ in ids]
    for id_ in typed:
        if id_ not in known:
            raise InputError(
                f"no such document: id {id_!r}. `interlace search {output.short(known.path)} …` "
                "shows ids."
            )
    return typed

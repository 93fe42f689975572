"""The reference pages say what the code says, and nothing that users meet is left out."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import sources
from commands import help_of

import interlace
from interlace import collection, errors, evaluate
from interlace.cli import app, settings
from interlace.text import FORMATS, syntaxes

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"


def page(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


def interlace_cli(*words: str, stdin: str = "", folder: Path | None = None) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", "interlace.cli", *words],
        input=stdin,
        capture_output=True,
        text=True,
        cwd=folder,
        env=None,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


# --- written from the code -----------------------------------------------------------------------
@pytest.fixture(scope="module")
def reference():
    path = ROOT / "scripts" / "reference.py"
    spec = importlib.util.spec_from_file_location("reference", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["api.md", "cli.md", "errors.md", "formats.md"])
def test_the_page_is_up_to_date(reference, name):
    assert page(name) == reference.PAGES[name](), "run: python scripts/reference.py"


def test_every_page_that_is_written_is_checked(reference):
    assert set(reference.PAGES) == {"api.md", "cli.md", "errors.md", "formats.md"}


# --- nothing left out ----------------------------------------------------------------------------
def test_every_public_name_is_documented():
    for name in interlace.__all__:
        place = f"interlace.{name}" if name.islower() else name
        where = page("errors.md") if name == "InterlaceError" else page("api.md")
        assert re.search(rf"^##+ {re.escape(place)}$", where, re.MULTILINE), name


@pytest.mark.parametrize(
    "kind", [interlace.Collection, interlace.Encoder, collection.Changes], ids=lambda k: k.__name__
)
def test_every_public_method_is_documented(kind):
    text = page("api.md")
    for name, value in vars(kind).items():
        if name.startswith("_") or isinstance(value, property):
            continue
        assert getattr(kind, name).__doc__, f"{kind.__name__}.{name} has no docstring"
        assert f"# {kind.__name__}.{name}\n" in text, name


def test_everything_that_measures_is_documented():
    for name in evaluate.__all__:
        place = f"interlace.evaluate.{name}" if name.islower() else name
        assert re.search(rf"^##+ {re.escape(place)}$", page("api.md"), re.MULTILINE), name


def test_every_property_is_documented():
    for kind in (interlace.Encoder, collection.IndexReport, collection.AddReport):
        for name, value in vars(kind).items():
            if isinstance(value, property) and not name.startswith("_"):
                assert value.__doc__, name
                assert f"- `{name}` (" in page("api.md"), name


def test_every_field_of_what_comes_back_is_documented():
    text = page("api.md")
    for kind in (interlace.Document, interlace.Hit, interlace.Hits, collection.IndexReport):
        for field in fields(kind):
            assert f"`{field.name}`" in text, f"{kind.__name__}.{field.name}"


COMMANDS = re.findall(r"^## interlace (\w+)$", page("cli.md") if REFERENCE.exists() else "", re.M)


def test_every_command_is_documented():
    assert set(re.findall(r"^│ (\w+)  ", help_of(), re.MULTILINE)) == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_documented(command):
    section = re.split(r"^## ", page("cli.md"), flags=re.MULTILINE)
    (text,) = [one for one in section if one.startswith(f"interlace {command}\n")]
    said = set(re.findall(r"^│ [* ]*(--[a-z0-9-]+)", help_of(command), re.MULTILINE))
    assert said - {"--help"} == set(re.findall(r"`(--[a-z0-9-]+)`", text)), command


def test_every_setting_is_documented():
    for field in fields(settings.Settings):
        assert f"| `{field.name}` | `INTERLACE_{field.name.upper()}` |" in page("cli.md")


def test_every_exit_code_is_documented():
    codes = {code for _, code in app._CODES} | {0, 1, 130}
    for where in (page("cli.md"), (ROOT / "docs" / "how-to" / "scripts.md").read_text("utf-8")):
        table = where.split("## Exit codes")[1]
        assert {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)} == codes


def test_every_error_is_documented():
    text = page("errors.md")
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, errors.InterlaceError):
            section = re.split(r"^## ", text, flags=re.MULTILINE)
            (told,) = [one for one in section if one.startswith(f"{name}\n")]
            assert f"- **exit code** {app.exit_code(value())}" in told, name
            assert "- **remedy** " in told, name


@pytest.mark.parametrize("name", FORMATS)
def test_every_reader_is_documented(name):
    module, _, function = FORMATS[name].function.partition(":")
    reader = getattr(importlib.import_module(f"interlace.text.formats.{module}"), function)
    assert reader.__doc__, f"{name}: {FORMATS[name].function} has no docstring"
    text = page("formats.md")
    assert re.search(rf"^## {re.escape(FORMATS[name].title)}$", text, re.MULTILINE | re.IGNORECASE)
    for suffix in FORMATS[name].suffixes:
        assert f"`{suffix}`" in text, suffix
    for package in FORMATS[name].needs:
        assert package in text, package


def test_every_language_is_documented():
    for one in syntaxes.SYNTAXES.values():
        assert f"| {one.title} | " in page("formats.md")


# --- what --json prints --------------------------------------------------------------------------
SCRIPTS = (ROOT / "docs" / "how-to" / "scripts.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    sources.notes(folder)
    sources.tables(folder)
    interlace_cli("index", "docs", "--to", "x.lace", folder=folder)
    return folder


JSON_LINES = {
    "search": ("search", "x.lace", "why is the sea salty", "--snippets"),
    "search, through a pipe": ("search", "x.lace"),
    "rerank": ("rerank", "why is the sea salty", "facts.jsonl"),
    "index": ("index", "docs", "--to", "x.lace"),
    "update": ("update", "x.lace"),
    "explain": ("explain", "x.lace", "why is the sea salty"),
    "info": ("info", "x.lace"),
    "sources": ("sources", "x.lace"),
    "verify": ("verify", "x.lace"),
    "repair": ("repair", "x.lace"),
    "compact": ("compact", "x.lace"),
    "tune": ("tune", "x.lace"),
    "diagnose": ("diagnose", "x.lace", "--queries", "facts.jsonl"),
    "encode": ("encode", "facts.jsonl"),
    "forget": ("forget", "x.lace", "docs"),  # the last: it empties the collection
}


@pytest.mark.parametrize("name", JSON_LINES)
def test_every_field_of_a_json_line_is_documented(name, home):
    sections = re.split(r"^## ", SCRIPTS, flags=re.MULTILINE)
    command = name.partition(",")[0]
    told = [one for one in sections if f"`{command}`" in one]
    assert told, command
    first = interlace_cli(
        *JSON_LINES[name], "--json", stdin="why is the sea salty\n", folder=home
    ).splitlines()[0]
    for field in keys(json.loads(first)):
        assert f"`{field}`" in told[0], f"{command}: {field}"


def keys(value: object, depth: int = 0):
    """The names in a JSON line, in its lists and objects too, save a document's own metadata."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            if key not in ("metadata", "model"):
                yield from keys(inner, depth + 1)
    elif isinstance(value, list) and value:
        yield from keys(value[0], depth)


# --- limits --------------------------------------------------------------------------------------
def constant(path: str):
    """A constant by ``module.NAME``, private ones too."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(f"interlace.{module}"), name)


def default(function, name: str):
    import inspect

    return inspect.signature(function).parameters[name].default


def limits() -> dict[str, str]:
    """What the page must say, from the code: how the cell of each number begins."""
    mini = interlace.Encoder.load()
    store = constant("store.settings.Settings")(dim=1)
    create = interlace.create
    return {
        "passage of `mini`": f"{mini.document_length} tokens",
        "overlap of passages": f"{default(create, 'passage_overlap')} tokens",
        "query of `mini`": f"{mini.query_length} tokens",
        "headings of a passage": (
            f"{constant('text.outline._DEPTH_MAX')}, the outermost, each of at most "
            f"{constant('text.outline._HEADING_CHARS_MAX')} characters"
        ),
        "text whose headings are found": (
            f"Markdown to {constant('text.outline._MARKUP_CHARS_MAX'):,} characters, source code "
            f"to {constant('text.outline._CODE_CHARS_MAX'):,}, reStructuredText to "
            f"{constant('text.outline._RST_CHARS_MAX'):,}"
        ),
        "text cut at once": (
            f"{constant('text.passages._WINDOW'):,} characters, or "
            f"{constant('text.passages._WINDOW_A_TOKEN')} for each token"
        ),
        "spreadsheet": f"{constant('text.formats.xlsx._CHARACTERS_MAX'):,} characters;",
        "plain text read at once": f"{constant('text.formats.plain.PART_CHARACTERS'):,} characters",
        "row group of an exported table": (
            f"{constant('collection.exchange._GROUP_BYTES') // 2**20} MiB of texts and embeddings, "
            f"or {constant('collection.exchange._GROUP_ROWS'):,} rows"
        ),
        "line of a file that is imported": (
            f"{constant('text.exchange._LINE_LENGTH_MAX'):,} characters"
        ),
        "depth of metadata": f"{constant('text.records._DEPTH_MAX')} levels",
        "whole numbers in metadata": f"{constant('text.records._INT_BITS_MAX'):,} bits",
        "text of metadata that a filter compares": (
            f"its first {constant('store.fields.TEXT_MAX'):,} characters;"
        ),
        "filters in filters": f"{constant('store.where.DEPTH_MAX')} deep",
        "looked at to tell text from binary data, where the name tells nothing": (
            f"{constant('text.readers._SNIFFED_BYTES'):,} bytes"
        ),
        "files in files in files": f"{constant('text.readers._DEPTH_MAX')} deep",
        "what a file may unpack to": (
            f"{constant('text.streams.UNPACKED_BYTES_FREE') // 2**20} MiB, and "
            f"{constant('text.streams.UNPACKED_FACTOR')} bytes"
        ),
        "ignore file": f"its first {constant('text.folders._IGNORE_BYTES_MAX'):,} bytes",
        "changes taken over together by `--watch`": (
            f"those within {constant('collection.watching._TOGETHER_MS'):,} ms"
        ),
        "skipped files and records that are named": f"{constant('collection.folders._NAMED'):,};",
        "ids of cut, of empty and of lost documents that are named": (
            f"{constant('collection.changes._NAMED')};"
        ),
        "snippet in `--json --snippets`": f"{constant('cli.hits.WIDTH')} characters",
        "`k`": f"{default(interlace.Collection.search, 'k')} ",
        "`effort`": f"`{constant('store.search.DEFAULT')}`",
        "recall that `tune` looks for": f"{default(evaluate.tune, 'recall')} ",
        "queries that `tune` and `diagnose` make of a collection": (
            f"{default(evaluate.diagnose, 'n_queries')}"
        ),
        "collection that `diagnose` encodes again unasked": (
            f"{constant('evaluate.diagnosis.FLOATS_FROM'):,} tokens"
        ),
        "passages of each kind that a hybrid search fuses": (
            f"{constant('collection.fusion.DEPTH')} "
        ),
        "passages that the words of a query may be in together; of the most frequent words no "
        "more are looked up": f"{constant('store.lexical.POSTINGS_MAX'):,} ",
        "tokens of a query that candidates are looked for with": (
            f"the first {constant('kernels.api.WALKED_MAX')};"
        ),
        "word": f"{constant('text.wording._LONGEST')} characters",
        "hits": f"one a {default(interlace.Collection.search, 'by')}",
        "width of a vector": f"1 to {constant('store.settings.DIM_MAX'):,} ",
        "bits a coordinate, once settled": f"{default(create, 'bits')} ",
        "tokens that are scanned whole before the codec is first trained": (
            f"{store.first_budget_tokens:,} "
        ),
        "the same, once there is a codec": f"{store.fresh_budget_tokens:,} ",
        "settled segment": f"{constant('store.settling.SEGMENT_TOKENS_MAX'):,} tokens",
        "fresh segments before they are merged": f"{constant('store.compaction.FRESH_MAX')} ",
        "settled segments, up to 10 million passages": (
            f"{constant('store.compaction.SETTLED_MAX')} "
        ),
        "drift from which `info` advises a rebuild": f"{constant('store.drift.REBUILD_HELPS')} ",
        "the same, for embeddings without token ids": (
            f"{constant('store.drift.REBUILD_HELPS_WITHOUT_IDS')} "
        ),
        "dead passages in a segment before it is rewritten": (
            f"{constant('store.compaction.DEAD_SHARE_MAX') * 100:.0f} %"
        ),
        "text kept, and read, together": f"{constant('store.rows.PART'):,} characters",
        "one commit of `add`": (
            f"{constant('collection.batches.BATCH_TOKENS'):,} tokens, or "
            f"{constant('collection.batches.BATCH_BYTES') // 2**20} MiB"
        ),
        "one commit of `index` and `update`": (
            f"{constant('collection.folders.BATCH_TOKENS'):,} tokens, or "
            f"{constant('collection.batches.BATCH_BYTES') // 2**20} MiB"
        ),
        "memory for what a write buffers": f"{default(create, 'memory_bytes_max') // 2**20} MiB",
        "encoded queries kept for when they come again": (
            f"{default(create, 'query_cache_bytes') // 2**20} MiB"
        ),
        "waiting for another writer": f"{default(create, 'lock_wait_seconds'):.0f} s",
        "texts that a model passed as an object gets at once": (
            f"{constant('collection.model._AT_ONCE')} "
        ),
    }


ROWS = dict(re.findall(r"^\| ([^*|][^|]*) \| ([^|]+)\|", page("limits.md"), re.MULTILINE))


def test_every_number_on_the_page_of_limits_is_that_of_the_code():
    for what, value in limits().items():
        assert ROWS[what].startswith(value), f"{what}: {value}"


def test_every_number_on_the_page_of_limits_is_checked():
    unchecked = {what for what, value in ROWS.items() if re.search(r"\d", value)} - set(limits())
    assert unchecked == {"id"}  # 64 bits are what the catalog has


def test_the_settings_of_commands_have_the_defaults_of_python():
    told = settings.Settings()
    assert told.k == default(interlace.Collection.search, "k")
    assert told.effort == default(interlace.Collection.search, "effort")
    for name in ("model", "bits", "passage_tokens", "passage_overlap", "lock_wait_seconds"):
        assert getattr(told, name) == default(interlace.create, name), name

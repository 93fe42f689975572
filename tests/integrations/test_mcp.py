"""MCP: the official client starts ``interlace mcp`` and calls its tools over stdio."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest

pytest.importorskip("mcp")

from mcp import Client, StdioServerParameters

PAGE = """\
# Water

Rivers carry minerals into the sea, and leave it salty.

# Ice

Ice is less dense than water, so it floats.
"""
RECORDS = [
    {"id": 7, "text": "Rayleigh scattering makes the sky blue.", "metadata": {"year": 1871}},
    {"id": "lava", "text": "Basalt is cooled lava.", "metadata": {"year": 2021, "title": "Rocks"}},
]


@pytest.fixture
def ask(notes, tmp_path):
    """Calls tools, one after the other, in one session; what they answered."""
    page = tmp_path / "water.md"
    page.write_text(PAGE, encoding="utf-8")
    notes.index(page)
    notes.add(RECORDS)
    command = ["-m", "interlace.cli", "mcp", str(notes.path)]
    started = StdioServerParameters(command=sys.executable, args=command, env=dict(os.environ))

    async def session(calls):
        async with Client(started) as client:
            return [await client.call_tool(name, arguments) for name, arguments in calls]

    return lambda *calls: asyncio.run(session(calls))


def found(result):
    assert not result.is_error, result.content
    return result.structured_content


def test_the_tools_describe_themselves(notes):
    async def session():
        command = ["-m", "interlace.cli", "mcp", str(notes.path)]
        started = StdioServerParameters(command=sys.executable, args=command, env=dict(os.environ))
        async with Client(started) as client:
            return client.server_info, client.instructions, (await client.list_tools()).tools

    info, instructions, tools = asyncio.run(session())
    assert info.name == "interlace"
    assert "Search first" in instructions
    assert {tool.name for tool in tools} == {"search", "fetch"}
    for tool in tools:
        assert tool.annotations.read_only_hint
        assert all(field["description"] for field in tool.input_schema["properties"].values())
    assert [tool.input_schema["required"] for tool in tools] == [["query"], ["id"]]


def test_search_says_what_and_where_and_fetch_reads_around_it(ask, notes, tmp_path):
    (searched,) = ask(("search", {"query": "why is the sea salty", "k": 2}))
    best = found(searched)["results"][0]
    hit = notes.search("why is the sea salty", 2, by="passage")[0]
    assert (best["text"], best["score"], best["rank"]) == (hit.text, hit.score, 1)
    assert (best["start"], best["end"], best["line"]) == (hit.start, hit.end, hit.line)
    assert best["title"] == "water.md"
    assert best["url"] == (tmp_path / "water.md").as_uri()

    whole, piece = ask(
        ("fetch", {"id": best["id"]}),
        ("fetch", {"id": best["id"], "start": PAGE.index("# Ice"), "length": 5}),
    )
    assert found(whole)["text"] == PAGE
    assert found(whole)["url"] == best["url"]
    assert found(whole)["text"][best["start"] : best["end"]] == best["text"]
    assert found(piece)["text"] == "# Ice"
    assert found(piece)["end"] == PAGE.index("# Ice") + 5
    assert found(piece)["n_characters"] == len(PAGE)


def test_metadata_filters_and_ids_that_are_numbers(ask):
    searched, fetched = ask(
        ("search", {"query": "rock", "where": "year >= 2000"}), ("fetch", {"id": "7"})
    )
    (rock,) = found(searched)["results"]
    assert (rock["id"], rock["title"], rock["url"]) == ("lava", "Rocks", "")
    assert rock["metadata"] == {"year": 2021, "title": "Rocks"}
    assert found(fetched)["text"] == "Rayleigh scattering makes the sky blue."
    assert found(fetched)["id"] == "7"


@pytest.mark.parametrize(
    ("tool", "arguments", "told"),
    [
        ("search", {"query": "sea", "where": "month = 1"}, "month"),
        ("search", {"query": "sea", "k": 0}, "greater than or equal to 1"),
        ("search", {}, "query"),
        ("fetch", {"id": "nowhere"}, "nowhere"),
        ("fetch", {"id": "7", "start": -1}, "greater than or equal to 0"),
    ],
)
def test_what_cannot_be_done_is_told_to_the_assistant_and_the_server_goes_on(
    ask, tool, arguments, told
):
    refused, then = ask((tool, arguments), ("fetch", {"id": "lava"}))
    assert refused.is_error
    assert told in refused.content[0].text
    assert found(then)["text"] == "Basalt is cooled lava."

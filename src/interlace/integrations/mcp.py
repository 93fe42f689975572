"""The Model Context Protocol: a collection as two tools of an assistant, search and fetch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

from interlace.collection import Collection
from interlace.errors import InterlaceError
from interlace.extras import need
from interlace.integrations.frameworks import own_ids, place
from interlace.types import Document, Hit
from interlace.version import VERSION

need("mcp.server", extra="mcp")

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field

__all__ = ["server"]

#: What an assistant is given at once, so that one long document does not fill its context.
LENGTH_MAX: Final = 100_000
K_MAX: Final = 100

_READS: Final = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)

_INSTRUCTIONS: Final = (
    "Passages of the user's own documents. Search first, in a question or in words; where a "
    "passage is not enough, fetch what stands around its start and end. Cite file and line, or id."
)


def server(collection: Collection) -> MCPServer:
    """The tools of a collection, as a server that ``run()`` serves over stdin and stdout.

    Parameters
    ----------
    collection : Collection
        It stays open: whoever opened it closes it.

    Raises
    ------
    MissingExtra
        On import, without the extra ``mcp``.
    """
    tools = MCPServer("interlace", instructions=_INSTRUCTIONS, version=VERSION, log_level="WARNING")

    @tools.tool(annotations=_READS)
    def search(
        query: Annotated[str, Field(description="A question, or words to look for.")],
        k: Annotated[int, Field(description="How many passages.", ge=1, le=K_MAX)] = 10,
        where: Annotated[
            str | None,
            Field(description='On metadata: year >= 2020 and lang in ["en", "de"].'),
        ] = None,
    ) -> dict[str, Any]:
        """Find the passages of the collection that best answer a query, best first.

        Each has the id and title of its document, its text, where it stands (start and end in the
        document's text, in characters; file, line, page, headings where known), and its score.
        """
        try:
            hits = collection.search(query, k, by="passage", where=where)
        except InterlaceError as error:
            raise ToolError(str(error)) from error
        of_file = {hit.file: hit for hit in hits}
        paths = {file: collection.locate(hit) for file, hit in of_file.items()}
        return {"results": [_result(hit, paths[hit.file]) for hit in hits]}

    @tools.tool(annotations=_READS)
    def fetch(
        id: Annotated[str, Field(description="Of a document, as search gives it.")],  # noqa: A002
        start: Annotated[int, Field(description="The first character.", ge=0)] = 0,
        length: Annotated[int, Field(description="How many.", ge=1, le=LENGTH_MAX)] = 20_000,
    ) -> dict[str, Any]:
        """Read a document, or a piece of it; n_characters says how long it is as a whole."""
        try:
            (document,) = collection.get(own_ids(collection, [id]))
        except InterlaceError as error:
            raise ToolError(str(error)) from error
        piece = document.text[start : start + length]
        return {
            **_named(document, collection.locate(document)),
            "text": piece,
            "start": start,
            "end": start + len(piece),
            "n_characters": len(document.text),
            "file": document.file,
        }

    return tools


def _result(hit: Hit, path: Path | None) -> dict[str, Any]:
    return {**_named(hit, path), "text": hit.text, **place(hit)}


def _named(one: Hit | Document, path: Path | None) -> dict[str, Any]:
    """What every result is known by; ids are texts here, whatever they are in the collection."""
    title = one.metadata.get("title") or (one.file and Path(one.file).name) or one.id
    return {
        "id": str(one.id),
        "title": str(title),
        "url": path.as_uri() if path else "",
        "metadata": dict(one.metadata),
    }

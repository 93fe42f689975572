"""A collection over HTTP: the route that clients of ColBERT's server call, and one for health.

Whatever is refused has a status of 4xx, or 5xx where the server is to blame, and the body
``{"error": what kind, "message": what to do}``.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Final

from interlace.collection import Collection
from interlace.errors import InputError, InterlaceError, NotACollection, SettingsError
from interlace.extras import need
from interlace.types import Hit
from interlace.version import VERSION

need("fastapi", extra="serve")
need("uvicorn", extra="serve")

import uvicorn
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

#: Of a body: a longer query would be cut to a fraction anyway, after a second of reading it.
BODY_BYTES_MAX: Final = 64 * 1024

#: Of a body that is refused: a client that sends more is hung up on.
DRAINED_BYTES_MAX: Final = 16 * 2**20

#: Texts of more documents are exported, not searched for.
K_MAX: Final = 1000


class Asked(BaseModel):
    """What ``GET /api/search`` takes; all but the query are as in ``Collection.search``."""

    model_config = ConfigDict(extra="forbid")

    query: str
    k: int = Field(10, ge=1, le=K_MAX)
    mode: str = "late"
    effort: str | None = None
    by: str = "passage"
    where: str | None = None


class Posted(Asked):
    """What ``POST /api/search`` takes: a filter may be an object."""

    where: str | dict[str, Any] | None = None  # type: ignore[assignment]


def app(collection: Collection) -> FastAPI:
    """The routes of a collection, as an ASGI application.

    Parameters
    ----------
    collection : Collection
        It stays open: whoever opened it closes it.

    Raises
    ------
    MissingExtra
        On import, without the extra ``serve``.
    """
    routes = FastAPI(title="interlace", version=VERSION, docs_url=None, redoc_url=None)

    @routes.middleware("http")
    async def bounded(
        request: Request, answer: Callable[[Request], Awaitable[JSONResponse]]
    ) -> JSONResponse:
        n_bytes = int(request.headers.get("content-length", 0))
        if n_bytes <= BODY_BYTES_MAX and "transfer-encoding" not in request.headers:
            return await answer(request)
        await _drain(request)
        hang_up = {"Connection": "close"}
        if n_bytes:
            told = f"a body of {n_bytes} bytes. Send at most {BODY_BYTES_MAX}."
            return _refusal(413, "ContentTooLarge", told, hang_up)
        told = "a body of unknown length. Send Content-Length."
        return _refusal(411, "LengthRequired", told, hang_up)

    @routes.exception_handler(InterlaceError)
    def refused(_: Request, error: InterlaceError) -> JSONResponse:
        status = 422 if isinstance(error, InputError | SettingsError) else 503
        return _refusal(status, type(error).__name__, str(error))

    @routes.exception_handler(RequestValidationError)
    def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        told = "; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in error.errors())
        return _refusal(422, "InputError", told)

    @routes.exception_handler(HTTPException)
    def unknown(_: Request, error: HTTPException) -> JSONResponse:
        return _refusal(error.status_code, "HTTPException", error.detail, error.headers)

    @routes.exception_handler(Exception)
    def failed(_: Request, error: Exception) -> JSONResponse:
        return _refusal(500, type(error).__name__, "an error of the server. Its log says more.")

    def search(asked: Asked) -> dict[str, Any]:
        hits = collection.search(**asked.model_dump())
        return {"query": asked.query, "topk": _topk(hits)}

    @routes.get("/api/search")
    def get_search(asked: Annotated[Asked, Query()]) -> dict[str, Any]:
        return search(asked)

    @routes.post("/api/search")
    def post_search(asked: Posted) -> dict[str, Any]:
        return search(asked)

    @routes.get("/health")
    def health() -> dict[str, Any]:
        if not collection.path.is_dir():
            raise NotACollection(f"no such folder any more: {collection.path}. Start again.")
        collection.search("health", k=1)
        return {"status": "ok", "documents": len(collection)}

    return routes


def serve(
    collection: Collection,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    ready: Callable[[str], None] = lambda url: None,
) -> None:
    """Answer requests until the process is told to stop.

    Parameters
    ----------
    collection : Collection
        Its model is loaded before the first request is taken.
    host, port
        Where to listen. Port 0 is any that is free.
    ready
        Told the address once requests are taken.

    Raises
    ------
    InputError
        When the port is taken or the host is not this machine's.
    SettingsError
        For a port out of range.
    CheckpointError
        When the model cannot be loaded.
    """
    if not 0 <= port < 2**16:
        raise SettingsError(f"port is {port}. Choose one from 0 to 65535.")
    collection.search("is the model here", k=1)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        raise InputError(
            f"cannot listen on port {port} of {host} ({error}). Choose another port or host."
        ) from None
    with listening:
        named = f"[{host}]" if ":" in host else host
        ready(f"http://{named}:{listening.getsockname()[1]}")
        uvicorn.Server(uvicorn.Config(app(collection), log_level="warning")).run([listening])


def _topk(hits: Sequence[Hit]) -> list[dict[str, Any]]:
    """Hits with the names of ColBERT's server, and whatever else they say.

    ``prob`` is the softmax of the scores, as there. ``long_text`` is what dspy.ColBERTv2 reads
    where it posts.
    """
    exponents = [math.exp(hit.score - hits[0].score) for hit in hits]
    total = sum(exponents)
    return [
        {**asdict(hit), "pid": hit.id, "prob": exponent / total, "long_text": hit.text}
        for hit, exponent in zip(hits, exponents, strict=True)
    ]


async def _drain(request: Request) -> None:
    """Read what a client still sends, which else hears of a broken connection and not why."""
    n_bytes = 0
    async for piece in request.stream():
        n_bytes += len(piece)
        if n_bytes > DRAINED_BYTES_MAX:
            return


def _refusal(status: int, error: str, message: str, headers: Any = None) -> JSONResponse:
    return JSONResponse({"error": error, "message": message}, status, headers)

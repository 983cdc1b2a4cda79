"""The HTTP application."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from recsys_lab.config import UserError
from recsys_lab.deploy.serve import messages
from recsys_lab.deploy.serve.batching import Batcher, Busy, Reply
from recsys_lab.deploy.serve.follow import Failure
from recsys_lab.deploy.serve.messages import Invalid, Limits, Problem
from recsys_lab.deploy.serve.metrics import Metrics
from recsys_lab.deploy.serve.middleware import Around
from recsys_lab.deploy.serve.queries import BadQuery, Query
from recsys_lab.pages.markup import render
from recsys_lab.version import __version__

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_RETRY_AFTER = "1"  # seconds: the queue is emptied faster than that
_BODY_SECONDS = 30.0
_ERRORS = (HTTPException, UserError, Busy, ClientDisconnect)
_NO_PATH = "there is no such path; /docs lists all"


def make_app(
    batcher: Batcher,
    metrics: Metrics,
    limits: Limits,
    *,
    timeout: float,
    token: str | None = None,
    failure: Callable[[], Failure | None] = lambda: None,
) -> ASGIApp:
    """The application.

    Args:
        batcher: answers queries.
        metrics: for ``/metrics``.
        limits: of requests.
        timeout: seconds until a request that waits for its lists is given up.
        token: that clients must send, or None.
        failure: why the registry's champion is not served, or None.
    """
    app = FastAPI(
        title="recsys_lab",
        version=__version__,
        description="Ranked lists for histories and users.",
        openapi_url=None,  # these are routes below, and need no other server's scripts
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # the address would come from the client
    )

    @app.post(
        "/recommend",
        summary="The k best items for each history or user",
        response_model=messages.Response,
        responses={
            status: {"model": Problem, "description": HTTPStatus(status).phrase}
            for status in (400, 401, 408, 413, 415, 422, 503)
        },
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": messages.Request.model_json_schema()}},
            }
        },
    )
    async def recommend(request: Request) -> Response:
        query, dropped = messages.parse(await _body(request, limits.max_body), limits)
        bundle = batcher.bundle
        bundle.model.check(query)
        if query.rows:
            reply = await _reply(batcher, query, timeout)
        else:
            reply = Reply([], bundle.version)
        return Response(messages.response(reply, dropped), media_type="application/json")

    @app.get("/health", summary="Whether the process answers")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/ready", summary="Whether a model is loaded, and which")
    async def ready() -> dict[str, Any]:
        failed = failure()
        values = {"ready": True, "model_version": batcher.bundle.version}
        if failed is not None:
            which = "the registry" if failed.version is None else f"version {failed.version}"
            values["failed_champion"] = f"{which} cannot be loaded; see the log"
        return values

    @app.get("/version", summary="The model, its data and the lab's version")
    async def version() -> dict[str, Any]:
        bundle = batcher.bundle
        return {"model_version": bundle.version, "lab": __version__, **bundle.about}

    @app.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
    async def text() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> dict[str, Any]:
        return app.openapi()

    @app.get("/docs", include_in_schema=False, response_class=HTMLResponse)
    async def docs() -> str:
        return _page(app.openapi(), limits)

    _handle_errors(app)
    # The routing of FastAPI takes longer than all else that is done for a request.
    routes = {("POST", "/recommend"): _unrouted(recommend)}
    return Around(app, metrics, token, routes)


def _page(openapi: dict[str, Any], limits: Limits) -> str:
    """A page for people, without scripts."""
    fields = messages.Request.model_fields
    return render(
        "deploy/serve/page.html",
        version=__version__,
        paths=openapi["paths"],
        example='{"histories": [["i7", "i3"], ["i5"]], "k": 10}',
        keys={name: field.description or "" for name, field in fields.items()},
        limits={
            "list length k": f"{limits.max_k:,}, {limits.k} if not given",
            "histories or users": f"{limits.max_lists:,}",
            "events of a history": f"{limits.max_history:,}, more: {limits.long_history}",
            "bytes of a body": f"{limits.max_body:,}",
        },
    )


def _handle_errors(app: FastAPI) -> None:
    async def answer(request: Request, error: Exception) -> Response:
        del request
        return _error_response(error)

    for kind in _ERRORS:
        app.add_exception_handler(kind, answer)


def _unrouted(endpoint: Callable[[Request], Awaitable[Response]]) -> ASGIApp:
    """An endpoint with the same errors, without routing."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await endpoint(Request(scope, receive))
        except _ERRORS as error:
            response = _error_response(error)
        await response(scope, receive, send)

    return app


def _error_response(error: Exception) -> Response:
    status, message, headers = _problem(error)
    return JSONResponse({"error": message}, status, headers)


def _problem(error: Exception) -> tuple[int, str, dict[str, str]]:
    """Status, message and headers for an error."""
    if isinstance(error, HTTPException):
        message = _NO_PATH if error.status_code == 404 else error.detail
        return error.status_code, message, dict(error.headers or {})
    if isinstance(error, Invalid):
        # The rest of a body that is too long is not read.
        return error.status, str(error), {"Connection": "close"} if error.status == 413 else {}
    if isinstance(error, UserError):
        return 422, str(error), {}
    if isinstance(error, Busy):
        return 503, f"{error}; try again", {"Retry-After": _RETRY_AFTER}
    return 400, "the client left before its body was complete", {}


async def _reply(batcher: Batcher, query: Query, timeout: float) -> Reply:
    """The reply to a query.

    Raises:
        Busy: the queue is full, or there was no reply within ``timeout`` seconds.
        BadQuery: the model cannot rank for these histories.
    """
    try:
        return await asyncio.wait_for(batcher.submit(query), timeout)
    except TimeoutError:
        raise Busy("no lists in time") from None
    except ValueError as error:
        if isinstance(error, UserError):
            raise
        # Models raise it for input such as numbers that make a score NaN.
        raise BadQuery("the model cannot rank for these histories") from None


async def _body(request: Request, limit: int) -> bytes:
    """The body of a request.

    Raises:
        Invalid: it is longer than ``limit`` bytes (413), compressed (415) or slow (408).
    """
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Invalid("content-encoding: compressed bodies are not read", 415)
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and (len(length) > 18 or int(length) > limit):
        raise _too_long(limit)
    parts, size = [], 0
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise _too_long(limit)
                parts.append(part)
    except TimeoutError:
        raise Invalid(f"the body did not arrive within {_BODY_SECONDS:.0f} s", 408) from None
    return b"".join(parts)


def _too_long(limit: int) -> Invalid:
    return Invalid(f"the body has more than {limit:,} bytes; send several requests", 413)

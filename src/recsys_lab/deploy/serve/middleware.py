"""Around every request: bearer token, metrics, access log without user data, no lost exception."""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse

from recsys_lab.deploy.serve.metrics import UNMATCHED, Metrics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = logging.getLogger(__name__)

ACCESS = logging.getLogger(f"{__name__}.access")
"""One line per request: numbers and the server's own words alone, nothing that a client sent."""

OPEN = ("/health", "/ready", "/docs", "/openapi.json")
"""Paths that need no token: load balancers ask the first two, browsers send none."""


class Around:
    """ASGI middleware.

    A HEAD request is answered as GET, without the body.

    Args:
        app: the application.
        metrics: counts requests.
        token: needed for all paths except `OPEN`; None: none is needed.
        direct: applications by method and path, which are called instead of the routing of ``app``.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        token: str | None,
        direct: Mapping[tuple[str, str], ASGIApp],
    ) -> None:
        self._app, self._metrics, self._direct = app, metrics, direct
        self._token = None if token is None else _digest(f"Bearer {token}".encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status, method = time.perf_counter(), 0, scope["method"]
        is_head = method == "HEAD"
        if is_head:
            scope = {**scope, "method": "GET"}

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif is_head:
                message = {**message, "body": b""}
            await send(message)

        try:
            if not self._may(scope):
                answer: ASGIApp = _refuse(
                    401, "a bearer token is needed", {"WWW-Authenticate": "Bearer"}
                )
            elif (direct := self._direct.get((method, scope["path"]))) is not None:
                answer = direct
            else:
                answer = self._app
            await answer(scope, receive, sent)
        except Exception as error:
            # Not the message, which may have what the client sent.
            _log.error("a request failed: %s", type(error).__name__)
            if not status:
                await _refuse(500, "the server failed; its log has the time of this")(
                    scope, receive, sent
                )
        finally:
            self._note(scope, method, status, time.perf_counter() - start)

    def _may(self, scope: Scope) -> bool:
        if self._token is None or scope["path"] in OPEN:
            return True
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        # Of hashes, so that not even the length can be measured.
        return len(given) == 1 and hmac.compare_digest(_digest(_scheme(given[0])), self._token)

    def _note(self, scope: Scope, method: str, status: int, seconds: float) -> None:
        is_direct = (method, scope["path"]) in self._direct
        route = scope["path"] if is_direct else getattr(scope.get("route"), "path", UNMATCHED)
        self._metrics.request(method, route, status, seconds)
        ACCESS.info("%s %s %.1f ms", route, status or "no answer", 1000 * seconds)


def _refuse(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": message}, status, headers)


def _digest(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()


def _scheme(value: bytes) -> bytes:
    """A header's value with ``Bearer`` as written here: its case has no meaning."""
    scheme, space, token = value.partition(b" ")
    return (b"Bearer" if scheme.lower() == b"bearer" else scheme) + space + token.strip()

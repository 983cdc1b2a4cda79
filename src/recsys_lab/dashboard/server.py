"""Speaks HTTP, for one person's browser: Python's own server, which needs nothing installed."""

from __future__ import annotations

import ipaddress
import logging
import socket
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from recsys_lab.config import UserError
from recsys_lab.dashboard.site import Answer, Site, message
from recsys_lab.deploy.serve.address import LOOPBACK, bind
from recsys_lab.pages.terminal import tell_exception

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)

_HEADERS = {
    "Cache-Control": "no-cache",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_SECONDS = 30  # after which an idle connection is closed
_LONGEST = 400  # values of a query


class Dashboard:
    """A server that listens at an address.

    Args:
        folder: with runs at any depth.
        host: address to listen at.
        port: 0 for any free one.
        refresh: seconds between two looks of an open page.

    Raises:
        UserError: there is no such folder, or the address is not valid or in use.
    """

    def __init__(self, folder: Path, host: str, port: int, refresh: float) -> None:
        if not folder.is_dir():
            what = "is a file" if folder.exists() else "there is no such folder"
            raise UserError(
                f"dir: {folder}: {what}; give a folder with runs: recsys-lab dashboard DIR."
            )
        bound = bind(host, port)
        self._site = Site(folder, refresh)
        self._server = _Server(bound, self._site, host)
        self._host, self.port = host, int(bound.getsockname()[1])

    @property
    def url(self) -> str:
        """Where a browser on this machine finds it."""
        return url_of(self._host, self.port)

    @property
    def url_of_others(self) -> str | None:
        """Where other machines find it; None if they do not reach it."""
        return None if self._host in LOOPBACK else url_of(socket.gethostname(), self.port)

    def run(self) -> None:
        """Serve until an exception of a signal, or `stop` in another thread."""
        try:
            self._server.serve_forever(poll_interval=0.2)
        finally:
            self.close()

    def close(self) -> None:
        """Give the address back, and end a running comparison; `run` does that at its end."""
        self._server.is_open = False
        self._server.server_close()
        self._site.close()

    def stop(self) -> None:
        """Let `run`, in another thread, end."""
        self._server.shutdown()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, bound: socket.socket, site: Site, host: str) -> None:
        super().__init__(bound.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = bound
        self.site, self.is_open = site, True
        self.names = {"localhost", host.casefold()} - {""}
        if host not in LOOPBACK:
            self.names |= {socket.gethostname().casefold(), socket.getfqdn().casefold()}
        self.server_activate()

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore connections that a browser drops."""
        del request, client_address


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD; everything else is refused, as nothing can be changed."""

    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = _SECONDS

    def do_GET(self) -> None:
        """Answer a request."""
        if not self.server.is_open:  # a connection from before
            self.close_connection = True
            return
        answer = self._refused() or self._answer()
        if answer.status == HTTPStatus.OK and self.headers.get("If-None-Match") == answer.tag:
            self.send_response(HTTPStatus.NOT_MODIFIED)
            self._finish(answer, b"")
            return
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        self._finish(answer, b"" if self.command == "HEAD" else answer.body)

    do_HEAD = do_GET

    def _finish(self, answer: Answer, body: bytes) -> None:
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Security-Policy", answer.policy)
        self.send_header("ETag", answer.tag)
        self.end_headers()
        self.wfile.write(body)

    def _answer(self) -> Answer:
        address = urlsplit(self.path)
        try:
            values = parse_qs(address.query, max_num_fields=_LONGEST)
        except ValueError:
            return message("Too long a query", status=HTTPStatus.BAD_REQUEST)
        try:
            return self.server.site.answer(unquote(address.path).removeprefix("/"), values)
        except Exception as error:  # one page fails, not the server
            tell_exception(error)
            text = f"{type(error).__name__}; the terminal of the dashboard has more."
            return message("This page failed", text, status=HTTPStatus.INTERNAL_SERVER_ERROR)

    def _refused(self) -> Answer | None:
        """The answer to another site's page; None for a request of the user.

        A page of another site can have its own name lead to this machine (DNS rebinding); then the
        request names that host. A name that was typed as numbers, or this machine's, cannot be
        another site's.
        """
        host = _name_of(self.headers.get("Host", ""))
        if not _is_number(host) and host not in self.server.names:
            text = (
                "Open it by the address that recsys-lab dashboard printed. To reach it by a name, "
                "give that: host=NAME."
            )
            return message("Another host was asked for", text, status=HTTPStatus.FORBIDDEN)
        own = ("same-origin", "same-site", "none")
        if self.headers.get("Sec-Fetch-Site", "none") not in own and not self._is_page():
            return message("Another site asked for this", status=HTTPStatus.FORBIDDEN)
        return None

    def _is_page(self) -> bool:
        """Whether the page itself is asked for, to which others may link."""
        return urlsplit(self.path).path == "/"

    def log_message(self, format: str, *args: object) -> None:
        """Do not log requests: an open page asks every few seconds."""

    def version_string(self) -> str:
        """Name the program, not the version of Python."""
        return "recsys-lab"


def url_of(host: str, port: int) -> str:
    """Where a browser on this machine finds what listens at an address."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def _name_of(host: str) -> str:
    """The name in a Host header, without the port."""
    if host.startswith("["):
        return host.partition("]")[0][1:]
    return host.rpartition(":")[0].casefold() if ":" in host else host.casefold()


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

"""Starts the server, and ends it without dropping a request."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from recsys_lab.config import UserError
from recsys_lab.config.cores import usable_cores
from recsys_lab.deploy.serve.address import LOOPBACK, bind
from recsys_lab.deploy.serve.app import make_app
from recsys_lab.deploy.serve.batching import Batcher
from recsys_lab.deploy.serve.follow import Follower, free_memory
from recsys_lab.deploy.serve.load import Backend, Loader, is_export, is_registry, refuse_other
from recsys_lab.deploy.serve.messages import Limits
from recsys_lab.deploy.serve.metrics import Metrics
from recsys_lab.deploy.serve.middleware import ACCESS
from recsys_lab.files.reading import reading
from recsys_lab.pages.terminal import LogFormatter

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from recsys_lab.config.deploy_commands import ServeConfig

_log = logging.getLogger(__name__)
_ROOM = "recsys_lab.deploy.serve"


class Server:
    """A server for a run, or for the champion of a registry.

    The address is taken at once, the model loaded before the first request is accepted.

    Args:
        cfg: the options of ``serve``.

    Attributes:
        app: the application.
        batcher: has the present model.
        port: of the address, also if ``port=0`` chose one.

    Raises:
        UserError: an option is invalid, the address is in use, or the model cannot be loaded.
    """

    def __init__(self, cfg: ServeConfig) -> None:
        source = Path(cfg.source)
        refuse_other(source, cfg.backend)
        _refuse_unlike(cfg)
        token = read_token(cfg.token_env, cfg.token_file)
        self._socket = bind(cfg.host, cfg.port)
        self.port = int(self._socket.getsockname()[1])
        try:
            self._start(cfg, source, token)
        except BaseException:
            self._socket.close()
            raise

    def _start(self, cfg: ServeConfig, source: Path, token: str | None) -> None:
        batches = cfg.concurrent_batches or _concurrent_batches(source, cfg.backend)
        threads = cfg.threads or (1 if batches > 1 else None)
        loader = Loader(cfg.backend, cfg.verify, threads, cfg.max_batch)
        metrics = Metrics(
            version=lambda: self.batcher.bundle.version,
            waiting=lambda: self.batcher.waiting,
            failing=lambda: self._follower is not None and self._follower.failure is not None,
        )
        self.batcher = Batcher(
            loader.first(source),
            max_batch=cfg.max_batch,
            max_wait=cfg.max_wait_ms / 1000,
            max_queue=cfg.max_queue,
            threads=batches,
            observe=metrics.batch,
        )
        self._follower: Follower | None = None
        if is_registry(source):
            self._follower = Follower(
                source,
                self.batcher,
                loader.champion,
                poll=cfg.poll_s,
                on_swap=metrics.swaps.inc,
                on_failure=metrics.failures.inc,
            )
        self.app: ASGIApp = make_app(
            self.batcher,
            metrics,
            _limits(cfg),
            timeout=cfg.timeout_s,
            token=token,
            failure=lambda: self._follower.failure if self._follower else None,
        )
        self._uvicorn = _Uvicorn(
            uvicorn.Config(
                self.app,
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                lifespan="off",
                timeout_graceful_shutdown=cfg.shutdown_s,
            )
        )
        if token is None and cfg.host not in LOOPBACK:
            _log.warning(
                "anyone who reaches %s can ask for lists: there is no token (token_env, "
                "token_file)",
                cfg.host,
            )

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; then finish the requests that are in flight."""
        host = self._socket.getsockname()[0]
        where = f"[{host}]" if ":" in host else host
        version = self.batcher.bundle.version
        _log.info("model %s at http://%s:%d (API: /docs)", version, where, self.port)
        free_memory()
        sys.setswitchinterval(0.0005)
        if self._follower is not None:
            self._follower.start()
        try:
            self._uvicorn.run(sockets=[self._socket])
        finally:
            if self._follower is not None:
                self._follower.stop()
            gc.unfreeze()
            self.batcher.close()
            self._socket.close()
        _log.info("stopped")

    @property
    def is_started(self) -> bool:
        """Whether it accepts requests."""
        return bool(self._uvicorn.started)

    def stop(self) -> None:
        """Let `run`, in another thread, end as SIGTERM does."""
        self._uvicorn.should_exit = True


class _Uvicorn(uvicorn.Server):
    """Ends on a signal with success, instead of raising the signal again: that is its normal end.

    A second SIGINT ends it without waiting for requests.
    """

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        signals = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Formatter(LogFormatter):
    """Without a search for secrets in the access log, which takes as long as a request."""

    def format(self, record: logging.LogRecord) -> str:
        if record.name == ACCESS.name:
            return logging.Formatter.format(self, record)
        return super().format(record)


@contextmanager
def logging_to_stderr() -> Iterator[None]:
    """Log the server's lines, without secrets, while the context lasts."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(message)s"))
    loggers = [logging.getLogger(name) for name in (_ROOM, "uvicorn.error")]
    levels = [logger.level for logger in loggers]
    for logger, level in zip(loggers, (logging.INFO, logging.WARNING), strict=True):
        logger.addHandler(handler)
        logger.setLevel(level)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)


def read_token(variable: str | None, file: str | None) -> str | None:
    """The token that clients must send.

    Args:
        variable: name of an environment variable with the token, or None.
        file: path of a file with the token, or None.

    Returns:
        The token, or None if there is neither.

    Raises:
        UserError: there are both, or the token is missing or not printable ASCII without spaces.
    """
    if variable is None and file is None:
        return None
    if variable is not None and file is not None:
        raise UserError("token_env and token_file are both set; give one of them")
    if variable is not None:
        where, token = f"token_env={variable}", os.environ.get(variable)
        if token is None:
            raise UserError(f"{where}: there is no such environment variable; set it")
    else:
        assert file is not None
        where, path = f"token_file={file}", Path(file)
        with reading(path, "; write the token to it, readable only by the server's user"):
            token = path.read_text(encoding="utf-8").removesuffix("\n")
    # The token itself is never shown, not even its length.
    if not token or not all("!" <= sign <= "~" for sign in token):
        raise UserError(
            f"{where}: not a token; expected printable ASCII characters without spaces, e.g. from "
            "openssl rand -hex 32"
        )
    return token


def _concurrent_batches(source: Path, backend: Backend) -> int:
    """Batches at the same time: one per core for an export, which needs no lock and little memory.

    Two threads that rank half a batch each wait for each other at every operation.
    """
    is_exported = is_export(source) or backend == "export"
    return usable_cores() if is_exported else 1


def _refuse_unlike(cfg: ServeConfig) -> None:
    for small, large in (("k", "max_k"), ("max_lists", "max_queue")):
        low, high = getattr(cfg, small), getattr(cfg, large)
        if low > high:
            raise UserError(
                f"{small}={low} is above {large}={high}, so it could never be served; lower "
                f"{small}, or raise {large}"
            )


def _limits(cfg: ServeConfig) -> Limits:
    return Limits(
        k=cfg.k,
        max_k=cfg.max_k,
        max_lists=cfg.max_lists,
        max_history=cfg.max_history,
        long_history=cfg.long_history,
        max_body=cfg.max_body_kib * 1024,
    )

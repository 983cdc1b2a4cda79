"""Follows the champion of a registry: loads a new one beside the old, then swaps."""

from __future__ import annotations

import ctypes
import gc
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from recsys_lab.config import UserError
from recsys_lab.deploy.registry import REGISTRY, Champion, Registry
from recsys_lab.deploy.serve.batching import Batcher
from recsys_lab.deploy.serve.queries import Bundle

_log = logging.getLogger(__name__)

_RETRY = 30.0
"""Seconds until a champion that failed to load is tried again: it may just be being copied."""


@dataclass(frozen=True)
class Failure:
    """Why the registry's champion is not served.

    Attributes:
        version: of the champion; None if the registry cannot be read.
        reason: the error.
    """

    version: int | None
    reason: str


class Follower:
    """Polls a registry in a thread of its own.

    Args:
        registry: its folder.
        batcher: has the present model.
        load: loads a champion and warms it up.
        poll: seconds between two looks at the file.
        on_swap: is called after each swap.
        on_failure: is called for each failure.
    """

    def __init__(
        self,
        registry: Path,
        batcher: Batcher,
        load: Callable[[Champion], Bundle],
        *,
        poll: float,
        on_swap: Callable[[], None] = lambda: None,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self._file, self._registry = registry / REGISTRY, registry
        self._batcher, self._load, self._poll = batcher, load, poll
        self._on_swap, self._on_failure = on_swap, on_failure
        self._seen: tuple[int, int, int] | None = None
        self._retry_at = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="follower", daemon=True)
        self.failure: Failure | None = None

    def start(self) -> None:
        """Start polling."""
        self._thread.start()

    def stop(self) -> None:
        """Stop polling; a load in progress is not waited for."""
        self._stop.set()

    def look(self) -> None:
        """Look at the registry once, and swap if its champion is another one."""
        if not self._is_due():
            return
        version = None
        try:
            champion = Registry(self._registry).champion()
            if champion is None:
                raise UserError(f"{self._file}: is missing or names no champion; restore it")
            version = champion.version
            if version != self._batcher.bundle.number:
                self._swap(self._load(champion))
        except BaseException as error:  # whatever is wrong with it, the old model serves on
            self._fail(version, error)
        else:
            self.failure = None

    def _is_due(self) -> bool:
        """Whether the file has changed since the last look, or a failure is to be tried again."""
        try:
            stat = self._file.stat()
            now = stat.st_mtime_ns, stat.st_ino, stat.st_size
        except OSError:
            now = None
        retry = self.failure is not None and time.monotonic() >= self._retry_at
        is_new = now != self._seen or (now is None and self.failure is None)
        self._seen = now
        return is_new or retry

    def _swap(self, bundle: Bundle) -> None:
        old = self._batcher.bundle.version
        self._batcher.bundle = bundle
        self._on_swap()
        _log.info("model %s replaces %s", bundle.version, old)
        free_memory()  # the last, as it takes long

    def _fail(self, version: int | None, error: BaseException) -> None:
        what = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        self.failure = Failure(version, what)
        self._retry_at = time.monotonic() + _RETRY
        self._on_failure()
        which = "the registry" if version is None else f"champion version {version}"
        _log.error("%s cannot be loaded, %s stays: %s", which, self._batcher.bundle.version, what)

    def _loop(self) -> None:
        while not self._stop.wait(self._poll):
            self.look()


def free_memory() -> None:
    """Give the memory of old models back to the system, and keep the collector off the present one.

    It would stop all requests for a tenth of a second, again and again, to look at a catalogue.
    """
    gc.unfreeze()
    gc.collect()  # models may refer to themselves
    gc.freeze()
    with suppress(AttributeError, OSError, TypeError):  # only glibc keeps it and has this
        ctypes.CDLL(None).malloc_trim(0)

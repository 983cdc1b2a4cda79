"""What a worker process of a sweep tells of itself, in a file of its own."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from recsys_lab.files.atomic import write_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVERY = 2.0
"""Seconds between two notes: at most this much of a killed worker's time is not counted."""
DIED = "died"
"""What a worker does of which the parent found that it is gone."""


class Notes:
    """Written anew every `EVERY` seconds while it is entered.

    Args:
        path: the file.
        began: when the process began, in seconds since the epoch.
    """

    def __init__(self, path: Path, began: float) -> None:
        self.path = path
        self.trials = 0
        self._began, self._ready = began, time.time()
        self._busy = 0.0
        self._doing = "beginning"
        self._since: float | None = None
        self._lock = threading.Lock()

    @contextmanager
    def written(self) -> Iterator[None]:
        """Keep the file up to date, also while nothing is told."""
        done = threading.Event()

        def write() -> None:
            while not done.wait(EVERY):
                with suppress(OSError):  # a folder that is away for a moment
                    self._write()

        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def tell(self, doing: str) -> None:
        """What the process does now; it does not keep the device busy."""
        self._doing = doing
        self._write()

    @contextmanager
    def busy_with(self, doing: str) -> Iterator[None]:
        """What the process does now, on its device."""
        begun = time.time()
        self._doing, self._since = doing, begun
        self._write()
        try:
            yield
        finally:
            with self._lock:
                self._busy += time.time() - begun
                self._since = None

    def _write(self) -> None:
        with self._lock:
            state = {
                "pid": os.getpid(), "machine": socket.gethostname(), "doing": self._doing,
                "since": self._since, "began": self._began, "ready": self._ready,
                "now": time.time(), "busy": self._busy, "trials": self.trials,
                "device": os.environ.get("CUDA_VISIBLE_DEVICES") or "cpu",
            }  # fmt: skip
            write_text(self.path, json.dumps(state))


def mark_dead(path: Path, state: dict[str, Any]) -> None:
    """Say of a worker that is gone what it could not say itself."""
    write_text(path, json.dumps({**state, "doing": DIED}))

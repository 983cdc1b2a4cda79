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
INTERRUPTED = "interrupted"
DIED = "died"
"""What a worker does of which the parent found that it is gone."""


class WorkerStatus:
    """Written anew every `EVERY` seconds while it is entered; never a reason to end.

    All times are of one clock, which nobody sets: differences of them are true.

    Args:
        path: the file.
        began: when the process began, in seconds since the epoch.
    """

    def __init__(self, path: Path, began: float) -> None:
        self.path = path
        self.trials = 0
        self.fault: str | None = None
        self.top: str | None = None
        self._offset = time.time() - time.monotonic()
        self._began, self._ready = began, self._now()
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
                self._write()

        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def tell(self, doing: str, fault: str | None = None) -> None:
        """What the process does now; it does not keep the device busy.

        Args:
            doing: in a word or two.
            fault: of the machine, where one stopped it.
        """
        self._doing, self.fault, self.top = doing, fault, None
        self._write()

    def tell_of_top(self, name: str) -> None:
        """Which run of the best the process does now; its device is busy all the while."""
        self._doing, self.top = f"the best again: {name}", name
        self._write()

    @contextmanager
    def busy_with(self, doing: str) -> Iterator[None]:
        """What the process does now, on its device."""
        begun = self._now()
        self._doing, self._since = doing, begun
        self._write()
        try:
            yield
        finally:
            with self._lock:
                self._busy += self._now() - begun
                self._since = None

    def _now(self) -> float:
        return time.monotonic() + self._offset

    def _write(self) -> None:
        # A disk that is full or away for a moment; a folder that was moved is not made again.
        with self._lock, suppress(OSError):
            if not self.path.parent.is_dir():
                return
            state = {
                "pid": os.getpid(), "machine": socket.gethostname(), "doing": self._doing,
                "since": self._since, "began": self._began, "ready": self._ready,
                "now": self._now(), "busy": self._busy, "trials": self.trials,
                "device": os.environ.get("CUDA_VISIBLE_DEVICES") or "cpu", "fault": self.fault,
                "top": self.top,
            }  # fmt: skip
            write_text(self.path, json.dumps(state))


def mark_dead(path: Path, state: dict[str, Any]) -> None:
    """Say of a worker that is gone what it could not say itself."""
    with suppress(OSError):
        write_text(path, json.dumps({**state, "doing": DIED}))

"""The status file of a worker process."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from recsys_lab.files.atomic import write_text
from recsys_lab.sweeps.heartbeat import repeated

EVERY = 2.0
"""Seconds between two updates: at most this much of a killed worker's time is not counted."""
INTERRUPTED = "interrupted"
DIED = "died"
"""Written by the parent for a worker that died."""


class WorkerStatus:
    """Writes the status file, every `EVERY` seconds within `written`; ignores a failed write.

    All times are of a monotonic clock, so their differences are correct.

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
        self._doing = "starting"
        self._since: float | None = None
        self._lock = threading.Lock()

    def written(self) -> AbstractContextManager[None]:
        """Keep the file up to date in the background."""
        return repeated(EVERY, self._write)

    def tell(self, doing: str, fault: str | None = None) -> None:
        """Write what the process does, without using its device.

        Args:
            doing: in a word or two.
            fault: of the machine, if one stopped the process.
        """
        self._doing, self.fault, self.top = doing, fault, None
        self._write()

    def tell_of_top(self, name: str) -> None:
        """Write which retraining run the process does; its device stays busy."""
        self._doing, self.top = f"retraining: {name}", name
        self._write()

    @contextmanager
    def busy_with(self, doing: str) -> Iterator[None]:
        """Write what the process does on its device, and count the time."""
        start = self._now()
        self._doing, self._since = doing, start
        self._write()
        try:
            yield
        finally:
            with self._lock:
                self._busy += self._now() - start
                self._since = None

    def _now(self) -> float:
        return time.monotonic() + self._offset

    def _write(self) -> None:
        # Ignores a full or absent disk; does not create a folder that was moved.
        with self._lock, suppress(OSError):
            if not self.path.parent.is_dir():
                return
            state = {
                "pid": os.getpid(),
                "machine": socket.gethostname(),
                "doing": self._doing,
                "since": self._since,
                "began": self._began,
                "ready": self._ready,
                "now": self._now(),
                "busy": self._busy,
                "trials": self.trials,
                "device": os.environ.get("CUDA_VISIBLE_DEVICES") or "cpu",
                "fault": self.fault,
                "top": self.top,
            }
            write_text(self.path, json.dumps(state))


def mark_dead(path: Path, state: dict[str, Any]) -> None:
    """Write into a worker's file that it died."""
    with suppress(OSError):
        write_text(path, json.dumps({**state, "doing": DIED}))

"""The deadline of a sweep's worker."""

from __future__ import annotations

import time
from pathlib import Path

_LOOK_EVERY = 1.0  # seconds between checks of a file, which may be on a network disk


class Deadline:
    """A deadline, by this process's clock or by a file.

    The command may run on a machine with another clock, and a worker may wait in a queue, so the
    command creates a file when its time is over. If the command was killed, the worker counts the
    seconds from its own start.

    Args:
        seconds: from now, or None for no deadline.
        over: file that exists once the time is over.

    Attributes:
        reached: whether a training was stopped at the deadline.
    """

    def __init__(self, seconds: float | None, over: Path | None = None) -> None:
        self._due = None if seconds is None else time.monotonic() + seconds
        self._file = over
        self._looked = float("-inf")
        self._is_over = False
        self.reached = False

    @property
    def is_over(self) -> bool:
        """Whether no trial may start or continue."""
        now = time.monotonic()
        if self._due is not None and not self._is_over:
            self._is_over = now >= self._due
            if self._file is not None and now - self._looked > _LOOK_EVERY:
                self._looked = now
                self._is_over = self._is_over or self._file.exists()
        return self._is_over

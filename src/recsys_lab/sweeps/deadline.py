"""When the time of a sweep's worker is over."""

from __future__ import annotations

import time
from pathlib import Path

_LOOK_EVERY = 1.0  # seconds between two looks for a file on what may be a network's disk


class Deadline:
    """Says that the time is over, by a clock of its own or by a file.

    The clock of the machine that the command runs on is not this one's, and a worker may wait in a
    queue, so that the command says by a file that its time is over. Where it was killed, the
    worker counts by itself, from its own beginning.

    Args:
        seconds: from now on, or None for never.
        over: file that is there when the time is over, wherever this process counts from.

    Attributes:
        reached: whether a training was stopped for it.
    """

    def __init__(self, seconds: float | None, over: Path | None = None) -> None:
        self._due = None if seconds is None else time.monotonic() + seconds
        self._file = over
        self._looked = float("-inf")
        self._is_over = False
        self.reached = False

    @property
    def is_over(self) -> bool:
        """Whether no trial may be begun or go on."""
        now = time.monotonic()
        if self._due is not None and not self._is_over:
            self._is_over = now >= self._due
            if self._file is not None and now - self._looked > _LOOK_EVERY:
                self._looked = now
                self._is_over = self._is_over or self._file.exists()
        return self._is_over

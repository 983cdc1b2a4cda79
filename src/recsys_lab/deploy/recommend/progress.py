"""How far a job is: a line on the terminal, and ``progress.json``."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from recsys_lab.files.atomic import write_text
from recsys_lab.pages.number_format import duration

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

_EVERY = 5.0
"""Seconds between updates of the file; between lines in a log, 12 times as many."""


class JobProgress:
    """Users done by all processes, as far as this one knows: finished parts and its own part.

    The end is estimated from the rate since this process began.

    Args:
        file: where it is stored.
        total: number of users.
        done: users done before.
        console: None: show nothing.
    """

    def __init__(self, file: Path, total: int, done: int, console: Console | None) -> None:
        self._file, self._total = file, total
        self._done = self._before = done
        self._begun = time.monotonic()
        self._stored = self._printed = self._begun
        self._console = console
        self._bar = Progress(
            TextColumn("users"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=console,
            disable=console is None or not console.is_terminal,
        )
        self._task = self._bar.add_task("users", total=total, completed=done)

    def __enter__(self) -> JobProgress:
        """Start."""
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the last line on screen."""
        self._bar.stop()

    def set_done(self, users: int) -> None:
        """Set the number of users that are done."""
        self._done = users
        self._bar.update(self._task, completed=users)
        now = time.monotonic()
        if now - self._stored >= _EVERY:
            self._stored = now
            write_text(self._file, json.dumps(self.state(now - self._begun), indent=1) + "\n")
        quiet = self._console is None or self._console.is_terminal
        if not quiet and now - self._printed >= 12 * _EVERY:
            self._printed = now
            self._print(self.state(now - self._begun))

    def state(self, seconds: float) -> dict[str, object]:
        """The content of the file, after some seconds of work."""
        rate = (self._done - self._before) / max(seconds, 1e-9)
        left = (self._total - self._done) / rate if rate else None
        now = datetime.now(UTC)
        end = None if left is None else now + timedelta(seconds=left)
        return {
            "users": self._total,
            "done": self._done,
            "users_per_second": round(rate, 1),
            "seconds_left": None if left is None else round(left),
            "end": None if end is None else end.isoformat(timespec="seconds"),
            "updated": now.isoformat(timespec="seconds"),
        }

    def _print(self, state: dict[str, object]) -> None:
        left = state["seconds_left"]
        ends = "" if not isinstance(left, int) else f", {duration(left)} left"
        assert self._console is not None
        self._console.print(
            f"{self._done:,} of {self._total:,} users, {state['users_per_second']} users/s{ends}"
        )

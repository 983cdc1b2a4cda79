"""The status of a run whose record says that it is running, from its files alone."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from recsys_lab.pages.number_format import duration
from recsys_lab.runs.epochs import EPOCHS
from recsys_lab.runs.record import KILLED, RECORD, RunRecord

if TYPE_CHECKING:
    from pathlib import Path

RUNNING = "running"
_SILENCE = 15 * 60
_EPOCHS = 3


def status_of(path: Path, epochs: int, seconds: float) -> tuple[str, str]:
    """The status, and a note with the time at which the files were written.

    No process of this machine works on a run of another machine, whose folder is copied to this
    one. It counts as running while its files are newer than 15 minutes, or than 3 of its epochs;
    then it is `KILLED`.

    Args:
        path: the run directory.
        epochs: number of epochs so far.
        seconds: that they took.
    """
    if RunRecord(path, {"status": RUNNING}).status == RUNNING:
        return RUNNING, ""
    age = _age(path)
    minutes = 60 * (age // 60)
    written = f"last written {duration(minutes)} ago" if minutes else "written just now"
    if age < max(_SILENCE, _EPOCHS * seconds / max(1, epochs)):
        return RUNNING, f"no process on this machine; {written}"
    return KILLED, written


def _age(path: Path) -> float:
    """Seconds since the files of a run were written; 0 if they are of the future."""
    times = []
    for name in (RECORD, EPOCHS):
        try:
            times.append((path / name).stat().st_mtime)
        except OSError:  # not there, or removed meanwhile
            continue
    return max(0.0, time.time() - max(times, default=0.0))

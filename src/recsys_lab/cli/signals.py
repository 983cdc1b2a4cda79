"""SIGTERM and SIGHUP end a command as Ctrl-C does: cleanly, with a message, exit 130."""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from recsys_lab.config import Interrupted

if TYPE_CHECKING:
    from collections.abc import Iterator

_ONE_REQUEST = 1.0
"""Seconds: ``timeout`` and some schedulers send a signal twice to ask once."""


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise `Interrupted`; a second one ends the process at once.

    A signal that is ignored (``nohup``), or that another part answers to, is left as it is.
    """
    handled = [
        number
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) == signal.SIG_DFL
    ]
    try:
        for number in handled:
            signal.signal(number, _Stop())
    except ValueError:  # not the main thread: the caller owns the signals
        handled = []
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, signal.SIG_DFL)


class _Stop:
    def __init__(self) -> None:
        self._asked: float | None = None

    def __call__(self, number: int, frame: Any) -> None:
        del frame
        now = time.monotonic()
        if self._asked is None:
            self._asked = now
            raise Interrupted(
                f"stopped by {signal.Signals(number).name}; the same command begins again"
            )
        if now - self._asked > _ONE_REQUEST:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

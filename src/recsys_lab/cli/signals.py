"""SIGTERM and SIGHUP end a command as Ctrl-C does: cleanly, with a message, exit 130."""

from __future__ import annotations

import signal
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from recsys_lab.config import Interrupted

_ONE_REQUEST = 1.0
"""Seconds: ``timeout`` and some schedulers send a signal twice to ask once."""

_AGAIN = 0.1
"""Seconds until a stop whose exception was lost is asked for again."""


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise `Interrupted`; a second one ends the process at once.

    A signal that is ignored (``nohup``), or that another part answers to, is left as it is.
    """
    handled = {
        number: _Stop()
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) == signal.SIG_DFL
    }
    try:
        for number, stop in handled.items():
            signal.signal(number, stop)
    except ValueError:  # not the main thread: the caller owns the signals
        handled = {}
    try:
        yield
    finally:
        for number, stop in handled.items():
            stop.over = True
            signal.signal(number, signal.SIG_DFL)


class _Stop:
    """Raises `Interrupted` until it gets through.

    An exception out of a signal handler is lost where Python has nobody to give it to: while a
    compiled module is imported, in a ``__del__``, in the garbage collector. It is freed then, and
    that is the sign to ask again.
    """

    def __init__(self) -> None:
        self.over = False
        self._asked: float | None = None
        self._raised: weakref.ref[Interrupted] | None = None

    def __call__(self, number: int, frame: Any) -> None:
        del frame
        now = time.monotonic()
        if self._raised is None or self._raised() is None:
            self._asked = self._asked or now
            stop = Interrupted(
                f"stopped by {signal.Signals(number).name}; run the same command to restart"
            )
            self._raised = weakref.ref(stop, lambda _: self._ask_again(number))
            try:
                raise stop
            finally:
                del stop  # or this frame would keep it
        if now - (self._asked or now) > _ONE_REQUEST:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def _ask_again(self, number: int) -> None:
        """Later, and from another thread: here, too, an exception would be lost."""
        if not self.over:
            timer = threading.Timer(_AGAIN, self._ask, [number])
            timer.daemon = True
            timer.start()

    def _ask(self, number: int) -> None:
        if not self.over:
            signal.pthread_kill(threading.main_thread().ident or 0, number)

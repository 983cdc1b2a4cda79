"""Handles SIGTERM and SIGHUP like Ctrl-C: cleanly, with a message and exit code 130."""

from __future__ import annotations

import signal
import threading
import time
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from recsys_lab.config import Interrupted

if TYPE_CHECKING:
    from collections.abc import Iterator

_ONE_REQUEST = 1.0
"""Seconds within which repeated signals count as one: ``timeout`` and schedulers send two."""

_AGAIN = 0.1
"""Seconds until a lost exception is raised again."""


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise `Interrupted`; a second one ends the process at once.

    Signals that are ignored (``nohup``) or have another handler are left unchanged.
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
    """A signal handler that raises `Interrupted` until it propagates.

    Python drops an exception of a signal handler in a ``__del__``, in the garbage collector, or
    while a compiled module is imported. The exception is freed then, which triggers the next try.
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
                del stop  # else this frame would keep it alive
        if now - (self._asked or now) > _ONE_REQUEST:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def _ask_again(self, number: int) -> None:
        """Retry later from another thread, as an exception would be lost here too."""
        if not self.over:
            timer = threading.Timer(_AGAIN, self._ask, [number])
            timer.daemon = True
            timer.start()

    def _ask(self, number: int) -> None:
        if not self.over:
            signal.pthread_kill(threading.main_thread().ident or 0, number)

"""Ctrl-C, SIGTERM and SIGHUP end a command cleanly, whenever they come: a message, exit 130."""

from __future__ import annotations

import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from recsys_lab.config.errors import Interrupted

_Answer = Callable[[int, Any], Any] | signal.Handlers

_ONE_REQUEST = 1.0
"""Seconds within which repeated signals count as one: ``timeout`` and schedulers send two."""

_AGAIN = 0.1
"""Seconds until a lost exception is raised again."""


class _CtrlC(KeyboardInterrupt):
    """One that weak references can follow, which the built-in class does not allow."""


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise `Interrupted`, SIGINT `KeyboardInterrupt`, until it arrives.

    A second signal has the effect that it has without this: SIGTERM and SIGHUP end the process at
    once, SIGINT raises again. Signals that are ignored (``nohup``) or have another handler are left
    unchanged.
    """
    usual: dict[signal.Signals, _Answer] = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
    }
    handled = {
        number: _Stop(before)
        for number, before in usual.items()
        if signal.getsignal(number) == before
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
            signal.signal(number, stop.before)


class _Stop:
    """A signal handler that raises an exception until it propagates.

    Python drops an exception of a signal handler in a ``__del__``, in the garbage collector, or
    while a compiled module is imported. The exception is freed then, which triggers the next try.

    Args:
        before: handler of the signal without this.
    """

    def __init__(self, before: _Answer) -> None:
        self.before = before
        self.over = False
        self._asked: float | None = None
        self._raised: weakref.ref[BaseException] | None = None

    def __call__(self, number: int, frame: Any) -> None:
        del frame
        now = time.monotonic()
        if self._raised is None or self._raised() is None:
            self._asked = self._asked or now
            stop = _exception(signal.Signals(number))
            self._raised = weakref.ref(stop, lambda _: self._ask_again(number))
            try:
                raise stop
            finally:
                del stop  # else this frame would keep it alive
        if now - (self._asked or now) > _ONE_REQUEST:
            signal.signal(number, self.before)
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


def _exception(number: signal.Signals) -> BaseException:
    if number == signal.SIGINT:
        return _CtrlC()
    return Interrupted(f"stopped by {number.name}; run the same command to restart")

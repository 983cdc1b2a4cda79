"""Retries calls to a study's storage while it does not answer."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

from recsys_lab.files.faults import chain, reason
from recsys_lab.sweeps.storage.backends import StorageAway

T = TypeVar("T")

LONGEST_PAUSE = 30.0
"""Seconds between two tries at most; the first pauses are 1, 2, 4, ... seconds."""
_WAITS_ITSELF = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_log = logging.getLogger(__name__)


class Patience:
    """Repeats a call while the storage does not answer, with a warning each time.

    Args:
        seconds: after which it gives up.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self, call: Callable[[], T]) -> T:
        """The result of a call.

        Args:
            call: to the storage; must be safe to repeat.

        Raises:
            Exception: the call's own, or its last one when the time is over.
        """
        since: float | None = None
        pause = 1.0
        while True:
            try:
                return call()
            except Exception as error:
                now = time.monotonic()
                since = now if since is None else since
                left = self.seconds - (now - since)
                if not is_away(error) or left <= 0:
                    raise
                _log.warning(
                    "the study's storage has not answered for %.0f s; retrying for %.0f s: %s",
                    now - since,
                    left,
                    _message(error),
                )
            time.sleep(min(pause, left))
            pause = min(2 * pause, LONGEST_PAUSE)


def is_away(error: BaseException) -> bool:
    """Whether the storage does not answer, and a later call may succeed."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import InterfaceError, OperationalError

    away = (StorageAway, StorageInternalError, OperationalError, InterfaceError)
    return isinstance(error, away) and _of_sqlite(error) is None


def storage_fault(error: BaseException) -> str | None:
    """What is wrong with the storage, in one line; None for other errors."""
    broken = _of_sqlite(error)
    if broken is not None:
        return f"the study's storage cannot be used: {broken}"
    if is_away(error):
        return f"the study's storage does not answer: {_message(error)}"
    return None


def _message(error: BaseException) -> str:
    """The message of the database driver, without the text of Optuna and SQLAlchemy."""
    from sqlalchemy.exc import DBAPIError

    causes = [cause.orig for cause in chain(error) if isinstance(cause, DBAPIError)]
    return reason(causes[0] if causes and causes[0] is not None else error)


def _of_sqlite(error: BaseException) -> str | None:
    """SQLite's message about its file (a full disk, a missing table); None if it is only locked."""
    from sqlalchemy.exc import DBAPIError

    for cause in chain(error):
        raw = cause.orig if isinstance(cause, DBAPIError) else cause
        # The low byte is the primary code; errors of the module itself have no code.
        code = getattr(raw, "sqlite_errorcode", None) if isinstance(raw, sqlite3.Error) else None
        if code is not None and code & 0xFF not in _WAITS_ITSELF:
            return str(raw)
    return None

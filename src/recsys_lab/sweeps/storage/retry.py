"""Calls to a study's storage that outlast a time in which it does not answer."""

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
"""Seconds between two tries at most; the pauses before are 1, 2, 4, ... seconds."""
_WAITS_ITSELF = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_log = logging.getLogger(__name__)


class Patience:
    """Makes a call again while the storage is away, telling so.

    Args:
        seconds: that the storage may be away during one call.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self, call: Callable[[], T]) -> T:
        """What a call gives.

        Args:
            call: asks the storage; must do no harm when it is made twice.

        Raises:
            Exception: the call's own, or what it said when the time was over.
        """
        begun: float | None = None
        pause = 1.0
        while True:
            try:
                return call()
            except Exception as error:
                now = time.monotonic()
                begun = now if begun is None else begun
                left = self.seconds - (now - begun)
                if not is_away(error) or left <= 0:
                    raise
                _log.warning(
                    "the study's storage has been away for %.0f s, and is asked for %.0f s more: "
                    "%s", now - begun, left, _said(error),
                )  # fmt: skip
            time.sleep(min(pause, left))
            pause = min(2 * pause, LONGEST_PAUSE)


def is_away(error: BaseException) -> bool:
    """Whether an error is the storage's, and it may answer a moment later."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import InterfaceError, OperationalError

    away = (StorageAway, StorageInternalError, OperationalError, InterfaceError)
    return isinstance(error, away) and _of_sqlite(error) is None


def storage_fault(error: BaseException) -> str | None:
    """What is wrong with the storage, in one line, or None where the error is not its own."""
    broken = _of_sqlite(error)
    if broken is not None:
        return f"the study's storage cannot be used: {broken}"
    if is_away(error):
        return f"the study's storage does not answer: {_said(error)}"
    return None


def _said(error: BaseException) -> str:
    """What the database's driver says: Optuna and SQLAlchemy put guesses of their own before it."""
    from sqlalchemy.exc import DBAPIError

    found = [cause.orig for cause in chain(error) if isinstance(cause, DBAPIError)]
    return reason(found[0] if found and found[0] is not None else error)


def _of_sqlite(error: BaseException) -> str | None:
    """What SQLite says of its file: a full disk, a missing table; not that others use it."""
    from sqlalchemy.exc import DBAPIError

    for cause in chain(error):
        said = cause.orig if isinstance(cause, DBAPIError) else cause
        # Its code has more bits for more detail; errors of the module itself have none.
        code = getattr(said, "sqlite_errorcode", None) if isinstance(said, sqlite3.Error) else None
        if code is not None and code & 0xFF not in _WAITS_ITSELF:
            return str(said)
    return None

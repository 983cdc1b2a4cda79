"""Calls to a study's storage that outlast a moment in which it does not answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from recsys_lab.sweeps.storage import StorageAway

T = TypeVar("T")

PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)
"""Seconds before each further try: a database that is restarted is back within them."""


def patiently(call: Callable[[], T]) -> T:
    """What a call gives, tried again while the storage is away.

    Args:
        call: asks the storage; must do no harm when it is made twice.

    Raises:
        Exception: the call's own, or what it said when the last pause was over.
    """
    for pause in PAUSES:
        try:
            return call()
        except Exception as error:
            if not is_away(error):
                raise
            said = str(error).strip().partition("\n")[0]
            logging.getLogger(__name__).warning("the study's storage is away: %s", said)
        time.sleep(pause)
    return call()


def is_away(error: BaseException) -> bool:
    """Whether an error is the storage's, and no fault of the trial."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import InterfaceError, OperationalError

    away = (StorageAway, StorageInternalError, OperationalError, InterfaceError)
    return isinstance(error, away)

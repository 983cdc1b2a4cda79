"""Splits by time: dates and cuts.

Shapes: T events laid end to end by user, U users.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from recsys_lab.config import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recsys_lab.data.splits.base import FlatLog

DAY = 86_400
"""Seconds."""


def require_times(log: FlatLog, split: str) -> NDArray[np.int64]:
    """The times of all events, (T,).

    Raises:
        UserError: when the log has none.
    """
    if log.timestamps is None:
        raise UserError(
            f"split={split}: this split cuts by time and the log has no timestamps. Name their "
            "column with data.timestamp_column, or take a split by position: "
            "split=leave_one_out, last_n, user_ratio or unseen_users"
        )
    return log.timestamps


def seconds_of(option: str, text: str) -> int:
    """First whole second at or after a date, since the epoch.

    Args:
        option: the option it came from, for the error.
        text: ISO 8601; without a zone: UTC.

    Raises:
        UserError: when it is no date.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UserError(
            f"{option}={text}: is no date; write it as 2024-12-31 or 2024-12-31T18:00"
        ) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return math.ceil(moment.timestamp())


def format_time(seconds: int) -> str:
    """A time for people, in UTC."""
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    except OverflowError:
        return f"{seconds} s after 1970"
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def span(log: FlatLog, times_T: NDArray[np.int64]) -> tuple[int, int]:
    """Times of the first and the last event of the whole log."""
    starts, ends = log.offsets[:-1], log.offsets[1:]
    filled = ends > starts
    return int(times_T[starts[filled]].min()), int(times_T[ends[filled] - 1].max())


def format_span(log: FlatLog, times_T: NDArray[np.int64]) -> str:
    """Where the log's events lie, for errors."""
    first, last = span(log, times_T)
    return f"The log runs from {format_time(first)} to {format_time(last)}"

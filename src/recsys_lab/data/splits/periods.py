"""Times of splits by time: checks and formatting.

Shapes: T events concatenated by user, U users.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from recsys_lab.config import UserError
from recsys_lab.data.columns.timestamps import parse_date
from recsys_lab.data.splits.base import FlatLog

DAY = 86_400
"""Seconds."""


def require_times(log: FlatLog, split: str) -> NDArray[np.int64]:
    """The times of all events, (T,).

    Raises:
        UserError: if the log has none.
    """
    if log.timestamps is None:
        raise UserError(
            f"split={split}: this split cuts by time and the log has no timestamps. Name their "
            "column with data.timestamp_column, or use a split by position: "
            "split=leave_one_out, last_n, user_ratio or unseen_users"
        )
    return log.timestamps


def seconds_of(option: str, text: str) -> int:
    """The first whole second since the epoch at or after a date: see `parse_date`."""
    return math.ceil(parse_date(option, text).timestamp())


def format_time(seconds: int) -> str:
    """A readable time in UTC."""
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
    """A sentence about the first and the last time of the log, for errors."""
    first, last = span(log, times_T)
    return f"The log runs from {format_time(first)} to {format_time(last)}"

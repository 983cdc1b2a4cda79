"""Columns of items and users that are read from the log: the first value among training events.

A log may repeat attributes of an item or user in each of its rows, and later rows know later
events: a column such as "last seen item" would name the test target. So **the value of an item or
user is that of the first of its training events that has one**, sorted by time, then order (if the
log has it), then the file. Without such an event it is missing.

Shapes: R items or users, n ranges of events.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_lab.data.columns.column_plan import ColumnPlan, apply_plans, pick_rows, same
from recsys_lab.data.engines.base import running_rows
from recsys_lab.data.preparation.encode_events import SOURCE_ROW
from recsys_lab.data.preparation.write import Arrays
from recsys_lab.data.raw import FromLog, ParquetLog, RawData
from recsys_lab.data.splits.ranges import range_chunks

_LATEST = np.iinfo(np.int64).max


def from_log(frame: pl.LazyFrame, plan: ColumnPlan, present: str) -> FromLog:
    """A column that is read from the rows of the log.

    Args:
        frame: the source, which must exist until the preparation ends.
        plan: computes the column, null where it has no value.
        present: see `presence`; `ColumnPlan.as_flag` makes that column.
    """
    return FromLog(
        present,
        lambda rows: apply_plans(pick_rows(frame, rows), {present: plan}).collect().to_series(),
    )


def plain_from_log(
    log: pl.DataFrame | ParquetLog, columns: Collection[str], side: str
) -> tuple[Any, dict[str, FromLog]]:
    """The same for columns of a published log that are null where they have no value.

    Args:
        log: a log with the columns.
        columns: their names.
        side: ``item`` or ``user``.

    Returns:
        The log with `FromLog.present` instead of the columns, and each column as `FromLog`.
    """
    plans = {name: ColumnPlan(name, None, same) for name in columns}
    present = presence(side, columns)
    if isinstance(log, ParquetLog):
        frame = pl.scan_parquet(list(log.files), glob=False)
        kept: dict[str, Any] = {
            name: log.columns[name] for name in log.columns if name not in columns
        }
        flags = {present[name]: ~log.columns[name].is_null() for name in columns}
        rest: Any = ParquetLog(log.files, kept | flags)
    else:
        frame = log.lazy()
        rest = log.with_columns(pl.col(name).is_not_null().alias(present[name]) for name in columns)
        rest = rest.drop(columns)
    return rest, {name: from_log(frame, plan, present[name]) for name, plan in plans.items()}


def presence(side: str, names: Collection[str]) -> dict[str, str]:
    """`FromLog.present` of each column: names that every engine accepts."""
    return {name: f"_has_{side}_{index}" for index, name in enumerate(names)}


def values_of(
    raw: RawData, side: str, arrays: Arrays, train: NDArray[np.int64], features: Collection[str]
) -> list[pl.Series]:
    """The columns of items or users that are read from the log, one value per code.

    Args:
        raw: names them.
        side: ``item`` or ``user``.
        arrays: the log.
        train: rows (user, start, end) of the training part, (n, 3).
        features: those that models may read. Other columns, such as titles, are only shown and
            are read from all events, as items without training events are shown, too.
    """
    size = len(arrays.item_ids if side == "item" else arrays.user_ids)
    columns = []
    for name, column in raw.from_log.get(side, {}).items():
        runs = (train[:, 1], train[:, 2])
        if name not in features:
            runs = (arrays.offsets[:-1], arrays.offsets[1:])
        first_R = _first_rows(arrays, side, column.present, size, *runs)
        is_known_R = first_R >= 0
        rows, inverse = np.unique(
            running_rows(first_R[is_known_R], raw.interactions), return_inverse=True
        )
        index_R = np.zeros(size, dtype=np.int64)
        index_R[is_known_R] = inverse
        index = pl.Series(index_R).set(pl.Series(~is_known_R), None)
        columns.append(column.values(rows).gather(index).alias(name))
    return columns


def _first_rows(
    arrays: Arrays,
    side: str,
    present: str,
    size: int,
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> NDArray[np.int64]:
    """`SOURCE_ROW` of the first event of each code that has a value, -1 where none, (R,)."""
    sources = arrays.sources
    names = [name for name in ("timestamp", "order") if name in sources] + [SOURCE_ROW]
    first = [np.full(size, _LATEST) for _ in names]
    for events in range_chunks(starts, ends):
        events = events[sources[present][events]]
        codes: NDArray[Any] = arrays.items[events]
        if side == "user":
            codes = np.searchsorted(arrays.offsets, events, side="right") - 1
        keys = [sources[name][events] for name in names]
        by = np.lexsort([*reversed(keys), codes])
        by = by[np.concatenate([[True], np.diff(codes[by]) > 0])] if len(by) else by
        codes, keys = codes[by], [key[by] for key in keys]
        earlier = is_before(keys, [best[codes] for best in first])
        for best, key in zip(first, keys, strict=True):
            best[codes[earlier]] = key[earlier]
    return np.where(first[-1] == _LATEST, -1, first[-1])


def is_before(keys: list[NDArray[np.int64]], others: list[NDArray[np.int64]]) -> NDArray[np.bool_]:
    """Whether each row of the keys is lexicographically smaller than that of the others."""
    before = np.zeros(len(keys[0]), dtype=np.bool_)
    for key, other in zip(reversed(keys), reversed(others), strict=True):
        before = (key < other) | ((key == other) & before)
    return before

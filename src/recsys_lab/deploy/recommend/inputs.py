"""Users, histories and item ids from files of the user."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from recsys_lab.config import UserError
from recsys_lab.data.columns.time_checks import SIZE_LIMIT
from recsys_lab.data.columns.timestamps import UNITS, parse_date, parse_times
from recsys_lab.data.formats.small_table import read_columns
from recsys_lab.data.raw_ids import id_texts

if TYPE_CHECKING:
    from collections.abc import Sequence

_DAY = 86_400


def read_ids(path: str, option: str, column: str, notes: list[str]) -> pl.Series:
    """The ids in one column of a file, without blank ones.

    Args:
        path: a table: see `recsys_lab.data.formats.table_file.SUFFIXES`.
        option: the config key, for errors.
        column: ``user_id`` or ``item_id``.
        notes: gets a line about blank ids.

    Raises:
        UserError: the file cannot be read or lacks the column.
    """
    ids = read_columns(path, option, [column], ())[column]
    if ids.null_count():
        notes.append(f"{option}={path}: {ids.null_count():,} rows without {column} were skipped")
    return ids.drop_nulls()


def read_events(
    path: str, columns: Sequence[str], needed: Sequence[str], notes: list[str]
) -> pl.DataFrame:
    """The events in a file: ``user_id``, ``item_id``, and other columns if they are there.

    Args:
        path: a table, one row per event.
        columns: further columns that are used where the file has them.
        needed: those that it must have.
        notes: gets a line with the unit of times that are numbers.

    Returns:
        The events; ``timestamp`` in whole seconds since the epoch.

    Raises:
        UserError: the file cannot be read, lacks a column, or has no or incomplete rows.
    """
    option = "histories"
    events = read_columns(path, option, ["user_id", "item_id", *needed], columns)
    if events.is_empty():
        raise UserError(f"{option}={path}: has no rows; give one row per event")
    if events["user_id"].null_count():
        raise UserError(
            f"{option}={path}: {events['user_id'].null_count():,} of {len(events):,} rows have no "
            "user_id; remove them, or name their users"
        )
    # Whole floats, as pandas writes integers with gaps, are the same ids as elsewhere.
    events = events.with_columns(id_texts(events[n]) for n in ("user_id", "item_id"))
    if "timestamp" in events.columns:
        times = _times(events["timestamp"], f"{option}={path}", notes)
        events = events.with_columns(times.alias("timestamp"))
    return events


def end_of(as_of: str) -> int:
    """The first second that is not part of the period up to a date or time, since the epoch.

    A date includes the whole day, UTC.

    Raises:
        UserError: it is not a date.
    """
    moment = int(parse_date("as_of", as_of).timestamp())
    has_time = len(as_of.strip()) > len("2024-12-31")
    return moment + (1 if has_time else _DAY)


def _times(times: pl.Series, where: str, notes: list[str]) -> pl.Series:
    """Whole seconds since the epoch, rounded down.

    Raises:
        UserError: a row has no time, or numbers are of different units.
    """
    numbers = times.str.strip_chars() if times.dtype == pl.String else times
    numbers = numbers.floor() if times.dtype.is_float() else numbers
    is_dates = times.dtype.is_temporal()
    if not is_dates:
        numbers = numbers.cast(pl.Int64, strict=False)
        is_dates = times.dtype == pl.String and not numbers.count()
    if is_dates:
        seconds, _ = parse_times(times, where)
        _refuse_missing(seconds, times, where)
        return seconds
    _refuse_missing(numbers, times, where)
    unit = _unit(numbers, where)
    notes.append(f"{where}: times are read as {unit} since the epoch, by their size")
    return numbers // UNITS[unit]


def _unit(numbers: pl.Series, where: str) -> str:
    """The unit of times: the coarsest in which they lie before the year 5100.

    Raises:
        UserError: it is not the same for all.
    """
    limits = [SIZE_LIMIT * ticks for ticks in UNITS.values()][:-1]
    unit_T = np.digitize(np.abs(numbers.to_numpy().astype(np.float64)), limits)
    names = list(UNITS)
    units, rows = np.unique(unit_T, return_index=True)
    if len(units) > 1:
        each = ", ".join(
            f"row {row + 1} has {numbers[int(row)]} ({names[unit]})"
            for unit, row in zip(units, rows, strict=True)
        )
        raise UserError(
            f"{where}: the times mix units, by their size: {each}; write them in one unit, or as "
            "dates"
        )
    return names[int(units[0])]


def _refuse_missing(read: pl.Series, times: pl.Series, where: str) -> None:
    if read.null_count():
        row = int(read.is_null().arg_true()[0])
        value = "no timestamp" if times[row] is None else f"the timestamp {times[row]!r}"
        raise UserError(
            f"{where}: row {row + 1} has {value}, and {read.null_count():,} of {len(read):,} rows "
            "have no time that can be read; expected numbers since the epoch, or ISO 8601 dates in "
            "all rows, or no column timestamp"
        )

"""Users, histories and item ids from files of the user."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import polars as pl

from recsys_lab.config import UserError, did_you_mean
from recsys_lab.data.columns.timestamps import parse_date, parse_times
from recsys_lab.data.formats.table_file import TableFile
from recsys_lab.data.raw_ids import id_texts

if TYPE_CHECKING:
    from collections.abc import Sequence

_DAY = 86_400


def read_ids(path: str, option: str, column: str) -> pl.Series:
    """The ids in one column of a file.

    Args:
        path: a table: see `recsys_lab.data.formats.table_file.SUFFIXES`.
        option: the config key, for errors.
        column: ``user_id`` or ``item_id``.

    Raises:
        UserError: the file cannot be read or lacks the column.
    """
    return _columns(path, option, [column], ())[column]


def read_events(path: str, columns: Sequence[str], needed: Sequence[str]) -> pl.DataFrame:
    """The events in a file: ``user_id``, ``item_id``, and other columns if they are there.

    Args:
        path: a table, one row per event.
        columns: further columns that are used where the file has them.
        needed: those that it must have.

    Raises:
        UserError: the file cannot be read, lacks a column, or has no or incomplete rows.
    """
    option = "histories"
    events = _columns(path, option, ["user_id", "item_id", *needed], columns)
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
        times = _times(events["timestamp"], f"{option}={path}")
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


def _columns(path: str, option: str, needed: Sequence[str], others: Sequence[str]) -> pl.DataFrame:
    where = f"{option}={path}"
    if not Path(path).is_file():
        what = "is a folder" if Path(path).is_dir() else "there is no such file"
        raise UserError(f"{where}: {what}; give one CSV, TSV, JSON lines or Parquet file")
    table = TableFile(Path(path), where)
    with TemporaryDirectory(prefix="recsys-lab-") as scratch:
        names = list(dict.fromkeys([*needed, *others]))
        opened = table.open(Path(scratch), names, [n for n in names if n.endswith("_id")])
        missing = [name for name in needed if name not in opened.columns]
        if missing:
            raise UserError(
                f"{where}: has no column {' and '.join(missing)}"
                f"{did_you_mean(missing[0], opened.columns)} It has: {', '.join(opened.columns)}"
            )
        with table.explained():
            there = [name for name in names if name in opened.columns]
            return opened.frame.select(there).collect()


def _times(times: pl.Series, where: str) -> pl.Series:
    """Whole seconds since the epoch, or datetimes."""
    if times.dtype == pl.String:
        numbers = times.cast(pl.Int64, strict=False)
        if not numbers.null_count():
            return numbers
        times, _ = parse_times(times, where)
    elif times.dtype.is_float():
        times = times.floor().cast(pl.Int64, strict=False)
    return times

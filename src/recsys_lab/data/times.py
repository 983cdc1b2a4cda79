"""Times as people write them -> seconds since the epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
from polars.exceptions import PolarsError

from recsys_lab.config import UserError

if TYPE_CHECKING:
    from pathlib import Path

UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
"""Ticks a second."""


def parse_times(
    column: pl.Series, file: Path, unit: str = "auto", time_format: str | None = None
) -> tuple[pl.Series, pl.Series | None]:
    """Seconds since the epoch, null where unreadable, and the ticks where they are finer.

    Args:
        column: numbers, dates, datetimes (without a zone: UTC), or text with either.
        file: named in the error.
        unit: of numbers; ``auto`` takes it from their size: as seconds they would lie after the
            year 5100.
        time_format: of text, as in ``strptime``; None: numbers or ISO 8601.

    Returns:
        int64 seconds (rounded down), and the int64 ticks when the source is finer than a second,
        so that events within one second keep their order; else None.

    Raises:
        UserError: when not one value can be read.
    """
    ticks, scale = _ticks(column, unit, time_format)
    present = column.drop_nulls()
    if len(present) and ticks.null_count() == len(ticks):
        row = (column.is_not_null()).arg_max()
        how = f"format '{time_format}'" if time_format else "numbers and ISO 8601 dates"
        raise UserError(
            f"{file}: no time in column '{column.name}' can be read; the first is "
            f"{present[0]!r} (row {1 + (row or 0)}). Tried: {how}. Set data.timestamp_format (as in "
            "strptime, e.g. '%d/%m/%Y %H:%M'), or data.timestamp_column=null for file order"
        )
    seconds = (ticks // scale).alias("timestamp")
    finer = scale > 1 and bool((ticks % scale != 0).any())
    return seconds, ticks.alias("order") if finer else None


def _ticks(column: pl.Series, unit: str, time_format: str | None) -> tuple[pl.Series, int]:
    """int64 ticks, null where unreadable, and ticks a second."""
    if column.dtype == pl.String:
        column = _from_text(column, time_format)
    if column.dtype == pl.Date:
        return column.dt.epoch("s").cast(pl.Int64), 1
    if isinstance(column.dtype, pl.Datetime):
        return column.dt.epoch("ns" if column.dtype.time_unit == "ns" else "us"), (
            UNITS["ns"] if column.dtype.time_unit == "ns" else UNITS["us"]
        )
    if not column.dtype.is_numeric():
        return pl.Series(column.name, [None] * len(column), dtype=pl.Int64), 1
    if unit == "auto":
        unit = _guess_unit(column)
    if column.dtype.is_float():
        whole = bool((column == column.floor()).fill_null(True).all())
        if not whole and unit == "s":  # fractions of seconds become microseconds
            return (column * UNITS["us"]).round().cast(pl.Int64, strict=False), UNITS["us"]
        column = column.floor()
    return column.cast(pl.Int64, strict=False), UNITS[unit]


def _from_text(column: pl.Series, time_format: str | None) -> pl.Series:
    """Datetimes by the format; else numbers where any value is one; else ISO 8601."""
    frame = column.str.strip_chars().to_frame()
    text = pl.col(column.name)
    try:
        if time_format is not None:
            return frame.select(text.str.to_datetime(time_format, strict=False)).to_series()
        whole = frame.select(text.cast(pl.Int64, strict=False)).to_series()
        number = frame.select(text.cast(pl.Float64, strict=False)).to_series()
        number = number.set(~number.is_finite().fill_null(True), None)
        if number.null_count() < len(number):
            return whole if whole.null_count() == number.null_count() else number
        return frame.select(text.str.to_datetime(strict=False)).to_series()
    except PolarsError:  # no format fits the first value
        return pl.Series(column.name, [None] * len(column), dtype=pl.Int64)


def _guess_unit(column: pl.Series) -> str:
    size = column.abs().median()
    size = float(size) if isinstance(size, int | float) else 0.0
    for unit, ticks in UNITS.items():
        if size < 1e11 * ticks:
            return unit
    return "ns"

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

ISO_FORMATS = (
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f%z",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
)


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
            f"{present[0]!r} (row {1 + (row or 0)}). Tried: {how}. Set data.timestamp_format (as "
            "in strptime, e.g. '%d/%m/%Y %H:%M'), or data.timestamp_column=null for file order"
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
    text = column.str.strip_chars()
    if time_format is not None:
        try:
            return _by_format(text, time_format)
        except PolarsError as error:
            raise UserError(
                f"data.timestamp_format={time_format}: is not a format of dates as in strptime "
                f"({str(error).splitlines()[0]})"
            ) from error
    whole = text.cast(pl.Int64, strict=False)
    number = text.cast(pl.Float64, strict=False)
    number = number.set(~number.is_finite().fill_null(True), None)
    if number.null_count() < len(number):
        return whole if whole.null_count() == number.null_count() else number
    # Guessed formats would take 03/04 for the third of April or the fourth of March: ISO alone.
    iso = text.str.replace(r"^(\d{4}-\d\d-\d\d)T", "$1 ").str.replace(" ?(Z|UTC)$", "+00:00")
    times = pl.Series(column.name, [None] * len(iso), dtype=pl.Datetime("us"))
    for form in ISO_FORMATS:
        if times.null_count() == iso.null_count():
            break
        parsed = _by_format(iso, form)
        times = times.zip_with(times.is_not_null(), parsed)
    return times


def _by_format(text: pl.Series, form: str) -> pl.Series:
    """Datetimes in UTC, in microseconds, null where the text has another form."""
    parsed = text.str.to_datetime(form, strict=False, time_unit="us")
    return parsed.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if "%z" in form else parsed


def _guess_unit(column: pl.Series) -> str:
    if column.dtype.is_float():
        column = column.filter(column.is_finite())  # one NaN would make the median NaN
    some = column.gather_every(max(1, len(column) // 10_000))  # a sample tells the magnitude
    size = some.abs().median()
    size = float(size) if isinstance(size, int | float) else 0.0
    for unit, ticks in UNITS.items():
        if size < 1e11 * ticks:
            return unit
    return "ns"

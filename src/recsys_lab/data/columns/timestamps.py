"""Timestamps of a source, as seconds since the epoch."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl
from polars.exceptions import PolarsError

from recsys_lab.config import UserError, first_line
from recsys_lab.data.columns.column_plan import ColumnPlan, apply_plans, first_row, one_row, same
from recsys_lab.data.columns.ids import whole_numbers
from recsys_lab.data.columns.time_checks import (
    guess_unit,
    mixed_zones_note,
    refuse_calendar_numbers,
    refuse_float32,
    refuse_mixed_units,
)

UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
"""Unit -> ticks per second."""

ISO_FORMATS = (
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f%z",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d %H:%M%z",
    "%Y-%m-%d",
)

LARGEST = 9.2e18
"""Ticks. Larger values, close to 2^63, mark a missing time and are read as null."""

DAY = 86_400


def parse_times(
    column: pl.Series, file: Path | str, unit: str = "auto", time_format: str | None = None
) -> tuple[pl.Series, pl.Series | None]:
    """Parse a column of times; null where a value is unreadable.

    Args:
        column: see `plan_times`.
        file: named in the error.
        unit: see `plan_times`.
        time_format: see `plan_times`.

    Returns:
        int64 seconds since the epoch (rounded down), and the int64 ticks if the source is finer
        than a second, so that events within one second keep their order; else None.

    Raises:
        UserError: if no value can be read.
    """
    frame = column.to_frame().lazy()
    plans = plan_times(frame, column.name, file, unit, time_format)
    times = apply_plans(frame, plans).collect()
    return times["timestamp"], times["order"] if "order" in plans else None


def parse_date(option: str, text: str) -> datetime:
    """Parse the ISO 8601 date of an option; UTC if it has no zone.

    Raises:
        UserError: if it is not a date.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UserError(
            f"{option}={text}: not a valid date; expected e.g. 2024-12-31 or 2024-12-31T18:00"
        ) from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def plan_times(
    frame: pl.LazyFrame,
    column: str,
    file: Path | str,
    unit: str = "auto",
    time_format: str | None = None,
    *,
    portable: bool = False,
) -> dict[str, ColumnPlan]:
    """Plan how a column becomes ``timestamp`` and, where it is finer than a second, ``order``.

    Text is read as numbers or as ISO 8601, whichever fits more values; other values are unreadable.

    Args:
        frame: the whole log.
        column: numbers, dates, datetimes (without a zone: UTC), or text with either.
        file: named in the error.
        unit: of numbers; ``auto`` infers it from their size: the coarsest unit in which they lie
            before the year 5100.
        time_format: of text and whole numbers, as in ``strptime``; None: numbers or ISO 8601.
        portable: whether datetimes must be read by operations that every engine has.

    Returns:
        Seconds (rounded down) and ticks, int64; null where unreadable.

    Raises:
        UserError: if no value can be read, or a single unit would misread the numbers.
    """
    prepare, scale = _prepared(frame, column, time_format, portable=portable)
    source = pl.col(column) if prepare is None else prepare
    values = frame.select(t=source)
    kind = values.collect_schema()["t"]
    make: Callable[[nw.Expr], nw.Expr] = same
    if kind == pl.Date:
        make = _seconds_of_date
    elif isinstance(kind, pl.Datetime):
        fine = one_row(values, fine=(pl.col("t").dt.microsecond() != 0).any())["fine"]
        make, scale = (_ticks_of_datetime, UNITS["us"]) if fine else (_seconds_of_datetime, 1)
    elif kind.is_numeric() and scale is None:
        if kind in (pl.Float32, pl.Float16):
            refuse_float32(values, column, file)
        if unit == "auto":
            refuse_calendar_numbers(values, column, file)
            refuse_mixed_units(values, column, file, UNITS)
        make, scale = _numbers(values, kind, unit)
    plans = {"ticks": ColumnPlan("t", None, make)}
    if kind.is_numeric() or kind.is_temporal():
        ticks = pl.col("ticks")
        fine = (ticks % (scale or 1) != 0).any()
        has = one_row(apply_plans(values, plans), times=ticks.is_not_null().any(), fractions=fine)
    else:
        has = {"times": False, "fractions": False}
    if not has["times"]:
        _refuse_unreadable(frame, column, file, time_format)
        return {"timestamp": ColumnPlan(column, pl.lit(None, dtype=pl.Int64), same)}
    seconds = partial(_seconds, make=make, scale=scale or 1)
    note = mixed_zones_note(frame, column)
    result = {"timestamp": ColumnPlan(column, prepare, seconds, note=note)}
    if has["fractions"]:
        result["order"] = ColumnPlan(column, prepare, make)
    return result


def _refuse_unreadable(
    frame: pl.LazyFrame, column: str, file: Path | str, time_format: str | None
) -> None:
    first = first_row(frame, column, pl.col(column).is_not_null())
    if first is None:
        return
    how = f"format '{time_format}'" if time_format else "numbers and ISO 8601 dates"
    raise UserError(
        f"{file}: no time in column '{column}' can be read; the first is {first[1]!r} "
        f"({first[0]}). Tried: {how}. Set data.timestamp_format (as in strptime, e.g. "
        "'%d/%m/%Y %H:%M'), or data.timestamp_column=null for file order"
    )


def _seconds(values: nw.Expr, make: Callable[[nw.Expr], nw.Expr], scale: int) -> nw.Expr:
    ticks = make(values)
    if scale == 1:
        return ticks
    # Spark divides integers as floats: half a second more keeps the quotient off the boundary.
    inside = nw.when((ticks < int(LARGEST)) & (ticks > -int(LARGEST))).then(ticks)
    return ((inside - inside % scale + scale // 2) // scale).cast(nw.Int64)


def _seconds_of_date(date: nw.Expr) -> nw.Expr:
    return _days(date) * DAY


def _seconds_of_datetime(moment: nw.Expr) -> nw.Expr:
    """Seconds of a datetime without a zone, rounded down.

    Computed from its fields, because no single function exists on every engine.
    """
    time = moment.dt
    clock = (time.hour().cast(nw.Int64) * 60 + time.minute()) * 60 + time.second()
    return _days(moment) * DAY + clock


def _ticks_of_datetime(moment: nw.Expr) -> nw.Expr:
    """Microseconds of a datetime without a zone."""
    # The fraction is read from the text: Spark has no field for it without a zone.
    digits = moment.cast(nw.String).str.replace_all(r"^[^.]*\.?", "")
    digits = digits.str.replace_all("[^0-9]", "")
    six = nw.concat_str([digits, nw.lit("000000")]).str.slice(0, 6)
    return _seconds_of_datetime(moment) * UNITS["us"] + six.cast(nw.Int64)


def _days(date: nw.Expr) -> nw.Expr:
    """Days since 1970-01-01: Howard Hinnant's ``days_from_civil``, for the years 1 to 9999."""
    month = date.dt.month().cast(nw.Int64)
    year = date.dt.year().cast(nw.Int64) - (month <= 2).cast(nw.Int64)
    march = (month + 9) % 12
    day_of_year = (153 * march + 2) // 5 + date.dt.day().cast(nw.Int64) - 1
    era = year // 400
    year_of_era = year - era * 400
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146_097 + day_of_era - 719_468


def _prepared(
    frame: pl.LazyFrame, column: str, time_format: str | None, *, portable: bool
) -> tuple[pl.Expr | None, int | None]:
    """The expression that polars applies first, and ticks per second if known afterwards."""
    kind = frame.collect_schema()[column]
    value = pl.col(column)
    if kind == pl.String or (kind.is_integer() and time_format is not None):
        return _from_text(frame, column, time_format)
    if kind == pl.Date and not portable:
        return value.dt.epoch("s").cast(pl.Int64), 1
    if isinstance(kind, pl.Datetime):
        if kind.time_unit == "ns":
            return value.dt.epoch("ns"), UNITS["ns"]
        if kind.time_zone is not None or not portable:
            return value.dt.epoch("us"), UNITS["us"]
    if isinstance(kind, pl.Decimal) or kind == pl.Float16:
        return value.cast(pl.Float64), None
    if kind in (pl.UInt64, pl.Int128, pl.UInt128):
        return value.cast(pl.Int64, strict=False), None
    return None, None


def _from_text(
    frame: pl.LazyFrame, column: str, time_format: str | None
) -> tuple[pl.Expr | None, int | None]:
    """Read text by the format if given, else as numbers or ISO 8601, whichever reads more."""
    text = pl.col(column).cast(pl.String).str.strip_chars()
    if time_format is not None:
        times = _by_format(text, time_format)
        try:
            one_row(frame, some=times.is_not_null().any())
        except PolarsError as error:
            raise UserError(
                f"data.timestamp_format={time_format}: not a valid strptime format "
                f"({first_line(error)}); expected e.g. '%d/%m/%Y %H:%M'"
            ) from error
        return times.dt.epoch("us"), UNITS["us"]
    whole = text.cast(pl.Int64, strict=False)
    number = text.cast(pl.Float64, strict=False)
    number = pl.when(number.abs() <= LARGEST).then(number)
    counts = one_row(
        frame,
        text=text.count(),
        number=number.count(),
        whole=(whole.is_not_null() & number.is_not_null()).sum(),
    )
    numbers = whole if counts["whole"] == counts["number"] else number
    if counts["number"] * 2 >= counts["text"]:
        return numbers, None
    # Only ISO 8601: a guessed format could read 03/04 as 3 April or as 4 March.
    iso = _normalized_iso(text)
    times = pl.coalesce(_by_format(iso, form) for form in ISO_FORMATS)
    if one_row(frame, iso=times.count())["iso"] > counts["number"]:
        return times.dt.epoch("us"), UNITS["us"]
    return numbers, None


def _normalized_iso(text: pl.Expr) -> pl.Expr:
    """Rewrite variants of ISO 8601 as ``2023-11-14 22:13:20+00:00``.

    Variants are basic dates and times (20231114T221320), T or a blank between them, a comma before
    fractions, Z or UTC, and offsets of hours only, as PostgreSQL writes them (+00).
    """
    basic = text.str.replace(
        r"^(\d{4})(\d\d)(\d\d)[T ](\d\d)(\d\d)(\d\d)?", "$1-$2-$3 $4:$5:$6"
    ).str.replace(r"^(.{16}):($|[^\d])", "$1$2")
    spaced = basic.str.replace(r"^(\d{4}-\d\d-\d\d)[Tt] ?", "$1 ")
    pointed = spaced.str.replace(r"(:\d\d),(\d)", "$1.$2")
    zoned = pointed.str.replace(r" ?(?:Z|z|UTC|GMT)$", "+00:00")
    return zoned.str.replace(r"(:\d\d(?:\.\d+)?) ?([+-]\d\d):?(\d\d)?$", "$1$2:${3}").str.replace(
        r"([+-]\d\d):$", "$1:00"
    )


def _by_format(text: pl.Expr, form: str) -> pl.Expr:
    """Datetimes in UTC, in microseconds; null where the text does not match the format."""
    parsed = text.str.to_datetime(form, strict=False, time_unit="us")
    return parsed.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if "%z" in form else parsed


def _numbers(values: pl.LazyFrame, kind: pl.DataType, unit: str) -> tuple[Any, int]:
    """A function that makes ticks of numbers, and ticks per second."""
    if unit == "auto":
        unit = guess_unit(values, kind, UNITS)
    if not kind.is_float():
        return lambda integers: integers.cast(nw.Int64), UNITS[unit]
    t = pl.col("t")
    fraction = one_row(values, fraction=(t.is_finite() & (t != t.floor())).any())["fraction"]
    if fraction and unit == "s":
        return _microseconds, UNITS["us"]
    return whole_numbers(LARGEST), UNITS[unit]


def _microseconds(seconds: nw.Expr) -> nw.Expr:
    """Microseconds of fractional seconds, rounded to the nearest one."""
    inside = nw.when(seconds.is_finite() & (seconds.abs() <= LARGEST / UNITS["us"])).then(seconds)
    return (inside * UNITS["us"] + 0.5).floor().cast(nw.Int64)

"""Checks of numeric timestamps that a single unit would misread."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from recsys_lab.config import UserError
from recsys_lab.data.columns.column_plan import one_row

PLAUSIBLE = (631_152_000, 4_102_444_800)
"""Seconds since the epoch of the years 1990 to 2099; the ranges of different units are disjoint."""

SIZE_LIMIT = 1e11
"""Seconds since the epoch in the year 5138: larger numbers are of a finer unit."""

CALENDAR = {
    "%Y%m%d": ("days", 1, 100),
    "%Y%m%d%H%M": ("dates and times", 10_000, 100),
    "%Y%m%d%H%M%S": ("dates and times", 1_000_000, 10_000),
}
"""Format -> what it writes, ticks per day, ticks per hour (of the digits read as one number)."""


_ZONED = r"(?i)[: T]\d\d.*(z|utc|gmt|[+-]\d\d(:?\d\d)?)$"


def mixed_zones_note(frame: pl.LazyFrame, column: str) -> str:
    """A note if some texts of a column have a time zone and others none; else empty."""
    if frame.collect_schema()[column] != pl.String:
        return ""
    text = pl.col(column).str.strip_chars()
    text = pl.when(text.str.contains(r"\d")).then(text)
    zoned = text.str.contains(_ZONED)
    seen = one_row(
        frame, zoned=zoned.sum(), plain=(~zoned).sum(), first=text.filter(~zoned).first()
    )
    if not (seen["zoned"] and seen["plain"]):
        return ""
    return (
        f"{seen['zoned']:,} times have a time zone and {seen['plain']:,} have none, such as "
        f"{seen['first']!r}, and are read as UTC: if they are local, their events are out of "
        "order. Write all with their zone"
    )


def refuse_calendar_numbers(values: pl.LazyFrame, column: str, file: Path | str) -> None:
    """Refuse calendar dates and times written as numbers, such as 20240101 and 20240101123000.

    The former, as seconds, would lie in August 1970; the latter, as milliseconds, in 2611.

    Args:
        values: numbers in column ``t``.
        column: the source's name for it.
        file: named in the error.

    Raises:
        UserError: if every value matches one format of `CALENDAR`.
    """
    given = values.filter(pl.col("t").cast(pl.Float64).is_finite())
    for form, (what, a_day, an_hour) in CALENDAR.items():
        read = _is_calendar(pl.col("t"), a_day, an_hour)
        if all(  # the first 1000 rows rule out most logs
            one_row(part, read=read.all() & (pl.len() > 0))["read"]
            for part in (given.head(1000), given)
        ):
            raise UserError(
                f"{file}: the times in column '{column}' look like {what} written as numbers; the "
                f"first is {given.head(1).collect().item():.0f}. Set data.timestamp_format={form}, "
                "or data.timestamp_unit=s if they are seconds"
            )


def _is_calendar(t: pl.Expr, a_day: int, an_hour: int) -> pl.Expr:
    whole = pl.when(t.cast(pl.Float64).abs() < 2**53).then(t).cast(pl.Int64, strict=False)
    day = whole // a_day
    read = day.is_between(19_000_101, 21_001_231) & (day // 100 % 100).is_between(1, 12)
    read &= (day % 100).is_between(1, 31) & (t.cast(pl.Float64) % 1 == 0)
    if a_day > 1:
        clock = whole % a_day
        read &= (clock // an_hour < 24) & (clock % an_hour // (an_hour // 100) < 60)
        read &= clock % 100 < 60
    return read.fill_null(False)


def refuse_mixed_units(
    values: pl.LazyFrame, column: str, file: Path | str, units: Mapping[str, int]
) -> None:
    """Refuse a column whose rows are plausible times in different units.

    Args:
        values: numbers in column ``t``.
        column: the source's name for it.
        file: named in the error.
        units: name -> ticks a second.

    Raises:
        UserError: if some rows lie in the years 1990 to 2099 in one unit and some in another.
    """
    t, low, high = pl.col("t").cast(pl.Float64), *PLAUSIBLE
    fits = {unit: t.is_between(low * ticks, high * ticks) for unit, ticks in units.items()}
    counts = one_row(values, **{unit: fit.sum() for unit, fit in fits.items()})
    used = {unit: count for unit, count in counts.items() if count}
    if len(used) < 2:
        return
    rows = values.with_row_index("row", 1)
    examples = []
    for unit, count in used.items():
        first = rows.filter(fits[unit]).head(1).collect(engine="streaming").row(0, named=True)
        share = count / sum(used.values())
        examples.append(
            f"{count:,} ({share:.1%}) in {unit}, such as {first['t']} in row {first['row']}"
        )
    raise UserError(
        f"{file}: the times in column '{column}' mix units, by their size: "
        f"{'; '.join(examples)}. Read in a single unit, events would be in a wrong order. Write "
        "them in one unit, or, if they are, name it: "
        f"data.timestamp_unit={max(used, key=lambda unit: used[unit])}"
    )


def refuse_float32(values: pl.LazyFrame, column: str, file: Path | str) -> None:
    """Refuse times that float32 has rounded: it is exact only up to 16,777,216.

    Args:
        values: float32 numbers in column ``t``.
        column: the source's name for it.
        file: named in the error.

    Raises:
        UserError: for a larger number.
    """
    largest = one_row(values, largest=pl.col("t").filter(pl.col("t").is_finite()).abs().max())
    if (largest["largest"] or 0.0) > 2**24:
        raise UserError(
            f"{file}: the times in column '{column}' are float32 and reach "
            f"{largest['largest']:.0f}; float32 rounds today's times to 128 seconds, which makes "
            "ties and a wrong order. Export them again as int64, float64 or datetimes"
        )


def guess_unit(values: pl.LazyFrame, kind: pl.DataType, units: Mapping[str, int]) -> str:
    """The unit that fits the median of a sample, so that a few outliers do not decide."""
    rows = one_row(values, rows=pl.len())["rows"]
    size = pl.col("t").cast(pl.Float64).abs()
    if kind.is_float():
        size = size.filter(size.is_finite())  # one NaN would make the median NaN
    sample = values.with_row_index("row").filter(pl.col("row") % max(1, rows // 10_000) == 0)
    median = one_row(sample, median=size.median())["median"]
    typical = median if isinstance(median, float) else 0.0
    for unit, ticks in units.items():
        if typical < SIZE_LIMIT * ticks:
            return unit
    return "ns"

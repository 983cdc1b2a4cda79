"""How the times of a log are written: unit of numbers, format of text."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import polars as pl

from recsys_lab.config import UserError
from recsys_lab.data.columns.timestamps import parse_times

_CALENDAR = ("%Y%m%d", "%Y%m%d%H%M", "%Y%m%d%H%M%S")
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S%.f", " %I:%M %p", " %I:%M:%S %p")
_DAYS = (
    *("%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%m.%d.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d"),
    *("%m/%d/%y", "%d/%m/%y", "%d.%m.%y", "%d %b %Y", "%d-%b-%Y", "%d %B %Y", "%b %d, %Y"),
)
_YEARS = (1980, 2100)
_MOST = 0.9
"""Share of the values that a format must read."""


@dataclass(frozen=True)
class Times:
    """How a column of times is read.

    Attributes:
        form: to set as ``data.timestamp_format``; None: the reader infers it.
        unit: to set as ``data.timestamp_unit``; None: the reader infers it.
        said: what was seen, a sentence.
        other: another format that reads as many values, and otherwise, or None.
    """

    form: str | None
    unit: str | None
    said: str
    other: str | None = None


def read_times(values: pl.Series, path: str) -> Times | None:
    """How a column is read as times; None if it holds none.

    Args:
        values: the column.
        path: of the file, for errors.

    Raises:
        UserError: the column mixes units, or its numbers are too coarse.
    """
    there = values.drop_nulls()
    if values.dtype == pl.String:
        there = there.filter(there.str.strip_chars() != "")
    if there.is_empty():
        return None
    if values.dtype.is_temporal():
        return None if values.dtype in (pl.Time, pl.Duration) else Times(None, None, "times")
    if not (values.dtype.is_numeric() or values.dtype == pl.String):
        return None
    texts = there.cast(pl.String).str.strip_chars()
    if (form := _calendar(texts)) is not None:
        return Times(form, None, "dates written as numbers")
    try:
        seconds, _ = parse_times(there, Path(path))
    except UserError as error:
        if "no time in column" not in str(error):
            raise
        seconds = pl.Series([None], dtype=pl.Int64)
    if seconds.count() >= _MOST * len(there):
        numbers = texts.cast(pl.Float64, strict=False).count() >= _MOST * len(there)
        what = "numbers, whose unit is inferred from their size" if numbers else "ISO 8601"
        return Times(None, None, what)
    return _of_text(texts)


def _calendar(texts: pl.Series) -> str | None:
    for form in _CALENDAR:
        length = len(form.replace("%Y", "yyyy").replace("%", "x"))  # yyyy and two digits each
        if (_parsed(texts, form).is_not_null() & (texts.str.len_chars() == length)).all():
            return form
    return None


def _of_text(texts: pl.Series) -> Times | None:
    forms = [day + clock for day in _DAYS for clock in _CLOCKS]
    read = {}
    head = texts.head(1000)
    for form in forms:
        if _parsed(head, form).count() >= _MOST * len(head):
            read[form] = _parsed(texts, form)
    counts = {form: times.count() for form, times in read.items()}
    fitting = [form for form in counts if counts[form] >= max(_MOST * len(texts), 1)]
    if not fitting:
        return None
    most = max(counts[form] for form in fitting)
    best = [form for form in fitting if counts[form] == most]
    best.sort(key=lambda form: -_in_order(read[form]))
    # Fractions of a second are optional, so two formats may read every value alike.
    other = next((form for form in best[1:] if not read[form].equals(read[best[0]])), None)
    return Times(best[0], None, f"text such as {texts[0]!r}", other)


def _parsed(texts: pl.Series, form: str) -> pl.Series:
    """Times, null where a text does not fit or the year is implausible, as 24 for 2024 is."""
    times = texts.str.to_datetime(form, strict=False)
    return times.set(~times.dt.year().is_between(*_YEARS), None)


def _in_order(times: pl.Series) -> float:
    """Share of the rows that are not earlier than the row before."""
    steps = times.drop_nulls().diff().drop_nulls()
    return sum(steps >= timedelta(0)) / len(steps) if len(steps) else 0.0

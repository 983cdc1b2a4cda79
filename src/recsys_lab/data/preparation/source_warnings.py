"""Warnings about a source's values, for the manifest, the data card and the terminal."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_lab.data.columns.id_spellings import DIFFERENCES, normalized
from recsys_lab.data.raw import Unreadable
from recsys_lab.pages.number_format import number, percent

FIRST_PLAUSIBLE = 631_152_000
"""1990-01-01 in seconds since the epoch; few logs of a shop or a site begin earlier."""
DAY, LONGEST_YEARS = 86_400, 40
_PART = 1 << 22

FEW = 0.5
"""Warn if a table of items or users has a smaller share of those of the log."""


def number_warnings(unreadable: Mapping[str, Unreadable]) -> list[str]:
    """A warning for each numeric column with values that are not numbers.

    Args:
        unreadable: of the raw data.
    """
    one, several = "value is not a number and counts", "values are not numbers and count"
    return [
        f"{name}: {number(odd.rows)} {one if odd.rows == 1 else several} as missing; the first is "
        f"{odd.first!r} ({odd.place}). Write numbers as 5.0, with a point{decimal_hint(odd.first)}"
        for name, odd in unreadable.items()
    ]


def decimal_hint(value: str) -> str:
    """A hint at ``data.decimal_comma`` if the value may have a decimal comma, else empty."""
    if not re.fullmatch(r"[+-]?[\d.]*,\d*", value.strip()):
        return ""
    return ". If that is a decimal comma, set data.decimal_comma=true"


def time_warnings(timestamps: NDArray[np.int64] | None) -> list[str]:
    """Warnings about implausible times: too early, in the future, all within a day.

    Args:
        timestamps: seconds since the epoch of every event, also memory-mapped, or None.
    """
    if timestamps is None or not len(timestamps):
        return []
    tomorrow = time.time() + DAY
    parts = [timestamps[start : start + _PART] for start in range(0, len(timestamps), _PART)]
    low, high = min(int(part.min()) for part in parts), max(int(part.max()) for part in parts)
    early = sum(int((part < FIRST_PLAUSIBLE).sum()) for part in parts)
    late = sum(int((part > tomorrow).sum()) for part in parts)
    span = f"{_moment(low)} to {_moment(high)}"
    cure = "See data.timestamp_unit and data.timestamp_format"
    warnings = []
    if early == len(timestamps):
        return [
            f"times: all events lie before 1990, {span}: days or years instead of seconds, or "
            f"counted from another origin (then only their order is meaningful)? {cure}"
        ]
    if early:
        warnings.append(
            f"times: {_events(early, timestamps)} before 1990, the earliest at {_moment(low)}: a "
            f"missing time written as 0, days or years instead of seconds, or another unit? {cure}"
        )
    if late:
        warnings.append(
            f"times: {_events(late, timestamps)} in the future, the last at {_moment(high)}. {cure}"
        )
    if high - low > LONGEST_YEARS * 365.25 * DAY:
        warnings.append(f"times: span more than {LONGEST_YEARS} years, {span}. {cure}")
    if high - low < DAY and len(timestamps) > 1:
        warnings.append(f"times: all events lie within one day, {span}. {cure}")
    return warnings


def _events(count: int, timestamps: NDArray[np.int64]) -> str:
    share = percent(count / len(timestamps))
    return (
        f"{number(count)} event{'s' if count > 1 else ''} ({share}) lie{'' if count > 1 else 's'}"
    )


def _moment(seconds: int) -> str:
    return f"{np.datetime64(seconds, 's')}".replace("T", " ")


def table_warnings(side: str, ids: Any, table: Any, matched: int, cold: int = 0) -> list[str]:
    """A warning if a table of items or users lacks most of those of the log.

    Args:
        side: ``item`` or ``user``.
        ids: raw ids of the dataset, an Arrow array.
        table: of the source, with a column ``<side>_id``, or None.
        matched: number of ids that the table has.
        cold: number of ids that only the table has.
    """
    matched, total = matched - cold, len(ids) - cold
    if table is None or matched >= FEW * total:
        return []
    warning = (
        f"the table of {side}s has {number(matched)} of the {number(total)} {side}s of the log "
        f"({percent(matched / total)}); the others have no values"
    )
    if matched or not len(table):
        return [warning]
    if joined := _joined_by(ids, table[f"{side}_id"], FEW * total):
        cure = f"data.id_normalization=[{','.join(joined)}]"
        return [f"{warning}. They differ in spelling ({joined[-1]}): set {cure}"]
    example = table[f"{side}_id"][0]
    return [
        f"{warning}. Ids of the log look like {ids[0].as_py()!r}, those of the table like "
        f"{example!r}: name the column with the log's ids, e.g. data.{side}s_id_column=sku"
    ]


def _joined_by(ids: Any, others: Any, enough: float) -> list[str]:
    """The differences in spelling without which enough ids are among others; empty for none.

    Args:
        ids: an Arrow array.
        others: a polars series.
        enough: number of ids.
    """
    text = pl.col("id")
    known = pl.DataFrame({"id": others.cast(pl.String)}).lazy()
    frame = pl.DataFrame({"id": pl.Series(ids).cast(pl.String)}).lazy()
    for difference in DIFFERENCES:
        removed = list(dict.fromkeys(["decimal", difference]))  # decimal is on by default
        key = normalized(text, removed)
        matching = frame.select(key).join(known.select(key).unique(), on="id", how="semi")
        if matching.select(pl.len()).collect().item() >= enough:
            return removed
    return []

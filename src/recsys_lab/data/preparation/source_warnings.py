"""What is odd about a source that could be read: for the manifest, the card and the terminal."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_lab.pages.number_format import number, percent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from recsys_lab.data.raw import Unreadable

FIRST_PLAUSIBLE = 631_152_000
"""1990-01-01 in seconds since the epoch: few logs of a shop or a site begin earlier."""
DAY, LONGEST_YEARS = 86_400, 40
_PART = 1 << 22

FEW = 0.5
"""A table of items or users that knows a smaller share of those of the log is doubted."""


def number_warnings(unreadable: Mapping[str, Unreadable]) -> list[str]:
    """One sentence for each column with values that are no numbers.

    Args:
        unreadable: of the raw data.
    """
    return [
        f"{name}: {number(found.rows)} {'value is' if found.rows == 1 else 'values are'} no "
        f"number and count as missing; the first is {found.first!r} ({found.place}). Write numbers "
        f"as 5.0, with a point{decimal_hint(found.first)}"
        for name, found in unreadable.items()
    ]


def decimal_hint(value: str) -> str:
    """A sentence with the option for numbers with a comma, where this may be one; else nothing."""
    if not re.fullmatch(r"[+-]?[\d.]*,\d*", value.strip()):
        return ""
    return ". If that is a decimal comma, set data.decimal_comma=true"


def time_warnings(timestamps: NDArray[np.int64] | None) -> list[str]:
    """Sentences about times that are hardly meant: too early, in the future, all at once.

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
    found = []
    if early == len(timestamps):
        return [
            f"times: all events lie before 1990, {span}: days or years instead of seconds, or "
            f"counted from a start of their own (then only their order means something)? {cure}"
        ]
    if early:
        found.append(
            f"times: {_events(early, timestamps)} before 1990, the earliest at {_moment(low)}: a "
            f"missing time written as 0, days or years instead of seconds, or another unit? {cure}"
        )
    if late:
        found.append(
            f"times: {_events(late, timestamps)} in the future, the last at {_moment(high)}. {cure}"
        )
    if high - low > LONGEST_YEARS * 365.25 * DAY:
        found.append(f"times: span more than {LONGEST_YEARS} years, {span}. {cure}")
    if high - low < DAY and len(timestamps) > 1:
        found.append(f"times: all events lie within one day, {span}. {cure}")
    return found


def _events(count: int, timestamps: NDArray[np.int64]) -> str:
    share = percent(count / len(timestamps))
    return (
        f"{number(count)} event{'s' if count > 1 else ''} ({share}) lie{'' if count > 1 else 's'}"
    )


def _moment(seconds: int) -> str:
    return f"{np.datetime64(seconds, 's')}".replace("T", " ")


def table_warnings(side: str, ids: Any, table: Any, matched: int, cold: int = 0) -> list[str]:
    """A sentence when a table of items or users says nothing of most of those of the log.

    Args:
        side: ``item`` or ``user``.
        ids: raw ids of the dataset, an Arrow array.
        table: of the source, with a column ``<side>_id``, or None.
        matched: how many of the ids it has.
        cold: how many of the ids are of the table alone.
    """
    matched, total = matched - cold, len(ids) - cold
    if table is None or matched >= FEW * total:
        return []
    said = (
        f"the table of {side}s has {number(matched)} of the {number(total)} {side}s of the log "
        f"({percent(matched / total)}); of the others nothing is known"
    )
    if matched or not len(table):
        return [said]
    example = table[f"{side}_id"][0]
    return [
        f"{said}. Ids of the log are such as {ids[0].as_py()!r}, of the table such as "
        f"{example!r}: name the column that holds the log's ids, e.g. data.{side}s_id_column=sku"
    ]

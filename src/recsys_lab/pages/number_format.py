"""Readable numbers."""

from __future__ import annotations

import json
from math import isfinite
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_YEAR, DAY = 365.25 * 86_400, 86_400
_UNITS = ((2 * _YEAR, _YEAR, "years"), (DAY, DAY, "days"), (3_600, 3_600, "h"), (60, 60, "min"))


def number(value: float | None) -> str:
    """With thousands separators and at most two decimals; a dash for None."""
    if value is None:
        return "-"
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.2f}"


def percent(share: float) -> str:
    """With three significant digits, near 100% with two of the rest; exact 0% and 100% only."""
    if share in (0, 1):
        return f"{share:.0%}"
    exponent = int(f"{100 * min(share, 1 - share):.2e}".partition("e")[2])
    digits = (2 if share < 0.5 else 1) - exponent
    return f"{100 * share:.{min(12, max(1, digits))}f}%"


def duration(seconds: float) -> str:
    """In the largest unit that fits at least once; years from two."""
    for least, size, unit in _UNITS:
        if seconds >= least:
            many = f"{seconds / size:,.1f}".removesuffix(".0")
            return f"{many} {unit.removesuffix('s') if many == '1' else unit}"
    return f"{number(seconds)} s"


def format_value(value: Any) -> str:
    """As in a config file."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def decimal(value: float) -> str:
    """Four decimals; fewer for large numbers."""
    return f"{value:,.{decimal_places(value)}f}"


def interval_text(low: float | None, high: float | None) -> str:
    """The interval of a slice; "few users" without one."""
    return "few users" if low is None or high is None else f"{decimal(low)} - {decimal(high)}"


def decimal_places(value: float) -> int:
    """Number of decimals of `decimal`."""
    return 4 if abs(value) < 100 else 1


def decimals(values: Sequence[float], places: int | None = None) -> list[str]:
    """Numbers of one column, all with the same decimals.

    Args:
        values: the column.
        places: decimals unless all are whole numbers; None for those of the largest by `decimal`.
    """
    finite = [abs(float(value)) for value in values if isfinite(value)]
    if all(value.is_integer() for value in finite):
        places = 0
    elif places is None:
        places = decimal_places(max(finite))
    return [f"{value:,.{places}f}" for value in values]


def counted(number: int, noun: str) -> str:
    """A number with its noun in the plural, except for one: "1 trial", "2 trials"."""
    return f"{number:,} {noun if number == 1 else f'{noun}s'}"

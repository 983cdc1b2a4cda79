"""Lengths of time as options give them."""

from __future__ import annotations

import re

from recsys_lab.config import UserError

_UNITS = {"d": 86_400, "w": 7 * 86_400}


def window_seconds(option: str, text: str) -> int:
    """Seconds of a window such as ``90d`` or ``12w``.

    Raises:
        UserError: it is not a number of days or weeks.
    """
    match = re.fullmatch(r"([1-9]\d{0,4})([dw])", text)
    if match is None:
        raise UserError(
            f"{option}: got {text!r}, expected a number of days or weeks, e.g. 90d or 12w"
        )
    return int(match[1]) * _UNITS[match[2]]

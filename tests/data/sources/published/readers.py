"""What the tests of published datasets share."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from recsys_lab.data.engines.polars import PolarsSession


def rows(raw: Any) -> list[dict[str, Any]]:
    """The interactions as an engine scans them, in order, without what `taken` reads."""
    frame = PolarsSession().scan(raw.interactions).collect()
    flags = [column.present for side in raw.from_log.values() for column in side.values()]
    return pl.from_arrow(frame.to_arrow()).sort("row").drop("row", *flags).to_dicts()


def taken(raw: Any, side: str, column: str) -> list[Any]:
    """What the rows of the log say of items or users; and that the log tells where it is."""
    frame = PolarsSession().scan(raw.interactions).collect()
    found = raw.from_log[side][column]
    values = found.values(np.arange(len(frame))).to_list()
    assert frame[found.present].to_list() == [value is not None for value in values]
    return values

"""What the tests of published datasets share."""

from __future__ import annotations

from typing import Any

import polars as pl

from recsys_lab.data.engines.polars import PolarsSession


def rows(raw: Any) -> list[dict[str, Any]]:
    """The interactions as an engine scans them, in order."""
    frame = PolarsSession().scan(raw.interactions).collect()
    return pl.from_arrow(frame.to_arrow()).sort("row").drop("row").to_dicts()

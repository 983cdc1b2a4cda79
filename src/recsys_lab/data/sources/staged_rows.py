"""Rows of opened files where they can be read several times, and the log that is made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from recsys_lab.data.columns.column_plan import ColumnPlan, apply_plans, as_parquet_log, same

if TYPE_CHECKING:
    from pathlib import Path

    from recsys_lab.data.raw import ParquetLog
    from recsys_lab.data.sources.table_files import OpenTables

IN_MEMORY = 512 << 20
"""Bytes of files; a longer log that is no Parquet is streamed to Parquet."""


def at_hand(log: OpenTables, scratch: Path) -> pl.LazyFrame:
    """The rows where they can be read several times at little cost."""
    if log.parquet is not None:
        return log.frame
    if log.bytes <= IN_MEMORY:
        return log.frame.collect().lazy()
    file = scratch / "source.parquet"
    log.frame.sink_parquet(file, maintain_order=True)
    return pl.scan_parquet(file, glob=False)


def interactions_of(
    log: OpenTables, frame: pl.LazyFrame, plans: dict[str, ColumnPlan], scratch: Path
) -> pl.DataFrame | ParquetLog:
    """The log as the engine scans it, without a copy where that can be."""
    if log.parquet is not None:
        scanned = as_parquet_log(log.parquet, plans)
        if scanned is not None:
            return scanned
    made = apply_plans(frame, plans)
    if log.bytes <= IN_MEMORY:
        return made.collect()
    file = scratch / "log.parquet"
    made.sink_parquet(file, maintain_order=True)
    columns = {name: ColumnPlan(name, None, same) for name in plans}
    stored = as_parquet_log([str(file)], columns)
    assert stored is not None
    return stored

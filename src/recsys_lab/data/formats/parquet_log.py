"""A log that a reader streams into Parquet, as every engine scans it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import narwhals as nw
import polars as pl

from recsys_lab.data.formats.chunks import write_chunks
from recsys_lab.data.raw import ParquetLog

if TYPE_CHECKING:
    from pathlib import Path


def write_log(chunks: Iterator[pl.DataFrame], schema: Mapping[str, Any], file: Path) -> ParquetLog:
    """Write the interactions and say which columns there are.

    Args:
        chunks: rows in the log's order, with the columns of ``schema``.
        schema: name -> polars type.
        file: made.
    """
    write_chunks(chunks, schema, file)
    return ParquetLog((str(file),), {name: nw.col(name) for name in schema})


def items_of_log(table: Path, log: ParquetLog) -> pl.DataFrame:
    """The rows of a table that are about items of the log, the first of each item.

    Args:
        table: Parquet with a column ``item_id``; catalogues are many times larger than logs.
        log: has one file.
    """
    known = pl.scan_parquet(log.files[0], glob=False).select("item_id").unique()
    rows = (
        pl.scan_parquet(table, glob=False)
        .with_row_index("_row")
        .join(known, on="item_id", how="semi")
    )
    return (
        rows.collect(engine="streaming")
        .sort("_row")
        .unique("item_id", keep="first", maintain_order=True)
        .drop("_row")
    )

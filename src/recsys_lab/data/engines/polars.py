"""The polars engine: in memory, on all cores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import narwhals as nw
import polars as pl
import pyarrow as pa
from narwhals.exceptions import NarwhalsError
from polars.exceptions import PolarsError

from recsys_lab.data.engines.base import PLACE, ROW, Frame, unreadable
from recsys_lab.data.raw import ParquetLog
from recsys_lab.files.faults import out_of_space

ROWS_A_BATCH = 1 << 20


class Polars:
    """The default: the fastest engine for logs that fit into memory.

    Args:
        config: no options.
    """

    name = "polars"

    @dataclass(frozen=True)
    class Config:
        """`Polars` has no options."""

    def __init__(self, config: Config) -> None:
        self.config = config

    @contextmanager
    def open(self, scratch: Path) -> Iterator[PolarsSession]:
        """Open a session; nothing is written to ``scratch``."""
        del scratch
        try:
            yield PolarsSession()
        except (PolarsError, NarwhalsError) as error:
            if out_of_space(error):
                raise
            raise unreadable(error) from error


class PolarsSession:
    """See `recsys_lab.data.engines.base.Session`."""

    def scan(self, log: pl.DataFrame | pl.LazyFrame | ParquetLog) -> Frame:
        """The log with its row numbers."""
        if not isinstance(log, ParquetLog):
            return nw.from_native(log.lazy().with_row_index(ROW))
        rows = pl.scan_parquet(list(log.files), glob=False).with_row_index(PLACE)
        return nw.from_native(rows).select(nw.col(PLACE).alias(ROW), **log.columns)

    def table(self, table: pa.Table) -> Frame:
        """The same table."""
        frame = pl.from_arrow(table)
        assert isinstance(frame, pl.DataFrame)
        return nw.from_native(frame.lazy())

    def keep(self, frame: Frame) -> Frame:
        """Collect it."""
        collected: pl.DataFrame = frame.to_native().collect()
        return nw.from_native(collected.lazy())

    def ordered(self, frame: Frame, by: Sequence[str]) -> Frame:
        """The rows by some columns, then by `ROW`.

        Most frames are still in the order of `ROW`; a stable sort by the other columns is then
        several times faster than a sort by all.
        """
        collected: pl.DataFrame = frame.to_native().collect()
        if not collected[ROW].is_sorted():
            collected = collected.sort(ROW)
        return nw.from_native(collected.lazy().drop(ROW).sort(*by, maintain_order=True))

    def batches(self, frame: Frame) -> Iterator[pa.RecordBatch]:
        """Slices of the collected frame."""
        collected: pl.DataFrame = frame.to_native().collect()
        for part in collected.iter_slices(ROWS_A_BATCH):
            yield from part.to_arrow().combine_chunks().to_batches()
